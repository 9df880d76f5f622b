"""The shipped profile on a real Slurm, one node lost on the way; and what is submitted for a grid of thousands of runs."""

import csv
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import slurm
from test_workflow import Copy

TINY = """
methods: [chance, itq, bgan-brief]
bits: [8]
seeds: [0, 1]
controls: []
variants:
  methods:
    bgan-brief: {of: bgan, set: {epochs: 1}, label: "BGAN, 1 epoch"}
"""
QUICK = ["--seconds-between-status-checks", "2", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"]
LIMIT = 400  # seconds


@pytest.mark.slurm
def test_the_workflow_ends_on_a_cluster_that_loses_a_node(tmp_path):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="no snakemake-executor-plugin-slurm: see requirements-slurm.txt")
    if reason := slurm.missing():
        pytest.skip(reason)
    copy = Copy(tmp_path / "bgan-bench")
    copy.write("tiny.yaml", TINY)
    log = copy.folder / "said.txt"
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "slurm", "--configfile", "tiny.yaml", *QUICK]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("BGAN_BENCH", "SNAKEMAKE"))}
    with slurm.cluster() as cluster, open(log, "w") as file:
        running = subprocess.Popen(command, cwd=copy.folder, env=environment, stdout=file, stderr=file)
        try:
            lost = lose_a_node(cluster, copy)
            assert running.wait(LIMIT) == 0, log.read_text()
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(60)
        finished = (cluster.folder / "finished.txt").read_text()
    assert f"NodeList={lost} " in finished
    with open(copy.folder / "results/runs.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done"] * 6
    submitted = set(re.findall(r"has been submitted with SLURM jobid (\d+)", log.read_text()))
    assert 3 + 2 + 3 + 1 <= len(submitted) <= 3 + 2 + 3 + 1 + 2, "preparation, a group a method, BGAN's, the tables, and what was lost"


def lose_a_node(cluster, copy):
    """Kill the node that has no GPU, as soon as a run of a method is on it; returns its name."""
    for _ in range(LIMIT):
        shown = subprocess.run(["squeue", "-h", "-t", "R", "-o", "%N %k"], capture_output=True, text=True).stdout
        if "cpu1 group" in shown or "cpu1 rule_encode" in shown or "cpu1 rule_neighbours" in shown:
            cluster.kill("cpu1")
            return "cpu1"
        time.sleep(0.5)
    raise AssertionError("nothing ran on cpu1")
