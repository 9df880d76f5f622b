"""Whether a run and its scores are what configuration, sources and inputs say now; each answer is a reason why not, or empty."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import experiments
import storage
from evaluation import METRIC_VERSION
from experiments import Run
from harness import identity


def prepared_problems(dataset: str, features: str, plan: dict) -> dict[str, str]:
    """For the descriptions of a data set, its features and its neighbour lists: why each is not what the plan and its sources say."""
    data, extracted = (experiments.variant(floor, name, plan) for floor, name in (("datasets", dataset), ("features", features)))
    paths = _paths({"dataset": dataset, "features": features})
    expected = {
        "dataset": {
            "settings": json.loads(experiments.settings_text("datasets", dataset, plan)),
            "sources": source_digests("datasets", data.component.name),
        },
        "features": {
            "settings": json.loads(experiments.settings_text("features", features, plan)),
            "sources": source_digests("features", extracted.component.name),
            "images_sha256": _present(paths["dataset"]).get("sha256", {}).get("images.npy"),
        },
        "neighbours": {
            "metric": extracted.neighbours,
            "sources": source_digests("features", "_neighbours"),
            "features_sha256": _present(paths["features"]).get("sha256"),
        },
    }
    return {path: _problem(path, _present(path), expected[name]) for name, path in paths.items() if Path(path).is_file()}


def run_problem(run: Run, record: dict, plan: dict) -> str:
    """Why `record`, the run's run.json, is not of the run that the plan asks for, or its codes are not those it describes."""
    variant = experiments.variant("methods", run.variant, plan)
    expected = {
        "run": vars(run),
        "keywords": json.loads(experiments.settings_text("methods", run.variant, plan))["set"],
        "sources": source_digests("methods", variant.component.name),
    }
    paths = _paths(vars(run))
    for name in experiments.described_by(variant.component):
        expected[name] = {key: _present(paths[name]).get(key) for key in experiments.IDENTITY[name]}
    return _problem(run.folder, record, expected) or _codes_problem(Path(run.folder), record)


def _codes_problem(folder: Path, record: dict) -> str:
    """Why codes.npz is not the file that run.json describes; one that is no newer than run.json is taken as it is."""
    codes = folder / "codes.npz"
    if not codes.is_file():
        return f"{folder} has no codes.npz"
    if codes.stat().st_mtime_ns > (folder / "run.json").stat().st_mtime_ns and storage.digest(codes) != record.get("codes_sha256"):
        return f"{codes} is not the file that was made: its SHA-256 is not that in run.json"
    return ""


def score_problem(folder: Path, score: dict, records: dict[Run, dict]) -> str:
    """Why `score`, the score.json of a variant, is not of the codes in `records`, its run.json of each run, by the present metrics.

    A control has no runs: its score is of the present features.
    """
    if score.get("metric_version") != METRIC_VERSION:
        return f"{folder} was scored by version {score.get('metric_version')} of the metrics, now {METRIC_VERSION}"
    place = dict(zip(("dataset", "features", "variant"), folder.parts[-3:], strict=True))
    described = {name: _present(path) for name, path in _paths(place).items()}
    files = described["dataset"].get("sha256", {})
    inputs = {name: files.get(name) for name in ("labels.npy", "split.npz")}
    problem = _problem(str(folder), score, place | {"sources": source_digests("evaluation", "scoring"), "inputs": inputs}, "scored")
    if problem:
        return problem
    scored = {(entry["bits"], entry["seed"]): entry for entry in score["runs"]}
    for run, record in records.items():
        if scored.get((run.bits, run.seed), {}).get("codes.npz") != record["codes_sha256"]:
            return f"{folder} was scored with other codes than those in {run.folder}"
    if not records and scored.get((0, 0), {}).get("features.npy") != described["features"].get("sha256"):
        return f"{folder} was scored with other features than now"
    return ""


def _problem(what: str, record: dict, expected: dict, made: str = "made") -> str:
    """The first of the `expected` facts that the record of `what` lacks or says otherwise."""
    for fact, now in expected.items():
        if fact not in record:
            return f"{what} was {made} by an older version of bgan-bench: it does not say its {fact}"
        before, now = _given(record[fact]), _given(now)
        if before != now:
            return f"{what} was {made} with other {fact} than now: {_difference(before, now)}"
    return ""


def _given(fact: object) -> object:
    """A fact without what is None: a keyword that is not given, which an older version may not have had."""
    return {key: _given(value) for key, value in fact.items() if value is not None} if isinstance(fact, dict) else fact


@functools.cache
def source_digests(floor: str, name: str) -> dict[str, str]:
    return identity.digests(identity.sources(floor, name))


@functools.cache
def _present(path: str) -> dict:
    return storage.read_json(path) if Path(path).is_file() else {}


def _paths(place: dict) -> dict[str, str]:
    return {name: path.format(**place) for name, path in experiments.DESCRIPTIONS.items()}


def _difference(recorded: object, now: object) -> str:
    if not (isinstance(recorded, dict) and isinstance(now, dict)):
        return f"it was {_short(recorded)}, now {_short(now)}"
    key = next(key for key in {**recorded, **now} if recorded.get(key) != now.get(key))
    if isinstance(recorded.get(key), dict) and isinstance(now.get(key), dict):
        return _difference(recorded[key], now[key])
    return f"{key} was {_short(recorded.get(key))}, now {_short(now.get(key))}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:12] + "..."
