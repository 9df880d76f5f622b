"""The disk and the memory that the jobs of a command need, as far as they are known in advance."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import plugins
from harness.errors import memory_bytes
from harness.plan import PUBLISHED, Job, Place, Plan, Run, job_of
from harness.user_data import CACHE

LIST_NEIGHBOURS = 64  # of each training image, int32
VIEWS = plugins.constant(plugins.ROOT / "features/_views.py", "VIEWS")  # of each training image
RECORD_BYTES = 20_000  # of a run beside its codes and real values: record, log and extras
REPORT_BYTES = 20_000_000
UNITS = ("bytes", "kB", "MB", "GB", "TB")
FULL_SHARE = 0.95  # of the memory, beyond which a job cannot be expected to end


@dataclass(frozen=True)
class Needs:
    """What the jobs of a command need.

    Parameters
    ----------
    disk : int
        Bytes of their outputs.
    unsized : tuple of str
        Data sets and features whose size is not known before they are prepared.
    memory : int
        Bytes of the largest job, by earlier runs of its method; 0 if none is known.
    largest : str
        The job that needs this memory.
    """

    disk: int
    unsized: tuple[str, ...]
    memory: int
    largest: str


def planned(jobs: Iterable[Any]) -> list[Job]:
    """Return Snakemake's jobs as jobs of a plan."""
    return [job_of(job.rule.name, job.wildcards) for job in jobs]


def needs(plan: Plan, jobs: Iterable[Job]) -> Needs:
    """Return what jobs need.

    Parameters
    ----------
    plan : Plan
    jobs : iterable of Job
        Those that run.
    """
    sizes = _Sizes()
    peaks = _peaks(plan)
    disk, unsized, memory, largest = 0, {}, 0, ""
    for job in jobs:
        size = _output_bytes(job, plan, sizes)
        if size is None:
            names = job.key[:1] if job.rule == "dataset" else job.key[:2]
            unsized["/".join(map(str, names))] = None
        else:
            disk += size
        if job.rule == "encode":
            run = Run(*job.key)
            peak = max(peaks.get((run.place, run.variant), [0]))
            training = sizes.training_bytes(run.place) or 0
            if max(peak, training) > memory:
                memory, largest = max(peak, training), run.name
    return Needs(disk, tuple(unsized), memory, largest)


def shortage(needs: Needs) -> str:
    """Return why the disk or the memory of this machine cannot suffice; empty if they can."""
    free = shutil.disk_usage(".").free
    if needs.disk > free:
        return (
            f"disk: the outputs need {in_units(needs.disk)}, and {in_units(free)} are free in "
            f"{Path.cwd()}: nothing was started. Delete what you no longer need with `python -m "
            "experiments clean`, or link cache/ and results/ to another disk"
        )
    total = memory_bytes()
    if needs.memory > FULL_SHARE * total:
        return (
            f"memory: {needs.largest} needs {in_units(needs.memory)}, and this machine has "
            f"{in_units(total)}: nothing was started. Choose fewer training images "
            "(`training_images` of the data set), features with fewer dimensions, or leave out the "
            "method"
        )
    return ""


def summary(needs: Needs, parallel: int) -> str:
    """Return what is needed and what is free, for the header on the screen."""
    free = in_units(shutil.disk_usage(".").free)
    least = "at least " if needs.unsized else ""
    parts = [f"disk: {least}{in_units(needs.disk)} of {free} free"]
    if needs.memory:
        together = f", {parallel} at a time" if parallel > 1 else ""
        parts.append(f"memory: up to {in_units(needs.memory)} a job{together}")
    return "; ".join(parts)


def in_units(size: float) -> str:
    """Return a number of bytes in a unit that suits it, for example ``12.3 MB``."""
    unit = 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 else f"{size:,.1f} {UNITS[unit]}"


def _output_bytes(job: Job, plan: Plan, sizes: _Sizes) -> int | None:
    """Bytes of the outputs of a job; None if they depend on arrays that are not prepared."""
    if job.rule == "report":
        return REPORT_BYTES
    if job.rule not in ("dataset", "features", "neighbours", "views", "encode", "score"):
        return 0
    shape = sizes.images.get(job.key[0])
    if shape is None:
        # Codes of a data set of unknown size are small beside its images, which are reported.
        return None if job.rule == "dataset" else 0
    if job.rule == "dataset":
        return math.prod(shape)
    queries = sizes.parts.get(str(job.key[0]), {}).get("query", 0)
    if job.rule == "encode":
        bits = int(job.key[3])
        has_values = plan.methods[str(job.key[2])].plugin.has_project
        query_values = queries * bits * 4 if has_values else 0
        return shape[0] * -(-bits // 8) + query_values + RECORD_BYTES
    place = Place(*job.key[:2])
    if job.rule == "score":
        runs = plan.runs_of(plan.score(place, str(job.key[2])))
        return sum(queries * (run.bits + 1) * 8 for run in runs)
    if job.rule == "neighbours":
        return sizes.parts.get(place.dataset, {}).get("train", 0) * LIST_NEIGHBOURS * 4
    dimensions = sizes.dimensions.get(place)
    rows = shape[0]
    if job.rule == "views":
        rows = sizes.parts.get(place.dataset, {}).get("train", 0) * VIEWS
    return None if dimensions is None else rows * dimensions * 4


class _Sizes:
    """The sizes of data sets and features: prepared ones, else those of published experiments.

    Attributes
    ----------
    images : dict
        Shape of the images by data set.
    parts : dict
        Numbers of query, database and training images by data set.
    dimensions : dict
        Of the features of each place.
    """

    def __init__(self) -> None:
        self.images: dict[str, list[int]] = {}
        self.parts: dict[str, Mapping[str, int]] = {}
        self.dimensions: dict[Place, int] = {}
        for path in sorted(PUBLISHED.glob("*/experiment.json")):
            experiment = _json(path)
            for name, record in experiment.get("datasets", {}).items():
                self._add_dataset(name, record)
            for names, record in experiment.get("features", {}).items():
                self._add_features(names, record)
        for path in CACHE.glob("datasets/*/dataset.json"):
            self._add_dataset(path.parent.name, _json(path))
        for path in CACHE.glob("features/*/*/features.json"):
            self._add_features("/".join(path.parts[-3:-1]), _json(path))

    def training_bytes(self, place: Place) -> int | None:
        """Bytes of the features of the training images, which a method holds in memory."""
        dimensions = self.dimensions.get(place)
        train = self.parts.get(place.dataset, {}).get("train")
        return None if dimensions is None or train is None else dimensions * train * 4

    def _add_dataset(self, name: str, record: dict) -> None:
        if record.get("images"):
            self.images[name] = record["images"]
        self.parts[name] = record.get("sizes") or {}

    def _add_features(self, names: str, record: dict) -> None:
        if record.get("dimensions"):
            self.dimensions[Place(*names.split("/"))] = record["dimensions"]


def _json(path: Path) -> dict:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            return content
    return {}


def _peaks(plan: Plan) -> dict[tuple[Place, str], list[float]]:
    """The largest memory of earlier runs in bytes, by place and variant."""
    peaks = defaultdict(list)

    def add(row: Mapping, place: Place, variant: str) -> None:
        with contextlib.suppress(TypeError, ValueError):
            peak = float(row["peak_memory_mib"]) * 2**20
            peaks[place, variant].append(peak)

    for path in sorted(PUBLISHED.glob("*/runs.csv")):
        with contextlib.suppress(OSError, ValueError, KeyError), open(path, newline="") as file:
            for row in csv.DictReader(file):
                add(row, Place(row["dataset"], row["features"]), row["variant"])
    for run in plan.runs:
        record = _json(run.record)
        if record.get("peak_memory_mib"):
            add(record, run.place, run.variant)
    return peaks
