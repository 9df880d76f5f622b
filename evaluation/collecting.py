"""The jobs `collect` and `partial`: one table of all metrics and one of all runs, held against what the configuration says now."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import experiments
import plugins
import provenance
import storage
from evaluation import METRIC_VERSION, statistics
from evaluation.stale import prepared_problems, run_problem, score_problem
from experiments import BenchmarkError, Run

COLUMNS = (
    "dataset", "features", "variant", "bits", "seed", "status", "message", "method", "label", "citation", "encoder", "weights",
    "keywords", "fit_seconds", "encode_seconds", "peak_memory_mib", "items", "distinct_codes", "bit_balance", "saturated", "device",
    "repeats", "threads", "versions", "commit", "dirty", "date", "codes_sha256", "folder",
)  # fmt: skip
COPIED = set(COLUMNS[COLUMNS.index("fit_seconds") : -1]) - {"versions"}  # as they stand in run.json
NAMED = 4  # files that a refusal names; of more it names the rule
TOLD = 10  # failures whose messages are printed

Place = tuple[str, str, str]  # data set, features, variant


def collect(plan: dict) -> None:
    """Write results/metrics.csv, runs.csv, statistics.csv, comparisons.csv and experiment.json of every run that the plan asks for.

    Raises BenchmarkError, by name, for a run or score that was made with other code, data, features or parameters than now.
    """
    for pair in experiments.grid(plan):
        _refuse("dataset features neighbours", prepared_problems(*pair, plan))
    records = {run: storage.read_json(f"{run.folder}/run.json") for run in experiments.runs(plan)}
    _refuse("encode", {f"{run.folder}/codes.npz": run_problem(run, record, plan) for run, record in records.items()})
    folders = {place: _score_folder(place) for place in experiments.scored_folders(plan)}
    scores = {place: storage.read_json(folder / "score.json") for place, folder in folders.items()}
    made = _by_place(records)
    problems = {place: score_problem(folder, scores[place], made.get(place, {})) for place, folder in folders.items()}
    _refuse("score", {f"{folders[place]}/score.json": problem for place, problem in problems.items()})
    rows = [_row(run, plan, record) for run, record in records.items()]
    _write(Path("results"), plan, rows, folders, scores)


def partial(plan: dict, running: bool = False) -> None:
    """The same tables in results/partial, from the runs that are there and current; the others with what is known of them.

    running: jobs may be at work, and a log that does not say why it ended is no failure.
    """
    from evaluation import scoring

    root = Path("results/partial")
    prepared = {path: problem for pair in experiments.grid(plan) for path, problem in prepared_problems(*pair, plan).items()}
    states = {run: _state(run, plan, prepared, running) for run in experiments.runs(plan)}
    made = _by_place({run: record for run, (record, _, _) in states.items() if record})
    folders, scores = {}, {}
    for place in experiments.scored_folders(plan):
        available = [(run.bits, run.seed) for run in made.get(place, {})]
        if place[2] in experiments.CONTROLS and _prepared(place, prepared):
            available = [(0, 0)]
        if available:
            folders[place] = root / "scores" / Path(*place)
            scoring.score(*place, available, folders[place])
            scores[place] = storage.read_json(folders[place] / "score.json")
    _write(root, plan, [_row(run, plan, *state) for run, state in states.items()], folders, scores, partial=True)


def failures() -> list[str]:
    """`LOG: message` of each job of this command that failed; how many more there are goes last.

    Every floor's last words are then a line that begins with its name, whatever else a method has printed.
    """
    started, found = int(_started() or 0), []
    for log in sorted(path for path in Path("logs").rglob("*.log") if path.stat().st_mtime >= started):
        floor, _, message = _last_line(log).partition(": ")
        found += [f"{log}: {message}"] if floor in plugins.FOLDERS else []
    more = len(found) - TOLD
    return found[:TOLD] + ([f"and {more:,} more: see the last lines of logs/"] if more > 0 else [])


def _last_line(log: Path) -> str:
    return next((line for line in reversed(log.read_text(encoding="utf-8", errors="replace").split("\n")) if line.strip()), "")


def _started() -> float | None:
    """When the command began, seconds since the epoch; None outside a workflow."""
    started = os.environ.get("BGAN_BENCH_STARTED")
    return float(started) if started else None


def _refuse(rules: str, problems: dict[str, str]) -> None:
    """Raise BenchmarkError for the first problem, with what makes the files anew: their names, or their rules where they are many.

    problems: why a file is refused, or empty, by the file.
    """
    found = {file: problem for file, problem in problems.items() if problem}
    if found:
        others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        again = rules if len(found) > NAMED else " ".join(found)
        raise BenchmarkError(f"{next(iter(found.values()))}{others}; add `--forcerun {again}` to the command to make them anew")


def _by_place(records: dict[Run, dict]) -> dict[Place, dict[Run, dict]]:
    places = {}
    for run, record in records.items():
        places.setdefault((run.dataset, run.features, run.variant), {})[run] = record
    return places


def _prepared(place: Place, prepared: dict[str, str]) -> bool:
    """Whether a control has what it ranks, made as the plan says."""
    needed = (f"{experiments.DATASET}/labels.npy", f"{experiments.FEATURES}/features.npy")
    described = (experiments.DESCRIPTIONS[name] for name in ("dataset", "features"))
    files, facts = ([pattern.format(dataset=place[0], features=place[1]) for pattern in patterns] for patterns in (needed, described))
    return all(Path(file).is_file() for file in files) and not any(prepared.get(file) for file in facts)


def _state(run: Run, plan: dict, prepared: dict[str, str], running: bool) -> tuple[dict | None, str, str]:
    """The run's record if it is done and current, its status, and what there is to say of it. prepared: as of `prepared_problems`."""
    path, log = Path(run.folder, "run.json"), Path(run.log)
    if path.is_file():
        made_of = experiments.described_by(experiments.variant("methods", run.variant, plan).component)
        problems = [prepared.get(pattern.format(**vars(run))) for pattern in made_of.values()]
        try:
            record = storage.read_json(path)
            problem = next(filter(None, problems), "") or run_problem(run, record, plan)
        except BenchmarkError as error:
            problem = str(error)
        return (None, "missing", problem) if problem else (record, "done", "")
    if not log.is_file():
        return None, "missing", ""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
    said = [line for line in lines if line.startswith("methods: ")]
    if said:
        return None, "failed", said[-1].removeprefix("methods: ")
    last = f"; the last line of its log: {lines[-1].strip()}" if lines else ""
    return None, *(("missing", f"not finished{last}") if running else ("failed", f"the job ended without a message{last}"))


def _score_folder(place: Place) -> Path:
    return Path(experiments.SCORES.format(dataset=place[0], features=place[1], variant=place[2]))


def _row(run: Run, plan: dict, record: dict | None, status: str = "done", message: str = "") -> dict:
    """One line of runs.csv."""
    variant = experiments.variant("methods", run.variant, plan)
    encoder, weights = experiments.encoder(run.features, run.variant, plan)
    known = {
        "status": status,
        "message": message,
        "method": variant.component.name,
        "label": variant.label,
        "citation": variant.component.literals.get("citation"),
        "encoder": encoder,
        "weights": weights,
        "keywords": json.dumps({key: value for key, value in variant.keywords.items() if key != "seed"}),
        "folder": run.folder,
    }
    return vars(run) | known | (_made(record) if record else {})


def _made(record: dict) -> dict:
    """What of a run.json stands in runs.csv."""
    versions = {"python": record["python"]} | record["versions"]
    return {key: record.get(key) for key in COPIED} | {"versions": json.dumps(versions)}


def _write(root: Path, plan: dict, rows: list[dict], folders: dict[Place, Path], scores: dict[Place, dict], partial: bool = False) -> None:
    with storage.new_file(root / "metrics.csv") as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write("dataset,features,variant,bits,seed,metric,k,value\n")
        for place, folder in folders.items():
            file.writelines(f"{','.join(place)},{line}" for line in _lines(folder / "metrics.csv"))
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with storage.new_file(root / "runs.csv") as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    statistics.write(root, plan, folders)
    storage.write_json(root / "experiment.json", _experiment(plan, rows, scores) | {"partial": partial})


def _lines(path: Path) -> Iterator[str]:
    """The lines of a variant's metrics without their header."""
    with open(path, encoding="utf-8") as file:
        next(file)
        yield from file


def _experiment(plan: dict, rows: list[dict], scores: dict[Place, dict]) -> dict:
    """What the report says of the experiment as a whole."""
    now = provenance.record()
    described = {f"{d}/{f}": experiments.variant("features", f, plan) for d, f in experiments.grid(plan)}
    return {
        **{key: now[key] for key in ("date", "commit", "dirty", "machine", "versions", "python")},
        **{key: plan[key] for key in ("bits", "seeds")},
        "timed": plan.get("timed", []),
        "configfiles": plan.get("configfiles", []),
        "metric_version": METRIC_VERSION,
        "trials": plan.get("trials", {}),
        "tried": {name: tried for name, tried in plan.get("tried", {}).items() if name in _without_validation(plan["datasets"])},
        "grid": experiments.grid(plan),
        "datasets": {name: _dataset(name, plan) for name in plan["datasets"]},
        "features": {pair: _features(pair, variant) for pair, variant in described.items()},
        "methods": [_method(name, plan) for name in plan["methods"]],
        "controls": [{"name": name, "label": experiments.CONTROLS[name]} for name in plan["controls"]],
        "omitted": [
            {"dataset": place[0], "features": place[1], **omitted}
            for place, score in _first_of_each_pair(scores).items()
            for omitted in score["omitted"]
        ],
        "queries_left_out": {f"{place[0]}/{place[1]}": score["queries_left_out"] for place, score in scores.items()},
        "failures": [_failure(row) for row in rows if row["status"] == "failed"],
        "cost": _cost(rows, scores),
    }


def _without_validation(datasets: list[str]) -> list[str]:
    return [name.removesuffix(experiments.VALIDATION) for name in datasets]


def _described(folder: str, name: str, label: str) -> dict:
    """A data set's own description; in a partial report it may not have come to one."""
    path = Path(folder, name)
    return storage.read_json(path) if path.is_file() else {"label": label}


def _dataset(name: str, plan: dict) -> dict:
    label = experiments.variant("datasets", name, plan).label
    return _described(experiments.DATASET.format(dataset=name), "dataset.json", label) | {"label": label}


def _features(pair: str, variant: experiments.Variant) -> dict:
    dataset, features = pair.split("/")
    found = _described(experiments.FEATURES.format(dataset=dataset, features=features), "features.json", variant.label)
    made = {"of": variant.component.name, "keywords": variant.keywords}
    return {"label": variant.label, "note": variant.note, "dimensions": found.get("dimensions")} | made


def _method(name: str, plan: dict) -> dict:
    variant = experiments.variant("methods", name, plan)
    return {
        "name": name,
        "label": variant.label,
        "method": variant.component.name,
        "citation": variant.component.literals.get("citation"),
        "note": variant.note,
        "tuned": variant.tuned,
        "set": variant.settings,
        "stochastic": variant.stochastic,
        "keywords": {key: value for key, value in variant.keywords.items() if key != "seed"},
    }


def _first_of_each_pair(scores: dict[Place, dict]) -> dict[Place, dict]:
    """One score of each (data set, features): what is left out for want of a larger database is the same for all."""
    return {place: score for place, score in scores.items() if place == next(other for other in scores if other[:2] == place[:2])}


def _failure(row: dict) -> dict:
    run = Run(*(row[key] for key in ("dataset", "features", "variant", "bits", "seed")))
    return {"run": vars(run), "log": run.log, "message": row["message"]}


def _cost(rows: list[dict], scores: dict[Place, dict]) -> dict:
    """What this command spent in methods and metrics, for the harness's own share of it; `started` is null outside a workflow."""
    started = _started()
    since = int(started or 0)
    made = [row for row in rows if row["status"] == "done" and _epoch(row["date"]) >= since]
    scored = [run["seconds"] for score in scores.values() if _epoch(score["date"]) >= since for run in score["runs"]]
    return {
        "started": started,
        "cores": int(os.environ.get("BGAN_BENCH_CORES", "1")),
        "runs_made": len(made),
        "fit_seconds": sum(row["fit_seconds"] or 0 for row in made),
        "encode_seconds": sum(row["encode_seconds"] or 0 for row in made),
        "score_seconds": sum(scored),
    }


def _epoch(date: str) -> float:
    return datetime.fromisoformat(date).timestamp()
