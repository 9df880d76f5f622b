"""Presets: the conventions of other programs, with ties in the order of the database.

Most of these programs use an unstable sort. A preset is their formula with a stable sort. Its value
therefore depends on the order of the database, unlike every metric. Presets show the effect of a
convention. They do not compare methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from .compiling import compiled, popcount
from .errors import EvaluationError
from .histograms import hamming
from .relevance import THREADS, Relevance, parts, words

BLOCK = 2048  # database items whose distances are computed at a time: they fit in the L1 cache


@dataclass(frozen=True)
class Preset:
    """One convention for the average precision of the first ranks.

    Attributes
    ----------
    cut : int or None
        Number of ranks. None means all ranks, and -1 all but the last.
    denominator : {"found", "min", "R"}
        Divisor of the sum of the precision at hits, see `metrics.average_precision_at`.
    without_hit : {"zero", "drop", "error"}
        Treatment of a query without a hit in these ranks.
    cuts : dict of str to int
        Cut of the data sets for which the convention has another one, by name.
    """

    cut: int | None
    denominator: str
    without_hit: str
    cuts: dict[str, int] = field(default_factory=dict)

    def depth(self, items: int, dataset: str = "") -> int:
        """Return the number of ranks for a database of `items`, at most that many."""
        cut = self.cuts.get(dataset.partition("-")[0], self.cut)
        if cut is None:
            return items
        return items - 1 if cut == -1 else min(cut, items)


PRESETS = {
    # The evaluate.py of Song et al., AAAI 2018. All ranks. A query without relevant items is a
    # division by zero.
    "as-bgan": Preset(None, "R", "error"),
    # github.com/swuxyj/DeepHash-pytorch, utils/tools.py, CalcTopMap. Its topK = -1 is the end of a
    # slice, which drops the last item.
    "as-deephash-pytorch": Preset(-1, "found", "zero", {"nuswide": 5000}),
    # github.com/thuml/HashNet, pytorch/src/test.py, which ranks by real-valued outputs. Its
    # denominator and cut are applied to codes. It fails on a database below its cut, which is
    # shortened here.
    "as-hashnet": Preset(5000, "found", "drop"),
    # github.com/kevinlin311tw/cvpr16-deepbit
    "as-deepbit": Preset(1000, "found", "zero"),
    # github.com/usnistgov/trec_eval, map_cut
    "as-trec": Preset(1000, "R", "zero"),
    # The Google Landmarks challenge (its own cut is 100): github.com/tensorflow/models, delf,
    # google_landmarks_dataset/metrics.py. It has no query without relevant items, which would be a
    # division by zero. 0 is the value of github.com/benhamner/Metrics, apk.
    "as-landmarks": Preset(1000, "min", "zero"),
}


def replay(
    names: Sequence[str],
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    bits: int,
    relevance: Relevance,
    left_out: int,
    dataset: str = "",
) -> dict[str, float | None]:
    """Return the value of each preset.

    Parameters
    ----------
    names : sequence of str
        Keys of PRESETS.
    query_codes, database_codes, bits, relevance
        As in `histograms.hamming`, for the queries with a relevant item.
    left_out : int
        Number of queries without a relevant item. Some conventions count them.
    dataset : str, optional
        Name of the data set, which determines the cut of some conventions.

    Returns
    -------
    dict of str to (float or None)
        None if the convention drops all queries. The original program prints nan.

    Raises
    ------
    EvaluationError
        If a preset is undefined for these queries, see `undefined`.
    """
    for name in names:
        if reason := undefined(name, left_out):
            raise EvaluationError(reason)

    depths = [PRESETS[name].depth(len(database_codes), dataset) for name in names]
    sums, hits = in_order(query_codes, database_codes, bits, relevance, depths)
    totals = relevance.totals()
    values = {}
    for column, name in enumerate(names):
        counts = sums[:, column], hits[:, column], depths[column]
        values[name] = _mean(PRESETS[name], *counts, totals, left_out)

    return values


def undefined(name: str, left_out: int) -> str:
    """Return why a preset is undefined if `left_out` queries have no relevant item, or ""."""
    if left_out and PRESETS[name].without_hit == "error":
        return (
            f"{name} divides by zero, as the original does: "
            f"{left_out} queries have no relevant item"
        )
    return ""


def _mean(
    preset: Preset,
    sums: np.ndarray,
    hits: np.ndarray,
    depth: int,
    totals: np.ndarray,
    left_out: int,
) -> float | None:
    """Return the mean over the queries of sums (Q,) divided by the denominator of the preset."""
    divisors = {"found": hits, "min": np.minimum(depth, totals), "R": totals}
    precisions = sums / np.maximum(divisors[preset.denominator], 1)  # (Q,)
    if preset.without_hit != "drop":
        return float(precisions.sum() / (len(precisions) + left_out))
    return float(precisions[hits > 0].mean()) if hits.any() else None


def in_order(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    bits: int,
    relevance: Relevance,
    depths: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the precision at the hits of the first ranks, by distance and then database index.

    The time is linear in the database. The rank of an item is the number of nearer items, from the
    histogram, plus the number of items at its distance that precede it in the database.

    Parameters
    ----------
    query_codes, database_codes, bits, relevance
        As in `histograms.hamming`.
    depths : sequence of int
        K numbers of ranks.

    Returns
    -------
    sums : ndarray of float64, shape (Q, K)
        Sum of the precision at the hits among the first ranks.
    hits : ndarray of int64, shape (Q, K)
        Number of these hits.

    Raises
    ------
    EvaluationError
        As `histograms.hamming`.
    """
    n, r = hamming(query_codes, database_codes, bits, relevance)
    # Items and relevant items that precede the next item at each distance, (Q, bits + 1).
    seen, seen_relevant = n.cumsum(axis=1) - n, r.cumsum(axis=1) - r
    queries, database = words(query_codes), words(database_codes)  # (W, Q), (W, N)
    cuts = np.array(depths, np.int64)
    sums, hits = np.zeros((len(n), len(cuts))), np.zeros((len(n), len(cuts)), np.int64)

    def scan(part: slice) -> None:
        relevant = relevance.of_queries(part)
        counts = seen[part], seen_relevant[part], sums[part], hits[part]
        _scan(queries[:, part], database, relevance.members, relevant, cuts, *counts)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(scan, parts(len(n))))

    return sums, hits


@compiled("(uint64[:], uint64[:, ::1], int64, int64, uint16[::1])")
def _distances_of(query, database, first, items, distances):
    """Write the distances of `items` items of database (W, N) from `first` on to a query (W,)."""
    word, row = query[0], database[0, first : first + items]
    for item in range(items):
        distances[item] = popcount(word ^ row[item])

    for index in range(1, len(query)):
        word, row = query[index], database[index, first : first + items]
        for item in range(items):
            distances[item] += popcount(word ^ row[item])


@compiled(
    "(uint64[:, :], uint64[:, ::1], int64[::1], boolean[:, ::1], int64[::1], int64[:, ::1], "
    "int64[:, ::1], float64[:, ::1], int64[:, ::1])"
)
def _scan(queries, database, members, relevant, depths, seen, seen_relevant, sums, hits):
    """Update sums and hits (C, K) for queries (W, C) and database (W, N).

    There are C queries in a part, codes of W words, G groups of items with equal labels and K
    depths. members (N,) is the group of each item. relevant (C, G) is True if a group is relevant
    to a query. seen and seen_relevant (C, bits + 1) count the items, and the relevant items, that
    are ranked before the next item at each distance. They are updated too.
    """
    distances, items = np.empty(BLOCK, np.uint16), database.shape[1]
    for query in range(queries.shape[1]):
        for start in range(0, items, BLOCK):
            size = min(BLOCK, items - start)
            _distances_of(queries[:, query], database, start, size, distances)

            for item in range(size):
                distance = distances[item]
                seen[query, distance] += 1
                if not relevant[query, members[start + item]]:
                    continue
                seen_relevant[query, distance] += 1
                for column in range(len(depths)):
                    if seen[query, distance] <= depths[column]:
                        precision = seen_relevant[query, distance] / seen[query, distance]
                        sums[query, column] += precision
                        hits[query, column] += 1
