"""Measure the cost of the workflow itself, from the dry run to the report.

    python -m benchmarks.harness                  # 2,000 runs on 2 cores
    python -m benchmarks.harness --variants 5     # 400 runs
    python -m benchmarks.harness --variants 1 --method greedyhash --set '{"epochs": 1}'

The runs are a grid of variants of one method, by default `chance`, which learns nothing. They have
8 code lengths and 10 seeds. A method that imports torch is forked by a server. The runs are made in
a copy of the project in a temporary folder. Processor time is measured for Snakemake, which runs
at the same time as its jobs, and elapsed time for everything else. The start-up of a job is its
elapsed time without the time that it records for its work. The time of the report is printed as a
ratio to the time of collecting its tables.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from benchmarks import results
from harness import provenance, storage
from harness.plan import EXPERIMENTS, Score
from harness.plugins import ROOT
from harness.user_data import CACHE

BITS, SEEDS = list(range(8, 72, 8)), list(range(10))
# Seconds, for 2,000 runs on 2 cores: dry run, scheduling, start-up of scoring jobs, collecting.
LIMIT = 75
CHANCE: Mapping = MappingProxyType({"of": "chance", "set": {}})
SAMPLE = 5  # jobs whose start-up is timed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", type=int, default=25)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--method", default="chance")
    parser.add_argument("--set", type=json.loads, default={}, metavar="JSON")
    arguments = parser.parse_args()
    entry = {"of": arguments.method, "set": arguments.set}
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        storage.write_json(copy / "grid.json", grid(arguments.variants, entry))
        show(measure(copy, arguments.cores), arguments.variants, arguments.cores)


def copied(folder: Path) -> Path:
    """Return the folder of a copy of the project without results."""
    copy = folder / "bgan-bench"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".*", "cache", "logs", "results", "data")
    )
    return copy


def grid(count: int, entry: Mapping = CHANCE) -> dict:
    """Return a configuration with `count` variants of a method, each with all BITS and SEEDS."""
    names = [f"{entry['of']}.{index}" for index in range(count)]
    variants = {name: {**entry, "label": name} for name in names}
    return {
        "methods": names,
        "bits": BITS,
        "seeds": SEEDS,
        "controls": [],
        "variants": {"methods": variants},
    }


def measure(copy: Path, cores: int) -> dict[str, float]:
    """Return the seconds of each stage: the whole workflow runs once, then single jobs again."""
    workflow = ["snakemake", "--cores", str(cores), "--configfile", "grid.json"]
    run(copy, [*workflow, "--until", "features"])  # the first start compiles the modules
    seconds = {"dry run": run(copy, [*workflow, "--dry-run", "--quiet"])[0]}
    elapsed, processor = run(copy, [*workflow, "--until", "collect"])
    seconds |= {"all jobs": elapsed, "Snakemake, processor": processor}

    root = EXPERIMENTS / "grid"
    scores = [storage.read_json(path) for path in copy.glob(f"{root}/scores/*/*/*/score.json")]
    seconds["start-up of a scoring job"] = start_up_of_scoring(copy, root, scores[0])
    names = [scores[0][name] for name in ("dataset", "features", "variant")]
    variant = storage.read_json(copy / "grid.json")["variants"]["methods"][names[2]]
    entry = json.dumps({"of": variant["of"], "set": variant["set"]})
    training = ["python", "-m", "methods", *names, "8", "0", "--entry", entry]
    seconds["start-up of a training job"] = min(run(copy, training)[0] for _ in range(SAMPLE))

    (plan,) = (copy / CACHE / "plans").glob("*.json")
    collect = ["python", "-m", "experiments", "collect", "--plan", str(plan)]
    seconds["collecting"] = run(copy, collect)[0]
    report = ["python", "-m", "report", "--results", str(root)]
    for processes in {1, cores}:
        elapsed = run(copy, [*report, "--threads", str(processes)])[0]
        seconds[f"report, {processes} processes"] = elapsed

    records = [storage.read_json(path) for path in copy.glob("results/runs/**/run.json")]
    seconds["work"] = sum(record["fit_seconds"] + record["encode_seconds"] for record in records)
    seconds["work"] += sum(entry["seconds"] for score in scores for entry in score["runs"])
    return seconds


def start_up_of_scoring(copy: Path, root: Path, record: dict) -> float:
    """Return the seconds of a scoring job, without the time that it records for its work."""
    names = record["dataset"], record["features"], record["variant"]
    pairs = [f"{entry['bits']}:{entry['seed']}" for entry in record["runs"]]
    command = ["python", "-m", "evaluation", "score", *names, "--runs", *pairs]
    command += ["--root", str(root), "--threads", "1"]
    elapsed = min(run(copy, command)[0] for _ in range(SAMPLE))
    repeated = storage.read_json(copy / Score(root, *names).record)
    return elapsed - sum(entry["seconds"] for entry in repeated["runs"])


def run(folder: Path, command: list[str], root: Path | None = None) -> tuple[float, float]:
    """Run a command in a folder. Return its elapsed and its processor seconds, without its jobs.

    root: of the project; by default the folder.
    """
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("BGAN_BENCH")
    }
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root or folder),
    }
    log = folder / "benchmark.log"
    started, processor = time.perf_counter(), 0.0
    with open(log, "w") as output:
        job = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        while job.poll() is None:
            processor = processor_seconds(job.pid) or processor
            time.sleep(0.02)

    if job.returncode:
        sys.exit(log.read_text()[-2000:])

    return time.perf_counter() - started, processor


def processor_seconds(process: int) -> float:
    """Return the processor time of all threads of a process; 0 if it has ended or without /proc."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(seconds: dict[str, float], variants: int, cores: int) -> None:
    """Print the seconds of each stage and their sum beside LIMIT, and save the stages."""
    runs, processor = variants * len(BITS) * len(SEEDS), provenance.processor()
    print(f"{processor}, {cores} cores; {runs:,} runs, {variants} scoring jobs")
    for name, value in seconds.items():
        print(f"{name:<28} {value:8.2f} s")
    stages = {name: results.seconds(value) for name, value in seconds.items()}
    results.save("harness", f"{runs:,} runs in {variants} scoring jobs, {cores} cores", stages)

    scoring = seconds["start-up of a scoring job"] * variants / cores
    total = seconds["dry run"] + seconds["Snakemake, processor"] + scoring + seconds["collecting"]
    print(f"start-up of all scoring jobs on {cores} cores: {scoring:.1f} s")
    print(f"with dry run, scheduling, collecting: {total:.1f} s; limit for 2,000 runs: {LIMIT} s")
    one, several = (seconds[f"report, {processes} processes"] for processes in (1, cores))
    print(f"the report takes {one / seconds['collecting']:.1f} times as long as collecting")
    print(f"{cores} processes take {several / one:.2f} of the time of one process")
    overhead = (seconds["all jobs"] * cores - seconds["work"]) / runs
    print(f"beyond the work: {overhead:.3f} core-seconds per run")


if __name__ == "__main__":
    main()
