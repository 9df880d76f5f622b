"""Choose the parameters of each method from trials on validation labels: the job `choose`."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from experiments import tables
from experiments.search_spaces import FEWEST
from harness import records, schemas, storage
from harness.errors import BenchmarkError
from harness.variants import VALIDATION_SUFFIX

# What chooses: metric and cut of metrics.csv, and whether it needs labels.
CRITERIA = {"map": ("map", ""), "neighbours": ("neighbour_recall@k", "100")}
LABEL_CRITERIA = ("map",)
TABLES = ("runs.csv", "metrics.csv")  # that are read
EXPERIMENT_KEYS = ("trials", "tried", "grid", "datasets", "methods", "bits", "seeds", "commit")
SECONDS = ("fit_seconds", "encode_seconds")
FINAL_STATES = ("done", "failed")  # states of a run that has a value, and of one that never will
FIRST_STAGE = "first"  # the value of the key `stage` of trials whose best ones are tried again


@dataclass(frozen=True)
class Trials:
    """What the trials of one data set and its features came to.

    Parameters
    ----------
    methods : dict
        {row: {"of", "label", "commit", "trials", "chosen", "core_seconds", ...}}.
    terms : dict
        What the methods of one table have in common: features, code lengths, seeds and metric.
    labels_used : int
        How many labels choose a setting.
    """

    methods: dict[str, dict]
    terms: dict
    labels_used: int


def choose(results: Path, output: Path, by: str = "map") -> None:
    """Choose a trial of each method, and write variants with its parameters.

    The trial with the highest mean over all code lengths and seeds is chosen, the first one of
    equals. A trial with a failed run has no value and is never chosen.

    Parameters
    ----------
    results : Path
        Folder with experiment.json, runs.csv and metrics.csv of an experiment with `trials`, or
        with these files in `partial`, where the workflow writes them if trials fail. Each of its
        data sets is a `NAME-validation`, so that no test query is ever used.
    output : Path
        Folder of NAME.json, one configuration per data set. Entries of the methods of this
        experiment are replaced, others stay: for each method X the variants `X.tuned-NAME`, and
        `X.as-Y-NAME` with the parameters chosen for Y, the method named after the plugin of X, if
        they differ. The key `tried` has every trial with its value.
    by : {"map", "neighbours"}
        Mean average precision, which needs labels, or the share of the 100 nearest items by the
        features that are among the first 100, which needs none.

    Raises
    ------
    BenchmarkError
        For an experiment without trials, on test queries, with two features of a data set, with a
        missing run, or with other features, code lengths, seeds or metric than those of methods
        that would stay.
    """
    lines = []
    for name, trials in _trials(results, by).items():
        path = output / f"{name}.json"
        config = {"variants": {"methods": {}}, "tried": {}}
        if path.is_file():
            config = storage.read_json(path)

        before = config["tried"].get(name)
        _count_overrides(trials.methods, before)
        methods = _staying(before, trials, path) | trials.methods
        labels = {"labels_used": trials.labels_used}
        config["tried"][name] = trials.terms | labels | {"methods": methods}
        config["variants"]["methods"] = _chosen(methods, name, trials.labels_used)
        storage.write_json(path, config)
        lines.append(f"{path}: parameters of {len(methods)} methods")
    print("\n".join(lines))


def choose_finalists(results: Path, output: Path, count: int, by: str = "map") -> None:
    """Write a configuration with the best trials of each method, which are then tried again.

    Parameters
    ----------
    results, by
        As of `choose`.
    output : Path
        Folder of NAME-finalists.json. Its key `tried` has every trial of this first stage, which
        `choose` stores with the choice.
    count : int
        Number of trials of a method, at least 2.

    Raises
    ------
    BenchmarkError
        As `choose`, and for a method of which fewer than 2 trials are done.
    """
    if count < FEWEST:
        raise BenchmarkError(f"--finalists: found {count}, expected {FEWEST} or more")
    lines = []
    for name, trials in _trials(results, by).items():
        _count_overrides(trials.methods, None)
        finalists = {row: _best(row, tried, count) for row, tried in trials.methods.items()}
        config = {
            "name": f"tuning-finals-{name}",
            "datasets": [f"{name}{VALIDATION_SUFFIX}"],
            "features": [trials.terms["features"]],
            "methods": list(finalists),
            "trials": finalists,
            "tried": {
                name: trials.terms
                | {"labels_used": trials.labels_used, "stage": FIRST_STAGE}
                | {"methods": trials.methods}
            },
        }
        path = output / f"{name}-finalists.json"
        storage.write_json(path, config)
        lines.append(f"{path}: give it to snakemake after config/tuning-finals.yaml")
    print("\n".join(lines))


def _best(row: str, tried: dict, count: int) -> list[dict]:
    """The settings of the best trials of a row, the best first."""
    done = [trial for trial in tried["trials"] if trial["value"] is not None]
    if len(done) < FEWEST:
        raise BenchmarkError(
            f"{row}: {len(done)} of {len(tried['trials'])} trials are done, expected {FEWEST} or "
            "more. Read the logs of the others"
        )
    ranked = sorted(done, key=lambda trial: -trial["value"])  # stable: the first of equals
    return [trial["set"] for trial in ranked[:count]]


def _trials(results: Path, by: str) -> dict[str, Trials]:
    """The trials of each data set of an experiment, by the name of the data set."""
    results = _collected(results)
    experiment = _experiment(results)
    if not experiment["trials"]:
        raise BenchmarkError(
            f"{results}/experiment.json has no trials: expected an experiment with the key "
            "`trials`, as config/tuning-search.yaml. Name its folder in --results"
        )

    runs = _runs(results, by)
    trials_of = {}
    for dataset, features in experiment["grid"]:
        _check_dataset(experiment, dataset)
        of_pair = [run for run in runs if run.pair == (dataset, features)]
        facts = experiment["datasets"][dataset]
        name = facts["base"]
        terms = {"features": features, "bits": experiment["bits"], "seeds": experiment["seeds"]}
        methods = _tried(experiment, of_pair)
        _add_first_stage(methods, experiment["tried"].get(name) or {}, by)
        labels = facts["sizes"]["query"] + facts["sizes"]["database"] if by in LABEL_CRITERIA else 0
        trials_of[name] = Trials(methods, terms | {"metric": CRITERIA[by][0]}, labels)
    return trials_of


def _collected(results: Path) -> Path:
    """The folder of the latest tables: partial ones if runs failed, until a workflow completes."""
    partial = results / "partial"
    return partial if (partial / "experiment.json").is_file() else results


def _add_first_stage(methods: dict[str, dict], tried: dict, by: str) -> None:
    """Store with each method the first stage, of which its trials are the best."""
    if tried.get("stage") != FIRST_STAGE:
        return
    if tried["metric"] != CRITERIA[by][0]:
        raise BenchmarkError(
            f"the finalists were chosen by {tried['metric']}: expected the same metric now, found "
            f"{CRITERIA[by][0]}. Change --by"
        )
    for row, method in methods.items():
        first = tried["methods"].get(row)
        if first:
            terms = {key: tried[key] for key in ("bits", "seeds")}
            parts = ("trials", "core_seconds", "commit")
            method["first"] = terms | {part: first[part] for part in parts}


def _experiment(results: Path) -> dict:
    """The record of an experiment, whose tables are the files that it describes."""
    path = results / "experiment.json"
    if not path.is_file():
        raise BenchmarkError(
            f"--results: {results} has no experiment.json: expected the results of an experiment "
            "with trials that has run, as results/experiments/tuning-search"
        )
    experiment = records.read(path)
    missing = [key for key in (*EXPERIMENT_KEYS, "sha256") if key not in experiment]
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


@dataclass(frozen=True)
class Tried:
    """One run of a trial: its value, None if it failed, and the seconds that it took."""

    pair: tuple[str, str]
    variant: str
    value: float | None
    seconds: float


def _runs(results: Path, by: str) -> list[Tried]:
    """Every run of an experiment, with its value of the metric that chooses."""
    metric, cut = CRITERIA[by]
    columns = (*schemas.RUN_KEY, "status", "folder", *SECONDS)
    rows = tables.read(results / "metrics.csv", schemas.METRICS_CSV)
    values = {
        _key(row): float(row["value"]) for row in rows if (row["metric"], row["k"]) == (metric, cut)
    }

    tried_runs = []
    for run in tables.read(results / "runs.csv", columns):
        if run["status"] not in FINAL_STATES:
            raise BenchmarkError(
                f"{run['folder']} is {run['status']}: rerun the command of the experiment before "
                "parameters are chosen"
            )
        if run["status"] == "done" and _key(run) not in values:
            raise BenchmarkError(
                f"{results}/metrics.csv has no {metric} of {run['folder']}: rerun the command of "
                "the experiment"
            )
        seconds = math.fsum(float(run[name] or 0) for name in SECONDS)
        pair = run["dataset"], run["features"]
        tried_runs.append(Tried(pair, run["variant"], values.get(_key(run)), seconds))

    return tried_runs


def _key(row: dict) -> tuple[str, ...]:
    return tuple(row[name] for name in schemas.RUN_KEY)


def _tried(experiment: dict, runs: list[Tried]) -> dict[str, dict]:
    """Return the entry of each method with trials: its plugin, and what was tried.

    An entry has the parameters and the mean value of every trial, and in `chosen` the index of the
    trial with the highest value.
    """
    by_variant = defaultdict(list)
    for run in runs:
        by_variant[run.variant].append(run)

    methods = {}
    for method in experiment["methods"]:
        if method["trial"] is None:
            continue
        label = method["label"].rpartition(",")[0]
        facts = {"of": method["method"], "label": label, "commit": experiment["commit"]}
        if method.get("fitted_on"):
            facts["fitted_on"] = method["fitted_on"]
        tried = methods.setdefault(method["base"], facts | {"trials": [], "core_seconds": 0.0})
        of_trial = by_variant[method["name"]]
        tried["trials"].append({"set": method["set"], "value": _mean(of_trial)})
        tried["core_seconds"] += math.fsum(run.seconds for run in of_trial)

    for name, tried in methods.items():
        trials = tried["trials"]
        done = [index for index, trial in enumerate(trials) if trial["value"] is not None]
        if not done:
            raise BenchmarkError(
                f"{name}: every trial failed. Read their logs, and try other parameters"
            )
        highest = max(trials[index]["value"] for index in done)
        tried["chosen"] = next(index for index in done if trials[index]["value"] == highest)
    return methods


def _mean(runs: list[Tried]) -> float | None:
    """The mean value over code lengths and seeds; None if a run failed."""
    values = [run.value for run in runs]
    return None if None in values else math.fsum(values) / len(values)


def _count_overrides(methods: dict[str, dict], before: dict | None) -> None:
    """Count the different settings that were ever tried, those of an earlier choice included."""
    earlier = before["methods"] if before else {}
    for row, method in methods.items():
        present = _overrides_of(method)
        past = _overrides_of(earlier[row]) if row in earlier else []
        method["earlier"] = [setting for setting in past if setting not in present]
        method["settings_tried"] = len(present) + len(method["earlier"])


def _overrides_of(method: dict) -> list[dict]:
    """The different settings of a method, of both stages and of earlier choices."""
    trials = [*method.get("first", {}).get("trials", ()), *method["trials"]]
    different: list[dict] = []
    for setting in [*(trial["set"] for trial in trials), *method.get("earlier", ())]:
        if setting not in different:
            different.append(setting)

    return different


def _staying(before: dict | None, trials: Trials, path: Path) -> dict[str, dict]:
    """Methods that were tried before and not now.

    Raises BenchmarkError if they were tried on other terms: one table must not mix them.
    """
    tried = before["methods"] if before else {}
    staying = {name: method for name, method in tried.items() if name not in trials.methods}
    for key, value in trials.terms.items():
        if staying and before[key] != value:
            raise BenchmarkError(
                f"{path} has parameters of {', '.join(staying)} chosen with {key} {before[key]}, "
                f"found {key} {value} now: try all methods on the same ones, or name another "
                "folder with --output, and give its file to snakemake as a --configfile"
            )
    return staying


def _chosen(methods: dict[str, dict], name: str, labels: int) -> dict[str, dict]:
    """The variants with the chosen parameters."""
    entries = {}
    for method, tried in methods.items():
        overrides = tried["trials"][tried["chosen"]]["set"]
        entry = _entry(method, tried, overrides, "tuned", labels, name)
        own = {"tuned": "own", "trials": tried["settings_tried"]}
        entries[f"{method}.tuned-{name}"] = entry | own

        main = methods.get(tried["of"])
        of_main = _shared_overrides(tried, main)
        if of_main is None or of_main == overrides:
            continue
        entry = _entry(method, tried, of_main, f"{main['label']}'s tuning", labels, name)
        of_other = {"tuned": tried["of"], "trials": main["settings_tried"]}
        entries[f"{method}.as-{tried['of']}-{name}"] = entry | of_other
    return entries


def _shared_overrides(tried: dict, main: dict | None) -> dict | None:
    """What a row had in the trial that was chosen for the row named after its plugin.

    All rows of a plugin are given the same trials, whose numbers therefore agree. The finalists of
    a second stage differ between rows. None if the two were not tried together.
    """
    if main is None:
        return None
    of_main, of_row = (row.get("first", row)["trials"] for row in (main, tried))
    if len(of_main) != len(of_row):
        return None
    chosen = main["trials"][main["chosen"]]["set"]
    number = next(index for index, trial in enumerate(of_main) if trial["set"] == chosen)
    return of_row[number]["set"]


def _entry(method: str, tried: dict, overrides: dict, what: str, labels: int, name: str) -> dict:
    chosen_on = "tuned on validation labels" if labels else "tuned without labels"
    fitted_on = {"fitted_on": tried["fitted_on"]} if "fitted_on" in tried else {}
    return {
        "of": tried["of"],
        **fitted_on,
        "set": overrides,
        "label": f"{tried['label']} ({what})",
        "note": f"{chosen_on}: {json.dumps(overrides)}",
        "base": method,
        "labels_used": labels,
        "tuned_on": name,
        "datasets": [name],
    }
