"""The table of the parameters that were tuned on validation labels."""

from __future__ import annotations

import json
import math

from report.results import Pair, Results
from report.tables.table import Cell, Column, Panel, Row, Table
from report.tables.table_specs import Value

MEASURES = {
    "map": "Mean average precision over all ranks on validation labels",
    "neighbour_recall@k": (
        "Share of the 100 nearest items by the features that are among the first 100, without "
        "labels"
    ),
}
NOTE = (
    "{measure}, with queries and database from the training part, for every setting that was "
    "tried; mean over the code lengths and seeds. The chosen setting is bold. What a row overrides "
    "takes precedence over a setting. A dash: a training with this setting failed, so it cannot be "
    "chosen."
)
EXPECTED_NOTE = (
    "{measure}: the expected best value of n settings that are drawn at random, with replacement, "
    "from those of the table above or of its first stage. For the sorted values v(1) to v(N) it is "
    "the sum of v(i) ((i / N)^n - ((i - 1) / N)^n). A row that still rises at its last n may gain "
    "from more trials. Failed trials are left out."
)
VALUE = Value(metric="map")


def build(results: Results) -> list[Table]:
    """Return a table for each data set whose validation part chose or tried settings of a row."""
    experiment = results.experiment
    is_tuned = experiment.get("trials") or any(method.get("tuned") for method in results.methods)
    if not is_tuned:
        return []
    tables = []
    for name, tried in experiment.get("tried", {}).items():
        tables += [_table(results, name, tried), _expected_table(results, name, tried)]
    return tables


def expected_best(values: list[float], count: int) -> float:
    """Return the expected maximum of `count` values drawn at random, with replacement.

    Parameters
    ----------
    values : list of float
        Validation values of the settings that were tried, N in the formula of `EXPECTED_NOTE`.
    count : int
        Number of draws, n in the formula.

    References
    ----------
    Dodge, Gururangan, Card, Schwartz & Smith, Show Your Work, EMNLP 2019, section 3.
    """
    total = len(values)
    return math.fsum(
        value * ((rank / total) ** count - ((rank - 1) / total) ** count)
        for rank, value in enumerate(sorted(values), 1)
    )


def _expected_table(results: Results, name: str, tried: dict) -> Table:
    values = {row: _first_values(method) for row, method in tried["methods"].items()}
    most = max(map(len, values.values()))
    counts = [2**power for power in range(most.bit_length()) if 2**power < most] + [most]
    rows = []
    for row, method in tried["methods"].items():
        cells = [_expected_cell(values[row], count) for count in counts]
        rows.append(Row(row, method["label"], cells))

    title = f"Expected best setting: {name}"
    return Table(
        name=f"expected-best-{name}",
        title=title,
        caption=f"{title}.",
        note=EXPECTED_NOTE.format(measure=MEASURES[tried["metric"]]),
        groups=[],
        columns=[Column(VALUE, None, None, f"n = {count}") for count in counts],
        panels=[Panel(f"{name}, validation", _pair(results, name), None, rows, [])],
        cites=["dodge2019show"],
    )


def _first_values(method: dict) -> list[float]:
    """The values of the settings that were drawn: of the first stage, if there are two."""
    trials = method.get("first", method)["trials"]
    return [trial["value"] for trial in trials if trial["value"] is not None]


def _expected_cell(values: list[float], count: int) -> Cell:
    if count > len(values):
        return Cell("", "omitted")
    number = expected_best(values, count)
    return Cell(VALUE.printed(number), number=number)


def _pair(results: Results, name: str) -> Pair:
    """The first data set of the experiment that is `name` or its validation part, with features."""
    datasets = []
    for dataset, facts in results.experiment["datasets"].items():
        if name in (dataset, facts["base"]):
            datasets.append(dataset)
    return next(pair for pair in results.pairs if pair.dataset in datasets)


def _table(results: Results, name: str, tried: dict) -> Table:
    methods = tried["methods"]
    width = max(len(method["trials"]) for method in methods.values())
    rows = [_row(key, method, width) for key, method in methods.items()]
    title = f"Settings tried: {name}"
    return Table(
        name=f"settings-{name}",
        title=title,
        caption=f"{title}.",
        note=NOTE.format(measure=MEASURES[tried["metric"]]),
        groups=[],
        columns=[Column(VALUE, None, None, f"Setting {number}") for number in range(1, width + 1)],
        panels=[Panel(f"{name}, validation", _pair(results, name), None, rows, [])],
        notes=[*_trials(methods), _budget(methods), _provenance(tried)],
    )


def _provenance(tried: dict) -> str:
    lengths = ", ".join(map(str, tried["bits"]))
    seeds = ", ".join(map(str, tried["seeds"]))
    commits = dict.fromkeys(method["commit"][:12] for method in tried["methods"].values())
    runs = f"{lengths} bits, seed {seeds}, features {tried['features']}."
    stages = {json.dumps(_stage(method)) for method in tried["methods"].values()}
    first = [f"First stage: {text}." for text in sorted(map(json.loads, stages)) if text]
    return " ".join([*first, runs, f"Commit {', '.join(commits)}."])


def _stage(method: dict) -> str:
    """Code lengths, seeds and number of settings of the first stage; empty without one."""
    first = method.get("first")
    if not first:
        return ""
    lengths, seeds = (", ".join(map(str, first[key])) for key in ("bits", "seeds"))
    return f"{lengths} bits, seed {seeds}"


def _budget(methods: dict[str, dict]) -> str:
    """Return a sentence on the number of settings and the time of every row."""
    texts = []
    for method in methods.values():
        stages = [method, *filter(None, [method.get("first")])]
        seconds = [stage.get("core_seconds") for stage in stages]
        time = "time not recorded" if None in seconds else f"{math.fsum(seconds):,.0f} core-seconds"
        texts.append(f"{method['label']} {method['settings_tried']}, {time}")
    return (
        "Different settings tried, earlier choices included, and the time of fitting and encoding: "
        f"{'; '.join(texts)}."
    )


def _trials(methods: dict[str, dict]) -> list[str]:
    """Return a sentence for each plugin with trials: its settings.

    The finalists of a second stage differ between the rows of a plugin, which then have their own.
    """
    described: dict[str, dict] = {}
    for row, method in methods.items():
        name = row if "first" in method else method["of"]
        described.setdefault(name, methods.get(name, method))
    return [
        f"{method['label']}: {_trial_texts(method['trials'])}." for method in described.values()
    ]


def _trial_texts(trials: list[dict]) -> str:
    texts = []
    for number, trial in enumerate(trials, 1):
        overrides = [f"{name} {json.dumps(value)}" for name, value in trial["set"].items()]
        texts.append(f"setting {number}: {', '.join(overrides) or 'defaults'}")
    return "; ".join(texts)


def _row(name: str, method: dict, width: int) -> Row:
    cells = []
    for index, trial in enumerate(method["trials"]):
        cells.append(_cell(trial["value"], index == method["chosen"]))
    padding = [Cell("", "omitted")] * (width - len(cells))
    return Row(name, method["label"], cells + padding)


def _cell(number: float | None, is_chosen: bool) -> Cell:
    if number is None:
        return Cell("\N{EN DASH}", "failed")
    return Cell(VALUE.printed(number), number=number, best=is_chosen)
