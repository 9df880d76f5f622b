"""Asymmetric rankings against exact fractions, and re-ranking against all orders of ties."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from evaluation import EvaluationError, asymmetric, metrics, reranking
from evaluation.relevance import Relevance

QUERIES, ITEMS = 70, 300


def counts_of(distance, values, codes, relevance):
    packed = np.packbits(codes, axis=1)
    return asymmetric.each_query(distance, values, packed, relevance, lambda n, r: (n, r))


def exact_buckets(distances, relevant):
    """Items and relevant items of each distance, by Python's own numbers."""
    levels = sorted(set(distances))
    n = [sum(other == level for other in distances) for level in levels]
    r = [
        sum(hit for other, hit in zip(distances, relevant, strict=True) if other == level)
        for level in levels
    ]
    return n, r


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(2)
    return rng.integers(0, 4, QUERIES), rng.integers(0, 4, ITEMS)


@pytest.mark.parametrize("bits", [3, 8, 12, 21])
def test_products_are_ranked_as_exact_fractions_with_ties(bits, labels):
    """Few distinct values have equal sums of different bits. A value of 0 decides nothing."""
    rng = np.random.default_rng(bits)
    values = (rng.integers(-12, 13, (QUERIES, bits)) / 8).astype(np.float32)
    values[4] = 0
    codes = rng.random((ITEMS, bits)) < 0.5
    counts = counts_of("product", values, codes, Relevance.of(*labels))
    for query, (n, r) in enumerate(counts):
        weights = [Fraction(float(value)) for value in values[query]]
        distances = [
            -sum(weight if bit else -weight for weight, bit in zip(weights, code, strict=True))
            for code in codes
        ]
        expected = exact_buckets(distances, (labels[1] == labels[0][query]).tolist())
        assert (n[0].tolist(), r[0].tolist()) == expected
    assert counts[4][0].tolist() == [[ITEMS]]


def test_sigmoids_are_ranked_by_their_l1_distance(labels):
    rng = np.random.default_rng(3)
    values, codes = rng.normal(size=(QUERIES, 16)), rng.random((ITEMS, 16)) < 0.5
    probabilities = 1 / (1 + np.exp(-values))
    unique, copy_of = np.unique(codes, axis=0, return_inverse=True)
    counts = counts_of("sigmoid", values, codes, Relevance.of(*labels))
    for query, (n, r) in enumerate(counts):
        of_codes = np.abs(probabilities[query] - unique).sum(axis=1)
        order = np.argsort(of_codes)
        relevant = labels[1] == labels[0][query]
        assert n[0].tolist() == np.bincount(copy_of.ravel())[order].tolist()
        assert r[0].tolist() == np.bincount(copy_of.ravel(), weights=relevant)[order].tolist()


@pytest.mark.parametrize("distance", asymmetric.WEIGHTS)
def test_values_of_one_size_are_ranked_by_hamming_distance(distance, labels):
    rng = np.random.default_rng(5)
    values = np.where(rng.random((QUERIES, 12)) < 0.5, -3.7, 3.7)
    codes = rng.random((ITEMS, 12)) < 0.5
    for query, (n, _) in enumerate(counts_of(distance, values, codes, Relevance.of(*labels))):
        hamming = ((values[query] > 0) != codes).sum(axis=1)
        assert n[0].tolist() == np.unique(hamming, return_counts=True)[1].tolist()


def test_the_order_of_bits_and_the_scale_of_a_query_change_nothing(labels):
    rng = np.random.default_rng(6)
    values = rng.normal(size=(QUERIES, 40)).astype(np.float32)
    codes = rng.random((ITEMS, 40)) < 0.5
    relevance, order = Relevance.of(*labels), rng.permutation(40)
    expected = counts_of("product", values, codes, relevance)
    scales = 2.0 ** rng.integers(-20, 20, (QUERIES, 1))
    for changed in (
        counts_of("product", values[:, order], codes[:, order], relevance),
        counts_of("product", values * scales, codes, relevance),
    ):
        for one, other in zip(expected, changed, strict=True):
            assert np.array_equal(one, other)


def test_items_with_several_labels_are_relevant_if_they_share_one(labels):
    rng = np.random.default_rng(8)
    of_queries, of_items = rng.random((QUERIES, 5)) < 0.4, rng.random((ITEMS, 5)) < 0.4
    values, codes = rng.normal(size=(QUERIES, 9)), rng.random((ITEMS, 9)) < 0.5
    counts = counts_of("product", values, codes, Relevance.of(of_queries, of_items))
    totals = (of_queries[:, None] & of_items).any(axis=2).sum(axis=1)
    assert [r.sum() for _, r in counts] == totals.tolist()


def test_invalid_arrays_are_refused(labels):
    relevance = Relevance.of(*labels)
    values, codes = np.ones((QUERIES, 12)), np.ones((ITEMS, 12), bool)
    with pytest.raises(EvaluationError, match="have 69 rows: expected 70"):
        counts_of("product", values[1:], codes, relevance)
    with pytest.raises(EvaluationError, match=r"expected uint8 \(300, 2\)"):
        counts_of("product", values, codes[:, :5], relevance)
    values[3, 3] = np.inf
    with pytest.raises(EvaluationError, match="not all finite"):
        counts_of("product", values, codes, relevance)


# Re-ranking


def sample(rng, items, bits=2, queries=1):
    """Few codes and few features, so that both stages have ties."""
    return {
        "query_codes": rng.random((queries, bits)) < 0.5,
        "database_codes": rng.random((items, bits)) < 0.5,
        "query_features": rng.normal(size=(queries, 2)).astype(np.float32),
        "database_features": rng.normal(size=(4, 2)).astype(np.float32)[rng.integers(0, 4, items)],
        "centre": np.array([0.1, -0.2]),
        "labels": (np.zeros(queries, int), rng.permutation(items) % 2),
    }


def reranked(case, count):
    packed = {name: np.packbits(case[name], axis=1) for name in ("query_codes", "database_codes")}
    return reranking.average_precision_reranked(
        **packed,
        bits=case["query_codes"].shape[1],
        query_features=case["query_features"],
        database_features=case["database_features"],
        centre=case["centre"],
        relevance=Relevance.of(*case["labels"]),
        count=count,
    )


def distances_of(case, query=0):
    """Hamming distances, and exact ranks of the cosines, of every item."""
    hamming = (case["query_codes"][query] != case["database_codes"]).sum(axis=1)
    unit = case["database_features"] - case["centre"]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ (case["query_features"][query] - case["centre"])
    return hamming, np.unique(-cosines.round(9), return_inverse=True)[1]


def precision_of_order(case, count, first_keys, second_keys, query=0):
    """Average precision for one order of the ties of each stage."""
    hamming, features = distances_of(case, query)
    by_code = np.lexsort((first_keys, hamming))
    first, later = by_code[:count], by_code[count:]
    again = first[np.lexsort((second_keys[first], features[first]))]
    relevant = case["labels"][1][np.concatenate([again, later])] == case["labels"][0][query]
    precision = np.cumsum(relevant) / np.arange(1, len(relevant) + 1)
    return precision[relevant].mean()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", range(1, 6))
def test_reranking_is_the_mean_over_all_orders_of_both_stages(seed, count):
    case = sample(np.random.default_rng(seed), items=5)
    orders = [np.array(order) for order in itertools.permutations(range(5))]
    values = [
        precision_of_order(case, count, first, second) for first in orders for second in orders
    ]
    assert reranked(case, count)[0] == pytest.approx(np.mean(values), abs=1e-12)


@pytest.mark.parametrize("count", [1, 10, 37, 59, 60])
def test_reranking_of_more_items_agrees_with_random_orders(count):
    rng = np.random.default_rng(count)
    case = sample(rng, items=60, bits=3, queries=2)
    values = reranked(case, count)
    for query in (0, 1):
        drawn = [
            precision_of_order(case, count, rng.random(60), rng.random(60), query)
            for _ in range(3000)
        ]
        error = np.std(drawn) / np.sqrt(len(drawn))
        assert values[query] == pytest.approx(np.mean(drawn), abs=4 * error + 1e-12)


def test_reranking_everything_is_the_order_of_the_features(labels):
    """Of one item, and of items without ties, it is a plain sort."""
    rng = np.random.default_rng(9)
    case = sample(rng, items=ITEMS, bits=6, queries=QUERIES)
    case["database_features"] = rng.normal(size=(ITEMS, 2)).astype(np.float32)
    case["labels"] = labels
    for query, value in enumerate(reranked(case, ITEMS)):
        _, features = distances_of(case, query)
        relevant = (labels[1] == labels[0][query])[np.argsort(features)]
        precision = np.cumsum(relevant) / np.arange(1, ITEMS + 1)
        assert value == pytest.approx(precision[relevant].mean())

    n, r = (np.array(counts) for counts in _hamming_counts(case))
    assert reranked(case, 1) == pytest.approx(metrics.average_precision(n, r))


def _hamming_counts(case):
    for hits in (False, True):
        rows = []
        for query, label in enumerate(case["labels"][0]):
            hamming, _ = distances_of(case, query)
            chosen = hamming[case["labels"][1] == label] if hits else hamming
            rows.append(np.bincount(chosen, minlength=7))
        yield rows


def test_the_order_of_the_database_and_one_thread_change_nothing(labels, monkeypatch):
    rng = np.random.default_rng(10)
    case = sample(rng, items=ITEMS, bits=5, queries=QUERIES) | {"labels": labels}
    expected = reranked(case, 50)
    order = rng.permutation(ITEMS)
    for name in ("database_codes", "database_features"):
        case[name] = case[name][order]
    case["labels"] = labels[0], labels[1][order]
    monkeypatch.setattr(reranking, "THREADS", 1)
    assert reranked(case, 50) == pytest.approx(expected, abs=1e-12)


def test_an_item_at_the_centre_is_between_the_others():
    case = {
        "query_codes": np.array([[True]]),
        "database_codes": np.array([[True]] * 3),
        "query_features": np.array([[2, 0]], np.float32),
        "database_features": np.array([[1, 1], [0, 0], [-1, 1]], np.float32),
        "centre": np.zeros(2),
        "labels": (np.array([1]), np.array([0, 1, 0])),
    }
    assert reranked(case, 3)[0] == 1 / 2


def test_a_count_beyond_the_database_is_refused():
    with pytest.raises(EvaluationError, match="a cut at k = 6 is impossible"):
        reranked(sample(np.random.default_rng(0), items=5), 6)
