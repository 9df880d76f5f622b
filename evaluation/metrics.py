"""Every metric as an exact expectation over random orders of ties.

The functions read histograms, so that each definition exists once for codes and for controls. A
bucket is a set of items that a ranking cannot distinguish: all items at one Hamming distance, or at
one real-valued distance.

Parameters shared by the functions:

n, r : ndarray of int64, shape (Q, B)
    Items and relevant items in each bucket of each query, nearest bucket first.
g : ndarray of int64, shape (Q, B, S + 1)
    For graded metrics: items that share s = 0..S labels with the query.
k : int
    Number of ranks, from 1 to the number of items N.

They return float64 (Q,), one value per query. They raise EvaluationError for a query without
relevant items (R = 0) and for a k outside 1..N.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .compiling import compiled
from .errors import EvaluationError
from .relevance import THREADS, shares

BALL = 3  # distances 0, 1 and 2: the ball of radius 2
THREAD_BUCKETS = 2**16  # buckets of all queries below which threads cost more time than they save
TAIL_CUTOFF = 1e-20  # probability relative to the mode below which a tail is zero in float64


def average_precision(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return the tie-aware average precision over all ranks, divided by R.

    References
    ----------
    McSherry and Najork, "Computing information retrieval performance measures efficiently in the
    presence of tied scores", ECIR 2008.
    """
    return average_precision_at(n, r, int(np.sum(n[:1])), "R")


def average_precision_at(n: np.ndarray, r: np.ndarray, k: int, denominator: str) -> np.ndarray:
    """Return the expected average precision of the first k ranks.

    This is the sum of the precision at each hit, divided by the `denominator`.

    Parameters
    ----------
    n, r : ndarray of int64, shape (Q, B)
        Items and relevant items in each bucket.
    k : int
        Number of ranks.
    denominator : {"found", "min", "R"}
        "found" is the number of hits in the first k ranks. A query without a hit has the value 0.
        Most code of the field does this, for instance github.com/swuxyj/DeepHash-pytorch.
        "min" is min(k, R), as in github.com/benhamner/Metrics, apk.
        "R" is the number of relevant items, as in github.com/usnistgov/trec_eval, map_cut.

    Returns
    -------
    ndarray of float64, shape (Q,)
        Value of each query.
    """
    n, r = _checked(n, r, k)
    total, per_hit = _precision_at_hits(n, r, k, harmonic_sums(n[0].sum()))
    relevant = _row_sums(r)
    values = {"found": per_hit, "min": total / np.minimum(k, relevant), "R": total / relevant}
    return values[denominator]


def precision_of_first_hits(n: np.ndarray, r: np.ndarray, k: int) -> np.ndarray:
    """Return the expected mean of the precision at the first min(k, R) hits, at any rank.

    Code of cross-modal hashing calls this average precision at k, for instance `calc_map_k` of
    DGCPN (Yu et al., AAAI 2021).
    """
    n, r = _checked(n, r, k)
    return _first_hits(n, r, k, harmonic_sums(n[0].sum()))


def worst(n: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts (Q, 2 B) of the worst order of ties: relevant items last in each bucket."""
    return _interleave(n - r, r), _interleave(np.zeros_like(r), r)


def best(n: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts (Q, 2 B) of the best order of ties: relevant items first in each bucket."""
    return _interleave(r, n - r), _interleave(r, np.zeros_like(r))


def expected_hits(n: np.ndarray, r: np.ndarray, ranks: Sequence[int]) -> np.ndarray:
    """Return the expected number of relevant items among the first ranks, float64 (Q, K).

    `ranks` has K numbers in increasing order. The expectation is linear in the rank in a bucket.
    """
    n, r = _checked(n, r, *ranks)
    if np.any(np.diff(ranks) < 0):
        raise EvaluationError(f"ranks are {list(ranks)}: expected increasing order")
    return _hits(n, r, np.array(ranks, np.int64))


def precision_at(n: np.ndarray, r: np.ndarray, k: int) -> np.ndarray:
    """Return the expected share of relevant items among the first k."""
    return expected_hits(n, r, [k])[:, 0] / k


def recall_at(n: np.ndarray, r: np.ndarray, k: int) -> np.ndarray:
    """Return the expected share of the relevant items that are among the first k."""
    return expected_hits(n, r, [k])[:, 0] / r.sum(axis=1)


def chance(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return the average precision of a random ranking: all items are tied. It exceeds R / N."""
    n, r = _checked(n, r)
    return average_precision(n.sum(axis=1, keepdims=True), r.sum(axis=1, keepdims=True))


def relevant_share(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return R / N, the expected precision of a random ranking at any rank."""
    n, r = _checked(n, r)
    return r.sum(axis=1) / n.sum(axis=1)


def lookup_precision(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return the share of relevant items in the Hamming ball of radius 2, 0 for an empty ball.

    Buckets are the Hamming distances 0, 1, 2, ...
    """
    n, r = _checked(n, r)
    return r[:, :BALL].sum(axis=1) / np.maximum(n[:, :BALL].sum(axis=1), 1)


def lookup_recall(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return the share of the relevant items that are in the Hamming ball of radius 2."""
    n, r = _checked(n, r)
    return r[:, :BALL].sum(axis=1) / r.sum(axis=1)


def lookup_empty(n: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Return 1 for an empty Hamming ball of radius 2, else 0."""
    n, r = _checked(n, r)
    empty = np.logical_not(n[:, :BALL].any(axis=1))
    return empty.astype(np.float64)


def ndcg_at(g: np.ndarray, k: int, gains: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the expected discounted cumulative gain of the first k ranks, normalised.

    The divisor is the gain of the best k items of the database. The discount of a rank is
    1 / log2(1 + rank).

    Parameters
    ----------
    g : ndarray of int64, shape (Q, B, S + 1)
        Items in each bucket by the number of shared labels.
    k : int
        Number of ranks.
    gains : callable
        Maps the numbers of shared labels to gains, float64 (S + 1,).

    Returns
    -------
    ndarray of float64, shape (Q,)
        Value of each query.

    References
    ----------
    Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002. With
    ties: McSherry and Najork, ECIR 2008.
    """
    g = _checked_levels(g, k)
    gain = gains(np.arange(g.shape[2], dtype=np.float64))  # (S + 1,)
    discounts = _discounts(g[0].sum())
    # The ideal ranking has a bucket for each level, the highest first: (Q, S + 1, S + 1).
    ideal = g.sum(axis=1)[:, ::-1, None] * np.eye(g.shape[2], dtype=np.int64)[::-1]
    return _cumulated(g, k, gain, discounts) / _cumulated(ideal, k, gain, discounts)


def acg_at(g: np.ndarray, k: int) -> np.ndarray:
    """Return the average cumulative gain: the expected mean of shared labels over the first k."""
    g = _checked_levels(g, k)
    gain = np.arange(g.shape[2], dtype=np.float64)  # (S + 1,)
    ones = np.arange(k + 1, dtype=np.float64)  # prefix sums of the weight 1
    return _cumulated(g, k, gain, ones) / k


def neighbour_recall_at(n: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Return the expected share of a query's nearest items by features among the first k.

    It needs no labels. Jegou, Douze & Schmid, "Product quantization for nearest neighbor search",
    TPAMI 2011, call a related measure recall@R.

    Parameters
    ----------
    n : ndarray of int64, shape (Q, B)
        Items in each bucket.
    weights : ndarray of float64, shape (Q, B)
        Nearest items in each bucket, from `neighbours.Neighbours.by_distance`. A fraction is the
        probability that an item is one of the nearest.
    k : int
        Number of ranks.
    """
    n, _ = _checked(n, n, k)
    first = np.diff(np.minimum(n.cumsum(axis=1), k), axis=1, prepend=0)  # (Q, B)
    expected = np.sum(first * weights / np.maximum(n, 1), axis=1)
    recall: np.ndarray = expected / weights.sum(axis=1)
    return recall


Metric = Callable[..., np.ndarray]
NEIGHBOURS: dict[str, Metric] = {"neighbour_recall@k": neighbour_recall_at}  # of n and the weights
WHOLE: dict[str, Metric] = {
    "map": average_precision,
    "map_worst": lambda n, r: average_precision(*worst(n, r)),
    "map_best": lambda n, r: average_precision(*best(n, r)),
    "map_chance": chance,
    "relevant_share": relevant_share,
}
CUT: dict[str, Metric] = {
    "map@k[found]": functools.partial(average_precision_at, denominator="found"),
    "map@k[min]": functools.partial(average_precision_at, denominator="min"),
    "map@k[R]": functools.partial(average_precision_at, denominator="R"),
    "map@k[hits]": precision_of_first_hits,
    "precision@k": precision_at,
    "recall@k": recall_at,
}
LOOKUP: dict[str, Metric] = {
    "precision_r2": lookup_precision,
    "recall_r2": lookup_recall,
    "empty_r2": lookup_empty,
}
GRADED: dict[str, Metric] = {
    "ndcg@k": functools.partial(ndcg_at, gains=lambda shared: 2.0**shared - 1),
    "ndcg_linear@k": functools.partial(ndcg_at, gains=lambda shared: shared),
    "acg@k": acg_at,
}


def parse(name: str, others: Sequence[str] = ()) -> tuple[str, int | None]:
    """Return a metric and its cut.

    "map" is ("map", None), and "map@1000[found]" is ("map@k[found]", 1000).

    Parameters
    ----------
    name : str
        Name of a metric, with a number for k.
    others : sequence of str, optional
        Valid names that the error message adds.

    Returns
    -------
    metric : str
        Key of WHOLE, LOOKUP, CUT or GRADED.
    k : int or None
        The cut.

    Raises
    ------
    EvaluationError
        If the metric is unknown.
    """
    match = re.fullmatch(r"(\w+)@(\d+)(\[\w+\])?", str(name))
    if match:
        metric, k = f"{match[1]}@k{match[3] or ''}", int(match[2])
        known = metric in CUT or metric in GRADED
    else:
        metric, k = name, None
        known = metric in WHOLE or metric in LOOKUP

    if not known and metric == "map@k":
        denominators = ", ".join(f"map@{k}[{end}]" for end in ("found", "min", "R", "hits"))
        raise EvaluationError(
            f"metric {name!r} has no denominator: expected one of {denominators}. The first one is "
            "the most common"
        )
    if not known:
        names = ", ".join([*WHOLE, *LOOKUP, *CUT, *GRADED, *others])
        raise EvaluationError(
            f"metric {name!r} is unknown: expected one of {names}, with a number for k"
        )

    return metric, k


def measure(
    metric: str, k: int | None, n: np.ndarray, r: np.ndarray, g: np.ndarray | None = None
) -> np.ndarray:
    """Return one metric of each query, float64 (Q,).

    `k` is None for a metric without a cut. `g` is required for graded metrics only.
    """
    if metric in GRADED:
        return GRADED[metric](g, k)
    if metric in CUT:
        return CUT[metric](n, r, k)
    if metric in LOOKUP:
        return LOOKUP[metric](n, r)
    return WHOLE[metric](n, r)


def measure_all(
    keys: Iterable[tuple[str, int | None]],
    n: np.ndarray,
    r: np.ndarray,
    g: np.ndarray | None = None,
) -> dict[tuple[str, int | None], np.ndarray]:
    """Return `measure` of each metric and cut.

    Large histograms are shared among threads by queries. No value depends on their number.

    Parameters
    ----------
    keys : iterable of (str, int or None)
        Metrics and cuts, from `parse`.
    n, r : ndarray of int64, shape (Q, B)
        Items and relevant items in each bucket.
    g : ndarray of int64, shape (Q, B, S + 1), optional
        Items by the number of shared labels, required for graded metrics.

    Returns
    -------
    dict of (str, int or None) to ndarray of float64, shape (Q,)
        Values of each metric and cut.
    """
    keys = list(dict.fromkeys(keys))
    _checked(n, r)
    if n.size < THREAD_BUCKETS:
        return {key: measure(*key, n, r, g) for key in keys}

    def measure_share(share: slice) -> list[np.ndarray]:
        levels = None if g is None else g[share]
        return [measure(*key, n[share], r[share], levels) for key in keys]

    with ThreadPoolExecutor(THREADS) as pool:
        values = zip(*pool.map(measure_share, shares(len(n))), strict=True)
        return dict(zip(keys, map(np.concatenate, values), strict=True))


def rank_curve(
    n: np.ndarray, r: np.ndarray, ranks: Sequence[int]
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield (metric, rank, values (Q,)): expected precision and recall at each rank."""
    relevant = r.sum(axis=1)
    for rank, hits in zip(ranks, expected_hits(n, r, ranks).T, strict=True):
        yield "pr_rank_precision", int(rank), hits / rank
        yield "pr_rank_recall", int(rank), hits / relevant


def ball_curve(n: np.ndarray, r: np.ndarray) -> Iterator[tuple[str, int, float]]:
    """Yield (metric, radius, mean over the queries) of Hamming balls of radius 0..B - 1.

    An empty ball has precision 0. `pr_empty` is the share of empty balls. `pr_precision_nonempty`
    is the mean over the other balls, and is omitted at a radius where all balls are empty.
    """
    n, r = _checked(n, r)
    relevant = r.sum(axis=1)
    columns = zip(n.cumsum(axis=1).T, r.cumsum(axis=1).T, strict=True)
    for radius, (items, hits) in enumerate(columns):
        precision, empty = hits / np.maximum(items, 1), items == 0
        yield "pr_precision", radius, precision.mean()
        yield "pr_recall", radius, (hits / relevant).mean()
        yield "pr_empty", radius, empty.mean()
        if not empty.all():
            yield "pr_precision_nonempty", radius, precision[~empty].mean()


def _checked(n: np.ndarray, r: np.ndarray, *cuts: int) -> tuple[np.ndarray, np.ndarray]:
    """Validate the counts for the compiled loops, which do not check bounds."""
    n, r = (np.require(counts, np.int64, ["C", "W"]) for counts in (n, r))
    items, relevant = _row_sums(n), _row_sums(r)
    if n.shape != r.shape or not len(n) or (items != items[0]).any():
        raise EvaluationError(
            f"counts n {n.shape} and r {r.shape}: expected one shape, and the same number of items "
            "for every query"
        )
    if not relevant.all():
        raise EvaluationError(
            f"{np.sum(relevant == 0)} of {len(n)} queries have no relevant item. "
            "Leave these queries out"
        )

    for k in cuts:
        if not 1 <= k <= items[0]:
            raise EvaluationError(
                f"a cut at k = {k} is impossible: expected 1 to {items[0]}, the items of the "
                "database"
            )

    return n, r


def _checked_levels(g: np.ndarray, k: int) -> np.ndarray:
    """Validate the counts by level as `_checked` does."""
    _checked(g.sum(axis=2), g[:, :, 1:].sum(axis=2), k)
    return g


def _cumulated(g: np.ndarray, k: int, gain: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the expected sum (Q,) over the first k ranks of gain times weight.

    gain (S + 1,); weights (N + 1,) are prefix sums. Each item of a bucket has its mean gain.
    """
    n = g.sum(axis=2)
    ends = np.minimum(n.cumsum(axis=1), k)
    starts = np.minimum(n.cumsum(axis=1) - n, k)
    mean_gain = g @ gain / np.maximum(n, 1)  # (Q, B)
    return np.sum(mean_gain * (weights[ends] - weights[starts]), axis=1)


@compiled("int64[::1](int64[:, ::1])")
def _row_sums(counts):
    """Sum rows as NumPy does, several times faster for short rows."""
    sums = np.zeros(len(counts), np.int64)
    for row in range(len(counts)):
        for count in counts[row]:
            sums[row] += count
    return sums


@functools.lru_cache(maxsize=4)
def _discounts(items: int) -> np.ndarray:
    """Return the prefix sums of 1 / log2(1 + rank), float64 (items + 1,)."""
    return np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, items + 2)))])


@compiled("int64[:, ::1](int64[:, :], int64[:, :])")
def _interleave(first, second):
    """Return the columns of two arrays (Q, B) in turn, (Q, 2 B)."""
    interleaved = np.empty((len(first), 2 * first.shape[1]), np.int64)
    for row in range(len(first)):
        for bucket in range(first.shape[1]):
            interleaved[row, 2 * bucket] = first[row, bucket]
            interleaved[row, 2 * bucket + 1] = second[row, bucket]
    return interleaved


@functools.lru_cache(maxsize=4)
def harmonic_sums(items: int) -> np.ndarray:
    """Return prefix sums of the harmonic series and their rounding errors, float64 (N + 1, 2)."""
    return _prefix_sums(items)


@compiled("float64[:, ::1](int64)")
def _prefix_sums(items):
    sums, total, lost = np.zeros((items + 1, 2)), 0.0, 0.0
    for rank in range(1, items + 1):
        term = 1 / rank
        before, total = total, total + term
        # Exact, since the term is the smaller one: Dekker, Numerische Mathematik 18, 1971.
        lost += term - (total - before)
        sums[rank, 0], sums[rank, 1] = total, lost
    return sums


@compiled("float64(int64, int64, float64[:, ::1])")
def reciprocals(before, count, harmonic):
    """Return 1 / (before + 1) + ... + 1 / (before + count).

    The rounding errors keep the digits of a short sum, the difference of two large ones.
    """
    first, last = harmonic[before], harmonic[before + count]
    return (last[0] - first[0]) + (last[1] - first[1])


@compiled("float64(int64, int64, int64, int64, int64, float64[:, ::1])")
def _bucket(before, hits, n, r, m, harmonic):
    """Return the expected sum of the precision at the hits among the first m items of a bucket.

    The bucket has n items in random order, r of them relevant. It follows `before` items, of which
    `hits` are relevant. If position i of the bucket is a hit, then (i - 1) * slope of the positions
    before it are expected to be hits:

        r / n * sum_{i=1..m} (hits + 1 + (i - 1) * slope) / (before + i)
    """
    if r == 0:
        return 0.0
    slope = (r - 1) / (n - 1) if n > 1 else 0.0
    constant = hits + 1 - slope * (before + 1)
    return r / n * (slope * m + constant * reciprocals(before, m, harmonic))


@compiled("float64(int64, int64, int64, int64)")
def odds(hits, n, r, m):
    """Return P(hits + 1) / P(hits) of the hypergeometric distribution: m of n drawn, r relevant."""
    return (r - hits) * (m - hits) / ((hits + 1) * (n - r - m + hits + 1))


@compiled("float64(int64, int64, float64, int64, int64, int64, float64[:, ::1])")
def _per_hit(before, hits, total, n, r, m, harmonic):
    """Return the expected precision per hit if a cut takes m of the n items of a bucket.

    `total` is the expected sum of the buckets before it. Given the number of hits among the m
    items, their order is random. The sum over this number runs from the mode outwards.
    """
    fewest, most = max(0, m - (n - r)), min(m, r)
    mode = min(max((m + 1) * (r + 1) // (n + 2), fewest), most)
    weights, mean = 0.0, 0.0

    drawn, weight = mode, 1.0  # relevant items among the m, and their relative probability
    while drawn <= most and weight > TAIL_CUTOFF:
        precisions = total + _bucket(before, hits, m, drawn, m, harmonic)
        weights += weight
        mean += weight * precisions / max(hits + drawn, 1)
        weight *= odds(drawn, n, r, m)
        drawn += 1

    drawn, weight = mode - 1, 1.0
    while drawn >= fewest and weight > TAIL_CUTOFF:
        precisions = total + _bucket(before, hits, m, drawn, m, harmonic)
        weight /= odds(drawn, n, r, m)
        weights += weight
        mean += weight * precisions / max(hits + drawn, 1)
        drawn -= 1

    return mean / weights


@compiled("UniTuple(float64[::1], 2)(int64[:, ::1], int64[:, ::1], int64, float64[:, ::1])")
def _precision_at_hits(n, r, k, harmonic):
    """Return the expected sum and mean, (Q,) each, of the precision at the hits in the first k.

    The mean of no hit is 0.
    """
    sums, means = np.zeros(len(n)), np.zeros(len(n))
    for query in range(len(n)):
        before, hits, total, bucket = 0, 0, 0.0, 0
        items, relevant = n[query, 0], r[query, 0]
        while before + items < k:
            total += _bucket(before, hits, items, relevant, items, harmonic)
            before += items
            hits += relevant
            bucket += 1
            items, relevant = n[query, bucket], r[query, bucket]

        cut = k - before
        sums[query] = total + _bucket(before, hits, items, relevant, cut, harmonic)
        means[query] = _per_hit(before, hits, total, items, relevant, cut, harmonic)

    return sums, means


@compiled("float64(int64, int64, int64, int64)")
def _later(rank, h, n, r):
    """Return P(rank + 1) / P(rank) of the rank of the h-th of r relevant items among n.

    This is the negative hypergeometric distribution.
    """
    return rank * (n - rank - (r - h)) / ((rank - h + 1) * (n - rank))


@compiled("float64(int64, int64, int64, int64, int64, float64[:, ::1])")
def _first_of_bucket(before, hits, n, r, h, harmonic):
    """Return the expected sum of the precision at the first h < r hits of a bucket.

    The bucket follows `before` items, of which `hits` are relevant. Given the rank of the h-th hit
    in the bucket, the h - 1 others are in random order before it. The sum over this rank runs from
    the mode outwards.
    """
    mode = min(max((h - 1) * n // (r - 1) + 1, h), n - r + h)
    weights, mean = 0.0, 0.0

    rank, weight = mode, 1.0  # rank of the h-th hit, and its relative probability
    while rank <= n - r + h and weight > TAIL_CUTOFF:
        earlier = _bucket(before, hits, rank - 1, h - 1, rank - 1, harmonic)
        weights += weight
        mean += weight * (earlier + (hits + h) / (before + rank))
        weight *= _later(rank, h, n, r)
        rank += 1

    rank, weight = mode - 1, 1.0
    while rank >= h and weight > TAIL_CUTOFF:
        earlier = _bucket(before, hits, rank - 1, h - 1, rank - 1, harmonic)
        weight /= _later(rank, h, n, r)
        weights += weight
        mean += weight * (earlier + (hits + h) / (before + rank))
        rank -= 1

    return mean / weights


@compiled("float64[::1](int64[:, ::1], int64[:, ::1], int64, float64[:, ::1])")
def _first_hits(n, r, k, harmonic):
    """Return the expected mean of the precision at the first min(k, R) hits, (Q,)."""
    means = np.empty(len(n))
    for query in range(len(n)):
        wanted = min(k, r[query].sum())
        before, hits, total, bucket = 0, 0, 0.0, 0
        items, relevant = n[query, 0], r[query, 0]
        while hits + relevant < wanted:
            total += _bucket(before, hits, items, relevant, items, harmonic)
            before += items
            hits += relevant
            bucket += 1
            items, relevant = n[query, bucket], r[query, bucket]

        if hits + relevant == wanted:
            total += _bucket(before, hits, items, relevant, items, harmonic)
        else:
            total += _first_of_bucket(before, hits, items, relevant, wanted - hits, harmonic)
        means[query] = total / wanted

    return means


@compiled("float64[:, ::1](int64[:, ::1], int64[:, ::1], int64[::1])")
def _hits(n, r, ranks):
    """Return the expected number of relevant items among the first ranks (K,), (Q, K)."""
    expected = np.empty((len(n), len(ranks)))
    for query in range(len(n)):
        before, hits, bucket = 0, 0, 0
        for column in range(len(ranks)):
            while before + n[query, bucket] < ranks[column]:
                before += n[query, bucket]
                hits += r[query, bucket]
                bucket += 1
            cut = ranks[column] - before
            expected[query, column] = hits + cut * r[query, bucket] / n[query, bucket]

    return expected
