"""Exact nearest neighbours of the training images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from harness.progress import Progress

LENGTH = 64  # neighbours kept for each image, itself first
SPARE = 32  # more candidates than needed, so that rounding in float32 seldom matters
ROWS = 128  # images at a time, and fewer where a thread would hold more than
CELLS = 1 << 23  # approximate nearnesses, 16 bytes each with their order
AT_ONCE = 1024  # images that one is compared with at a time in float64
# Bound on the error of a float32 inner product of unit vectors, for up to 60,000 dimensions.
ROUNDING = 1e-5


def nearest(
    features: np.ndarray, length: int = LENGTH, threads: int = 1, metric: str = "centred-cosine"
) -> np.ndarray:
    """Return exact neighbour lists.

    Candidates are found by float32 matrix products and ranked by float64 sums. Where float32 could
    have missed one, the whole row is ranked in float64.

    Parameters
    ----------
    features : ndarray of float32, shape (n, d)
    length : int
    threads : int
    metric : {"centred-cosine", "cosine", "l2"}
        The cosine of features centred on their mean, the cosine of features as they are, or the
        Euclidean distance.

    Returns
    -------
    ndarray of int32, shape (n, min(length, n))
        Each image itself first, then the nearest first, equal ones by lower index.
    """
    length = min(length, len(features))
    space = _Space.of(features, metric)
    rows = max(1, min(ROWS, CELLS // len(features)))
    starts = range(0, len(features), rows)
    progress = Progress("neighbours", total=len(features), unit="images")
    lists = np.empty((len(features), length), dtype=np.int32)
    with ThreadPoolExecutor(threads) as pool:
        for start, block in zip(
            starts, pool.map(lambda start: _block(space, start, rows, length), starts), strict=True
        ):
            lists[start : start + len(block)] = block
            progress.advance(len(block))
    return lists


@dataclass(frozen=True)
class _Space:
    """Points with their exact and their approximate nearness.

    The approximate nearness of y to x is single_x . single_y - offset_y in float32, with an error
    of at most `rounding`.

    Parameters
    ----------
    features : ndarray of float32, shape (n, d)
        The points are computed from them on demand.
    mean : ndarray of float64, shape (d,)
        Subtracted; zeros for none.
    norms : ndarray of float64, shape (n, 1)
        Divided by; ones for none.
    single : ndarray of float32, shape (n, d)
        The points; for l2 about their mean.
    offset : ndarray of float64, shape (n,)
        For l2 half the squared norm of `single`, else 0.
    rounding : float
    euclidean : bool
    """

    features: np.ndarray
    mean: np.ndarray
    norms: np.ndarray
    single: np.ndarray
    offset: np.ndarray
    rounding: float
    euclidean: bool

    @classmethod
    def of(cls, features: np.ndarray, metric: str) -> _Space:
        n, d = features.shape
        mean = np.zeros(d) if metric == "cosine" else features.mean(axis=0, dtype=np.float64)
        single, squares, norms = np.empty((n, d), np.float32), np.empty((n, 1)), np.ones((n, 1))
        for start in range(0, n, ROWS):
            rows = slice(start, start + ROWS)
            # In float64. Centring changes no distance, and preserves digits in float32.
            centred = features[rows] - mean
            squares[rows] = np.square(centred).sum(axis=1, keepdims=True)
            if metric != "l2":
                # An image equal to the mean has cosine 0 to all.
                norms[rows] = np.where(squares[rows] > 0, np.sqrt(squares[rows]), 1)
            single[rows] = centred / norms[rows]
        if metric == "l2":
            return cls(
                features,
                np.zeros(d),
                norms,
                single,
                squares[:, 0] / 2,
                ROUNDING * float(squares.max()),
                euclidean=True,
            )
        return cls(features, mean, norms, single, np.zeros(n), ROUNDING, euclidean=False)

    def points(self, rows: int | np.ndarray) -> np.ndarray:
        """Return float64 (d,) or (m, d): unit vectors for a cosine, the features for l2."""
        return (self.features[rows] - self.mean) / self.norms[rows]

    def nearness(self, row: int, others: np.ndarray) -> np.ndarray:
        """Return the cosine, or minus half the squared distance, in float64.

        A sum over the last axis adds in one order for every row, so equal images are equally near.
        """
        parts = [
            self._nearness(self.points(row), self.points(others[at : at + AT_ONCE]))
            for at in range(0, len(others), AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def _nearness(self, point: np.ndarray, points: np.ndarray) -> np.ndarray:
        if self.euclidean:
            return np.square(points - point).sum(axis=1) / -2
        return (points * point).sum(axis=1)


def _block(space: _Space, start: int, rows: int, length: int) -> np.ndarray:
    n = len(space.features)
    rows = np.arange(start, min(start + rows, n))
    approximate = space.single[rows] @ space.single.T - space.offset.astype(np.float32)  # (rows, n)
    width = min(length + SPARE, n)
    candidates = np.argpartition(-approximate, width - 1, axis=1)[:, :width]
    candidates.sort(axis=1)
    lists = np.empty((len(rows), length), dtype=np.int32)
    for at, row in enumerate(rows):
        lists[at], last = _ranked(space, row, candidates[at], length)
        # Whatever is no candidate has at most the smallest candidate's approximate nearness.
        if (
            width < n
            and last + space.offset[row] - approximate[at, candidates[at]].min() <= space.rounding
        ):
            lists[at], _ = _ranked(space, row, np.arange(n), length)
    return lists


def _ranked(
    space: _Space, row: int, candidates: np.ndarray, length: int
) -> tuple[np.ndarray, float]:
    """Return the `length` nearest of `candidates`, and the nearness of the last.

    candidates: in rising order. `row` itself is the first of the nearest.
    """
    others = candidates[candidates != row]
    nearness = space.nearness(row, others)
    order = np.argsort(-nearness, kind="stable")[: length - 1]
    last = nearness[order[-1]] if len(order) else np.inf
    return np.concatenate(([row], others[order])), last
