"""Choose the parameters of each method from trials on validation labels: the job `choose`."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

from experiments import tables
from harness import records, schemas, storage
from harness.errors import BenchmarkError

METRIC = "map"
TABLES = ("runs.csv", "metrics.csv")  # that are read
EXPERIMENT_KEYS = ("trials", "grid", "datasets", "methods", "bits", "seeds", "commit", "sha256")


def choose(results: Path, output: Path) -> None:
    """Choose a trial of each method, and write variants with its parameters.

    The trial with the highest mean mAP over all code lengths is chosen, the first one of equals. A
    trial with a failed run has no mAP and is never chosen.

    Parameters
    ----------
    results : Path
        Folder with experiment.json, runs.csv and metrics.csv of an experiment with `trials`. Each
        of its data sets is a `NAME-validation`, so that no test query is ever used.
    output : Path
        Folder of NAME.json, one configuration per data set. Entries of the methods of this
        experiment are replaced, others stay: for each method X the variants `X.tuned-NAME`, and
        `X.as-Y-NAME` with the parameters chosen for Y, the method named after the plugin of X, if
        they differ. The key `tried` has every trial with its mAP.

    Raises
    ------
    BenchmarkError
        For an experiment without trials, on test queries, with two features of a data set, with a
        missing run, or with other features, code lengths or seeds than those of methods that would
        stay.
    """
    experiment = _experiment(results)
    if not experiment["trials"]:
        raise BenchmarkError(
            f"{results}/experiment.json has no trials: expected an experiment with the key "
            "`trials`, as config/tuning.yaml. Name its folder in --results"
        )

    scores, lines = _scores(results), []
    for dataset, features in experiment["grid"]:
        _check_dataset(experiment, dataset)
        name = experiment["datasets"][dataset]["base"]
        path = output / f"{name}.json"
        config = {"variants": {"methods": {}}, "tried": {}}
        if path.is_file():
            config = storage.read_json(path)

        pair_scores = {key: value for key, value in scores.items() if key[0] == (dataset, features)}
        methods = _tried(experiment, pair_scores)
        terms = {"features": features} | {key: experiment[key] for key in ("bits", "seeds")}
        methods = _staying(config["tried"].get(name), terms, methods, path) | methods
        config["tried"][name] = terms | {"methods": methods}
        config["variants"]["methods"] = _chosen(methods, name)
        storage.write_json(path, config)
        lines.append(f"{path}: parameters of {len(methods)} methods")
    print("\n".join(lines))


def _experiment(results: Path) -> dict:
    """The record of an experiment, whose tables are the files that it describes."""
    path = results / "experiment.json"
    experiment = records.read(path)
    missing = [key for key in EXPERIMENT_KEYS if key not in experiment]
    if missing:
        raise BenchmarkError(
            f"{path} has no key {missing[0]!r}: delete it and rerun the command of the experiment"
        )
    for name in TABLES:
        if storage.digest(results / name) != experiment["sha256"].get(name):
            raise BenchmarkError(
                f"{results / name} is not the table that {path} describes: delete it and rerun "
                "the command of the experiment"
            )
    return experiment


def _check_dataset(experiment: dict, dataset: str) -> None:
    """Raise BenchmarkError unless it has validation labels, and one kind of features."""
    if not experiment["datasets"][dataset]["validation"]:
        raise BenchmarkError(
            f"{dataset}: parameters are chosen on {dataset}-validation only, never on test queries"
        )
    features = [name for other, name in experiment["grid"] if other == dataset]
    if len(features) > 1:
        raise BenchmarkError(
            f"{dataset} has the features {', '.join(features)}: expected one, as its parameters "
            "are chosen once"
        )


def _scores(results: Path) -> dict[tuple, list[float | None]]:
    """((data set, features), variant) -> the mAP of each of its runs, None for a failed one."""
    runs = tables.read(results / "runs.csv", (*schemas.RUN_KEY, "status", "folder"))
    rows = tables.read(results / "metrics.csv", schemas.METRICS_CSV)
    values = {_key(row): float(row["value"]) for row in rows if row["metric"] == METRIC}

    scores = defaultdict(list)
    for run in runs:
        if run["status"] == "missing":
            raise BenchmarkError(
                f"{run['folder']} is missing: rerun the command of the experiment before "
                "parameters are chosen"
            )
        if run["status"] == "done" and _key(run) not in values:
            raise BenchmarkError(
                f"{results}/metrics.csv has no {METRIC} of {run['folder']}: rerun the command of "
                "the experiment"
            )
        value = values.get(_key(run))
        scores[(run["dataset"], run["features"]), run["variant"]].append(value)
    return scores


def _key(row: dict) -> tuple[str, ...]:
    return tuple(row[name] for name in schemas.RUN_KEY)


def _tried(experiment: dict, scores: dict[tuple, list[float | None]]) -> dict[str, dict]:
    """Each method with trials: its plugin, the parameters and mean mAP of every trial.

    `chosen` is the index of the chosen trial.
    """
    maps = {}
    for (_, variant), values in scores.items():
        maps[variant] = None if None in values else math.fsum(values) / len(values)

    methods = {}
    for method in experiment["methods"]:
        if method["trial"] is None:
            continue
        label = method["label"].rpartition(",")[0]
        facts = {"of": method["method"], "label": label, "commit": experiment["commit"]}
        tried = methods.setdefault(method["base"], facts | {"trials": []})
        tried["trials"].append({"set": method["set"], "map": maps[method["name"]]})

    for name, tried in methods.items():
        trials = tried["trials"]
        done = [index for index, trial in enumerate(trials) if trial["map"] is not None]
        if not done:
            raise BenchmarkError(
                f"{name}: every trial failed. Read their logs, and try other parameters"
            )
        highest = max(trials[index]["map"] for index in done)
        tried["chosen"] = next(index for index in done if trials[index]["map"] == highest)
    return methods


def _staying(before: dict | None, terms: dict, methods: dict, path: Path) -> dict[str, dict]:
    """Methods that were tried before and not now.

    Raises BenchmarkError if they were tried on other terms: one table must not mix them.
    """
    tried = before["methods"] if before else {}
    staying = {name: method for name, method in tried.items() if name not in methods}
    for key, value in terms.items():
        if staying and before[key] != value:
            raise BenchmarkError(
                f"{path} has parameters of {', '.join(staying)} chosen with {key} {before[key]}, "
                f"found {key} {value} now: try all methods on the same ones, or name another "
                "folder with --output, and give its file to snakemake as a --configfile"
            )
    return staying


def _chosen(methods: dict[str, dict], name: str) -> dict[str, dict]:
    """The variants with the chosen parameters."""
    entries = {}
    for method, tried in methods.items():
        overrides = tried["trials"][tried["chosen"]]["set"]
        entries[f"{method}.tuned-{name}"] = _entry(method, tried, overrides, "tuned", "own", name)
        if tried["of"] not in methods:
            continue

        main = tried["of"]
        of_main = tried["trials"][methods[main]["chosen"]]["set"]
        if of_main != overrides:
            what = f"{methods[main]['label']}'s tuning"
            entry = _entry(method, tried, of_main, what, main, name)
            entries[f"{method}.as-{main}-{name}"] = entry
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
