"""Measure collecting and reporting of synthetic finished runs: 20, 200 and 2,000.

    python -m benchmarks.collecting
    python -m benchmarks.collecting --rounds 1

The runs are a grid of variants of `chance` on the digits, in a copy of the project in a temporary
folder. The first variant is scored by the functions of the workflow, and the others have its
scores. Every round collects and reports each number of runs once, with two processes that draw. The
medians of the processor times over the rounds are saved in benchmarks/collecting.json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import large, results
from benchmarks.harness import BITS, SEEDS, copied, grid, run
from benchmarks.planning import planned
from experiments import scoring
from harness import provenance, records, storage
from harness.plan import Job, Plan, Run, Score, encode_job
from harness.stale import State

GRIDS = {20: (1, 4, 5), 200: (5, 8, 5), 2_000: (25, 8, 10)}  # runs: variants, code lengths, seeds
PROCESSES = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, nargs="+", choices=GRIDS, default=list(GRIDS))
    parser.add_argument(
        "--write", action="store_true", help="write the results; started by this module in a copy"
    )
    arguments = parser.parse_args()
    if arguments.write:
        finish(planned())
        return

    with tempfile.TemporaryDirectory() as folder:
        copies = {runs: finished(Path(folder, str(runs)), runs) for runs in arguments.runs}
        rounds = []
        for _ in range(arguments.rounds):
            seconds = list(map(measure, copies.values()))
            rounds.append(seconds)
        medians = np.median(rounds, axis=0)  # (sizes, 2)
        for (runs, copy), (collecting, reporting) in zip(copies.items(), medians, strict=True):
            page = (copy / "results/experiments/grid/report/index.html").stat().st_size
            figures = {
                "collect, processor": results.seconds(collecting),
                "report, processor": results.seconds(reporting),
                "per run": results.seconds((collecting + reporting) / runs),
                "page": f"{page / 1e6:.2f} MB",
            }
            variants, lengths, seeds = GRIDS[runs]
            size = f"{variants} variants x {lengths} code lengths x {seeds} seeds"
            results.save("collecting", f"{runs:,} runs: {size}", figures)


def finished(folder: Path, runs: int) -> Path:
    """Return a copy of the project with this number of finished runs."""
    folder.mkdir()
    copy = copied(folder)
    variants, lengths, seeds = GRIDS[runs]
    experiment = grid(variants) | {"bits": BITS[:lengths], "seeds": SEEDS[:seeds]}
    storage.write_json(copy / "grid.json", experiment)
    run(copy, ["python", "-m", "datasets", "digits"])
    run(copy, ["python", "-m", "features", "extract", "digits", "pixels"])
    subprocess.run([sys.executable, "-m", "benchmarks.collecting", "--write"], cwd=copy, check=True)
    return copy


def measure(copy: Path) -> tuple[float, float]:
    """Return the processor seconds of collecting and of the report."""
    (plan,) = (copy / "cache/plans").glob("*.json")
    jobs = (
        ["python", "-m", "experiments", "collect", "--plan", str(plan)],
        ["python", "-m", "report", "--results", "results/experiments/grid"],
    )
    seconds = []
    for job in jobs:
        started = large.processor_seconds()
        run(copy, [*job, "--threads", str(PROCESSES)] if job[2] == "report" else job)
        seconds.append(large.processor_seconds() - started)
    return seconds[0], seconds[1]


def finish(plan: Plan) -> None:
    """Write every run and every score of a plan, and the plan."""
    plan.save()
    state, machine = State(plan), provenance.record()
    items = len(np.load(plan.places[0].labels))
    for planned_run in plan.runs:
        write_run(planned_run, items, machine | {"made_of": state.made_of(encode_job(planned_run))})

    (first, *others) = plan.scores
    with contextlib.redirect_stdout(io.StringIO()):
        scoring.score(first, plan.scored(first))
    for score in others:
        copy_score(first, score, State(plan).made_of(Job("score", score.key)))


def write_run(planned_run: Run, items: int, facts: dict) -> None:
    """Write random codes, which are the same for all variants, and their record."""
    random = np.random.default_rng((planned_run.bits, planned_run.seed))
    codes = random.integers(0, 256, (items, planned_run.bits // 8), dtype=np.uint8)
    planned_run.folder.mkdir(parents=True)
    np.savez(planned_run.codes, codes=codes, bits=np.int64(planned_run.bits))
    np.savez(planned_run.extras)
    facts = facts | {
        "format": records.FORMAT,
        "codes_sha256": storage.digest(planned_run.codes),
        "fit_seconds": 1.0,
        "encode_seconds": 1.0,
        "device": "cpu",
        "repeats": "bit for bit",
        "threads": 1,
        "items": items,
        "distinct_codes": items,
        "fitted_rows": items,
        "bit_balance": 0.5,
        "sealed": True,
    }
    planned_run.record.write_text(json.dumps(facts, indent=2))


def copy_score(first: Score, score: Score, made_of: dict) -> None:
    """Write the scores of the first variant as those of another one."""
    shutil.copytree(first.folder, score.folder)
    record = storage.read_json(first.record) | {"variant": score.variant, "made_of": made_of}
    score.record.write_text(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
