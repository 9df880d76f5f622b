"""MIRFlickr-25K, NUS-WIDE and idx files: published counts, small layouts and damaged files."""

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import _base, _files, _idx, _labels, fashion_mnist, mirflickr, mnist, nuswide
from harness import downloads, storage
from harness.errors import BenchmarkError
from harness.user_data import DATA_VARIABLE

DATA = Path(os.environ.get(DATA_VARIABLE, "data")).absolute()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty current folder, where a test may leave the downloads that it tried."""
    monkeypatch.chdir(tmp_path)


def real(folder):
    if not (DATA / folder).exists():
        pytest.skip(f"no {DATA / folder}")
    return DATA / folder


def image(path, size=(20, 12), colour=(200, 100, 50)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def sound(found):
    """No leak, by the check and by sets; duplicates are counted."""
    if all(len(getattr(found, part)) for part in ("query", "database", "train")):
        _base.check(found, "made-up")
    query, database, train = (
        set(found.query.tolist()),
        set(found.database.tolist()),
        set(found.train.tolist()),
    )
    assert not query & (database | train)
    assert found.train_outside or train <= database
    pictures = {found.images[row].tobytes() for row in database}
    assert _base.duplicate_queries(found) == sum(
        found.images[row].tobytes() in pictures for row in query
    )


@pytest.mark.data
class TestRealFiles:
    def test_mirflickr_counts_are_the_published_ones(self):
        folder = real("mirflickr25k/mirflickr25k_annotations_v080")
        labels = mirflickr.read_concepts(_files.Folder(folder), "38")
        concepts = [*mirflickr.POTENTIAL, *(f"{name}_r1" for name in mirflickr.RELEVANT)]
        count = dict(zip(concepts, labels.sum(axis=0).tolist(), strict=True))
        assert (count["sky"], count["people"], count["male"]) == (7912, 10373, 6081)
        assert len(concepts) == 38
        assert labels[:, :24].any(axis=1).sum() == 24_581
        for name in (
            mirflickr.RELEVANT
        ):  # "relevant" is a part of "potential", but for flaws of the published files
            assert count[f"{name}_r1"] <= count[name]

    @pytest.mark.parametrize(
        ("protocol", "sizes", "digest"),
        [
            (
                "24",
                (2000, 22581, 10000),
                "86b0a9e47f1921eea1d8cd38340d1e7378e80ff82fcee362db20b6736769e448",
            ),
            (
                "38",
                (1000, 20000, 4000),
                "dafecddceaefca363cec218bdec0bdba7fee72e2ad7d8a9936b74c7a09f36a6f",
            ),
        ],
    )
    def test_mirflickr_splits_are_fixed_for_good(self, protocol, sizes, digest):
        labels = mirflickr.read_concepts(
            _files.Folder(real("mirflickr25k/mirflickr25k_annotations_v080")), protocol
        )
        fields = mirflickr.split(labels, protocol, np.flatnonzero(labels.any(axis=1)))
        found = _base.Collection(
            images=np.empty((25_000, 0, 0, 3), np.uint8), labels=labels, **fields
        )
        _base.check(found, "mirflickr")
        assert (len(found.query), len(found.database), len(found.train)) == sizes
        assert all(
            labels[rows].any(axis=0).all() for rows in (found.query, found.database, found.train)
        ), "every class is present"
        assert _base.split_digest(found) == digest

    @pytest.mark.parametrize(
        ("protocol", "sizes", "digest"),
        [
            (
                "21",
                (2100, 193_734, 10_500),
                "f67edb18c1acf86722c8478889b8f8198ddfa1f138ac75f9f50ab2e076e5f493",
            ),
            (
                "10",
                (1000, 185_577, 5000),
                "fc74dc543395597bf1e36eb683cc8bae0906d91db365e70e156ae6f580403480",
            ),
            (
                "81",
                (5000, 204_347, 10_000),
                "8bfd3645c55b9d9d711d0cf6b6800a18f071f1c5e0b83e5f7928548d4b71ec23",
            ),
        ],
    )
    def test_nuswide_totals_and_splits(self, protocol, sizes, digest):
        real("nuswide/Groundtruth.zip")
        found = nuswide.NUSWIDE(protocol=protocol, images=False).load(DATA, Path("no-cache"))
        labels = found.labels
        assert labels.shape == (269_648, int(protocol))
        assert labels.any(axis=1).sum() == {"21": 195_834, "10": 186_577, "81": 209_347}[protocol]
        assert labels.sum(axis=0)[:2].tolist() == [74_190, 54_087]  # sky, clouds
        assert (np.diff(labels.sum(axis=0)) <= 0).all()
        assert any(
            "Labels_lake_Train.txt line 78373 holds -1130179" in rule for rule, _ in found.rules
        )
        assert any("not the paper's" in rule for rule, _ in found.rules)
        assert (len(found.query), len(found.database), len(found.train)) == sizes
        assert all(
            labels[rows].any(axis=0).all() for rows in (found.query, found.database, found.train)
        ), "every class is present"
        if protocol != "81":
            assert (labels[found.query].sum(axis=0) >= 100).all()
            assert (labels[found.train].sum(axis=0) >= 500).all()
        assert _base.split_digest(found) == digest


@pytest.fixture
def flickr(tmp_path):
    """The official layout of MIRFlickr-25K with every annotation and the first forty images."""
    folder = tmp_path / "mirflickr25k"
    (folder / mirflickr.ANNOTATIONS).mkdir(parents=True)
    for index, concept in enumerate(mirflickr.POTENTIAL):
        numbers = range(index + 1, mirflickr.LABELLED_IMAGES + 1, 24)
        (folder / mirflickr.ANNOTATIONS / f"{concept}.txt").write_text(
            "".join(f"{number}\r\n" for number in numbers)
        )
        if concept in mirflickr.RELEVANT:
            (folder / mirflickr.ANNOTATIONS / f"{concept}_r1.txt").write_text(f"{index + 1}\n")
    for number in range(1, 41):
        image(folder / f"mirflickr/im{number}.jpg", colour=(number, 0, 0))
    return folder


class TestMIRFlickr:
    @pytest.mark.parametrize("protocol", ["24", "38"])
    def test_a_subset_keeps_the_parts_of_the_whole_split(self, flickr, protocol):
        found = mirflickr.MIRFlickr(protocol=protocol, subset=True, size=8).load(
            flickr.parent, Path("no-cache")
        )
        assert found.images.shape == (40, 8, 8, 3)
        assert found.labels[:24, :24].tolist() == np.eye(24, dtype=bool).tolist()
        labels = mirflickr.read_concepts(_files.Folder(flickr / mirflickr.ANNOTATIONS), protocol)
        whole = mirflickr.split(labels, protocol, np.flatnonzero(labels.any(axis=1)))
        for part in ("query", "database", "train"):
            assert getattr(found, part).tolist() == [row for row in whole[part] if row < 40]
        assert found.images[6].mean(axis=(0, 1))[0] == pytest.approx(7, abs=2), "row 6 is im7.jpg"
        assert any(rule.startswith("subset: the 40 images that exist") for rule, _ in found.rules)
        sound(found)

    def test_zips_read_as_the_folders_do(self, flickr):
        folders = mirflickr.MIRFlickr(subset=True, size=8).load(flickr.parent, Path("no-cache"))
        last = folders.images[39]
        for folder, archive, inside in (
            ("mirflickr", "mirflickr25k.zip", "mirflickr/"),
            (mirflickr.ANNOTATIONS, f"{mirflickr.ANNOTATIONS}.zip", ""),
        ):
            with zipfile.ZipFile(flickr / archive, "w") as file:
                for path in (flickr / folder).iterdir():
                    file.write(path, inside + path.name)
            (flickr / folder).rename(flickr / f"{folder}-away")
        zips = mirflickr.MIRFlickr(subset=True, size=8).load(flickr.parent, Path("no-cache"))
        assert (zips.images[39] == last).all()
        assert _base.split_digest(zips) == _base.split_digest(folders)
        assert (zips.labels == folders.labels).all()

    def test_missing_images_are_counted_and_named(self, flickr):
        (flickr / "mirflickr/im3.jpg").unlink()
        with pytest.raises(
            BenchmarkError,
            match=r"^24,961 of 25,000 images are missing: .*im3.jpg, .*im41.jpg.*http.*"
            r"`subset: true`",
        ):
            mirflickr.MIRFlickr().load(flickr.parent, Path("no-cache"))

    def test_an_empty_folder_is_an_error_with_instructions(self, tmp_path):
        expected = (
            r"_v080, .*/mirflickr are missing: .*get mirflickr25k.zip and .*_v080.zip from http.* "
            r"into .*mirflickr25k"
        )
        with pytest.raises(BenchmarkError, match=expected):
            mirflickr.MIRFlickr().load(tmp_path, Path("no-cache"))

    def test_the_smaller_variant_states_and_accepts_its_input(self, flickr):
        dataset = mirflickr.MIRFlickr(protocol="20015", subset=True, size=8)
        with pytest.raises(
            BenchmarkError,
            match=r"needs .*20015.txt, the numbers of its 20,015 images.*do not follow from",
        ):
            dataset.load(flickr.parent, Path("no-cache"))
        (flickr / "20015.txt").write_text("\n".join(map(str, range(1, 20_015))))
        with pytest.raises(BenchmarkError, match=r"20015.txt names 20,014 images, expected 20,015"):
            dataset.load(flickr.parent, Path("no-cache"))
        (flickr / "20015.txt").write_text("\n".join(map(str, range(1, 20_016))))
        found = dataset.load(flickr.parent, Path("no-cache"))
        assert len(found.query) + len(found.database) == 40
        sound(found)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (
                "1\n25001\n",
                r"sky.txt: entry 2 is b'25001', expected an image number from 1 to 25000",
            ),
            ("-1\n", r"entry 1 is b'-1'"),
            ("1\nim2.jpg\n", r"entry 2 is b'im2.jpg'"),
            ("7\n7\n", r"sky.txt names an image twice"),
            ("7\n", r"images carry a concept, expected 24,581"),
        ],
    )
    def test_damaged_annotations_are_named(self, flickr, content, message):
        (flickr / mirflickr.ANNOTATIONS / "sky.txt").write_text(content)
        with pytest.raises(BenchmarkError, match=message):
            mirflickr.MIRFlickr(subset=True).load(flickr.parent, Path("no-cache"))

    def test_a_missing_concept_is_named(self, flickr):
        (flickr / mirflickr.ANNOTATIONS / "sky.txt").unlink()
        with pytest.raises(BenchmarkError, match=r"_v080/sky.txt is missing"):
            mirflickr.MIRFlickr(subset=True).load(flickr.parent, Path("no-cache"))


ROWS = 30


@pytest.fixture
def wide(tmp_path, monkeypatch):
    """The official layout of NUS-WIDE with 30 images, 18 in the first half, and 3 concepts.

    The protocol selects the 2 most frequent concepts.
    """
    counts = {"sky": 12, "lake": 9, "zebra": 4}
    monkeypatch.setattr(nuswide, "ROWS", ROWS)
    monkeypatch.setattr(nuswide, "TRAINING_ROWS", 18)
    monkeypatch.setattr(nuswide, "TEST_ROWS", 12)
    monkeypatch.setattr(nuswide, "CONCEPTS", 3)
    monkeypatch.setattr(nuswide, "LABELLED_IMAGES", {"2": 14})
    monkeypatch.setattr(
        nuswide, "PUBLISHED_ERRORS", {"Labels_lake_Train.txt": {5: (b"-1130179", False)}}
    )
    folder = tmp_path / "nuswide"
    for name in (
        "Groundtruth/AllLabels",
        "Groundtruth/TrainTestLabels",
        "ConceptsList",
        "ImageList",
    ):
        (folder / name).mkdir(parents=True)
    (folder / "ConceptsList/Concepts81.txt").write_text(
        "".join(f"{name}\r\n" for name in sorted(counts))
    )
    for index, (name, count) in enumerate(counts.items()):
        flags = (
            np.isin(np.arange(ROWS), np.arange(5 * index, 5 * index + count))
            .astype(int)
            .astype(str)
        )
        halves = {"Train": flags[:18].copy(), "Test": flags[18:]}
        if name == "lake":
            halves["Train"][4] = "-1130179"
        (folder / f"Groundtruth/AllLabels/Labels_{name}.txt").write_text("\n".join(flags) + "\n")
        for half, values in halves.items():
            (folder / f"Groundtruth/TrainTestLabels/Labels_{name}_{half}.txt").write_text(
                "\n".join(values) + "\n"
            )
    (folder / "ImageList/Imagelist.txt").write_text(
        "".join(f"actor\\{row:04}_1.jpg\r\n" for row in range(ROWS))
    )
    for row in range(ROWS):
        image(folder / f"Flickr/actor/{row:04}_1.jpg", colour=(row * 8, 0, 0))
    return folder


class TestNUSWIDE:
    def test_concepts_are_chosen_by_count(self, wide):
        labels, rules = nuswide.read_concepts(wide, "2", "advice")
        assert labels.sum(axis=0).tolist() == [12, 9]
        assert labels[:, 1].nonzero()[0].tolist() == list(range(5, 14))
        assert "the 2 most frequent of 3 concepts by count: 14 images carry one" in rules[0][0]
        assert "Labels_lake_Train.txt line 5 holds -1130179, as published; read as 0" in rules[1][0]

    def test_a_label_that_differs_from_its_half_is_named(self, wide):
        path = wide / "Groundtruth/TrainTestLabels/Labels_sky_Test.txt"
        path.write_text("1" + path.read_text()[1:])
        with pytest.raises(BenchmarkError, match=r"sky has 12 images, 13 in TrainTestLabels"):
            nuswide.read_concepts(wide, "2", "advice")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda text: text + "0\n", r"Labels_sky.txt has 31 lines, expected 30"),
            (lambda text: text[2:], r"Labels_sky.txt has 29 lines, expected 30"),
            (lambda text: "2" + text[1:], r"Labels_sky.txt, line 1 is b'2', expected 0 or 1"),
            (
                lambda text: text.replace("0", "-1130179", 1),
                r"Labels_sky.txt, line 13 is b'-1130179'",
            ),
            (
                lambda text: "0" + text[1:],
                r"14 images carry a concept|13 images carry a concept, expected 14",
            ),
        ],
    )
    def test_damaged_labels_are_named(self, wide, change, message):
        path = wide / "Groundtruth/AllLabels/Labels_sky.txt"
        path.write_text(change(path.read_text()))
        with pytest.raises(BenchmarkError, match=message):
            nuswide.read_concepts(wide, "2", "advice")

    def test_images_are_found_by_the_list_or_flat(self, wide):
        files, names = nuswide.official_images(wide, "advice")
        assert all(files.has(name) for name in names)
        (wide / "Flickr/actor").rename(wide / "images")
        flat, bare = nuswide.official_images(wide, "advice")
        assert flat.read(bare[7]) == (wide / "images/0007_1.jpg").read_bytes()

    def test_missing_images_are_an_error_or_omitted_and_reported(self, wide):
        for row in (3, 7):
            (wide / f"Flickr/actor/{row:04}_1.jpg").unlink()
        found = nuswide.official_images(wide, "advice")
        with pytest.raises(
            BenchmarkError,
            match=r"^2 of 30 images are missing: .*0003_1.jpg, .*0007_1.jpg; .*"
            r"`leave_out_missing: true`",
        ):
            nuswide.NUSWIDE()._image_files(*found)
        images, present, losses = nuswide.NUSWIDE(leave_out_missing=True)._image_files(*found)
        assert (len(images), present.sum()) == (28, 28)
        assert losses[0][0] == "2 of 30 images are missing and left out"

    def test_without_images_one_line_gives_instructions(self, wide, tmp_path):
        (wide / "Flickr").rename(wide / "elsewhere")
        with pytest.raises(
            BenchmarkError,
            match=r"Flickr is missing: .*images/0001_2124494179.jpg.*, or set `images: false`",
        ):
            nuswide.NUSWIDE().load(tmp_path, Path("no-cache"))
        all_of_it = (
            r"Groundtruth, .*ConceptsList, .*ImageList, .*Flickr are missing: "
            r".*get what is missing from https://.*put it into"
        )
        with pytest.raises(BenchmarkError, match=all_of_it):
            nuswide.NUSWIDE().load(tmp_path / "empty", Path("no-cache"))
        with pytest.raises(
            BenchmarkError,
            match=r"Groundtruth, \S*ConceptsList are missing: expected these folders or",
        ):
            nuswide.NUSWIDE(images=False).load(tmp_path / "empty", Path("no-cache"))

    def test_published_lists_are_read_as_they_are(self, wide):
        lists = wide / "nuswide_21"
        lists.mkdir()
        names = [f"Flickr/actor/{row:04}_1.jpg" for row in range(6)]
        for part, rows in (("database", (2, 3, 4, 5)), ("train", (4, 2)), ("test", (1, 0))):
            (lists / f"{part}.txt").write_text(
                "".join(f"{names[row]} {row % 2} 1\n" for row in rows)
            )
        found = nuswide.NUSWIDE(protocol="21-list", size=4).load(wide.parent, Path("no-cache"))
        assert found.images.names == tuple(names[row] for row in (2, 3, 4, 5, 1, 0))
        assert (found.query.tolist(), found.database.tolist(), found.train.tolist()) == (
            [4, 5],
            [0, 1, 2, 3],
            [2, 0],
        )
        assert found.labels[:, 0].tolist() == [False, True, False, True, True, False]
        sound(found)
        (wide / "Flickr/actor/0002_1.jpg").unlink()
        less = nuswide.NUSWIDE(protocol="21-list", size=4, leave_out_missing=True).load(
            wide.parent, Path("no-cache")
        )
        assert (less.query.tolist(), less.database.tolist(), less.train.tolist()) == (
            [3, 4],
            [0, 1, 2],
            [1],
        )

    @pytest.mark.parametrize("seed", range(5))
    def test_the_draw_is_the_stated_one(self, seed):
        """Against the sentence of the protocol, one image at a time."""
        generator = np.random.default_rng(seed)
        labels, order = (
            generator.random((200, 4)) < [0.6, 0.5, 0.4, 0.3],
            generator.permutation(200),
        )
        taken = set(generator.choice(200, 20, replace=False).tolist())
        expected, seen = [], set(taken)
        for concept in sorted(range(4), key=lambda concept: labels[:, concept].sum()):
            count = 0
            for row in order.tolist():
                if count < 5 and labels[row, concept] and row not in seen:
                    expected.append(row)
                    seen.add(row)
                    count += 1
        assert nuswide.draw_per_concept(
            labels, 5, np.array(sorted(taken)), order
        ).tolist() == sorted(expected)
        with pytest.raises(BenchmarkError, match="images are left for concept"):
            nuswide.draw_per_concept(labels, 100, np.array(sorted(taken)), order)


def idx(array):
    return np.array([0x800 | array.ndim, *array.shape], ">i4").tobytes() + array.tobytes()


class TestIdx:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setattr(_idx, "TRAINING", 6)
        monkeypatch.setattr(_idx, "TEST", 4)
        shapes = {
            "train-images-idx3-ubyte": (6, 28, 28),
            "train-labels-idx1-ubyte": (6,),
            "t10k-images-idx3-ubyte": (4, 28, 28),
        }
        shapes["t10k-labels-idx1-ubyte"] = (4,)
        monkeypatch.setattr(
            _idx, "CONTENTS", {name: (0x800 | len(shape), shape) for name, shape in shapes.items()}
        )

    @pytest.fixture(params=[True, False], ids=["gz", "unpacked"])
    def digits(self, request, tmp_path, monkeypatch):
        generator, arrays, sha256 = np.random.default_rng(0), {}, {}
        for name, (_, shape) in _idx.CONTENTS.items():
            arrays[name] = (
                generator.integers(0, 256, shape, np.uint8)
                if len(shape) > 1
                else np.arange(shape[0], dtype=np.uint8) % 2
            )
            path = tmp_path / "mnist" / (name + ".gz" * request.param)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(
                gzip.compress(idx(arrays[name])) if request.param else idx(arrays[name])
            )
            sha256[name] = storage.digest(path)
        monkeypatch.setattr(mnist, "SHA256", sha256)
        return tmp_path, arrays

    def test_files_are_read_as_they_lie(self, digits):
        data, arrays = digits
        found = mnist.MNIST().load(data, Path("no-cache"))
        _base.check(found, "mnist")
        assert found.images.shape == (10, 28, 28, 3)
        assert (found.images[7, ..., 2] == arrays["t10k-images-idx3-ubyte"][1]).all()
        assert found.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
        assert found.query.tolist() == [6, 7, 8, 9]

    @pytest.mark.parametrize(
        "layout",
        [
            "MNIST/raw/{}",
            "mnist/MNIST/raw/{}",
            "mnist/{}/{}",
            "mnist/{dot}",
            "mnist/{}/{dot}",
        ],
    )
    def test_files_are_found_where_other_programs_put_them(self, digits, layout):
        data, arrays = digits
        for path in list((data / "mnist").iterdir()):
            name = path.name.removesuffix(".gz")
            target = layout.format(name, name, dot=name.replace("-idx", ".idx"))
            content = path.read_bytes()
            path.unlink()
            target = data / (target + path.name[len(name) :])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        found = mnist.MNIST(training_images=3).load(data, Path("no-cache"))
        _base.check(found, "mnist")
        assert (found.images[7, ..., 2] == arrays["t10k-images-idx3-ubyte"][1]).all()
        assert (len(found.train), len(found.database)) == (3, 6)

    def test_a_changed_file_is_refused(self, digits):
        data, _ = digits
        path = next(iter((data / "mnist").glob("t10k-labels*")))
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(BenchmarkError, match=rf"{path.name} has .*, expected"):
            mnist.MNIST().load(data, Path("no-cache"))

    def test_a_wrong_header_or_label_is_named(self):
        name = "t10k-labels-idx1-ubyte"
        assert _idx.parse(idx(np.array([1, 2, 9, 0], np.uint8)), name, name).tolist() == [
            1,
            2,
            9,
            0,
        ]
        for content in (idx(np.zeros((4, 1), np.uint8)), idx(np.zeros(5, np.uint8)), b""):
            with pytest.raises(
                BenchmarkError,
                match=r"has .* bytes that begin with .*, "
                r"expected 12 that begin with 0000080100000004",
            ):
                _idx.parse(content, name, name)
        with pytest.raises(BenchmarkError, match="has the label 10, expected 0 to 9"):
            _idx.parse(idx(np.array([1, 2, 10, 0], np.uint8)), name, name)

    def test_a_gzip_bomb_is_read_no_further_than_needed(self):
        packed = gzip.compress(bytes(5_000_000))
        assert len(_idx.unpack(packed, "t10k-labels-idx1-ubyte", "x")) == 16 + 4 + 1
        with pytest.raises(BenchmarkError, match="damaged or not a gzip file"):
            _idx.unpack(gzip.compress(bytes(10))[:-9], "t10k-labels-idx1-ubyte", "x")

    def test_offline_each_file_is_named_with_its_address(self, tmp_path, monkeypatch):
        monkeypatch.setattr(
            downloads, "_download", lambda url, part: (_ for _ in ()).throw(OSError("offline"))
        )
        expected = (
            r"Download https.*fashion-mnist.*train-images-idx3-ubyte.gz \(SHA-256 3aed.*\) "
            r"yourself and put it at .*fashion_mnist/"
        )
        with pytest.raises(BenchmarkError, match=expected) as caught:
            fashion_mnist.FashionMNIST().load(tmp_path, tmp_path / "cache")
        assert all(f"/{name}" in str(caught.value) for name in fashion_mnist.SHA256)


def test_flags_are_the_same_fast_and_slow():
    flags = np.random.default_rng(0).random(1000) < 0.3
    text = "\n".join(str(int(flag)) for flag in flags)
    for content in (
        text + "\n",
        text,
        text.replace("\n", "\r\n"),
        text.replace("\n", " \n") + "\n\n",
    ):
        assert (_labels.read_flags(content.encode(), 1000, "x") == flags).all()
