"""Collect the scores and records of all runs into tables: the jobs `collect` and `partial`."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from evaluation import METRIC_VERSION
from experiments import scoring, statistics, tables
from experiments.job_logs import ending, memory_params
from harness import identity, records, schemas, storage
from harness.errors import BenchmarkError
from harness.plan import (
    Job,
    Place,
    Plan,
    Run,
    Score,
    encode_job,
    fields_of,
)
from harness.progress import Progress
from harness.stale import MISSING, State
from harness.variants import CONTROLS, Variant

NAMED_FILES = 4  # in an error; of more files it names the rule


def collect(plan: Plan) -> None:
    """Write metrics.csv, runs.csv, statistics.csv, comparisons.csv and experiment.json of a plan.

    Raises
    ------
    BenchmarkError
        For a data set, features, a run or a score that is missing or not current, by its name.
    """
    state = State(plan)
    _refuse_stale(state)
    rows = [_row(run, plan, state.record(run.record)) for run in plan.runs]
    scores = {score: state.record(score.record) for score in plan.scores}
    _check_contents(scores)
    _write(plan.root, plan, rows, scores, made_of=state.made_of(Job("collect")))


def partial(plan: Plan, running: bool = False) -> None:
    """Write the same tables of the runs that are done and current so far, below `partial`.

    Parameters
    ----------
    plan : Plan
    running : bool
        Whether jobs may be at work: a log without a final line is then no failure.
    """
    root, state = plan.partial_root, State(plan)
    states = {run: _run_state(run, plan, state, running) for run in plan.runs}
    done = {run for run, (status, _) in states.items() if status == "done"}
    scores = _partial_scores(plan, state, done)

    rows = []
    for run, (status, message) in states.items():
        record = state.record(run.record) if status == "done" else None
        rows.append(_row(run, plan, record, status, message))

    _write(root, plan, rows, scores, partial=True)


def _partial_scores(plan: Plan, state: State, done: set[Run]) -> dict[Score, dict]:
    """Return the scores of the runs that are done, below the folder of the partial tables.

    What is scored already is copied. A control that is not is left out, since it takes longest.
    """
    targets, unscored = [], []
    for score in plan.scores:
        target = plan.score(score.place, score.variant, plan.partial_root)
        runs = [run for run in plan.runs_of(score) if run in done]
        if not state.problem(Job("score", score.key)):
            _copy_score(score, target)
        elif not runs:
            continue
        elif not _is_current(target, runs, plan, state):
            unscored.append((target, [(run.bits, run.seed) for run in runs]))
        targets.append(target)

    progress = Progress("scoring", total=len(unscored), unit="methods")
    for target, runs in unscored:
        with contextlib.redirect_stdout(io.StringIO()):
            scoring.score(target, runs, plan.rankings)
        progress.advance()

    return {target: records.read(target.record) for target in targets}


def _copy_score(score: Score, target: Score) -> None:
    if target.record.is_file() and storage.digest(target.record) == storage.digest(score.record):
        return
    with storage.new_folder(target.folder) as folder:
        for path in (score.metrics, score.histograms, score.record):
            shutil.copyfile(path, folder / path.name)


def _is_current(target: Score, runs: list[Run], plan: Plan, state: State) -> bool:
    """Return whether earlier partial scores are those of the runs that are done now."""
    run_records = {schemas.run_part(run.bits, run.seed): state.record(run.record) for run in runs}
    codes = {part: record["codes_sha256"] for part, record in run_records.items()}
    plugin = plan.datasets[target.dataset].plugin.name
    digests = records.place_digests(target.place, "features")
    optional = records.of_rankings(plan.rankings, run_records)
    made_of = records.of_scores(codes, plugin, digests, optional)
    try:
        record = records.read(target.record)
    except BenchmarkError:  # missing, or of another version
        return False

    return not identity.difference(record.get("made_of") or {}, made_of)


def _refuse_stale(state: State) -> None:
    """Raise BenchmarkError for the first result that is not current, and how to recompute it."""
    jobs = [job for job in state.plan.jobs() if job.rule not in ("collect", "timing", "report")]
    problems = {job: problem for job in jobs if (problem := state.problem(job))}
    if not problems:
        return

    files = [state.plan.record(job).as_posix() for job in problems]
    problem = next(iter(problems.values()))
    more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
    recomputed = " ".join(files) if len(files) <= NAMED_FILES else "them"
    raise BenchmarkError(
        f"{files[0]}: {problem}{more}: rerun `snakemake --cores all`, which recomputes {recomputed}"
    )


def _check_contents(scores: dict[Score, dict]) -> None:
    """Raise BenchmarkError if a file is not the one that the record of its scores describes."""
    for score, record in scores.items():
        for path in (score.metrics, score.histograms):
            if storage.digest(path) != record["sha256"][path.name]:
                raise BenchmarkError(
                    f"{path} was changed after it was written: its SHA-256 is not the one in "
                    f"{score.record}: delete it and rerun the command"
                )


def _run_state(run: Run, plan: Plan, state: State, running: bool) -> tuple[str, str]:
    """Return the status of a run (done, missing, failed or interrupted), and a message on it."""
    problem = state.problem(encode_job(run))
    if not problem:
        return "done", ""
    if run.record.is_file():
        return "missing", "" if problem == MISSING else problem
    if not run.log.is_file():
        return "missing", ""

    ended = ending(run.log, memory_params(plan, run.variant))
    if ended.status:
        return ended.status, ended.message

    last = f"; the last line of its log: {ended.message}" if ended.message else ""
    if running:
        return "missing", f"not finished{last}"

    return "interrupted", f"the job was stopped before it ended{last}"


def _row(
    run: Run, plan: Plan, record: dict | None, status: str = "done", message: str = ""
) -> dict:
    """Return one line of runs.csv."""
    variant = plan.methods[run.variant]
    encoder, weights = plan.encoder_and_weights(run.features, run.variant)
    known = {
        "status": status,
        "message": message,
        "method": variant.plugin.name,
        "label": variant.label,
        "citation": variant.plugin.member("citation"),
        "encoder": encoder,
        "weights": weights,
        **variant.uses,
        "keywords": json.dumps(variant.params),
        "folder": run.folder.as_posix(),
    }
    return fields_of(run) | known | (_measured(record) if record else {})


def _measured(record: dict) -> dict:
    """Return the columns of runs.csv that a run.json fills."""
    versions = {"python": record["python"]} | record["versions"]
    environment = {"versions": json.dumps(versions), "processor": record["machine"]["processor"]}
    return {key: record.get(key) for key in schemas.RECORD_COLUMNS} | environment


def _write(
    root: Path,
    plan: Plan,
    rows: list[dict],
    scores: dict[Score, dict],
    made_of: dict | None = None,
    partial: bool = False,
) -> None:
    with (
        storage.new_file(root / "metrics.csv") as temporary,
        open(temporary, "w", encoding="utf-8") as file,
    ):
        file.write(",".join(schemas.METRICS_CSV) + "\n")
        for score in scores:
            key = ",".join(score.key)
            file.writelines(f"{key},{line}" for line in _lines(score.metrics))

    tables.write_rows(root / "runs.csv", schemas.RUNS_CSV, rows)
    statistics.write(root, plan, scores)
    records.write(
        root / "experiment.json",
        made_of or {},
        **_experiment(plan, rows, scores),
        partial=partial,
        sha256={name: storage.digest(root / name) for name in schemas.COLLECTED_TABLES},
    )


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a variant's metrics without their header."""
    with open(path, encoding="utf-8") as file:
        next(file)
        yield from file


def _experiment(plan: Plan, rows: list[dict], scores: dict[Score, dict]) -> dict:
    """Return what the report states of the experiment as a whole."""
    used = {variant.base if variant.validation else name for name, variant in plan.datasets.items()}
    return {
        "name": plan.name,
        "bits": list(plan.bits),
        "seeds": list(plan.seeds),
        "timed": list(plan.timed),
        "configfiles": list(plan.configfiles),
        "metric_version": METRIC_VERSION,
        "trials": plan.trials,
        "tried": {name: tried for name, tried in plan.tried.items() if name in used},
        "tables": plan.config.get("tables") or [],
        "figures": plan.config.get("figures") or [],
        "grid": [[place.dataset, place.features] for place in plan.places],
        "datasets": {name: _dataset(variant) for name, variant in plan.datasets.items()},
        "features": {
            f"{place.dataset}/{place.features}": _features(place, plan.features[place.features])
            for place in plan.places
        },
        "methods": [_method(variant) for variant in plan.methods.values()],
        "controls": [{"name": name, "label": CONTROLS[name]} for name in plan.controls],
        "omitted": _omitted(scores),
        "queries_left_out": {
            f"{score.dataset}/{score.features}": record["queries_left_out"]
            for score, record in scores.items()
        },
        "failures": [_failure(row) for row in rows if row["status"] == "failed"],
    }


def _described(path: Path, label: str) -> dict:
    """Return the record of a data set or features; in a partial report it may be missing."""
    return records.read(path) if path.is_file() else {"label": label}


def _dataset(variant: Variant) -> dict:
    record = _described(Place(variant.name, "").dataset_record, variant.label)
    relations = {
        "plugin": variant.plugin.name,
        "base": variant.base,
        "validation": variant.validation,
    }
    return record | {"label": variant.label} | relations


def _features(place: Place, variant: Variant) -> dict:
    record = _described(place.features_record, variant.label)
    dimensions = {"dimensions": record.get("dimensions")}
    entry = {"of": variant.plugin.name, "keywords": variant.params}
    dataset = _described(place.dataset_record, place.dataset)
    notes = (variant.note.rstrip("."), preparation(record, dataset))
    note = "; ".join(note for note in notes if note)
    return {"label": variant.label, "note": note} | dimensions | entry


def preparation(features: dict, dataset: dict) -> str:
    """Return what captions state of the features of an ImageNet network; empty for others.

    Parameters
    ----------
    features, dataset : dict
        Records of features and of their data set.
    """
    if "weights_sha256" not in features:
        return ""

    text = "network trained with ImageNet's labels"
    side = features["preprocessing"]["resize"][0]
    height, width = dataset["images"][1:3]
    if max(height, width) < side:
        text += f"; images of {width} x {height} pixels enlarged to {side} x {side}"
    return text


def _method(variant: Variant) -> dict:
    return {
        "name": variant.name,
        "label": variant.label,
        "method": variant.plugin.name,
        "citation": variant.plugin.member("citation"),
        "note": variant.note,
        "base": variant.base,
        "trial": variant.trial,
        "tuned": variant.tuned,
        "tuned_on": variant.tuned_on,
        "fitted_on": variant.fitted_on,
        "tunable": bool(variant.plugin.member("search_space")),
        "set": variant.overrides,
        **variant.uses,
        "stochastic": variant.stochastic,
        "keywords": variant.params,
    }


def _omitted(scores: dict[Score, dict]) -> list[dict]:
    """Return the metrics that are left out for each place, and why."""
    entries: dict[tuple, dict] = {}
    for score, record in scores.items():
        names = {"dataset": score.dataset, "features": score.features}
        for omitted in record["omitted"]:
            entries[score.place, omitted["metric"], omitted["k"]] = names | omitted
    return list(entries.values())


def _failure(row: dict) -> dict:
    run = Run(*(row[key] for key in ("dataset", "features", "variant", "bits", "seed")))
    return {"run": fields_of(run), "log": run.log.as_posix(), "message": row["message"]}
