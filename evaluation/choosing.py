"""The job `choose`: from the trials of each method, on validation labels, the settings that it is compared with."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from pathlib import Path

from harness import records, storage
from harness.errors import BenchmarkError

METRIC = "map"


def choose(results: Path, output: Path) -> None:
    """Choose the trial of highest mean mAP over all code lengths, the earlier of equals, and write variants with its parameters.

    A trial with a failed run has no mAP and is never chosen.

    Parameters
    ----------
    results : Path
        Folder with experiment.json, runs.csv and metrics.csv of an experiment with `trials`. Each of its data sets is a
        `NAME-validation`, so that no test query is ever used.
    output : Path
        Folder of NAME.json, one configuration per data set. Entries of the methods of this experiment are replaced, others stay:
        for each method X the variants `X.tuned-NAME`, and `X.as-bgan-NAME` with the parameters chosen for BGAN where they differ.
        The key `tried` has every trial with its mAP.

    Raises
    ------
    BenchmarkError
        For an experiment without trials, on test queries, with two features of a data set, with a missing run, or with other
        features, code lengths or seeds than those of methods that would stay.
    """
    experiment = records.read(results / "experiment.json")
    if not experiment["trials"]:
        raise BenchmarkError(f"{results}/experiment.json has no trials: run an experiment that has, as config/tuning.yaml")
    scores = _scores(results)
    counts = []
    for dataset, features in experiment["grid"]:
        if not experiment["datasets"][dataset]["validation"]:
            raise BenchmarkError(f"{dataset}: parameters are chosen on {dataset}-validation only, never on test queries")
        beside = [other for name, other in experiment["grid"] if name == dataset]
        if len(beside) > 1:
            raise BenchmarkError(f"{dataset} has the features {', '.join(beside)}: expected one, as its settings are chosen once")
        name = experiment["datasets"][dataset]["base"]
        path = output / f"{name}.json"
        config = storage.read_json(path) if path.is_file() else {"variants": {"methods": {}}, "tried": {}}
        methods = _tried(experiment, {key: value for key, value in scores.items() if key[0] == (dataset, features)})
        terms = {"features": features} | {key: experiment[key] for key in ("bits", "seeds")}
        methods = _staying(config["tried"].get(name), terms, methods, str(path)) | methods
        config["tried"][name] = terms | {"methods": methods}
        config["variants"]["methods"] = _chosen(methods, name)
        storage.write_json(path, config)
        counts.append(f"{path}: parameters of {len(methods)} methods")
    print("\n".join(counts))


def _scores(results: Path) -> dict[tuple, list[float | None]]:
    """((data set, features), variant) -> the mAP of each of its runs, None for a failed one."""
    with open(results / "runs.csv", newline="", encoding="utf-8") as file:
        runs = list(csv.DictReader(file))
    with open(results / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == METRIC]
    values = {(row["dataset"], row["features"], row["variant"], row["bits"], row["seed"]): float(row["value"]) for row in rows}
    scores = defaultdict(list)
    for run in runs:
        if run["status"] == "missing":
            raise BenchmarkError(f"{run['folder']} is missing: run the experiment again before settings are chosen")
        key = run["dataset"], run["features"], run["variant"], run["bits"], run["seed"]
        scores[(run["dataset"], run["features"]), run["variant"]].append(values[key] if run["status"] == "done" else None)
    return scores


def _tried(experiment: dict, scores: dict[tuple, list[float | None]]) -> dict[str, dict]:
    """Each method with trials: its plugin, the parameters and mean mAP of every trial, and the position of the chosen one."""
    maps = {name: None if None in values else math.fsum(values) / len(values) for (_, name), values in scores.items()}
    methods = {}
    for method in experiment["methods"]:
        if method["trial"] is None:
            continue
        name = method["base"]
        made = {"of": method["method"], "label": method["label"].rpartition(",")[0], "commit": experiment["commit"], "trials": []}
        tried = methods.setdefault(name, made)
        tried["trials"].append({"set": method["set"], "map": maps[method["name"]]})
    for name, tried in methods.items():
        done = [place for place, trial in enumerate(tried["trials"]) if trial["map"] is not None]
        if not done:
            raise BenchmarkError(f"{name}: every trial failed; see its logs, and try other settings")
        tried["chosen"] = max(done, key=lambda place, trials=tried["trials"]: (trials[place]["map"], -place))
    return methods


def _staying(before: dict | None, terms: dict, methods: dict, where: str) -> dict[str, dict]:
    """Methods of the data set that were tried before and not now: on the same terms, or they could not stand in one table."""
    staying = {name: tried for name, tried in before["methods"].items() if name not in methods} if before else {}
    for key, value in terms.items():
        if staying and before[key] != value:
            raise BenchmarkError(
                f"{where} has settings of {', '.join(staying)} chosen with {key} {before[key]}, these have {value}: try them alike, "
                "or name another folder with --output, and give its file to snakemake as a --configfile"
            )
    return staying


def _chosen(methods: dict[str, dict], name: str) -> dict[str, dict]:
    """The variants with the chosen parameters."""
    entries = {}
    for method, tried in methods.items():
        settings = tried["trials"][tried["chosen"]]["set"]
        entries[f"{method}.tuned-{name}"] = _entry(method, tried, settings, "tuned", "own", name)
        if tried["of"] == "bgan" and "bgan" in methods:
            of_bgan = tried["trials"][methods["bgan"]["chosen"]]["set"]
            if of_bgan != settings:
                entries[f"{method}.as-bgan-{name}"] = _entry(method, tried, of_bgan, "BGAN's tuning", "bgan", name)
    return entries


def _entry(method: str, tried: dict, overrides: dict, what: str, whose: str, name: str) -> dict:
    return {
        "of": tried["of"],
        "set": overrides,
        "label": f"{tried['label']} ({what})",
        "note": f"tuned on validation labels: {json.dumps(overrides)}",
        "base": method,
        "tuned": whose,
        "tuned_on": name,
        "datasets": [name],
    }
