"""Contract of extractors, feature files of users, and neighbour lists against brute force."""

import argparse
import functools
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from builders import write_dataset_record
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import features.__main__ as extraction
import features._neighbours as neighbours
from experiments.collect import preparation
from features import _base
from features.__main__ import write_features
from features._base import Extractor
from features.file import File
from features.gist import GIST
from features.pixels import Pixels
from harness import records, storage
from harness.errors import BenchmarkError
from harness.plan import Place
from harness.plugins import ROOT, Plugin
from harness.variants import METRICS, Catalogue

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3)).astype(np.uint8)


class Given(Extractor):
    """Blocks that a test gives, one for each call."""

    label = "Given"

    def __init__(self, array):
        self.array, self.calls = array, []

    def extract(self, rows):
        self.calls.append(rows.start)
        return self.array[rows]


def written(tmp_path, extractor, images=IMAGES, consumes=("rows",)):
    """The array that `write_features` makes."""
    np.save(tmp_path / "images.npy", images)
    plugin, partial = Plugin("features", "mine", "Mine", {}, {}, consumes), tmp_path / "partial.npy"
    opened = functools.partial(np.load, tmp_path / "images.npy")
    write_features(partial, extractor, plugin, opened, (len(images),))
    return np.load(partial)


def from_file(folder, n=50):
    extractor = File(path="f.npy")
    extractor.open(folder, n)
    return extractor.extract(slice(0, n))


def stored(place, extractor, made_of):
    """Store the features of IMAGES at a place, as a job does."""
    plugin = Plugin("features", "mine", "Mine", {}, {}, ("rows",))
    described = {"name": "mine", "label": "Mine", "citation": None}
    opened = functools.partial(np.load, "images.npy")
    path, shape = place.features_array, (len(IMAGES),)
    extraction.store(path, extractor, plugin, opened, shape, made_of, described)


def test_two_data_sets_with_the_same_images_are_extracted_once_even_together(tmp_path, monkeypatch):
    """Two protocols of one collection have the same images, and their jobs may run together.

    Facts with a tuple, as those of every network, count as equal to the lists of their record.
    """
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", IMAGES)
    array = np.random.default_rng(1).normal(size=(len(IMAGES), 3)).astype(np.float32)
    first, second, third = (Place(name, "mine") for name in ("toy", "toy-validation", "other"))
    monkeypatch.setattr(Given, "facts_", {"preprocessing": {"mean": (0.5, 0.25)}})
    later = Given(array)
    other_job = threading.Thread(target=stored, args=(second, later, {"images": "1"}))

    class Interrupted(Given):
        block = 20

        def extract(self, rows):
            if rows.start == 20:
                other_job.start()
                other_job.join(0.3)  # it waits, or has spoilt the half-written array by then
            return super().extract(rows)

    stored(first, Interrupted(array), {"images": "1"})
    other_job.join()
    assert later.calls == []
    for place in (first, second):
        assert (np.load(place.features_array) == array).all()
        record = storage.read_json(place.features_record)
        assert record["sha256"] == storage.digest(place.features_array)
        assert record["dimensions"] == 3
        assert record["name"] == "mine"

    extractor = Given(array)
    stored(third, extractor, {"images": "2"})
    assert extractor.calls == [0]
    assert not list(Path("cache/checkpoints").iterdir())


def test_a_damaged_array_of_another_data_set_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", IMAGES)
    array = np.ones((len(IMAGES), 3), np.float32)
    first, second = Place("toy", "mine"), Place("toy-validation", "mine")
    stored(first, Given(array), {"images": "1"})
    np.save(first.features_array, array + 1)
    os.utime(first.features_array, (2e9, 2e9))

    extractor = Given(array)
    stored(second, extractor, {"images": "1"})
    assert extractor.calls == [0]
    assert (np.load(second.features_array) == array).all()


def test_an_array_of_another_device_is_not_taken(tmp_path, monkeypatch):
    """Its values differ by rounding, and the record states the device."""
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", IMAGES)
    array = np.ones((len(IMAGES), 3), np.float32)
    first, second, third = (Place(name, "mine") for name in ("toy", "toy-validation", "other"))
    extractors = [Given(array) for _ in range(3)]
    for extractor, place, device in zip(
        extractors, (first, second, third), ("cpu", "NVIDIA H200", "cpu"), strict=True
    ):
        extractor.facts_ = {"device": device}
        stored(place, extractor, {"images": "1"})

    assert [extractor.calls for extractor in extractors] == [[0], [0], []]
    assert storage.read_json(second.features_record)["device"] == "NVIDIA H200"


def test_grey_images_have_one_channel_and_names_no_folders(tmp_path, monkeypatch):
    """The job tells the extractor what names.json states: a colour data set has three channels."""
    monkeypatch.chdir(tmp_path)
    place = Place("toy", "pixels")
    storage.write_json(place.image_names, {"names": ["cat/0.png", "dog/0.png"], "grey": True})
    variant = Catalogue().resolve("features", "pixels")
    extractor = extraction.ready(variant, place, tmp_path, 2, threads=1)
    assert list(extractor.image_names) == ["0.png", "0.png"]
    assert extractor.match_names(["dog/0.png", "x", "cat/0.png"], "list").tolist() == [2, 0]
    rows = extractor.extract(IMAGES[:2])
    assert (rows == IMAGES[:2, :, :, 0].reshape(2, 16) / np.float32(255)).all()
    storage.write_json(place.image_names, {"names": []})
    colours = extraction.ready(variant, place, tmp_path, 2, threads=1).extract(IMAGES[:2])
    assert colours.shape == (2, 48)


def test_pixels_are_intensities_in_order(tmp_path):
    rows = written(tmp_path, Pixels(), consumes=("images",))
    assert rows.dtype == np.float32
    assert np.allclose(rows, IMAGES.reshape(50, 48) / 255)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_feature_file_of_any_float_is_read_as_float32(tmp_path, dtype):
    array = np.random.default_rng(1).normal(size=(50, 7)).astype(dtype)
    np.save(tmp_path / "f.npy", array)
    rows = from_file(tmp_path)
    assert rows.dtype == np.float32
    assert (rows == array.astype(np.float32)).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((49, 7)), "has 49 rows, expected one for each of the 50 images"),
        (
            np.zeros(50),
            r"holds float64 of shape \(50,\), expected float16, 32 or 64 of shape \(n, d\)",
        ),
        (np.zeros((50, 7), int), "holds int64"),
        (np.array([{"a": 1}], dtype=object), r"not a \.npy array of numbers"),
    ],
)
def test_a_wrong_feature_file_is_named(tmp_path, array, message):
    np.save(tmp_path / "f.npy", array)
    with pytest.raises(BenchmarkError, match=message):
        from_file(tmp_path)


def test_a_missing_or_damaged_feature_file_is_named(tmp_path):
    with pytest.raises(BenchmarkError, match=r"f\.npy is missing"):
        from_file(tmp_path)
    np.save(tmp_path / "f.npy", np.zeros((50, 7)))
    (tmp_path / "f.npy").write_bytes((tmp_path / "f.npy").read_bytes()[:200])
    with pytest.raises(BenchmarkError, match=r"not a \.npy array of numbers"):
        from_file(tmp_path)


def test_an_archive_is_distinguished_from_an_array(tmp_path):
    np.savez(tmp_path / "f.npz", train=np.zeros((40, 7)), test=np.zeros((10, 7)))
    with pytest.raises(
        BenchmarkError, match=r"f\.npz is an archive of train, test, expected one array in \.npy"
    ):
        File(path="f.npz").check(tmp_path)


def by_name(folder, lines, image_names, path="f.npy"):
    (folder / "f.txt").write_text("".join(f"{line}\n" for line in lines))
    extractor = File(path=path, names="f.txt")
    extractor.match_names = functools.partial(_base.match_names, image_names)
    extractor.open(folder, len(image_names) or 50)
    return extractor


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 90), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_rows_of_a_file_are_matched_to_images_by_name(tmp_path, n, more, seed):
    """Rows in any order, and of images that the data set has not."""
    generator = np.random.default_rng(seed)
    array = generator.normal(size=(n + more, 3)).astype(np.float16)
    np.save(tmp_path / "f.npy", array)
    lines = [f"im{number}.jpg" for number in generator.permutation(n + more)]
    wanted = sorted(generator.choice(lines, n, replace=False).tolist())
    extractor = by_name(tmp_path, lines, wanted)
    found = np.concatenate(
        [extractor.extract(slice(start, min(start + 32, n))) for start in range(0, n, 32)]
    )
    assert found.dtype == np.float32
    for name, row in zip(wanted, found, strict=True):
        assert (row == array[lines.index(name)].astype(np.float32)).all()


@pytest.mark.parametrize(
    ("lines", "names", "message"),
    [
        (["a", "b"], ["a", "b"], r"f\.txt has 2 lines, expected 3, one for each row of f\.npy"),
        (["a", "b", "a"], ["a", "b"], r"f\.txt names 'a' twice"),
        (
            ["a", "b", "c"],
            ["a", *"defghi"],
            r"f\.txt lacks 6 of the 7 images: d, e, f, g, h, \.\.\.; expected names like 'a'",
        ),
        (["a", "b", "c"], [], r"the images of this data set have no names; leave `names` out"),
    ],
)
def test_names_that_do_not_fit_are_an_error(tmp_path, lines, names, message):
    np.save(tmp_path / "f.npy", np.zeros((3, 2)))
    with pytest.raises(BenchmarkError, match=message):
        by_name(tmp_path, lines, names)


def test_a_missing_or_binary_list_of_names_is_named(tmp_path):
    np.save(tmp_path / "f.npy", np.zeros((3, 2)))
    with pytest.raises(
        BenchmarkError, match=r"f\.txt is missing: .*Put it there, or change `names`"
    ):
        File(path="f.npy", names="f.txt").check(tmp_path)
    (tmp_path / "f.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(BenchmarkError, match=r"f\.txt is damaged or not a text file"):
        File(path="f.npy", names="f.txt").check(tmp_path)


MANY = np.zeros((300, 1, 1, 3), np.uint8)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_row(tmp_path, value):
    array = np.zeros((300, 2), np.float32)
    array[142, 1] = value
    with pytest.raises(BenchmarkError, match="mine: row 142 holds NaN or infinity"):
        written(tmp_path, Given(array), MANY)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((290, 2), np.float32),
            r"features/mine\.py gave float32 \(34, 2\) for 44 images, expected float32 \(44, 2\)",
        ),
        (np.zeros((300, 2)), r"gave float64 \(64, 2\) for 64 images, expected float32 \(64, d\)"),
        (np.zeros(300, np.float32), r"gave float32 \(64,\) for 64 images"),
    ],
)
def test_an_extractor_that_loses_rows_or_gives_others_is_named(tmp_path, array, message):
    with pytest.raises(BenchmarkError, match=message):
        written(tmp_path, Given(array), MANY)


def test_an_interrupted_extraction_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "CHECKPOINT_SECONDS", 0.0)
    array = np.random.default_rng(3).normal(size=(300, 5)).astype(np.float32)
    broken = array.copy()
    broken[200] = np.nan
    with pytest.raises(BenchmarkError, match="row 200"):
        written(tmp_path, Given(broken), MANY)
    rest = Given(array)
    assert (written(tmp_path, rest, MANY) == array).all()
    assert rest.calls == [192, 256]


def test_rows_of_other_params_or_images_are_never_resumed():
    """The name of unfinished rows is a digest of what the features are made of."""
    names = set()
    for side, images in ((256, "a"), (64, "a"), (256, "b")):
        variant = Catalogue({"features": {"mine": {"of": "gist", "set": {"side": side}}}}).resolve(
            "features", "mine"
        )
        names.add(records.digest_of(records.of_features(variant, {"images": images}, ROOT)))
    assert len(names) == 3


def brute_force(features, length, metric="centred-cosine"):
    """Every nearness by a sum of its own, every list by a full sort."""
    points = features.astype(np.float64)
    if metric == "centred-cosine":
        points = points - points.mean(axis=0)
    if metric != "l2":
        norms = np.sqrt((points**2).sum(axis=1))
        points = np.array(
            [row / norm if norm else row for row, norm in zip(points, norms, strict=True)]
        )
    lists = []
    for i, row in enumerate(points):
        nearness = (
            -((points - row) ** 2).sum(axis=1) if metric == "l2" else (points * row).sum(axis=1)
        )
        lists.append(
            [
                i,
                *sorted((j for j in range(len(points)) if j != i), key=lambda j: (-nearness[j], j)),
            ][:length]
        )
    return np.array(lists)


@example(27, 2, 2, 25, 5, "l2")  # equal distances that differ when computed about the mean
@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 90),
    st.integers(1, 6),
    st.integers(1, 70),
    st.integers(0, 2**32 - 1),
    st.sampled_from([2, 5, 10_000]),
    st.sampled_from(METRICS),
)
def test_neighbours_are_those_of_brute_force(n, d, length, seed, levels, metric):
    """Few levels make many equal images, and images at the very mean."""
    features = np.random.default_rng(seed).integers(0, levels, (n, d)).astype(np.float32)
    found = neighbours.nearest(features, length, metric=metric)
    assert found.dtype == np.int32
    assert (found == brute_force(features, min(length, n), metric)).all()


def test_equal_euclidean_distances_go_by_index():
    points = np.array([[0, 0], [3, 4], [5, 0], [0, -5], [-3, -4], [1, 0]], np.float32) + np.float32(
        0.5
    )
    assert neighbours.nearest(points, metric="l2")[0].tolist() == [0, 5, 1, 2, 3, 4]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_far_from_the_origin_every_metric_is_exact(metric):
    features = (100 + np.random.default_rng(5).normal(size=(300, 6))).astype(np.float32)
    assert (
        neighbours.nearest(features, 20, metric=metric) == brute_force(features, 20, metric)
    ).all()


def test_neighbours_do_not_depend_on_threads_or_blocks(monkeypatch):
    features = np.random.default_rng(2).normal(size=(700, 30)).astype(np.float32)
    expected = neighbours.nearest(features)
    assert (neighbours.nearest(features, threads=3) == expected).all()
    monkeypatch.setattr(neighbours, "ROWS", 37)
    assert (neighbours.nearest(features) == expected).all()


def test_neighbours_missed_by_rounding_are_recovered(monkeypatch):
    """Float32 cannot distinguish hundreds of images, so the whole row is ranked in float64."""
    generator = np.random.default_rng(3)
    features = (1 + generator.normal(size=(400, 8)) * 1e-4).astype(np.float32)
    features = np.concatenate([features, -features]).astype(np.float32)
    assert (neighbours.nearest(features, 20) == brute_force(features, 20)).all()


def test_an_error_of_the_command_is_one_line(tmp_path):
    folder = tmp_path / "cache/datasets/mine"
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", IMAGES)
    write_dataset_record(folder)
    entry = '{"of": "file", "set": {"path": "f.npy"}}'
    command = [
        sys.executable,
        "-m",
        "features",
        "extract",
        "mine",
        "given",
        "--entry",
        entry,
        "--data",
        "there",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert (
        done.stderr
        == "features: there/f.npy is missing: expected a .npy array of numbers. Put it there, or "
        "change `path` or the data folder.\n"
    )
    assert not [path for path in (tmp_path / "cache/features").rglob("*") if path.is_file()]


def test_what_an_extractor_raises_is_one_line(tmp_path, monkeypatch):
    def check(self, data):
        raise ValueError("no\nluck")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(GIST, "check", check)
    monkeypatch.setattr(sys, "argv", ["features", "check", "gist"])
    traceback = "logs/features/gist.log.traceback"
    with pytest.raises(
        SystemExit,
        match=r"^features: features/gist\.py raised ValueError: no luck "
        rf"\(traceback: {traceback}\)$",
    ):
        extraction.main()
    assert "Traceback" in (tmp_path / traceback).read_text()


def test_without_entry_the_command_has_the_defaults_of_a_plan():
    found = extraction.variant_of(argparse.Namespace(features="gist", entry=None))
    assert (
        found.entry
        == {"of": "gist", "set": {"side": 256}}
        == Catalogue().resolve("features", "gist").entry
    )
    with pytest.raises(BenchmarkError, match="features: file: path must be set"):
        extraction.variant_of(argparse.Namespace(features="file", entry=None))


def gist_by_definition(image):
    """LMgist's steps for one grey image (side, side) float64, by NumPy's transforms and padding."""
    side = len(image)
    stretched = 255 * (image - image.min()) / (image.max() - image.min())
    padded = np.pad(np.log(stretched + 1), 5, mode="symmetric")
    n = len(padded)
    across, down = np.meshgrid(np.arange(-n // 2, n // 2), np.arange(-n // 2, n // 2))
    low = np.fft.fftshift(np.exp(-(across**2 + down**2) / (4 / np.sqrt(np.log(2))) ** 2))
    high = padded - np.fft.ifft2(np.fft.fft2(padded) * low).real
    high = high / (0.2 + np.sqrt(np.abs(np.fft.ifft2(np.fft.fft2(high**2) * low))))
    spectrum = np.fft.fft2(np.pad(high[5:-5, 5:-5], 32, mode="symmetric"))
    n = side + 64
    across, down = np.meshgrid(np.arange(-n // 2, n // 2), np.arange(-n // 2, n // 2))
    radius, angle = (
        np.fft.fftshift(np.hypot(across, down)),
        np.fft.fftshift(np.angle(across + 1j * down)),
    )
    parts = []
    for scale in range(4):
        for orientation in range(8):
            turned = angle + np.pi * orientation / 8
            turned = turned + 2 * np.pi * (turned < -np.pi) - 2 * np.pi * (turned > np.pi)
            gabor = np.exp(
                -10 * 0.35 * (radius / n / (0.3 / 1.85**scale) - 1) ** 2
                - 2 * (16 * 8**2 / 32**2) * np.pi * turned**2
            )
            response = np.abs(np.fft.ifft2(spectrum * gabor))[32:-32, 32:-32]
            parts.append(response.reshape(4, side // 4, 4, side // 4).mean(axis=(1, 3)).ravel())
    return np.concatenate(parts)


def gist_of(images, side):
    extractor = GIST(side=side)
    extractor.open(None, len(images))
    return extractor.extract(images)


def test_gist_is_that_of_its_definition():
    images = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3)).astype(np.uint8)
    found = gist_of(images, 64)
    assert found.shape == (6, 512)
    expected = np.array([gist_by_definition(image.mean(axis=2)) for image in images])
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("orientation", range(8))
def test_gist_answers_to_the_direction_of_a_grating(orientation):
    down, across = np.mgrid[:64, :64] * 0.3 * 2 * np.pi
    angle = -np.pi * orientation / 8
    grating = np.rint(127 + 120 * np.sin(across * np.cos(angle) + down * np.sin(angle))).astype(
        np.uint8
    )
    strength = (
        gist_of(np.repeat(grating[None, :, :, None], 3, axis=3), 64).reshape(4, 8, 16).mean(axis=2)
    )
    assert strength[0].argmax() == orientation


def test_gist_of_one_colour_is_zero_and_a_wrong_side_is_named():
    assert not gist_of(np.full((1, 8, 8, 3), 9, np.uint8), 32).any()
    with pytest.raises(BenchmarkError, match="gist: side is 30, expected a multiple of 4 from 32"):
        gist_of(IMAGES, 30)


@pytest.mark.parametrize(
    ("features", "shape", "expected"),
    [
        ({}, (10, 32, 32, 3), ""),
        ({"preprocessing": {"resize": [64, 64]}}, (10, 32, 32, 3), ""),  # GIST
        (
            {"preprocessing": {"resize": [224, 224]}, "weights_sha256": "ab"},
            (10, 32, 48, 3),
            "network trained with ImageNet's labels; "
            "images of 48 x 32 pixels enlarged to 224 x 224",
        ),
        (
            {"preprocessing": {"resize": [160, 160]}, "weights_sha256": "ab"},
            (10, 256, 256, 3),
            "network trained with ImageNet's labels",
        ),
    ],
)
def test_captions_state_what_a_network_was_trained_with_and_enlarged_images(
    features, shape, expected
):
    assert preparation(features, {"images": list(shape)}) == expected
