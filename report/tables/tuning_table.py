"""The table of the parameters that were tuned on validation labels."""

from __future__ import annotations

import json

from report.results import Results
from report.tables.table import Cell, Column, Panel, Row, Table
from report.tables.table_specs import Value

NOTE = (
    "Mean average precision over all ranks on validation labels, with queries and database from "
    "the training part, for every setting that was tried; mean over the code lengths. The chosen "
    "setting is bold. What a row overrides takes precedence over a setting. A dash: a training "
    "with this setting failed, so it cannot be chosen."
)
VALUE = Value(metric="map")


def build(results: Results) -> list[Table]:
    """Return a table for each data set whose validation part chose or tried settings of a row."""
    experiment = results.experiment
    is_tuned = experiment.get("trials") or any(method.get("tuned") for method in results.methods)
    if not is_tuned:
        return []
    return [_table(results, name, tried) for name, tried in experiment.get("tried", {}).items()]


def _table(results: Results, name: str, tried: dict) -> Table:
    methods = tried["methods"]
    width = max(len(method["trials"]) for method in methods.values())
    datasets = []
    for dataset, facts in results.experiment["datasets"].items():
        if name in (dataset, facts["base"]):
            datasets.append(dataset)

    pair = next(pair for pair in results.pairs if pair.dataset in datasets)

    rows = [_row(key, method, width) for key, method in methods.items()]
    title = f"Settings tried: {name}"
    return Table(
        name=f"settings-{name}",
        title=title,
        caption=f"{title}.",
        note=NOTE,
        groups=[],
        columns=[Column(VALUE, None, None, f"Setting {number}") for number in range(1, width + 1)],
        panels=[Panel(f"{name}, validation", pair, None, rows, [])],
        notes=[*_trials(methods), _provenance(tried)],
    )


def _provenance(tried: dict) -> str:
    lengths = ", ".join(map(str, tried["bits"]))
    seeds = ", ".join(map(str, tried["seeds"]))
    commits = dict.fromkeys(method["commit"][:12] for method in tried["methods"].values())
    runs = f"{lengths} bits, seed {seeds}, features {tried['features']}."
    return f"{runs} Commit {', '.join(commits)}."


def _trials(methods: dict[str, dict]) -> list[str]:
    """Return a sentence for each plugin with trials: its settings."""
    plugins = {method["of"]: methods.get(method["of"], method) for method in methods.values()}
    return [f"{method['label']}: {_trial_texts(method['trials'])}." for method in plugins.values()]


def _trial_texts(trials: list[dict]) -> str:
    texts = []
    for number, trial in enumerate(trials, 1):
        overrides = [f"{name} {json.dumps(value)}" for name, value in trial["set"].items()]
        texts.append(f"setting {number}: {', '.join(overrides) or 'defaults'}")
    return "; ".join(texts)


def _row(name: str, method: dict, width: int) -> Row:
    cells = []
    for index, trial in enumerate(method["trials"]):
        cells.append(_cell(trial["map"], index == method["chosen"]))
    padding = [Cell("", "omitted")] * (width - len(cells))
    return Row(name, method["label"], cells + padding)


def _cell(number: float | None, is_chosen: bool) -> Cell:
    if number is None:
        return Cell("\N{EN DASH}", "failed")
    return Cell(VALUE.printed(number), number=number, best=is_chosen)
