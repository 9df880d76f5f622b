"""Exact nearest neighbours of the training images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from harness.progress import Progress

LENGTH = 64  # neighbours of each image, itself first
SPARE = 32  # more candidates than needed, so that rounding in float32 seldom matters
ROWS = 128  # images at a time, and fewer if a thread would hold more than CELLS values
CELLS = 1 << 23  # approximate similarities, 16 bytes each with their order
AT_ONCE = 1024  # images that one is compared with at a time in float64
# Bound on the error of a float32 inner product of unit vectors. It is never reached below 60,000
# dimensions.
ROUNDING = 1e-5


def nearest(
    features: np.ndarray, length: int = LENGTH, threads: int = 1, metric: str = "centred-cosine"
) -> np.ndarray:
    """Return exact neighbour lists, ranked.

    Parameters
    ----------
    features : ndarray of float32, shape (n, d)
    length : int
        Neighbours of each image, itself included.
    threads : int
    metric : {"centred-cosine", "cosine", "l2"}
        Cosine of features centred on their mean, cosine of features as they are, or Euclidean
        distance.

    Returns
    -------
    ndarray of int32, shape (n, min(length, n))
        Each image first, then the nearest first. Equally near images are in the order of their
        indices.

    Notes
    -----
    Candidates are found by float32 matrix products and ranked by float64 sums. If float32 could
    have missed one, the whole row is ranked in float64.
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
    """Points, and their exact and approximate similarities.

    The approximate similarity of x and y is ``single[x] @ single[y] - offset[y]`` in float32, up
    to `rounding`.

    Parameters
    ----------
    features : ndarray of float32, shape (n, d)
        From which points are computed when they are needed.
    mean : ndarray of float64, shape (d,)
        Subtracted from the features, or zeros.
    norms : ndarray of float64, shape (n, 1)
        Divisors of the features, or ones.
    single : ndarray of float32, shape (n, d)
        The points; for l2, about their mean.
    offset : ndarray of float64, shape (n,)
        Half the squared norm of `single` for l2, else 0.
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
            # float64. Centring changes no distance, and leaves more digits to float32.
            centred = features[rows] - mean
            squares[rows] = np.square(centred).sum(axis=1, keepdims=True)
            if metric != "l2":
                # An image equal to the mean has cosine 0 to all others.
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
        """Return unit vectors for a cosine, the features for l2: float64 (d,) or (m, d)."""
        return (self.features[rows] - self.mean) / self.norms[rows]

    def nearness(self, row: int, others: np.ndarray) -> np.ndarray:
        """Return the cosine, or minus half the squared distance, float64.

        A sum over the last axis has the same order for every row, so equal images are equally
        near.
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
    """Return the lists of consecutive rows, int32 (rows, length)."""
    n = len(space.features)
    rows = np.arange(start, min(start + rows, n))
    approximate = space.single[rows] @ space.single.T - space.offset.astype(np.float32)  # (rows, n)
    width = min(length + SPARE, n)
    candidates = np.argpartition(-approximate, width - 1, axis=1)[:, :width]
    candidates.sort(axis=1)
    lists = np.empty((len(rows), length), dtype=np.int32)
    for at, row in enumerate(rows):
        lists[at], last = _ranked(space, row, candidates[at], length)
        # All other images have at most the approximate similarity of the least similar candidate.
        if (
            width < n
            and last + space.offset[row] - approximate[at, candidates[at]].min() <= space.rounding
        ):
            lists[at], _ = _ranked(space, row, np.arange(n), length)

    return lists


def _ranked(
    space: _Space, row: int, candidates: np.ndarray, length: int
) -> tuple[np.ndarray, float]:
    """Return the `length` nearest candidates, `row` itself first, and the similarity of the last.

    candidates: increasing indices.
    """
    others = candidates[candidates != row]
    nearness = space.nearness(row, others)
    order = np.argsort(-nearness, kind="stable")[: length - 1]
    last = nearness[order[-1]] if len(order) else np.inf
    return np.concatenate(([row], others[order])), last
