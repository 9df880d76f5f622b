"""Whole or absent; what a user's file is known by; and the line that long work shows."""

import contextlib
import hashlib
import os
import shutil

import pytest

import progress
import provenance
import storage


def test_a_file_is_there_only_when_its_block_ends(tmp_path):
    path = tmp_path / "deep" / "a.npy"
    with storage.new_file(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
        assert temporary.suffix == ".npy"
    assert path.read_bytes() == b"whole"
    assert os.listdir(path.parent) == ["a.npy"]


def test_a_block_that_raises_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with contextlib.suppress(RuntimeError), storage.new_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "stale").touch()
    with storage.new_folder(folder) as temporary:
        (temporary / "new").touch()
        assert os.listdir(folder) == ["stale"]
    assert os.listdir(folder) == ["new"]
    with contextlib.suppress(RuntimeError), storage.new_folder(folder) as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert os.listdir(folder) == ["new"]
    assert os.listdir(tmp_path) == ["run"]


def test_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert storage.digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "DIGESTS", tmp_path / "digests.json")
    (tmp_path / "data/a").mkdir(parents=True)
    (tmp_path / "data/f").write_bytes(b"abc")
    (tmp_path / "data/a/g").write_bytes(b"defg")
    return tmp_path


def test_a_file_is_known_by_its_bytes_wherever_it_lies(kept):
    abc = hashlib.sha256(b"abc").hexdigest()
    assert provenance.fingerprints([kept / "data/f", kept / "none"]) == [abc, ""]
    shutil.copytree(kept / "data", kept / "copied", copy_function=shutil.copyfile)
    os.utime(kept / "copied/f", (1, 1))
    assert provenance.fingerprints([kept / "copied/f"]) == [abc]
    before = (kept / "data/f").stat()
    (kept / "data/f").write_bytes(b"xyz")  # as long as before
    os.utime(kept / "data/f", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert provenance.fingerprints([kept / "data/f"]) == [hashlib.sha256(b"xyz").hexdigest()]


def test_a_file_is_not_read_again_without_need(kept, monkeypatch):
    found = provenance.fingerprints([kept / "data/f"])
    monkeypatch.setattr(provenance, "digest", None)
    assert provenance.fingerprints([kept / "data/f"]) == found


def test_a_folder_is_known_by_what_is_in_it(kept):
    (found,) = provenance.fingerprints([kept / "data"])
    (kept / "data").rename(kept / "moved")
    shutil.copytree(kept / "moved", kept / "copied")  # with times
    assert provenance.fingerprints([kept / "moved", kept / "copied"]) == [found, found]
    changes = [lambda: (kept / "moved/a/h").touch(), lambda: os.utime(kept / "moved/f", (1, 1)), (kept / "moved/a/g").unlink]
    for change in changes:
        change()
        (now,) = provenance.fingerprints([kept / "moved"])
        assert now != found
        found = now


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")])
def test_durations_are_read_at_a_glance(seconds, text):
    assert progress.duration(seconds) == text


def test_progress_is_quiet_until_there_is_something_to_say(capsys, monkeypatch):
    clock = iter([0.0, 4.0, 11.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    work = progress.Progress("training", total=40, unit="batches")
    work.advance(5)
    assert capsys.readouterr().err == ""
    work.advance(5, loss=0.123456)
    assert capsys.readouterr().err == "training: 10/40 batches, 0.909/s, 33 s left  loss 0.1235\n"
    work.advance(30)
    assert capsys.readouterr().err == ""


def test_what_was_done_before_counts_for_no_rate(capsys, monkeypatch):
    clock = iter([0.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    progress.Progress("training", total=100, unit="batches", done=50).advance(10)
    assert capsys.readouterr().err == "training: 60/100 batches, 0.5/s, 1 min 20 s left\n"
