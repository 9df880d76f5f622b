"""Intervals, tests and their correction, against closed forms, SciPy and files made by hand."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, ttest_rel

from evaluation import statistics
from experiments import BenchmarkError

PLAN = {
    "datasets": ["digits"],
    "features": ["pixels"],
    "methods": ["itq", "pcah"],
    "controls": ["exact-l2"],
    "bits": [8],
    "seeds": [0, 1, 2],
}


@given(st.integers(2, 60), st.integers(0, 1000))
def test_the_paired_test_is_scipys(queries, seed):
    one, other = np.random.default_rng(seed).random((2, queries))
    assert statistics.paired_test(one - other) == pytest.approx(ttest_rel(one, other).pvalue, rel=1e-9)


def test_the_paired_test_of_equal_differences():
    assert statistics.paired_test(np.zeros(5)) == 1
    assert statistics.paired_test(np.ones(5)) == 0


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


def test_the_bootstrap_has_the_variance_of_seeds_and_of_queries():
    """S - 1 of S seeds drawn: s^2 / S, the unbiased variance of their mean; Q queries: (Q - 1) / Q s^2 / Q; both where they are crossed."""
    random = np.random.default_rng(0)
    queries = 0.3 * random.normal(size=400)
    seeds = np.array([-0.02, 0.0, 0.05])
    values = 0.5 + queries + seeds[:, None]
    means = statistics.over_queries(values, "a")
    assert means.shape == (3, statistics.DRAWS)
    assert np.ptp(means - means[0], axis=1) == pytest.approx(0, abs=1e-9), "one draw of queries for all runs"
    assert means[0].std() == pytest.approx(queries.std() / 20, rel=0.04)
    draws = statistics.over_seeds(means, "b")
    assert draws.std() == pytest.approx(np.sqrt(queries.var() / 400 + seeds.var(ddof=1) / 3), rel=0.04)
    assert draws.mean() == pytest.approx(values.mean(), abs=0.002)
    assert (statistics.over_seeds(means[:1], "b") == means[0]).all()
    low, high = statistics.interval(draws)
    assert ((low <= draws) & (draws <= high)).mean() == pytest.approx(0.95, abs=0.001)


def folders(root, values, query=None):
    """{variant: average precision (S, Q)} as scored folders."""
    found = {}
    for variant, precision in values.items():
        folder = root / variant
        folder.mkdir()
        bits = 0 if variant.startswith("exact") else 8
        arrays = {f"{bits}bit/seed{seed}/ap": row for seed, row in enumerate(precision)}
        np.savez(folder / "histograms.npz", query=np.arange(precision.shape[1]) if query is None else query.pop(), **arrays)
        found["digits", "pixels", variant] = folder
    return found


def rows_of(path: Path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def level(mean, seeds, spread=0.0, queries=100):
    """Average precision (seeds, queries) that differs over queries, and by `spread` from seed to seed."""
    return mean + np.linspace(-0.1, 0.1, queries) + np.linspace(-spread, spread, seeds)[:, None] + 0.01 * np.sin(np.arange(queries) * mean)


@pytest.mark.parametrize(
    ("seeds", "spread", "verdict"),
    [(3, 0.005, "yes"), (3, 0.2, "no"), (2, 0.005, None)],  # spread seeds: the test over queries alone would say yes
)
def test_a_difference_is_significant_where_test_and_interval_agree(tmp_path, seeds, spread, verdict):
    statistics.write(
        tmp_path, PLAN, folders(tmp_path, {"itq": level(0.5, seeds, spread), "pcah": level(0.45, 1), "exact-l2": level(0.6, 1)})
    )
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
    assert float(row["p_holm"]) < 0.001


def test_too_few_seeds_are_said(tmp_path):
    statistics.write(tmp_path, PLAN | {"seeds": [0, 1]}, folders(tmp_path, {"itq": level(0.5, 2), "pcah": level(0.4, 1)}))
    assert [row["significant"] for row in rows_of(tmp_path / "comparisons.csv")] == ["too few seeds"]


def test_one_file_of_codes_made_elsewhere_says_nothing_of_their_seeds(tmp_path):
    plan = PLAN | {"methods": ["mine", "pcah"], "variants": {"methods": {"mine": {"of": "imported", "set": {"path": "mine.npy"}}}}}
    statistics.write(tmp_path, plan, folders(tmp_path, {"mine": level(0.5, 1), "pcah": level(0.4, 1)}))
    assert [row["significant"] for row in rows_of(tmp_path / "comparisons.csv")] == ["too few seeds"]


def test_an_interval_does_not_depend_on_what_else_is_run(tmp_path):
    values = {"itq": level(0.5, 3, 0.1), "pcah": level(0.4, 1)}
    texts = []
    for names in (["itq"], ["pcah", "itq"]):
        root = tmp_path / str(len(names))
        root.mkdir()
        statistics.write(root, PLAN | {"methods": names}, folders(root, {name: values[name] for name in names}))
        texts.append(next(row for row in rows_of(root / "statistics.csv") if row["variant"] == "itq"))
    assert [float(texts[0][end]) for end in ("low", "high")] == pytest.approx([float(texts[1][end]) for end in ("low", "high")], rel=1e-12)


def test_files_that_do_not_fit_are_one_error(tmp_path):
    found = folders(tmp_path, {"itq": level(0.5, 1), "pcah": level(0.4, 1)}, [np.arange(100), np.arange(1, 101)])
    with pytest.raises(BenchmarkError, match="pcah was scored on other queries"):
        statistics.write(tmp_path, PLAN, found)
    (tmp_path / "itq/histograms.npz").write_bytes(b"PK")
    with pytest.raises(BenchmarkError, match=r"itq/histograms.npz cannot be read .*: delete its folder"):
        statistics.write(tmp_path, PLAN, found)
