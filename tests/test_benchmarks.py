"""The benchmarks: the operation counts, small runs, and the quantity that each figure shows."""

import sys

import numpy as np
import pytest
import torch

from benchmarks import features, harness, planning, scoring, training
from harness import storage
from harness.plan import Job
from harness.stale import State
from methods.bgan import BGAN


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
    assert lines[3].endswith("% of the peak in training")
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
        assert capsys.readouterr().out.splitlines()[-1].endswith(f"/s on {device}")


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
