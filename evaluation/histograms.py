"""The one pass over all pairs: how many items, and how many relevant ones, lie at each Hamming distance from each query."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from evaluation.planes import ADDED, KEPT, WORDS, count, flips_of, planes_of
from evaluation.relevance import THREADS, Relevance, shares, words
from harness import provenance
from harness.errors import BenchmarkError

GPU_WORK = 2**35  # comparisons of words from which on a GPU, where there is one, is worth the seconds that importing torch takes


def hamming(
    query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance, device: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Items `n` and relevant items `r` at each distance 0..bits of each query, both int64 (Q, bits + 1).

    Codes are uint8 (Q, ceil(bits / 8)) and (N, ceil(bits / 8)): `numpy.packbits` of bool (n, bits) along axis 1. `device` is "cpu", or a
    device of torch; by default a GPU where there is one and enough work. All give the same integers.
    Raises BenchmarkError if codes are of another type or shape, or if their rows are not those of `relevance`.
    """
    return items_and_relevant(_by_level(query_codes, database_codes, bits, relevance, 2, device))


def hamming_shared(
    query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance, device: str | None = None
) -> np.ndarray:
    """Items `g` at each distance 0..bits that share 0..S labels with each query, int64 (Q, bits + 1, S + 1); else as `hamming`.

    S is the largest number of labels that a query shares with an item.
    """
    g = _by_level(query_codes, database_codes, bits, relevance, relevance.most_labels() + 1, device)
    return g[:, :, : np.flatnonzero(g.any(axis=(0, 1)))[-1] + 1]


def items_and_relevant(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`n` and `r`, int64 (Q, B), of `g` (Q, B, S + 1): the items in each bucket, and those that share a label."""
    n = g.sum(axis=2)
    return n, n - g[:, :, 0]


def _by_level(
    query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance, levels: int, device: str | None
) -> np.ndarray:
    """Items at each distance that share 0, 1, ... labels with a query, the last level all from there on: int64 (Q, bits + 1, levels)."""
    _check_codes("query", query_codes, bits, relevance.queries.shape[1])
    _check_codes("database", database_codes, bits, len(relevance.members))
    queries, database = words(query_codes), words(database_codes)
    device = device or _device(queries.size * database.shape[1])
    if device != "cpu":
        from evaluation import histograms_torch

        return histograms_torch.by_level(query_codes, database_codes, bits, relevance, levels, device)
    return _on_cpu(queries, database, bits, relevance, levels).transpose(0, 2, 1)


def _on_cpu(queries: np.ndarray, database: np.ndarray, bits: int, relevance: Relevance, levels: int) -> np.ndarray:
    """The same of codes as words, int64 (Q, levels, bits + 1)."""
    added = -(-bits // ADDED) * ADDED  # bits, and zeros
    of_queries, of_items, label_bits = relevance.label_words()
    differing, wanted = flips_of(queries, added), flips_of(of_queries, label_bits)
    places = max(KEPT, -(-bits.bit_length() // 3) * 3)
    counts = np.zeros((queries.shape[1], levels, bits // 8 * 8 + 8), np.int64)
    with ThreadPoolExecutor(THREADS) as pool:
        codes = planes_of(database, relevance.order, added, pool)
        labels = planes_of(of_items, relevance.order, label_bits, pool)

        def count_share(share: slice) -> None:
            count(codes, differing[share], labels, wanted[share], relevance.single, places, counts[share])

        list(pool.map(count_share, shares(len(counts))))
    padding = -len(relevance.order) % (64 * WORDS)  # items without labels whose code is zero
    counts[np.arange(len(counts)), 0, np.bitwise_count(queries).sum(axis=0)] -= padding
    return counts[:, :, : bits + 1]


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
