"""Images of users in folders and lists: each damaged or hostile file is one line of error."""

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from damage import damaged
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets import _base, _files, _idx, _images, _labels, image_folder, image_list, mirflickr
from features.file import File
from harness import imagenet
from harness.errors import BenchmarkError
from harness.plugins import ROOT


def encoded(array, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind)
    return stream.getvalue()


def pixels(seed=0, shape=(12, 20, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def animals(tmp_path):
    """Two classes of six images each, every one of its own size and kind."""
    for index, name in enumerate(("cat", "dog")):
        (tmp_path / "animals" / name / "more").mkdir(parents=True)
        for number in range(6):
            array, kind = (
                pixels(10 * index + number, (9 + number, 15 - number, 3)),
                ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")[number],
            )
            folder = tmp_path / "animals" / name / ("more" if number == 5 else "")
            (folder / f"{number}.{kind.lower()}").write_bytes(encoded(array, kind))
    (tmp_path / "animals/.DS_Store").write_bytes(b"x")
    (tmp_path / "animals/cat/.thumbnail").write_bytes(b"x")
    return tmp_path


def folder_of(data, **params):
    return image_folder.ImageFolder(path="animals", queries_per_class=2, size=8, **params).load(
        data, data / "cache"
    )


class TestFolder:
    def test_classes_are_sub_folders(self, animals):
        found = folder_of(animals, training_images=5)
        _base.check(found, "image_folder")
        names = found.images.names
        assert found.labels.tolist() == [int(name.startswith("dog")) for name in names]
        assert list(names) == sorted(names, key=lambda n: hashlib.sha256(n.encode()).digest())
        assert len(names) == 12
        assert np.bincount(found.labels[found.query]).tolist() == [2, 2]
        assert (len(found.database), len(found.train)) == (8, 5)
        assert len(folder_of(animals).train) == 8

    def test_the_error_for_too_few_images_names_the_parameter(self, animals):
        with pytest.raises(
            BenchmarkError,
            match=r"animals/cat has 6 images, expected more than 100, the number of queries: "
            r"set queries_per_class to 5 or less",
        ):
            image_folder.ImageFolder(path="animals").load(animals, animals)

    def test_a_file_without_a_class_and_a_missing_folder_are_named(self, animals):
        (animals / "animals/7.png").write_bytes(b"x")
        with pytest.raises(BenchmarkError, match=r"animals/7.png is in no class"):
            folder_of(animals)
        with pytest.raises(
            BenchmarkError,
            match=r"nowhere is missing: expected a folder with one sub-folder of images a class",
        ):
            image_folder.ImageFolder(path="nowhere").load(animals, animals)

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"queries_per_class": -1}, "queries_per_class is -1, expected a whole number from 1"),
            ({"queries_per_class": 0}, "queries_per_class is 0, expected a whole number from 1"),
            (
                {"training_images": -1},
                "training_images is -1, expected 1 to 8, the training images of the protocol, "
                "or null",
            ),
            ({"training_images": 9}, "training_images is 9, expected 1 to 8"),
            ({"training_images": "all"}, "training_images is 'all', expected 1 to 8"),
            ({"training_images": 2.0}, "training_images is 2.0, expected 1 to 8"),
            ({"size": 0}, "size is 0, expected pixels of a side, 1 or more"),
            ({"size": -8}, "size is -8, expected pixels of a side, 1 or more"),
        ],
    )
    def test_numbers_that_ask_for_the_impossible_are_named(self, animals, params, message):
        with pytest.raises(BenchmarkError, match=message):
            image_folder.ImageFolder(
                **{"path": "animals", "queries_per_class": 2, "size": 8} | params
            ).load(animals, animals)

    def test_no_class_is_left_out_because_it_cannot_be_listed(self, animals, monkeypatch):
        listed = os.scandir

        def scandir(path):
            if str(path).endswith("cat/more"):
                raise PermissionError(13, "Permission denied", str(path))
            return listed(path)

        monkeypatch.setattr(os, "scandir", scandir)
        with pytest.raises(BenchmarkError, match=r"cat/more cannot be read .Permission denied"):
            folder_of(animals)

    def test_no_class_is_left_out_because_it_is_a_link(self, animals):
        (animals / "animals/emu").symlink_to(animals / "animals/cat", target_is_directory=True)
        with pytest.raises(
            BenchmarkError,
            match=r"animals/emu is neither a file nor a folder but a link .*: "
            r"expected images themselves",
        ):
            folder_of(animals)
        (animals / "animals/emu").unlink()
        (animals / "animals/cat/9.png").symlink_to(animals / "nowhere.png")
        with pytest.raises(BenchmarkError, match=r"cat/9.png is neither a file nor a folder"):
            folder_of(animals)
        (animals / "animals/cat/9.png").unlink()
        (animals / "animals/cat/9.png").symlink_to(animals / "animals/cat/0.png")
        assert len(folder_of(animals).images) == 13


def lists(folder, **parts):
    for part, lines in parts.items():
        (folder / f"{part}.txt").write_text(lines)
    return folder


class TestLists:
    TEST, DATABASE = (
        "animals/cat/0.png 1 0\nanimals/dog/0.png 0 1\n",
        "animals/cat/1.jpeg 1 0\n\nanimals/dog/1.jpeg 1 1\n",
    )

    def load(self, folder):
        return image_list.ImageList(path=".", size=8).load(folder, folder / "cache")

    def test_rows_follow_the_lists(self, animals):
        lists(
            animals,
            test=self.TEST,
            database=self.DATABASE,
            train="animals/dog/1.jpeg 1 1\nanimals/cat/2.gif 1 0\n",
        )
        found = self.load(animals)
        _base.check(found, "image_list")
        assert found.labels.astype(int).tolist() == [[1, 0], [1, 1], [1, 0], [1, 0], [0, 1]]
        assert (found.database.tolist(), found.train.tolist(), found.query.tolist()) == (
            [0, 1],
            [1, 2],
            [3, 4],
        )
        assert found.train_outside
        assert any(
            "2 training images, 1 of them outside the database" in rule for rule, _ in found.rules
        )

    def test_a_query_in_the_database_is_refused(self, animals):
        lists(animals, test=self.TEST, database=self.DATABASE + self.TEST, train=self.DATABASE)
        with pytest.raises(BenchmarkError, match="2 queries are in the database too"):
            _base.check(self.load(animals), "image_list")

    @pytest.mark.parametrize(
        ("test", "message"),
        [
            (
                "animals/cat/0.png 1 2\n",
                r"test.txt, line 1 has 1 labels, expected 2 as in the first line",
            ),
            (
                "animals/the cat.png 1 0\n",
                r"1 of 3 images are missing: .*animals/the cat.png",
            ),
            ("animals/cat/0.png\n", r"test.txt, line 1: found no label after the path"),
            ("animals/cat/0.png 1 0 1\n", r"test.txt, line 1 has 3 labels, expected 2"),
            (
                "animals/cat/1.jpeg 0 1\n",
                r"test.txt, line 1: animals/cat/1.jpeg has other labels than in the list before",
            ),
            (
                "animals/cat/0.png 1 0\n" * 2,
                r"test.txt names animals/cat/0.png twice, expected each image once",
            ),
            ("", r"test.txt names no image, expected lines of"),
            (f"{'a' * 5000} 1 0\n", r"1 of 3 images are missing: .*aaa"),
            ("animals/cat/9.png 1 0\n", r"1 of 3 images are missing: .*animals/cat/9.png"),
        ],
    )
    def test_damaged_lists_are_named(self, animals, test, message):
        lists(animals, test=test, database=self.DATABASE, train=self.DATABASE)
        with pytest.raises(BenchmarkError, match=message):
            self.load(animals)

    def test_a_missing_list_is_named(self, animals):
        with pytest.raises(
            BenchmarkError,
            match=r"database.txt is missing: expected database.txt, train.txt, test.txt",
        ):
            self.load(animals)


class TestDecoding:
    @pytest.mark.parametrize(
        ("shape", "whole"), [((16, 32, 3), (8, 16)), ((64, 16, 3), (32, 8)), ((8, 8, 3), (8, 8))]
    )
    def test_it_is_the_short_side_resized_and_the_central_square(self, shape, whole):
        array = pixels(shape=shape)
        resized = np.asarray(Image.fromarray(array).resize(whole[::-1], Image.Resampling.BILINEAR))
        top, left = (whole[0] - 8) // 2, (whole[1] - 8) // 2
        assert (_images.decode(encoded(array), 8) == resized[top : top + 8, left : left + 8]).all()

    @pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
    def test_every_mode_becomes_rgb(self, mode):
        stream = io.BytesIO()
        Image.fromarray(np.full((9, 9, 3), 255, np.uint8)).convert(mode).save(stream, "TIFF")
        assert (_images.decode(stream.getvalue(), 4) == 255).all()

    @pytest.mark.parametrize(
        ("kind", "number", "mode"),
        [("TIFF", np.float32, "F"), ("TIFF", np.int32, "I")],
    )
    def test_pixels_of_more_than_8_bits_are_refused_not_cut_off(self, tmp_path, kind, number, mode):
        (tmp_path / "deep").write_bytes(encoded(np.full((9, 9), 300, number), kind))
        with pytest.raises(
            BenchmarkError,
            match=f"deep .* .pixels of mode {mode}, expected 8 or 16 bits a channel",
        ):
            _images.ImageFiles(_files.Folder(tmp_path), ("deep",), 8)[0]

    def test_a_bomb_is_refused_before_it_unfolds(self, tmp_path):
        def chunk(kind, content):
            return (
                struct.pack(">I", len(content))
                + kind
                + content
                + struct.pack(">I", zlib.crc32(kind + content))
            )

        def png(side):
            header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            return (
                b"\x89PNG\r\n\x1a\n"
                + header
                + chunk(b"IDAT", zlib.compress(bytes(10_000)))
                + chunk(b"IEND", b"")
            )

        jpeg = bytearray(encoded(pixels(), "JPEG"))
        offset = jpeg.index(b"\xff\xc0") + 5
        jpeg[offset : offset + 4] = struct.pack(">HH", 8_000, 8_000)
        ours, pillows = r"8,000 x 8,000 pixels, expected at most 50,000,000 in all", "Image size"
        for name, content, reason in (
            ("a.png", png(60_000), pillows),
            ("b.png", png(8_000), ours),
            ("c.jpg", bytes(jpeg), ours),
        ):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(
                BenchmarkError, match=rf"{name} is damaged or not an image .*{reason}"
            ):
                _images.ImageFiles(_files.Folder(tmp_path), (name,), 8)[0]

    def test_damaged_images_are_counted_and_named_and_nothing_is_left(self, animals):
        (animals / "animals/cat/2.gif").write_bytes(b"not an image")
        whole = (animals / "animals/dog/1.jpeg").read_bytes()
        (animals / "animals/dog/1.jpeg").write_bytes(whole[: len(whole) // 2])
        options = json.dumps(
            {"of": "image_folder", "set": {"path": "animals", "queries_per_class": 2}}
        )
        command = [
            sys.executable,
            "-m",
            "datasets",
            "animals",
            "--entry",
            options,
            "--data",
            ".",
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=animals,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "2 of 12 images cannot be read" in done.stderr
        assert "cat/2.gif" in done.stderr
        assert "dog/1.jpeg" in done.stderr
        assert ".;" not in done.stderr
        assert os.listdir(animals / "cache/datasets") == []

    def test_one_thread_or_many_write_the_same(self, animals, tmp_path):
        images = folder_of(animals).images
        files = _images.ImageFiles(images.files, images.names * 30, 8)
        one, many = (
            _images.write(files, tmp_path / f"{threads}.npy", threads)[0] for threads in (1, 4)
        )
        assert (one == many).all()
        assert isinstance(one, np.memmap)
        assert (one[13] == images[1]).all()

    def test_a_disk_that_is_too_small_is_reported_before_the_work(
        self, animals, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(_images.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
        with pytest.raises(BenchmarkError, match="GiB free, expected"):
            _images.write(folder_of(animals).images, tmp_path / "images.npy")


def zipped(path, **contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name.replace("__", "/").replace("up", ".."), content)
    return path


class TestZips:
    def test_names_that_lead_out_are_refused_and_nothing_is_unpacked(self, tmp_path):
        (tmp_path / "inner").mkdir()
        for name in ("up__evil", "a__up__up__evil", "__evil"):
            with pytest.raises(
                BenchmarkError, match="a name that leads out of its folder; refused"
            ):
                _files.Zip(zipped(tmp_path / "inner/bad.zip", **{name: b"x"}), "a")
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["bad.zip", "inner"]

    def test_a_truncated_zip_is_named(self, tmp_path):
        path = zipped(tmp_path / "whole.zip", sky=os.urandom(2000))
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(
            BenchmarkError, match=r"whole.zip is damaged or not a zip file \(.*\). Get it again"
        ):
            _files.Zip(path, "")

    def test_a_member_with_a_changed_byte_is_named(self, tmp_path):
        path = zipped(tmp_path / "whole.zip", sky=os.urandom(2000))
        content = bytearray(path.read_bytes())
        content[1000] ^= 1
        path.write_bytes(content)
        with pytest.raises(BenchmarkError, match=r"whole.zip: sky is damaged"):
            _files.Zip(path, "").read("sky")

    def test_a_damaged_member_is_named_however_it_was_compressed(self, tmp_path):
        for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            with zipfile.ZipFile(tmp_path / "whole.zip", "w", method) as archive:
                archive.writestr("sky", os.urandom(2000))
            content = bytearray((tmp_path / "whole.zip").read_bytes())
            content[45:65] = b"\xff" * 20
            (tmp_path / "whole.zip").write_bytes(content)
            with pytest.raises(BenchmarkError, match=r"whole.zip: sky is damaged"):
                _files.Zip(tmp_path / "whole.zip", "").read("sky")

    def test_a_zip_bomb_is_refused_by_its_size(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_files, "MAX_BYTES", 1000)
        archive = _files.Zip(zipped(tmp_path / "bomb.zip", sky=bytes(1001)), "")
        with pytest.raises(BenchmarkError, match="unfolds to 1,001 bytes, expected at most 1,000"):
            archive.read("sky")


def test_label_files_of_any_length_are_not_split_into_lines():
    with pytest.raises(
        BenchmarkError, match="sky has 1,600,001 bytes, expected 10 lines of 0 or 1"
    ):
        _labels.read_flags(b"1\n" * 800_000 + b"1", 10, "sky")
    with pytest.raises(
        BenchmarkError,
        match="sky has 800,000 bytes, expected image numbers from 1 to 25000, one a line",
    ):
        mirflickr.read_numbers(b"11\n5\n" * 160_000, "sky")


def npy_header():
    return b"{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), }".ljust(118) + b"\n"


QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class TestFuzz:
    """Whatever the bytes, a parser gives a sound value or a BenchmarkError."""

    @pytest.mark.parametrize("kind", _images.FORMATS)
    @QUICK
    @given(data=st.data())
    def test_images(self, kind, data, tmp_path, monkeypatch):
        monkeypatch.setattr(_images, "MAX_PIXELS", 100_000)  # decoding what is allowed takes time
        (tmp_path / "image").write_bytes(data.draw(damaged(encoded(pixels(), kind))))
        try:
            found = _images.ImageFiles(_files.Folder(tmp_path), ("image",), 8)[0]
        except BenchmarkError:
            return
        assert (found.shape, found.dtype) == ((8, 8, 3), np.uint8)

    @QUICK
    @given(data=st.data())
    def test_zips(self, data, tmp_path):
        whole = zipped(tmp_path / "whole.zip", sky=b"1\n2\n", clouds=b"3\n" * 50).read_bytes()
        (tmp_path / "damaged.zip").write_bytes(data.draw(damaged(whole)))
        try:
            archive = _files.Zip(tmp_path / "damaged.zip", "")
            assert archive.read("sky") == b"1\n2\n"
        except BenchmarkError:
            return

    @QUICK
    @given(
        content=st.one_of(
            st.binary(max_size=60), st.text("01\r\n -2x", max_size=20).map(str.encode)
        ),
        n=st.integers(0, 12),
    )
    def test_flags(self, content, n):
        try:
            found = _labels.read_flags(content, n, "file", {2: (b"-2", True)})
        except BenchmarkError:
            return
        assert (found.shape, found.dtype) == ((n,), bool)

    @QUICK
    @given(
        content=st.one_of(
            st.binary(max_size=60), st.text("0123456789\n- ", max_size=30).map(str.encode)
        )
    )
    def test_image_numbers(self, content):
        try:
            found = mirflickr.read_numbers(content, "file")
        except BenchmarkError:
            return
        assert len(set(found.tolist())) == len(found)
        assert all(1 <= number <= 25_000 for number in found)

    @QUICK
    @given(
        parts=st.lists(
            st.one_of(st.binary(max_size=40), st.text("ab 01\n", max_size=30).map(str.encode)),
            min_size=3,
            max_size=3,
        )
    )
    @example(parts=[b"a 0", b"a 0", b"a 0"])
    def test_lists(self, parts, tmp_path):
        for name, content in zip(("database", "train", "test"), parts, strict=True):
            (tmp_path / f"{name}.txt").write_bytes(content)
        try:
            found = _labels.read_lists(_files.Folder(tmp_path))
        except BenchmarkError:
            return
        # Columns of 0 and 1, or one column of class numbers.
        assert found.labels.dtype == (bool if found.labels.ndim == 2 else np.int64)
        assert len(found.labels) == len(found.names)
        assert all(len(rows) == 0 or rows.max() < len(found.names) for rows in found.parts.values())

    @QUICK
    @example(
        header=b"{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), "
    )  # no bracket that ends it
    @given(header=damaged(npy_header()))
    def test_feature_files(self, header, tmp_path):
        (tmp_path / "f.npy").write_bytes(
            b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(60)
        )
        extractor = File(path="f.npy")
        try:
            extractor.open(tmp_path, 5)
        except BenchmarkError:
            return
        assert extractor.extract(slice(0, 5)).dtype == np.float32

    @pytest.mark.filterwarnings("ignore:Detected pickle protocol")
    @pytest.mark.parametrize("zipped", [True, False])
    @QUICK
    @given(data=st.data())
    def test_weights(self, zipped, data, tmp_path):
        torch.save(
            {"a": torch.zeros(3), "b": torch.ones(2, 2)},
            tmp_path / "whole.pth",
            _use_new_zipfile_serialization=zipped,
        )
        (tmp_path / "w.pth").write_bytes(data.draw(damaged((tmp_path / "whole.pth").read_bytes())))
        try:
            state = imagenet._read(tmp_path / "w.pth")
        except BenchmarkError:
            return
        assert all(isinstance(value, torch.Tensor) for value in state.values())

    @QUICK
    @given(content=st.binary(max_size=40))
    def test_idx_and_gzip(self, content):
        for read in (_idx.parse, _idx.unpack):
            with pytest.raises(BenchmarkError):
                read(content or b"\x00", "t10k-labels-idx1-ubyte", "file")
