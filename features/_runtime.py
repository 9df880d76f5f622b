"""What decides the features and the neighbour lists of every extractor beside its own file.

This file is a source of all features and neighbour lists: a change of its meaning makes them stale.
Command line, files, checks, records and progress belong in __main__.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def extracted(
    extractor, consumes: tuple[str, ...], images: Callable[[], np.ndarray], n: int, start: int = 0
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield blocks of rows of n images from `start` on, and the features of each block.

    Parameters
    ----------
    extractor : Extractor
        With everything open that it reads.
    consumes : tuple of str
        Names of the arguments of `extract`: ``images``, or ``rows`` for an extractor that takes
        the rows from elsewhere.
    images : callable
        Opens the images, uint8 (n, h, w, 3). It is called again for every block, since all pages
        that were read count as memory of the process while a memory map is open.
    n : int
        Number of images.
    start : int, optional
        First row, a multiple of ``extractor.block``: blocks are the same after an interruption.

    Yields
    ------
    rows : slice
    features : ndarray of float32, shape (rows.stop - rows.start, d)
    """
    for rows in blocks(n, start, extractor.block):
        yield rows, extractor.extract(rows if "rows" in consumes else images()[rows])


def blocks(n: int, start: int, size: int) -> Iterator[slice]:
    """Yield consecutive slices of at most `size` rows that cover ``range(start, n)``."""
    for first in range(start, n, size):
        yield slice(first, min(first + size, n))


def neighbour_features(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the features (n_train, d) whose neighbours are listed, in the order of the split."""
    return features[train]
