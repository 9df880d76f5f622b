"""What every extractor gives: a block of feature rows for a block of images, checked as it is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.errors import BenchmarkError

BLOCK = 64  # images at a time


class Extractor:
    """Contract: class attributes, `extract`, and `open` where there is something to read; keywords of `__init__` are its settings.

    label: name in tables; citation: key in report/references.bib or None; uses_gpu: whether a GPU serves it; block: rows at a time,
    always the same ones, so that a job that goes on after a kill cuts no other blocks. Set by the job:
    threads: as many blocks of work as may run at a time, no row depends on it; image_names: of the data set's image files, one a row,
    empty where images are no files of their own.
    """

    label: str
    citation: str | None = None
    uses_gpu: bool = False
    block: int = BLOCK
    threads: int = 1
    image_names: Sequence[str] = ()

    def check(self, data: Path) -> None:
        """Find what `open` will read, downloads included, before any work of the experiment. Raises BenchmarkError."""

    def open(self, data: Path, n: int) -> None:
        """Read what the extractor needs, once, before the first block. `data` is the user's folder, only read; n images will come.

        It may set `facts_`, a dictionary for features.json: how images are prepared, digests of files. Raises BenchmarkError.
        """

    def extract(self, images: np.ndarray) -> np.ndarray:
        """float32 (m, d), each row from its own image. images: (m, h, w, 3) uint8.

        An extractor that reads its rows from elsewhere names its argument `rows`, a slice of the data set's rows, instead.
        """
        raise NotImplementedError


def opened(path: Path) -> np.ndarray:
    """An array in a file, memory-mapped to read."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def check_block(block: np.ndarray, rows: slice, dimensions: int | None, name: str) -> None:
    """Raise BenchmarkError unless a block is float32 (rows, dimensions) of finite features; dimensions: None before the first."""
    m = rows.stop - rows.start
    if (
        block.dtype != np.float32
        or block.ndim != 2
        or len(block) != m
        or block.shape[1] != (dimensions or block.shape[1])
    ):
        expected = f"float32 ({m}, {dimensions or 'd'})"
        raise BenchmarkError(
            f"features/{name}.py gave {block.dtype} {block.shape} for {m} images, expected {expected}"
        )
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        raise BenchmarkError(
            f"{name}: row {rows.start + int(np.argmin(finite))} holds NaN or infinity, expected finite features"
        )
