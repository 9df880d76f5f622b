"""A ground truth without labels: the nearest database items of a query by real-valued features."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from .controls import BLOCK, DISTANCES, cosine_distances, unit_rows
from .errors import EvaluationError
from .relevance import THREADS, parts

COUNT = 100  # nearest items of a query
QUERIES = 256  # queries that a thread processes at a time
# Far above the rounding error of a product of two unit vectors, and far below a difference that
# matters: items within it are compared by exact sums.
MARGIN = 1e-9


@dataclass(frozen=True)
class Neighbours:
    """The nearest items of Q queries.

    Parameters
    ----------
    items : ndarray of int32, shape (T,)
        Database indices, those of one query after those of the other.
    starts : ndarray of int64, shape (Q + 1,)
        Position in `items` at which each query starts.
    weights : ndarray of float64, shape (T,)
        Probability that the item is one of the nearest `COUNT` items: less than 1 if more items
        tie at the last distance than are needed.
    """

    items: NDArray[np.int32]
    starts: NDArray[np.int64]
    weights: NDArray[np.float64]

    def of(self, queries: NDArray[np.int64]) -> Neighbours:
        """Return the neighbours of some queries."""
        lengths = np.diff(self.starts)[queries]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        offsets = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        positions = np.repeat(self.starts[queries], lengths) + offsets
        return Neighbours(self.items[positions], starts, self.weights[positions])

    def weights_of(self, query: int, database: int) -> NDArray[np.float64]:
        """Return the weight of each database item for one query, float64 (N,)."""
        part = slice(self.starts[query], self.starts[query + 1])
        weights = np.zeros(database)
        weights[self.items[part]] = self.weights[part]
        return weights

    def by_distance(
        self, query_codes: NDArray[np.uint8], database_codes: NDArray[np.uint8], bits: int
    ) -> NDArray[np.float64]:
        """Return the sum of the weights at each Hamming distance, float64 (Q, bits + 1).

        Parameters
        ----------
        query_codes, database_codes : ndarray of uint8, shape (Q, bytes) and (N, bytes)
            Packed codes.
        bits : int
            Length of the codes.
        """
        queries = len(query_codes)
        query = np.repeat(np.arange(queries), np.diff(self.starts))  # (T,)
        differing = query_codes[query] ^ database_codes[self.items]
        distances = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
        buckets = query * (bits + 1) + distances
        sums = np.zeros(queries * (bits + 1))
        np.add.at(sums, buckets, self.weights)
        return sums.reshape(queries, bits + 1)


def nearest_items(queries: np.ndarray, database: np.ndarray, train: np.ndarray) -> Neighbours:
    """Return the `COUNT` nearest database items of each query.

    The distance is that of the control "exact-cosine": cosine after subtracting the mean of the
    training rows. A matrix product finds the candidates. Their distances are then computed exactly
    as in the control, so that two items are tied here if they are tied there.

    Parameters
    ----------
    queries : ndarray of float, shape (Q, d)
        Features of the queries.
    database : ndarray of float, shape (N, d)
        Features of the database, at least `COUNT` rows.
    train : ndarray of float, shape (n_train, d)
        Features of the training images.

    Returns
    -------
    Neighbours

    Raises
    ------
    EvaluationError
        If the database has fewer than `COUNT` items, or a feature is not finite.
    """
    if len(database) < COUNT:
        raise EvaluationError(f"the database has {len(database)} items: expected at least {COUNT}")

    centre = train.mean(axis=0, dtype=np.float64)

    def of_part(part: slice) -> list[tuple[np.ndarray, np.ndarray]]:
        rows = unit_rows(queries[part], centre)
        products = _products(rows, database, centre)
        return list(_ranked(rows, products, database, centre))

    size = min(QUERIES, max(1, DISTANCES // len(database)))
    with ThreadPoolExecutor(THREADS) as pool:
        lists = chain.from_iterable(pool.map(of_part, parts(len(queries), size)))
        items, weights = zip(*lists, strict=True)

    lengths = [len(row) for row in items]
    return Neighbours(
        np.concatenate(items).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate(weights),
    )


def _products(rows: np.ndarray, database: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return the cosines (C, N), up to rounding. A block of the database is prepared at a time."""
    products = np.empty((len(rows), len(database)))
    step = 16 * BLOCK
    for start in range(0, len(database), step):
        block = unit_rows(database[start : start + step], centre)
        np.matmul(rows, block.T, out=products[:, start : start + len(block)])
    if not np.isfinite(products).all():
        raise EvaluationError("features have values that are not finite. Recompute the features")
    return products


def _ranked(
    rows: np.ndarray, products: np.ndarray, database: np.ndarray, centre: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the nearest items and their weights, query by query."""
    last = len(database) - COUNT
    for row, cosines in zip(rows, products, strict=True):
        lowest = np.partition(cosines, last)[last] - MARGIN
        candidates = np.flatnonzero(cosines >= lowest)
        distances = cosine_distances(row[None], database[candidates], centre)[0]

        limit = np.partition(distances, COUNT - 1)[COUNT - 1]
        inside, tied = distances < limit, distances == limit
        weights = inside + tied * (COUNT - inside.sum()) / tied.sum()
        nearest = weights > 0
        yield candidates[nearest], weights[nearest]
