"""What an edit recomputes: exactly the results that depend on it, whatever the times of files."""

import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from builders import TINY, Copy, jobs_of, rows_of

from harness import plugins, records, storage, user_data
from harness.errors import BenchmarkError
from harness.plan import Job, Plan
from harness.plugins import ROOT
from harness.stale import State

METHODS = ("chance", "pcah", "itq", "bgan-brief")
RUNS, SCORES = "results/runs/digits/pixels", "results/experiments/tiny/scores/digits/pixels"
FEATURES = "cache/features/digits/pixels"
OWN = """
data: given
features: [mine]
methods: [imported]
controls: [exact-l2]
bits: [8]
seeds: [0]
variants:
  features:
    mine: {of: file, set: {path: mine.npy}}
  methods:
    imported: {of: imported, set: {path: "codes-{bits}.npy"}}
"""
END = {("collect", ""), ("report", "")}
FEATURE_JOBS = {("features", ""), ("neighbours", "")}


def encodes(*names):
    return {("encode", name) for name in names}


def scores(*names):
    return {("score", name) for name in names}


CONTROLS = scores("exact-cosine", "exact-l2")
EVERYTHING = (
    {("dataset", "")} | FEATURE_JOBS | encodes(*METHODS) | scores(*METHODS) | CONTROLS | END
)


def merged(text):
    """Merge a file into the default configuration as Snakemake does: lists are replaced."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    return config | yaml.safe_load(text)


CONFIGS = {"tiny.yaml": merged(TINY), "own.yaml": merged(OWN)}


def forget():
    """Clear what the harness caches in a process: each comparison represents its own command."""
    for function in (
        records.source_digests,
        records.report_digests,
        plugins._tree_of,
        plugins._imported_modules,
    ):
        function.cache_clear()
    user_data._known_digests.cache_clear()


class Finished(Copy):
    """A copy of a finished project; `restore` undoes the edits made through it."""

    def __init__(self, folder):
        self.folder = folder
        self.saved = {}

    def path(self, name):
        """The path of a file that a test is about to change."""
        path = self.folder / name
        if name not in self.saved:
            self.saved[name] = (path.read_bytes(), path.stat()) if path.is_file() else None
        return path

    def restore(self):
        for name, saved in self.saved.items():
            if saved is None:
                (self.folder / name).unlink(missing_ok=True)
                continue
            content, status = saved
            (self.folder / name).write_bytes(content)
            os.utime(self.folder / name, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.saved = {}

    def edit(self, name, old, new):
        path = self.path(name)
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1))

    def append(self, name, text="\n_EDITED = 1\n"):
        path = self.path(name)
        path.write_text(path.read_text() + text)

    def edit_json(self, name, **changes):
        path = self.path(name)
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def command(self, *arguments, **options):
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("BGAN_BENCH")
        }
        environment |= {"PYTHONPATH": str(self.folder)}
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env=environment, **options
        )

    def stale(self, configfile="tiny.yaml", **changes):
        """Compare the results of a configuration, with some keys changed, with the present.

        Returns {(rule, variant or "")} of every outdated result, and the reasons on the screen.
        """
        forget()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(plugins, "ROOT", self.folder)
            try:
                state = State(Plan.load(CONFIGS[configfile] | changes, [configfile]))
                state.check()
                problems = [job for job in state.plan.jobs() if state.problem(job)]
            finally:
                forget()
        return {
            (job.rule, job.key[2] if job.rule in ("encode", "score") else "") for job in problems
        }, state.reasons()

    def plan(self, **changes):
        """The file of a plan as an argument of a job."""
        saves = (
            "import json, sys; from harness.plan import Plan; "
            "print(Plan.load(*json.loads(sys.stdin.read())).save())"
        )
        done = self.command(
            "-c", saves, input=json.dumps([CONFIGS["tiny.yaml"] | changes, ["tiny.yaml"]])
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def reruns(self, **options):
        """The jobs that Snakemake would run, without those that only wait for others."""
        self.printed = self.run("--dry-run", **options)
        return set(jobs_of(self.printed)) - {("all", ""), ("experiments", "")}


@pytest.fixture(scope="module")
def finished_project(finished, build_once):
    """The finished project, with the tables of a second experiment on files of the user."""

    def collect(folder):
        copy = Copy(folder, finished)
        (copy.folder / "given").mkdir()
        random = np.random.default_rng(0)
        np.save(copy.folder / "given/mine.npy", random.normal(size=(1797, 16)))
        np.save(copy.folder / "given/codes-8.npy", random.random((1797, 8)) < 0.5)
        copy.write("own.yaml", OWN)
        copy.run("collect", config="own.yaml")

    return build_once("stale", collect)


@pytest.fixture(scope="module")
def shared_project(finished_project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared") / "bgan-bench"
    shutil.copytree(finished_project, folder)
    return Finished(folder)


@pytest.fixture
def project(shared_project):
    """A project whose edited files are restored after the test. No workflow job may run in it."""
    yield shared_project
    shared_project.restore()


@pytest.fixture
def own_project(finished_project, tmp_path):
    """A copy of the project for one test, which may run jobs."""
    shutil.copytree(finished_project, tmp_path / "bgan-bench")
    return Finished(tmp_path / "bgan-bench")


FUTURE = time.time() + 10**6
TIMES = {"now": 0.0, "past": 10.0**9, "future": FUTURE}
ticks = itertools.count(1)


def set_time(path, when):
    """Set the time of a file, a different one at each call."""
    if when != "now":
        os.utime(path, (TIMES[when] - next(ticks),) * 2)


def test_results_are_current_when_the_workflow_has_ended(project):
    assert project.stale() == (set(), [])
    jobs, _ = project.stale("own.yaml")
    assert jobs == {("report", "")}, "only its tables were collected"


def test_a_comparison_reads_each_record_once_and_no_array(project, monkeypatch):
    """However many runs there are, and although most depend on the same data set and features."""
    monkeypatch.setattr(user_data, "SETTLED_SECONDS", -1)
    project.stale()  # reads once what is newer than its record: all files of a copy
    counts = Counter()
    read_bytes = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: counts.update([str(path)]) or read_bytes(path)
    )
    monkeypatch.setattr(storage, "digest", lambda path: pytest.fail(f"{path} was read"))
    assert project.stale() == (set(), [])
    records_read = {path: count for path, count in counts.items() if path.endswith(".json")}
    assert len(records_read) == 3 + 14 + 6 + 2, (
        "data set and features, runs, scores, tables and report"
    )
    assert set(records_read.values()) == {1}


# Each edit: file, text to replace (None: add a constant), replacement, jobs that rerun.
TABLE = {
    "a method": (
        "methods/itq.py",
        "iterations=50",
        "iterations=49",
        encodes("itq") | scores("itq") | END,
    ),
    "shared by two methods": (
        "methods/_pca.py",
        None,
        None,
        encodes("pcah", "itq") | scores("pcah", "itq") | END,
    ),
    "training": (
        "methods/_training.py",
        None,
        None,
        encodes("bgan-brief") | scores("bgan-brief") | END,
    ),
    "networks": (
        "harness/imagenet.py",
        None,
        None,
        encodes("bgan-brief") | scores("bgan-brief") | END,
    ),
    "base of methods": ("methods/_base.py", None, None, encodes(*METHODS) | scores(*METHODS) | END),
    "runtime of methods": (
        "methods/_runtime.py",
        None,
        None,
        encodes(*METHODS) | scores(*METHODS) | END,
    ),
    "a data set": (
        "datasets/digits.py",
        "QUERIES_PER_CLASS = 30",
        "QUERIES_PER_CLASS = 29",
        EVERYTHING,
    ),
    "runtime of data sets": ("datasets/_runtime.py", None, None, EVERYTHING),
    "an extractor": ("features/pixels.py", None, None, EVERYTHING - {("dataset", "")}),
    "runtime of features": ("features/_runtime.py", None, None, EVERYTHING - {("dataset", "")}),
    "neighbours": (
        "features/_neighbours.py",
        None,
        None,
        {("neighbours", "")} | encodes("bgan-brief") | scores("bgan-brief") | END,
    ),
    "a metric": ("evaluation/metrics.py", None, None, scores(*METHODS) | CONTROLS | END),
    "the scoring job": ("experiments/scoring.py", None, None, scores(*METHODS) | CONTROLS | END),
    "columns and arrays": ("harness/schemas.py", None, None, scores(*METHODS) | CONTROLS | END),
    "collected tables": ("experiments/collect.py", None, None, END),
    "statistics": ("experiments/statistics.py", None, None, END),
    "tests of differences": (
        "evaluation/significance.py",
        None,
        None,
        scores(*METHODS) | CONTROLS | END,
    ),
    "a report file": ("report/tables/build.py", None, None, {("report", "")}),
    "a template": ("report/templates/page.html.j2", None, None, {("report", "")}),
    "published values": ("report/published_values.csv", None, None, {("report", "")}),
    "another method": ("methods/lsh.py", None, None, set()),
    "another data set": ("datasets/cifar10.py", None, None, set()),
    "times": ("experiments/timing.py", None, None, set()),
    "files of the core": ("harness/records.py", None, None, set()),
    "the command": ("methods/__main__.py", None, None, set()),
}


class TestSources:
    @pytest.mark.parametrize("when", TIMES)
    def test_what_no_result_depends_on_recomputes_nothing(self, project, when):
        """Docstrings, comments, annotations and core imports of files that decide results."""
        for stage in ("methods", "features", "datasets", "evaluation", "experiments"):
            for path in (project.folder / stage).glob("*.py"):
                name = f"{stage}/{path.name}"
                project.append(name, "\n# A comment.\nimport storage\n_ANNOTATED: int\n")
                set_time(project.path(name), when)
        project.edit("methods/itq.py", '"""', '"""Edited. ')
        project.edit("methods/_training.py", "from __future__ import annotations\n", "")
        project.edit("harness/plan.py", "RESULTS", "# A comment.\nRESULTS")
        project.append("harness/storage.py")
        project.append("harness/stale.py")
        assert project.stale() == (set(), [])

    @pytest.mark.parametrize("when", TIMES)
    @pytest.mark.parametrize("edited", TABLE)
    def test_a_changed_constant_recomputes_exactly_its_dependants(self, project, edited, when):
        name, old, new, expected = TABLE[edited]
        if old:
            project.edit(name, old, new)
        else:
            project.append(name)
        set_time(project.path(name), when)
        jobs, reasons = project.stale()
        assert jobs == expected
        assert all(f"{name} changed" in reason for reason in reasons), reasons
        assert bool(reasons) == bool(expected)

    def test_the_reader_of_codes_recomputes_imported_codes(self, project):
        project.append("harness/imported_codes.py")
        assert project.stale() == (set(), [])
        jobs, reasons = project.stale("own.yaml")
        assert jobs == encodes("imported") | scores("imported") | END
        assert reasons == ["1 encode job (harness/imported_codes.py changed)"]

    def test_a_renamed_shared_module_counts(self, project):
        project.path("methods/_axes.py").write_bytes(
            (project.folder / "methods/_pca.py").read_bytes()
        )
        project.edit("methods/itq.py", "methods._pca", "methods._axes")
        jobs, reasons = project.stale()
        assert jobs == encodes("itq") | scores("itq") | END
        assert len(reasons) == 1

    def test_times_of_the_timing_job_count_for_it_and_the_report(self, own_project):
        """Its record is written by hand, since measuring takes long."""
        assert own_project.stale(timed=[8])[0] == END | {("timing", "")}
        write = (
            "import json, sys; from harness import records; "
            "from harness.plan import Plan, Job; from harness.stale import State\n"
            "plan = Plan.load(json.loads(sys.stdin.read()), ['tiny.yaml'])\n"
            "table, record = plan.outputs(Job('timing'))\n"
            "table.touch(); records.write(record, State(plan).made_of(Job('timing')), sha256={})"
        )
        done = own_project.command(
            "-c", write, input=json.dumps(CONFIGS["tiny.yaml"] | {"timed": [8]})
        )
        assert done.returncode == 0, done.stderr
        jobs, _ = own_project.stale(timed=[8])
        assert jobs == END, "tables and report state what is timed"
        own_project.append("experiments/timing.py")
        jobs, reasons = own_project.stale(timed=[8])
        assert jobs == END | {("timing", "")}
        assert "1 timing job (experiments/timing.py changed)" in reasons


class TestConfiguration:
    @pytest.mark.parametrize(
        ("stage", "entry", "expected", "reason"),
        [
            (
                "methods",
                {"itq": {"of": "itq", "set": {"iterations": 49}}},
                encodes("itq") | scores("itq") | END,
                "4 encode jobs (iterations was 50, now 49)",
            ),
            (
                "features",
                {"pixels": {"of": "pixels", "neighbours": "l2"}},
                {("neighbours", "")} | encodes("bgan-brief") | scores("bgan-brief") | END,
                "1 neighbours job (metric was centred-cosine, now l2)",
            ),
            (
                "methods",
                {"itq": {"of": "itq", "set": {"iterations": 50}}},
                END,
                "1 collect job (plan changed)",
            ),
            (
                "methods",
                {"itq": {"of": "itq", "label": "Mine", "note": "A note."}},
                END,
                "1 collect job (plan changed)",
            ),
        ],
    )
    def test_a_parameter_recomputes_its_dependants(self, project, stage, entry, expected, reason):
        """A label or a note recomputes tables only."""
        variants = CONFIGS["tiny.yaml"]["variants"]
        changed = variants | {stage: variants.get(stage, {}) | entry}
        assert project.stale(variants=changed) == (expected, [reason])

    def test_a_data_folder_and_a_cleared_key_recompute_nothing(self, project):
        assert project.stale(data="elsewhere") == (set(), [])

    def test_more_runs_recompute_no_existing_one(self, project):
        jobs, _ = project.stale(seeds=[0, 1, 2])
        assert (
            jobs
            == encodes("chance", "itq", "bgan-brief") | scores("chance", "itq", "bgan-brief") | END
        )
        assert project.stale(seeds=[0])[0] == scores("chance", "itq", "bgan-brief") | END

    def test_a_parameter_with_a_default_that_is_new_in_a_plugin_recomputes_its_results(
        self, project
    ):
        project.edit("methods/itq.py", "iterations=50", "iterations=50, rounds=2")
        jobs, reasons = project.stale()
        assert jobs == encodes("itq") | scores("itq") | END
        assert len(reasons) == 1


class TestOutputs:
    """Files that are not those that their records describe."""

    def test_changed_scores_are_recomputed(self, project):
        for name in ("metrics.csv", "histograms.npz"):
            path = project.path(f"{SCORES}/itq/{name}")
            path.write_bytes(path.read_bytes() + b"0")
            jobs, reasons = project.stale()
            assert jobs == scores("itq") | END
            assert reasons == [
                f"1 score job ({SCORES}/itq/{name} is not the file that score.json describes)"
            ]
            project.restore()

    @pytest.mark.parametrize(
        "name", ["metrics.csv", "runs.csv", "statistics.csv", "comparisons.csv"]
    )
    def test_changed_tables_are_recollected(self, project, name):
        project.append(f"results/experiments/tiny/{name}", "0\n")
        jobs, reasons = project.stale()
        assert jobs == END
        assert reasons == [
            f"1 collect job (results/experiments/tiny/{name} is not the file that "
            "experiment.json describes)"
        ]

    @pytest.mark.parametrize(
        "name", ["index.html", "report.tex", "tables/map.tex", "figures/overview.svg"]
    )
    def test_changed_and_missing_files_of_a_report_are_rewritten(self, project, name):
        name = f"results/experiments/tiny/report/{name}"
        project.append(name, " ")
        assert project.stale() == (
            {("report", "")},
            [f"1 report job ({name} is not the file that report.json describes)"],
        )
        project.path(name).unlink()
        jobs, reasons = project.stale()
        assert jobs == {("report", "")}
        assert reasons in ([f"1 report job ({name} is missing)"], []), (
            "an output of the rule has no reason"
        )

    def test_changed_codes_are_recomputed(self, project):
        path = project.path(f"{RUNS}/itq/8bit/seed1/codes.npz")
        stored = dict(np.load(path))
        np.savez(path, **stored | {"codes": ~stored["codes"]})
        jobs, reasons = project.stale()
        assert jobs == encodes("itq") | scores("itq") | END
        assert reasons == [
            f"1 encode job ({RUNS}/itq/8bit/seed1/codes.npz is not the file that "
            "run.json describes)"
        ]

    def test_codes_that_were_replaced_by_older_ones_are_recomputed(self, project):
        """As `cp -p` and `rsync --times` replace them."""
        path = project.path(f"{RUNS}/itq/8bit/seed1/codes.npz")
        stored = dict(np.load(path))
        np.savez(path, **stored | {"codes": ~stored["codes"]})
        os.utime(path, (10.0**9,) * 2)
        assert project.stale()[0] == encodes("itq") | scores("itq") | END

    def test_an_array_of_the_cache_that_was_replaced_by_an_older_one_is_refused(self, project):
        path = project.path(f"{FEATURES}/features.npy")
        np.save(path, -np.load(path))
        os.utime(path, (10.0**9,) * 2)
        with pytest.raises(BenchmarkError, match=r"features\.npy was changed after it was written"):
            project.stale()

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            (f"{RUNS}/itq/8bit/seed0/codes.npz", encodes("itq") | scores("itq") | END),
            (f"{RUNS}/itq/8bit/seed0/run.json", encodes("itq") | scores("itq") | END),
            (f"{RUNS}/itq/8bit/seed0/extras.npz", encodes("itq") | scores("itq") | END),
            (f"{SCORES}/exact-l2/score.json", scores("exact-l2") | END),
            ("cache/datasets/digits/labels.npy", EVERYTHING),
            (
                f"{FEATURES}/neighbours.npy",
                {("neighbours", "")} | encodes("bgan-brief") | scores("bgan-brief") | END,
            ),
            ("results/experiments/tiny/comparisons.csv", END),
            ("results/experiments/tiny/report/index.html", {("report", "")}),
        ],
    )
    def test_missing_files_are_recomputed(self, project, name, expected):
        project.path(name).unlink()
        assert project.stale() == (expected, [])

    @pytest.mark.parametrize("name", ["features.npy", "neighbours.npy"])
    def test_a_changed_array_of_the_cache_is_refused(self, project, name):
        path = project.path(f"{FEATURES}/{name}")
        content = bytearray(path.read_bytes())
        content[5000] ^= 1
        path.write_bytes(content)
        with pytest.raises(
            BenchmarkError, match=rf"^{FEATURES}/{name} was changed after it was written"
        ):
            project.stale()

    def test_an_array_of_the_cache_that_was_only_touched_recomputes_nothing(self, project):
        os.utime(project.path(f"{FEATURES}/features.npy"))
        assert project.stale() == (set(), [])

    def test_a_run_of_another_seed_is_not_taken(self, project):
        for name in ("codes.npz", "run.json", "extras.npz"):
            project.path(f"{RUNS}/itq/8bit/seed0/{name}").write_bytes(
                (project.folder / f"{RUNS}/itq/8bit/seed1/{name}").read_bytes()
            )
        jobs, reasons = project.stale()
        assert jobs == encodes("itq") | scores("itq") | END
        assert reasons == ["1 encode job (seed was 1, now 0)"]

    def test_other_labels_recompute_scores_and_no_run(self, project):
        """No method reads labels."""
        path = project.path("cache/datasets/digits/labels.npy")
        np.save(path, np.roll(np.load(path), 1))
        record = "cache/datasets/digits/dataset.json"
        digests = storage.read_json(project.folder / record)["sha256"] | {
            "labels.npy": storage.digest(path)
        }
        project.edit_json(record, sha256=digests)
        jobs, reasons = project.stale()
        assert jobs == scores(*METHODS) | CONTROLS | END
        assert reasons == ["6 score jobs (labels changed)"]


class TestRecords:
    @pytest.mark.parametrize(
        "name",
        [
            f"{RUNS}/itq/8bit/seed0/run.json",
            "cache/datasets/digits/dataset.json",
            f"{SCORES}/itq/score.json",
        ],
    )
    @pytest.mark.parametrize("found", [1, 3])
    def test_another_format_is_refused_in_one_line(self, project, name, found):
        path = project.path(name)
        record = json.loads(path.read_text())
        del record["format"]
        path.write_text(json.dumps(record if found == 1 else record | {"format": found}))
        with pytest.raises(BenchmarkError, match=rf"^{name} has format {found}, expected 2: "):
            project.stale()

    @pytest.mark.parametrize("text", ["{", "", "[]", "[" * 100_000, "null", "\x00"])
    def test_a_damaged_record_is_of_a_result_to_recompute(self, project, text):
        name = f"{RUNS}/itq/8bit/seed0/run.json"
        project.path(name).write_text(text)
        jobs, reasons = project.stale()
        assert jobs == encodes("itq") | scores("itq") | END
        assert len(reasons) == 1
        assert reasons[0].startswith(f"1 encode job ({name} ")

    @pytest.mark.parametrize(
        "name",
        [
            f"{RUNS}/itq/8bit/seed0/run.json",
            "cache/datasets/digits/dataset.json",
            f"{SCORES}/itq/score.json",
        ],
    )
    def test_a_record_without_facts_is_of_a_result_to_recompute(self, project, name):
        project.path(name).write_text('{"format": 2}')
        jobs, reasons = project.stale()
        assert jobs
        assert f"({name} does not state what it is made of)" in reasons[0]

    @pytest.mark.parametrize(
        "name",
        [
            f"{RUNS}/itq/8bit/seed0/run.json",
            "cache/datasets/digits/dataset.json",
            f"{FEATURES}/features.json",
        ],
    )
    def test_a_record_without_digests_is_of_a_result_to_recompute(self, project, name):
        record = json.loads(project.path(name).read_text())
        remaining = {
            key: value
            for key, value in record.items()
            if key not in ("sha256", "codes_sha256", "split_sha256")
        }
        project.path(name).write_text(json.dumps(remaining))
        jobs, reasons = project.stale()
        assert jobs
        assert f"({name} does not state the digests of its files)" in reasons[0]

    def test_a_parameter_that_is_none_and_not_recorded_is_the_same(self, project):
        name = f"{RUNS}/itq/8bit/seed0/run.json"
        made_of = json.loads((project.folder / name).read_text())["made_of"]
        project.edit_json(name, made_of=made_of | {"params": made_of["params"] | {"older": None}})
        assert project.stale()[0] <= END, "the bytes of the record alone have changed"

    def test_a_parameter_of_another_version_counts(self, project):
        name = f"{FEATURES}/features.json"
        made_of = json.loads((project.folder / name).read_text())["made_of"]
        project.edit_json(name, made_of=made_of | {"params": {"older": 1}})
        jobs, reasons = project.stale()
        assert jobs == EVERYTHING - {("dataset", "")}
        assert reasons == ["1 features job (older was 1, now not set)"]


class TestUserFiles:
    @pytest.fixture(autouse=True)
    def without_data_variable(self, monkeypatch):
        """The data folder of these tests is that of their configurations."""
        monkeypatch.delenv("BGAN_BENCH_DATA", raising=False)

    MINE = {("features", "")} | encodes("imported") | scores("imported", "exact-l2") | END

    def test_replaced_features_recompute_their_dependants(self, project):
        np.save(project.path("given/mine.npy"), np.zeros((1797, 16)))
        jobs, reasons = project.stale("own.yaml")
        assert jobs == self.MINE
        assert reasons == ["1 features job (mine.npy changed)"]

    def test_replaced_codes_recompute_their_run(self, project):
        np.save(project.path("given/codes-8.npy"), np.zeros((1797, 8), bool))
        jobs, reasons = project.stale("own.yaml")
        assert jobs == encodes("imported") | scores("imported") | END
        assert reasons == ["1 encode job (codes-8.npy changed)"]

    def test_a_replaced_file_of_the_same_size_and_time_counts(self, project):
        path = project.path("given/mine.npy")
        array, status = np.load(path), path.stat()
        np.save(path, -array)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert project.stale("own.yaml")[0] == self.MINE

    def test_a_moved_data_folder_recomputes_nothing(self, project, tmp_path):
        shutil.copytree(project.folder / "given", tmp_path / "moved", copy_function=shutil.copyfile)
        assert project.stale("own.yaml", data=str(tmp_path / "moved")) == project.stale("own.yaml")

    def test_other_content_of_the_variable_counts(self, project, tmp_path, monkeypatch):
        expected = project.stale("own.yaml")
        shutil.copytree(project.folder / "given", tmp_path / "other")
        monkeypatch.setenv("BGAN_BENCH_DATA", str(tmp_path / "other"))
        assert project.stale("own.yaml") == expected
        np.save(tmp_path / "other/mine.npy", np.zeros((1797, 16)))
        jobs, reasons = project.stale("own.yaml")
        assert (jobs, reasons) == (self.MINE, ["1 features job (mine.npy changed)"])

    def test_missing_files_of_finished_results_do_not_matter(self, project, tmp_path):
        assert project.stale("own.yaml", data=str(tmp_path / "missing")) == project.stale(
            "own.yaml"
        )

    @pytest.mark.parametrize(
        ("change", "counts"),
        [
            (lambda folder: os.utime(folder / "mirflickr/doc.txt", (1, 1)), False),
            (lambda folder: (folder / "mirflickr/doc.txt").write_text("b"), True),
            (lambda folder: (folder / "mirflickr/im1.jpg").write_bytes(b"12"), True),
            (lambda folder: os.utime(folder / "mirflickr/im1.jpg", (1, 1)), True),
            (lambda folder: (folder / "mirflickr/im2.jpg").write_bytes(b"1"), True),
            (shutil.rmtree, False),
        ],
    )
    def test_an_official_layout(self, tmp_path, monkeypatch, change, counts):
        """Lists count by content; images by name, size and time. The data are written by hand."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("BGAN_BENCH_DATA", raising=False)
        layout = tmp_path / "data/mirflickr25k"
        (layout / "mirflickr").mkdir(parents=True)
        (layout / "mirflickr/im1.jpg").write_bytes(b"1")
        (layout / "mirflickr/doc.txt").write_text("a")
        plan = Plan.load(
            CONFIGS["tiny.yaml"] | {"datasets": ["mirflickr-24"], "variants": {}, "methods": []}
        )
        job = Job("dataset", ("mirflickr-24",))
        *arrays, record = plan.outputs(job)
        record.parent.mkdir(parents=True)
        for path in arrays:
            path.touch()
        digests = {path.name: storage.digest(path) for path in arrays}
        records.write(
            record,
            records.of_dataset(plan.datasets["mirflickr-24"], tmp_path / "data"),
            sha256=digests,
            split_sha256="",
        )
        assert State(plan).problem(job) == ""
        change(layout)
        assert State(plan).problem(job) == ("mirflickr25k changed" if counts else "")


class TestSnakemake:
    """What Snakemake would run, by dry runs: it knows times of files and, in .snakemake, more."""

    EDITED = encodes("itq") | scores("itq") | END

    def edit(self, project):
        project.edit("methods/itq.py", "iterations=50", "iterations=49")

    @pytest.mark.parametrize("when", ["past", "future"])
    def test_times_of_sources_do_not_count(self, own_project, when):
        """And the screen states why results are recomputed."""
        own_project.append("methods/_pca.py")
        for name in ("methods/_pca.py", "datasets/digits.py", "datasets/_base.py"):
            set_time(own_project.folder / name, when)
        started = time.time()
        assert own_project.reruns() == encodes("pcah", "itq") | scores("pcah", "itq") | END
        assert "out of date: 6 encode jobs (methods/_pca.py changed)\n" in own_project.printed
        stamp, record = (
            own_project.folder / "cache/stamp",
            own_project.folder / f"{RUNS}/itq/8bit/seed0/run.json",
        )
        assert record.stat().st_mtime < stamp.stat().st_mtime < started, (
            "outputs of another command may be newer"
        )

    def test_a_data_set_that_may_be_the_same_is_recomputed_first_as_the_screen_advises(
        self, own_project
    ):
        own_project.append("datasets/digits.py")
        assert encodes("itq") <= own_project.reruns()
        target = "cache/datasets/digits/dataset.json"
        advice = re.search(
            r"(\d+) finished runs depend on this\. .* first run `snakemake (.*)`",
            own_project.printed,
        )
        assert advice[1] == str(len(list((own_project.folder / RUNS).rglob("run.json"))))
        assert advice[2].split()[0] == target
        own_project.run(target)
        assert not any(job == "encode" for job, _ in own_project.reruns())
        assert "finished runs depend" not in own_project.printed

    def test_after_touch(self, own_project):
        self.edit(own_project)
        own_project.run("--touch")
        assert own_project.reruns() == self.EDITED

    def test_without_the_memory_of_snakemake(self, own_project):
        shutil.rmtree(own_project.folder / ".snakemake")
        self.edit(own_project)
        assert own_project.reruns() == self.EDITED

    def test_a_killed_snakemake_whose_job_went_on(self, own_project):
        """Outputs are incomplete until Snakemake sees their job end.

        A finished run stays, and its new scores are computed.
        """
        for name in ("codes.npz", "extras.npz", "run.json"):
            output = f"{RUNS}/itq/8bit/seed0/{name}"
            (
                own_project.folder
                / ".snakemake/incomplete"
                / base64.b64encode(output.encode()).decode()
            ).touch()
        own_project.append("evaluation/metrics.py")
        assert own_project.reruns() == scores(*METHODS) | CONTROLS | END

    def test_another_text_of_a_shell_command(self, own_project):
        own_project.replace(
            "Snakefile",
            "python -m report {params.root} --threads",
            "python -m report {params.root}  --threads",
        )
        own_project.append("report/tables/build.py")
        assert own_project.reruns() == {("report", "")}

    def test_triggers_of_snakemake_decide_nothing(self, own_project):
        self.edit(own_project)
        printed = own_project.run("--dry-run", "--rerun-triggers", "code", "params")
        assert set(jobs_of(printed)) - {("all", ""), ("experiments", "")} == self.EDITED

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (("--forcerun", "encode"), encodes(*METHODS) | scores(*METHODS) | END),
            (
                ("--forcerun", f"{RUNS}/itq/8bit/seed0/run.json"),
                encodes("itq") | scores("itq") | END,
            ),
            (("--forceall",), EVERYTHING),
        ],
        ids=["a rule", "a file", "all"],
    )
    def test_options_rerun_what_depends_on_the_jobs_that_they_force(
        self, own_project, options, expected
    ):
        assert (
            set(jobs_of(own_project.run("--dry-run", *options)))
            - {("all", ""), ("experiments", "")}
            == expected
        )

    def test_after_the_checkout_of_another_commit_and_back(self, own_project):
        def git(*arguments):
            identity = (
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@example.org",
                "-c",
                "commit.gpgsign=false",
            )
            subprocess.run(
                ["git", *identity, *arguments],
                cwd=own_project.folder,
                check=True,
                capture_output=True,
            )

        (own_project.folder / ".gitignore").write_text(
            "cache\nlogs\nresults\n.snakemake\n__pycache__\n"
        )
        git("init", "-q", "-b", "first")
        git("add", "-A")
        git("commit", "-q", "-m", "First")
        git("checkout", "-q", "-b", "second")
        self.edit(own_project)
        git("commit", "-q", "-a", "-m", "Second")
        assert own_project.reruns() == self.EDITED
        git("checkout", "-q", "first")
        assert "Nothing to be done" in own_project.run("--dry-run")

    def test_a_project_copied_with_times_recomputes_nothing(self, own_project):
        assert "Nothing to be done" in own_project.run("--dry-run")

    def test_a_project_copied_without_times_recomputes_nothing(self, finished_project, tmp_path):
        shutil.copytree(finished_project, tmp_path / "copied", copy_function=shutil.copyfile)
        assert "Nothing to be done" in Finished(tmp_path / "copied").run("--dry-run")

    def test_missing_user_files_of_finished_results(self, own_project):
        shutil.rmtree(own_project.folder / "given")
        assert "Nothing to be done" in own_project.run("collect", config="own.yaml")

    def test_an_older_format_is_refused_before_any_work(self, own_project):
        path = own_project.folder / f"{RUNS}/itq/8bit/seed0/run.json"
        record = json.loads(path.read_text())
        del record["format"]
        path.write_text(json.dumps(record))
        done = own_project.snakemake()
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(
            f"config: {RUNS}/itq/8bit/seed0/run.json has format 1, expected 2: "
        )
        assert "Traceback" not in done.stderr
        assert "rule " not in done.stderr


class TestReruns:
    """Reruns to the end."""

    def test_stale_outputs_from_the_future_rerun_and_nothing_else(self, own_project):
        """A source older than all results, and results newer than the clock."""
        own_project.edit("methods/itq.py", "iterations=50", "iterations=49")
        set_time(own_project.folder / "methods/itq.py", "past")
        for path in own_project.folder.glob("results/**/*"):
            os.utime(path, (FUTURE, FUTURE))
        codes = list(own_project.folder.glob("results/runs/**/codes.npz"))
        before = {path: path.stat().st_ino for path in codes}
        own_project.run("collect")
        after = {path: path.stat().st_ino for path in codes}
        changed = {
            path.relative_to(own_project.folder / RUNS).parts[0]
            for path in codes
            if before[path] != after[path]
        }
        assert changed == {"itq"}
        recorded = storage.read_json(own_project.folder / f"{RUNS}/itq/8bit/seed0/run.json")[
            "made_of"
        ]["params"]
        assert recorded == {"iterations": 49}
        jobs, _ = own_project.stale()
        assert jobs == {("report", "")}

    def test_two_experiments_run_alternately(self, own_project):
        """Runs are shared, outputs are not: the second time both have nothing to do."""
        other = yaml.safe_load(TINY) | {
            "methods": ["pcah"],
            "bits": [8],
            "seeds": [0],
            "controls": [],
        }
        own_project.write("other.yaml", yaml.safe_dump(other))
        assert own_project.reruns(config="other.yaml") == scores("pcah") | END
        own_project.run("collect", config="other.yaml")
        for config in ("tiny.yaml", "other.yaml"):
            assert "Nothing to be done" in own_project.run("collect", "--dry-run", config=config)
        assert {
            row["bits"]
            for row in rows_of(own_project.folder / "results/experiments/other/metrics.csv")
        } == {"8"}
        assert {
            row["bits"] for row in rows_of(own_project.folder / "results/experiments/tiny/runs.csv")
        } == {"8", "12"}

    def test_a_deleted_array_of_the_cache_is_recomputed_and_nothing_else(self, own_project):
        """As the message on a damaged one advises."""
        path = own_project.folder / FEATURES / "features.npy"
        content = path.read_bytes()
        path.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
        failed = own_project.snakemake("collect")
        assert failed.returncode != 0
        name = path.relative_to(own_project.folder).as_posix()
        assert f"{name} was changed after it was written" in failed.stderr
        assert f"Delete it and rerun the command with {name} as the target" in failed.stderr
        path.unlink()
        own_project.run(name)
        assert path.read_bytes() == content
        assert own_project.stale()[0] == END, "the record of the features has a new date"


class TestTables:
    """Nothing stale is ever shown: `collect` refuses it, and `partial` shows it as missing."""

    def collect(self, project, **changes):
        return project.command("-m", "experiments", "collect", "--plan", project.plan(**changes))

    def partial(self, project, **changes):
        """Return the variants in the partial tables, and the message on each one's runs."""
        done = project.command("-m", "experiments", "partial", "--plan", project.plan(**changes))
        assert done.returncode == 0, done.stderr
        values, runs = (
            rows_of(project.folder / f"results/experiments/tiny/partial/{name}.csv")
            for name in ("metrics", "runs")
        )
        return {row["variant"] for row in values}, {row["variant"]: row["message"] for row in runs}

    @pytest.mark.parametrize(
        ("edited", "first", "reason"),
        [
            (
                "methods/itq.py",
                f"{RUNS}/itq/8bit/seed0/run.json",
                "methods/itq.py changed (and 4 more)",
            ),
            (
                "evaluation/metrics.py",
                f"{SCORES}/exact-cosine/score.json",
                "evaluation/metrics.py changed (and 5 more)",
            ),
        ],
    )
    def test_stale_results_are_not_collected(self, project, edited, first, reason):
        project.append(edited)
        done = self.collect(project)
        assert done.returncode == 1
        assert done.stderr.startswith(
            f"experiments: {first}: {reason}: rerun `snakemake --cores all`"
        )
        assert done.stderr.count("\n") == 1

    def test_partial_tables_show_nothing_stale(self, own_project):
        few = {
            "methods": ["pcah", "bgan-brief"],
            "controls": ["exact-l2"],
            "bits": [8],
            "seeds": [0],
        }
        assert self.partial(own_project, **few) == (
            {"pcah", "bgan-brief", "exact-l2"},
            {"pcah": "", "bgan-brief": ""},
        )
        own_project.append("features/_neighbours.py")
        shown, messages = self.partial(own_project, **few)
        assert shown == {"pcah", "exact-l2"}
        assert messages["pcah"] == ""
        assert "features/_neighbours.py changed" in messages["bgan-brief"]
        own_project.append("features/pixels.py")
        shown, messages = self.partial(own_project, **few)
        assert shown == set()
        assert all("features/pixels.py changed" in message for message in messages.values())

    def test_a_run_trained_by_hand_is_current(self, own_project):
        """Without the option --entry, a run has the default parameters, as in a plan."""
        done = own_project.command("-m", "methods", "digits", "pixels", "itq", "8", "0")
        assert done.returncode == 0, done.stderr
        assert own_project.stale()[0] <= END
