"""Measure planning: the configuration, the comparison of results with records, and the dry run.

    python -m benchmarks.planning                                # 5,000 runs, 2,000 finished
    python -m benchmarks.planning --variants 5 --finished 80     # 400 runs, 80 finished
    python -m benchmarks.planning --variants 250 --finished 20000 --repeats 0

The runs are a grid of variants of `chance`, in a copy of the project in a temporary folder.
Finished results are synthetic: files of a few bytes with the records that jobs write. The dry run
is compared with that of a Snakefile that has the same rules, inputs and outputs as literal paths,
without Python functions. That is the cost of Snakemake itself. Each time is the processor time of
a new process. The figures are saved in benchmarks/planning.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import results
from benchmarks.harness import BITS, SEEDS, copied, grid, run
from harness import configuration, provenance, records, storage
from harness.plan import Job, Plan, fields_of
from harness.plugins import ROOT
from harness.stale import State

LIMIT = 2  # times the dry run of literal rules
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--variants", type=int, default=63, help=f"each has {len(BITS) * len(SEEDS)} runs"
    )
    parser.add_argument(
        "--finished", type=int, default=2_000, help="finished runs that are compared, roughly"
    )
    parser.add_argument(
        "--part", choices=("load", "check"), help="one figure; started by this module in the copy"
    )
    parser.add_argument(
        "--repeats", type=int, default=REPEATS, help="dry runs of each kind, 0 for none"
    )
    arguments = parser.parse_args()
    if arguments.part:
        {"load": load, "check": check}[arguments.part]()
        return

    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        storage.write_json(copy / "grid.json", grid(arguments.variants))
        runs = arguments.variants * len(BITS) * len(SEEDS)
        jobs = f"{runs:,} runs of chance, {arguments.variants} scoring jobs"
        print(f"{provenance.processor()}; {jobs}")
        save(f"Plan.load of {runs:,} runs", *part(copy, "load"))
        if arguments.repeats:
            compare_dry_runs(copy, runs, arguments.repeats)

        finished = max(1, arguments.finished // (len(BITS) * len(SEEDS)))
        storage.write_json(copy / "grid.json", grid(finished))
        runs = finished * len(BITS) * len(SEEDS)
        save(f"State.check of {runs:,} finished runs", *part(copy, "check"))


def save(problem: str, seconds: float, memory: float) -> None:
    figures = {"processor": results.seconds(seconds), "peak": results.mebibytes(memory)}
    results.save("planning", problem, figures)


def part(copy: Path, name: str) -> list[float]:
    """Return the figures that a process in the copy prints."""
    command = [sys.executable, "-m", "benchmarks.planning", "--part", name]
    done = subprocess.run(command, cwd=copy, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def planned() -> Plan:
    """Return the plan of grid.json, merged with the default configuration as Snakemake does."""
    files = [ROOT / "config" / name for name in ("config.yaml", "variants.yaml")]
    return Plan.load(configuration.merged(*files, "grid.json"), ["grid.json"])


def load() -> None:
    started = time.process_time()
    planned()
    print(json.dumps([time.process_time() - started, provenance.peak_memory_mib()]))


def check() -> None:
    plan = planned()
    finish(plan)
    seconds = []
    for _ in range(REPEATS):
        state, started = State(plan), time.process_time()
        state.check()
        seconds.append(time.process_time() - started)

    stale = [job for job in plan.jobs() if state.problem(job)]
    if stale:
        sys.exit(f"{stale[0]}: {state.problem(stale[0])}")

    print(json.dumps([min(seconds), provenance.peak_memory_mib()]))


def finish(plan: Plan) -> None:
    """Write every output of a plan, with the record that its job would write."""
    machine = provenance.record()
    for job in plan.jobs():
        outputs, record = plan.outputs(job), plan.record(job)
        for path in outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
        digests = {path.name: storage.digest(path) for path in outputs[:-1]}
        facts = {"sha256": digests}
        if job.rule in ("features", "neighbours"):
            facts = {"sha256": next(iter(digests.values()))}
        if job.rule == "dataset":
            facts["split_sha256"] = ""
        if job.rule == "encode":
            facts = {"codes_sha256": digests["codes.npz"]}
        facts |= {"format": records.FORMAT, "made_of": State(plan).made_of(job)}
        # Not storage.write_json, which waits for the disk.
        record.write_text(json.dumps(machine | facts, indent=2))


def compare_dry_runs(copy: Path, runs: int, repeats: int) -> None:
    """Save the seconds of a dry run with the project's Snakefile and with literal rules."""
    own = ["snakemake", "--cores", "1", "--dry-run", "--quiet", "--configfile", "grid.json"]
    run(copy, [*own, "--until", "dataset"])  # compiles the modules, and writes the plan
    (path,) = (copy / "cache/plans").glob("*.json")
    plan = Plan.read(path)
    (copy / "literal.smk").write_text(literal_rules(plan), encoding="utf-8")
    literal = ["snakemake", "--cores", "1", "--dry-run", "--quiet", "--snakefile", "literal.smk"]

    # Alternately, so that other load slows both.
    measured = [(run(copy, own)[1], run(copy, literal)[1]) for _ in range(repeats)]
    ours, least = (min(seconds) for seconds in zip(*measured, strict=True))
    figures = {
        "processor": results.seconds(ours),
        "with literal rules": results.seconds(least),
        "ratio": f"{ours / least:.2f}, at most {LIMIT}",
    }
    results.save("planning", f"dry run of {runs:,} runs", figures)


def literal_rules(plan: Plan) -> str:
    """Return a Snakefile with the project's rules, their inputs and outputs as literal paths."""
    (dataset, features), (variant, *_) = plan.scores[0].key[:2], plan.methods
    first, root = plan.runs[0], plan.root
    of_run = {f"/{first.name}/": "/{dataset}/{features}/{variant}/{bits}bit/seed{seed}/"}
    of_score = {
        f"/{dataset}/{features}/{variant}/": "/{dataset}/{features}/{variant}/",
        f"/{dataset}/{features}/": "/{dataset}/{features}/",
        f"datasets/{dataset}/": "datasets/{dataset}/",
    }
    keys = {
        "dataset": (dataset,),
        "features": (dataset, features),
        "encode": fields_of(first).values(),
        "score": (dataset, features, variant),
    }
    lines = ["rule all:", f'    input: "{root.as_posix()}/report/index.html"']
    for rule in ("dataset", "features", "encode", "score", "collect", "report"):
        job = Job(rule, tuple(keys.get(rule, ())))
        # A scoring job reads all code lengths and seeds, so its paths have no wildcards for them.
        wildcards = {} if rule == "score" else of_run
        wildcards = wildcards | of_score if job.key else {}
        lines += ["", "", f"rule {rule}:"]
        for directive, paths in (
            ("input", [file.path for file in plan.inputs(job)]),
            ("output", plan.outputs(job)),
        ):
            literals = [f"        {_literal(path, wildcards)}," for path in dict.fromkeys(paths)]
            if literals:
                lines += [f"    {directive}:", *literals]
        lines.append('    shell: "true"')

    return "\n".join(lines) + "\n"


def _literal(path: Path, wildcards: dict[str, str]) -> str:
    text = path.as_posix()
    for values, names in wildcards.items():
        text = text.replace(values, names)
    quoted = json.dumps(text)
    return f"directory({quoted})" if path.name in ("tables", "figures") else quoted


if __name__ == "__main__":
    main()
