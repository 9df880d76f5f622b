"""`make gpu`: all of it in small sizes on the CPU, and how it resumes."""

import json
import sys

import pytest

from benchmarks import gpu, training
from harness.plugins import ROOT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder; what the command changes is restored."""
    monkeypatch.chdir(tmp_path)
    for name in ("CUDA_VISIBLE_DEVICES", gpu.DATA_VARIABLE):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of processes that a piece starts
    for name in ("SIZES", "PEAK"):
        monkeypatch.setattr(training, name, dict(getattr(training, name)))
    return tmp_path


def test_all_pieces_run_on_the_cpu_in_small_sizes(folder, monkeypatch, capsys):
    monkeypatch.setenv("TINY", "1")
    monkeypatch.setattr(gpu, "gpu_tests", lambda: {"skipped": 2})
    monkeypatch.setattr(sys, "argv", ["gpu"])
    gpu.main()

    found = json.loads((folder / gpu.TINY_OUTPUT).read_text())
    cells = {f"cell-{name}" for name in gpu.gpu_methods()}
    assert {"cell-bgan", "cell-deepbit_rotation"} <= cells
    encoders = {f"encoder-{name}" for name in gpu.TINY_SIZES}
    repeats = {"repeat", "repeat-deterministic"}
    assert set(found["pieces"]) == {"tests"} | repeats | encoders | cells
    assert all(found["pieces"][name]["differing_bits"] == 0 for name in repeats)
    assert found["pieces"]["encoder-squeezenet1_1"]["float32_share_of_peak"] > 0
    assert all(found["pieces"][name]["map"] > 0.15 for name in cells)  # chance has 0.1
    printed = capsys.readouterr().out
    assert found["device"] in printed
    assert all(name in printed for name in found["pieces"])


def test_every_encoder_is_measured_on_a_gpu():
    names = gpu.pieces(tiny=False)
    assert {f"encoder-{name}" for name in training.SIZES} <= set(names)


@pytest.mark.parametrize("changed", ["device", "versions", "sources"])
def test_finished_pieces_are_skipped_until_what_they_depend_on_changes(
    folder, monkeypatch, changed
):
    calls, output = [], folder / "gpu.json"

    def piece(name):
        def call():
            calls.append(name)
            if calls.count("b") == 1 and name == "b":
                raise KeyboardInterrupt  # killed within the second piece
            return {"figure": len(calls)}

        return call

    work = {name: piece(name) for name in "abc"}
    with pytest.raises(KeyboardInterrupt):
        gpu.run(work, None, output)
    assert list(json.loads(output.read_text())["pieces"]) == ["a"]

    assert list(gpu.run(work, None, output)["pieces"]) == ["a", "b", "c"]
    assert calls == ["a", "b", "b", "c"]
    gpu.run(work, None, output)
    gpu.run(work, "b", output)
    assert calls == ["a", "b", "b", "c", "b"]

    described = gpu.described()
    monkeypatch.setattr(gpu, "described", lambda: described | {changed: "another"})
    gpu.run(work, None, output)
    assert calls[5:] == ["a", "b", "c"]


def test_the_makefile_has_the_command():
    assert "python -m benchmarks.gpu" in (ROOT / "Makefile").read_text()
