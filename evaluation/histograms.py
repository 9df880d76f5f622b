"""The one pass over all pairs: how many items, and how many relevant ones, lie at each Hamming distance from each query."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from numba.extending import intrinsic

from evaluation.relevance import Relevance, parts
from experiments import BenchmarkError

BLOCK = 2048  # database items whose distances are kept at a time: their words and distances stay in the first-level cache
TABLES = 4  # equal distances in a row fall into different tables, so that no increment waits for the one before
THREADS = numba.config.NUMBA_NUM_THREADS  # all cores, or the environment variable of that name


def hamming(query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance) -> tuple[np.ndarray, np.ndarray]:
    """Items `n` and relevant items `r` at each distance 0..bits of each query, both int64 (Q, bits + 1).

    Codes are uint8 (Q, ceil(bits / 8)) and (N, ceil(bits / 8)): `numpy.packbits` of bool (n, bits) along axis 1.
    Raises BenchmarkError if they are of another type or shape, or if their rows are not those of `relevance`.
    """
    _check_codes("query", query_codes, bits, relevance.queries.shape[1])
    _check_codes("database", database_codes, bits, len(relevance.order))
    queries, database = _words(query_codes), _words(database_codes[relevance.order])
    n, r = np.zeros((2, len(query_codes), bits + 1), np.int64)

    def count(part: slice) -> None:
        _count(queries[:, part], database, relevance.starts, relevance.of_queries(part), n[part], r[part])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(count, parts(len(query_codes))))
    return n, r


def _check_codes(which: str, codes: np.ndarray, bits: int, rows: int) -> None:
    expected = (rows, -(-bits // 8))
    if bits < 1:
        raise BenchmarkError(f"{which} codes have {bits} bits: expected at least 1")
    if codes.dtype != np.uint8 or codes.shape != expected:
        raise BenchmarkError(
            f"{which} codes are {codes.dtype} {codes.shape}: {bits} bits of {rows} labelled items are packed as uint8 {expected}"
        )
    if np.any(codes[:, -1] & (0xFF >> (bits - 1) % 8 + 1)):
        raise BenchmarkError(f"{which} codes have bits beyond the {bits} they should have: pack them with numpy.packbits(codes, axis=1)")


def _words(packed: np.ndarray) -> np.ndarray:
    """Bytes (n, width) as uint64 (W, n), zero-padded: one row a word, so that the words of a block are neighbours in memory."""
    padded = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return np.ascontiguousarray(padded.view(np.uint64).T)


@intrinsic
def _popcount(typing_context, word):
    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return numba.uint64(numba.uint64), generate


@numba.njit("(uint64[:], uint64[:, ::1], int64, int64, uint16[::1])", nogil=True, cache=True)
def _distances(query, database, start, stop, distances):
    word, items = query[0], database[0, start:stop]
    for item in range(len(items)):
        distances[item] = _popcount(word ^ items[item])
    for row in range(1, len(query)):
        word, items = query[row], database[row, start:stop]
        for item in range(len(items)):
            distances[item] += _popcount(word ^ items[item])


@numba.njit("(uint16[::1], int64, int64, uint32[:, ::1])", nogil=True, cache=True)
def _tally(distances, start, stop, tables):
    whole = stop - (stop - start) % TABLES
    for item in range(start, whole, TABLES):
        for table in range(TABLES):
            tables[table, distances[item + table]] += np.uint32(1)
    for item in range(whole, stop):
        tables[0, distances[item]] += np.uint32(1)


@numba.njit("(uint64[:, :], uint64[:, ::1], int64[::1], boolean[:, ::1], int64[:, ::1], int64[:, ::1])", nogil=True, cache=True)
def _count(queries, database, starts, relevant, n, r):
    """Count a part of the queries: `relevant` (queries, G), groups of the database between `starts`, results in `n` and `r`."""
    distances = np.empty(BLOCK, np.uint16)
    for query in range(queries.shape[1]):
        tables = np.zeros((2, TABLES, n.shape[1]), np.uint32)  # one set for the items that are not relevant, one for those that are
        group = 0
        for start in range(0, database.shape[1], BLOCK):
            stop = min(start + BLOCK, database.shape[1])
            _distances(queries[:, query], database, start, stop, distances)
            first = start
            while first < stop:
                last = min(starts[group + 1], stop)
                _tally(distances, first - start, last - start, tables[int(relevant[query, group])])
                group += last == starts[group + 1]
                first = last
        for table in range(TABLES):
            for distance in range(n.shape[1]):
                r[query, distance] += tables[1, table, distance]
                n[query, distance] += tables[0, table, distance] + tables[1, table, distance]
