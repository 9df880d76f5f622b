"""What is kept of codes to be looked at: the first items of a few queries, and how their bits behave."""

from __future__ import annotations

import hashlib

import numpy as np

from evaluation.relevance import Relevance

QUERIES = 24  # whose first items are kept
FIRST = 10  # items of each
MATRIX = 64  # bits, the first ones, whose correlations are kept
SAMPLE = 10_000  # database items, evenly spaced, that correlations are taken over

Arrays = dict[str, np.ndarray]


def chosen(queries: int) -> np.ndarray:
    """Places (m,) int64 of at most QUERIES of so many queries, in the order of a hash: no label, and no code, has a say."""
    order = sorted(range(queries), key=lambda place: hashlib.sha256(f"inspected query {place}".encode()).digest())
    return np.array(order[:QUERIES], dtype=np.int64)


def inspect(query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance, n: np.ndarray, r: np.ndarray) -> Arrays:
    """The arrays that a scoring job keeps of codes uint8 (Q, ceil(bits / 8)) and (N, ceil(bits / 8)).

    first (m, FIRST) int32: places in the database of the items first by (distance, place) of the `chosen` queries; first_distance
    (m, FIRST) int16; first_relevant (m, FIRST) bool; first_tied (m,) int32: items as far as the last of them that are not among them;
    ones (bits,) float32: the share of database items with each bit on; correlation (M, M) int8: a hundred times Pearson's correlation
    of the first MATRIX bits over at most SAMPLE database items, 0 with a bit that is constant; pairs (2, bits + 1) int64: the relevant and
    the other pairs of a query and an item at each distance, of `n` and `r` (Q, bits + 1).
    """
    queries = chosen(len(query_codes))
    firsts = [_first(query_codes[query], database_codes, relevance.shared_by_items(query) > 0) for query in queries]
    first, distance, relevant, tied = (np.stack(column) for column in zip(*firsts, strict=True))
    on = np.unpackbits(database_codes, axis=1, count=min(bits, MATRIX))[:: -(-len(database_codes) // SAMPLE)]
    return {
        "first": first.astype(np.int32),
        "first_distance": distance.astype(np.int16),
        "first_relevant": relevant,
        "first_tied": tied.astype(np.int32),
        "ones": _ones(database_codes, bits),
        "correlation": _correlation(on),
        "pairs": np.stack([r, n - r]).sum(axis=1),
    }


def _first(code: np.ndarray, database_codes: np.ndarray, relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    distances = np.bitwise_count(database_codes ^ code).sum(axis=1, dtype=np.uint16)  # (N,); 16 bits are sorted in linear time
    first = np.argsort(distances, kind="stable")[:FIRST]
    last = distances[first[-1]]
    return first, distances[first], relevant[first], np.sum(distances == last) - np.sum(distances[first] == last)


def _ones(codes: np.ndarray, bits: int) -> np.ndarray:
    """Share of rows with each bit on, float32 (bits,); a byte at a time, so that no array is eight times the codes."""
    counts = [np.unpackbits(column[:, None], axis=1).sum(axis=0, dtype=np.int64) for column in codes.T]
    return (np.concatenate(counts)[:bits] / len(codes)).astype(np.float32)


def _correlation(on: np.ndarray) -> np.ndarray:
    """on: (n, M) of zeros and ones."""
    centred = on - on.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))
    spread[spread == 0] = np.inf
    return np.rint(100 * (centred.T @ centred) / np.outer(spread, spread)).astype(np.int8)
