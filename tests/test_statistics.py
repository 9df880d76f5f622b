"""statistics.csv and comparisons.csv, written from the average precision in histograms made by hand."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from experiments import statistics
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


def scored(root, values, query=None):
    """{variant: average precision (S, Q)} as the scores of an experiment whose folder is `root`."""
    found = []
    for variant, precision in values.items():
        score = Score(root, "digits", "pixels", variant)
        score.folder.mkdir(parents=True)
        bits = 0 if variant.startswith("exact") else 8
        arrays = {f"{bits}bit/seed{seed}/ap": row for seed, row in enumerate(precision)}
        np.savez(
            score.histograms,
            query=np.arange(precision.shape[1]) if query is None else query.pop(),
            **arrays,
        )
        found.append(score)
    return found


def rows_of(path: Path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def level(mean, seeds, spread=0.0, queries=100):
    """Average precision (seeds, queries) that differs over queries, and by `spread` from seed to seed."""
    return (
        mean
        + np.linspace(-0.1, 0.1, queries)
        + np.linspace(-spread, spread, seeds)[:, None]
        + 0.01 * np.sin(np.arange(queries) * mean)
    )


@pytest.mark.parametrize(
    ("seeds", "spread", "verdict"),
    [
        (3, 0.002, "yes"),
        (3, 0.2, "no"),
        (2, 0.002, None),
    ],  # spread seeds: a test over queries alone would say yes
)
def test_a_difference_is_significant_over_queries_and_seeds(tmp_path, seeds, spread, verdict):
    values = {"itq": level(0.5, seeds, spread), "pcah": level(0.45, 1), "exact-l2": level(0.6, 1)}
    statistics.write(tmp_path, planned(), scored(tmp_path, values))
    described = {row["variant"]: row for row in rows_of(tmp_path / "statistics.csv")}
    assert [described[name]["seeds"] for name in ("itq", "pcah", "exact-l2")] == [
        str(seeds),
        "1",
        "1",
    ]
    assert (
        float(described["itq"]["low"])
        < float(described["itq"]["map"])
        < float(described["itq"]["high"])
    )
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
    statistics.write(
        tmp_path,
        planned(seeds=[0, 1]),
        scored(tmp_path, {"itq": level(0.5, 2), "pcah": level(0.4, 1)}),
    )
    assert [row["significant"] for row in rows_of(tmp_path / "comparisons.csv")] == [
        "too few seeds"
    ]


def test_one_file_of_codes_made_elsewhere_says_nothing_of_their_seeds(tmp_path):
    mine = {"of": "imported", "set": {"path": "mine.npy"}}
    plan = planned(methods=["mine", "pcah"], variants={"methods": {"mine": mine}})
    statistics.write(
        tmp_path, plan, scored(tmp_path, {"mine": level(0.5, 1), "pcah": level(0.4, 1)})
    )
    assert [row["significant"] for row in rows_of(tmp_path / "comparisons.csv")] == [
        "too few seeds"
    ]


def test_an_interval_does_not_depend_on_what_else_is_run(tmp_path):
    values = {"itq": level(0.5, 3, 0.1), "pcah": level(0.4, 1)}
    texts = []
    for names in (["itq"], ["pcah", "itq"]):
        root = tmp_path / str(len(names))
        root.mkdir()
        statistics.write(
            root, planned(methods=names), scored(root, {name: values[name] for name in names})
        )
        texts.append(
            next(row for row in rows_of(root / "statistics.csv") if row["variant"] == "itq")
        )
    assert [float(texts[0][end]) for end in ("low", "high")] == pytest.approx(
        [float(texts[1][end]) for end in ("low", "high")], rel=1e-12
    )


def test_files_that_do_not_fit_are_one_error(tmp_path):
    found = scored(
        tmp_path, {"itq": level(0.5, 1), "pcah": level(0.4, 1)}, [np.arange(100), np.arange(1, 101)]
    )
    with pytest.raises(BenchmarkError, match="pcah was scored on other queries"):
        statistics.write(tmp_path, planned(), found)
    found[0].histograms.write_bytes(b"PK")
    with pytest.raises(
        BenchmarkError, match=r"itq/histograms.npz cannot be read .*: delete its folder"
    ):
        statistics.write(tmp_path, planned(), found)
