"""Check the user's files before any work starts, and list all that are missing at once."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from harness import records
from harness.errors import BenchmarkError, memory_bytes
from harness.plan import (
    EXPERIMENT_LIST,
    EXPERIMENTS,
    Job,
    Place,
    Plan,
    features_job,
)
from harness.plugins import ROOT
from harness.stale import State
from harness.user_data import data_folder, file_and_array, user_file
from harness.variants import STAGES, Variant


def missing_files(state: State) -> str:
    """Check the user's files; each job that does not find one prints a line.

    Returns
    -------
    str
        How to run what does not need them; empty if no file is missing.
    """
    failed = [variant for variant in unprepared(state) if _lacks_files(variant, state)]
    return _advice(state.plan, failed) if failed else ""


def unprepared(state: State) -> list[Variant]:
    """Return the data sets, extractors and methods that need user files and are not finished."""
    plan, variants = state.plan, {}
    for job in plan.jobs():
        if job.rule in ("dataset", "features", "encode") and state.problem(job):
            variant = _variant(job, plan)
            if _reads_files(variant):
                variants[variant.stage, variant.name] = variant

    return list(variants.values())


def _variant(job: Job, plan: Plan) -> Variant:
    if job.rule == "dataset":
        return plan.datasets[job.key[0]]
    return plan.features[job.key[1]] if job.rule == "features" else plan.methods[job.key[2]]


def _reads_files(variant: Variant) -> bool:
    if variant.stage == "datasets":
        return variant.plugin.member("needs_files")
    return bool(variant.user_files or variant.pretrained_weights)


def _lacks_files(variant: Variant, state: State) -> bool:
    if variant.stage == "datasets":
        return _fails("datasets", variant.name, "--check", "--entry", variant.entry_text)
    if variant.stage == "features":
        images = [str(n) for n in _image_counts(variant, state)]
        options = ("--entry", variant.entry_text, "--images", *images)
        return _fails("features", "check", variant.name, *options)
    if weights := variant.pretrained_weights:
        digest = variant.weights_digest
        return _fails(
            "harness.imagenet", variant.encoder, weights, *(["--sha256", digest] if digest else [])
        )

    return _lacks_codes(variant, state.plan)


def _image_counts(features: Variant, state: State) -> list[int]:
    """Return the numbers of images that a file of features must have rows for.

    The list is empty if features are computed. A data set with missing files is omitted: its own
    check prints them.
    """
    if "rows" not in features.plugin.consumes:
        return []
    places = [place for place in state.plan.places if place.features == features.name]
    counts = {_image_count(place, state) for place in places}
    return sorted(count for count in counts if count is not None)


def _image_count(place: Place, state: State) -> int | None:
    """Return the number of images of a data set, prepared or as its own check prints it."""
    if not state.problem(Job("dataset", (place.dataset,))):
        return records.read(place.dataset_record)["images"][0]
    dataset = state.plan.datasets[place.dataset]
    command = ("datasets", dataset.name, "--check", "--entry", dataset.entry_text)
    if _fails(*command):
        return None
    count = re.search(r": ([\d,]+) images", _checked(*command).stdout)
    return int(count[1].replace(",", "")) if count else None


def _lacks_codes(variant: Variant, plan: Plan) -> bool:
    """Return whether a file of codes is missing; prints a line for each."""
    data = data_folder(plan.data)
    files = [
        user_file(file_and_array(path)[0], run.bits, run.seed, data)
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


def check_memory(state: State) -> None:
    """Compare the size of pixel features with the memory of the machine, before any work.

    Raises
    ------
    BenchmarkError
        If a matrix of all pairs of dimensions, which methods based on PCA compute, cannot fit.
    """
    plan, memory = state.plan, memory_bytes()
    if not any("features" in method.plugin.consumes for method in plan.methods.values()):
        return

    for place in plan.places:
        params = plan.datasets[place.dataset].params
        size, channels = params.get("size"), 1 if params.get("grey") else 3
        if plan.features[place.features].plugin.name != "pixels" or not isinstance(size, int):
            continue
        dimensions = size * size * channels
        needed = dimensions**2 * 8
        if needed > memory and state.problem(features_job(place)):
            raise BenchmarkError(
                f"features: {place.features} of {place.dataset} has {dimensions:,} dimensions "
                f"({size} x {size} x {channels}): a covariance matrix of them needs "
                f"{needed / 2**30:,.0f} GiB, and this machine has {memory / 2**30:,.0f} GiB. "
                "Choose other features, as in `features: [gist]`, or smaller images, as in "
                "`set: {size: 32}` of the data set"
            )


def unquoted_path(paths: Iterable[str]) -> str:
    """Return an error for a path with a space, which Slurm's executor does not quote, or empty."""
    for path in paths:
        if any(character.isspace() for character in path):
            return (
                f"slurm: found a space in {path}: every submitted job would fail, since the "
                "executor does not quote paths. Move the project or its environment to a path "
                "without spaces, and rerun the command"
            )
    return ""


@functools.cache
def node_memory() -> int | None:
    """Return the memory in MB of a node of the cluster's default partition; None if unknown."""
    try:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format", "%P %m"], capture_output=True, text=True
        )
    except OSError:
        return None

    partitions = re.findall(r"^(\S+) (\d+)\+?$", done.stdout, re.MULTILINE)
    default = [int(memory) for partition, memory in partitions if partition.endswith("*")]
    return min(default or [int(memory) for _, memory in partitions], default=None)


def refresh_experiment_list() -> None:
    """Rewrite the list of experiments if it names one whose folder was deleted."""
    if not EXPERIMENT_LIST.is_file():
        return

    page = EXPERIMENT_LIST.read_text(encoding="utf-8", errors="replace")
    listed = re.findall(r'href="([^".][^"]*/report/index[.]html)"', page)
    if not all((EXPERIMENTS / unquote(address)).is_file() for address in listed):
        subprocess.run(
            [sys.executable, "-m", "report", "--experiments"],
            stdout=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )


def _fails(*command: str) -> bool:
    """Return whether a command of the project fails; each runs once."""
    return _checked(*command).returncode != 0


@functools.cache
def _checked(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True)


def _advice(plan: Plan, failed: Iterable[Variant]) -> str:
    """Return advice about missing files: if possible, the option that runs the rest."""
    message = "nothing was started: the files named above are missing or damaged"
    names = {(variant.stage, variant.name) for variant in failed}
    listed = {stage: list(plan.config[stage]) for stage in STAGES}
    rest: dict[str, list] = {stage: [] for stage in STAGES}
    for stage in STAGES:
        for entry in listed[stage]:
            name = entry["name"] if isinstance(entry, dict) else entry
            if (stage, name) not in names and not _all_trials_fail(plan, name, names):
                rest[stage].append(entry)
    if not all(rest[stage] for stage in STAGES if listed[stage]):
        return message

    try:
        Plan.load(plan.config | rest, plan.configfiles)
    except BenchmarkError:
        return message

    changed = [
        f"'{stage}=[{','.join(map(_in_yaml, rest[stage]))}]'"
        for stage in STAGES
        if rest[stage] != listed[stage]
    ]
    return f"{message}; to run the rest, add --config {' '.join(changed)} to the command"


def _in_yaml(entry: str | dict) -> str:
    """An entry of a list of the configuration, as the command line accepts it."""
    if isinstance(entry, str):
        return entry
    return "{" + ", ".join(f"{key}: {value}" for key, value in entry.items()) + "}"


def _all_trials_fail(plan: Plan, name: str, failed: set[tuple[str, str]]) -> bool:
    """Return whether `name` is a method with trials, which all lack their files."""
    trials = [
        variant.name for variant in plan.methods.values() if variant.trial and variant.base == name
    ]
    return bool(trials) and all(("methods", trial) in failed for trial in trials)
