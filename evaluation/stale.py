"""Whether a run and its scores are what configuration, sources and inputs say now; each answer is a reason why not, or empty."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import experiments
import provenance
import storage
from evaluation import METRIC_VERSION
from experiments import Run


def run_problem(run: Run, record: dict, plan: dict) -> str:
    """Why `record`, the run's run.json, is not of the run that the plan asks for."""
    variant = experiments.variant("methods", run.variant, plan)
    place = vars(run)
    expected = {
        "keywords": json.loads(experiments.settings_text("methods", run.variant, plan))["set"],
        "sources": source_digests(variant.component.name),
        "dataset": _identity(experiments.DATASET.format(**place) + "/dataset.json", record["dataset"]),
        "features": _identity(experiments.FEATURES.format(**place) + "/features.json", record["features"]),
    }
    for what, now in expected.items():
        if record[what] != now:
            return f"{run.folder} was made with other {what} than now: {_difference(record[what], now)}"
    return ""


def score_problem(folder: Path, score: dict, records: dict[Run, dict]) -> str:
    """Why `score`, the score.json of a variant, is not of the codes in `records`, its run.json of each run, by the present metrics."""
    if score["metric_version"] != METRIC_VERSION:
        return f"{folder} was scored by version {score['metric_version']} of the metrics, now {METRIC_VERSION}"
    if score["sources"] != scoring_digests():
        return f"{folder} was scored by other code than now: {_difference(score['sources'], scoring_digests())}"
    scored = {(entry["bits"], entry["seed"]): entry.get("codes.npz") for entry in score["runs"]}
    for run, record in records.items():
        if scored.get((run.bits, run.seed)) != record["codes_sha256"]:
            return f"{folder} was scored with other codes than those in {run.folder}"
    return ""


@functools.cache
def source_digests(method: str) -> dict[str, str]:
    return provenance.digests(experiments.sources("methods", method))


@functools.cache
def scoring_digests() -> dict[str, str]:
    return provenance.digests(experiments.sources("evaluation", "scoring"))


@functools.cache
def _present(path: str) -> dict:
    return storage.read_json(path) if Path(path).is_file() else {}


def _identity(path: str, like: dict) -> dict:
    """What the description at `path` says now of the keys that a run recorded."""
    return {key: _present(path).get(key) for key in like}


def _difference(recorded: dict, now: dict) -> str:
    key = next(key for key in {**recorded, **now} if recorded.get(key) != now.get(key))
    return f"{key} was {_short(recorded.get(key))}, now {_short(now.get(key))}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:12] + "..."
