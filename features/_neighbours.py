"""Exact nearest neighbours of the training images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from progress import Progress

LENGTH = 64  # neighbours kept for each image, itself first
SPARE = 32  # more candidates than needed, so that rounding in float32 seldom matters
ROWS = 128  # images at a time
ROUNDING = 1e-5  # bound on the error of a float32 inner product of unit vectors; never reached below 60,000 dimensions


def nearest(features: np.ndarray, length: int = LENGTH, threads: int = 1, metric: str = "centred-cosine") -> np.ndarray:
    """Ranked exact neighbour lists, int32 (n, min(length, n)): each image first, then nearest first, equal ones by lower index.

    features: (n, d) float32; metric: `centred-cosine`, the cosine of features centred on their mean; `cosine`, of features as they
    are; `l2`, Euclidean. Candidates are found by float32 matrix products and ranked by float64 sums; where float32 could have missed
    one, the whole row is ranked in float64.
    """
    length = min(length, len(features))
    space = _Space.of(features, metric)
    starts = range(0, len(features), ROWS)
    progress = Progress("neighbours", total=len(features), unit="images")
    lists = np.empty((len(features), length), dtype=np.int32)
    with ThreadPoolExecutor(threads) as pool:
        for start, block in zip(starts, pool.map(lambda start: _block(space, start, length), starts), strict=True):
            lists[start : start + len(block)] = block
            progress.advance(len(block))
    return lists


@dataclass(frozen=True)
class _Space:
    """Points, how near they are exactly, and nearly: within `rounding`, single x . single y - offset of y, in float32.

    points: (n, d) float64, unit vectors for a cosine, the features themselves for l2; single: (n, d) float32, the points about their
    mean; offset: (n,) float64, half the squared norm of single for l2, else 0.
    """

    points: np.ndarray
    single: np.ndarray
    offset: np.ndarray
    rounding: float
    euclidean: bool

    @classmethod
    def of(cls, features: np.ndarray, metric: str) -> _Space:
        points = features.astype(np.float64)
        if metric == "l2":
            centred = points - points.mean(axis=0)  # moves no distance, and keeps digits in float32
            squares = np.square(centred).sum(axis=1)
            return cls(points, centred.astype(np.float32), squares / 2, ROUNDING * float(squares.max()), euclidean=True)
        if metric == "centred-cosine":
            points -= points.mean(axis=0)
        norms = np.linalg.norm(points, axis=1, keepdims=True)
        # An image at the very mean stays zero, with cosine 0 to all.
        points = np.divide(points, norms, out=points, where=norms > 0)
        return cls(points, points.astype(np.float32), np.zeros(len(points)), ROUNDING, euclidean=False)

    def nearness(self, row: int, others: np.ndarray) -> np.ndarray:
        """float64: the cosine, or minus half the squared distance; a sum over the last axis adds in one order for every row, so
        images that are equal are equally near."""
        if self.euclidean:
            return np.square(self.points[others] - self.points[row]).sum(axis=1) / -2
        return (self.points[others] * self.points[row]).sum(axis=1)


def _block(space: _Space, start: int, length: int) -> np.ndarray:
    n = len(space.points)
    rows = np.arange(start, min(start + ROWS, n))
    approximate = space.single[rows] @ space.single.T - space.offset.astype(np.float32)  # (rows, n)
    width = min(length + SPARE, n)
    candidates = np.argpartition(-approximate, width - 1, axis=1)[:, :width]
    candidates.sort(axis=1)
    lists = np.empty((len(rows), length), dtype=np.int32)
    for at, row in enumerate(rows):
        lists[at], last = _ranked(space, row, candidates[at], length)
        # Whatever is no candidate has at most the smallest candidate's approximate nearness.
        if width < n and last + space.offset[row] - approximate[at, candidates[at]].min() <= space.rounding:
            lists[at], _ = _ranked(space, row, np.arange(n), length)
    return lists


def _ranked(space: _Space, row: int, candidates: np.ndarray, length: int) -> tuple[np.ndarray, float]:
    """The `length` nearest of `candidates` (rising indices), `row` itself first, and the nearness of the last."""
    others = candidates[candidates != row]
    nearness = space.nearness(row, others)
    order = np.argsort(-nearness, kind="stable")[: length - 1]
    last = nearness[order[-1]] if len(order) else np.inf
    return np.concatenate(([row], others[order])), last
