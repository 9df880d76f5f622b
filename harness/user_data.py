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
# Identified by name, size and modification time, since a folder may hold a million of them.
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def data_folder(default: str = "data") -> Path:
    """Return the user's data folder: BGAN_BENCH_DATA if set, else `default`."""
    return Path(os.environ.get(DATA_VARIABLE) or default)


def user_file(path: str, bits: object, seed: object, data: Path) -> Path:
    """Return the path of a user file below `data`; {bits} and {seed} stand for those of the run."""
    return data / path.replace("{bits}", str(bits)).replace("{seed}", str(seed))


def read_paths(variant: Variant, bits: object = "", seed: object = "") -> list[str]:
    """Return the files and folders below the data folder that a variant reads, existing or not.

    They are those that its parameters name, and of a data set the official layout that its class
    declares in `reads`. Weights are not among them: their digest is known in advance.
    """
    files = [re.sub(r"\.mat:.*", ".mat", path) for path in variant.user_files]  # FILE.mat:VARIABLE
    filled = [path.replace("{bits}", str(bits)).replace("{seed}", str(seed)) for path in files]
    return list(dict.fromkeys([*filled, *(variant.plugin.member("reads") or ())]))


def content_digests(data: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return {path: digest} of the files and folders below `data` that exist."""
    digests = {path: digest for path in paths if (digest := _content_digest(data / path))}
    _known_digests().save()
    return digests


def _content_digest(path: Path) -> str:
    if path.is_dir():
        return _folder_digest(path)
    return _known_digests().digest(path) if path.is_file() else ""


def _folder_digest(folder: Path) -> str:
    """Digest of a folder: images by name, size and modification time, other files by content."""
    lines = hashlib.sha256()
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() in IMAGE_SUFFIXES:
            status = path.stat()
            identity = f"{status.st_size} {status.st_mtime_ns}"
        else:
            identity = _known_digests().digest(path)
        lines.update(f"{name} {identity}\n".encode())
    return lines.hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            yield Path(parent, name)


class _KnownDigests:
    """The digests of files, cached in DIGESTS by size, modification and change time, and inode."""

    def __init__(self):
        self._entries = self._read()
        self._unsaved: set[str] = set()

    def _read(self) -> dict[str, dict]:
        try:
            stored = storage.read_json(DIGESTS) if DIGESTS.is_file() else {}
        except BenchmarkError:  # a cache: what it cannot answer is computed
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
            self._entries[key] = {"stamp": stamp, "sha256": storage.digest(path)}
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
    programs = [str(Path(sys.executable).parent), os.environ["PATH"]]
    return {
        "PATH": os.pathsep.join(programs),
        "PYTHONPATH": os.pathsep.join(paths),
        DATA_VARIABLE: str(data_folder(data)),
        STARTED_VARIABLE: os.environ.get(STARTED_VARIABLE) or str(time.time()),
    }
