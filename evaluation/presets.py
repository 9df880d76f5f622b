"""Presets: the same codes, scored as others score them, with ties in the order of the database.

Every peer sorts by an unstable sort, so a preset means its formula under a stable one. These values depend on the order of the database
by design, and on nothing else that the metrics here do not depend on: they show what a convention does, and are no measure of a method.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numba
import numpy as np

from evaluation.histograms import hamming
from evaluation.lanes import popcount
from evaluation.relevance import THREADS, Relevance, parts, words
from harness.errors import BenchmarkError

BLOCK = 2048  # database items whose distances are kept at a time: they stay in the first-level cache


@dataclass(frozen=True)
class Preset:
    """One convention: the first `cut` ranks (None: all; -1: all but the last), what the sum of the precision at hits is divided by
    (as in `metrics.average_precision_at`), and what a query without a hit in them is: "zero", "drop" or "error".

    cuts: the cut on the data sets where the convention has another, by the data set's name.
    """

    cut: int | None
    denominator: str
    without_hit: str
    cuts: dict[str, int] = field(default_factory=dict)

    def depth(self, items: int, dataset: str = "") -> int:
        """Ranks of a database of `items` that count: no more than there are."""
        cut = self.cuts.get(dataset.partition("-")[0], self.cut)
        if cut is None:
            return items
        return items - 1 if cut == -1 else min(cut, items)


PRESETS = {
    # The evaluate.py of Song et al., AAAI 2018: all ranks; a query without relevant items is a division by zero.
    "as-bgan": Preset(None, "R", "error"),
    # github.com/swuxyj/DeepHash-pytorch, utils/tools.py, CalcTopMap: its topK = -1 ends a slice, and drops the last item.
    "as-deephash-pytorch": Preset(-1, "found", "zero", {"nuswide": 5000}),
    # github.com/thuml/HashNet, pytorch/src/test.py, which ranks by real-valued outputs: its denominator and cut are replayed on codes.
    # It takes no database below its cut; here that is shortened.
    "as-hashnet": Preset(5000, "found", "drop"),
    # github.com/kevinlin311tw/cvpr16-deepbit
    "as-deepbit": Preset(1000, "found", "zero"),
    # github.com/usnistgov/trec_eval, map_cut
    "as-trec": Preset(1000, "R", "zero"),
    # The Google Landmarks challenge (its own cut is 100): github.com/tensorflow/models, delf, google_landmarks_dataset/metrics.py
    # It has no query without relevant items, and would divide by zero; 0 is what github.com/benhamner/Metrics, apk, gives.
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
    """The value of each preset of `names`; codes and `relevance` as `histograms.hamming` takes them, of the queries with R > 0.

    `left_out` is the number of queries without a relevant item, which are not among the codes and which some conventions count. None where
    a convention leaves out queries without a hit, and here all are: a mean of nothing, for which the original prints nan.
    Raises BenchmarkError for a preset whose convention is undefined on these queries; `undefined` says so before.
    """
    for name in names:
        if reason := undefined(name, left_out):
            raise BenchmarkError(reason)
    depths = [PRESETS[name].depth(len(database_codes), dataset) for name in names]
    sums, hits = in_order(query_codes, database_codes, bits, relevance, depths)
    totals = relevance.totals()
    return {name: _mean(PRESETS[name], sums[:, at], hits[:, at], depths[at], totals, left_out) for at, name in enumerate(names)}


def undefined(name: str, left_out: int) -> str:
    """Why a preset has no value where `left_out` queries have no relevant item, or empty."""
    if left_out and PRESETS[name].without_hit == "error":
        return f"{name} divides by zero, as the original does: {left_out} queries have no relevant item"
    return ""


def _mean(preset: Preset, sums: np.ndarray, hits: np.ndarray, depth: int, totals: np.ndarray, left_out: int) -> float | None:
    divisor = {"found": hits, "min": np.minimum(depth, totals), "R": totals}[preset.denominator]
    precisions = sums / np.maximum(divisor, 1)  # (Q,)
    if preset.without_hit != "drop":
        return float(precisions.sum() / (len(precisions) + left_out))
    return float(precisions[hits > 0].mean()) if hits.any() else None


def in_order(
    query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance, depths: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the precision at the hits among the first ranks, float64 (Q, K), and their number, int64 (Q, K), for each of K `depths`.

    Ranks are by distance, then by place in the database. Linear in the database: an item's rank is the number of items nearer, which the
    histogram knows, and of those at its distance that came before it. Arguments and errors else as of `histograms.hamming`.
    """
    n, r = hamming(query_codes, database_codes, bits, relevance)
    seen, found = n.cumsum(axis=1) - n, r.cumsum(axis=1) - r
    queries, database = words(query_codes), words(database_codes)
    sums, hits = np.zeros((len(n), len(depths))), np.zeros((len(n), len(depths)), np.int64)

    def scan(part: slice) -> None:
        counted = (seen[part], found[part], sums[part], hits[part])
        _scan(queries[:, part], database, relevance.members, relevance.of_queries(part), np.array(depths, np.int64), *counted)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(scan, parts(len(n))))
    return sums, hits


@numba.njit("(uint64[:], uint64[:, ::1], int64, int64, uint16[::1])", nogil=True, cache=True)
def _distances_of(query, database, first, items, distances):
    """Distances of `items` neighbours in the database (W, N), from the item `first` on, to a query (W,)."""
    word, row = query[0], database[0, first : first + items]
    for item in range(items):
        distances[item] = popcount(word ^ row[item])
    for index in range(1, len(query)):
        word, row = query[index], database[index, first : first + items]
        for item in range(items):
            distances[item] += popcount(word ^ row[item])


@numba.njit(
    "(uint64[:, :], uint64[:, ::1], int64[::1], boolean[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1], float64[:, ::1], int64[:, ::1])",
    nogil=True,
    cache=True,
)
def _scan(queries, database, members, relevant, depths, seen, found, sums, hits):
    """`seen` and `found` (C, bits + 1): items and relevant items ranked before the next one at each distance; they are counted on."""
    distances, items = np.empty(BLOCK, np.uint16), database.shape[1]
    for query in range(queries.shape[1]):
        for start in range(0, items, BLOCK):
            size = min(BLOCK, items - start)
            _distances_of(queries[:, query], database, start, size, distances)
            for item in range(size):
                distance = distances[item]
                seen[query, distance] += 1
                if relevant[query, members[start + item]]:
                    found[query, distance] += 1
                    for at in range(len(depths)):
                        if seen[query, distance] <= depths[at]:
                            sums[query, at] += found[query, distance] / seen[query, distance]
                            hits[query, at] += 1
