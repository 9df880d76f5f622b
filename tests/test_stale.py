"""Results that are not of the present code, data, features or parameters: each is refused by name, or made anew."""

import json
import os
import shutil
import subprocess
import sys

import experiments
import numpy as np
import pytest
import yaml
from builders import Copy, rows_of

import storage
from evaluation import METRIC_VERSION

CONFIG = {"methods": ["itq", "near"], "bits": [8], "seeds": [0], "controls": ["exact-l2"]}
NEAR = """from methods._base import Hasher


class Near(Hasher):
    label, citation, uses_gpu = "Near", None, False

    def __init__(self, n_bits):
        self.n_bits = n_bits

    def fit(self, features, neighbours):
        self.pair_ = features[neighbours[: self.n_bits, 0]] - features[neighbours[self.n_bits : 2 * self.n_bits, 1]]
        return self

    def encode(self, features):
        return features @ self.pair_.T >= 0
"""
ITQ = "results/runs/digits/pixels/itq/8bit/seed0"
SCORES = "results/scores/digits/pixels"


class Collected(Copy):
    """A copy of the project with results, whose tables can be collected without Snakemake, which knows what made them."""

    def __init__(self, folder):
        self.folder = folder

    def command(self, *arguments):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BGAN_BENCH")}
        environment["PYTHONPATH"] = str(self.folder)
        return subprocess.run([sys.executable, "-m", *arguments], cwd=self.folder, capture_output=True, text=True, env=environment)

    def collect(self, **changes):
        """What `collect` says of the results, for a plan with some keys changed."""
        config = yaml.safe_load((self.folder / "config/config.yaml").read_text()) | CONFIG | {"variants": {}}
        return self.command("evaluation", "collect", "--plan", experiments.plan_text(config | changes))

    def partial(self, **changes):
        """The variants and controls that have values in the tables that `partial` makes, and what these say of the run of each variant."""
        config = yaml.safe_load((self.folder / "config/config.yaml").read_text()) | CONFIG | {"variants": {}}
        done = self.command("evaluation", "partial", "--plan", experiments.plan_text(config | changes))
        assert done.returncode == 0, done.stderr
        values, runs = (rows_of(self.folder / f"results/partial/{name}.csv") for name in ("metrics", "runs"))
        return {row["variant"] for row in values}, {row["variant"]: row["message"] for row in runs}

    def append(self, name, text="\n_EDITED = 1\n"):
        path = self.folder / name
        path.write_text(path.read_text() + text)

    def change_json(self, name, **changes):
        path = self.folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def made(build_once):
    def collect(folder):
        copy = Copy(folder)
        copy.write("methods/near.py", NEAR)
        copy.write("stale.yaml", yaml.safe_dump(CONFIG))
        copy.run("collect", config="stale.yaml")

    return build_once("stale", collect)


@pytest.fixture
def project(made, tmp_path):
    shutil.copytree(made, tmp_path / "bgan-bench")  # times of files too
    return Collected(tmp_path / "bgan-bench")


def test_results_that_are_current_are_collected(project):
    done = project.collect()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("edited", "refused", "again"),
    [
        ("methods/itq.py", f"{ITQ} was made with other sources than now: methods/itq.py was", f"{ITQ}/codes.npz"),
        ("methods/_pca.py", f"{ITQ} was made with other sources than now: methods/_pca.py was", f"{ITQ}/codes.npz"),
        (
            "datasets/digits.py",
            "dataset.json was made with other sources than now: datasets/digits.py",
            "cache/datasets/digits/dataset.json",
        ),
        ("features/pixels.py", "features.json was made with other sources", "cache/features/digits/pixels/features.json"),
        ("features/_neighbours.py", "neighbours.json was made with other sources", "cache/features/digits/pixels/neighbours.json"),
        ("evaluation/metrics.py", f"{SCORES}/exact-l2 was scored with other sources than now: evaluation/metrics.py was", "score.json"),
    ],
)
def test_other_sources_are_refused(project, edited, refused, again):
    project.append(edited)
    done = project.collect()
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert refused in done.stderr
    assert "; add `--forcerun " in done.stderr
    assert again in done.stderr


def another_split(project):
    project.replace("datasets/digits.py", "QUERIES_PER_CLASS = 30", "QUERIES_PER_CLASS = 29")
    assert project.command("datasets", "digits").returncode == 0


def other_labels(project):
    """Labels alone: no method reads them, but scores do."""
    path = project.folder / "cache/datasets/digits/labels.npy"
    np.save(path, np.roll(np.load(path), 1))
    described = json.loads(path.with_name("dataset.json").read_text())
    files = described["sha256"] | {"labels.npy": storage.digest(path)}
    project.change_json("cache/datasets/digits/dataset.json", sha256=files)


def other_features(project):
    project.replace("features/pixels.py", "np.float32(255)", "np.float32(254)")
    for job in ("extract", "neighbours"):
        assert project.command("features", job, "digits", "pixels").returncode == 0


def other_metrics(project):
    project.replace("evaluation/__init__.py", f"METRIC_VERSION = {METRIC_VERSION}", f"METRIC_VERSION = {METRIC_VERSION + 1}")


def other_codes(project):
    path = project.folder / ITQ / "codes.npz"
    stored = dict(np.load(path))
    np.savez(path, **stored | {"codes": ~stored["codes"]})


def another_seeds_folder(project):
    shutil.copytree(project.folder / ITQ, project.folder / ITQ.replace("itq", "near"), dirs_exist_ok=True)


def an_older_record(project):
    path = project.folder / ITQ / "run.json"
    record = json.loads(path.read_text())
    del record["sources"]
    path.write_text(json.dumps(record))


def half_a_record(project):
    path = project.folder / ITQ / "run.json"
    path.write_text(path.read_text()[:100])


def an_older_score(project):
    project.change_json(f"{SCORES}/itq/score.json", inputs={})


def an_older_data_set(project):
    path = project.folder / "cache/datasets/digits/dataset.json"
    record = json.loads(path.read_text())
    del record["sources"]
    path.write_text(json.dumps(record))


def no_codes(project):
    (project.folder / ITQ / "codes.npz").unlink()


@pytest.mark.parametrize(
    ("edit", "refused"),
    [
        (another_split, "was made with other dataset than now: "),
        (other_labels, f"{ITQ} was made with other dataset than now: labels.npy was"),
        (other_features, f"{ITQ} was made with other features than now: sha256 was"),
        (other_metrics, f"{SCORES}/exact-l2 was scored by version {METRIC_VERSION} of the metrics, now {METRIC_VERSION + 1}"),
        (other_codes, f"{ITQ}/codes.npz is not the file that was made"),
        (another_seeds_folder, "near/8bit/seed0 was made with other run than now: variant was itq, now near"),
        (an_older_record, f"{ITQ} was made by an older version of bgan-bench: it does not say its sources"),
        (an_older_score, f"{SCORES}/itq was scored with other inputs than now: labels.npy was None"),
        (an_older_data_set, "dataset.json was made by an older version of bgan-bench: it does not say its sources"),
        (half_a_record, f"{ITQ}/run.json is damaged"),
        (no_codes, f"{ITQ} has no codes.npz"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_other_data_and_records_are_refused(project, edit, refused):
    edit(project)
    done = project.collect()
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert refused in done.stderr
    assert "anew" in done.stderr or "again" in done.stderr


def test_a_run_made_by_hand_without_settings_has_those_of_a_plan(project):
    done = project.command("methods", "digits", "pixels", "itq", "8", "0")
    assert done.returncode == 0, done.stderr
    assert project.collect().returncode == 0


def test_a_keyword_that_is_newer_than_the_results_and_not_given_is_no_other_parameter(project):
    for name in ("cache/features/digits/pixels/features.json", f"{ITQ}/run.json"):
        record = storage.read_json(project.folder / name)
        of_features = record.get("features", record)
        of_features["settings"]["set"]["older"] = None
        storage.write_json(project.folder / name, record)
    done = project.collect()
    assert done.returncode == 0, done.stderr


def test_a_keyword_that_another_version_had_is_refused(project):
    settings = storage.read_json(project.folder / "cache/features/digits/pixels/features.json")["settings"]
    project.change_json("cache/features/digits/pixels/features.json", settings=settings | {"set": {"older": 1}})
    assert "with other settings than now: older was 1, now None" in project.collect().stderr


def test_other_parameters_are_refused(project):
    entry = {"of": "itq", "set": {"iterations": 49}}
    done = project.collect(variants={"methods": {"itq": entry}})
    assert f"{ITQ} was made with other keywords than now: iterations was 50, now 49" in done.stderr
    near = {"of": "pixels", "neighbours": "l2"}
    done = project.collect(variants={"features": {"pixels": near}})
    assert "neighbours.json was made with other metric than now: it was centred-cosine, now l2" in done.stderr


def test_partial_tables_show_nothing_of_data_or_features_made_otherwise(project):
    assert project.partial() == ({"itq", "near", "exact-l2"}, {"itq": "", "near": ""})
    near = {"of": "pixels", "neighbours": "l2"}
    shown, said = project.partial(variants={"features": {"pixels": near}})
    assert shown == {"itq", "exact-l2"}
    assert "neighbours.json was made with other metric than now" in said["near"]
    project.append("features/pixels.py")
    shown, said = project.partial()
    assert shown == set()
    assert all("features.json was made with other sources than now: features/pixels.py" in message for message in said.values())


def test_a_control_is_held_against_its_features(project):
    other_features(project)
    done = project.collect(methods=[])
    assert f"{SCORES}/exact-l2 was scored with other features than now" in done.stderr


@pytest.mark.parametrize(
    ("edited", "first"), [("methods/_pca.py", "encode"), ("datasets/digits.py", "dataset"), ("evaluation/metrics.py", "score")]
)
def test_without_what_snakemake_knows_edited_sources_run_again(project, edited, first):
    shutil.rmtree(project.folder / ".snakemake")
    project.append(edited)
    planned = {rule for rule, _ in project.planned(config="stale.yaml")}
    order = ("dataset", "features", "neighbours", "encode", "score", "collect")
    assert planned >= set(order[order.index(first) :])
    assert not planned & set(order[: order.index(first)])


def test_a_damaged_cache_file_is_found_before_anything_is_lost_and_made_anew(project):
    before = {path: path.read_bytes() for path in project.folder.glob("results/**/*") if path.is_file()}
    path = project.folder / "cache/features/digits/pixels/features.npy"
    name, whole = path.relative_to(project.folder).as_posix(), path.read_bytes()
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    failed = project.snakemake("collect", config="stale.yaml")
    assert failed.returncode != 0
    assert f"{name} was damaged since it was made (its SHA-256 is" in failed.stdout + failed.stderr
    assert {path: path.read_bytes() for path in before} == before
    path.unlink()
    project.run(name, config="stale.yaml")
    assert path.read_bytes() == whole
    project.run("collect", "--touch", config="stale.yaml")
    assert "Nothing to be done" in project.run("collect", "--dry-run", config="stale.yaml")
    done = project.collect()
    assert done.returncode == 0, done.stderr


def test_a_cache_file_that_was_only_touched_makes_nothing_anew(project):
    os.utime(project.folder / "cache/features/digits/pixels/features.npy")
    assert "Nothing to be done" in project.run("collect", "--dry-run", config="stale.yaml")
