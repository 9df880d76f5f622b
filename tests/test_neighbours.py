"""Nearest items by features, and their recall by codes, against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import EvaluationError, controls, metrics, neighbours
from evaluation.relevance import Relevance


def sample(seed=0, items=300, copies=60):
    """Features of 20 queries and of a database with equal rows, and training rows."""
    random = np.random.default_rng(seed)
    database = random.normal(1, 1, (items - copies, 5)).astype(np.float32)
    database = np.concatenate([database, database[random.integers(0, len(database), copies)]])
    queries = random.normal(1, 1, (20, 5)).astype(np.float32)
    return queries, random.permutation(database), database[::3]


def cosines(queries, database, train):
    centre = train.mean(axis=0, dtype=np.float64)
    queries, database = queries - centre, database - centre
    lengths = np.outer(np.linalg.norm(queries, axis=1), np.linalg.norm(database, axis=1))
    return queries @ database.T / lengths


@pytest.mark.parametrize("count", [1, 10, 100])
@pytest.mark.parametrize("queries_at_a_time", [1, 7, 512])
@pytest.mark.parametrize("block", [1, neighbours.BLOCK])  # the database in many parts, and in one
def test_the_nearest_items_are_those_of_a_full_sort(monkeypatch, count, queries_at_a_time, block):
    monkeypatch.setattr(neighbours, "COUNT", count)
    monkeypatch.setattr(neighbours, "QUERIES", queries_at_a_time)
    monkeypatch.setattr(neighbours, "BLOCK", block)
    queries, database, train = sample()
    found = neighbours.nearest_items(queries, database, train)
    _, copy_of = np.unique(database, axis=0, return_inverse=True)
    for query, row in enumerate(cosines(queries, database, train)):
        weights = found.weights_of(query, len(database))
        assert weights.sum() == pytest.approx(count)

        order = np.argsort(-row, kind="stable")
        last = copy_of.ravel() == copy_of.ravel()[order[count - 1]]  # ties at the last distance
        certain = np.zeros(len(database), bool)
        certain[order[:count]] = True
        certain &= ~last
        np.testing.assert_array_equal(weights[certain], 1)
        np.testing.assert_allclose(weights[last], (count - certain.sum()) / last.sum())
        assert not weights[~certain & ~last].any()


def test_features_that_are_all_equal_tie(monkeypatch):
    monkeypatch.setattr(neighbours, "COUNT", 2)
    found = neighbours.nearest_items(np.ones((1, 3)), np.ones((8, 3)), np.zeros((1, 3)))
    np.testing.assert_allclose(found.weights_of(0, 8), 2 / 8)


def test_too_small_a_database_and_infinite_features_are_refused():
    with pytest.raises(EvaluationError, match="99 items: expected at least 100"):
        neighbours.nearest_items(np.ones((1, 2)), np.ones((99, 2)), np.ones((1, 2)))
    with pytest.raises(EvaluationError, match="not finite"):
        neighbours.nearest_items(np.ones((1, 2)), np.full((100, 2), np.nan), np.zeros((1, 2)))


def test_some_of_the_queries():
    found = neighbours.nearest_items(*sample())
    some = found.of(np.array([3, 17, 4]))
    for position, query in enumerate((3, 17, 4)):
        np.testing.assert_array_equal(some.weights_of(position, 300), found.weights_of(query, 300))


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=2, max_size=5),
    st.data(),
)
def test_neighbour_recall_is_the_mean_over_all_orders_of_ties(items, data):
    """items: the distance of each, and whether it is one of the nearest by features."""
    if not any(near for _, near in items):
        items[0] = (items[0][0], True)
    k = data.draw(st.integers(1, len(items)))
    distances, near = (np.array(column) for column in zip(*items, strict=True))
    orders = map(list, itertools.permutations(range(len(items))))
    rankings = [order for order in orders if (np.diff(distances[order]) >= 0).all()]
    shares = [near[order][:k].sum() / near.sum() for order in rankings]
    n = np.bincount(distances, minlength=3)[None]
    weights = np.bincount(distances, near, minlength=3)[None]
    assert metrics.neighbour_recall_at(n, weights, k)[0] == pytest.approx(np.mean(shares))


def test_the_weights_of_codes_are_counted_by_distance():
    random = np.random.default_rng(0)
    found = neighbours.nearest_items(*sample())
    codes, other = (random.random((rows, 13)) < 0.5 for rows in (20, 300))
    packed = np.packbits(codes, axis=1), np.packbits(other, axis=1)
    counted = found.by_distance(*packed, 13)
    for query in range(20):
        distances = (codes[query] != other).sum(axis=1)
        expected = np.bincount(distances, found.weights_of(query, 300), minlength=14)
        np.testing.assert_allclose(counted[query], expected)


@pytest.mark.parametrize("control", ["exact-cosine", "exact-l2"])
def test_the_control_of_the_ground_truth_finds_all_of_it(control):
    """Only ties at the hundredth place can be lost; another distance finds fewer."""
    queries, database, train = sample(copies=0)
    found = neighbours.nearest_items(queries, database, train)
    relevance = Relevance.of(np.zeros(20, int), np.zeros(300, int))

    def recall(g, weights):
        return metrics.neighbour_recall_at(g.sum(axis=2), weights, 100)[0]

    def weights_of(query):
        return found.weights_of(query, 300)

    recalls = controls.each_query(control, queries, database, train, relevance, recall, weights_of)
    expected = []
    for query in range(20):
        if control == "exact-cosine":
            expected.append(1)
            continue
        distances = np.square(queries[query].astype(np.float64) - database).sum(axis=1)
        expected.append(weights_of(query)[np.argsort(distances)[:100]].sum() / 100)
    assert recalls == pytest.approx(expected)
