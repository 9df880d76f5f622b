"""The cost of the workflow itself: what jobs import, and how their memory grows."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from builders import Copy, write_dataset_record

from evaluation import controls
from evaluation.relevance import Relevance
from harness import plugins, storage
from harness.plan import Place, Plan
from harness.plugins import ROOT
from harness.records import FORMAT
from harness.variants import Catalogue
from methods.__main__ import distinct
from methods._runtime import rows_of, training_rows

WITHOUT_TORCH = """
import runpy, sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] != "torch", "torch is imported"


sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
METHODS = ["chance", "lsh", "pcah", "sh", "itq"]
PLAN = {
    "datasets": ["digits"],
    "features": ["pixels"],
    "methods": ["chance"],
    "controls": ["exact-l2"],
    "bits": [8],
    "seeds": [0],
}


def job(folder, *arguments, program=WITHOUT_TORCH):
    """Run a job of the workflow in a folder, without torch."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr}"


def test_jobs_without_networks_do_not_import_torch(tmp_path, monkeypatch):
    job(tmp_path, "datasets", "digits")
    job(tmp_path, "features", "extract", "digits", "pixels")
    job(tmp_path, "features", "neighbours", "digits", "pixels")
    for name in METHODS:
        job(
            tmp_path,
            "methods",
            "digits",
            "pixels",
            name,
            "8",
            "0",
            "--entry",
            Catalogue().resolve("methods", name).entry_text,
        )
    job(tmp_path, "evaluation", "score", "digits", "pixels", "chance", "--runs", "8:0")
    job(tmp_path, "evaluation", "score", "digits", "pixels", "exact-l2", "--runs", "0:0")
    monkeypatch.chdir(tmp_path)
    job(
        tmp_path, "experiments", "collect", "--plan", str(Plan.load(PLAN | {"variants": {}}).save())
    )
    job(tmp_path, "report")
    with pytest.raises(AssertionError, match="torch is imported"):
        job(tmp_path, "methods", "digits", "pixels", "bgan", "8", "0")


def test_no_timers_pile_up_while_jobs_run(tmp_path):
    """With a limit on jobs per second, Snakemake sets a timer whenever it looks at its jobs.

    Each timer makes it look again.
    """
    copy = Copy(tmp_path / "bgan-bench")
    copy.write(
        "Snakefile",
        (copy.folder / "Snakefile").read_text()
        + "\n\nonsuccess:\n    print('limit:', workflow.scheduler.job_rate_limiter)\n",
    )
    assert "limit: None" in copy.run("--until", "dataset")


def prepared(folder, n):
    """A data set without images, its features, and their descriptions."""
    place = Place("large", "given")
    data, features = folder / place.dataset_folder, folder / place.features_folder
    data.mkdir(parents=True)
    features.mkdir(parents=True)
    np.save(
        features / "features.npy",
        np.random.default_rng(0).standard_normal((n, 128), dtype=np.float32),
    )
    np.savez(
        data / "split.npz",
        query=np.arange(10),
        database=np.arange(10, n),
        train=np.arange(10, n, 50),
    )
    write_dataset_record(data)
    storage.write_json(features / "features.json", {"format": FORMAT, "made_of": {}, "sha256": ""})
    return folder


def test_memory_is_that_of_the_process_and_not_of_its_parent(tmp_path):
    filled = np.ones(2**26)  # 512 MiB
    job(
        tmp_path,
        program="from harness import provenance; assert provenance.peak_memory_mib() < 100",
    )
    program = (
        "from harness import provenance; array = bytearray(2**28); del array; "
        "assert 256 < provenance.peak_memory_mib() < 356"
    )
    job(tmp_path, program=program)
    assert filled.all()


def test_encoding_holds_a_block_of_features_and_the_codes(tmp_path):
    """100 MiB of features more are 6.4 MB of codes more, and what sorting them takes."""
    sizes = []
    for n in (10_000, 210_000):
        folder = prepared(tmp_path / str(n), n)
        job(folder, "methods", "large", "given", "lsh", "32", "0")
        sizes.append(
            json.loads((folder / "results/runs/large/given/lsh/32bit/seed0/run.json").read_text())[
                "peak_memory_mib"
            ]
        )
    assert sizes[1] - sizes[0] < 40


def test_linear_methods_are_fitted_on_a_sample_of_many_rows():
    train = np.arange(0, 600_000, 2)
    plugin = plugins.read_plugin("methods", "itq")
    limit = plugin.literals["sample"]
    rows = training_rows(train, limit, seed=3)
    assert len(rows) == limit == 200_000
    assert (np.diff(rows) > 0).all()
    assert np.isin(rows, train).all()
    np.testing.assert_array_equal(rows, training_rows(train, limit, seed=3))
    assert (rows != training_rows(train, limit, seed=4)).any()
    assert abs(rows.mean() - train.mean()) < 2000, "of all of them"
    np.testing.assert_array_equal(training_rows(train, None, seed=3), train)
    np.testing.assert_array_equal(training_rows(train[:1000], limit, seed=3), train[:1000])


def test_a_sample_is_for_methods_without_neighbours():
    """Neighbour lists are positions among all training rows."""
    for name in plugins.names("methods"):
        plugin = plugins.read_plugin("methods", name)
        assert not {"sample"} <= set(plugin.literals) or "neighbours" not in plugin.consumes


@pytest.mark.parametrize("bits", [1, 7, 8, 12, 64, 65, 130])
def test_distinct_codes_are_counted(bits):
    rng = np.random.default_rng(bits)
    codes = np.packbits(rng.random((300, bits)) < 0.5, axis=1)[rng.integers(0, 300, 500)]
    assert distinct(codes) == len({code.tobytes() for code in codes})


def test_rows_of_a_file_are_those_of_the_array():
    array = np.random.default_rng(0).integers(0, 255, (20_000, 3))
    rows = np.sort(np.random.default_rng(1).choice(20_000, 9_000, replace=False))
    np.testing.assert_array_equal(rows_of(lambda: array, rows), array[rows])


def test_controls_give_the_same_a_query_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    features, labels = rng.integers(0, 3, (90, 4)).astype(np.float32), rng.integers(0, 3, 90)
    relevance = Relevance.of(labels[:20], labels[20:])
    arrays = (
        "exact-l2",
        features[:20],
        features[20:],
        features[20:],
        relevance,
        lambda g, _: g.tolist(),
    )
    whole = controls.each_query(*arrays)
    monkeypatch.setattr(controls, "DISTANCES", 1)
    assert controls.each_query(*arrays) == whole
