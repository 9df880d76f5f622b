"""What every extractor gives: blocks of feature rows, checked as they are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments import BenchmarkError

BLOCK = 4096  # rows at a time


class Extractor:
    """Contract: class attributes and `extract`; keywords of `__init__` are its settings.

    label: name in tables; citation: key in report/references.bib or None.
    """

    label: str
    citation: str | None = None

    def extract(self, images: np.ndarray, data: Path) -> Iterator[np.ndarray]:
        """Yield float32 blocks (m, d) in the order of `images` (n, h, w, 3) uint8. `data` is the user's folder, only read."""
        raise NotImplementedError


def blocks(n: int) -> Iterator[slice]:
    """Consecutive slices that cover range(n)."""
    for start in range(0, n, BLOCK):
        yield slice(start, min(start + BLOCK, n))


def check_block(block: np.ndarray, start: int, name: str) -> None:
    """Raise BenchmarkError if features, whose first row is row `start`, are not finite."""
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        raise BenchmarkError(f"{name}: row {start + int(np.argmin(finite))} holds NaN or infinity, expected finite features")
