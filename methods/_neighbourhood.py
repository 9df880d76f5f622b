"""The neighbourhood structure of the training images that BGAN learns from."""

from __future__ import annotations

import numpy as np
from scipy import sparse

ROWS = 2048  # training images at a time
TIES = ("place", "index")


def similar_pairs(
    neighbours: np.ndarray,
    k1: int = 20,
    k2: int = 30,
    second_step: bool = True,
    ties: str = "place",
) -> sparse.csr_array:
    """Return the pairs of training images that BGAN takes for similar.

    N(i) is the first k1 + 1 of the list of i. M(i) is the k2 images whose N has most in common with
    N(i). S(i, j) = +1 for j in the union of N over M(i), and for the reverse; else it is -1.
    Without the second step, S(i, j) = +1 for j in N(i), and for the reverse.

    Source: Song et al., AAAI 2018, and the authors' create_S.py, which orders equal overlaps by an
    unstable sort.

    Parameters
    ----------
    neighbours : ndarray of int32, shape (n, length)
        Ranked neighbour lists, each image itself first.
    k1, k2 : int
    second_step : bool
    ties : {"place", "index"}
        The order of equal overlaps: by position in the list of i, then by lower index; or by lower
        index only. Images without overlap come last, by their position.

    Returns
    -------
    csr_array of bool, shape (n, n)
        True where S = +1; symmetric with a full diagonal.

    Raises
    ------
    ValueError
        If the lists are too short for k1 or k2.
    """
    n, length = neighbours.shape
    if not (0 < k1 < length and 0 < k2 <= length):
        raise ValueError(
            f"k1 = {k1} and k2 = {k2} need neighbour lists longer than found: {length}; "
            "choose smaller ones"
        )

    nearest = _indicator(neighbours[:, : k1 + 1], n)
    if not second_step:
        return (nearest + nearest.T).astype(bool).tocsr()

    blocks = [
        _most_overlapping(nearest, neighbours, k2, start, ties) for start in range(0, n, ROWS)
    ]
    most = sparse.vstack(blocks, format="csr")  # (n, n), k2 ones in each row
    similar = (most @ nearest).astype(bool)
    return (similar + similar.T).tocsr()


def _indicator(columns: np.ndarray, n: int) -> sparse.csr_array:
    """Return a matrix (rows, n) of int32 ones at `columns` (rows, width)."""
    rows, width = columns.shape
    ones = np.ones(rows * width, dtype=np.int32)
    return sparse.csr_array(
        (ones, columns.ravel(), np.arange(0, rows * width + 1, width)), shape=(rows, n)
    )


def _most_overlapping(
    nearest: sparse.csr_array, neighbours: np.ndarray, k2: int, start: int, ties: str
) -> sparse.csr_array:
    """Return M for the rows from `start`, as an indicator (rows, n)."""
    n, length = neighbours.shape
    lists = neighbours[start : start + ROWS]
    closeness = _indicator(lists, n)
    # The first of the list is highest.
    closeness.data = np.tile(np.arange(length, 0, -1, dtype=np.int32), len(lists))

    # One integer orders by overlap first and by position in the list second. An overlap is at most
    # k1 + 1 <= length.
    score = (nearest[start : start + ROWS] @ nearest.T) * np.int32(length + 1) + closeness
    if ties == "index":
        overlaps = score.data > length
        score.data = np.where(overlaps, score.data - score.data % (length + 1), score.data)

    row = np.repeat(np.arange(len(lists), dtype=np.int64), np.diff(score.indptr))
    worst = (length + 1) * (length + 1)
    order = np.argsort((row * (worst + 1) + (worst - score.data)) * n + score.indices)
    first = np.asarray(score.indptr[:-1], dtype=np.int64)
    return _indicator(score.indices[order][first[:, None] + np.arange(k2)], n)
