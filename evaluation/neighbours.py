"""A ground truth without labels: the nearest database items of a query by real-valued features."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from .controls import BLOCK, cosine_distances, unit_rows
from .errors import EvaluationError
from .relevance import THREADS, parts

COUNT = 100  # nearest items of a query
QUERIES = 512  # queries that a thread processes at a time
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
        Features of the database, at least `COUNT` rows. Anything with a length that is indexed by
        slices and arrays of indices serves, so that they need not be in memory.
    train : ndarray of float, shape (n_train, d)
        Features of the training images, or anything else with a method `mean`.

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
        candidates = _candidates(rows, database, centre)
        return list(_ranked(rows, candidates, database, centre))

    with ThreadPoolExecutor(THREADS) as pool:
        lists = chain.from_iterable(pool.map(of_part, parts(len(queries), QUERIES)))
        items, weights = zip(*lists, strict=True)

    lengths = [len(row) for row in items]
    return Neighbours(
        np.concatenate(items).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate(weights),
    )


def _candidates(rows: np.ndarray, database: np.ndarray, centre: np.ndarray) -> list[np.ndarray]:
    """Return for each of C rows the items that may be among its nearest ones, increasing.

    The database is read once, block by block, and no cosine is stored that is already too small.
    """
    largest = np.full((len(rows), COUNT), -np.inf)  # cosines so far, the smallest of them first
    blocks = []
    step = 16 * BLOCK
    for start in range(0, len(database), step):
        block = unit_rows(database[start : start + step], centre)
        cosines = rows @ block.T  # (C, step), up to rounding
        if not np.isfinite(cosines).all():
            raise EvaluationError(
                "features have values that are not finite. Recompute the features"
            )
        joined = np.concatenate([largest, cosines], axis=1)
        largest = np.partition(joined, -COUNT, axis=1)[:, -COUNT:]
        row, item = np.nonzero(cosines >= largest[:, :1] - MARGIN)
        blocks.append((row, item + start, cosines[row, item]))

    row, item, cosine = map(np.concatenate, zip(*blocks, strict=True))
    near = np.flatnonzero(cosine >= largest[row, 0] - MARGIN)
    order = near[np.argsort(row[near], kind="stable")]
    ends = np.cumsum(np.bincount(row[order], minlength=len(rows)))
    return np.split(item[order], ends[:-1])


def _ranked(
    rows: np.ndarray, candidates: list[np.ndarray], database: np.ndarray, centre: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the nearest items and their weights, query by query."""
    for row, items in zip(rows, candidates, strict=True):
        distances = cosine_distances(row[None], database[items], centre)[0]

        limit = np.partition(distances, COUNT - 1)[COUNT - 1]
        inside, tied = distances < limit, distances == limit
        weights = inside + tied * (COUNT - inside.sum()) / tied.sum()
        nearest = weights > 0
        yield items[nearest], weights[nearest]
