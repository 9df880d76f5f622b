"""`python -m experiments reproduce`: random published runs are repeated and compared."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from experiments import publish, reproduce
from harness.errors import BenchmarkError
from harness.plan import Run, fields_of
from harness.records import source_digests

ITQ = "digits/pixels/itq/8bit"


class Published:
    """The tiny experiment in a published folder, without its results and features."""

    def __init__(self, copy):
        self.copy = copy
        self.folder = copy.folder / publish.PUBLISHED / "mine"
        self.call("publish", "mine", "map.tex", "--results", "results/experiments/tiny")
        shutil.rmtree(copy.folder / "results/runs")
        shutil.rmtree(copy.folder / "cache/features")

    def call(self, *arguments):
        """Exit status and output of a job."""
        environment = os.environ | {"PYTHONPATH": str(self.copy.folder)}
        done = subprocess.run(
            [sys.executable, "-m", "experiments", *arguments],
            cwd=self.copy.folder,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def change_queries(self, change):
        """Change the average precision of every run."""
        with np.load(self.folder / publish.QUERIES) as stored:
            arrays = {name: stored[name].copy() for name in stored.files}
        for name in arrays:
            if not name.endswith("/query"):
                change(arrays[name])
        np.savez(self.folder / publish.QUERIES, **arrays)


def change_one_query(values):
    """The mean of the 300 queries stays the same in all printed decimals."""
    values[3] += 0.0002


def test_a_published_run_is_repeated_and_an_altered_one_is_reported(copy):
    """The draw is repeated with the same seed: a run of PCAH, which takes no second."""
    published = Published(copy)
    seed = seed_that_draws("digits/pixels/pcah/8bit", published.folder)
    arguments = ("reproduce", "mine", "--cells", "1", "--seed", str(seed))
    status, output = published.call(*arguments)
    assert status == 0, output
    assert "not drawn" not in output
    assert f"drawn: 1 of 8 cells, with --seed {seed}" in output
    assert "digits/pixels/pcah/8bit/seed0: equal codes, mAP 0." in output
    assert not (copy.folder / "results/runs").exists()
    assert (copy.folder / "cache/features/digits/pixels/features.npy").is_file()

    published.change_queries(change_one_query)
    status, output = published.call(*arguments)
    assert status == 1
    assert "pcah/8bit/seed0: NOT REPRODUCED: equal codes, but the average precision" in output


def seed_that_draws(name, folder):
    names = sorted(publish.contents_of(folder).cells())
    for seed in range(1000):
        if reproduce.random.Random(seed).sample(names, 1) == [name]:
            return seed
    raise AssertionError(name)


# ---------------------------------------------------------------------------- comparing

MEANS = [0.40, 0.42, 0.41, 0.44, 0.43]


def record_of(processor="one", numpy="2.4.6", codes="aa", features="f0"):
    run = Run("digits", "pixels", "itq", 8, 0)
    made_of = {"run": fields_of(run), "features": features, "split": "a1"}
    facts = {"machine": {"processor": processor}, "versions": {"numpy": numpy}}
    return facts | {"made_of": made_of, "codes_sha256": codes}


def queries_of(mean):
    """Average precision of 10 queries with this mean."""
    return np.linspace(mean - 0.2, mean + 0.2, 10)


def compared(repeated, mean, means=MEANS, level=0.05):
    precisions = [queries_of(each).astype(np.float32) for each in means]
    cell = reproduce.Cell(ITQ, [record_of()] * len(means), precisions, np.arange(10))
    return reproduce.compared(cell, 0, repeated, queries_of(mean), level)


def interval_of_scipy(level):
    scale = np.std(MEANS, ddof=1) * np.sqrt(1 + 1 / len(MEANS))
    return stats.t.interval(1 - level, len(MEANS) - 1, np.mean(MEANS), scale)


def test_equal_codes_are_reproduced_on_any_machine():
    assert compared(record_of(), MEANS[0]) == "equal codes, mAP 0.4000"
    assert compared(record_of(processor="two"), MEANS[0]) == "equal codes, mAP 0.4000"


@pytest.mark.parametrize("level", [0.05, 0.05 / 3])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("machine", [{"processor": "two"}, {"numpy": "2.5.0"}])
def test_other_codes_of_another_machine_are_judged_by_the_prediction_interval(level, side, machine):
    end = interval_of_scipy(level)[side]
    inwards = 0.001 if side == 0 else -0.001
    repeated = record_of(codes="bb", **machine)
    assert "other codes (" in compared(repeated, end + inwards, level=level)
    with pytest.raises(BenchmarkError, match="expected from 5 seeds"):
        compared(repeated, end - inwards, level=level)


def test_other_codes_of_the_same_machine_are_an_error():
    with pytest.raises(BenchmarkError, match="found codes bb with mAP"):
        compared(record_of(codes="bb"), MEANS[0])


def test_without_seeds_the_printed_decimals_must_agree():
    repeated = record_of(processor="two", codes="bb")
    assert compared(repeated, 0.4004, means=[0.4])
    with pytest.raises(BenchmarkError, match="expected from 1 seed"):
        compared(repeated, 0.4006, means=[0.4])


def test_features_may_differ_on_another_machine_only():
    reproduce.check_inputs(record_of(), record_of(processor="two", features="f1"))
    with pytest.raises(BenchmarkError, match="features was f0, now f1"):
        reproduce.check_inputs(record_of(), record_of(features="f1"))


def test_another_split_is_an_error_on_any_machine():
    for processor in ("one", "two"):
        repeated = record_of(processor=processor)
        repeated["made_of"]["split"] = "a2"
        with pytest.raises(BenchmarkError, match="split was a1, now a2"):
            reproduce.check_inputs(record_of(), repeated)


def test_nine_of_ten_new_seeds_are_within_the_interval_of_level_a_tenth():
    generator = np.random.default_rng(0)
    seeds = generator.normal(0.5, 0.02, (4000, 6))
    inside = 0
    for *published, new in seeds:
        low, high = reproduce.prediction_interval(np.array(published), 0.1)
        inside += low <= new <= high
    assert inside / len(seeds) == pytest.approx(0.9, abs=0.015)


# ------------------------------------------------------------------------------ drawing


def drawn_runs(monkeypatch, seed, outcome=True):
    """Name, index of the run and level of each repeated run of four of eight cells."""
    cells = [reproduce.Cell(f"cell{index}", [{}] * 5, [], np.arange(1)) for index in range(8)]
    available = [reproduce.Repeatable(cell, None, None) for cell in cells]
    calls = []

    def repeated(drawn, index, level):
        calls.append((drawn.cell.name, index, level))
        return outcome or len(calls) > 1

    monkeypatch.setattr(reproduce, "_available", lambda folders: (available, {}))
    monkeypatch.setattr(reproduce, "_is_reproduced", repeated)
    assert reproduce.reproduce([publish.PUBLISHED], 4, seed) == outcome
    return calls


def test_cells_and_seeds_are_drawn_and_share_the_level(monkeypatch):
    runs = drawn_runs(monkeypatch, 1)
    assert drawn_runs(monkeypatch, 1, outcome=False) == runs
    assert drawn_runs(monkeypatch, 2) != runs
    assert len({name for name, *_ in runs}) == 4
    assert len({index for _, index, _ in runs}) > 1
    assert sum(level for *_, level in runs) == pytest.approx(0.05)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A published folder of two runs of ITQ, in a checkout without data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reproduce, "_inputs", lambda experiment: reproduce.Catalogue())
    monkeypatch.setenv("BGAN_BENCH_DATA", str(tmp_path / "data"))

    def write(dataset="digits", sources=None, device="cpu"):
        runs, queries = {}, {f"{dataset}/pixels/query": np.arange(2)}
        for seed in (0, 1):
            run = Run(dataset, "pixels", "itq", 8, seed)
            made_of = {"run": fields_of(run), "plugin": "itq", "params": {}, "split": "a1"}
            made_of["sources"] = sources or source_digests("methods", "itq")
            record = {"made_of": made_of, "device": device, "codes_sha256": "aa"}
            runs[run.name] = ({}, record)
            queries[run.name] = np.zeros(2, np.float32)
        contents = publish.Contents(runs, queries, {}, {})
        monkeypatch.setattr(publish, "contents_of", lambda folder: contents)
        return [publish.PUBLISHED / "mine"]

    return write


def test_a_cell_whose_data_set_needs_nothing_can_be_drawn(folder):
    available, reasons = reproduce._available(folder())
    assert [drawn.cell.name for drawn in available] == [ITQ]
    assert not reasons


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "cifar10"}, "missing: cifar"),
        ({"sources": {"methods/itq.py": "ast1:00"}}, "sources have changed"),
        ({"device": "NVIDIA H200"}, "measured on NVIDIA H200"),
    ],
)
def test_a_cell_that_cannot_be_repeated_is_not_drawn(folder, capsys, changes, reason):
    with pytest.raises(BenchmarkError, match="no published cell"):
        reproduce.reproduce(folder(**changes), 3)
    assert f"cells not drawn: 1, results/published/mine: {reason}" in capsys.readouterr().out
