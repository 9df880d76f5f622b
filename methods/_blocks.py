"""Functions of rows, computed on a block of rows at a time to bound the memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BLOCK = 4096  # rows at a time


def by_blocks(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return `function(rows)`, where the result of each row depends on that row alone."""
    starts = range(0, max(len(rows), 1), BLOCK)
    return np.concatenate([function(rows[start : start + BLOCK]) for start in starts])


def squared_distances(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the squared Euclidean distances, float64 (m, k), of m rows to k centres.

    Both are shifted by the mean of the centres: the expansion loses digits where the norms are
    large compared with the distances.
    """
    shift = centres.mean(axis=0, dtype=np.float64)  # (d,)
    centres = centres - shift
    norms = np.square(centres).sum(axis=1)  # (k,)

    def of_block(block: np.ndarray) -> np.ndarray:
        block = block - shift
        products = block @ centres.T  # (rows, k)
        return np.square(block).sum(axis=1)[:, None] - 2 * products + norms

    return np.maximum(by_blocks(of_block, rows), 0.0)
