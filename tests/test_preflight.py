"""What a command prints before any work if files of the user are missing."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from builders import loaded

from experiments import preflight
from harness import records, storage
from harness.errors import BenchmarkError
from harness.plan import Plan
from harness.plugins import ROOT
from harness.stale import State
from harness.user_data import DATA_VARIABLE


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return tmp_path


def state(name="config.yaml", variants=None, **changes):
    config = loaded(name, **changes)
    for stage, entries in (variants or {}).items():
        config["variants"][stage] |= entries
    return State(Plan.load(config))


def unprepared(found):
    return [(variant.stage, variant.name) for variant in preflight.unprepared(found)]


def write_outputs(plan, job):
    """Write the outputs of a job: empty arrays, and the record that the present state asks for."""
    *arrays, record = plan.outputs(job)
    record.parent.mkdir(parents=True, exist_ok=True)
    for path in arrays:
        path.touch()
    digests = {path.name: storage.digest(path) for path in arrays}
    facts = {
        "sha256": digests if job.rule == "dataset" else "",
        "split_sha256": "",
        "codes_sha256": "",
    }
    records.write(record, State(plan).made_of(job), **facts)


def jobs(plan, rule):
    return [job for job in plan.jobs() if job.rule == rule]


def test_files_are_checked_if_results_that_need_them_are_missing():
    assert unprepared(state()) == []
    assert unprepared(state(features=["gist", "vgg19_fc7"])) == [("features", "vgg19_fc7")]
    found = state("paper.yaml", methods=["itq"])
    features = ("features", "vgg19_fc7")
    assert unprepared(found) == [*(("datasets", name) for name in found.plan.datasets), features]
    for job in jobs(found.plan, "dataset"):
        write_outputs(found.plan, job)
    for job in jobs(found.plan, "features")[1:]:
        write_outputs(found.plan, job)
    assert unprepared(State(found.plan)) == [features], "once, though several data sets need it"
    changed = {"datasets": {"nuswide-21": {"of": "nuswide", "set": {"leave_out_missing": True}}}}
    assert unprepared(state("paper.yaml", methods=["itq"], variants=changed)) == [
        ("datasets", "nuswide-21"),
        features,
    ]


def test_each_file_of_methods_is_checked_once(capfd, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, "data")
    deep = {
        "of": "bgan",
        "set": {"encoder": "squeezenet1_1", "weights": "weights/mine.pth", "sha256": "0" * 64},
    }
    mine = {"of": "imported", "set": {"path": "mine-{bits}.mat:B"}}
    methods = {"mine": mine, "deep": deep, "deeper": deep | {"label": "Deeper"}}
    found = state(methods=["itq", *methods], bits=[12, 24], variants={"methods": methods})
    assert unprepared(found) == [("methods", "mine"), ("methods", "deep"), ("methods", "deeper")]
    Path("data").mkdir()
    Path("data/mine-12.mat").touch()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert preflight.missing_files(found).endswith("add --config 'methods=[itq]' to the command")
    own, weights = capfd.readouterr().err.splitlines()
    assert (
        own
        == "methods: mine needs data/mine-24.mat, which is missing: add the file, or change `path`"
    )
    assert weights.startswith(
        "imagenet: weights data/weights/mine.pth are missing: put your file there, or get https://"
    )

    for rule in ("dataset", "features", "neighbours", "encode"):
        for job in jobs(found.plan, rule):
            if "itq" not in job.key:
                write_outputs(found.plan, job)
    assert unprepared(State(found.plan)) == []


def test_the_advice_keeps_the_code_lengths_of_a_method(capfd, monkeypatch):
    mine = {"mine": {"of": "imported", "set": {"path": "mine-{bits}.npy"}}}
    methods = [{"name": "itq", "bits": [12], "timed": [12]}, {"name": "mine", "bits": [12]}]
    found = state(methods=methods, variants={"methods": mine})
    advice = preflight.missing_files(found)
    given = re.search(r"--config '(.*?)' to the command", advice)[1]
    key, _, value = given.partition("=")
    assert {key: yaml.safe_load(value)} == {"methods": methods[:1]}


def test_official_weights_that_no_parameter_names_are_looked_for_too(monkeypatch):
    deep = {"deep": {"of": "bgan", "set": {"encoder": "vgg19"}}}
    found = state(
        methods=["deepbit_rotation", "deep", "bgan", "bgan-features"], variants={"methods": deep}
    )
    commands = []
    monkeypatch.setattr(preflight, "_fails", lambda *command: commands.append(command) or True)
    assert unprepared(found) == [("methods", "deepbit_rotation"), ("methods", "deep")]
    assert preflight.missing_files(found).endswith(
        "add --config 'methods=[bgan,bgan-features]' to the command"
    )
    assert commands == [
        ("harness.imagenet", "vgg16", "weights/vgg16-397923af.pth"),
        ("harness.imagenet", "vgg19", "weights/vgg19-dcbb9e9d.pth"),
    ]


def test_the_last_line_states_how_to_run_the_rest():
    def advice(found, *lost):
        return preflight._advice(
            found.plan, [getattr(found.plan, stage)[name] for stage, name in lost]
        )

    found = state("paper.yaml", features=["vgg19_fc7", "pixels"])
    lost = advice(found, ("datasets", "nuswide-21"), ("features", "vgg19_fc7"))
    assert lost.endswith(
        "add --config 'datasets=[cifar10,mirflickr-24]' 'features=[pixels]' to the command"
    )
    assert "--config" not in advice(state("paper.yaml"), ("features", "vgg19_fc7")), (
        "no features are left"
    )
    assert "--config" not in advice(
        state("paper.yaml", datasets=["cifar10"]), ("datasets", "cifar10")
    )


def test_a_method_whose_trials_all_lack_their_files_is_not_among_the_rest(monkeypatch):
    trials = {"bgan": [{"encoder": "vgg19"}, {"encoder": "vgg16"}]}
    found = state(methods=["itq", "bgan"], trials=trials)
    monkeypatch.setattr(preflight, "_fails", lambda *command: True)
    assert preflight.missing_files(found).endswith("add --config 'methods=[itq]' to the command")


@pytest.mark.parametrize(("rows", "message"), [(1797, ""), (1796, "rows.npy has 1,796 rows")])
def test_a_feature_file_is_compared_with_the_data_set_before_any_work(
    rows, message, tmp_path, monkeypatch, capfd
):
    np.save(tmp_path / "rows.npy", np.zeros((rows, 3), np.float32))
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    preflight._checked.cache_clear()
    own = {"own": {"of": "file", "set": {"path": "rows.npy"}}}
    found = state(features=["own"], variants={"features": own})
    assert bool(preflight.missing_files(found)) == bool(message)
    assert message in capfd.readouterr().err


def image_folder(**params):
    return {"datasets": {"mine": {"of": "image_folder", "set": {"path": "photos", **params}}}}


class TestMemory:
    """Pixels of large images: a covariance matrix of 196,608 dimensions needs 288 GiB."""

    @pytest.fixture(autouse=True)
    def machine(self, monkeypatch):
        """A machine of 64 GiB."""
        sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**24}
        monkeypatch.setattr(preflight.os, "sysconf", sizes.__getitem__)

    def test_features_that_cannot_fit_are_refused_with_a_way_out(self):
        with pytest.raises(BenchmarkError, match=r"196,608 .* 288 GiB, .* 64 GiB") as refused:
            preflight.check_memory(state(datasets=["mine"], variants=image_folder()))
        assert "features: [gist]" in str(refused.value)
        assert "set: {size: 32}" in str(refused.value)

    def test_grey_images_have_one_channel(self):
        with pytest.raises(BenchmarkError, match=r"\(512 x 512 x 1\)"):
            preflight.check_memory(
                state(datasets=["mine"], variants=image_folder(grey=True, size=512))
            )

    @pytest.mark.parametrize(
        "changes",
        [
            {"features": ["gist"]},
            {"methods": []},
            {"variants": image_folder(size=32)},
            {"variants": image_folder(grey=True)},
            {"datasets": ["digits"]},
        ],
    )
    def test_others_are_not(self, changes):
        preflight.check_memory(
            state(**({"datasets": ["mine"], "variants": image_folder()} | changes))
        )


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        (["/a/b", "/a/python"], None),
        (["/a/my thesis", "/a/python"], "/a/my thesis"),
        (["/a/b", "/a/my python/bin/python"], "/a/my python/bin/python"),
        (["/a/tab\tb"], "/a/tab"),
    ],
)
def test_paths_that_slurm_cannot_run_are_named(paths, named):
    problem = preflight.unquoted_path(paths)
    assert (named in problem) if named else not problem


@pytest.mark.parametrize(
    ("printed", "memory"),
    [
        ("cpu* 16000\ngpu 64000\n", 16000),
        ("cpu* 16000+\ncpu* 8000\n", 8000),
        ("cpu 32000\ngpu 64000\n", 32000),
        ("nothing of the kind\n", None),
        ("", None),
    ],
)
def test_the_memory_of_a_node(tmp_path, monkeypatch, printed, memory):
    program = tmp_path / "sinfo"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{printed}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    preflight.node_memory.cache_clear()
    assert preflight.node_memory() == memory
    preflight.node_memory.cache_clear()


def test_a_deleted_experiment_leaves_the_list_of_experiments(copy, monkeypatch):
    page = copy.folder / "results/experiments/index.html"
    monkeypatch.chdir(copy.folder)
    before = page.read_text()
    assert "tiny/report/index.html" in before
    preflight.refresh_experiment_list()
    assert page.read_text() == before
    shutil.rmtree("results/experiments/tiny")
    preflight.refresh_experiment_list()
    assert "tiny/report/index.html" not in page.read_text()
    page.unlink()
    preflight.refresh_experiment_list()
    assert not page.exists()
