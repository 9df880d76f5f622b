"""The commands that list, describe, begin and delete."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from datasets import _base
from experiments import __main__ as command
from experiments import catalogue, clean, new_dataset
from harness import plugins
from harness.errors import BenchmarkError
from harness.plan import Run
from harness.plugins import ROOT
from harness.user_data import DATA_VARIABLE


@pytest.fixture
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("stage", ["methods", "datasets", "features"])
def test_every_plugin_has_one_line(in_root, stage):
    lines = catalogue.lines([stage])
    assert [line.split()[0] for line in lines] == ["NAME", *plugins.names(stage)]


def test_every_kind_can_be_listed_and_every_name_described(in_root):
    assert set(command.KINDS) == set(catalogue.KINDS)
    for kind in ("protocols", "variants", "experiments", "published"):
        for line in catalogue.lines([kind])[1:4]:
            name = line.split()[0]
            assert catalogue.description(name)[0].startswith(f"{name}: ")


def test_an_experiment_that_cannot_be_used_does_not_hide_the_others(in_root, tmp_path, monkeypatch):
    broken = tmp_path / "mine.yaml"
    broken.write_text("methods: [itq.tuned-elsewhere]\n")
    shipped = catalogue._experiments()
    monkeypatch.setattr(catalogue, "_experiments", lambda: {"mine": broken} | shipped)
    lines = catalogue.lines(["experiments"])
    assert len(lines) == len(shipped) + 2
    assert "config/tuned/elsewhere.json has no parameters that were chosen for itq" in lines[1]


def test_a_line_states_whether_the_files_are_there(in_root, tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))

    def state():
        lines = catalogue.lines(["features"])
        return next(line for line in lines if line.startswith("vgg19_fc7 "))

    assert re.search(r"weights/vgg19-dcbb9e9d\.pth.*  missing$", state())
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/vgg19-dcbb9e9d.pth").touch()
    assert state().endswith("  present")


def test_weights_of_an_installed_package_are_present(in_root, tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))

    def state():
        lines = catalogue.lines(["features"])
        return next(line for line in lines if line.startswith("efficientnet_lite0_pool "))

    assert state().endswith("  present")
    monkeypatch.setattr(catalogue.importlib.util, "find_spec", lambda name: None)
    assert state().endswith("  missing")


def test_a_description_has_the_parameters_and_the_needs(in_root):
    text = "\n".join(catalogue.description("bgan-tanh"))
    assert " * betas: [1.0]" in text
    assert "   epochs: " in text
    assert "Source:" in text  # of the docstring
    assert "Needs: features, images, neighbours" in text
    assert "snakemake --cores all --configfile config/ablations.yaml" in "\n".join(
        catalogue.description("ablations")
    )
    with pytest.raises(BenchmarkError, match=r"'bgn' is unknown \(did you mean 'bgan'"):
        catalogue.description("bgn")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Files of two methods in two experiments."""
    monkeypatch.chdir(tmp_path)
    for name in ("itq", "itq.trial1"):
        run = Run("digits", "pixels", name, 8, 0)
        for path in (run.codes, run.log):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"12345")
        for root in (Path("results"), Path("results/experiments/small")):
            scores = root / "scores/digits/pixels" / name
            scores.mkdir(parents=True)
            (scores / "metrics.csv").write_bytes(b"123")
    for path in ("results/metrics.csv", "results/published/digits/map.tex", "cache/a/b"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("x")
    return tmp_path


def files():
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def test_cleaning_a_method_deletes_its_runs_scores_and_logs_only(results):
    before = files()
    dry = clean.clean("itq", dry_run=True)
    assert files() == before
    assert dry[-1] == "would free 16 bytes"
    done = clean.clean("itq")
    assert done[:-1] == dry[:-1]
    deleted = before - files()
    assert len(deleted) == 4
    assert all("/itq/" in path for path in deleted)
    with pytest.raises(BenchmarkError, match="no results of 'itq'"):
        clean.clean("itq")


def test_cleaning_an_experiment_keeps_the_runs(results):
    before = files()
    clean.clean("small")
    assert before - files() == {path for path in before if "experiments/small" in path}
    clean.clean("default")
    left = files()
    assert not any(path.startswith(("results/scores", "results/metrics")) for path in left)
    assert {path for path in before if path.startswith(("results/runs", "results/pub"))} <= left


def test_cleaning_the_cache_follows_no_link(results):
    outside = results / "outside"
    outside.mkdir()
    (outside / "file").touch()
    Path("cache/link").symlink_to(outside)
    clean.clean("cache")
    assert list(Path("cache").iterdir()) == []
    assert (outside / "file").exists()


@pytest.mark.parametrize("name", ["..", "../outside", "*", "runs", "published", ""])
def test_nothing_else_is_deleted(results, name):
    before = files()
    with pytest.raises(BenchmarkError, match="expected a method"):
        clean.clean(name)
    assert files() == before


def test_nothing_is_deleted_while_a_command_runs_or_where_a_name_is_ambiguous(results):
    Path("results/experiments/itq").mkdir()
    with pytest.raises(BenchmarkError, match="both a method and an experiment"):
        clean.clean("itq")
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.input.lock").touch()
    with pytest.raises(BenchmarkError, match="command is running"):
        clean.clean("small")
    assert clean.clean("small", dry_run=True)


def test_a_new_data_set_follows_the_contract(tmp_path):
    path = new_dataset.write("my_birds", tmp_path)
    spec = importlib.util.spec_from_file_location("my_birds", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dataset = module.MyBirds(training_images=30)
    with pytest.raises(BenchmarkError, match=r"My birds: .*images.npy, .*labels.npy missing"):
        dataset.load(tmp_path, tmp_path)

    (tmp_path / "my_birds").mkdir()
    classes = np.array(["owl", "tit", "jay"])[np.arange(90) % 3]
    np.save(tmp_path / "my_birds/images.npy", np.zeros((90, 4, 4, 3), np.uint8))
    np.save(tmp_path / "my_birds/labels.npy", classes)
    collection = dataset.load(tmp_path, tmp_path)
    _base.check(collection, "my_birds")
    sizes = (len(collection.query), len(collection.database), len(collection.train))
    assert sizes == (30, 60, 30)


def test_the_source_of_a_new_data_set_is_a_plugin(tmp_path, monkeypatch):
    (tmp_path / "datasets").mkdir()
    shutil.copy(ROOT / "datasets/_base.py", tmp_path / "datasets")
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    new_dataset.write("birds", tmp_path / "datasets")
    plugin = plugins.read_plugin("datasets", "birds")
    assert (plugin.label, plugin.member("reads")) == ("Birds", ("birds",))


@pytest.mark.parametrize("name", ["Birds", "my-birds", "1st", "_birds", "class", "a/b", ""])
def test_a_name_that_no_data_set_can_have_is_refused(tmp_path, name):
    with pytest.raises(BenchmarkError, match="expected lower-case letters"):
        new_dataset.write(name, tmp_path)


def test_a_file_is_not_overwritten(tmp_path):
    new_dataset.write("birds", tmp_path)
    with pytest.raises(BenchmarkError, match="exists"):
        new_dataset.write("birds", tmp_path)


def test_make_help_has_a_line_for_every_target():
    text = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    # The suite itself often runs under make, which would report the folders it enters and leaves.
    command = ["make", "--no-print-directory", "help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert {line.split()[1] for line in done.stdout.splitlines()} == set(targets)
