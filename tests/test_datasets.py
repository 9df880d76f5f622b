"""The contract of every data set, the invariants of splits, and the reader of CIFAR-10."""

import functools
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import _base, cifar10, mirflickr
from harness import downloads, plugins, storage
from harness.errors import BenchmarkError
from harness.plugins import ROOT
from harness.user_data import DATA_VARIABLE

DATA = Path(os.environ.get(DATA_VARIABLE, "data")).absolute()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty current folder, where a test may leave the downloads that it tried."""
    monkeypatch.chdir(tmp_path)


read_once = functools.cache(cifar10.read_batches)


def collection_of(name, **params):
    plugin = plugins.read_plugin("datasets", name)
    return plugins.load_class(plugin)(**params).load(DATA, Path("no-cache"))


def collection(name, **params):
    try:
        return collection_of(name, **params)
    except BenchmarkError as error:
        pytest.skip(f"no data: {error}")


@functools.cache
def digits():
    return collection("digits")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(cifar10, "read_batches", read_once)
    monkeypatch.setattr(
        downloads, "_download", lambda url, plugin: (_ for _ in ()).throw(OSError("offline"))
    )


def every_protocol():
    """(data set, params) of every protocol of the published data sets that this machine has."""
    for name in plugins.names("datasets"):
        plugin = plugins.read_plugin("datasets", name)
        if ... in plugin.defaults.values():
            continue  # tests/test_own_images.py builds one
        here = {"mirflickr": {"subset": True}, "nuswide": {"images": False}}.get(name, {})
        for protocol in plugin.literals.get("protocols", (None,)):
            yield pytest.param(
                name,
                here | ({"protocol": protocol} if protocol else {}),
                id=f"{name}-{protocol or 'default'}",
            )


@pytest.mark.parametrize(("name", "params"), list(every_protocol()))
def test_every_protocol_of_every_data_set_keeps_its_invariants(name, params):
    found = collection(name, **params)
    _base.check(found, name)
    query, database, train = set(found.query), set(found.database), set(found.train)
    assert query.isdisjoint(database)
    assert query.isdisjoint(train)
    assert found.train_outside == (not train <= database)
    assert len(found.images) == len(found.labels)
    assert found.rules
    assert all(source in (_base.PUBLISHED, _base.OURS) for _, source in found.rules)
    plugin = _base.validation_part(found, f"{name}-validation")
    _base.check(plugin, name)
    assert set(plugin.query) | set(plugin.database) == train


def test_digits_have_thirty_queries_a_class_and_scikit_learns_order():
    from sklearn.datasets import load_digits

    found = digits()
    assert np.bincount(found.labels[found.query]).tolist() == [30] * 10
    assert (len(found.query), len(found.database), len(found.train)) == (300, 1497, 1497)
    assert (found.labels == load_digits().target).all()
    assert (found.images[7, :, :, 1] == (load_digits().images[7] * 255 / 16).round()).all()
    assert _base.duplicate_queries(found) == 0


CIFAR10_SPLITS = {  # queries, database, training images, and the digest that is fixed for good
    "bgan": (
        1000,
        59000,
        10000,
        "e91e3455f1a586908564e7f46ac5488d49f92773e85d965a3b436c614e722e46",
    ),
    "1": (1000, 59000, 5000, "064193c9682d17fcb51f1f2ecb938ba8c9a165ebff91f38c06e8f009c6b238a6"),
    "2": (10000, 50000, 50000, "c16074873818336a04133ddff5ab0bfc54b52a8abda15a0fa9759a7a232b940e"),
    "54k": (1000, 54000, 5000, "7e81d3cdc8c5685a0f6873843fcef4871198359fbe435f1c7edea0a8d6fa2e8d"),
    "deepbit": (
        10000,
        50000,
        50000,
        "d9c84cdd55ff2b23f61a200ec42f975498a7a4a37ed7aae3a74224c0b735979b",
    ),
    "greedyhash": (
        10000,
        50000,
        50000,
        "d9c84cdd55ff2b23f61a200ec42f975498a7a4a37ed7aae3a74224c0b735979b",
    ),
    "cibhash": (
        5000,
        50000,
        5000,
        "bc2b2cca4faf34c3cac5fdde6d6f5ec9dd05e24f5f9c10782fda663861071076",
    ),
}


@pytest.mark.data
@pytest.mark.parametrize("protocol", cifar10.CIFAR10.protocols)
def test_cifar10_protocols(protocol):
    found = collection("cifar10", protocol=protocol)
    *sizes, digest = CIFAR10_SPLITS[protocol]
    assert [len(found.query), len(found.database), len(found.train)] == sizes
    assert np.bincount(found.labels).tolist() == [6000] * 10
    assert np.bincount(found.labels[found.query]).tolist() == [sizes[0] // 10] * 10
    if protocol != "bgan":
        assert np.bincount(found.labels[found.train]).tolist() == [sizes[2] // 10] * 10
    if protocol in ("deepbit", "greedyhash", "cibhash"):
        assert found.query.min() >= 50_000 > found.database.max(), (
            "the official test and training sets"
        )
    assert _base.split_digest(found) == digest
    assert _base.duplicate_queries(found) == 0


def test_another_draw_has_the_same_sizes_and_other_images():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 6000))
    for protocol in ("bgan", "54k", "cibhash"):
        first, second = (cifar10.split(labels, protocol, draw) for draw in (0, 1))
        assert first["sizes"] == second["sizes"]
        for part, most in (("query", 3_000 if protocol == "cibhash" else 60), ("train", 2_000)):
            assert len(first[part]) == len(second[part]) == len(np.unique(second[part]))
            assert len(np.intersect1d(first[part], second[part])) < most
        assert np.bincount(labels[second["query"]]).tolist() == [len(second["query"]) // 10] * 10
        assert not np.intersect1d(second["query"], second["train"]).size


@pytest.mark.parametrize(
    ("protocol", "draw", "message"),
    [
        ("bgan", -1, "draw is -1, expected 0, 1, 2"),
        ("bgan", True, "draw is True, expected 0, 1, 2"),
        ("deepbit", 1, "draw is 1, expected 0: the protocol deepbit has the official test set"),
    ],
)
def test_a_draw_that_does_not_exist_is_named(protocol, draw, message):
    with pytest.raises(BenchmarkError, match=message):
        cifar10.split(np.repeat(np.arange(10), 6000), protocol, draw)


def test_the_splits_are_fixed_for_good():
    assert (
        _base.split_digest(digits())
        == "9d9e3c4403574dbbc86d63602198a991faa7c5a9536bd18b240e14c0ad377a26"
    )
    assert _base.shuffled(6, "name").tolist() == sorted(
        range(6), key=lambda i: hashlib.sha256(f"name/{i}".encode()).digest()
    )


def test_validation_stays_inside_the_training_part():
    whole, plugin = digits(), _base.validation_part(digits(), "digits-validation")
    _base.check(plugin, "digits-validation")
    assert len(plugin.query) == len(whole.train) // 5
    assert set(plugin.query) | set(plugin.database) == set(whole.train)
    assert (plugin.train == plugin.database).all()
    assert not set(whole.query) & (set(plugin.query) | set(plugin.database))


def broken(**changes):
    return replace(digits(), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda d: {"query": d.database[:1]}, "1 queries are in the database too"),
        (lambda d: {"train": d.query}, "300 training images are outside the database"),
        (
            lambda d: {
                "database": np.setdiff1d(d.database, np.flatnonzero(d.labels == 3)),
                "train": d.database[:0],
            },
            "no train images",
        ),
        (lambda d: {"labels": d.labels[:-1]}, "1796 rows of labels for 1797 images"),
        (lambda d: {"labels": d.labels.astype(float)}, "labels are float64"),
        (lambda d: {"images": d.images[..., 0]}, r"expected uint8 \(n, h, w, 3\)"),
        (lambda d: {"query": np.array([1797])}, "query rows must be distinct and within 0..1796"),
        (lambda d: {"query": d.query[[0, 0]]}, "query rows must be distinct"),
        (lambda d: {"train": d.query, "train_outside": True}, "300 queries are training images"),
        (
            lambda d: {"sizes": (300, 1497, 1000)},
            r"are \(300, 1497, 1497\), expected \(300, 1497, 1000\)",
        ),
        (lambda d: {"labels": np.zeros((1797, 2), bool)}, "no query has a label in common"),
    ],
)
def test_a_broken_split_is_refused(changes, message):
    with pytest.raises(BenchmarkError, match=message):
        _base.check(broken(**changes(digits())), "digits")


def test_training_images_outside_the_database_need_a_declaration():
    database = digits().database[100:]
    _base.check(broken(database=database, train_outside=True), "digits")


def test_duplicate_queries_are_counted():
    images = digits().images.copy()
    images[digits().query[:3]] = images[digits().database[:3]]
    assert _base.duplicate_queries(broken(images=images)) == 3
    assert _base.duplicate_queries(broken(images=np.empty((1797, 0, 0, 3), np.uint8))) is None


@pytest.fixture
def few(tmp_path):
    """The source of a data set of one's own, in a copy of the project."""
    for folder in ("datasets", "harness"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    source = (
        (ROOT / "datasets/digits.py")
        .read_text()
        .replace("class Digits", "class Few")
        .replace("PER_CLASS = 30", "PER_CLASS = 5")
    )
    (tmp_path / "datasets/few.py").write_text(source)
    return tmp_path / "datasets/few.py"


def test_a_data_set_is_one_file(few, tmp_path):
    """A copy of the project with one file more prepares it, and its validation protocol too."""
    for name, queries in (("few", 50), ("few-validation", 349)):
        done = run(tmp_path, name)
        assert done.returncode == 0, done.stderr
        assert (
            json.loads((tmp_path / f"cache/datasets/{name}/dataset.json").read_text())["sizes"][
                "query"
            ]
            == queries
        )


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_what_a_data_set_raises_is_one_line(few, tmp_path, check):
    few.write_text(few.read_text().replace("PER_CLASS = 5", "PER_CLASS = 'five'"))
    done = run(tmp_path, "few", *check)
    assert done.returncode == 1
    assert re.fullmatch(
        r"datasets: datasets/few\.py raised TypeError at datasets/\S+: .* "
        r"\(traceback: logs/datasets/few\.log\.traceback\)\n",
        done.stderr,
    )
    assert "few.py" in (tmp_path / "logs/datasets/few.log.traceback").read_text()


def run(folder, *arguments):
    command, environment = (
        [sys.executable, "-m", "datasets", *arguments],
        os.environ | {"PYTHONPATH": str(folder)},
    )
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder goes")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "datasets", "digits"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("datasets: cannot write cache/datasets/digits (")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def bound_by_permissions(tmp_path):
    """Runs `python -m datasets` in tmp_path so that permissions hold, also where we are root."""
    prefix = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may write everywhere, and there is no setpriv")
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]

    def run(*arguments):
        command = [*prefix, sys.executable, "-m", "datasets", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    yield run
    for folder in (tmp_path, tmp_path / "data", tmp_path / "data/a"):
        folder.chmod(0o755)


def test_a_read_only_cache_is_one_line_and_a_read_only_data_folder_is_enough(
    tmp_path, bound_by_permissions
):
    data = tmp_path / "data"
    (data / "a").mkdir(parents=True)
    for name, text in (
        ("database", "a/1.png 1\na/2.png 1\n"),
        ("train", "a/1.png 1\n"),
        ("test", "a/0.png 1\n"),
    ):
        (data / f"{name}.txt").write_text(text)
    for number in range(3):
        Image.fromarray(np.full((9, 9, 3), number, np.uint8)).save(data / f"a/{number}.png")
    command = [
        "mine",
        "--entry",
        json.dumps({"of": "image_list", "set": {"path": "."}}),
        "--data",
        "data",
    ]
    for folder in (tmp_path, data, data / "a"):
        folder.chmod(0o555)
    done = bound_by_permissions(*command)
    assert done.returncode == 1
    assert done.stderr.startswith("datasets: cannot write cache/datasets/mine (")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["data"], "nothing half-written"
    tmp_path.chmod(0o755)
    done = bound_by_permissions(*command)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cache/datasets/mine/dataset.json").is_file()


def test_a_class_without_database_items_is_refused():
    database = digits().database[digits().labels[digits().database] != 3]
    with pytest.raises(BenchmarkError, match="class 3 has queries but no database item"):
        _base.check(broken(database=database, train=database), "digits")


def test_queries_without_a_relevant_item_are_counted_where_images_have_several_labels():
    labels = np.zeros((1797, 3), dtype=bool)
    labels[:, 0] = True
    labels[digits().query[:4]] = [
        [False, False, False],
        [False, True, False],
        [True, True, False],
        [True, False, False],
    ]
    found = broken(labels=labels)
    _base.check(found, "digits")
    assert _base.queries_without_relevant(found) == 2
    assert _base.queries_without_relevant(digits()) == 0


def test_preparing_writes_everything_or_nothing(tmp_path):
    (tmp_path / "none" / cifar10.FOLDER).mkdir(parents=True)
    command = [sys.executable, "-m", "datasets", "cifar10", "--data", "none"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "data_batch_1 is missing" in done.stderr
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def batches(tmp_path):
    (tmp_path / cifar10.FOLDER).mkdir()
    return tmp_path / cifar10.FOLDER


def test_a_truncated_batch_is_named(tmp_path, batches):
    (batches / "data_batch_1").write_bytes(b"\x80\x02}")
    with pytest.raises(
        BenchmarkError, match=r"data_batch_1 has 3 bytes and MD5 .*, expected MD5 c99caf"
    ):
        cifar10.read_batches(tmp_path, tmp_path)


def test_a_file_of_gigabytes_is_refused_unread(tmp_path, batches):
    for path in (batches / "data_batch_1", tmp_path / mirflickr.LIST):
        path.touch()
        os.truncate(path, 1 << 40)
    with pytest.raises(
        BenchmarkError, match=r"data_batch_1 is not a file of at most 268,435,456 bytes"
    ):
        cifar10.read_batches(tmp_path, tmp_path)
    with pytest.raises(
        BenchmarkError, match=r"20015.txt is not a file of at most 268,435,456 bytes"
    ):
        mirflickr._listed(tmp_path)


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_batch_that_calls_a_function_calls_nothing(tmp_path):
    with pytest.raises(BenchmarkError, match="refused"):
        cifar10._unpickle("data_batch_1", pickle.dumps(Harmful(tmp_path / "called"), protocol=2))
    assert not (tmp_path / "called").exists()


def test_an_archive_without_the_batches_is_named(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / cifar10.ARCHIVE, "w:gz") as archive:
        archive.add(__file__, f"{cifar10.FOLDER}/../../data_batch_1")
    published = downloads.Published(cifar10.ARCHIVE_URL, storage.digest(tmp_path / cifar10.ARCHIVE))
    monkeypatch.setattr(cifar10, "PUBLISHED_ARCHIVE", published)
    with pytest.raises(BenchmarkError, match="holds no cifar-10-batches-py/data_batch_1"):
        cifar10.read_batches(tmp_path, tmp_path)


def test_without_data_and_network_one_line_gives_instructions(tmp_path):
    expected = (
        r"could not download cifar-10-python.tar.gz \(offline\)\. "
        r"Download https://.* \(SHA-256 6d95.*\) yourself and put it at"
    )
    with pytest.raises(BenchmarkError, match=expected):
        cifar10.read_batches(tmp_path, tmp_path)


@pytest.mark.parametrize("name", plugins.names("datasets"))
def test_every_data_set_takes_fewer_training_images(name):
    plugin = plugins.read_plugin("datasets", name)
    assert plugin.defaults["training_images"] is None
    if ... in plugin.defaults.values():
        return  # tests/test_corpus.py builds one
    here = {"mirflickr": {"subset": True}, "nuswide": {"images": False}}.get(name, {})
    whole, fewer = collection(name, **here), collection(name, **here, training_images=7)
    _base.check(fewer, name)
    assert set(fewer.train) < set(whole.train)
    assert len(fewer.train) == 7
    assert (fewer.database == whole.database).all()
    assert (fewer.query == whole.query).all()
    with pytest.raises(BenchmarkError, match="training_images is 0, expected 1 to"):
        _base.fewer_training_images(whole, 0, name)


def test_rows_that_are_left_out_leave_a_sound_split():
    whole = digits()
    lost = np.array([0, 5, 1796, *whole.query[:2]])
    rest = np.delete(np.arange(1797), lost)
    found = _base.without_rows(whole, lost, whole.images[rest])
    _base.check(found, "digits")
    assert (found.labels == whole.labels[rest]).all()
    for plugin in _base.PARTS:
        rows = getattr(whole, plugin)
        assert (rest[getattr(found, plugin)] == np.setdiff1d(rows, lost)).all()
    assert "5 of 1,797 images cannot be read and are left out: 2" in found.rules[-1][0]
