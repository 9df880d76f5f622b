"""Intervals, tests and their corrections, compared with closed forms, SciPy and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, ttest_ind, ttest_rel

from benchmarks import significance as simulation
from evaluation.significance import (
    Variance,
    estimate,
    interval,
    over_queries,
    over_seeds,
    over_seeds_pooled,
)
from harness.families import holm, is_best

NO_SEEDS = over_seeds(0.0, 1)


@given(st.integers(2, 60), st.integers(0, 1000))
def test_methods_without_seeds_have_the_paired_test_over_queries(queries, seed):
    one, other = np.random.default_rng(seed).random((2, queries))
    found = estimate((one - other).mean(), over_queries(one - other), NO_SEEDS, NO_SEEDS)
    expected = ttest_rel(one, other)
    assert float(found.p) == pytest.approx(expected.pvalue, rel=1e-9)
    ends = expected.confidence_interval(0.95)
    assert found.interval() == pytest.approx((max(-1, ends.low), min(1, ends.high)), rel=1e-9)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 1000))
def test_equal_queries_leave_welchs_test_over_seeds(one, other, seed):
    random = np.random.default_rng(seed)
    one, other = random.random(one), random.random(other)
    difference = one.mean() - other.mean()
    variances = [over_seeds(values.var(ddof=1), len(values)) for values in (one, other)]
    found = estimate(difference, over_queries(np.full(50, difference)), *variances)
    expected = ttest_ind(one, other, equal_var=False)
    assert float(found.p) == pytest.approx(expected.pvalue, rel=1e-9)
    assert float(found.freedom) == pytest.approx(expected.df, rel=1e-9)


def test_an_interval_of_one_variance_is_students():
    values = np.random.default_rng(0).random(30)
    expected = ttest_rel(values, np.zeros(30)).confidence_interval(0.95)
    found = interval(values.mean(), over_queries(values), NO_SEEDS)
    assert found == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_half_widths_of_two_variances_add_in_squares():
    queries, seeds = Variance(np.array(4e-4), np.array(50.0)), over_seeds(3e-3, 3)
    halves = []
    for variances in ([queries], [seeds], [queries, seeds]):
        low, high = interval(0.5, *variances)
        halves.append((high - low) / 2)
    assert halves[2] ** 2 == pytest.approx(halves[0] ** 2 + halves[1] ** 2)


def test_no_variance_and_one_query():
    zeros, ones = over_queries(np.zeros(5)), over_queries(np.ones(5))
    assert float(estimate(0.0, zeros, NO_SEEDS, over_seeds(0.0, 3)).p) == 1
    assert float(estimate(1.0, ones, over_seeds(0.0, 3)).p) == 0
    assert interval(1.0, ones, over_seeds(0.0, 3)) == (1, 1)

    single = over_queries(np.full(1, 0.4))
    assert float(estimate(0.4, single, NO_SEEDS).p) == 1
    assert interval(0.4, single, NO_SEEDS) == (0, 1)


def test_pooled_variances_by_hand():
    """Variances 1, 1 and 4 of five seeds: the pooled one is 2, with 3 x 4 degrees of freedom."""
    pooled = over_seeds_pooled([1.0, 1.0, 4.0], [5, 5, 5])
    assert pooled.values == pytest.approx(np.array([2, 2, 4]) / 5)
    assert pooled.freedom == pytest.approx([12, 12, 12])


def test_with_few_seeds_a_larger_variance_of_its_own_has_its_own_freedom():
    pooled = over_seeds_pooled([1.0, 1.0, 4.0], [3, 3, 3])
    assert pooled.values == pytest.approx(np.array([2, 2, 4]) / 3)
    assert pooled.freedom == pytest.approx([6, 6, 2])


def test_cells_with_different_numbers_of_seeds_are_weighted():
    """Squares 1 x 4 and 4 x 1 over 5 degrees of freedom; one seed has no variance."""
    pooled = over_seeds_pooled([1.0, 4.0, 9.0], [5, 2, 1])
    assert pooled.values == pytest.approx([8 / 5 / 5, 4 / 2, 0])
    assert over_seeds_pooled([0.0, 0.0], [1, 1]).values == pytest.approx([0, 0])


def test_a_difference_that_is_detectable_is_detected_with_power_0_8():
    random, variance = np.random.default_rng(0), Variance(np.array(1e-4), np.array(12.0))
    difference = float(estimate(0.0, variance).detectable(comparisons=4))
    values = difference + 0.01 * random.normal(size=20_000)
    variances = 1e-4 * random.chisquare(12, size=20_000) / 12
    p = estimate(values, Variance(variances, np.array(12.0))).p
    assert np.mean(p < 0.05 / 4) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("case", ["equal 0.02", "fourfold, one method random"])
def test_simulated_rates_stay_at_their_levels(case, seeds):
    """A loose bound on few experiments; `python -m benchmarks.significance` has the full tables."""
    rates = simulation.rates(case, methods=8, lengths=4, seeds=seeds, experiments=1000, seed=0)
    assert rates.claim < 0.08
    assert rates.dagger < 0.08
    assert rates.dagger_of_two < 0.08
    assert rates.coverage > 0.92


def test_holm_by_hand():
    # 4 x 0.005, 3 x 0.01, 2 x 0.03, then 0.04
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferronis(p_values):
    corrected = holm(p_values)
    for p, q in zip(p_values, corrected, strict=True):
        assert p <= q <= min(1, len(p_values) * p) or q == max(corrected)
    rates = false_discovery_control(p_values)
    assert all(q >= rate - 1e-12 for q, rate in zip(corrected, rates, strict=True))


def test_the_best_of_a_column_is_corrected_for_the_number_of_columns():
    assert is_best(0.012, columns=4)
    assert not is_best(0.013, columns=4)
