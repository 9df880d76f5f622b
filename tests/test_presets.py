"""Presets against the formulas of the programs that they replay, by a stable sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evaluation
from evaluation import EvaluationError
from evaluation.presets import PRESETS, Preset, replay
from evaluation.relevance import Relevance

CUTS = {
    "as-deephash-pytorch": -1,
    "as-hashnet": 5000,
    "as-deepbit": 1000,
    "as-trec": 1000,
    "as-landmarks": 1000,
}


def rankings(query_codes, database_codes, relevant, sort="stable"):
    """Relevance (N,), 1 or 0, of each query's ranking, by the distance of their programs.

    Codes are +1 and -1, and the distance follows from their product.
    """
    query_codes, database_codes = (2.0 * codes - 1 for codes in (query_codes, database_codes))
    for code, row in zip(query_codes, relevant, strict=True):
        yield row[np.argsort(0.5 * (code.size - database_codes @ code), kind=sort)].astype(int)


def bgan(ranked):
    precisions = []
    for row in ranked:
        hits, total = 0, 0.0
        for rank, relevant in enumerate(row, start=1):
            if relevant:
                hits += 1
                total += hits / rank
        precisions.append(total / hits)
    return np.mean(precisions)


def deephash_pytorch(ranked, cut):
    total, queries = 0.0, 0
    for row in ranked:
        queries += 1
        top = row[0:cut]
        hits = top.sum()
        if hits:
            total += np.mean(np.linspace(1, hits, hits) / (np.flatnonzero(top) + 1))
    return total / queries


def hashnet(ranked, cut):
    precisions = []
    for row in ranked:
        top = row[:cut]
        if top.sum():
            precisions.append(np.sum(np.cumsum(top) / np.arange(1, len(top) + 1) * top) / top.sum())
    return np.mean(precisions)


def divided(ranked, cut, denominator):
    precisions = []
    for row in ranked:
        top = row[:cut]
        total = np.sum(np.cumsum(top) / np.arange(1, len(top) + 1) * top)
        precisions.append(total / denominator(row) if row.sum() else 0.0)
    return np.mean(precisions)


def peers(ranked):
    return {
        "as-deephash-pytorch": deephash_pytorch(ranked, -1),
        "as-hashnet": hashnet(ranked, 5000),
        "as-deepbit": deephash_pytorch(ranked, 1000),
        "as-trec": divided(ranked, 1000, lambda row: row.sum()),
        "as-landmarks": divided(ranked, 1000, lambda row: min(1000, row.sum())),
    }


def sample(seed, queries, items, bits, multi):
    rng = np.random.default_rng(seed)
    codes = rng.random((queries + items, bits)) < rng.random(bits)
    labels = (
        rng.random((queries + items, 5)) < 0.2 if multi else rng.integers(0, 6, queries + items)
    )
    relevant = (
        labels[:queries].astype(int) @ labels[queries:].T > 0
        if multi
        else labels[:queries, None] == labels[queries:]
    )
    return codes[:queries], codes[queries:], labels[:queries], labels[queries:], relevant


@pytest.mark.parametrize(
    ("items", "bits", "multi"),
    [(7_000, 12, False), (6_000, 64, True), (1_500, 130, False), (40, 5, True), (3, 9, False)],
)
def test_each_preset_is_its_peers_formula_with_a_stable_sort(items, bits, multi):
    *arrays, relevant = sample(items, 70, items, bits, multi)
    ranked = list(rankings(*arrays[:2], relevant))
    expected = peers(ranked)
    assert evaluation.score(*arrays, list(expected)) == pytest.approx(expected, rel=1e-12)
    with_relevant = [row for row in ranked if row.any()]
    evaluated = relevant.any(axis=1)
    queries, database, query_labels, labels = arrays
    evaluable = queries[evaluated], database, query_labels[evaluated], labels
    found = evaluation.score(*evaluable, ["as-bgan"])
    assert found["as-bgan"] == pytest.approx(bgan(with_relevant), rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(2, 60), st.booleans())
def test_presets_on_random_shapes(seed, bits, items, multi):
    *arrays, relevant = sample(seed, 4, items, bits, multi)
    if relevant.any():
        expected = peers(list(rankings(*arrays[:2], relevant)))
        assert evaluation.score(*arrays, list(expected)) == pytest.approx(expected, rel=1e-12)


def test_the_peers_as_shipped_fall_between_worst_and_best():
    """Their sort is unstable: another order of ties, never beyond what the order of ties can do."""
    *arrays, relevant = sample(0, 60, 4_000, 10, False)
    shipped = bgan(rankings(*arrays[:2], relevant, sort=None))
    scores = evaluation.score(*arrays, ["map_worst", "as-bgan", "map", "map_best"])
    assert scores["map_worst"] < shipped < scores["map_best"]
    assert scores["map_worst"] < scores["as-bgan"] < scores["map_best"]


def test_presets_follow_the_order_of_the_database():
    codes, labels = np.zeros((5, 4), bool), np.array([0, 0, 1, 1, 1])
    first = evaluation.score(codes[:1], codes[1:], labels[:1], labels[1:], ["as-bgan", "map"])
    last = evaluation.score(codes[:1], codes[:0:-1], labels[:1], labels[:0:-1], ["as-bgan", "map"])
    assert (first["as-bgan"], last["as-bgan"], first["map"]) == (1, 1 / 4, last["map"])


def test_queries_without_relevant_items_count_as_the_convention_has_it():
    codes = np.zeros((4, 3), bool)
    scores = evaluation.score(
        codes[:2], codes, np.array([1, 9]), np.ones(4, int), [*CUTS, "queries_left_out", "map"]
    )
    halves = {
        "as-deephash-pytorch": 0.5,
        "as-hashnet": 1,
        "as-deepbit": 0.5,
        "as-trec": 0.5,
        "as-landmarks": 0.5,
    }
    assert scores == halves | {"queries_left_out": 1, "map": 1}
    with pytest.raises(
        EvaluationError,
        match="as-bgan divides by zero, as the original does: 1 queries have no relevant item",
    ):
        evaluation.score(codes[:2], codes, np.array([1, 9]), np.ones(4, int), ["as-bgan"])


def test_a_preset_without_queries_is_an_error():
    codes, labels = np.zeros((6_000, 3), bool), np.zeros(6_000, int)
    codes[-1], labels[-1] = True, 1
    with pytest.raises(
        EvaluationError,
        match="as-hashnet drops queries without a hit in its first ranks, and no query has one",
    ):
        evaluation.score(codes[:1], codes, labels[-1:], labels, ["as-hashnet"])


def test_cuts_follow_the_data_set_and_the_size_of_the_database():
    preset = PRESETS["as-deephash-pytorch"]
    assert [preset.depth(9_000, name) for name in ("", "cifar10", "nuswide", "nuswide-tc10")] == [
        8_999,
        8_999,
        5_000,
        5_000,
    ]
    assert preset.depth(70, "nuswide") == 70
    assert Preset(None, "R", "zero").depth(12) == 12
    *arrays, relevant = sample(3, 5, 6_000, 16, False)
    packed = [np.packbits(codes, axis=1) for codes in arrays[:2]]
    relevance = Relevance.of(*arrays[2:])
    expected = deephash_pytorch(list(rankings(*arrays[:2], relevant)), 5_000)
    found = replay(["as-deephash-pytorch"], *packed, 16, relevance, 0, "nuswide")
    assert found["as-deephash-pytorch"] == pytest.approx(expected, rel=1e-12)
