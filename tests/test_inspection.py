"""The stored inspection data of codes, against a direct computation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import inspection
from evaluation.histograms import hamming
from evaluation.relevance import Relevance


def inspected(query, database, query_labels, database_labels):
    """`inspect` of bool codes."""
    relevance = Relevance.of(query_labels, database_labels)
    packed = [np.packbits(codes, axis=1) for codes in (query, database)]
    bits = query.shape[1]
    return inspection.inspect(*packed, bits, relevance, *hamming(*packed, bits, relevance))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 70), st.integers(1, 60), st.booleans())
def test_first_items_are_those_of_a_stable_sort(seed, bits, items, several):
    rng = np.random.default_rng(seed)
    query, database = rng.random((5, bits)) < 0.5, rng.random((items, bits)) < 0.5
    shape = (
        (lambda rows: rng.random((rows, 3)) < 0.5)
        if several
        else (lambda rows: rng.integers(0, 3, rows))
    )
    query_labels, database_labels = shape(5), shape(items)
    found = inspected(query, database, query_labels, database_labels)
    for row, chosen in enumerate(inspection.chosen(5)):
        distances = [int(np.sum(query[chosen] != code)) for code in database]
        order = sorted(range(items), key=lambda item: (distances[item], item))[: inspection.FIRST]
        both = [
            query_labels[chosen] & database_labels[item]
            if several
            else query_labels[chosen] == database_labels[item]
            for item in order
        ]
        assert found["first"][row].tolist() == order
        assert found["first_distance"][row].tolist() == [distances[item] for item in order]
        assert found["first_relevant"][row].tolist() == [bool(np.any(shared)) for shared in both]
        last = distances[order[-1]]
        assert found["first_tied"][row] == distances.count(last) - sum(
            distances[item] == last for item in order
        )
    assert found["ones"] == pytest.approx(database.mean(axis=0), abs=1e-6)
    assert found["pairs"].sum() == 5 * items


def test_correlation_is_pearsons_and_that_of_a_constant_bit_is_zero():
    rng = np.random.default_rng(0)
    database = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 80)) > 0
    database[:, 3] = True
    found = inspected(database[:3], database, np.arange(3), np.arange(500) % 3)["correlation"]
    assert found.shape == (inspection.MATRIX, inspection.MATRIX)
    varying = [bit for bit in range(inspection.MATRIX) if bit != 3]
    expected = np.corrcoef(database[:, varying].T.astype(float))
    np.testing.assert_allclose(found[np.ix_(varying, varying)] / 100, expected, atol=0.0051)
    assert not found[3].any()


def test_queries_are_chosen_by_number_alone():
    assert inspection.chosen(7).tolist() == inspection.chosen(7).tolist()
    assert sorted(inspection.chosen(7)) == list(range(7))
    many = inspection.chosen(10_000)
    assert len(set(many.tolist())) == inspection.QUERIES
    assert 3000 < many.mean() < 7000  # from all over


def test_no_array_of_the_size_of_the_database_is_stored():
    rng = np.random.default_rng(0)
    database = rng.random((30_000, 64)) < 0.5
    found = inspected(database[:30], database, np.arange(30) % 3, np.arange(30_000) % 3)
    assert sum(array.nbytes for array in found.values()) < 20_000
