"""Samples of codes for the gallery and the figures: first items of a few queries, and bits."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from .relevance import Relevance

QUERIES = 24  # queries whose first items are stored
FIRST = 10  # items of each query
MATRIX = 64  # first bits whose correlations are stored
SAMPLE = 10_000  # database items, evenly spaced, for the correlations

Arrays = dict[str, np.ndarray]


def chosen(queries: int) -> np.ndarray:
    """Return the indices of at most QUERIES queries, int64 (m,), in the order of a hash.

    The choice depends on the number of queries only, not on labels or codes.
    """
    hashes = [
        hashlib.sha256(f"inspected query {query}".encode()).digest() for query in range(queries)
    ]
    order = sorted(range(queries), key=hashes.__getitem__)
    return np.array(order[:QUERIES], dtype=np.int64)


def inspect(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    bits: int,
    relevance: Relevance,
    n: np.ndarray,
    r: np.ndarray,
) -> Arrays:
    """Return the arrays of a set of codes that figures need.

    Parameters
    ----------
    query_codes : ndarray of uint8, shape (Q, ceil(bits / 8))
        Packed codes of the queries.
    database_codes : ndarray of uint8, shape (N, ceil(bits / 8))
        Packed codes of the database.
    bits : int
        Length of the codes.
    relevance : Relevance
        Relevance of these N items to these Q queries.
    n, r : ndarray of int64, shape (Q, bits + 1)
        The histograms of these codes, from `histograms.hamming`.

    Returns
    -------
    dict of str to ndarray
        first : int32 (m, FIRST)
            Database indices of the first items by (distance, index) of the `chosen` queries.
        first_distance : int16 (m, FIRST)
            Their distances.
        first_relevant : bool (m, FIRST)
            Whether they are relevant.
        first_tied : int32 (m,)
            Items at the distance of the last of them that are not among them.
        ones : float32 (bits,)
            Share of database items in which each bit is 1.
        correlation : int8 (M, M)
            100 times Pearson's correlation of the first MATRIX bits over at most SAMPLE database
            items. It is 0 for a constant bit.
        pairs : int64 (2, bits + 1)
            Relevant and other pairs of a query and an item at each distance.
    """
    firsts = []
    for query in chosen(len(query_codes)):
        relevant = relevance.shared_by_items(query) > 0  # (N,)
        firsts.append(_first(query_codes[query], database_codes, relevant))
    first, distance, hits, tied = (np.stack(column) for column in zip(*firsts, strict=True))

    step = -(-len(database_codes) // SAMPLE)
    sample = np.unpackbits(database_codes, axis=1, count=min(bits, MATRIX))[::step]
    return {
        "first": first.astype(np.int32),
        "first_distance": distance.astype(np.int16),
        "first_relevant": hits,
        "first_tied": tied.astype(np.int32),
        "ones": _ones(database_codes, bits),
        "correlation": _correlation(sample),
        "pairs": np.stack([r, n - r]).sum(axis=1),
    }


def _first(
    code: np.ndarray, database_codes: np.ndarray, relevant: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return indices, distances and relevance of the first items, and the number of other ties."""
    # NumPy sorts 16-bit integers in linear time.
    distances = np.bitwise_count(database_codes ^ code).sum(axis=1, dtype=np.uint16)  # (N,)
    first = np.argsort(distances, kind="stable")[:FIRST]
    last = distances[first[-1]]
    tied = np.sum(distances == last) - np.sum(distances[first] == last)
    return first, distances[first], relevant[first], tied


def _ones(codes: np.ndarray, bits: int) -> np.ndarray:
    """Return the share of rows with each bit set, float32 (bits,).

    Unpacking one byte at a time avoids an array eight times the size of the codes.
    """
    counts = [
        np.unpackbits(column[:, None], axis=1).sum(axis=0, dtype=np.int64) for column in codes.T
    ]
    return (np.concatenate(counts)[:bits] / len(codes)).astype(np.float32)


def _correlation(sample: np.ndarray) -> np.ndarray:
    """Return int8 (M, M), 100 times the correlation of the columns of `sample` (n, M)."""
    centred = sample - sample.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))
    spread[spread == 0] = np.inf
    return np.rint(100 * (centred.T @ centred) / np.outer(spread, spread)).astype(np.int8)


def is_at_chance(average_precision: ArrayLike, chance: ArrayLike) -> bool:
    """Return whether a mean is not above that of a random ranking, by its interval over queries.

    Parameters
    ----------
    average_precision, chance : array_like of float, shape (Q,)
        Of each query, and of a random ranking for the same query. One query proves nothing.
    """
    differences = np.asarray(average_precision, np.float64) - np.asarray(chance, np.float64)
    queries = len(differences)
    if queries < 2:
        return False
    half = stdtrit(queries - 1, 0.975) * differences.std(ddof=1) / np.sqrt(queries)
    return bool(differences.mean() - half <= 0)
