"""The user's data folder, the digests of the user's files, and the environment of jobs.

Standard library only.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import plugins
import storage
from errors import BenchmarkError
from harness.variants import USER_FILES, Variant

DATA_VARIABLE = "BGAN_BENCH_DATA"
STARTED_VARIABLE = "BGAN_BENCH_STARTED"  # seconds since the epoch
CORES_VARIABLE = "BGAN_BENCH_CORES"
CACHE = Path("cache")
DIGESTS = CACHE / "digests.json"
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
    named = [variant.params[key] for key in USER_FILES if isinstance(variant.params.get(key), str)]
    files = [re.sub(r"\.mat:.*", ".mat", path) for path in named]  # FILE.mat:VARIABLE
    filled = [path.replace("{bits}", str(bits)).replace("{seed}", str(seed)) for path in files]
    return list(dict.fromkeys([*filled, *variant.plugin.literals.get("reads", ())]))


def content_digests(data: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return {path: digest} of the files and folders below `data`, without those that are missing.

    A file is identified by its content. So is a folder, except for the images in it, which count by
    name, size and modification time: there may be a million of them.
    """
    cache = DigestCache()
    digests = {}
    for path in paths:
        if (data / path).is_dir():
            digests[path] = _folder_digest(data / path, cache)
        elif (data / path).is_file():
            digests[path] = cache.digest(data / path)
    cache.save()
    return digests


def _folder_digest(folder: Path, cache: DigestCache) -> str:
    lines = hashlib.sha256()
    for path in _files_below(folder):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() in IMAGE_SUFFIXES:
            status = path.stat()
            identity = f"{status.st_size} {status.st_mtime_ns}"
        else:
            identity = cache.digest(path)
        lines.update(f"{name} {identity}\n".encode())
    return lines.hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            yield Path(parent, name)


class DigestCache:
    """Digests of user files, computed again only after a file has changed.

    A file is unchanged if its size, modification time, change time and inode are.
    """

    def __init__(self):
        self._known = _read_digests()
        self._changed = False

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file."""
        status = path.stat()
        key = str(path.resolve())
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        if self._known.get(key, {}).get("stamp") != stamp:
            self._known[key] = {"stamp": stamp, "sha256": storage.digest(path)}
            self._changed = True
        return self._known[key]["sha256"]

    def save(self) -> None:
        """Write the cache if a digest was computed."""
        if self._changed:
            storage.write_json(DIGESTS, self._known)
            self._changed = False


@functools.cache
def _read_digests() -> dict[str, dict]:
    """The cache file, read once per process. A damaged one is replaced: it answers nothing."""
    try:
        return storage.read_json(DIGESTS) if DIGESTS.is_file() else {}
    except BenchmarkError:
        return {}


def job_environment(data: str, cores: int | None) -> dict[str, str]:
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
        CORES_VARIABLE: str(cores or 1),
    }
