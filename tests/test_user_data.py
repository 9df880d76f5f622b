"""The user's data folder, the files that variants read below it, and their digests."""

import os
import shutil

import pytest
from builders import loaded

from harness import user_data
from harness.user_data import (
    DATA_VARIABLE,
    DIGESTS,
    content_digests,
    data_folder,
    job_environment,
    read_paths,
    user_file,
)
from harness.variants import Catalogue


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with an empty cache of digests."""
    monkeypatch.chdir(tmp_path)
    user_data._known_digests.cache_clear()
    return tmp_path


def variant(stage, of, **overrides):
    return Catalogue({stage: {"mine": {"of": of, "set": overrides}}}).resolve(stage, "mine")


def test_the_variable_overrides_the_data_folder_of_the_configuration(monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert data_folder("here").as_posix() == "here"
    monkeypatch.setenv(DATA_VARIABLE, "/there")
    assert data_folder("here").as_posix() == "/there"
    assert job_environment("here")[DATA_VARIABLE] == "/there"


def test_user_files_are_those_that_parameters_name():
    assert read_paths(variant("features", "file", path="f.npy", names="f.txt")) == [
        "f.npy",
        "f.txt",
    ]
    assert read_paths(Catalogue().resolve("features", "vgg19_fc7")) == [], (
        "the digest of weights is known in advance"
    )
    assert read_paths(variant("datasets", "image_list", path="lists", images="/there")) == [
        "lists",
        "/there",
    ]
    assert read_paths(Catalogue().resolve("datasets", "digits")) == []


def test_official_layouts_are_read_too():
    for name in ("mirflickr-24", "mirflickr-24-validation"):
        assert read_paths(Catalogue().resolve("datasets", name)) == ["mirflickr25k"]
    assert read_paths(Catalogue().resolve("datasets", "cifar10-bgan")) == [
        "cifar-10-batches-py",
        "cifar-10-python.tar.gz",
    ]
    assert read_paths(Catalogue(loaded()["variants"]).resolve("datasets", "nuswide-features")) == [
        "nuswide"
    ]


def test_files_of_imported_codes_are_those_of_the_run():
    one = variant("methods", "imported", path="mine-{bits}-{seed}.npy")
    assert read_paths(one, 24, 1) == ["mine-24-1.npy"]
    two = variant("methods", "imported", path="q.npy", database_path="d-{seed}.npy")
    assert read_paths(two, 12, 1) == ["q.npy", "d-1.npy"]
    matlab = variant("methods", "imported", path="{bits}.mat:Bq", database_path="{bits}.mat:Bd")
    assert read_paths(matlab, 12, 0) == ["12.mat"]


def test_a_path_is_below_the_data_folder_unless_it_is_absolute(tmp_path):
    assert user_file("a-{bits}-{seed}.npy", 12, 1, tmp_path) == tmp_path / "a-12-1.npy"
    assert user_file("/there/a.npy", 12, 1, tmp_path).as_posix() == "/there/a.npy"


def test_a_file_is_identified_by_content_wherever_it_is(folder):
    for name in ("one", "other"):
        (folder / name).mkdir()
        (folder / name / "a.npy").write_bytes(b"12")
    one, other = (
        content_digests(folder / name, ["a.npy", "missing.npy"]) for name in ("one", "other")
    )
    assert one == other
    assert list(one) == ["a.npy"]


def digest_of(path):
    """The digest of a file as another process computes it."""
    user_data._known_digests.cache_clear()
    return content_digests(path.parent, [path.name])[path.name]


def test_a_changed_file_of_the_same_size_and_time_is_noticed(folder):
    path = folder / "a.npy"
    path.write_bytes(b"12")
    before, times = digest_of(path), path.stat()
    path.write_bytes(b"21")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digest_of(path) != before


def test_a_file_is_read_once_while_it_does_not_change(folder, monkeypatch):
    monkeypatch.setattr(user_data, "SETTLED_SECONDS", 0.0)
    path = folder / "a.npy"
    path.write_bytes(b"12")
    expected = digest_of(path)
    monkeypatch.setattr(user_data.storage, "digest", lambda path: pytest.fail("it was read again"))
    assert digest_of(path) == expected


def test_the_digest_of_a_file_that_changed_a_moment_ago_is_not_saved(folder):
    (folder / "a.npy").write_bytes(b"12")
    digest_of(folder / "a.npy")
    assert not DIGESTS.exists()


def test_a_cache_of_digests_that_cannot_be_written_does_not_matter(folder, monkeypatch):
    monkeypatch.setattr(user_data, "SETTLED_SECONDS", 0.0)
    (folder / "a.npy").write_bytes(b"12")
    (folder / "cache").touch()
    assert digest_of(folder / "a.npy")


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", '{"a": 1}', '{"PATH": {"stamp": 3}}', '{"PATH": 3}']
)
def test_a_damaged_cache_of_digests_is_ignored(folder, text):
    path = folder / "a.npy"
    path.write_bytes(b"12")
    expected = digest_of(path)
    DIGESTS.parent.mkdir()
    DIGESTS.write_text(text.replace("PATH", str(path)))
    assert digest_of(path) == expected


def layout(folder):
    """A folder with an image and a list of labels."""
    (folder / "images").mkdir(parents=True)
    (folder / "images/1.JPG").write_bytes(b"12")
    (folder / "labels.txt").write_text("1 2\n")
    return folder


def test_a_folder_copied_with_times_has_the_same_digest(folder):
    layout(folder / "one/given")
    shutil.copytree(folder / "one", folder / "other")
    one, other = (content_digests(folder / name, ["given"]) for name in ("one", "other"))
    assert one == other
    os.utime(folder / "other/given/labels.txt", (1, 1))
    assert content_digests(folder / "other", ["given"]) == one, "a list is identified by content"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "labels.txt").write_text("2 1\n"),
        lambda folder: (folder / "labels.txt").rename(folder / "names.txt"),
        lambda folder: (folder / "images/1.JPG").rename(folder / "images/2.JPG"),
        lambda folder: (folder / "images/1.JPG").write_bytes(b"123"),
        lambda folder: os.utime(folder / "images/1.JPG", (1, 1)),
        lambda folder: (folder / "images/2.jpg").write_bytes(b"12"),
        lambda folder: (folder / "images/1.JPG").unlink(),
    ],
)
def test_a_changed_folder_has_another_digest(folder, change):
    """Lists count by content, images by name, size and modification time."""
    given = layout(folder / "given")
    before = content_digests(folder, ["given"])
    change(given)
    assert content_digests(folder, ["given"]) != before


def test_the_order_of_a_folder_does_not_count(folder):
    for name, files in (("one", "ab"), ("other", "ba")):
        (folder / name / "given").mkdir(parents=True)
        for file in files:
            (folder / name / "given" / file).write_text(file)
    assert content_digests(folder / "one", ["given"]) == content_digests(
        folder / "other", ["given"]
    )


def test_home_and_variables_are_expanded_but_not_names_that_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    data = tmp_path / "data"
    (data / "$SCRATCH").mkdir(parents=True)
    assert user_data.user_path(data, "~/photos") == tmp_path / "home/photos"
    assert user_data.user_path(data, "${SCRATCH}/a.npy") == tmp_path / "scratch/a.npy"
    assert user_data.user_path(data, "$SCRATCH") == data / "$SCRATCH"
    assert user_data.user_path(data, "a/$UNKNOWN") == data / "a/$UNKNOWN"
    monkeypatch.setenv("BGAN_BENCH_DATA", "~/data")
    assert user_data.data_folder() == tmp_path / "home/data"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b.mat", ("a/b.mat", "")),
        ("a/b.MAT:B", ("a/b.MAT", "B")),
        ("b.h5:group/B", ("b.h5", "group/B")),
        ("b.npz:B", ("b.npz", "B")),
        ("b.pt:state.B", ("b.pt", "state.B")),
        ("b.npy:B", ("b.npy:B", "")),
        ("a.mat/b.npy", ("a.mat/b.npy", "")),
        ("$(touch a)\nb-8.npy", ("$(touch a)\nb-8.npy", "")),
    ],
)
def test_an_array_of_a_file_is_named_after_a_colon(path, expected):
    assert user_data.file_and_array(path) == expected


def test_a_folder_may_hold_what_is_no_file(folder):
    """A link to nothing, a pipe, which would block its reader, and a name that is not UTF-8."""
    (folder / "photos").mkdir()
    (folder / "photos/link.png").symlink_to("nowhere")
    os.mkfifo(folder / "photos/pipe")
    (folder / "photos" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    assert user_data.content_digests(folder, ["photos"])["photos"]
