"""What is told before any work where files of the user's are missing."""

import json
from pathlib import Path

import experiments
import pytest
from builders import loaded

import preflight
from harness.user_data import DATA_VARIABLE
from plugins import ROOT


def test_files_are_looked_for_where_some_are_needed_and_not_yet_prepared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert preflight.unprepared(loaded()) == []
    assert preflight.unprepared(loaded("config.yaml", features=["gist", "vgg19_fc7"])) == [("features", "vgg19_fc7")]
    asked = loaded("paper.yaml", methods=["itq"])
    everything = [*(("datasets", name) for name in asked["datasets"]), ("features", "vgg19_fc7")]
    assert preflight.unprepared(asked) == everything
    for dataset in asked["datasets"]:
        for path, floor, name in (
            (f"cache/datasets/{dataset}/dataset.json", "datasets", dataset),
            *([(f"cache/features/{dataset}/vgg19_fc7/features.json", "features", "vgg19_fc7")] if dataset != "cifar10" else []),
        ):
            Path(path).parent.mkdir(parents=True)
            Path(path).write_text(json.dumps({"settings": json.loads(experiments.settings_text(floor, name, asked))}))
    assert preflight.unprepared(asked) == [("features", "vgg19_fc7")], "once, though three data sets ask for it"
    asked["variants"]["datasets"]["nuswide-21"] = {"of": "nuswide", "set": {"leave_out_missing": True}}
    assert preflight.unprepared(asked) == [("datasets", "nuswide-21"), ("features", "vgg19_fc7")], "prepared with other settings"


@pytest.mark.parametrize("text", ["[]", "[" * 100_000, "{", "null", "{}"])
def test_a_damaged_description_is_of_nothing_that_is_made(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    assert not preflight._is_made(str(tmp_path / "dataset.json"), "datasets", "digits", loaded())


def test_files_of_methods_are_looked_for_once_each(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, "data")
    asked = loaded(methods=["itq", "mine", "deep", "deeper"], bits=[12, 24])
    deep = {"of": "bgan", "set": {"encoder": "squeezenet1_1", "weights": "weights/mine.pth", "sha256": "0" * 64}}
    mine = {"of": "imported", "set": {"path": "mine-{bits}.mat:B"}}
    asked["variants"]["methods"] |= {"mine": mine, "deep": deep, "deeper": deep | {"label": "Deeper"}}
    assert preflight.unprepared(asked) == [("methods", "mine"), ("methods", "deep"), ("methods", "deeper")]
    Path("data").mkdir()
    Path("data/mine-12.mat").touch()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert preflight.missing_files(asked).endswith("add --config 'methods=[itq]' to the command")
    own, weights = capfd.readouterr().err.splitlines()
    assert own == "methods: mine needs data/mine-24.mat, which is missing: put it there, or change `path`"
    assert weights.startswith("networks: weights data/weights/mine.pth are missing: put your file there, or get https://")
    for run in experiments.runs(asked):
        if run.variant != "itq":
            Path(run.folder).mkdir(parents=True)
            Path(run.folder, "run.json").touch()
    assert preflight.unprepared(asked) == []


def test_official_weights_that_no_setting_names_are_looked_for_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = loaded(methods=["deepbit_rotation", "deep", "bgan", "bgan-features"])
    asked["variants"]["methods"]["deep"] = {"of": "bgan", "set": {"encoder": "vgg19"}}
    commands = []
    monkeypatch.setattr(preflight, "_fails", lambda *command: commands.append(command) or True)
    assert preflight.unprepared(asked) == [("methods", "deepbit_rotation"), ("methods", "deep")]
    assert preflight.missing_files(asked).endswith("add --config 'methods=[bgan,bgan-features]' to the command")
    assert commands == [("networks", "vgg16", "weights/vgg16-397923af.pth"), ("networks", "vgg19", "weights/vgg19-dcbb9e9d.pth")]


def test_what_is_there_can_be_run_by_what_the_last_line_says():
    asked = loaded("paper.yaml", features=["vgg19_fc7", "pixels"])
    lost = [("datasets", "nuswide-21"), ("features", "vgg19_fc7")]
    assert preflight._advice(asked, lost).endswith("add --config 'datasets=[cifar10,mirflickr-24]' 'features=[pixels]' to the command")
    assert "--config" not in preflight._advice(loaded("paper.yaml"), lost), "no features are left"
    assert "--config" not in preflight._advice(loaded("paper.yaml", datasets=["cifar10"]), [("datasets", "cifar10")])
