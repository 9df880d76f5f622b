"""The contract over every data set, the split's invariants, and CIFAR-10's own reader on hostile and damaged files."""

import functools
import hashlib
import http.server
import importlib
import os
import pickle
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import experiments
from datasets import _base, _download, cifar10
from experiments import BenchmarkError

DATA = Path(os.environ.get(experiments.DATA_VARIABLE, "data"))


def collection(name):
    part = experiments.component("datasets", name)
    try:
        return getattr(importlib.import_module(f"datasets.{name}"), part.class_name)().load(DATA, Path("no-cache"))
    except BenchmarkError as error:
        pytest.skip(f"no data: {error}")


@functools.cache
def digits():
    return collection("digits")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(_download, "_download", lambda url, part: (_ for _ in ()).throw(OSError("offline")))


@pytest.mark.parametrize("name", experiments.plugins("datasets"))
def test_every_data_set_keeps_its_invariants(name):
    found = collection(name)
    _base.check(found, name)
    assert not set(found.query) & set(found.database)
    assert set(found.train) <= set(found.database)
    assert len(found.images) == len(found.labels)
    assert all(source in (_base.PUBLISHED, _base.OURS) for _, source in found.rules)
    assert _base.split_digest(collection(name)) == _base.split_digest(found)


def test_digits_have_thirty_queries_a_class_and_scikit_learns_order():
    from sklearn.datasets import load_digits

    found = digits()
    assert np.bincount(found.labels[found.query]).tolist() == [30] * 10
    assert (len(found.query), len(found.database), len(found.train)) == (300, 1497, 1497)
    assert (found.labels == load_digits().target).all()
    assert (found.images[7, :, :, 1] == (load_digits().images[7] * 255 / 16).round()).all()
    assert _base.duplicate_queries(found) == 0


@pytest.mark.data
def test_cifar10_is_the_published_protocol():
    found = collection("cifar10")
    assert (len(found.query), len(found.database), len(found.train)) == (1000, 59000, 10000)
    assert np.bincount(found.labels[found.query]).tolist() == [100] * 10
    assert np.bincount(found.labels).tolist() == [6000] * 10
    assert _base.split_digest(found) == "e91e3455f1a586908564e7f46ac5488d49f92773e85d965a3b436c614e722e46", "fixed for good"


def test_the_splits_are_fixed_for_good():
    assert _base.split_digest(digits()) == "9d9e3c4403574dbbc86d63602198a991faa7c5a9536bd18b240e14c0ad377a26"
    assert _base.shuffled(6, "name").tolist() == sorted(range(6), key=lambda i: hashlib.sha256(f"name/{i}".encode()).digest())


def test_validation_stays_inside_the_training_part():
    whole, part = digits(), _base.validation_part(digits(), "digits-validation")
    _base.check(part, "digits-validation")
    assert len(part.query) == len(whole.train) // 5
    assert set(part.query) | set(part.database) == set(whole.train)
    assert (part.train == part.database).all()
    assert not set(whole.query) & (set(part.query) | set(part.database))


def broken(**changes):
    return replace(digits(), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda d: {"query": d.database[:1]}, "1 queries are in the database too"),
        (lambda d: {"train": d.query}, "300 training images are outside the database"),
        (lambda d: {"database": np.setdiff1d(d.database, np.flatnonzero(d.labels == 3)), "train": d.database[:0]}, "no train images"),
        (lambda d: {"labels": d.labels[:-1]}, "1796 rows of labels for 1797 images"),
        (lambda d: {"labels": d.labels.astype(float)}, "labels are float64"),
        (lambda d: {"images": d.images[..., 0]}, r"expected uint8 \(n, h, w, 3\)"),
        (lambda d: {"query": np.array([1797])}, "query rows must be distinct and within 0..1796"),
        (lambda d: {"query": d.query[[0, 0]]}, "query rows must be distinct"),
    ],
)
def test_a_broken_split_is_refused(changes, message):
    with pytest.raises(BenchmarkError, match=message):
        _base.check(broken(**changes(digits())), "digits")


def test_a_class_without_database_items_is_refused():
    kept = digits().database[digits().labels[digits().database] != 3]
    with pytest.raises(BenchmarkError, match="class 3 has queries but no database item"):
        _base.check(broken(database=kept, train=kept), "digits")


def test_a_labelled_part_with_several_labels_is_checked_too():
    labels = np.zeros((1797, 3), dtype=bool)
    labels[:, 0] = True
    labels[digits().query[0], 2] = True
    with pytest.raises(BenchmarkError, match="class 2 has queries but no database item"):
        _base.check(broken(labels=labels), "digits")


def test_preparing_writes_everything_or_nothing(tmp_path):
    (tmp_path / "none" / cifar10.FOLDER).mkdir(parents=True)
    command = [sys.executable, "-m", "datasets", "cifar10", "--data", "none"]
    environment = os.environ | {"PYTHONPATH": str(experiments.ROOT)}
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
    with pytest.raises(BenchmarkError, match=r"data_batch_1 has 3 bytes and MD5 .*, expected MD5 c99caf"):
        cifar10.read_batches(tmp_path, tmp_path)


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
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", _download.md5_of(tmp_path / cifar10.ARCHIVE))
    with pytest.raises(BenchmarkError, match="holds no cifar-10-batches-py/data_batch_1"):
        cifar10.read_batches(tmp_path, tmp_path)


def test_without_data_and_network_one_line_says_what_to_do(tmp_path):
    expected = r"could not download cifar-10-python.tar.gz \(offline\): download https://.* \(MD5 c58f.*\) yourself and put it at"
    with pytest.raises(BenchmarkError, match=expected):
        cifar10.read_batches(tmp_path, tmp_path)


@pytest.fixture
def server(tmp_path):
    """A server on this machine that sends ranges as asked, and breaks off the first transfer half way."""
    content = bytes(range(256)) * 2000
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Range"))
            start = int((self.headers.get("Range") or "bytes=0-").split("=")[1].rstrip("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : start + 100_000] if len(asked) == 1 else content[start:])

        def log_message(self, *arguments):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/file", content, asked
    running.shutdown()
    running.server_close()


class TestDownload:
    @pytest.fixture(autouse=True)
    def online(self, offline, monkeypatch):
        monkeypatch.undo()
        monkeypatch.setattr(_download.time, "sleep", lambda seconds: None)

    def test_a_broken_transfer_is_resumed(self, server, tmp_path):
        url, content, asked = server
        md5 = hashlib.md5(content).hexdigest()
        assert _download.fetch(url, tmp_path / "file", md5, "x").read_bytes() == content
        assert asked == [None, "bytes=100000-"]
        assert os.listdir(tmp_path) == ["file"]
        _download.fetch(url, tmp_path / "file", md5, "x")
        assert len(asked) == 2, "a whole copy is not asked for again"

    def test_a_wrong_digest_leaves_nothing(self, server, tmp_path):
        with pytest.raises(BenchmarkError, match="expected 00: download"):
            _download.fetch(server[0], tmp_path / "file", "00", "x")
        assert os.listdir(tmp_path) == []
