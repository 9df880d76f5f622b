"""Intervals, tests and their correction, against closed forms, SciPy and files made by hand."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, ttest_ind, ttest_rel

from evaluation import statistics
from harness.errors import BenchmarkError
from harness.plan import Plan, Score

CONFIG = {
    "datasets": ["digits"],
    "features": ["pixels"],
    "methods": ["itq", "pcah"],
    "controls": ["exact-l2"],
    "bits": [8],
    "seeds": [0, 1, 2],
}


def planned(**changes):
    return Plan.load(CONFIG | changes)


@given(st.integers(2, 60), st.integers(0, 1000))
def test_methods_without_seeds_have_the_paired_test_over_queries(queries, seed):
    one, other = np.random.default_rng(seed).random((2, queries))
    found, scipys = statistics.estimate(one - other, one[:1], other[:1]), ttest_rel(one, other)
    assert found.p == pytest.approx(scipys.pvalue, rel=1e-9)
    ends = scipys.confidence_interval(0.95)
    assert found.interval(-1) == pytest.approx((max(-1, ends.low), min(1, ends.high)), rel=1e-9)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(0, 1000))
def test_queries_that_are_all_alike_leave_welchs_test_over_seeds(one, other, seed):
    random = np.random.default_rng(seed)
    one, other = random.random(one), random.random(other)
    found, scipys = statistics.estimate(np.full(50, one.mean() - other.mean()), one, other), ttest_ind(one, other, equal_var=False)
    assert found.p == pytest.approx(scipys.pvalue, rel=1e-9)
    assert found.freedom == pytest.approx(scipys.df, rel=1e-9)


def test_what_never_varies_and_what_is_not_known():
    assert statistics.estimate(np.zeros(5), np.zeros(1), np.zeros(3)).p == 1
    assert statistics.estimate(np.ones(5), np.ones(3)).p == 0
    assert statistics.estimate(np.ones(5), np.ones(3)).interval(0) == (1, 1)
    single = statistics.estimate(np.full(1, 0.4), np.full(3, 0.4))
    assert (single.p, single.interval(0)) == (1, (0, 1))


def sampled(random, methods, seeds, queries, spread):
    """Average precision (methods, seeds, queries) of methods that are equally good: 0.5 but for queries and seeds."""
    shared = 0.5 + 0.3 * random.normal(size=queries)
    of_methods = 0.1 * random.normal(size=(methods, 1, queries))
    of_seeds = spread * random.normal(size=(methods, seeds, 1))
    return shared + of_methods + of_seeds + 0.15 * random.normal(size=(methods, seeds, queries))


@pytest.mark.parametrize("spread", [0, 0.01, 0.02, 0.035])  # with 300 queries a standard error over queries of 0.02
def test_intervals_hold_what_they_say_and_few_families_of_equal_methods_differ(spread):
    """Of 400 families of four methods: the interval of the mean has it in 95 %, and Holm lets 5 % have any difference."""
    random, held, wrong = np.random.default_rng(0), 0, 0
    for _ in range(400):
        values = sampled(random, 4, 3, 300, spread)
        low, high = statistics.estimate(values[0].mean(axis=0), values[0].mean(axis=1)).interval(0)
        held += low <= 0.5 <= high
        pairs = itertools.combinations(values, 2)
        found = [statistics.estimate((a - b).mean(axis=0), a.mean(axis=1), b.mean(axis=1)).p for a, b in pairs]
        wrong += min(statistics.holm(found)) < 0.05
    assert 0.92 < held / 400 < 0.98
    assert wrong / 400 < 0.07


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # 4 x 0.005, 3 x 0.01, 2 x 0.03, then 0.04
    assert statistics.holm([0.6, 0.7]) == [1, 1]
    assert statistics.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferronis(p_values):
    corrected = statistics.holm(p_values)
    for p, q in zip(p_values, corrected, strict=True):
        assert p <= q <= min(1, len(p_values) * p) or q == max(corrected)
    assert all(q >= fdr - 1e-12 for q, fdr in zip(corrected, false_discovery_control(p_values), strict=True))


def scored(root, values, query=None):
    """{variant: average precision (S, Q)} as the scores of an experiment whose folder is `root`."""
    found = []
    for variant, precision in values.items():
        score = Score(root, "digits", "pixels", variant)
        score.folder.mkdir(parents=True)
        bits = 0 if variant.startswith("exact") else 8
        arrays = {f"{bits}bit/seed{seed}/ap": row for seed, row in enumerate(precision)}
        np.savez(score.histograms, query=np.arange(precision.shape[1]) if query is None else query.pop(), **arrays)
        found.append(score)
    return found


def rows_of(path: Path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def level(mean, seeds, spread=0.0, queries=100):
    """Average precision (seeds, queries) that differs over queries, and by `spread` from seed to seed."""
    return mean + np.linspace(-0.1, 0.1, queries) + np.linspace(-spread, spread, seeds)[:, None] + 0.01 * np.sin(np.arange(queries) * mean)


@pytest.mark.parametrize(
    ("seeds", "spread", "verdict"),
    [(3, 0.002, "yes"), (3, 0.2, "no"), (2, 0.002, None)],  # spread seeds: a test over queries alone would say yes
)
def test_a_difference_is_significant_over_queries_and_seeds(tmp_path, seeds, spread, verdict):
    values = {"itq": level(0.5, seeds, spread), "pcah": level(0.45, 1), "exact-l2": level(0.6, 1)}
    statistics.write(tmp_path, planned(), scored(tmp_path, values))
    described = {row["variant"]: row for row in rows_of(tmp_path / "statistics.csv")}
    assert [described[name]["seeds"] for name in ("itq", "pcah", "exact-l2")] == [str(seeds), "1", "1"]
    assert float(described["itq"]["low"]) < float(described["itq"]["map"]) < float(described["itq"]["high"])
    assert described["pcah"]["deviation"] == ""
    compared = rows_of(tmp_path / "comparisons.csv")
    if verdict is None:
        assert compared == []  # a seed is missing: the cell is not complete
        return
    (row,) = compared
    assert (row["variant"], row["other"], row["significant"]) == ("itq", "pcah", verdict)
    assert (float(row["low"]) > 0) == (verdict == "yes")
    assert (float(row["p_holm"]) < 0.05) == (verdict == "yes")
    assert ttest_rel(level(0.5, seeds, spread).mean(axis=0), level(0.45, 1)[0]).pvalue < 0.001


def test_too_few_seeds_are_said(tmp_path):
    statistics.write(tmp_path, planned(seeds=[0, 1]), scored(tmp_path, {"itq": level(0.5, 2), "pcah": level(0.4, 1)}))
    assert [row["significant"] for row in rows_of(tmp_path / "comparisons.csv")] == ["too few seeds"]


def test_one_file_of_codes_made_elsewhere_says_nothing_of_their_seeds(tmp_path):
    mine = {"of": "imported", "set": {"path": "mine.npy"}}
    plan = planned(methods=["mine", "pcah"], variants={"methods": {"mine": mine}})
    statistics.write(tmp_path, plan, scored(tmp_path, {"mine": level(0.5, 1), "pcah": level(0.4, 1)}))
    assert [row["significant"] for row in rows_of(tmp_path / "comparisons.csv")] == ["too few seeds"]


def test_an_interval_does_not_depend_on_what_else_is_run(tmp_path):
    values = {"itq": level(0.5, 3, 0.1), "pcah": level(0.4, 1)}
    texts = []
    for names in (["itq"], ["pcah", "itq"]):
        root = tmp_path / str(len(names))
        root.mkdir()
        statistics.write(root, planned(methods=names), scored(root, {name: values[name] for name in names}))
        texts.append(next(row for row in rows_of(root / "statistics.csv") if row["variant"] == "itq"))
    assert [float(texts[0][end]) for end in ("low", "high")] == pytest.approx([float(texts[1][end]) for end in ("low", "high")], rel=1e-12)


def test_files_that_do_not_fit_are_one_error(tmp_path):
    found = scored(tmp_path, {"itq": level(0.5, 1), "pcah": level(0.4, 1)}, [np.arange(100), np.arange(1, 101)])
    with pytest.raises(BenchmarkError, match="pcah was scored on other queries"):
        statistics.write(tmp_path, planned(), found)
    found[0].histograms.write_bytes(b"PK")
    with pytest.raises(BenchmarkError, match=r"itq/histograms.npz cannot be read .*: delete its folder"):
        statistics.write(tmp_path, planned(), found)
