"""Controls: rankings by the real-valued features, scored like codes.

Each distinct distance is a bucket of the histogram.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from .compiling import compiled
from .errors import EvaluationError
from .relevance import QUERIES, THREADS, Relevance, parts

BLOCK = 128  # database rows that are compared at a time: in float64 they fit in the L2 cache
DISTANCES = 2**24  # distances in memory per thread, 128 MiB, unless one query has more
Result = TypeVar("Result")


def each_query(
    control: str,
    queries: np.ndarray,
    database: np.ndarray,
    train: np.ndarray,
    relevance: Relevance,
    measure: Callable[[np.ndarray, np.ndarray], Result],
    weights_of: Callable[[int], np.ndarray] | None = None,
) -> list[Result]:
    """Apply `measure` to the counts of each query.

    A distance is a float64 sum over the dimensions in order. It depends neither on the index of
    the item nor on the number of threads. Items are ties if their distances are equal, which holds
    for equal rows.

    Parameters
    ----------
    control : {"exact-cosine", "exact-l2"}
        "exact-cosine" subtracts the mean of the training rows and ranks by cosine similarity,
        which is 0 for a zero vector. "exact-l2" ranks by squared Euclidean distance.
    queries : ndarray of float, shape (Q, d)
        Features of the queries.
    database : ndarray of float, shape (N, d)
        Features of the database.
    train : ndarray of float, shape (n_train, d)
        Features of the training images.
    relevance : Relevance
        Relevance of these N items to these Q queries.
    measure : callable
        Called with int64 (1, B, S + 1), the items in each bucket of equal distance, nearest first,
        by the number of shared labels; and with float64 (1, B), the sum of the weights of these
        items.
    weights_of : callable, optional
        Weight of each database item for a query, float64 (N,). Default: 1.

    Returns
    -------
    list
        Result of `measure` for each query.

    Raises
    ------
    EvaluationError
        If a feature is not finite.
    """
    levels = relevance.most_shared() + 1
    centre = train.mean(axis=0, dtype=np.float64)

    def measure_part(part: slice) -> list[Result]:
        distances = _distances(control, queries[part], database, centre)
        results = []
        for query, row in enumerate(distances, part.start):
            shared = relevance.shared_by_items(query)  # (N,)
            weights = np.ones(len(row)) if weights_of is None else weights_of(query)
            results.append(measure(*_buckets(row, shared, weights, levels)))
        return results

    size = min(QUERIES, max(1, DISTANCES // len(database)))
    with ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(measure_part, parts(len(queries), size))
        return [result for part in results for result in part]


def _distances(
    control: str, queries: np.ndarray, database: np.ndarray, centre: np.ndarray
) -> np.ndarray:
    """Return the distances float64 (C, N)."""
    if control == "exact-l2":
        distances = _euclidean_distances(queries.astype(np.float64), database)
    else:
        distances = cosine_distances(unit_rows(queries, centre), database, centre)
    if not np.isfinite(distances).all():
        raise EvaluationError("features have values that are not finite. Recompute the features")
    return distances


def _euclidean_distances(queries: np.ndarray, database: np.ndarray) -> np.ndarray:
    """Return the squared Euclidean distances float64 (C, N)."""
    distances = np.zeros((len(queries), len(database)))
    for start in range(0, len(database), BLOCK):
        block = database[start : start + BLOCK].astype(np.float64)
        _add_squares(queries, np.ascontiguousarray(block.T), start, distances)
    return distances


def cosine_distances(rows: np.ndarray, database: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return minus the centred cosines float64 (C, N) of `unit_rows` (C, d) and features (N, d)."""
    distances = np.zeros((len(rows), len(database)))
    for start in range(0, len(database), BLOCK):
        block = unit_rows(database[start : start + BLOCK], centre)
        _subtract_products(rows, np.ascontiguousarray(block.T), start, distances)
    return distances


def unit_rows(features: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return centred features of length 1, float64; a row at the centre stays 0."""
    centred = features - centre
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.where(lengths == 0, 1, lengths)


def _buckets(
    distances: np.ndarray, shared: np.ndarray, weights: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 (1, B, levels) and float64 (1, B), the items and their weights.

    distances, shared, weights: of each item, (N,).
    """
    order = np.argsort(distances)
    starts = np.flatnonzero(np.diff(distances[order], prepend=-np.inf))
    ranked = shared[order]
    counts = [np.add.reduceat(ranked == level, starts, dtype=np.int64) for level in range(levels)]
    return np.stack(counts, axis=1)[None], np.add.reduceat(weights[order], starts)[None]


@compiled("(float64[:, ::1], float64[:, ::1], int64, float64[:, ::1])")
def _subtract_products(queries, block, start, distances):
    """Subtract the products of queries (C, d) and block (d, items) from distances (C, N)."""
    for query in range(len(queries)):
        row = distances[query, start : start + block.shape[1]]
        for dimension in range(len(block)):
            for item in range(len(row)):
                row[item] -= queries[query, dimension] * block[dimension, item]


@compiled("(float64[:, ::1], float64[:, ::1], int64, float64[:, ::1])")
def _add_squares(queries, block, start, distances):
    """Add the squared differences of queries (C, d) and block (d, items) to distances (C, N)."""
    for query in range(len(queries)):
        row = distances[query, start : start + block.shape[1]]
        for dimension in range(len(block)):
            for item in range(len(row)):
                row[item] += (queries[query, dimension] - block[dimension, item]) ** 2
