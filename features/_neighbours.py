"""Exact nearest neighbours of the training images, by the cosine of centred features."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from progress import Progress

LENGTH = 64  # neighbours kept for each image, itself first
SPARE = 32  # more candidates than needed, so that rounding in float32 seldom matters
ROWS = 128  # images at a time
ROUNDING = 1e-5  # bound on the error of a float32 inner product of unit vectors; never reached below 60,000 dimensions


def nearest(features: np.ndarray, length: int = LENGTH, threads: int = 1) -> np.ndarray:
    """Ranked exact neighbour lists, int32 (n, min(length, n)): each image first, then by falling cosine, equal ones by lower index.

    features: (n, d) float32, centred here on their mean. Candidates are found by float32 matrix products and ranked by float64
    inner products; where float32 could have missed one, the whole row is ranked in float64.
    """
    length = min(length, len(features))
    unit = _unit_rows(features)
    single = unit.astype(np.float32)
    starts = range(0, len(unit), ROWS)
    progress = Progress("neighbours", total=len(unit), unit="images")
    lists = np.empty((len(unit), length), dtype=np.int32)
    with ThreadPoolExecutor(threads) as pool:
        for start, block in zip(starts, pool.map(lambda start: _block(unit, single, start, length), starts), strict=True):
            lists[start : start + len(block)] = block
            progress.advance(len(block))
    return lists


def _unit_rows(features: np.ndarray) -> np.ndarray:
    """Centred rows of length one, float64; an image at the very mean stays zero, with cosine 0 to all."""
    centred = features.astype(np.float64)
    centred -= centred.mean(axis=0)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, norms, out=centred, where=norms > 0)


def _block(unit: np.ndarray, single: np.ndarray, start: int, length: int) -> np.ndarray:
    rows = np.arange(start, min(start + ROWS, len(unit)))
    approximate = single[rows] @ single.T  # (rows, n)
    width = min(length + SPARE, len(unit))
    candidates = np.argpartition(-approximate, width - 1, axis=1)[:, :width]
    candidates.sort(axis=1)
    lists = np.empty((len(rows), length), dtype=np.int32)
    for at, row in enumerate(rows):
        lists[at], last = _ranked(unit, row, candidates[at], length)
        # Whatever is no candidate has at most the smallest candidate's approximate cosine.
        if width < len(unit) and last - approximate[at, candidates[at]].min() <= ROUNDING:
            lists[at], _ = _ranked(unit, row, np.arange(len(unit)), length)
    return lists


def _ranked(unit: np.ndarray, row: int, candidates: np.ndarray, length: int) -> tuple[np.ndarray, float]:
    """The `length` nearest of `candidates` (rising indices), `row` itself first, and the cosine of the last."""
    others = candidates[candidates != row]
    # A sum over the last axis adds in one order for every row, so equal images get equal cosines; a matrix product does not.
    cosines = (unit[others] * unit[row]).sum(axis=1)
    order = np.argsort(-cosines, kind="stable")[: length - 1]
    last = cosines[order[-1]] if len(order) else 1.0
    return np.concatenate(([row], others[order])), last
