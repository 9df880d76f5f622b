"""Atomic files and folders, JSON, and digests of content.

Every output is written to a temporary path in the same folder, fsynced and renamed. Standard
library only: atomicwrites is unmaintained, does not write folders, and leaves the temporary files
of killed jobs.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from harness.errors import BenchmarkError, one_line


@contextlib.contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Write a file atomically.

    Temporary files that a killed job left for the same file are removed.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    Path
        A temporary path in the same folder. It is renamed to `path` when the block ends, and
        removed if the block raises.

    Raises
    ------
    BenchmarkError
        If the file cannot be written.
    """
    path = Path(path)
    with writing(path):
        path = _without_link(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        pattern = f".{glob.escape(path.stem)}.[0-9]*.part{glob.escape(path.suffix)}"
        for leftover in path.parent.glob(pattern):
            if not _is_running(leftover.name.removeprefix(f".{path.stem}.").partition(".")[0]):
                leftover.unlink(missing_ok=True)

        # The suffix stays, since numpy.save and matplotlib choose or extend a name by it.
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        try:
            yield temporary
            _fsync(temporary)
            os.replace(temporary, path)
            _fsync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _is_running(process: str) -> bool:
    """Return whether a process of this machine exists: it may be writing the same file."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Write a folder atomically.

    Temporary folders that a killed job left for the same folder are removed.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    Path
        An empty temporary folder. It replaces `path` when the block ends, and is removed if the
        block raises.

    Raises
    ------
    BenchmarkError
        If the folder cannot be written.
    """
    path = Path(path)
    with writing(path):
        path = _without_link(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Eight characters of mkdtemp: names contain dots too, so a star would match others.
        for ending in ("part", "old.part"):
            for leftover in path.parent.glob(f".{glob.escape(path.name)}.????????.{ending}"):
                shutil.rmtree(leftover, ignore_errors=True)

        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            temporary.chmod(0o777 & ~_umask())
            yield temporary
            for written in (*temporary.rglob("*"), temporary):
                _fsync(written)
            _replace_folder(temporary, path)
            _fsync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _without_link(path: Path) -> Path:
    """Return the file or folder that a link leads to, so that the link stays one."""
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


def link(source: Path, path: Path) -> None:
    """Create a hard link to a file, or a copy if the file system has no hard links."""
    with new_file(path) as temporary:
        temporary.unlink(missing_ok=True)  # of a killed job: may be a link to another array
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes, which ends with the process at the latest.

    The file is removed at the end. A process that waited for the lock of a removed file waits
    again, for that of the present one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        while True:
            lock = stack.enter_context(path.open("ab"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_open_at(lock, path):
                break
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _is_open_at(file: BinaryIO, path: Path) -> bool:
    """Return whether an open file is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _replace_folder(temporary: Path, path: Path) -> None:
    """Replace a folder: at every moment, `path` is the old folder, the new one or missing."""
    old = temporary.with_name(f"{temporary.stem}.old.part")
    if path.exists():
        os.replace(path, old)
    os.replace(temporary, path)
    shutil.rmtree(old, ignore_errors=True)


def _fsync(path: Path) -> None:
    """Fsync a file or the names in a folder: else only the rename may survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Raise BenchmarkError, which names `path`, for an OSError in the block."""
    try:
        yield
    except OSError as error:
        expected = "expected a folder that can be written, on a disk with space"
        raise BenchmarkError(f"cannot write {path} ({one_line(error)}): {expected}") from None


def reserve(path: str | Path) -> None:
    """Allocate the disk space of a sparse file.

    Writing to a memory map on a full disk kills the process with SIGBUS.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: str | Path, value: object) -> None:
    """Write a value as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    with new_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> dict:
    """Return the object in a JSON file. Raise BenchmarkError if it is missing or damaged."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BenchmarkError(
            f"{path} is missing. Run `snakemake --cores all {path}` to compute it"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, one_line(error)) from None

    if not isinstance(content, dict):
        raise _damaged(path, f"found {type(content).__name__}, expected an object")

    return content


def _damaged(path: str | Path, reason: str) -> BenchmarkError:
    return BenchmarkError(f"{path} is damaged ({reason}). Delete it and rerun the same command")


def unchanged(path: str | Path, record: str | Path) -> Path:
    """Return the path of an array in the cache if its content has the recorded digest.

    A file that is not newer than its record is not read, so that not every job reads large arrays
    twice. A newer one, for example a copy, is read; if it is the same, it gets the record's time.

    Parameters
    ----------
    path : str or Path
        The array.
    record : str or Path
        The JSON file with the array's `sha256`.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    BenchmarkError
        If the array is missing or has another digest.
    """
    path, record = Path(path), Path(record)
    if not path.is_file():
        raise BenchmarkError(f"{path} is missing. Rerun the same command to recompute it")
    if record.is_file() and path.stat().st_mtime_ns <= record.stat().st_mtime_ns:
        return path

    recorded, current = read_json(record).get("sha256"), digest(path)
    recorded = recorded.get(path.name) if isinstance(recorded, dict) else recorded
    if current != recorded:
        raise BenchmarkError(
            f"{path} was changed after it was written: found SHA-256 {current[:12]}..., expected "
            f"{str(recorded)[:12]}... as in {record}. Delete it and rerun the command with {path} "
            "as the target, which recomputes this file only"
        )

    with contextlib.suppress(OSError):  # a read-only cache is read again the next time
        os.utime(path, ns=(record.stat().st_mtime_ns,) * 2)

    return path


def bytes_digest(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
