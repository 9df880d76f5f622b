"""Atomic files and folders, digests of content, and the line that long work shows."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import progress, provenance, storage
from harness.errors import BenchmarkError


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


def test_a_folder_is_replaced_atomically(tmp_path):
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


def test_a_folder_is_the_old_one_the_new_one_or_absent_at_every_moment(tmp_path, monkeypatch):
    folder, seen = tmp_path / "run", []
    folder.mkdir()
    for name in ("old", "old too"):
        (folder / name).touch()
    for name in ("replace", "fsync", "unlink", "rmdir"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os,
            name,
            lambda *given, real=real, **rest: (seen.append(states(folder)), real(*given, **rest))[
                1
            ],
        )
    with storage.new_folder(folder) as temporary:
        for name in ("new", "new too"):
            (temporary / name).touch()
    assert set(seen) == {("old", "old too"), (), ("new", "new too")}


def states(folder):
    return tuple(sorted(os.listdir(folder))) if folder.exists() else ()


def test_content_is_fsynced_before_the_rename(tmp_path, monkeypatch):
    """Each file and its folder are fsynced, then the names."""
    order = []
    monkeypatch.setattr(
        os,
        "fsync",
        lambda descriptor: order.append(
            os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        ),
    )
    monkeypatch.setattr(
        os,
        "replace",
        lambda source, target, real=os.replace: (order.append("renamed"), real(source, target)),
    )
    with storage.new_folder(tmp_path / "run") as temporary:
        (temporary / "codes").write_bytes(b"1")
    assert order == ["codes", temporary.name, "renamed", tmp_path.name]
    order.clear()
    with storage.new_file(tmp_path / "a") as temporary:
        temporary.write_bytes(b"1")
    assert order == [temporary.name, "renamed", tmp_path.name]


def test_files_of_killed_jobs_are_removed_and_no_others(tmp_path):
    (tmp_path / ".a.9999999.part.npy").touch()
    (tmp_path / ".bgan.abcdefgh.part").mkdir()
    (tmp_path / ".bgan.abcdefgh.old.part").mkdir()
    others = [
        ".a.b.9999999.part.npy",
        ".a.9999999.part.csv",
        ".bgan.trial1.abcdefgh.part",
        ".itq.abcdefgh.part",
    ]
    for name in others:
        (tmp_path / name).mkdir()
    with storage.new_file(tmp_path / "a.npy") as temporary:
        temporary.touch()
    with storage.new_folder(tmp_path / "bgan"):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "a.npy", "bgan"])


@pytest.mark.parametrize("new", [storage.new_file, storage.new_folder])
def test_a_path_that_cannot_be_written_is_one_line(tmp_path, new):
    (tmp_path / "results").touch()
    expected = (
        r"^cannot write .*results/run \(.*\): expected a folder that can be written, on a disk"
    )
    with pytest.raises(BenchmarkError, match=expected), new(tmp_path / "results" / "run"):
        pass


def described(folder, content=b"whole"):
    (folder / "a.npy").write_bytes(content)
    storage.write_json(folder / "a.json", {"sha256": storage.digest(folder / "a.npy")})
    return folder / "a.npy", folder / "a.json"


def test_an_array_is_read_only_if_it_is_newer_than_its_record(tmp_path, monkeypatch):
    array, description = described(tmp_path)
    assert storage.unchanged(array, description) == array
    os.utime(array)  # copied from elsewhere, say
    assert storage.unchanged(array, description) == array
    monkeypatch.setattr(storage, "digest", lambda path: 1 / 0)
    assert storage.unchanged(array, description) == array, "it was verified once"
    os.utime(array, ns=(0, 0))
    assert storage.unchanged(array, description) == array


def test_a_damaged_or_missing_array_is_named(tmp_path):
    array, description = described(tmp_path)
    array.write_bytes(b"whale")
    expected = r"a.npy was changed after it was written: .* as in .*a.json. Delete it and .*a.npy"
    for _ in range(2):
        with pytest.raises(BenchmarkError, match=expected):
            storage.unchanged(array, description)
    array.unlink()
    with pytest.raises(BenchmarkError, match=r"a.npy is missing"):
        storage.unchanged(array, description)


@pytest.mark.parametrize("content", ["", "[]", '{"sha256": ', "\x00\xff", "[" * 100_000])
def test_a_damaged_description_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(BenchmarkError, match=r"a.json is damaged \(.*\)\. Delete it and rerun"):
        storage.read_json(tmp_path / "a.json")


def test_digest_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert storage.digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.skipif(not shutil.which("git"), reason="no git")
def test_a_checkout_with_a_new_source_is_dirty(tmp_path, monkeypatch):
    def write(name, text=""):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    write("methods/__init__.py")
    write(".gitignore", "/results/*\n")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", "-C", tmp_path, *command], check=True)
    for name in ("results/a.py", "mine.yaml", "pictures/a.py", "methods/notes.txt"):
        write(name)
    assert not provenance.dirty.__wrapped__()
    for name in ("methods/median.py", "mine.py", "mylib/__init__.py"):
        write(name)
        assert provenance.dirty.__wrapped__(), name
        (tmp_path / name).unlink()
    write("methods/__init__.py", "# mine\n")
    assert provenance.dirty.__wrapped__()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_durations_have_one_or_two_units(seconds, text):
    assert progress.duration(seconds) == text


def test_a_log_has_one_line_every_ten_seconds(capsys, monkeypatch):
    clock = iter([0.0, 4.0, 11.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    work = progress.Progress("training", total=40, unit="batches")
    work.advance(5)
    assert capsys.readouterr().err == ""
    work.advance(5, loss=0.123456)
    assert capsys.readouterr().err == "training: 10/40 batches, 0.909/s, 33 s left  loss 0.1235\n"
    work.advance(30)
    assert capsys.readouterr().err == ""


def test_earlier_steps_do_not_count_for_the_rate(capsys, monkeypatch):
    clock = iter([0.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    progress.Progress("training", total=100, unit="batches", done=50).advance(10)
    assert capsys.readouterr().err == "training: 60/100 batches, 0.5/s, 1 min 20 s left\n"


def test_a_file_that_another_process_is_writing_stays(tmp_path):
    other = tmp_path / f".stamp.{os.getppid()}.part"
    other.touch()
    with storage.new_file(tmp_path / "stamp") as temporary:
        temporary.touch()
    assert other.exists()


def test_a_second_name_never_writes_into_the_file_that_a_killed_job_left(tmp_path):
    """A job in a container may have the process id of a killed one, whose file is a link too."""
    source, shared, path = (tmp_path / name for name in ("new.npy", "shared.npy", "array.npy"))
    source.write_bytes(b"new")
    shared.write_bytes(b"of another")
    os.link(shared, tmp_path / f".array.{os.getpid()}.part.npy")
    storage.link(source, path)
    assert path.read_bytes() == b"new"
    assert path.samefile(source)
    assert shared.read_bytes() == b"of another"


@pytest.mark.parametrize(("rate", "shown"), [(0.5, "0.5"), (12.34, "12.3"), (1050.4, "1,050")])
def test_a_rate_has_three_digits_and_no_exponent(rate, shown):
    assert progress.rate_text(rate) == shown


def test_one_thread_at_a_time_holds_a_lock_although_its_file_is_removed(tmp_path):
    inside, most = 0, 0

    def enter(_):
        nonlocal inside, most
        for _ in range(20):
            with storage.locked(tmp_path / "folder" / "one.lock"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(8)))
    assert most == 1
    assert not list((tmp_path / "folder").iterdir())
