"""Controls against a plain sort of distances, with equal rows as ties."""

import numpy as np
import pytest

from evaluation import EvaluationError, controls, metrics
from evaluation.histograms import items_and_relevant
from evaluation.relevance import Relevance

CONTROLS = ("exact-cosine", "exact-l2")


def sample(items=150, copies=100):
    """Features with `copies` repeated rows and a zero vector, and labels; three index arrays."""
    rng = np.random.default_rng(7)
    database = rng.normal(1, 2, (items, 6)).astype(np.float32)
    database[3] = 0
    database = rng.permutation(np.concatenate([database, database[rng.integers(0, items, copies)]]))
    return (
        rng.normal(1, 2, (70, 6)).astype(np.float32),
        database,
        database[::2],
        rng.integers(0, 4, 70),
        rng.integers(0, 4, items + copies),
    )


def plain_distances(control, queries, database, train):
    queries, database, train = (rows.astype(np.float64) for rows in (queries, database, train))
    if control == "exact-l2":
        return ((queries[:, None] - database) ** 2).sum(axis=2)
    queries, database = queries - train.mean(axis=0), database - train.mean(axis=0)
    return -(queries @ database.T) / np.outer(
        np.linalg.norm(queries, axis=1), np.linalg.norm(database, axis=1)
    )


def average_precision(g, _):
    return metrics.average_precision(*items_and_relevant(g))


@pytest.mark.parametrize("control", CONTROLS)
def test_buckets_are_those_of_a_sort_in_which_equal_rows_are_ties(control):
    queries, database, train, query_labels, database_labels = sample()
    counts = controls.each_query(
        control,
        queries,
        database,
        train,
        Relevance.of(query_labels, database_labels),
        lambda g, _: items_and_relevant(g),
    )
    unique, copy_of = np.unique(database, axis=0, return_inverse=True)
    distances = plain_distances(control, queries, unique, train)
    for query, (n, r) in enumerate(counts):
        order = np.argsort(distances[query])
        relevant = database_labels == query_labels[query]
        assert n[0].tolist() == np.bincount(copy_of.ravel())[order].tolist()
        assert r[0].tolist() == np.bincount(copy_of.ravel(), weights=relevant)[order].tolist()


@pytest.mark.parametrize("control", CONTROLS)
def test_other_folders_and_threads_change_nothing(control, monkeypatch):
    queries, database, train, query_labels, database_labels = sample(items=300)
    expected = controls.each_query(
        control,
        queries,
        database,
        train,
        Relevance.of(query_labels, database_labels),
        average_precision,
    )
    order = np.random.default_rng(0).permutation(len(database))
    monkeypatch.setattr(controls, "THREADS", 1)
    monkeypatch.setattr(controls, "BLOCK", 37)
    relevance = Relevance.of(query_labels, database_labels[order])
    assert (
        controls.each_query(control, queries, database[order], train, relevance, average_precision)
        == expected
    )


def test_a_vector_at_the_centre_has_cosine_zero():
    """Cosines from 0: 1, 0 (the zero vector), 0 (a right angle), -1, so the middle two are ties."""
    database = np.array([[2, 0], [0, 0], [0, 5], [-1, 0]], np.float32)
    train = np.array([[1, 1], [-1, -1]], np.float32)
    relevance = Relevance.of(np.array([1]), np.array([0, 1, 0, 0]))
    [(n, r)] = controls.each_query(
        "exact-cosine",
        np.array([[3, 0]], np.float32),
        database,
        train,
        relevance,
        lambda g, _: items_and_relevant(g),
    )
    assert n.tolist() == [[1, 2, 1]]
    assert r.tolist() == [[0, 1, 0]]


def test_several_labels_are_counted_by_how_many_are_shared():
    database, labels = (
        np.array([[1], [1], [2], [3]], np.float32),
        np.array([[1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 1, 1]], bool),
    )
    relevance = Relevance.of(np.array([[1, 1, 0]], bool), labels)
    [g] = controls.each_query(
        "exact-l2", np.zeros((1, 1), np.float32), database, database, relevance, lambda g, _: g[0]
    )
    assert g.tolist() == [
        [1, 0, 1],
        [0, 0, 1],
        [0, 1, 0],
    ]  # distance 1: none and two shared; 2: two; 3: one


@pytest.mark.parametrize("control", CONTROLS)
def test_features_that_are_not_finite_are_refused(control):
    rows = np.array([[1, 2], [np.nan, 1]], np.float32)
    with pytest.raises(EvaluationError, match="not finite"):
        controls.each_query(
            control,
            rows,
            rows,
            rows,
            Relevance.of(np.array([0, 0]), np.array([0, 0])),
            average_precision,
        )
