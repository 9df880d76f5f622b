"""The plain kernel: NumPy, a query at a time. Oracle of the fast kernel, and its fallback."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..relevance import THREADS, Relevance


def count_levels(
    queries: np.ndarray, database: np.ndarray, bits: int, relevance: Relevance, levels: int
) -> np.ndarray:
    """Count the items at each distance and level. See `bitsliced.count_levels`."""
    counts = np.empty((queries.shape[1], bits + 1, levels), np.int64)  # (Q, bits + 1, levels)

    def count_query(query: int) -> None:
        differing = queries[:, query, None] ^ database  # (W, N)
        distances = np.bitwise_count(differing).sum(axis=0, dtype=np.int64)  # (N,)
        level = np.minimum(relevance.shared_by_items(query), levels - 1)  # (N,)
        buckets = np.bincount(distances * levels + level, minlength=(bits + 1) * levels)
        counts[query] = buckets.reshape(bits + 1, levels)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(count_query, range(queries.shape[1])))

    return counts
