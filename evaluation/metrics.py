"""Every metric, from the counts of ordered buckets: one definition each, exact in expectation over the random order of ties.

All functions take `n` and `r`, integers (Q, B): items and relevant items in each query's buckets, nearest bucket first. A bucket holds what
a ranking cannot tell apart: all items at one Hamming distance, or at one real-valued distance. Graded metrics take `g` (Q, B, S + 1)
instead: items that share s = 0..S labels with the query. They return float64 (Q,), one value a query, and raise BenchmarkError for a query
without relevant items (R = 0) and for a cut k outside 1..N, where N is the number of items.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from evaluation.relevance import THREADS, shares
from harness.errors import BenchmarkError

BALL = 3  # distances 0, 1 and 2: the ball of radius 2
SHARED = 2**16  # buckets of all queries below which threads wait for each other longer than they compute
VANISHED = 1e-20  # odds against the mode below which the tail of a distribution adds nothing in float64


def average_precision(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Tie-aware average precision over all ranks, divided by R.

    Source: McSherry & Najork, "Computing information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008.
    """
    return average_precision_at(n, r, int(np.sum(n[:1])), "R")


def average_precision_at(n: np.ndarray, r: np.ndarray, k: int, denominator: str) -> np.ndarray:
    """Expected average precision of the first k ranks: the sum of the precision at each hit, divided by the `denominator`.

    `found`: the hits in the first k, and 0 for a query without any; most code of the field, as github.com/swuxyj/DeepHash-pytorch.
    `min`: min(k, R), the most hits there can be; github.com/benhamner/Metrics, apk.
    `R`: all relevant items; github.com/usnistgov/trec_eval, map_cut.
    """
    n, r = _checked(n, r, k)
    total, per_hit = _precision_at_hits(n, r, k, _harmonic(n[0].sum()))
    relevant = _row_sums(r)
    return {"found": per_hit, "min": total / np.minimum(k, relevant), "R": total / relevant}[denominator]


def precision_of_first_hits(n: np.ndarray, r: np.ndarray, k: int) -> np.ndarray:
    """Expected mean of the precision at the first min(k, R) hits, however far down they are.

    Codes of cross-modal hashing call this average precision at k: `calc_map_k` of DGCPN (Yu et al., AAAI 2021) and others.
    """
    n, r = _checked(n, r, k)
    return _first_hits(n, r, k, _harmonic(n[0].sum()))


def worst(n: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The counts with all ties against the query: each bucket split in two, the relevant items last; (Q, 2 B) each."""
    return _interleave(n - r, r), _interleave(np.zeros_like(r), r)


def best(n: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The counts with all ties in favour of the query: each bucket split in two, the relevant items first; (Q, 2 B) each."""
    return _interleave(r, n - r), _interleave(r, np.zeros_like(r))


def expected_hits(n: np.ndarray, r: np.ndarray, ranks: Sequence[int]) -> np.ndarray:
    """Expected relevant items among the first `ranks` (K,), in increasing order; float64 (Q, K). Linear in the rank within a bucket."""
    n, r = _checked(n, r, *ranks)
    if np.any(np.diff(ranks) < 0):
        raise BenchmarkError(f"ranks are {list(ranks)}: expected increasing order")
    return _hits(n, r, np.array(ranks, np.int64))


def precision_at(n: np.ndarray, r: np.ndarray, k: int) -> np.ndarray:
    """Expected share of relevant items among the first k."""
    return expected_hits(n, r, [k])[:, 0] / k


def recall_at(n: np.ndarray, r: np.ndarray, k: int) -> np.ndarray:
    """Expected share of the relevant items that are among the first k."""
    return expected_hits(n, r, [k])[:, 0] / r.sum(axis=1)


def chance(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Average precision of a random ranking, above R / N: all items tied."""
    n, r = _checked(n, r)
    return average_precision(n.sum(axis=1, keepdims=True), r.sum(axis=1, keepdims=True))


def relevant_share(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """R / N: the expected precision of a random ranking, at any rank."""
    n, r = _checked(n, r)
    return r.sum(axis=1) / n.sum(axis=1)


def lookup_precision(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Share of relevant items in the Hamming ball of radius 2, 0 for an empty ball. Buckets are Hamming distances 0, 1, 2, ..."""
    n, r = _checked(n, r)
    return r[:, :BALL].sum(axis=1) / np.maximum(n[:, :BALL].sum(axis=1), 1)


def lookup_recall(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Share of the relevant items that lie in the Hamming ball of radius 2."""
    n, r = _checked(n, r)
    return r[:, :BALL].sum(axis=1) / r.sum(axis=1)


def lookup_empty(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """1 for an empty Hamming ball of radius 2, else 0."""
    n, r = _checked(n, r)
    return 1.0 - n[:, :BALL].any(axis=1)


def ndcg_at(g: np.ndarray, k: int, gains: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Expected discounted cumulative gain of the first k ranks, divided by that of the best k items of the whole database.

    `gains` makes float64 (S + 1,) of the numbers of shared labels; the discount of a rank is 1 / log2(1 + rank).
    Source: Jarvelin & Kekalainen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002; with ties: McSherry & Najork, ECIR 2008.
    """
    g = _checked_levels(g, k)
    gain, discounts = gains(np.arange(g.shape[2], dtype=np.float64)), _discounts(g[0].sum())
    ideal = g.sum(axis=1)[:, ::-1, None] * np.eye(g.shape[2], dtype=np.int64)[::-1]  # a bucket for each level, the highest first
    return _cumulated(g, k, gain, discounts) / _cumulated(ideal, k, gain, discounts)


def acg_at(g: np.ndarray, k: int) -> np.ndarray:
    """Expected mean number of labels that the first k items share with the query (average cumulative gain)."""
    g = _checked_levels(g, k)
    return _cumulated(g, k, np.arange(g.shape[2], dtype=np.float64), np.arange(k + 1, dtype=np.float64)) / k


WHOLE = {
    "map": average_precision,
    "map_worst": lambda n, r: average_precision(*worst(n, r)),
    "map_best": lambda n, r: average_precision(*best(n, r)),
    "map_chance": chance,
    "relevant_share": relevant_share,
}
CUT = {
    "map@k[found]": functools.partial(average_precision_at, denominator="found"),
    "map@k[min]": functools.partial(average_precision_at, denominator="min"),
    "map@k[R]": functools.partial(average_precision_at, denominator="R"),
    "map@k[hits]": precision_of_first_hits,
    "precision@k": precision_at,
    "recall@k": recall_at,
}
LOOKUP = {"precision_r2": lookup_precision, "recall_r2": lookup_recall, "empty_r2": lookup_empty}
GRADED = {
    "ndcg@k": functools.partial(ndcg_at, gains=lambda shared: 2.0**shared - 1),
    "ndcg_linear@k": functools.partial(ndcg_at, gains=lambda shared: shared),
    "acg@k": acg_at,
}


def parse(name: str, others: Sequence[str] = ()) -> tuple[str, int | None]:
    """A metric and its cut: "map" is ("map", None), "map@1000[found]" is ("map@k[found]", 1000).

    Raises BenchmarkError for an unknown metric; `others` are names that its message adds.
    """
    found = re.fullmatch(r"(\w+)@(\d+)(\[\w+\])?", str(name))
    metric, k = (f"{found[1]}@k{found[3] or ''}", int(found[2])) if found else (name, None)
    if metric not in ({**WHOLE, **LOOKUP} if k is None else {**CUT, **GRADED}):
        known = ", ".join([*WHOLE, *LOOKUP, *CUT, *GRADED, *others])
        raise BenchmarkError(f"metric {name!r} is unknown: expected one of {known}, with a number for k")
    return metric, k


def measure(metric: str, k: int | None, n: np.ndarray, r: np.ndarray, g: np.ndarray | None = None) -> np.ndarray:
    """float64 (Q,): one metric of each query; `k` is None for a metric without a cut, `g` is needed for a graded one alone."""
    if metric in GRADED:
        return GRADED[metric](g, k)
    return {**WHOLE, **LOOKUP}[metric](n, r) if k is None else CUT[metric](n, r, k)


def measure_all(
    asked: Iterable[tuple[str, int | None]], n: np.ndarray, r: np.ndarray, g: np.ndarray | None = None
) -> dict[tuple[str, int | None], np.ndarray]:
    """`measure` of each metric and cut, on all cores where there is enough to do: each takes a share of the queries.

    No value depends on how many there are.
    """
    asked = list(dict.fromkeys(asked))
    _checked(n, r)
    if n.size < SHARED:
        return {key: measure(*key, n, r, g) for key in asked}

    def measure_share(share: slice) -> list[np.ndarray]:
        return [measure(metric, k, n[share], r[share], None if g is None else g[share]) for metric, k in asked]

    with ThreadPoolExecutor(THREADS) as pool:
        values = zip(*pool.map(measure_share, shares(len(n))), strict=True)
        return dict(zip(asked, map(np.concatenate, values), strict=True))


def rank_curve(n: np.ndarray, r: np.ndarray, ranks: Sequence[int]) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield (metric, rank, values (Q,)): expected precision and recall at each of the `ranks`."""
    relevant = r.sum(axis=1)
    for rank, hits in zip(ranks, expected_hits(n, r, ranks).T, strict=True):
        yield "pr_rank_precision", int(rank), hits / rank
        yield "pr_rank_recall", int(rank), hits / relevant


def ball_curve(n: np.ndarray, r: np.ndarray) -> Iterator[tuple[str, int, float]]:
    """Yield (metric, radius, mean over the queries) of Hamming balls of radius 0..B - 1.

    An empty ball counts precision 0. `pr_empty` is the share of empty balls, `pr_precision_nonempty` the mean over the others: it is
    undefined, and left out, at a radius at which all are empty.
    """
    n, r = _checked(n, r)
    relevant = r.sum(axis=1)
    for radius, (items, hits) in enumerate(zip(n.cumsum(axis=1).T, r.cumsum(axis=1).T, strict=True)):
        precision, empty = hits / np.maximum(items, 1), items == 0
        yield "pr_precision", radius, precision.mean()
        yield "pr_recall", radius, (hits / relevant).mean()
        yield "pr_empty", radius, empty.mean()
        if not empty.all():
            yield "pr_precision_nonempty", radius, precision[~empty].mean()


def _checked(n: np.ndarray, r: np.ndarray, *cuts: int) -> tuple[np.ndarray, np.ndarray]:
    """The counts as the compiled loops take them, which check no bounds."""
    n, r = (np.require(counts, np.int64, ["C", "W"]) for counts in (n, r))
    items, relevant = _row_sums(n), _row_sums(r)
    if n.shape != r.shape or not len(n) or (items != items[0]).any():
        raise BenchmarkError(f"counts n {n.shape} and r {r.shape}: expected one shape, and for every query the same number of items")
    if not relevant.all():
        raise BenchmarkError(f"{np.sum(relevant == 0)} of {len(n)} queries have no relevant item: leave those out first")
    for k in cuts:
        if not 1 <= k <= items[0]:
            raise BenchmarkError(f"a cut at k = {k} is impossible: expected 1 to {items[0]}, the items of the database")
    return n, r


def _checked_levels(g: np.ndarray, k: int) -> np.ndarray:
    """The counts by level, held against what `_checked` asks of those without."""
    _checked(g.sum(axis=2), g[:, :, 1:].sum(axis=2), k)
    return g


def _cumulated(g: np.ndarray, k: int, gain: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected sum (Q,) over the first k ranks of gain times weight; `weights` are prefix sums. Items of a bucket have its mean gain."""
    n = g.sum(axis=2)
    ends = np.minimum(n.cumsum(axis=1), k)
    starts = np.minimum(n.cumsum(axis=1) - n, k)
    return np.sum(g @ gain / np.maximum(n, 1) * (weights[ends] - weights[starts]), axis=1)


@numba.njit("int64[::1](int64[:, ::1])", nogil=True, cache=True)
def _row_sums(counts):
    """As NumPy's, several times as fast for short rows."""
    sums = np.zeros(len(counts), np.int64)
    for row in range(len(counts)):
        for count in counts[row]:
            sums[row] += count
    return sums


@functools.lru_cache(maxsize=4)
def _discounts(items: int) -> np.ndarray:
    """Prefix sums of 1 / log2(1 + rank), float64 (items + 1,)."""
    return np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, items + 2)))])


@numba.njit("int64[:, ::1](int64[:, :], int64[:, :])", nogil=True, cache=True)
def _interleave(first, second):
    interleaved = np.empty((len(first), 2 * first.shape[1]), np.int64)
    for row in range(len(first)):
        for bucket in range(first.shape[1]):
            interleaved[row, 2 * bucket], interleaved[row, 2 * bucket + 1] = first[row, bucket], second[row, bucket]
    return interleaved


@functools.lru_cache(maxsize=4)
def _harmonic(items: int) -> np.ndarray:
    """Prefix sums of the harmonic series, 0, 1, 1 + 1/2, ..., and what rounding took from each: float64 (items + 1, 2)."""
    return _prefix_sums(items)


@numba.njit("float64[:, ::1](int64)", nogil=True, cache=True)
def _prefix_sums(items):
    sums, total, lost = np.zeros((items + 1, 2)), 0.0, 0.0
    for rank in range(1, items + 1):
        term = 1 / rank
        before, total = total, total + term
        lost += term - (total - before)  # exact, as the term is the smaller: Dekker, Numerische Mathematik 18, 1971
        sums[rank, 0], sums[rank, 1] = total, lost
    return sums


@numba.njit("float64(int64, int64, float64[:, ::1])", nogil=True, cache=True)
def _reciprocals(before, count, harmonic):
    """1 / (before + 1) + ... + 1 / (before + count); a short sum would lose its digits in the difference of two rounded ones."""
    first, last = harmonic[before], harmonic[before + count]
    return (last[0] - first[0]) + (last[1] - first[1])


@numba.njit("float64(int64, int64, int64, int64, int64, float64[:, ::1])", nogil=True, cache=True)
def _bucket(before, hits, n, r, m, harmonic):
    """Expected sum of the precision at the hits among the first m of n items in random order, r of them relevant.

    `before` items with `hits` relevant ones precede. Given a hit at place i, (i - 1) * slope of the places before it are expected hits:
    r / n * sum_{i=1..m} (hits + 1 + (i - 1) * slope) / (before + i)
    """
    if r == 0:
        return 0.0
    slope = (r - 1) / (n - 1) if n > 1 else 0.0
    return r / n * (slope * m + (hits + 1 - slope * (before + 1)) * _reciprocals(before, m, harmonic))


@numba.njit("float64(int64, int64, int64, int64)", nogil=True, cache=True)
def _odds(found, n, r, m):
    """P(found + 1) / P(found) of the relevant items among m drawn from n, r of them relevant: the hypergeometric distribution."""
    return (r - found) * (m - found) / ((found + 1) * (n - r - m + found + 1))


@numba.njit("float64(int64, int64, float64, int64, int64, int64, float64[:, ::1])", nogil=True, cache=True)
def _per_hit(before, hits, total, n, r, m, harmonic):
    """Expected precision per hit, when a cut keeps m of the n items of a bucket; the buckets before have the expected sum `total`.

    Given the number of hits found among the m items, these are in random order. Sums run from the mode outwards, until the odds vanish.
    """
    fewest, most = max(0, m - (n - r)), min(m, r)
    mode = min(max((m + 1) * (r + 1) // (n + 2), fewest), most)
    weights, mean = 0.0, 0.0
    found, weight = mode, 1.0
    while found <= most and weight > VANISHED:
        weights += weight
        mean += weight * (total + _bucket(before, hits, m, found, m, harmonic)) / max(hits + found, 1)
        weight *= _odds(found, n, r, m)
        found += 1
    found, weight = mode - 1, 1.0
    while found >= fewest and weight > VANISHED:
        weight /= _odds(found, n, r, m)
        weights += weight
        mean += weight * (total + _bucket(before, hits, m, found, m, harmonic)) / max(hits + found, 1)
        found -= 1
    return mean / weights


@numba.njit("UniTuple(float64[::1], 2)(int64[:, ::1], int64[:, ::1], int64, float64[:, ::1])", nogil=True, cache=True)
def _precision_at_hits(n, r, k, harmonic):
    """Expected sum (Q,) and expected mean (Q,) of the precision at the hits in the first k ranks; the mean is 0 where there are none."""
    sums, means = np.zeros(len(n)), np.zeros(len(n))
    for query in range(len(n)):
        before, hits, total, bucket = 0, 0, 0.0, 0
        while before + n[query, bucket] < k:
            total += _bucket(before, hits, n[query, bucket], r[query, bucket], n[query, bucket], harmonic)
            before += n[query, bucket]
            hits += r[query, bucket]
            bucket += 1
        cut = k - before
        sums[query] = total + _bucket(before, hits, n[query, bucket], r[query, bucket], cut, harmonic)
        means[query] = _per_hit(before, hits, total, n[query, bucket], r[query, bucket], cut, harmonic)
    return sums, means


@numba.njit("float64(int64, int64, int64, int64)", nogil=True, cache=True)
def _later(place, h, n, r):
    """P(place + 1) / P(place) of the place of the h-th relevant item among n in random order: negative hypergeometric distribution."""
    return place * (n - place - (r - h)) / ((place - h + 1) * (n - place))


@numba.njit("float64(int64, int64, int64, int64, int64, float64[:, ::1])", nogil=True, cache=True)
def _first_of_bucket(before, hits, n, r, h, harmonic):
    """Expected sum of the precision at the first h < r hits of a bucket; `before` items with `hits` relevant ones precede.

    Given the place of the h-th hit, the h - 1 others are in random order before it. Sums run from the mode outwards.
    """
    mode = min(max((h - 1) * n // (r - 1) + 1, h), n - r + h)
    weights, mean = 0.0, 0.0
    place, weight = mode, 1.0
    while place <= n - r + h and weight > VANISHED:
        weights += weight
        mean += weight * (_bucket(before, hits, place - 1, h - 1, place - 1, harmonic) + (hits + h) / (before + place))
        weight *= _later(place, h, n, r)
        place += 1
    place, weight = mode - 1, 1.0
    while place >= h and weight > VANISHED:
        weight /= _later(place, h, n, r)
        weights += weight
        mean += weight * (_bucket(before, hits, place - 1, h - 1, place - 1, harmonic) + (hits + h) / (before + place))
        place -= 1
    return mean / weights


@numba.njit("float64[::1](int64[:, ::1], int64[:, ::1], int64, float64[:, ::1])", nogil=True, cache=True)
def _first_hits(n, r, k, harmonic):
    means = np.empty(len(n))
    for query in range(len(n)):
        wanted = min(k, r[query].sum())
        before, hits, total, bucket = 0, 0, 0.0, 0
        while hits + r[query, bucket] < wanted:
            total += _bucket(before, hits, n[query, bucket], r[query, bucket], n[query, bucket], harmonic)
            before += n[query, bucket]
            hits += r[query, bucket]
            bucket += 1
        items, relevant = n[query, bucket], r[query, bucket]
        if hits + relevant == wanted:
            total += _bucket(before, hits, items, relevant, items, harmonic)
        else:
            total += _first_of_bucket(before, hits, items, relevant, wanted - hits, harmonic)
        means[query] = total / wanted
    return means


@numba.njit("float64[:, ::1](int64[:, ::1], int64[:, ::1], int64[::1])", nogil=True, cache=True)
def _hits(n, r, ranks):
    expected = np.empty((len(n), len(ranks)))
    for query in range(len(n)):
        before, hits, bucket = 0, 0, 0
        for place in range(len(ranks)):
            while before + n[query, bucket] < ranks[place]:
                before += n[query, bucket]
                hits += r[query, bucket]
                bucket += 1
            expected[query, place] = hits + (ranks[place] - before) * r[query, bucket] / n[query, bucket]
    return expected
