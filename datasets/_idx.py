"""The idx files of MNIST and of the data sets made in its form: read where they are, or downloaded and checked."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import numpy as np

from datasets._base import PUBLISHED, Collection
from datasets._files import Folder
from harness.downloads import Published, fetch
from harness.errors import BenchmarkError
from harness.storage import digest

TRAINING, TEST, SIDE = 60_000, 10_000, 28
CONTENTS = {  # magic number and shape of each file
    "train-images-idx3-ubyte": (0x803, (TRAINING, SIDE, SIDE)),
    "train-labels-idx1-ubyte": (0x801, (TRAINING,)),
    "t10k-images-idx3-ubyte": (0x803, (TEST, SIDE, SIDE)),
    "t10k-labels-idx1-ubyte": (0x801, (TEST,)),
}


def load(data: Path, cache: Path, folder: str, url: str, sha256: dict[str, str]) -> Collection:
    """70,000 grey images as RGB, training files first: the test files are queries, the training files database and training.

    Each file is read from `data/folder`, as .gz or unpacked, else downloaded from `url`. sha256: of the .gz files, by name. Raises
    BenchmarkError.
    """
    arrays, problems = {}, []
    for name in CONTENTS:
        try:
            arrays[name] = _array(name, data / folder, cache / "downloads" / folder, url, sha256)
        except BenchmarkError as error:
            problems.append(str(error))
    if problems:
        raise BenchmarkError("; ".join(problems))
    grey = np.concatenate([arrays["train-images-idx3-ubyte"], arrays["t10k-images-idx3-ubyte"]])
    database = np.arange(TRAINING)
    return Collection(
        images=np.repeat(grey[..., None], 3, axis=3),
        labels=np.concatenate(
            [arrays["train-labels-idx1-ubyte"], arrays["t10k-labels-idx1-ubyte"]]
        ).astype(np.int64),
        query=np.arange(TRAINING, TRAINING + TEST),
        database=database,
        train=database,
        sizes=(TEST, TRAINING, TRAINING),
        rules=(
            (
                "queries: the official test set; database and training: the official training set; relevant: same class",
                PUBLISHED,
            ),
        ),
    )


def _array(name: str, local: Path, downloads: Path, url: str, sha256: dict[str, str]) -> np.ndarray:
    if (local / name).is_file():
        return parse(Folder(local).read(name), name, str(local / name))
    packed = f"{name}.gz"
    published = Published(f"{url}{packed}", sha256[packed])
    path = local / packed
    if not path.is_file():
        path = fetch(published, downloads / packed, manual_path=path)
    found = digest(path)
    if found != published.sha256:
        raise BenchmarkError(
            f"{path} has SHA-256 {found}, expected {published.sha256}: get it again from {published.url}"
        )
    return parse(unpack(path.read_bytes(), name, str(path)), name, str(path))


def unpack(content: bytes, name: str, shown: str) -> bytes:
    """What a .gz file holds, read no further than the file `name` is long. Raises BenchmarkError for a damaged one."""
    longest = 16 + int(np.prod(CONTENTS[name][1]))
    try:
        with gzip.open(io.BytesIO(content)) as file:
            return file.read(longest + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BenchmarkError(f"{shown} is no whole gzip file ({error}): get it again") from None


def parse(content: bytes, name: str, shown: str) -> np.ndarray:
    """The uint8 array of an idx file: magic number and sizes as big-endian int32, then the values. Raises BenchmarkError."""
    magic, shape = CONTENTS[name]
    header = np.array([magic, *shape], dtype=">i4").tobytes()
    expected = len(header) + int(np.prod(shape))
    if len(content) != expected or not content.startswith(header):
        found = f"{len(content):,} bytes that begin with {content[: len(header)].hex()}"
        raise BenchmarkError(
            f"{shown} has {found}, expected {expected:,} that begin with {header.hex()}: get it again"
        )
    array = np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
    if len(shape) == 1 and array.max() > 9:
        raise BenchmarkError(
            f"{shown} holds the label {array.max()}, expected 0 to 9: get it again"
        )
    return array
