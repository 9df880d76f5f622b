"""The whole workflow on a copy of the project, with and without failures.

test_stale.py tests which jobs rerun.
"""

import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from builders import PARITY, TINY, Copy, rows_of

from experiments import search_spaces
from harness import configuration
from harness.plan import Plan
from harness.plugins import ROOT

END = [("all", ""), ("collect", ""), ("experiments", ""), ("report", "")]
TABLES = "results/experiments/tiny"
SCORES = [
    ("score", name) for name in ("chance", "pcah", "itq", "bgan-brief", "exact-cosine", "exact-l2")
]


def test_it_writes_tables_and_a_report(finished):
    rows = rows_of(finished / TABLES / "metrics.csv")
    assert {row["variant"] for row in rows} == {
        "chance",
        "pcah",
        "itq",
        "bgan-brief",
        "exact-cosine",
        "exact-l2",
    }
    runs = rows_of(finished / TABLES / "runs.csv")
    assert len(runs) == 2 * (2 + 1 + 2 + 2)
    assert {row["status"] for row in runs} == {"done"}
    assert {(row["method"], row["encoder"], row["weights"]) for row in runs} >= {
        ("itq", "pixels", ""),
        ("bgan", "conv", ""),
    }
    page = (finished / TABLES / "report/index.html").read_text()
    assert "BGAN, 1 epoch" in page
    assert list((finished / TABLES / "report/tables").glob("*.tex"))
    assert not list(finished.rglob("*.part*"))


def test_a_second_run_does_nothing(copy):
    assert "Nothing to be done" in copy.run("--dry-run")


def test_snakemakes_own_report_has_page_tables_and_figures_with_captions(copy):
    copy.run("--report", "report.zip")
    with zipfile.ZipFile(copy.folder / "report.zip") as archive:
        names = {Path(name).name for name in archive.namelist()}
        text = archive.read("report/report.html").decode()
    assert {"index.html", "map.csv", "overview.svg", "statistics.csv"} <= names
    for expected in (
        "Tables",
        "Figures",
        "Data",
        "The numbers of one table of the page",
        "the 95 % interval over",
    ):
        assert expected in text


def test_snakemakes_own_report_has_nothing_that_is_out_of_date(copy):
    copy.replace("evaluation/metrics.py", "\nimport ", "\nUNUSED = 1\nimport ")
    done = copy.snakemake("--report", "report.zip")
    assert done.returncode == 1
    assert done.stderr.endswith("Rerun the command without --report first\n")
    assert not (copy.folder / "report.zip").exists()


def test_snakemakes_own_report_has_the_tables_of_its_experiment(copy):
    """Though another experiment was reported last."""
    copy.write("other.yaml", "methods: [pcah]\nbits: [12]\nseeds: [0]\ncontrols: []\n")
    copy.run(config="other.yaml")
    copy.run("--report", "report.zip")
    with zipfile.ZipFile(copy.folder / "report.zip") as archive:
        tables = [archive.read(name).decode() for name in archive.namelist() if "map.csv" in name]
    shown = (copy.folder / TABLES / "report/tables/map.csv").read_text()
    other = (copy.folder / "results/experiments/other/report/tables/map.csv").read_text()
    assert shown != other
    assert tables == [shown]


def test_an_environment_without_a_path_and_files_from_the_future(copy):
    """A zip from another time zone, or the clock of a file server that is ahead."""
    copy.write("methods/parity.py", PARITY)
    copy.write("more.yaml", "methods: [parity]\nbits: [8]\nseeds: [0]\ncontrols: []\n")
    tomorrow = time.time() + 86_400
    for name in ("methods/parity.py", "methods/_runtime.py", "more.yaml", "Snakefile"):
        os.utime(copy.folder / name, (tomorrow,) * 2)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "collect"]
    command += ["--configfile", "more.yaml"]
    environment = {"PYTHONSAFEPATH": "1"}
    for _ in range(2):
        done = subprocess.run(
            command, cwd=copy.folder, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
    assert (copy.folder / "results/runs/digits/pixels/parity/8bit/seed0/codes.npz").is_file()
    assert "Nothing to be done" in done.stderr


def test_a_brace_in_the_path_of_the_project_is_one_line(finished, tmp_path):
    copy = Copy(tmp_path / "bgan{x}", finished)
    done = copy.snakemake()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"snakemake: the path {copy.folder} has a brace")


def test_partial_tables_are_removed_when_the_report_is_complete(copy):
    copy.write("methods/wavering.py", PARITY.replace("class Parity", "class Wavering"))
    copy.replace("methods/wavering.py", "return self\n", "raise ValueError\n")
    copy.write("wavering.yaml", "methods: [wavering, pcah]\nbits: [8]\nseeds: [0]\n")
    assert copy.snakemake(config="wavering.yaml").returncode
    partial = copy.folder / "results/experiments/wavering/partial"
    rows = rows_of(partial / "metrics.csv")
    scored = copy.folder / "results/experiments/wavering/scores/digits/pixels"
    expected = {path.parent.name for path in scored.glob("*/score.json")}
    assert {row["variant"] for row in rows} == expected == {"pcah", "exact-cosine", "exact-l2"}
    copy.replace("methods/wavering.py", "raise ValueError\n", "return self\n")
    copy.run(config="wavering.yaml")
    assert not partial.exists()


def test_partial_tables_can_be_written_at_any_time(copy):
    copy.write(
        "more.yaml",
        TINY.replace("itq, bgan-brief", "itq, bgan-more").replace("bgan-brief:", "bgan-more:"),
    )
    log = copy.folder / "logs/runs/digits/pixels/bgan-more/8bit/seed0.log"
    log.parent.mkdir(parents=True)
    log.write_text("bgan 8 bits: 208/2220 batches\n")
    copy.run("--nolock", "partial", config="more.yaml")
    rows = rows_of(copy.folder / "results/experiments/more/partial/runs.csv")
    assert {row["status"] for row in rows if row["variant"] != "bgan-more"} == {"done"}
    found = {
        (row["bits"], row["seed"]): (row["status"], row["message"])
        for row in rows
        if row["variant"] == "bgan-more"
    }
    assert found["8", "0"] == (
        "missing",
        "not finished; the last line of its log: bgan 8 bits: 208/2220 batches",
    )
    assert found["12", "1"] == ("missing", "")
    assert (
        "Partial report."
        in (copy.folder / "results/experiments/more/partial/report/index.html").read_text()
    )


def test_another_copy_on_another_number_of_cores_gives_the_same_bytes(finished, tmp_path):
    other = Copy(tmp_path / "elsewhere")
    other.write(
        "one.yaml",
        TINY.replace("bits: [8, 12]", "bits: [8]").replace("seeds: [0, 1]", "seeds: [0]"),
    )
    other.run("collect", config="one.yaml", cores="1")
    codes = [
        path.relative_to(other.folder) for path in other.folder.glob("results/runs/**/codes.npz")
    ]
    assert len(codes) == 4
    assert [
        path
        for path in codes
        if (other.folder / path).read_bytes() != (finished / path).read_bytes()
    ] == []
    rows = rows_of(finished / TABLES / "metrics.csv")
    shared = [row for row in rows if row["bits"] in ("0", "8") and row["seed"] == "0"]
    assert rows_of(other.folder / "results/experiments/one/metrics.csv") == shared


def test_a_new_method_runs_its_own_jobs_and_is_in_every_table(copy):
    copy.write("methods/parity.py", PARITY)
    copy.write("with.yaml", TINY.replace("itq, bgan-brief", "itq, bgan-brief, parity"))
    assert copy.planned(config="with.yaml") == sorted(
        [("encode", "parity")] * 2 + SCORES + [("score", "parity")] + END
    ), "runs are shared"
    copy.run(config="with.yaml")
    tables = list((copy.folder / "results/experiments/with/report/tables").glob("*.tex"))
    named = [table.name for table in tables if r"Parity\_\&\_" in table.read_text()]
    assert sorted(named) == sorted(table.name for table in tables)
    page = (copy.folder / "results/experiments/with/report/index.html").read_text()
    assert "Parity_&amp;_&lt;b&gt;" in page
    assert "Parity_&_<b>" not in page


FAILING = PARITY.replace("class Parity", "class Failing")


RAISING = FAILING.replace(
    "return self\n", "print('much')\n        raise ValueError('no such\\nluck')\n"
)
MESSAGES = {
    "raising": "methods/raising.py raised ValueError at methods/raising.py:",
    "floating": "methods/floating.py: encode returned float64 (1797, 8), expected bool (1797, 8)",
}


def test_methods_that_fail_are_shown_and_the_others_are_finished(copy):
    copy.write("methods/raising.py", RAISING)
    copy.write("methods/floating.py", FAILING.replace("% 2 == 0", "% 2.0"))
    copy.write(
        "failing.yaml", TINY.replace("itq, bgan-brief", "itq, bgan-brief, raising, floating")
    )
    done = copy.snakemake(config="failing.yaml")
    assert done.returncode != 0
    page = (copy.folder / "results/experiments/failing/partial/report/index.html").read_text()
    for name, message in MESSAGES.items():
        # The same error of a later run is not repeated, and a run of either length may end first.
        assert re.search(rf"failed: {name}, \d+ bits, seed 0: {re.escape(message)}", done.stderr)
        assert message.partition(" (")[0].replace("'", "&#39;") in page
        folder = copy.folder / f"results/runs/digits/pixels/{name}"
        assert not [path for path in folder.rglob("*") if path.is_file()]

    assert "Traceback" not in done.stdout + done.stderr
    assert "much" not in done.stdout + done.stderr, "what a method prints stays in its log"
    rows = rows_of(copy.folder / "results/experiments/failing/partial/runs.csv")
    assert {row["status"] for row in rows if row["variant"] in MESSAGES} == {"failed"}
    assert {row["status"] for row in rows if row["variant"] not in MESSAGES} == {"done"}


@pytest.mark.parametrize(
    "target",
    [
        "results/runs/digits/pixels/lsh/8bit/seed0/codes.npz",
        "results/runs/digits/pixels/exact-l2/8bit/seed0/codes.npz",
        "results/runs/digits/pixels/itq/08bit/seed0/codes.npz",
        "results/runs/digits/pixels/itq/9bit/seed0/codes.npz",
        "cache/datasets/mnist/dataset.json",
        "cache/features/digits/gist/features.npy",
    ],
)
def test_a_target_that_is_not_in_the_plan_has_no_rule(copy, target):
    done = copy.snakemake("--dry-run", target)
    assert done.returncode == 1
    printed = done.stdout + done.stderr
    assert f"No rule to produce {target}" in printed
    assert "Traceback" not in printed
    assert "KeyError" not in printed


def test_another_working_directory_is_one_line(copy, tmp_path):
    done = copy.snakemake("--dry-run", "--directory", str(tmp_path), config=None)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"snakemake: found the folder {tmp_path}, expected that of the project. "
        f"Run `cd {copy.folder}` and rerun the command"
    )


def test_a_cache_that_cannot_be_written_is_one_line(copy):
    (copy.folder / "cache/stamp").unlink()
    (copy.folder / "cache/stamp").mkdir()
    done = copy.snakemake("--dry-run")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("config: cannot write cache/stamp (")


def test_everything_missing_is_reported_together_before_any_work(copy):
    """The command of the last line runs everything else."""
    (copy.folder / "given").mkdir()
    np.save(copy.folder / "given/there.npy", np.random.default_rng(0).normal(size=(1797, 8)))
    entries = ", ".join(
        f"{name}: {{of: file, set: {{path: {name}.npy}}}}" for name in ("there", "gone")
    )
    copy.write(
        "more.yaml",
        "data: given\ndatasets: [digits, nuswide-21, mirflickr-24]\nfeatures: [there, gone]\n"
        "methods: []\ncontrols: [exact-l2]\n"
        f"variants: {{features: {{{entries}}}}}\n",
    )
    prepared = sorted(path.name for path in (copy.folder / "cache/datasets").iterdir())
    done = copy.snakemake(config="more.yaml")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    *problems, advice = done.stderr.splitlines()[-4:]
    assert [line.partition(" ")[0] for line in problems] == ["datasets:", "datasets:", "features:"]
    for line, names in zip(
        problems,
        ("given/nuswide/Groundtruth", "given/mirflickr25k/mirflickr", "given/gone.npy"),
        strict=True,
    ):
        assert f"{names}" in line
    assert "nothing was started" in advice
    assert sorted(path.name for path in (copy.folder / "cache/datasets").iterdir()) == prepared
    lists = re.findall(r"'(\S+)'", advice)
    assert lists == ["datasets=[digits]", "features=[there]"]
    copy.run("collect", "--config", *lists, config="more.yaml")
    assert {
        (row["dataset"], row["features"])
        for row in rows_of(copy.folder / "results/experiments/more/metrics.csv")
    } == {("digits", "there")}


def test_what_failed_when_it_was_recomputed_is_computed_by_the_next_command(copy):
    """Snakemake has removed the codes, and the tables are newer than their inputs."""
    copy.write("methods/wavering.py", PARITY.replace("class Parity", "class Wavering"))
    copy.write("wavering.yaml", "methods: [wavering]\nbits: [8]\ncontrols: []\n")
    copy.run(config="wavering.yaml")
    copy.replace("methods/wavering.py", "return self\n", "raise ValueError\n")
    assert copy.snakemake("--no-hooks", config="wavering.yaml").returncode
    assert copy.snakemake("--no-hooks", config="wavering.yaml").returncode, "again"
    copy.replace("methods/wavering.py", "raise ValueError\n", "return self\n")
    assert ("encode", "wavering") in copy.planned(config="wavering.yaml")


def test_imported_codes_are_a_row(copy):
    codes = np.random.default_rng(0).random((1797, 12)) < 0.5
    (copy.folder / "given").mkdir()
    np.save(copy.folder / "given/mine-12.npy", np.where(codes, 1, -1))
    with np.load(copy.folder / "cache/datasets/digits/split.npz") as split:
        for part in ("query", "database"):
            np.save(copy.folder / f"given/{part}.npy", codes[split[part]])
    entry = '{of: imported, set: {path: "mine-{bits}.npy"}, label: Mine}'
    apart = (
        "{of: imported, set: {path: query.npy, database_path: database.npy}, "
        "label: Mine of two files}"
    )
    variants = f"variants: {{methods: {{mine: {entry}, apart: {apart}}}}}"
    copy.write("own.yaml", f"data: given\nmethods: [chance, mine, apart]\nbits: [12]\n{variants}\n")
    copy.run(config="own.yaml")
    tables = {
        name: list(rows_of(copy.folder / f"results/experiments/own/{name}.csv"))
        for name in ("metrics", "runs")
    }
    rows = [
        row
        for row in tables["metrics"]
        if row["variant"] in ("mine", "apart") and row["metric"] == "map"
    ]
    assert sorted((row["variant"], row["bits"], row["seed"]) for row in rows) == [
        ("apart", "12", "0"),
        ("mine", "12", "0"),
    ]
    assert rows[0]["value"] == rows[1]["value"]
    assert float(rows[0]["value"]) == pytest.approx(0.104, abs=0.01)
    assert {
        (row["variant"], row["fit_seconds"]) for row in tables["runs"] if row["variant"] != "chance"
    } == {("mine", ""), ("apart", "")}
    time = (copy.folder / "results/experiments/own/report/tables/costs.tex").read_text()
    assert "--" in next(line for line in time.splitlines() if line.startswith("Mine"))
    np.save(copy.folder / "given/mine-12.npy", ~codes)
    assert ("encode", "mine") in copy.planned(config="own.yaml")
    np.save(copy.folder / "given/mine-12.npy", codes[:5])
    failed = copy.snakemake(config="own.yaml")
    assert failed.returncode
    assert (
        "given/mine-12.npy has 5 rows, expected 1,797, one for each image of the data set in its "
        "order" in failed.stderr
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("bits: 12", "config: bits: found 12, expected a list"),
        (
            "methods: [itk]",
            "config: methods: 'itk' is unknown (did you mean 'itq'?): "
            "expected one of agh, bgan, bihalf",
        ),
        (
            "methods: [citing]",
            "config: methods/citing.py cites 'me2026', which is not in report/references.bib: "
            "add the entry, or set",
        ),
    ],
)
def test_a_wrong_configuration_is_one_line_before_any_work(copy, config, message):
    copy.write(
        "methods/citing.py",
        PARITY.replace("class Parity", "class Citing").replace(
            ", None, False", ', "me2026", False'
        ),
    )
    copy.write("wrong.yaml", config)
    done = copy.snakemake("--dry-run", config="wrong.yaml")
    assert done.returncode != 0
    lines = [
        line for line in (done.stdout + done.stderr).splitlines() if line.startswith("config: ")
    ]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in done.stdout + done.stderr


EXPERIMENTS = [
    path.name
    for path in sorted((ROOT / "config").glob("*.yaml"))
    if path.stem not in ("variants", "schema")
]


@pytest.mark.parametrize("config", EXPERIMENTS)
def test_every_shipped_configuration_can_be_planned(config, monkeypatch):
    monkeypatch.chdir(ROOT)
    files = dict.fromkeys(["config/config.yaml", "config/variants.yaml", f"config/{config}"])
    merged = configuration.merged(*map(Path, files))
    assert Plan.load(search_spaces.with_drawn_trials(merged), [f"config/{config}"]).runs


@pytest.mark.parametrize("config", ["config.yaml", "paper.yaml", "tuning-search.yaml"])
def test_shipped_configurations_are_accepted_by_the_workflow(config, copy):
    copy.run("--dry-run", "--quiet", config=f"config/{config}")


def test_codes_are_stored_packed(finished):
    stored = np.load(finished / "results/runs/digits/pixels/pcah/12bit/seed0/codes.npz")
    assert (stored["codes"].shape, int(stored["bits"])) == ((1797, 2), 12)


@pytest.mark.data
def test_cifar10_from_the_official_batches_and_a_feature_file(tmp_path):
    """From a folder of official batches to metrics, with 60,000 rows of our own features."""
    data = Path(os.environ.get("BGAN_BENCH_DATA", ROOT / "data"))
    if not (data / "cifar-10-batches-py").is_dir():
        pytest.skip(f"no cifar-10-batches-py in {data}; set BGAN_BENCH_DATA")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "cifar-10-batches-py").symlink_to((data / "cifar-10-batches-py").resolve())
    np.save(
        folder / "mine.npy", np.random.default_rng(0).normal(size=(60_000, 16)).astype(np.float16)
    )
    copied = Copy(tmp_path / "bgan-bench")
    copied.write(
        "cifar.yaml",
        f"data: {folder}\ndatasets: [cifar10]\nfeatures: [mine]\nmethods: [lsh]\nbits: [12]\n"
        "seeds: [0]\ncontrols: []\n"
        "variants: {features: {mine: {of: file, set: {path: mine.npy}}}}\n",
    )
    copied.run(config="cifar.yaml")
    rows = rows_of(copied.folder / "results/experiments/cifar/metrics.csv")
    (found,) = [float(row["value"]) for row in rows if row["metric"] == "map"]
    assert found == pytest.approx(0.1, abs=0.005), "random features: chance"
