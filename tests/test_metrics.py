"""Metrics against their definitions: every order of ties, shuffles, and scikit-learn."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom, nhypergeom
from sklearn.metrics import average_precision_score

import evaluation
from evaluation import EvaluationError, metrics, relevance


def plain(ranking, k, metric):
    """One metric of one ranking, a sequence of 0 and 1, by its definition."""
    ranking = np.asarray(ranking, float)
    top, total = ranking[:k], ranking.sum()
    precision = np.cumsum(top) / np.arange(1, len(top) + 1)
    hits = top.sum()
    return {
        "map": lambda: precision @ top / total,
        "map@k[found]": lambda: precision @ top / hits if hits else 0.0,
        "map@k[min]": lambda: precision @ top / min(k, total),
        "map@k[R]": lambda: precision @ top / total,
        "map@k[hits]": lambda: np.mean(
            (np.arange(1, total + 1) / (np.flatnonzero(ranking) + 1))[:k]
        ),
        "precision@k": lambda: hits / k,
        "recall@k": lambda: hits / total,
        "relevant_share": lambda: total / len(ranking),
    }[metric]()


def plain_graded(ranking, k, metric):
    """One graded metric of one ranking, a sequence of numbers of shared labels, by definition."""

    def cumulated(gains):
        return sum(gain / math.log2(1 + rank) for rank, gain in enumerate(gains[:k], start=1))

    if metric == "acg@k":
        return np.mean(ranking[:k])
    gains = np.asarray(ranking) if metric == "ndcg_linear@k" else 2.0 ** np.asarray(ranking) - 1
    return cumulated(gains) / cumulated(np.sort(gains)[::-1])


def orders_of_ties(n, r):
    """Every ranking that the ties of one query allow, each equally likely."""
    for places in itertools.product(
        *(itertools.combinations(range(size), hits) for size, hits in zip(n, r, strict=True))
    ):
        yield np.concatenate(
            [np.isin(np.arange(size), chosen) for size, chosen in zip(n, places, strict=True)]
        )


buckets = st.lists(
    st.integers(0, 4).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=200)
@given(buckets, st.data())
def test_every_metric_is_the_mean_over_all_orders_of_ties(counts, data):
    n, r = np.array(counts).T
    assume(r.sum() > 0)
    cut = data.draw(st.integers(1, int(n.sum())))
    rankings = list(orders_of_ties(n, r))
    for metric in (*metrics.WHOLE, *metrics.CUT):
        if metric in ("map_worst", "map_best", "map_chance"):
            continue  # no means of these orders
        k = cut if metric in metrics.CUT else None
        expected = np.mean([plain(ranking, k, metric) for ranking in rankings])
        assert metrics.measure(metric, k, n[None], r[None])[0] == pytest.approx(
            expected, abs=1e-12
        ), metric
    precisions = [plain(ranking, None, "map") for ranking in rankings]
    assert metrics.measure("map_worst", None, n[None], r[None])[0] == pytest.approx(
        min(precisions), abs=1e-12
    )
    assert metrics.measure("map_best", None, n[None], r[None])[0] == pytest.approx(
        max(precisions), abs=1e-12
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=3), st.data())
def test_graded_metrics_are_the_mean_over_all_orders_of_ties(buckets, data):
    assume(any(any(bucket) for bucket in buckets))
    g = np.array([[bucket.count(level) for level in range(4)] for bucket in buckets])[None]
    k = data.draw(st.integers(1, int(g.sum())))
    rankings = [
        sum(orders, ())
        for orders in itertools.product(
            *(list(itertools.permutations(bucket)) for bucket in buckets)
        )
    ]
    for metric in metrics.GRADED:
        expected = np.mean([plain_graded(ranking, k, metric) for ranking in rankings])
        assert metrics.measure(metric, k, None, None, g)[0] == pytest.approx(expected, abs=1e-12), (
            metric
        )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_score_is_the_mean_over_all_orders_of_the_database(seed, bits, items, multi):
    """The mean over queries of bool codes and labels, by a stable sort of each permutation."""
    rng = np.random.default_rng(seed)
    codes = rng.random((3 + items, bits)) < 0.5
    labels = rng.random((3 + items, 4)) < 0.4 if multi else rng.integers(0, 3, 3 + items)
    shared = (
        labels[:3].astype(int) @ labels[3:].T
        if multi
        else (labels[:3, None] == labels[3:]).astype(int)
    )
    distances = (codes[:3, None] != codes[3:]).sum(axis=2)
    evaluated = np.flatnonzero(shared.any(axis=1))
    assume(len(evaluated))
    k = int(rng.integers(1, items + 1))
    names = [
        "map",
        "relevant_share",
        *(name.replace("@k", f"@{k}") for name in (*metrics.CUT, *metrics.GRADED)),
    ]
    scores = evaluation.score(codes[:3], codes[3:], labels[:3], labels[3:], names)
    permutations = [list(order) for order in itertools.permutations(range(items))]
    for name in names:
        metric, cut = metrics.parse(name)
        values = []
        for query, order in itertools.product(evaluated, permutations):
            ranking = shared[query, order][np.argsort(distances[query, order], kind="stable")]
            values.append(
                plain_graded(ranking, cut, metric)
                if metric in metrics.GRADED
                else plain(ranking > 0, cut, metric)
            )
        assert scores[name] == pytest.approx(np.mean(values), abs=1e-12), name


def test_found_differs_from_min_and_total_as_worked_by_hand():
    """Ranking + - + - of R = 3: precision at the hits is 1 and 2/3."""
    n, r = np.ones((1, 6), int), np.array([[1, 0, 1, 0, 0, 1]])
    values = [
        metrics.average_precision_at(n, r, 4, denominator)[0]
        for denominator in ("found", "min", "R")
    ]
    assert values == pytest.approx([(1 + 2 / 3) / 2, (1 + 2 / 3) / 3, (1 + 2 / 3) / 3])
    assert metrics.average_precision_at(n, r, 2, "min")[0] == pytest.approx(1 / 2)
    assert (
        metrics.average_precision_at(n[:, 1:], r[:, 1:], 1, "found")[0] == 0
    )  # no hit in the first k


def test_equals_shuffles_of_tied_codes():
    rng = np.random.default_rng(5)
    classes = rng.integers(0, 4, 1503)
    codes = rng.normal(size=(4, 12))[classes] + 2 * rng.normal(size=(1503, 12)) > 0
    names = ["map", *(name.replace("@k", f"@{k}") for name in metrics.CUT for k in (100, 374))]
    scores = evaluation.score(codes[:3], codes[3:], classes[:3], classes[3:], names)
    distances = (codes[:3, None] != codes[3:]).sum(axis=2)
    relevant = classes[:3, None] == classes[3:]
    values = []
    for _ in range(400):
        ranks = np.argsort(distances + rng.random((3, 1500)), axis=1)
        rankings = np.take_along_axis(relevant, ranks, axis=1)
        values.append(
            [
                np.mean([plain(ranking, k, metric) for ranking in rankings])
                for metric, k in map(metrics.parse, names)
            ]
        )
    error = np.std(values, axis=0, ddof=1) / math.sqrt(len(values))
    assert (np.abs(np.mean(values, axis=0) - list(scores.values())) < 3 * error).all(), dict(
        zip(names, error, strict=True)
    )


def test_equals_scikit_learn_without_ties():
    rng = np.random.default_rng(0)
    r = (rng.random((20, 200)) < 0.2).astype(int)
    n = np.ones_like(r)
    expected = [average_precision_score(row, -np.arange(200)) for row in r]
    np.testing.assert_allclose(metrics.average_precision(n, r), expected, rtol=1e-12)
    np.testing.assert_array_equal(
        metrics.average_precision(*metrics.worst(n, r)),
        metrics.average_precision(*metrics.best(n, r)),
    )


def exact(n, r, k):
    """Expected sum of the precision at the hits in the first k, in rational numbers."""
    before, hits, total = 0, 0, Fraction(0)
    for items, relevant in zip(n.tolist(), r.tolist(), strict=True):
        for rank in range(min(items, k - before)):
            others = Fraction(rank * (relevant - 1), items - 1) if items > 1 else 0
            total += Fraction(relevant, items) * (hits + 1 + others) / (before + rank + 1)
        before, hits = min(before + items, k), hits + relevant
    return total


@pytest.mark.parametrize("last", [(2, 2), (50, 50), (700, 3)])
def test_keeps_its_digits_far_down_a_large_database(last):
    """Closed forms subtract large prefix sums: the only relevant items come after 59,000 others."""
    n, r = np.array([[58_000, 1_000, last[0]]]), np.array([[0, 0, last[1]]])
    total = 0.0
    for rank in range(last[0]):
        total += last[1] / last[0] * (1 + rank * (last[1] - 1) / (last[0] - 1)) / (59_001 + rank)
    assert metrics.average_precision(n, r)[0] == pytest.approx(total / last[1], rel=1e-14)


def test_equals_rational_arithmetic():
    rng = np.random.default_rng(2)
    n = rng.multinomial(500, rng.dirichlet(np.ones(9)), size=4)
    r = rng.integers(0, n + 1)
    for k in (1, 77, 200, 500):
        expected = [
            float(exact(*counts, k) / int(counts[1].sum())) for counts in zip(n, r, strict=True)
        ]
        np.testing.assert_allclose(metrics.average_precision_at(n, r, k, "R"), expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("items", "relevant", "k"),
    [(20_000, 2_000, 5_000), (59_000, 30_000, 5_000), (59_000, 58_000, 58_500)],
)
def test_found_sums_over_the_hypergeometric_distribution(items, relevant, k):
    """One bucket cut at k: h hits have the mean precision of a random order of k items."""
    hits = np.arange(0, k + 1)
    reciprocals = math.fsum(1 / rank for rank in range(1, k + 1))
    slope = (hits - 1) / (k - 1)
    mean_precision = np.where(hits > 0, (slope * k + (1 - slope) * reciprocals) / k, 0)
    expected = hypergeom(items, relevant, k).pmf(hits) @ mean_precision
    found = metrics.average_precision_at(np.array([[items]]), np.array([[relevant]]), k, "found")
    assert found[0] == pytest.approx(expected, rel=1e-8)


def test_random_codes_score_the_chance_level():
    """A random ranking has precision R / N at every rank.

    Its average precision is (R - 1) / (N - 1) * (1 - H / N) + H / N, with H harmonic.
    """
    rng = np.random.default_rng(0)
    codes, labels = rng.random((1_100, 64)) < 0.5, rng.permutation(np.repeat(np.arange(10), 110))
    labels[100:] = rng.permutation(np.repeat(np.arange(10), 100))
    names = ["map", "map_chance", "precision@100", "relevant_share"]
    scores = evaluation.score(codes[:100], codes[100:], labels[:100], labels[100:], names)
    harmonic = math.fsum(1 / rank for rank in range(1, 1_001))
    average_precision = 99 / 999 * (1 - harmonic / 1_000) + harmonic / 1_000
    assert metrics.average_precision(np.array([[1_000]]), np.array([[100]]))[0] == pytest.approx(
        average_precision, rel=1e-12
    )
    assert scores["map"] == pytest.approx(average_precision, abs=0.003)
    assert scores["map_chance"] == pytest.approx(average_precision, rel=1e-12)
    assert scores["precision@100"] == pytest.approx(0.1, abs=0.01)
    assert scores["relevant_share"] == pytest.approx(0.1)


@pytest.mark.parametrize("classes", [63, 64, 65, 81, 130])
def test_classes_that_no_item_has_change_no_metric(classes):
    rng = np.random.default_rng(classes)
    codes, labels = rng.random((250, 16)) < 0.5, rng.random((250, 8)) < 0.2
    labels[3] = False  # left out
    many = np.zeros((250, classes), bool)
    many[:, np.sort(rng.choice(classes, 8, replace=False))] = labels
    few, more = (
        evaluation.score(codes[:50], codes[50:], of[:50], of[50:], ["map", "ndcg@100", "as-trec"])
        for of in (labels, many)
    )
    assert few == more


@pytest.mark.parametrize("multi", [False, True])
def test_order_of_the_database_changes_no_bit_of_any_metric(multi):
    rng = np.random.default_rng(1)
    codes, order = rng.random((350, 10)) < 0.4, rng.permutation(300)
    labels = rng.random((350, 6)) < 0.3 if multi else rng.integers(0, 5, 350)
    labels[7] = False if multi else 99
    names = [
        *metrics.WHOLE,
        *metrics.LOOKUP,
        *(name.replace("@k", "@40") for name in [*metrics.CUT, *metrics.GRADED]),
    ]
    scores = evaluation.score(
        codes[:50], codes[50:], labels[:50], labels[50:], [*names, "queries_left_out"]
    )
    assert scores == evaluation.score(
        codes[:50], codes[50:][order], labels[:50], labels[50:][order], [*names, "queries_left_out"]
    )
    assert scores["map_worst"] < scores["map"] < scores["map_best"]
    assert scores["queries_left_out"] >= 1


def test_the_number_of_threads_changes_no_bit_of_any_metric(monkeypatch):
    rng = np.random.default_rng(3)
    g = rng.multinomial(200, np.ones(27) / 27, size=11).reshape(11, 9, 3)
    n, r = g.sum(axis=2), g[:, :, 1:].sum(axis=2)
    monkeypatch.setattr(metrics, "THREAD_BUCKETS", 0)
    keys = [(metric, None) for metric in (*metrics.WHOLE, *metrics.LOOKUP)] + [
        (metric, 70) for metric in (*metrics.CUT, *metrics.GRADED)
    ]
    alone = {key: metrics.measure(*key, n, r, g).tolist() for key in keys}
    for threads in (1, 2, 3, 12):
        monkeypatch.setattr(relevance, "THREADS", threads)
        assert {
            key: values.tolist() for key, values in metrics.measure_all(keys, n, r, g).items()
        } == alone


def test_lookup_in_a_ball_of_radius_two_as_worked_by_hand():
    """Three queries: 3 of 6 items in the ball are relevant, of 4 in all; an empty ball; one bit.

    A code of one bit has all items within its ball.
    """
    n, r = np.array([[1, 2, 3, 4], [0, 0, 0, 10]]), np.array([[0, 1, 2, 1], [0, 0, 0, 5]])
    assert metrics.lookup_precision(n, r).tolist() == [3 / 6, 0]
    assert metrics.lookup_recall(n, r).tolist() == [3 / 4, 0]
    assert metrics.lookup_empty(n, r).tolist() == [0, 1]
    assert metrics.lookup_recall(np.array([[1, 1]]), np.array([[0, 1]])).tolist() == [1]


@pytest.mark.parametrize(
    ("items", "relevant", "k"),
    [(2_000, 200, 50), (3_000, 1_500, 1_200), (20_000, 30, 7), (400, 400, 13)],
)
def test_first_hits_sum_over_the_rank_of_each(items, relevant, k):
    """One bucket: the rank of the j-th relevant item is negative hypergeometric."""
    others = np.arange(items - relevant + 1)
    means = [
        nhypergeom(items, items - relevant, j).pmf(others) @ (j / (others + j))
        for j in range(1, k + 1)
    ]
    value = metrics.precision_of_first_hits(np.array([[items]]), np.array([[relevant]]), k)[0]
    assert value == pytest.approx(np.mean(means), rel=1e-8)


def test_curve_over_balls_as_worked_by_hand():
    n, r = np.array([[0, 2, 2], [0, 0, 4]]), np.array([[0, 1, 2], [0, 0, 1]])
    curve = {(metric, radius): value for metric, radius, value in metrics.ball_curve(n, r)}
    assert curve == pytest.approx({
        ("pr_precision", 0): 0, ("pr_recall", 0): 0, ("pr_empty", 0): 1,
        ("pr_precision", 1): 1 / 4, ("pr_recall", 1): 1 / 6, ("pr_empty", 1): 1 / 2,
        ("pr_precision_nonempty", 1): 1 / 2,
        ("pr_precision", 2): 1 / 2, ("pr_recall", 2): 1, ("pr_empty", 2): 0,
        ("pr_precision_nonempty", 2): 1 / 2,
    })  # fmt: skip


def test_curve_over_ranks_is_precision_and_recall_at_each():
    rng = np.random.default_rng(0)
    n = rng.multinomial(60, np.ones(8) / 8, size=3)
    r = rng.integers(1, n + 2).clip(max=n)
    ranks = [1, 2, 5, 17, 60]
    for metric, rank, values in metrics.rank_curve(n, r, ranks):
        same = metrics.precision_at if metric == "pr_rank_precision" else metrics.recall_at
        np.testing.assert_array_equal(values, same(n, r, rank))


CODES, CLASSES = np.eye(4, dtype=bool), np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"metrics": ["map@1000"]},
            r"'map@1000' has no denominator: expected one of map@1000\[found\], ",
        ),
        (
            {"metrics": ["ndcg"]},
            r"'ndcg' is unknown: expected one of .*map, .*map@k\[found\]",
        ),
        ({"metrics": ["precision@0"]}, "k = 0 is impossible: expected 1 to 4"),
        ({"metrics": ["map@5[found]"]}, "k = 5 is impossible: expected 1 to 4"),
        ({"query_codes": CODES * 0.5}, r"query codes are float64 \(4, 4\) with the value 0.5"),
        ({"query_codes": CODES[0]}, r"query codes are bool \(4,\)"),
        ({"database_codes": CODES - 0.0 - (np.arange(4) == 3)}, "zeros among -1 and \\+1"),
        ({"bits": 5}, "codes have 4 bits, expected 5"),
        ({"database_codes": CODES[:, :3]}, "query codes have 4 bits, database codes 3"),
        ({"query_codes": CODES[:3]}, "3 query codes and 4 query labels"),
        ({"database_codes": CODES[:3]}, "database codes"),
        ({"query_codes": CODES[:, :0], "database_codes": CODES[:, :0]}, "0 bits"),
        ({"query_codes": np.where(CODES, np.nan, 1)}, "query codes are float64"),
        (
            {"database_codes": CODES[:0], "database_labels": CLASSES[:0]},
            "4 queries, 0 database items: expected at least one of each",
        ),
        (
            {"query_codes": CODES[:0], "query_labels": CLASSES[:0]},
            "0 queries, 4 database items: expected at least one of each",
        ),
        ({"query_labels": np.array([0, 0, 1, np.nan])}, "query labels are float64"),
        ({"query_labels": CLASSES + 2}, "no query has a relevant item"),
    ],
)
def test_score_refuses_what_it_cannot_score(changes, message):
    arguments = {
        "query_codes": CODES,
        "database_codes": CODES,
        "query_labels": CLASSES,
        "database_labels": CLASSES,
    }
    with pytest.raises(EvaluationError, match=message):
        evaluation.score(**arguments | changes)


def test_torch_tensors_are_taken():
    codes, labels = torch.eye(4, dtype=torch.bool), torch.tensor([0, 0, 1, 1])
    assert evaluation.score(codes, codes, labels, labels, ["map"]) == evaluation.score(
        CODES, CODES, CLASSES, CLASSES, ["map"]
    )


@pytest.mark.parametrize(
    ("n", "r", "message"),
    [
        ([[2], [2]], [[1], [0]], "1 of 2 queries have no relevant item"),
        ([[2], [3]], [[1], [1]], "the same number of items"),
        ([[2, 1]], [[1]], "expected one shape"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "expected one shape"),
    ],
)
def test_counts_that_cannot_be_measured_are_refused(n, r, message):
    with pytest.raises(EvaluationError, match=message):
        metrics.average_precision(np.array(n, int), np.array(r, int))


def test_ranks_out_of_order_are_refused():
    with pytest.raises(EvaluationError, match=r"\[2, 1\]: expected increasing order"):
        metrics.expected_hits(np.array([[3]]), np.array([[1]]), [2, 1])
