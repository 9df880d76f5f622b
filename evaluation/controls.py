"""Controls: ranking by the real-valued features themselves, scored like codes with one bucket for each distinct distance."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numba
import numpy as np

from evaluation.relevance import QUERIES, THREADS, Relevance, parts
from harness.errors import BenchmarkError

BLOCK = 128  # database rows compared at a time: in float64 they fit the second-level cache
DISTANCES = 2**24  # that a thread holds at a time, where one query does not have more: 128 MiB
Result = TypeVar("Result")


def each_query(
    control: str,
    queries: np.ndarray,
    database: np.ndarray,
    train: np.ndarray,
    relevance: Relevance,
    measure: Callable[[np.ndarray], Result],
) -> list[Result]:
    """`measure(g)` of each query, with its counts int64 (1, B, S + 1) by shared labels in buckets of equal distance, nearest first.

    Features are float (Q, d), (N, d) and (n_train, d). `exact-cosine` subtracts the mean of the training rows and ranks by the cosine, 0
    for a zero vector; `exact-l2` ranks by the squared Euclidean distance. A distance is a float64 sum over the dimensions in order: it
    depends neither on an item's place nor on the number of threads. Items are ties if these sums are equal, as they are for equal rows.
    Raises BenchmarkError for features that are not finite.
    """
    levels = relevance.most_shared() + 1
    centre = train.mean(axis=0, dtype=np.float64)

    def measure_part(part: slice) -> list[Result]:
        distances = _distances(control, queries[part], database, centre)
        return [measure(_buckets(row, relevance.shared_by_items(query), levels)) for query, row in enumerate(distances, part.start)]

    with ThreadPoolExecutor(THREADS) as pool:
        size = min(QUERIES, max(1, DISTANCES // len(database)))
        return [result for results in pool.map(measure_part, parts(len(queries), size)) for result in results]


def _distances(control: str, queries: np.ndarray, database: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """float64 (C, N): what the database is ranked by, in increasing order."""
    distances = np.zeros((len(queries), len(database)))
    accumulate = _add_squares if control == "exact-l2" else _subtract_products
    rows = _prepared(control, queries, centre)
    for start in range(0, len(database), BLOCK):
        block = _prepared(control, database[start : start + BLOCK], centre)
        accumulate(rows, np.ascontiguousarray(block.T), start, distances)
    if not np.isfinite(distances).all():
        raise BenchmarkError("features.npy has values that are not finite: prepare these features again")
    return distances


def _prepared(control: str, features: np.ndarray, centre: np.ndarray) -> np.ndarray:
    if control == "exact-l2":
        return features.astype(np.float64)
    centred = features - centre
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.where(lengths == 0, 1, lengths)


def _buckets(distances: np.ndarray, shared: np.ndarray, levels: int) -> np.ndarray:
    order = np.argsort(distances)
    starts = np.flatnonzero(np.diff(distances[order], prepend=-np.inf))
    return np.stack([np.add.reduceat(shared[order] == level, starts, dtype=np.int64) for level in range(levels)], axis=1)[None]


@numba.njit("(float64[:, ::1], float64[:, ::1], int64, float64[:, ::1])", nogil=True, cache=True)
def _subtract_products(queries, block, start, distances):
    for query in range(len(queries)):
        row = distances[query, start : start + block.shape[1]]
        for dimension in range(len(block)):
            for item in range(len(row)):
                row[item] -= queries[query, dimension] * block[dimension, item]


@numba.njit("(float64[:, ::1], float64[:, ::1], int64, float64[:, ::1])", nogil=True, cache=True)
def _add_squares(queries, block, start, distances):
    for query in range(len(queries)):
        row = distances[query, start : start + block.shape[1]]
        for dimension in range(len(block)):
            for item in range(len(row)):
                row[item] += (queries[query, dimension] - block[dimension, item]) ** 2
