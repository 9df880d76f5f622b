"""The benchmarks: the operation counts, small runs, and the quantity that each figure shows."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import (
    collecting,
    features,
    harness,
    neighbourhood,
    planning,
    results,
    scoring,
    training,
)
from experiments import collect
from harness import storage
from harness.plan import Job
from harness.plugins import ROOT
from harness.stale import State
from methods.bgan import BGAN


@pytest.fixture(autouse=True)
def folder_of_results(monkeypatch, tmp_path):
    """Figures of tests replace none of those that are stored beside the code."""
    folder = tmp_path / "figures"
    folder.mkdir()
    monkeypatch.setattr(results, "FOLDER", folder)
    return folder


def test_vgg19s_work_is_that_of_its_layers():
    """Return twice the products of each layer, and again for the gradients of weights and inputs.

    The images need no gradient.
    """
    widths = [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    sides = [224] * 2 + [112] * 2 + [56] * 4 + [28] * 4 + [14] * 4
    products = [
        9 * before * after * side**2
        for before, after, side in zip([3, *widths], widths, sides, strict=False)
    ]
    products += [512 * 7 * 7 * 4096, 4096 * 4096]
    assert training.flops("vgg19", 224) == 2 * (3 * sum(products) - products[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="describes a machine without a GPU")
def test_it_runs_and_states_what_it_could_not_time(monkeypatch, capsys):
    monkeypatch.setenv(training.DATA_VARIABLE, "replaced by a folder of random weights")
    monkeypatch.setitem(training.SIZES, "squeezenet1_1", 24)
    monkeypatch.setitem(training.PEAK, "cpu", ("float32", 64))
    monkeypatch.setattr(
        sys,
        "argv",
        ["training", "--encoders", "features", "squeezenet1_1", "--batch", "8", "--batches", "1"],
    )
    training.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines[2:4]] == ["features", "squeezenet1_1"]
    assert "24 px, 8 per batch, float32: " in lines[3]
    assert "share of the peak in training" in lines[3]
    assert "share of the peak in training" not in lines[2]
    assert lines[4].startswith("found no GPU: bfloat16 and the released way")


def test_the_released_way_is_without_tf32_in_encoding_too_and_others_after_it_are_not(monkeypatch):
    found, encode = [], BGAN.encode
    tf32 = torch.backends.cudnn

    def recorded(*arguments):
        found.append((tf32.allow_tf32, torch.get_float32_matmul_precision()))
        return encode(*arguments)

    monkeypatch.setattr(BGAN, "encode", recorded)
    training.speed("features", 16, 1, "float32", exact=True)
    assert set(found) == {(False, "highest")}
    assert tf32.allow_tf32


def test_a_database_smaller_than_the_deepest_cut_is_scored(monkeypatch, capsys):
    monkeypatch.setattr(scoring, "best", lambda function, repetitions=1: (function(), 1.0)[1])
    scoring.speed(30, np.arange(230) % 10, 16)
    printed = capsys.readouterr().out
    assert printed.count("1.0000 s") == 8
    assert printed.count("times as long as score: map") == 3


def test_a_rate_states_its_device(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    built = features.built

    def on_gpu(*arguments):
        extractor, part = built(*arguments)
        extractor.facts_ = {"device": "A GPU"}
        return extractor, part

    for build, device in ((built, "1 thread"), (on_gpu, "A GPU")):
        monkeypatch.setattr(features, "built", build)
        monkeypatch.setattr(
            sys,
            "argv",
            ["features", "rate", "pixels", "--images", "4", "--side", "8", "--threads", "1"],
        )
        features.main()
        assert f": on {device} " in capsys.readouterr().out.splitlines()[-1]


@pytest.fixture
def plan(monkeypatch, tmp_path):
    """The plan of 160 runs of chance, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    storage.write_json("grid.json", harness.grid(2))
    return planning.planned()


def test_synthetic_results_are_current_and_one_that_changes_is_not(plan):
    assert len(plan.runs) == 160
    planning.finish(plan)
    state = State(plan)
    state.check()
    assert not state.reasons()
    assert not any(state.problem(job) for job in plan.jobs())

    record = storage.read_json(plan.runs[0].record)
    storage.write_json(
        plan.runs[0].record, record | {"made_of": record["made_of"] | {"split": "another"}}
    )
    changed = State(plan)
    changed.check()
    assert len(changed.reasons()) == 1


def test_literal_rules_have_the_files_of_the_plan(plan):
    text = planning.literal_rules(plan)
    rules = dict(part.split(":", 1) for part in text.split("\nrule ")[1:])
    assert set(rules) == {job.rule for job in plan.jobs()}
    for rule in ("collect", "report"):
        for file in (*plan.inputs(Job(rule)), *plan.outputs(Job(rule))):
            assert f'"{getattr(file, "path", file)}"' in rules[rule]
    assert '"cache/features/{dataset}/{features}/features.npy"' in rules["encode"]
    assert (
        '"results/runs/{dataset}/{features}/{variant}/{bits}bit/seed{seed}/codes.npz"'
        in rules["encode"]
    )
    assert rules["score"].count("codes.npz") == 80
    assert not any(word in text for word in ("lambda", "def ", "import ", "expand"))


def test_the_table_has_the_last_figures_of_every_problem_and_every_machine(folder_of_results):
    results.save("large", "10 items", {"peak": "9 MiB"})
    results.save("large", "20 items", {"peak": "2 MiB"})
    results.save("large", "10 items", {"peak": "1 MiB", "fit": results.seconds(0.25)})
    gpu = {"map": [0.5, 0.25], "measured": results.measured() | {"machine": "H100"}}
    storage.write_json(folder_of_results / "gpu.json", {"device": "H100", "pieces": {"a": gpu}})

    lines = results.table(folder_of_results).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    shown = [row[:3] for row in cells[2:]]
    assert shown == [
        ["`gpu`", "a", "map 0.5, 0.25"],
        ["`large`", "10 items", "peak 1 MiB; fit 250 ms"],
        ["`large`", "20 items", "peak 2 MiB"],
    ]
    assert all(len(row) == len(results.HEADER) for row in cells)
    assert "Machine 1: H100." in lines
    assert cells[-1][3].endswith("machine 2")


def test_durations_have_a_unit():
    assert [results.seconds(value) for value in (0.5, 90, 900)] == ["500 ms", "90 s", "15 min"]


def test_the_sizes_are_scored_as_the_library_scores_them(monkeypatch, folder_of_results):
    calls = []
    monkeypatch.setattr(scoring, "SHORTEST", 0)
    monkeypatch.setattr(scoring, "hamming", lambda *arrays: calls.append(arrays) or ())
    monkeypatch.setattr(scoring, "measure_all", lambda *arrays: None)
    monkeypatch.setattr(scoring, "_seconds", lambda measure, items: (measure(items), items)[1])
    scoring.by_size(7, [20, 40])
    sizes = [(len(queries), len(database)) for queries, database, *_ in calls]
    assert sizes == [(7, 20)] + [(7, 20), (7, 40)] * scoring.ROUNDS
    stored = storage.read_json(folder_of_results / "scoring.json")
    assert [entry.get("processor") for entry in stored.values()] == ["20 s", "40 s", None]


def test_lists_are_compared_with_those_of_faiss(folder_of_results):
    pytest.importorskip("faiss")
    neighbourhood.compare_with_faiss(neighbourhood.clustered(300, 8))
    (figures,) = storage.read_json(folder_of_results / "neighbourhood.json").values()
    assert float(figures["ratio"]) > 0


def test_synthetic_runs_are_collected(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    storage.write_json("grid.json", harness.grid(2) | {"bits": [8], "seeds": [0, 1]})
    harness.run(tmp_path, ["python", "-m", "datasets", "digits"], ROOT)
    harness.run(tmp_path, ["python", "-m", "features", "extract", "digits", "pixels"], ROOT)
    plan = planning.planned()
    collecting.finish(plan)
    collect.collect(plan)

    assert len(pd.read_csv(plan.root / "runs.csv")) == 4
    scores = dict(list(pd.read_csv(plan.root / "metrics.csv").groupby("variant").value))
    first, second = (scores[f"chance.{index}"].to_numpy() for index in (0, 1))
    np.testing.assert_array_equal(first, second)
    assert len(first) > 100


def test_the_grids_have_the_numbers_of_runs_that_they_state():
    for runs, shape in collecting.GRIDS.items():
        assert runs == np.prod(shape)
