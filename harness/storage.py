"""Whole or absent: files and folders are written beside their place and renamed into it. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import BenchmarkError, one_line


@contextlib.contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes that place when the block ends, and is removed when it raises.

    What a killed job left of the same file is removed. Raises BenchmarkError where it cannot be written.
    """
    path = Path(path)
    with writing(path):
        path = _without_link(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = f".{glob.escape(path.stem)}.[0-9]*.part{glob.escape(path.suffix)}"
        for left in path.parent.glob(parts):
            if not _runs(left.name.removeprefix(f".{path.stem}.").partition(".")[0]):
                left.unlink(missing_ok=True)
        # The suffix is kept, since numpy.save and matplotlib choose or extend a name by it.
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        try:
            yield temporary
            _to_disk(temporary)
            os.replace(temporary, path)
            _to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _runs(process: str) -> bool:
    """Whether a process of this machine exists: another command may be writing the same file."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; it replaces that folder when the block ends, and is removed when it raises.

    What a killed job left of the same folder is removed. Raises BenchmarkError where it cannot be written.
    """
    path = Path(path)
    with writing(path):
        path = _without_link(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        for ending in (
            "part",
            "old.part",
        ):  # after mkdtemp's eight characters: names have dots too, so a star would match others'
            for left in path.parent.glob(f".{glob.escape(path.name)}.????????.{ending}"):
                shutil.rmtree(left, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            temporary.chmod(0o777 & ~_umask())
            yield temporary
            for written in (*temporary.rglob("*"), temporary):
                _to_disk(written)
            _replace_folder(temporary, path)
            _to_disk(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _without_link(path: Path) -> Path:
    """The file or folder that a link leads to, so that the link stays one."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def move(source: Path, path: Path) -> None:
    """Move a file atomically, also to another file system."""
    try:
        os.replace(source, _without_link(path))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with new_file(path) as temporary:
            shutil.copyfile(source, temporary)
        source.unlink()


def _replace_folder(temporary: Path, path: Path) -> None:
    """At every moment `path` is the old folder, the new one or absent: never a part of one."""
    old = temporary.with_name(f"{temporary.stem}.old.part")
    if path.exists():
        os.replace(path, old)
    os.replace(temporary, path)
    shutil.rmtree(old, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """Have the bytes of a file, or the names in a folder, on the disk: else a power cut may keep the renaming and lose them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Say in one line which place the disk did not take: raises BenchmarkError for an OSError in the block."""
    try:
        yield
    except OSError as error:
        expected = "expected a folder that can be written, on a disk with space"
        raise BenchmarkError(f"cannot write {path} ({one_line(error)}): {expected}") from None


def reserve(path: str | Path) -> None:
    """Take the disk space of a sparse file now: a mapping that meets a full disk ends its process without a word."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: str | Path, value: object) -> None:
    with new_file(path) as temporary:
        temporary.write_text(
            json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_json(path: str | Path) -> dict:
    """The object in a JSON file. Raises BenchmarkError for a file that is missing or damaged."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BenchmarkError(
            f"{path} is missing: `snakemake --cores all {path}` makes it"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BenchmarkError(
            f"{path} is damaged ({one_line(error)}): delete it, and run the same command again"
        ) from None
    if not isinstance(found, dict):
        raise BenchmarkError(
            f"{path} is damaged (no JSON object): delete it, and run the same command again"
        )
    return found


def unchanged(path: str | Path, recorded: str | Path) -> Path:
    """The path of an array in the cache, if it is the file whose SHA-256 its description `recorded` holds.

    A file that is no newer than its description is taken as it is, so that large arrays are not read whole by every job. One that was
    written or copied since is read; if it is the same, it gets the description's time. Raises BenchmarkError for any other.
    """
    path, recorded = Path(path), Path(recorded)
    if not path.is_file():
        raise BenchmarkError(f"{path} is missing: run the same command again, which makes it")
    if recorded.is_file() and path.stat().st_mtime_ns <= recorded.stat().st_mtime_ns:
        return path
    expected, found = read_json(recorded).get("sha256"), digest(path)
    expected = expected.get(path.name) if isinstance(expected, dict) else expected
    if found != expected:
        digests = f"its SHA-256 is {found[:12]}..., {recorded} states {str(expected)[:12]}..."
        advice = f"delete it and rerun the command with {path} as the target, which recomputes this file only"
        raise BenchmarkError(f"{path} was changed after it was written ({digests}): {advice}")
    with contextlib.suppress(OSError):  # a cache that may only be read is read again the next time
        os.utime(path, ns=(recorded.stat().st_mtime_ns,) * 2)
    return path


def digest(path: str | Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
