"""Histograms over Hamming distances: the items and the relevant items at each distance."""

from __future__ import annotations

import numpy as np

from .errors import EvaluationError
from .kernels import count_levels
from .relevance import Relevance, words


def hamming(
    query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance
) -> tuple[np.ndarray, np.ndarray]:
    """Count the items and the relevant items at each Hamming distance.

    Parameters
    ----------
    query_codes : ndarray of uint8, shape (Q, ceil(bits / 8))
        ``numpy.packbits(codes, axis=1)`` of bool codes (Q, bits).
    database_codes : ndarray of uint8, shape (N, ceil(bits / 8))
        The same for the database.
    bits : int
        Length of the codes.
    relevance : Relevance
        Relevance of these N items to these Q queries.

    Returns
    -------
    n, r : ndarray of int64, shape (Q, bits + 1)
        Items and relevant items at the distances 0..bits.

    Raises
    ------
    EvaluationError
        If the codes have another type or shape, or do not fit `relevance`.
    """
    return items_and_relevant(_by_level(query_codes, database_codes, bits, relevance, levels=2))


def hamming_shared(
    query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance
) -> np.ndarray:
    """Count the items at each Hamming distance by the number of labels shared with the query.

    Parameters and errors are those of `hamming`.

    Returns
    -------
    g : ndarray of int64, shape (Q, bits + 1, S + 1)
        Items at the distances 0..bits that share 0..S labels. S is the largest number of labels
        that a query shares with an item.
    """
    levels = relevance.most_labels() + 1
    g = _by_level(query_codes, database_codes, bits, relevance, levels)
    occurring = np.flatnonzero(g.any(axis=(0, 1)))
    return g[:, :, : occurring[-1] + 1]


def items_and_relevant(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `n` and `r` (Q, B) of `g` (Q, B, S + 1): all items, and those that share a label."""
    n = g.sum(axis=2)
    return n, n - g[:, :, 0]


def _by_level(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    bits: int,
    relevance: Relevance,
    levels: int,
) -> np.ndarray:
    """Validate and count: int64 (Q, bits + 1, levels)."""
    _validate("query", query_codes, bits, relevance.queries.shape[1])
    _validate("database", database_codes, bits, len(relevance.members))
    return count_levels(words(query_codes), words(database_codes), bits, relevance, levels)


def _validate(which: str, codes: np.ndarray, bits: int, rows: int) -> None:
    expected = (rows, -(-bits // 8))
    if bits < 1:
        raise EvaluationError(f"{which} codes have {bits} bits: expected at least 1")
    if codes.dtype != np.uint8 or codes.shape != expected:
        raise EvaluationError(
            f"{which} codes are {codes.dtype} {codes.shape}: "
            f"expected uint8 {expected}, which is {bits} packed bits of {rows} labelled items"
        )
    if np.any(codes[:, -1] & (0xFF >> (bits - 1) % 8 + 1)):
        raise EvaluationError(
            f"{which} codes have bits beyond the {bits} expected. "
            "Pack them with numpy.packbits(codes, axis=1)"
        )
