"""Intervals, tests and their correction, compared with closed forms and SciPy."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, ttest_ind, ttest_rel

from evaluation import significance


@given(st.integers(2, 60), st.integers(0, 1000))
def test_methods_without_seeds_have_the_paired_test_over_queries(queries, seed):
    one, other = np.random.default_rng(seed).random((2, queries))
    found, scipys = significance.estimate(one - other, one[:1], other[:1]), ttest_rel(one, other)
    assert found.p == pytest.approx(scipys.pvalue, rel=1e-9)
    ends = scipys.confidence_interval(0.95)
    assert found.interval(-1) == pytest.approx((max(-1, ends.low), min(1, ends.high)), rel=1e-9)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 1000))
def test_queries_that_are_all_alike_leave_welchs_test_over_seeds(one, other, seed):
    random = np.random.default_rng(seed)
    one, other = random.random(one), random.random(other)
    found, scipys = (
        significance.estimate(np.full(50, one.mean() - other.mean()), one, other),
        ttest_ind(one, other, equal_var=False),
    )
    assert found.p == pytest.approx(scipys.pvalue, rel=1e-9)
    assert found.freedom == pytest.approx(scipys.df, rel=1e-9)


def test_what_never_varies_and_what_is_not_known():
    assert significance.estimate(np.zeros(5), np.zeros(1), np.zeros(3)).p == 1
    assert significance.estimate(np.ones(5), np.ones(3)).p == 0
    assert significance.estimate(np.ones(5), np.ones(3)).interval(0) == (1, 1)
    single = significance.estimate(np.full(1, 0.4), np.full(3, 0.4))
    assert (single.p, single.interval(0)) == (1, (0, 1))


def sampled(random, methods, seeds, queries, spread):
    """Average precision (methods, seeds, queries) of methods that are equally good: 0.5 but for queries and seeds."""
    shared = 0.5 + 0.3 * random.normal(size=queries)
    of_methods = 0.1 * random.normal(size=(methods, 1, queries))
    of_seeds = spread * random.normal(size=(methods, seeds, 1))
    return shared + of_methods + of_seeds + 0.15 * random.normal(size=(methods, seeds, queries))


@pytest.mark.parametrize(
    "spread", [0, 0.01, 0.02, 0.035]
)  # with 300 queries a standard error over queries of 0.02
def test_intervals_hold_what_they_say_and_few_families_of_equal_methods_differ(spread):
    """Of 400 families of four methods: the interval of the mean has it in 95 %, and Holm lets 5 % have any difference."""
    random, held, wrong = np.random.default_rng(0), 0, 0
    for _ in range(400):
        values = sampled(random, 4, 3, 300, spread)
        low, high = significance.estimate(values[0].mean(axis=0), values[0].mean(axis=1)).interval(
            0
        )
        held += low <= 0.5 <= high
        pairs = itertools.combinations(values, 2)
        found = [
            significance.estimate((a - b).mean(axis=0), a.mean(axis=1), b.mean(axis=1)).p
            for a, b in pairs
        ]
        wrong += min(significance.holm(found)) < 0.05
    assert 0.92 < held / 400 < 0.98
    assert wrong / 400 < 0.07


def test_holm_by_hand():
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )  # 4 x 0.005, 3 x 0.01, 2 x 0.03, then 0.04
    assert significance.holm([0.6, 0.7]) == [1, 1]
    assert significance.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferronis(p_values):
    corrected = significance.holm(p_values)
    for p, q in zip(p_values, corrected, strict=True):
        assert p <= q <= min(1, len(p_values) * p) or q == max(corrected)
    assert all(
        q >= fdr - 1e-12
        for q, fdr in zip(corrected, false_discovery_control(p_values), strict=True)
    )
