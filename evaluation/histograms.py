"""The one pass over all pairs: how many items, and how many relevant ones, lie at each Hamming distance from each query."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from numba.extending import intrinsic

import provenance
from evaluation.relevance import Relevance, parts, words
from experiments import BenchmarkError

BLOCK = 2048  # database items whose distances are kept at a time: they stay in the first-level cache
TILE = 2**16  # words of the database that all queries of a part pass over before the next: they stay in the second-level cache
PAIRED = 2**16  # counters of pairs of distances, beyond which clearing them costs more than they save
GPU_WORK = 2**35  # comparisons of words from which on a GPU, where there is one, is worth the seconds that importing torch takes
THREADS = numba.config.NUMBA_NUM_THREADS  # all cores, or the environment variable of that name


def hamming(
    query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance, device: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Items `n` and relevant items `r` at each distance 0..bits of each query, both int64 (Q, bits + 1).

    Codes are uint8 (Q, ceil(bits / 8)) and (N, ceil(bits / 8)): `numpy.packbits` of bool (n, bits) along axis 1. `device` is "cpu", or a
    device of torch; by default a GPU where there is one and enough work. All give the same integers.
    Raises BenchmarkError if codes are of another type or shape, or if their rows are not those of `relevance`.
    """
    return items_and_relevant(_by_level(query_codes, database_codes, bits, relevance, relevance.of_queries, 2, device))


def hamming_shared(
    query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance, device: str | None = None
) -> np.ndarray:
    """Items `g` at each distance 0..bits that share 0..S labels with each query, int64 (Q, bits + 1, S + 1); else as `hamming`."""
    return _by_level(query_codes, database_codes, bits, relevance, relevance.shared, relevance.most_shared() + 1, device)


def items_and_relevant(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`n` and `r`, int64 (Q, B), of `g` (Q, B, S + 1): the items in each bucket, and those that share a label."""
    n = g.sum(axis=2)
    return n, n - g[:, :, 0]


def _by_level(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    bits: int,
    relevance: Relevance,
    level: Callable[[slice], np.ndarray],
    levels: int,
    device: str | None,
) -> np.ndarray:
    """Items at each distance of each query by the level of their group, int64 (Q, bits + 1, levels); `level(part)` is (queries, G)."""
    _check_codes("query", query_codes, bits, relevance.queries.shape[1])
    _check_codes("database", database_codes, bits, len(relevance.members))
    queries, database = words(query_codes), words(database_codes)
    device = device or _device(queries.size * database.shape[1])
    if device != "cpu":
        from evaluation import histograms_torch

        return histograms_torch.by_level(query_codes, database_codes, bits, relevance, level, levels, device)
    grouped = np.take(database, relevance.order, axis=1)
    counts = np.zeros((queries.shape[1], levels, bits + 1), np.int64)

    def count(part: slice) -> None:
        _count(queries[:, part], grouped, relevance.starts, level(part).astype(np.uint16), counts[part])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(count, parts(len(counts))))
    return counts.transpose(0, 2, 1)


def _device(work: int) -> str:
    """Where to count by default: torch is not imported for less than it is worth, nor where the system has no GPU."""
    if work < GPU_WORK or not provenance.gpu_present():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


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


@intrinsic
def _popcount(typing_context, word):
    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return numba.uint64(numba.uint64), generate


@numba.njit("(uint64[:], uint64[:, ::1], int64, int64, uint16[::1])", nogil=True, cache=True)
def distances_of(query, database, first, items, distances):
    """Distances of `items` neighbours in the database (W, N), from the item `first` on, to a query (W,)."""
    word, row = query[0], database[0, first : first + items]
    for item in range(items):
        distances[item] = _popcount(word ^ row[item])
    for index in range(1, len(query)):
        word, row = query[index], database[index, first : first + items]
        for item in range(items):
            distances[item] += _popcount(word ^ row[item])


@numba.njit("(uint64[:], uint64[:, ::1], int64, int64, uint16, uint16[::1])", nogil=True, cache=True)
def _pairs_of(query, database, first, half, base, pairs):
    """The distances of an item and of the one `half` places after it as one number, base * distance + distance."""
    word, row, other = query[0], database[0, first : first + half], database[0, first + half : first + 2 * half]
    for item in range(half):
        pairs[item] = base * _popcount(word ^ row[item]) + _popcount(word ^ other[item])
    for index in range(1, len(query)):
        word, row, other = query[index], database[index, first : first + half], database[index, first + half : first + 2 * half]
        for item in range(half):
            pairs[item] += base * _popcount(word ^ row[item]) + _popcount(word ^ other[item])


@numba.njit("(uint16[::1], int64, uint32[::1])", nogil=True, cache=True)
def _tally(found, items, counters):
    for item in range(items):
        counters[found[item]] += np.uint32(1)


@numba.njit("(uint32[:, ::1], int64[::1])", nogil=True, cache=True)
def _empty(pairs, counts):
    """Add the counters of pairs, one row for each first distance, to the counts of distances, and clear them."""
    for first in range(len(pairs)):
        row, total = pairs[first], 0
        for second in range(len(row)):
            total += row[second]
            counts[second] += row[second]
            row[second] = 0
        counts[first] += total


@numba.njit("(uint64[:, :], uint64[:, ::1], int64[::1], uint16[:, ::1], int64[:, :, ::1])", nogil=True, cache=True)
def _count(queries, database, starts, level, counts):
    """Count a part of the queries: `level` (queries, G) of the groups between `starts`, results in `counts` (queries, levels, bits + 1).

    What takes the time is neither the comparison nor the bits but the increments: one for each item, each of a counter in memory.
    A counter for each pair of distances halves them.
    """
    levels, base, items = counts.shape[1], counts.shape[2], database.shape[1]
    paired = levels * base * base <= PAIRED
    pairs = np.zeros((levels, base, base) if paired else (levels, 0, 0), np.uint32)
    found = np.empty(BLOCK, np.uint16)
    tile, begun = max(BLOCK, TILE // len(database)), 0
    for tile_start in range(0, items, tile):
        tile_stop = min(tile_start + tile, items)
        while starts[begun + 1] <= tile_start:
            begun += 1
        for query in range(queries.shape[1]):
            words, group, start = queries[:, query], begun, tile_start
            while start < tile_stop:
                current = level[query, group]
                while group < level.shape[1] and level[query, group] == current:  # groups of one level are counted as one
                    group += 1
                stop = min(starts[group], tile_stop)
                for first in range(start, stop, BLOCK):
                    size = min(BLOCK, stop - first)
                    half = size // 2 if paired else 0
                    _pairs_of(words, database, first, half, base, found)
                    _tally(found, half, pairs[current].ravel())
                    rest = size - 2 * half
                    distances_of(words, database, first + 2 * half, rest, found)
                    for item in range(rest):
                        counts[query, current, found[item]] += 1
                start = stop
            for current in range(levels):
                _empty(pairs[current], counts[query, current])
