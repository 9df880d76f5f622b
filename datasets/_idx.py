"""The idx files of MNIST and of data sets in the same format: local, or downloaded and checked."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets._base import PUBLISHED, Collection
from datasets._files import Folder
from harness.downloads import Published, fetch
from harness.errors import BenchmarkError, reading
from harness.storage import digest

TRAINING, TEST, SIDE = 60_000, 10_000, 28
CONTENTS = {  # magic number and shape of each file
    "train-images-idx3-ubyte": (0x803, (TRAINING, SIDE, SIDE)),
    "train-labels-idx1-ubyte": (0x801, (TRAINING,)),
    "t10k-images-idx3-ubyte": (0x803, (TEST, SIDE, SIDE)),
    "t10k-labels-idx1-ubyte": (0x801, (TEST,)),
}


def load(
    data: Path, cache: Path, folders: tuple[str, ...], url: str, sha256: dict[str, str]
) -> Collection:
    """Return 70,000 grey images as RGB, training files first.

    The test files are queries. The training files are database and training images.

    Parameters
    ----------
    data, cache : Path
        The user's data folder, and the cache, in which downloads are saved.
    folders : tuple of str
        Folders below `data` that may have the files, as .gz or unpacked. A missing file is
        downloaded. The first folder is the one that messages name.
    url : str
        Address of the folder with the .gz files.
    sha256 : dict of str to str
        SHA-256 of each .gz file, by its name without the suffix.

    Raises
    ------
    BenchmarkError
        If a file cannot be downloaded or is damaged. The message names all such files.
    """
    arrays, problems = {}, []
    for name in CONTENTS:
        try:
            arrays[name] = _array(
                name, data, folders, cache / "downloads" / folders[0], url, sha256
            )
        except BenchmarkError as error:
            problems.append(str(error))

    if problems:
        raise BenchmarkError("; ".join(problem.rstrip(".") for problem in problems))

    grey = np.concatenate([arrays["train-images-idx3-ubyte"], arrays["t10k-images-idx3-ubyte"]])
    labels = np.concatenate([arrays["train-labels-idx1-ubyte"], arrays["t10k-labels-idx1-ubyte"]])
    database = np.arange(TRAINING)
    rule = (
        "queries: the official test set; database and training: the official training set; "
        "relevant: same class"
    )
    return Collection(
        images=np.repeat(grey[..., None], 3, axis=3),
        labels=labels.astype(np.int64),
        query=np.arange(TRAINING, TRAINING + TEST),
        database=database,
        train=database,
        sizes=(TEST, TRAINING, TRAINING),
        rules=((rule, PUBLISHED),),
    )


def _array(
    name: str,
    data: Path,
    folders: tuple[str, ...],
    downloads: Path,
    url: str,
    sha256: dict[str, str],
) -> np.ndarray:
    """Return the array of one file: unpacked, packed, or downloaded."""
    candidates = list(_candidates(data, folders, name))
    unpacked = next(filter(Path.is_file, candidates), None)
    if unpacked:
        return parse(Folder(unpacked.parent).read(unpacked.name), name, str(unpacked))

    published = Published(f"{url}{name}.gz", sha256[name])
    packed = [path.with_name(f"{path.name}.gz") for path in candidates]
    path = next(filter(Path.is_file, packed), None)
    if path is None:
        path = fetch(
            published, downloads / f"{name}.gz", manual_path=data / folders[0] / f"{name}.gz"
        )

    file_sha256 = digest(path)
    if file_sha256 != published.sha256:
        raise BenchmarkError(
            f"{path} has SHA-256 {file_sha256}, expected {published.sha256}: download it "
            f"again from {published.url}"
        )

    return parse(unpack(path.read_bytes(), name, str(path)), name, str(path))


def _candidates(data: Path, folders: tuple[str, ...], name: str) -> Iterator[Path]:
    """Yield the paths that an unpacked file may have: the official name, and those of Kaggle.

    Kaggle writes `train-images.idx3-ubyte`, and puts each file into a folder of its own name.
    """
    with_dot = name.replace("-idx", ".idx")
    for folder in folders:
        for path in (name, with_dot, f"{name}/{name}", f"{name}/{with_dot}"):
            yield data / folder / path


def unpack(content: bytes, name: str, shown: str) -> bytes:
    """Return what a .gz file holds, at most one byte more than the file `name` should have."""
    longest = 16 + int(np.prod(CONTENTS[name][1]))
    with reading(shown, "a gzip file", "Get it again."), gzip.open(io.BytesIO(content)) as file:
        return file.read(longest + 1)


def parse(content: bytes, name: str, shown: str) -> np.ndarray:
    """Return the array of an idx file, uint8.

    The file has a magic number and the sizes as big-endian int32, then the values. Raise
    BenchmarkError for any other content.
    """
    magic, shape = CONTENTS[name]
    header = np.array([magic, *shape], dtype=">i4").tobytes()
    expected = len(header) + int(np.prod(shape))
    if len(content) != expected or not content.startswith(header):
        start = f"{len(content):,} bytes that begin with {content[: len(header)].hex()}"
        raise BenchmarkError(
            f"{shown} has {start}, expected {expected:,} that begin with {header.hex()}: "
            "download it again"
        )

    array = np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
    if len(shape) == 1 and array.max() > 9:
        raise BenchmarkError(
            f"{shown} has the label {array.max()}, expected 0 to 9: download it again"
        )

    return array
