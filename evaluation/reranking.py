"""Re-ranking: the first items by Hamming distance, ordered again by real-valued features."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .compiling import compiled, popcount
from .controls import unit_rows
from .histograms import hamming
from .metrics import (
    TAIL_CUTOFF,
    average_precision,
    average_precision_at,
    harmonic_sums,
    odds,
    reciprocals,
)
from .relevance import THREADS, Relevance, parts, words

BLOCK = 8192  # rows at a time, which bounds the memory of float64


def average_precision_reranked(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    bits: int,
    query_features: np.ndarray,
    database_features: np.ndarray,
    centre: np.ndarray,
    relevance: Relevance,
    count: int,
) -> np.ndarray:
    """Return the average precision over all ranks if the first `count` items are ordered again.

    The order is that of the control "exact-cosine". The other items stay in the order of Hamming
    distance. The value is the exact expectation over random orders of ties: of the items at the
    Hamming distance that the cut divides, and of items with equal features.

    Parameters
    ----------
    query_codes : ndarray of uint8, shape (Q, ceil(bits / 8))
        ``numpy.packbits(codes, axis=1)`` of bool codes (Q, bits).
    database_codes : ndarray of uint8, shape (N, ceil(bits / 8))
        The same for the database.
    bits : int
        Length of the codes.
    query_features : ndarray of float32, shape (Q, d)
        Features of the queries.
    database_features : ndarray of float32, shape (N, d)
        Features of the database.
    centre : ndarray of float64, shape (d,)
        The mean that is subtracted from features, that of the training rows.
    relevance : Relevance
        Relevance of these N items to these Q queries.
    count : int
        Number of items that are ordered again, from 1 to N.

    Returns
    -------
    ndarray of float64, shape (Q,)
        Value of each query.

    Raises
    ------
    EvaluationError
        If the codes do not fit, for a query without relevant items, and for another `count`.
    """
    n, r = hamming(query_codes, database_codes, bits, relevance)
    later = average_precision(n, r) - average_precision_at(n, r, count, "R")
    radii = np.argmax(n.cumsum(axis=1) >= count, axis=1)
    sizes = np.take_along_axis(n.cumsum(axis=1), radii[:, None], axis=1)[:, 0]

    rows, lengths = unit_rows(query_features, centre), _lengths(database_features, centre)
    database = np.ascontiguousarray(database_features, np.float32)
    query_words = np.ascontiguousarray(words(query_codes).T)
    database_words = words(database_codes)
    harmonic = harmonic_sums(n[0].sum())

    def of_part(part: slice) -> list[float]:
        precisions = []
        for query in range(part.start, part.stop):
            items, at_radius = np.empty(sizes[query], np.int64), np.empty(sizes[query], np.bool_)
            _write_first(query_words[query], database_words, radii[query], items, at_radius)
            distances = np.empty(sizes[query])
            _write_distances(rows[query], rows[query] @ centre, database, lengths, items, distances)

            relevant = relevance.of_queries(slice(query, query + 1))[0, relevance.members[items]]
            levels = _levels(distances, at_radius, relevant)
            drawn = count - np.count_nonzero(~at_radius)
            precisions.append(_precision_at_hits(levels, drawn, harmonic))
        return precisions

    with ThreadPoolExecutor(THREADS) as pool:
        first = [value for part in pool.map(of_part, parts(len(n))) for value in part]

    return later + np.array(first) / r.sum(axis=1)


def _lengths(features: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return the lengths of centred rows, float64 (N,)."""
    blocks = (features[start : start + BLOCK] for start in range(0, len(features), BLOCK))
    return np.concatenate([np.linalg.norm(block - centre, axis=1) for block in blocks])


def _levels(distances: np.ndarray, at_radius: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Return the numbers of items at each distance by features, nearest first, int64 (levels, 4).

    The columns are: items within the radius, relevant ones of them, items at the radius, relevant
    ones of them. The arguments are of each candidate, (C,).
    """
    order = np.argsort(distances)
    starts = np.flatnonzero(np.diff(distances[order], prepend=-np.inf))
    kinds = (~at_radius, ~at_radius & relevant, at_radius, at_radius & relevant)
    columns = [np.add.reduceat(kind[order], starts, dtype=np.int64) for kind in kinds]
    return np.ascontiguousarray(np.stack(columns, axis=1))


@compiled("(uint64[::1], uint64[:, ::1], int64, int64[::1], boolean[::1])")
def _write_first(query, database, radius, items, at_radius):
    """Write the items within the radius, and whether their distance is the radius.

    query (words,), database (words, N), items (C,), at_radius (C,).
    """
    position = 0
    for item in range(database.shape[1]):
        distance = 0
        for word in range(len(query)):
            distance += popcount(query[word] ^ database[word, item])
        if distance <= radius:
            items[position] = item
            at_radius[position] = distance == radius
            position += 1


@compiled("(float64[::1], float64, float32[:, ::1], float64[::1], int64[::1], float64[::1])")
def _write_distances(query, offset, database, lengths, items, distances):
    """Write minus the centred cosine of the query with each item; 0 for an item at the centre.

    query (d,): of length 1; offset: its product with the centre; database (N, d), lengths (N,),
    items (C,), distances (C,).
    """
    for position in range(len(items)):
        item = items[position]
        if lengths[item] == 0:
            distances[position] = 0.0
            continue
        row, product = database[item], 0.0
        for dimension in range(len(query)):
            product += query[dimension] * row[dimension]
        distances[position] = (offset - product) / lengths[item]


@compiled("Tuple((int64, float64[::1]))(int64, int64, int64)")
def _hypergeometric(n, marked, drawn):
    """Return the distribution of the number of marked items among those drawn from n items.

    The first number with a probability above 0 in float64, and the probabilities from there on.
    """
    fewest, most = max(0, drawn - (n - marked)), min(drawn, marked)
    mode = min(max((drawn + 1) * (marked + 1) // (n + 2), fewest), most)
    weights = np.empty(most - fewest + 1)
    weights[mode - fewest] = 1.0

    last, weight = mode, 1.0
    while last < most and weight > TAIL_CUTOFF:
        weight *= odds(last, n, marked, drawn)
        last += 1
        weights[last - fewest] = weight

    first, weight = mode, 1.0
    while first > fewest and weight > TAIL_CUTOFF:
        weight /= odds(first - 1, n, marked, drawn)
        first -= 1
        weights[first - fewest] = weight

    present = weights[first - fewest : last - fewest + 1].copy()
    return first, present / present.sum()


@compiled("float64(int64[::1], int64[::1], int64, int64, int64, float64[:, ::1])")
def _of_level(before, level, tied, rest, drawn, harmonic):
    """Return the expected sum of the precision at the hits of a level.

    before, level (4,): numbers of earlier items and of the level, as `_levels` has them; tied: how
    many items at the radius are drawn from the level; rest: how many are not of the level, of
    which `drawn` are drawn.

    The level is a bucket in random order. A pair of its positions are both relevant with a
    probability that the expected number of pairs of relevant items decides.
    """
    size = level[0] + tied
    if size == 0:
        return 0.0

    hits = pairs = 0.0  # expected relevant items of the level that are drawn, and pairs of them
    if level[2] > 0:
        hits = tied * level[3] / level[2]
    if level[2] > 1:
        pairs = hits * (tied - 1) * (level[3] - 1) / (level[2] - 1)
    pairs += level[1] * (level[1] - 1) + 2 * level[1] * hits
    hits += level[1]
    slope = pairs / (size * (size - 1)) if size > 1 else 0.0

    total = 0.0
    first, probabilities = _hypergeometric(rest, before[2], drawn)
    for index in range(len(probabilities)):
        earlier = first + index
        share = earlier * before[3] / before[2] if before[2] > 0 else 0.0
        start = before[0] + earlier
        constant = hits / size * (before[1] + share + 1) - slope * (start + 1)
        expected = slope * size + constant * reciprocals(start, size, harmonic)
        total += probabilities[index] * expected

    return total


# The first items, by the distance of their features. Those within the radius are all among the
# first, and `drawn` of those at the radius are, by chance:
#
#   level              0     1     2     3
#   within the radius  o     o o         o        always among the first
#   at the radius      x           x x   x        each is drawn with the same probability
#                      earlier     a level        the numbers drawn earlier and in the level itself
#                                                 decide the ranks of the level
@compiled("float64(int64[:, ::1], int64, float64[:, ::1])")
def _precision_at_hits(levels, drawn, harmonic):
    """Return the expected sum of the precision at the hits among the first items.

    levels: see `_levels`; drawn: how many items at the radius are among the first.
    """
    at_radius = levels[:, 2].sum()
    total, before = 0.0, np.zeros(4, np.int64)
    for position in range(len(levels)):
        level = levels[position]
        if level[1] + level[3] > 0:
            first, probabilities = _hypergeometric(at_radius, level[2], drawn)
            for index in range(len(probabilities)):
                tied, rest = first + index, at_radius - level[2]
                expected = _of_level(before, level, tied, rest, drawn - tied, harmonic)
                total += probabilities[index] * expected
        before += level
    return total
