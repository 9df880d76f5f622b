"""Histograms compared with unpacked codes, and relevance compared with pairs of labels."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import EvaluationError, histograms, relevance
from evaluation.kernels import bitsliced, plain
from evaluation.relevance import Relevance
from harness.plugins import ROOT


def reference(query_codes, database_codes, query_labels, database_labels):
    """n and r (Q, bits + 1) from bool codes, one pair at a time."""
    bits = query_codes.shape[1]
    n, r = np.zeros((2, len(query_codes), bits + 1), int)
    for query, (code, label) in enumerate(zip(query_codes, query_labels, strict=True)):
        for other, candidate in zip(database_codes, database_labels, strict=True):
            distance = int((code != other).sum())
            n[query, distance] += 1
            r[query, distance] += (
                bool((label & candidate).any()) if database_labels.ndim == 2 else label == candidate
            )
    return n, r


def count(query_codes, database_codes, query_labels, database_labels):
    packed = [np.packbits(codes, axis=1) for codes in (query_codes, database_codes)]
    return histograms.hamming(
        *packed, query_codes.shape[1], Relevance.of(query_labels, database_labels)
    )


def sample(rng, queries, items, bits, multi):
    codes = rng.random((queries + items, bits)) < rng.random(bits)
    labels = (
        rng.random((queries + items, 13)) < 0.15 if multi else rng.integers(3, 10, queries + items)
    )
    return codes[:queries], codes[queries:], labels[:queries], labels[queries:]


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("bits", [1, 7, 8, 16, 17, 63, 64, 65, 128, 511, 512, 1023, 1024])
def test_equals_reference_at_every_length(bits, multi):
    arrays = sample(np.random.default_rng(bits), 5, 90, bits, multi)
    np.testing.assert_array_equal(count(*arrays), reference(*arrays))


@pytest.mark.parametrize("multi", [False, True])
def test_equals_reference_across_blocks_and_parts(multi):
    queries, items = relevance.THREADS + 130, 2 * 64 * bitsliced.WORDS + 37
    query_codes, database_codes, query_labels, database_labels = sample(
        np.random.default_rng(0), queries, items, 20, multi
    )
    n, r = count(query_codes, database_codes, query_labels, database_labels)
    distances = (query_codes[:, None] != database_codes).sum(axis=2)
    relevant = (
        query_labels.astype(int) @ database_labels.T > 0
        if multi
        else query_labels[:, None] == database_labels
    )
    for distance in range(21):
        np.testing.assert_array_equal(n[:, distance], (distances == distance).sum(axis=1))
        np.testing.assert_array_equal(
            r[:, distance], ((distances == distance) & relevant).sum(axis=1)
        )


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 140),
    st.integers(1, 9),
    st.integers(1, 90),
    st.booleans(),
)
def test_the_plain_kernel_returns_the_same_counts(seed, bits, queries, items, multi):
    query_codes, database_codes, *labels = sample(
        np.random.default_rng(seed), queries, items, bits, multi
    )
    rows = [relevance.words(np.packbits(codes, axis=1)) for codes in (query_codes, database_codes)]
    of_labels = Relevance.of(*labels)
    for levels in (2, of_labels.most_labels() + 1):
        arguments = *rows, bits, of_labels, levels
        np.testing.assert_array_equal(
            plain.count_levels(*arguments), bitsliced.count_levels(*arguments)
        )


@pytest.mark.parametrize(("name", "features"), [("generic", ""), ("haswell", "+avx2")])
def test_processors_of_shorter_registers_count_the_same(name, features, tmp_path):
    """The loops are compiled for another target, with its instruction set."""
    code = (
        "from test_histograms import *; [test_equals_reference_at_every_length(bits, mixed) "
        "for bits in (17, 64, 1023) for mixed in (False, True)]"
    )
    environment = os.environ | {
        "NUMBA_CPU_NAME": name,
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("classes", [1, 9, 64, 65, 130])
def test_shared_labels_are_counted_one_by_one(classes):
    rng = np.random.default_rng(classes)
    codes, labels = rng.random((120, 21)) < 0.5, rng.random((120, classes)) < 5 / (classes + 4)
    packed = np.packbits(codes, axis=1)
    g = histograms.hamming_shared(
        packed[:20], packed[20:], 21, Relevance.of(labels[:20], labels[20:])
    )
    shared = labels[:20].astype(int) @ labels[20:].T
    expected = np.zeros((20, 22, shared.max() + 1), int)
    for query, row in enumerate(shared):
        np.add.at(expected[query], ((codes[query] != codes[20:]).sum(axis=1), row), 1)
    np.testing.assert_array_equal(g, expected)


def test_labels_that_the_database_does_not_have():
    codes, labels = np.ones((6, 9), bool), np.array([7, 3, 2**62, 3, 4, 3])
    n, r = count(codes[:3], codes[3:], labels[:3], labels[3:])
    assert n[:, 0].tolist() == [3, 3, 3]
    assert r[:, 0].tolist() == [0, 2, 0]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 70),
    st.integers(1, 9),
    st.integers(1, 40),
    st.booleans(),
)
def test_equals_reference_on_random_shapes(seed, bits, queries, items, multi):
    arrays = sample(np.random.default_rng(seed), queries, items, bits, multi)
    np.testing.assert_array_equal(count(*arrays), reference(*arrays))


def test_opposite_codes_reach_the_last_distance():
    codes = np.zeros((1, 1024), bool)
    n, r = count(codes, ~codes, np.array([4]), np.array([4]))
    assert n[0, 1024] == r[0, 1024] == n.sum() == 1


def test_order_of_the_database_and_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    query_codes, database_codes, query_labels, database_labels = sample(rng, 200, 500, 30, True)
    expected = count(query_codes, database_codes, query_labels, database_labels)
    order = rng.permutation(500)
    monkeypatch.setattr(relevance, "THREADS", 1)
    np.testing.assert_array_equal(
        count(query_codes, database_codes[order], query_labels, database_labels[order]), expected
    )


def test_memory_does_not_grow_with_pairs(monkeypatch):
    """The worst case for groups: nearly every item has a set of labels of its own."""
    monkeypatch.setattr(relevance, "THREADS", 2)
    rng = np.random.default_rng(0)
    codes, labels = (
        rng.integers(0, 256, (24_000, 2), dtype=np.uint8),
        rng.random((24_000, 30)) < 0.5,
    )
    tracemalloc.start()
    relevant = Relevance.of(labels[:4000], labels[4000:])
    histograms.hamming(codes[:4000], codes[4000:], 16, relevant)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(relevant.groups[0]) > 19_000
    assert peak < 4000 * 20_000 / 2  # bytes: half a byte for each pair


@pytest.mark.parametrize("multi", [False, True])
def test_relevance_of_items_and_totals(multi):
    _, _, query_labels, database_labels = sample(np.random.default_rng(1), 70, 50, 4, multi)
    relevance = Relevance.of(query_labels, database_labels)
    expected = (
        query_labels.astype(int) @ database_labels.T > 0
        if multi
        else query_labels[:, None] == database_labels
    )
    np.testing.assert_array_equal(
        [relevance.shared_by_items(query) > 0 for query in range(70)], expected
    )
    np.testing.assert_array_equal(relevance.totals(), expected.sum(axis=1))


def test_queries_without_relevant_items_are_left_out():
    evaluated, relevance = Relevance.of(np.array([5, 1, 9, 2]), np.array([1, 2, 2])).evaluated()
    assert evaluated.tolist() == [1, 3]
    assert relevance.totals().tolist() == [1, 2]
    with pytest.raises(EvaluationError, match="no query has a relevant item"):
        Relevance.of(np.array([5]), np.array([1])).evaluated()


ONE, TWO = np.zeros((1, 2), np.uint8), np.zeros((2, 2), np.uint8)
LABELS = np.array([3]), np.array([3, 4])


@pytest.mark.parametrize(
    ("query", "database", "bits", "message"),
    [
        (ONE[:, :0], TWO[:, :0], 0, "0 bits"),
        (ONE, TWO[:, :1], 16, r"database codes are uint8 \(2, 1\)"),
        (ONE.astype(np.float32), TWO, 16, "query codes are float32"),
        (ONE, np.zeros((3, 2), np.uint8), 16, r"database codes are uint8 \(3, 2\)"),
        (TWO, TWO, 16, r"query codes are uint8 \(2, 2\)"),
        (ONE, TWO + np.uint8(1), 15, "bits beyond the 15"),
    ],
)
def test_codes_that_do_not_fit_are_refused(query, database, bits, message):
    with pytest.raises(EvaluationError, match=message):
        histograms.hamming(query, database, bits, Relevance.of(*LABELS))


@pytest.mark.parametrize(
    ("query", "database", "message"),
    [
        (np.array([1.0]), np.array([1]), "query labels are float64"),
        (np.array([1]), np.array([True]), r"database labels are bool \(1,\)"),
        (np.array([[1]]), np.array([[1]]), r"query labels are int64 \(1, 1\)"),
        (np.array([1]), np.ones((1, 2), bool), "expected one kind"),
        (np.ones((1, 3), bool), np.ones((1, 2), bool), "expected one kind"),
        (np.array([1]), np.zeros(0, int), "1 queries, 0 database items"),
        (np.zeros(0, int), np.array([1]), "0 queries, 1 database items"),
    ],
)
def test_labels_that_do_not_fit_are_refused(query, database, message):
    with pytest.raises(EvaluationError, match=message):
        Relevance.of(query, database)
