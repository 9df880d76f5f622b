"""statistics.csv and comparisons.csv, from the average precision in artificial histograms."""

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
    "seeds": [0, 1, 2, 3, 4],
}


def planned(**changes):
    return Plan.load(CONFIG | changes)


def scored(root, values, query=None, lengths=(8,)):
    """Scores of an experiment whose folder is `root`.

    values: average precision (S, Q) by variant, the same at all lengths or {bits: (S, Q)}.
    """
    found = []
    for variant, precision in values.items():
        score = Score(root, "digits", "pixels", variant)
        score.folder.mkdir(parents=True)
        of_control = (0,) if variant.startswith("exact") else lengths
        cells = precision if isinstance(precision, dict) else dict.fromkeys(of_control, precision)
        arrays = {
            f"{bits}bit/seed{seed}/ap": row
            for bits, rows in cells.items()
            for seed, row in enumerate(rows)
        }
        queries = len(next(iter(arrays.values())))
        np.savez(score.histograms, query=query.pop() if query else np.arange(queries), **arrays)
        found.append(score)
    return found


def rows_of(path: Path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def level(mean, seeds, spread=0.0, queries=100):
    """Average precision (seeds, queries): differs over queries, by `spread` over seeds."""
    return (
        mean
        + np.linspace(-0.1, 0.1, queries)
        + np.linspace(-spread, spread, seeds)[:, None]
        + 0.01 * np.sin(np.arange(queries) * mean)
    )


# A test over queries alone would call each difference significant.
@pytest.mark.parametrize(
    ("seeds", "spread", "verdict"), [(5, 0.002, "yes"), (5, 0.2, "no"), (4, 0.002, None)]
)
def test_a_difference_is_significant_over_queries_and_seeds(tmp_path, seeds, spread, verdict):
    values = {"itq": level(0.5, seeds, spread), "pcah": level(0.45, 1), "exact-l2": level(0.6, 1)}
    statistics.write(tmp_path, planned(), scored(tmp_path, values))
    described = {row["variant"]: row for row in rows_of(tmp_path / "statistics.csv")}
    counts = [described[name]["seeds"] for name in ("itq", "pcah", "exact-l2")]
    assert counts == [str(seeds), "1", "1"]
    low, mean, high = (float(described["itq"][name]) for name in ("low", "map", "high"))
    assert low < mean < high
    assert described["pcah"]["deviation"] == ""

    compared = rows_of(tmp_path / "comparisons.csv")
    if verdict is None:
        assert compared == []  # a seed is missing: the cell is not complete
        return
    (row,) = compared
    assert (row["variant"], row["other"], row["significant"]) == ("itq", "pcah", verdict)
    assert (float(row["low"]) > 0) == (verdict == "yes")
    assert (float(row["p_holm"]) < 0.05) == (verdict == "yes")
    assert (float(row["detectable"]) < 0.05) == (verdict == "yes")
    assert ttest_rel(level(0.5, seeds, spread).mean(axis=0), level(0.45, 1)[0]).pvalue < 0.001


def verdicts(folder):
    return [row["significant"] for row in rows_of(folder / "comparisons.csv")]


def test_fewer_than_five_seeds_at_one_code_length_are_not_tested(tmp_path):
    values = {"itq": level(0.5, 4), "pcah": level(0.4, 1)}
    statistics.write(tmp_path, planned(seeds=[0, 1, 2, 3]), scored(tmp_path, values))
    assert verdicts(tmp_path) == ["too few seeds"]


@pytest.mark.parametrize(("seeds", "verdict"), [(2, "too few seeds"), (3, "yes")])
def test_three_seeds_at_several_code_lengths_are_tested(tmp_path, seeds, verdict):
    values = {"itq": level(0.5, seeds, 0.002), "pcah": level(0.4, 1)}
    plan = planned(seeds=list(range(seeds)), bits=[8, 16])
    statistics.write(tmp_path, plan, scored(tmp_path, values, lengths=(8, 16)))
    assert verdicts(tmp_path) == [verdict] * 2


def test_the_variance_of_seeds_is_pooled_over_code_lengths(tmp_path):
    """Seeds that agree by chance at 8 bits get the error that they have at 16 bits."""
    errors = {}
    for name, lengths in (("alone", (8,)), ("pooled", (8, 16))):
        spreads = {8: 0.0, 16: 0.05}
        root = tmp_path / name
        scores = [
            *scored(root, {"pcah": level(0.45, 1)}, lengths=lengths),
            *scored(root, {"itq": {bits: level(0.5, 5, spreads[bits]) for bits in lengths}}),
        ]
        statistics.write(root, planned(bits=list(lengths)), scores)
        row = next(row for row in rows_of(root / "comparisons.csv") if row["bits"] == "8")
        errors[name] = float(row["high"]) - float(row["low"])
    assert errors["pooled"] > 2 * errors["alone"]


def test_one_file_of_imported_codes_has_no_deviation_over_seeds(tmp_path):
    mine = {"of": "imported", "set": {"path": "mine.npy"}}
    plan = planned(methods=["mine", "pcah"], variants={"methods": {"mine": mine}})
    scores = scored(tmp_path, {"mine": level(0.5, 1), "pcah": level(0.4, 1)})
    statistics.write(tmp_path, plan, scores)
    assert verdicts(tmp_path) == ["too few seeds"]


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
