"""The user's data folder, the digests of the user's files, and the environment of jobs.

Standard library only.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness import plugins, storage
from harness.errors import BenchmarkError
from harness.variants import Variant

DATA_VARIABLE = "BGAN_BENCH_DATA"
STARTED_VARIABLE = "BGAN_BENCH_STARTED"  # seconds since the epoch
CACHE = Path("cache")
DIGESTS = CACHE / "digests.json"
SETTLED_SECONDS = 1.0  # since the last change of a file whose digest is saved
ARCHIVES = "mat|npz|h5|hdf5|pt|pth"  # suffixes of files that may hold several arrays
# Identified by name, size and modification time, since a folder may hold a million of them.
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def data_folder(default: str = "data") -> Path:
    """Return the user's data folder: BGAN_BENCH_DATA if set, else `default`."""
    return Path(expanded(os.environ.get(DATA_VARIABLE) or default))


def expanded(path: str) -> str:
    """Return a path with `~` and `$VARIABLE` replaced. An unknown variable stays as it is."""
    return os.path.expandvars(os.path.expanduser(path))


def user_path(data: Path, path: str) -> Path:
    """Return the path of a user's file or folder: absolute, or below the data folder.

    A name that exists as it is written is not expanded.
    """
    written = data / path
    return written if os.path.lexists(written) else data / expanded(path)


def user_file(path: str, bits: object, seed: object, data: Path) -> Path:
    """Return the path of a user file below `data`; {bits} and {seed} stand for those of the run."""
    return user_path(data, _filled(path, bits, seed))


def _filled(path: str, bits: object, seed: object) -> str:
    return path.replace("{bits}", str(bits)).replace("{seed}", str(seed))


def file_and_array(path: str) -> tuple[str, str]:
    """Return the file and the name of the array that a path FILE:NAME stands for.

    The name is empty for a plain path. Only files that may hold several arrays take a name.
    """
    parts = re.fullmatch(rf"(.*?\.(?:{ARCHIVES}))(?::(.*))?", path, re.DOTALL | re.IGNORECASE)
    return (parts[1], parts[2] or "") if parts else (path, "")


def read_paths(variant: Variant, bits: object = "", seed: object = "") -> list[str]:
    """Return the files and folders below the data folder that a variant reads, existing or not.

    They are those that its parameters name, and of a data set the official layout that its class
    declares in `reads`. Weights are not among them: their digest is known in advance.
    """
    files = [_filled(file_and_array(path)[0], bits, seed) for path in variant.user_files]
    return list(dict.fromkeys([*files, *(variant.plugin.member("reads") or ())]))


def content_digests(data: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return {path: digest} of the files and folders below `data` that exist."""
    digests = {path: digest for path in paths if (digest := _content_digest(user_path(data, path)))}
    _known_digests().save()
    return digests


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, which is read only if it changed since it was last read."""
    return _known_digests().digest(path)


def save_digests() -> None:
    """Save the digests of the files that `file_digest` has read."""
    _known_digests().save()


def _content_digest(path: Path) -> str:
    if path.is_dir():
        return _folder_digest(path)
    return _known_digests().digest(path) if path.is_file() else ""


def _folder_digest(folder: Path) -> str:
    """Return the digest of a folder: images by name, size and time, other files by content."""
    lines = hashlib.sha256()
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        if not path.is_file():
            identity = "no file"  # a link to nothing, or a pipe, which would block its reader
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            status = path.stat()
            identity = f"{status.st_size} {status.st_mtime_ns}"
        else:
            identity = _known_digests().digest(path)
        # A file name that is not UTF-8 has surrogates.
        lines.update(f"{name} {identity}\n".encode("utf-8", "surrogateescape"))

    return lines.hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            yield Path(parent, name)


class _KnownDigests:
    """The digests of files, cached in DIGESTS by size, modification and change time, and inode."""

    def __init__(self) -> None:
        self._entries = self._read()
        self._unsaved: set[str] = set()

    def _read(self) -> dict[str, dict]:
        try:
            stored = storage.read_json(DIGESTS) if DIGESTS.is_file() else {}
        except BenchmarkError:  # digests that the cache lacks are computed
            return {}

        return {
            path: entry
            for path, entry in stored.items()
            if isinstance(entry, dict) and {"stamp", "sha256"} <= entry.keys()
        }

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file."""
        status = path.stat()
        key = str(path.resolve())
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        if key not in self._entries or self._entries[key]["stamp"] != stamp:
            try:
                sha256 = storage.digest(path)
            except OSError as error:
                raise BenchmarkError(
                    f"{path} cannot be read ({error.strerror}): expected a file that you may "
                    "read. Change its permissions, or delete it"
                ) from None
            self._entries[key] = {"stamp": stamp, "sha256": sha256}
            self._unsaved.add(key)

        return self._entries[key]["sha256"]

    def save(self) -> None:
        """Save new digests, except of files that changed a moment ago.

        Within a tick of the clock, a second change would go unnoticed.

        Two jobs that save at the same moment may disturb each other. What is not saved is computed
        again.
        """
        latest = time.time_ns() - int(SETTLED_SECONDS * 1e9)
        recent = {key for key in self._unsaved if max(self._entries[key]["stamp"][1:3]) > latest}
        if self._unsaved == recent:
            return
        settled = {key: entry for key, entry in self._entries.items() if key not in recent}
        with contextlib.suppress(BenchmarkError):
            storage.write_json(DIGESTS, settled)
        self._unsaved = recent


@functools.cache  # read once per process
def _known_digests() -> _KnownDigests:
    return _KnownDigests()


def job_environment(data: str) -> dict[str, str]:
    """Return the environment variables of every job.

    `python` is the interpreter that plans, and the project's modules take precedence over installed
    packages of the same names.
    """
    paths = [str(plugins.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    programs = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {
        "PATH": os.pathsep.join(programs),
        "PYTHONPATH": os.pathsep.join(paths),
        DATA_VARIABLE: str(data_folder(data)),
        STARTED_VARIABLE: os.environ.get(STARTED_VARIABLE) or str(time.time()),
    }
