"""Asymmetric rankings: real-valued queries, and binary codes of the database.

The distance of a query to a code is the sum of the weights of the bits in which the code differs
from the signs of the query. Hamming distance has the weight 1 for every bit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from .compiling import compiled
from .errors import EvaluationError
from .relevance import THREADS, Relevance, parts

# Weights are rounded to this number of bits below the largest weight of a query, so that sums are
# exact in int64: equal sums are ties, in whatever order the bits are. Of float32 values, those
# above a 2**-24th of the largest one are not changed.
FRACTION_BITS = 48
BYTES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(bool)  # (256, 8)
Result = TypeVar("Result")


def _logistic_weights(values: np.ndarray) -> np.ndarray:
    return np.tanh(np.abs(values) / 2)  # |2 sigmoid(value) - 1|


# Weight of each bit by the real value of the query before the threshold at 0.
WEIGHTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "product": np.abs,
    "sigmoid": _logistic_weights,
}


def each_query(
    distance: str,
    query_values: np.ndarray,
    database_codes: np.ndarray,
    relevance: Relevance,
    measure: Callable[[np.ndarray, np.ndarray], Result],
) -> list[Result]:
    """Apply `measure` to the counts of each query.

    Parameters
    ----------
    distance : {"product", "sigmoid"}
        "product" orders the items as the inner product of the query with their codes of -1 and 1
        (Gordo, Perronnin, Gong and Lazebnik, TPAMI 2014). "sigmoid" orders them as the L1 distance
        between the sigmoid of the query and their codes of 0 and 1.
    query_values : ndarray of float, shape (Q, bits)
        The values of which the codes of the queries are the signs.
    database_codes : ndarray of uint8, shape (N, ceil(bits / 8))
        ``numpy.packbits(codes, axis=1)`` of bool codes (N, bits).
    relevance : Relevance
        Relevance of these N items to these Q queries.
    measure : callable
        Called with int64 arrays `n` and `r` (1, B): the items and the relevant items in each bucket
        of equal distance, nearest first.

    Returns
    -------
    list
        Result of `measure` for each query.

    Raises
    ------
    EvaluationError
        If a value is not finite, or an array has another shape.
    """
    _validate(query_values, database_codes, relevance)
    signs, weights = query_values >= 0, _whole_weights(WEIGHTS[distance](query_values))
    codes = np.ascontiguousarray(database_codes.T)  # (bytes, N)

    def measure_part(part: slice) -> list[Result]:
        results = []
        for query in range(part.start, part.stop):
            relevant = relevance.of_queries(slice(query, query + 1))[0]  # (G,)
            keys = np.empty(codes.shape[1], np.int64)
            table = _byte_distances(signs[query], weights[query])
            _write_keys(table, codes, relevance.members, relevant, keys)
            results.append(measure(*_buckets(keys)))
        return results

    with ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(measure_part, parts(len(query_values)))
        return [result for part in results for result in part]


def _validate(query_values: np.ndarray, database_codes: np.ndarray, relevance: Relevance) -> None:
    queries, items = relevance.queries.shape[1], len(relevance.members)
    expected = (items, -(-query_values.shape[1] // 8))
    if len(query_values) != queries:
        raise EvaluationError(
            f"query values have {len(query_values)} rows: expected {queries}, one per query"
        )
    if database_codes.dtype != np.uint8 or database_codes.shape != expected:
        raise EvaluationError(
            f"database codes are {database_codes.dtype} {database_codes.shape}: expected uint8 "
            f"{expected}, the packed bits of {items} items"
        )
    if not np.isfinite(query_values).all():
        raise EvaluationError("query values are not all finite: recompute them")


def _whole_weights(weights: np.ndarray) -> np.ndarray:
    """Return weights as int64 multiples of a power of two, which is another one for each query."""
    _, exponents = np.frexp(weights.max(axis=1))
    return np.rint(np.ldexp(weights, FRACTION_BITS - exponents[:, None])).astype(np.int64)


def _byte_distances(signs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the distance of a query to each value of each byte of a code, int64 (bytes, 256).

    signs, weights: of the query, (bits,).
    """
    count = -(-len(signs) // 8)
    padded = np.zeros((2, 8 * count), np.int64)
    padded[:, : len(signs)] = signs, weights
    of_bytes = padded.reshape(2, count, 1, 8)
    differs = of_bytes[0].astype(bool) ^ BYTES  # (bytes, 256, 8)
    return np.where(differs, of_bytes[1], 0).sum(axis=2)


@compiled("(int64[:, ::1], uint8[:, ::1], int64[::1], boolean[::1], int64[::1])")
def _write_keys(table, codes, groups, relevant, keys):
    """Write twice the distance of each item, plus 1 for a relevant one, into keys (N,).

    table (bytes, 256); codes (bytes, N); groups (N,); relevant (G,).
    """
    keys[:] = 0
    for position in range(len(codes)):
        distances, row = table[position], codes[position]
        for item in range(len(keys)):
            keys[item] += distances[row[item]]

    for item in range(len(keys)):
        keys[item] = 2 * keys[item] + relevant[groups[item]]


def _buckets(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the items and the relevant items at each distance, int64 (1, B); sort the keys."""
    keys.sort()
    starts = np.flatnonzero(np.diff(keys >> 1, prepend=-1))
    items = np.diff(starts, append=len(keys))
    return items[None], np.add.reduceat(keys & 1, starts)[None]
