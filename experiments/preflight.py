"""Check the user's files before any work starts, and list all that are missing at once."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from harness.errors import BenchmarkError
from harness.plan import Job, Plan, pretrained_weights
from harness.stale import State
from harness.user_data import data_folder, user_file
from harness.variants import STAGES, Variant


def missing_files(state: State) -> str:
    """Check the user's files; each job that does not find one prints a line.

    Returns
    -------
    str
        How to run what does not need them; empty if no file is missing.
    """
    failed = [variant for variant in unprepared(state) if _lacks_files(variant, state.plan)]
    return _advice(state.plan, failed) if failed else ""


def unprepared(state: State) -> list[Variant]:
    """Every data set, extractor and method that reads user files and has results to compute."""
    plan = state.plan
    jobs = [
        job
        for job in plan.jobs()
        if job.rule in ("dataset", "features", "encode") and state.problem(job)
    ]
    variants = dict.fromkeys(
        (variant.stage, variant.name)
        for job in jobs
        if _reads_files(variant := _variant(job, plan))
    )
    return [getattr(plan, stage)[name] for stage, name in variants]


def _variant(job: Job, plan: Plan) -> Variant:
    if job.rule == "dataset":
        return plan.datasets[job.key[0]]
    return plan.features[job.key[1]] if job.rule == "features" else plan.methods[job.key[2]]


def _reads_files(variant: Variant) -> bool:
    if variant.stage == "datasets":
        return variant.plugin.member("needs_files")
    return bool(variant.user_files or pretrained_weights(variant))


def _lacks_files(variant: Variant, plan: Plan) -> bool:
    if variant.stage == "datasets":
        return _fails("datasets", variant.name, "--check", "--settings", variant.entry_text)
    if variant.stage == "features":
        return _fails("features", "check", variant.name, "--settings", variant.entry_text)
    if weights := pretrained_weights(variant):
        digest = variant.weights_digest
        return _fails(
            "harness.imagenet", variant.encoder, weights, *(["--sha256", digest] if digest else [])
        )
    return _lacks_codes(variant, plan)


def _lacks_codes(variant: Variant, plan: Plan) -> bool:
    """Whether a file of codes is missing; prints a line for each."""
    data = data_folder(plan.data)
    files = [
        user_file(
            path.partition(".mat:")[0] + ".mat" if ".mat:" in path else path,
            run.bits,
            run.seed,
            data,
        )
        for run in plan.runs
        if run.variant == variant.name
        for path in variant.user_files
    ]
    missing = [path for path in dict.fromkeys(files) if not Path(path).is_file()]
    params = [f"`{param}`" for param in variant.plugin.file_params if variant.params[param]]
    for path in missing:
        print(
            f"methods: {variant.name} needs {path}, which is missing: "
            f"add the file, or change {' or '.join(params)}",
            file=sys.stderr,
        )
    return bool(missing)


@functools.cache
def _fails(*command: str) -> bool:
    """Whether a command of the project fails; each runs once."""
    return (
        subprocess.run([sys.executable, "-m", *command], stdout=subprocess.DEVNULL).returncode != 0
    )


def _advice(plan: Plan, failed: Iterable[Variant]) -> str:
    """What to do about missing files: if possible, what to add to the command to run the rest."""
    message = "nothing was started: the files named above are missing or damaged"
    names = {(variant.stage, variant.name) for variant in failed}
    listed = {stage: list(plan.config[stage]) for stage in STAGES}
    rest = {
        stage: [
            name
            for name in listed[stage]
            if (stage, name) not in names and not _all_trials_fail(plan, name, names)
        ]
        for stage in STAGES
    }
    if not all(rest[stage] for stage in STAGES if listed[stage]):
        return message
    try:
        Plan.load(plan.config | rest, plan.configfiles)
    except BenchmarkError:
        return message
    changed = [
        f"'{stage}=[{','.join(rest[stage])}]'" for stage in STAGES if rest[stage] != listed[stage]
    ]
    return f"{message}; to run the rest, add --config {' '.join(changed)} to the command"


def _all_trials_fail(plan: Plan, name: str, failed: set[tuple[str, str]]) -> bool:
    """Whether `name` is a method with trials, which all lack their files."""
    trials = [
        variant.name for variant in plan.methods.values() if variant.trial and variant.base == name
    ]
    return bool(trials) and all(("methods", trial) in failed for trial in trials)
