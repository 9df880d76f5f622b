"""What the workflow itself costs: a grid of runs of `chance`, which learns nothing, from the dry run to the report.

    python -m benchmarks.harness                  # 2,000 runs: 25 variants x 8 code lengths x 10 seeds, on 2 cores
    python -m benchmarks.harness --variants 5     # 400

It works on a copy of the project in a temporary folder. Seconds are of the wall where one process works, of the processor for Snakemake,
which works beside the jobs that it starts. Start-up is a job's seconds less those that it says of its work. The
seconds of the report are printed as a ratio to those of collecting its tables.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import provenance, storage
from harness.plan import EXPERIMENTS, Score
from harness.plugins import ROOT
from harness.user_data import CACHE

BITS, SEEDS = list(range(8, 72, 8)), list(range(10))
LIMIT = 75  # seconds of the dry run, scheduling, scoring jobs' start-up and collecting, for 2,000 runs on 2 cores
SAMPLE = 5  # jobs whose start-up is timed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", type=int, default=25)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        storage.write_json(copy / "grid.json", grid(arguments.variants))
        show(measure(copy, arguments.cores), arguments.variants, arguments.cores)


def copied(folder: Path) -> Path:
    """A copy of the project without results."""
    copy = folder / "bgan-bench"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".*", "cache", "logs", "results", "data")
    )
    return copy


def grid(count: int) -> dict:
    """A configuration with so many variants of `chance`, each with len(BITS) x len(SEEDS) runs."""
    names = [f"chance.{index}" for index in range(count)]
    variants = {name: {"of": "chance", "label": name} for name in names}
    return {
        "methods": names,
        "bits": BITS,
        "seeds": SEEDS,
        "controls": [],
        "variants": {"methods": variants},
    }


def measure(copy: Path, cores: int) -> dict[str, float]:
    """Seconds of each part of the work; the whole workflow runs once, then single jobs of it again."""
    workflow = ["snakemake", "--cores", str(cores), "--configfile", "grid.json"]
    run(copy, [*workflow, "--until", "features"])  # the first start compiles the modules
    found = {"dry run": run(copy, [*workflow, "--dry-run", "--quiet"])[0]}
    found["all jobs"], found["Snakemake, processor"] = run(copy, [*workflow, "--until", "collect"])
    root = EXPERIMENTS / "grid"
    scores = [storage.read_json(path) for path in copy.glob(f"{root}/scores/*/*/*/score.json")]
    first = scores[0]
    pairs = [f"{entry['bits']}:{entry['seed']}" for entry in first["runs"]]
    scoring = [
        "evaluation",
        "score",
        first["dataset"],
        first["features"],
        first["variant"],
        "--runs",
        *pairs,
    ]
    scoring += ["--root", str(root), "--threads", "1"]
    score = min(run(copy, ["python", "-m", *scoring])[0] for _ in range(SAMPLE))
    again = storage.read_json(
        copy / Score(root, first["dataset"], first["features"], first["variant"]).record
    )
    found["start-up of a scoring job"] = score - sum(entry["seconds"] for entry in again["runs"])
    training = [
        "methods",
        first["dataset"],
        first["features"],
        first["variant"],
        "8",
        "0",
        "--settings",
        '{"of": "chance", "set": {}}',
    ]
    found["start-up of a training job"] = min(
        run(copy, ["python", "-m", *training])[0] for _ in range(SAMPLE)
    )
    (plan,) = (copy / CACHE / "plans").glob("*.json")
    found["collecting"] = run(
        copy, ["python", "-m", "experiments", "collect", "--plan", str(plan)]
    )[0]
    report = ["python", "-m", "report", "--results", str(root)]
    for processes in {1, cores}:
        found[f"report, {processes} processes"] = run(copy, [*report, "--threads", str(processes)])[
            0
        ]
    records = [storage.read_json(path) for path in copy.glob("results/runs/**/run.json")]
    found["work"] = sum(record["fit_seconds"] + record["encode_seconds"] for record in records)
    found["work"] += sum(entry["seconds"] for score in scores for entry in score["runs"])
    return found


def run(folder: Path, command: list[str]) -> tuple[float, float]:
    """Seconds of a command, and processor seconds of its own process, without its jobs."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("BGAN_BENCH")
    }
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
    }
    started, own = time.perf_counter(), 0.0
    with open(folder / "said.txt", "w") as said:
        job = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        while job.poll() is None:
            own = processor_seconds(job.pid) or own
            time.sleep(0.02)
    if job.returncode:
        sys.exit((folder / "said.txt").read_text()[-2000:])
    return time.perf_counter() - started, own


def processor_seconds(process: int) -> float:
    """What a process has used so far, all its threads; 0 where it has ended, or where there is no /proc."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(found: dict[str, float], variants: int, cores: int) -> None:
    runs = variants * len(BITS) * len(SEEDS)
    print(
        f"{provenance.processor()}, {cores} cores; {runs:,} runs of chance, {variants} scoring jobs"
    )
    for name, seconds in found.items():
        print(f"{name:<28} {seconds:8.2f} s")
    scoring = found["start-up of a scoring job"] * variants / cores
    total = found["dry run"] + found["Snakemake, processor"] + scoring + found["collecting"]
    print(
        f"dry run, scheduling, start-up of scoring on {cores} cores ({scoring:.1f} s), collecting: {total:.1f} s; {LIMIT} for 2,000 runs"
    )
    one, several = (found[f"report, {processes} processes"] for processes in (1, cores))
    slower, faster = one / found["collecting"], several / one
    print(
        f"the report takes {slower:.1f} times as long as collecting; {cores} processes take {faster:.2f} of that"
    )
    print(
        f"beyond the work: {(found['all jobs'] * cores - found['work']) / runs:.3f} core-seconds a run"
    )


if __name__ == "__main__":
    main()
