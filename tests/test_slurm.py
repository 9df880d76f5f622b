"""The shipped profile on a real Slurm that loses a node, and the jobs of thousands of runs."""

import csv
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import slurm
from builders import Copy

TINY = """
methods: [chance, itq, bgan-brief]
bits: [8]
seeds: [0, 1]
controls: []
variants:
  methods:
    bgan-brief: {of: bgan, set: {epochs: 1, betas: [1.0]}, label: "BGAN, 1 epoch"}
"""
QUICK = [
    "--seconds-between-status-checks",
    "2",
    "--slurm-init-seconds-before-status-checks",
    "1",
    "--latency-wait",
    "5",
]
LIMIT = 900  # seconds


PRETENDED = {
    "sbatch": 'cat > /dev/null; echo "$@" >> submitted.txt; exit 1',  # no later job can start
    "squeue": "exit 0",
    "sinfo": 'case "$*" in *%m*) echo "cpu* 16000";; *) echo "cpu*";; esac',
    "scontrol": "echo 'MinJobAge = 300 sec'",
}


@pytest.fixture(autouse=True)
def plugin():
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip(
            "no snakemake-executor-plugin-slurm: "
            "pip install -c constraints.txt -r requirements-slurm.txt"
        )


@pytest.fixture
def submitted(copy, tmp_path):
    """Return the arguments of each call of sbatch for a configuration; every job is refused."""
    shutil.rmtree(copy.folder / "results")
    (tmp_path / "bin").mkdir()
    for name, text in PRETENDED.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    def submit(grid, retries, hooks=False):
        copy.write("grid.json", json.dumps(grid))
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--workflow-profile",
            "slurm",
            "--configfile",
            "grid.json",
            "--retries",
            retries,
            *([] if hooks else ["--no-hooks"]),
        ]
        done = subprocess.run(
            command, cwd=copy.folder, env=environment, capture_output=True, text=True
        )
        submit.printed = done.stderr
        return (copy.folder / "submitted.txt").read_text().splitlines()

    return submit


def test_two_thousand_runs_are_few_submissions(submitted):
    variants = {f"chance.{index}": {"of": "chance"} for index in range(25)}
    grid = {
        "methods": list(variants),
        "bits": list(range(8, 72, 8)),
        "seeds": list(range(10)),
        "variants": {"methods": variants},
    }
    calls = submitted(grid | {"controls": ["exact-l2"]}, retries="0")
    assert len(calls) == 25 + 1, "a method with its scoring, and the control"
    groups = [call for call in calls if "_encode_score" in call]
    assert len(groups) == 25
    assert all(
        "--cpus-per-task=4 " in call and "--mem 16000 " in call and "-t 330 " in call
        for call in groups
    ), "80 runs, four at a time"


def test_a_trained_method_asks_for_a_gpu_and_another_attempt_for_more(submitted):
    calls = submitted({"methods": ["bgan"], "bits": [8], "seeds": [0], "controls": []}, retries="1")
    requests = [
        (call.partition(" --mem ")[2].split()[0], call.partition(" -t ")[2].split()[0])
        for call in calls
    ]
    assert requests == [("4000", "720"), ("8000", "1440")]
    assert all(call.partition(" -t ")[2].count("--gpus=1 ") == 1 for call in calls)


def test_another_attempt_of_a_group_asks_for_no_more_than_a_node_has(submitted):
    calls = submitted(
        {"methods": ["itq"], "bits": [8, 12], "seeds": [0, 1], "controls": []}, retries="2"
    )
    requests = [int(call.partition(" --mem ")[2].split()[0]) for call in calls]
    assert len(requests) == 3
    assert max(requests) == 16000


def test_a_space_in_the_path_is_one_line_before_anything_is_submitted(submitted, copy):
    spaced = copy.folder.with_name("my thesis")
    copy.folder.rename(spaced)
    copy.folder = spaced
    grid = {"methods": ["itq"], "bits": [8], "seeds": [0], "controls": []}
    with pytest.raises(FileNotFoundError, match=r"submitted\.txt"):
        submitted(grid, retries="0", hooks=True)
    assert (
        submitted.printed.strip().splitlines()[-1].startswith(f"slurm: found a space in {spaced}")
    )


@pytest.mark.slurm
def test_the_workflow_ends_on_a_cluster_that_loses_a_node(tmp_path):
    if reason := slurm.missing():
        pytest.skip(reason)
    copy = Copy(tmp_path / "bgan-bench")
    copy.write("tiny.yaml", TINY)
    log = copy.folder / "said.txt"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--workflow-profile",
        "slurm",
        "--configfile",
        "tiny.yaml",
        *QUICK,
    ]
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("BGAN_BENCH", "SNAKEMAKE"))
    }
    with slurm.cluster() as cluster, open(log, "w") as file:
        running = subprocess.Popen(
            command, cwd=copy.folder, env=environment, stdout=file, stderr=file
        )
        try:
            lost = lose_a_node(cluster, running)
            assert running.wait(LIMIT) == 0, log.read_text()
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(60)
        finished = (cluster.folder / "finished.txt").read_text()
    assert any(
        "JobState=NODE_FAIL" in line and f"NodeList={lost} " in line
        for line in finished.splitlines()
    ), finished
    with open(copy.folder / "results/experiments/tiny/runs.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done"] * 6
    logs = (copy.folder / ".snakemake/log").glob("*.log")
    printed = "".join(path.read_text() for path in logs)
    submitted = set(re.findall(r"has been submitted with SLURM jobid (\d+)", printed))
    jobs = (
        3 + 2 + 3 + 1
    )  # preparation; a group for each of two methods; BGAN's runs and scoring; the tables
    assert jobs <= len(submitted) <= jobs + 3, "those on the lost node may be submitted again"


def lose_a_node(cluster, running):
    """Kill the node that has no GPU, as soon as a run of a method is on it; returns its name."""
    while running.poll() is None:
        shown = subprocess.run(
            ["squeue", "-h", "-t", "R", "-o", "%N %k"], capture_output=True, text=True
        ).stdout
        if re.search("^cpu1 .*encode", shown, re.MULTILINE):
            cluster.kill("cpu1")
            return "cpu1"
        time.sleep(0.5)
    raise AssertionError("nothing ran on cpu1")
