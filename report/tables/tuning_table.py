"""The table of the parameters that were tuned on validation labels."""

from __future__ import annotations

import json

from report.results import Results
from report.tables.table import Cell, Column, Panel, Row, Table
from report.tables.table_specs import Value

CAPTION = (
    "Mean average precision over all ranks on validation labels, queries and database both from the training part, mean over the code"
    " lengths, of every setting tried; chosen ones in bold. What a row departs in goes before what a setting says. A dash: a training of"
    " this setting failed, and it cannot be chosen."
)
VALUE = Value(metric="map")


def build(results: Results) -> list[Table]:
    """One table for each data set with settings chosen on its validation part, where rows of this experiment have them or tried them."""
    experiment = results.experiment
    used = experiment.get("trials") or any(method.get("tuned") for method in results.methods)
    return [
        _table(results, name, tried) for name, tried in experiment.get("tried", {}).items() if used
    ]


def _table(results: Results, name: str, tried: dict) -> Table:
    methods = tried["methods"]
    width = max(len(method["trials"]) for method in methods.values())
    used = [
        dataset
        for dataset, facts in results.experiment["datasets"].items()
        if name in (dataset, facts["base"])
    ]
    pair = next(pair for pair in results.pairs if pair.dataset in used)
    seeds = ", ".join(map(str, tried["seeds"]))
    commits = ", ".join(
        dict.fromkeys(f"Commit {method['commit'][:12]}" for method in methods.values())
    )
    made = f"{', '.join(map(str, tried['bits']))} bits, seed {seeds}, features {tried['features']}. {commits}."
    return Table(
        name=f"settings-{name}",
        title=f"Settings tried: {name}",
        caption=CAPTION,
        protocol=[],
        notes=[*_settings(methods), made],
        groups=[],
        columns=[Column(VALUE, None, None, f"Setting {place}") for place in range(1, width + 1)],
        panels=[
            Panel(
                f"{name}, validation",
                pair,
                None,
                [_row(key, method, width) for key, method in methods.items()],
                [],
            )
        ],
        cites=[],
    )


def _settings(methods: dict[str, dict]) -> list[str]:
    """A sentence on each plugin with trials: what its settings are."""
    plain = {method["of"]: methods.get(method["of"], method) for method in methods.values()}
    return [f"{method['label']}: {_listed(method['trials'])}." for method in plain.values()]


def _listed(trials: list[dict]) -> str:
    words = [
        ", ".join(f"{name} {json.dumps(value)}" for name, value in trial["set"].items())
        or "as it is"
        for trial in trials
    ]
    return "; ".join(f"setting {place}: {text}" for place, text in enumerate(words, 1))


def _row(name: str, method: dict, width: int) -> Row:
    cells = [
        _cell(trial["map"], place == method["chosen"])
        for place, trial in enumerate(method["trials"])
    ]
    return Row(name, method["label"], cells + [Cell("", "omitted")] * (width - len(cells)))


def _cell(number: float | None, chosen: bool) -> Cell:
    return (
        Cell("\N{EN DASH}", "failed")
        if number is None
        else Cell(VALUE.printed(number), number=number, best=chosen)
    )
