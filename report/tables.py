"""From declarations and results to tables: which cells there are and what each of them says."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from report import captions, reported, settings
from report.declarations import Declaration, Value, read
from report.model import NEAR_COLLAPSE, Cell, Collapse, Column, Panel, Row, Table
from report.results import Pair, Results

DASH = "\N{EN DASH}"

# Facts computed from the columns of runs.csv.
DERIVED = {
    "encode_microseconds": lambda run: 1e6 * float(run["encode_seconds"]) / float(run["items"]),
    "distinct_share": lambda run: float(run["distinct_codes"]) / float(run["items"]),
}
TEXT_FACTS = ("device", "threads")
# The columns of facts that some rows lack: methods without such units, codes made elsewhere.
OPTIONAL_FACTS = {"saturated": "saturated", "fit_seconds": "fit_seconds", "encode_microseconds": "encode_seconds"}


def build(results: Results, entries: list[Declaration] | None = None) -> list[Table]:
    """Every declared table, filled from the results; one whose metric was left out everywhere has no panels and says why."""
    shown = [entry for entry in entries or read() if _concerns(results, entry)]
    declared = [_table(results, entry, pairs) for entry in shown for pairs in _files(results, entry)]
    return declared + settings.build(results) + reported.build(results)


def _concerns(results: Results, entry: Declaration) -> bool:
    """Whether the experiment has what a table selects; of several methods it takes two, since one alone compares nothing."""
    experiment = results.experiment
    methods = {method["name"].partition(".")[0] for method in results.methods}
    present = {"methods": methods, "bits": experiment["bits"], "datasets": experiment["datasets"]}
    return all(
        sum(name in present[what] for name in names) >= min(2 if what == "methods" else 1, len(names))
        for what, names in entry.select.items()
    )


def _files(results: Results, entry: Declaration) -> list[list[Pair]]:
    datasets = _selected(entry, "datasets", list(results.experiment["datasets"]))
    pairs = [pair for dataset in datasets for pair in results.pairs if pair.dataset == dataset]
    return [[pair] for pair in pairs] if entry.split else [pairs]


def _table(results: Results, entry: Declaration, pairs: list[Pair]) -> Table:
    lengths = _selected(entry, "bits", results.experiment["bits"])
    columns, notes = _columns(results, entry, pairs, lengths)
    panels = [
        _panel(results, entry, pair, bits, columns)
        for pair in pairs
        for bits in ([None] if entry.columns == "bits" else lengths)
        if any(_omission(results, pair, column) is None for column in columns)
    ]
    shown = [pair for pair in pairs if any(panel.pair == pair for panel in panels)]
    suffix = f"--{pairs[0].file_part}" if entry.split else ""
    return Table(
        name=entry.name + suffix,
        title=entry.title + (f": {results.label(pairs[0])}" if entry.split else ""),
        caption=" ".join([entry.caption.format(k=entry.k), *captions.conventions(results, entry, panels)]),
        protocol=[captions.protocol(results, pair, entry) for pair in shown],
        notes=[*notes, *(captions.orders(panels, columns) if entry.order else []), captions.provenance(results, shown)],
        groups=_groups(columns) if entry.columns != "values" else [],
        columns=columns,
        panels=panels,
        cites=entry.cites,
    )


def _selected(entry: Declaration, what: str, everything: list) -> list:
    """What a table selects of everything, in its order; after a method, the same with tuned settings, NAME.tuned-digits, say."""
    if what not in entry.select:
        return everything
    if what != "methods":
        return [item for item in entry.select[what] if item in everything]
    return [name for item in entry.select[what] for name in everything if name == item or name.startswith(f"{item}.")]


def _columns(results: Results, entry: Declaration, pairs: list[Pair], lengths: list[int]) -> tuple[list[Column], list[str]]:
    """The columns that some pair has, and a sentence for each cut that a pair has not."""
    if entry.columns == "k":
        asked = [Column(value, None, k, f"k = {k:,}") for value in entry.values for k in entry.k]
    elif entry.columns == "values":
        asked = [Column(value, None, value.k, value.label) for value in entry.values]
    else:
        asked = [
            Column(value, bits, entry.k, value.label if bits is None else f"{bits} bits")
            for value in entry.values
            for bits in ([None] if value.per == "row" else lengths)
        ]
    notes = []
    for pair in pairs:
        reasons = {
            column.label if entry.columns == "values" else f"k = {column.k:,}": reason
            for column in asked
            if (reason := _omission(results, pair, column))
        }
        notes += [f"{results.label(pair)}, {what}: left out, {reason}." for what, reason in reasons.items()]
    # A column stays for the sake of one pair; a table that nobody has keeps its columns, and has no panels.
    kept = [column for column in asked if any(_omission(results, pair, column) is None for pair in pairs)]
    return kept or asked, notes


def _omission(results: Results, pair: Pair, column: Column) -> str | None:
    return results.omission(pair, column.value.metric, column.k) if column.value.metric else None


def _groups(columns: list[Column]) -> list[tuple[str, int]]:
    groups = []
    for column in columns:
        label = "" if column.value.per == "row" else column.value.label
        if groups and label and groups[-1][0] == label:
            groups[-1] = (label, groups[-1][1] + 1)
        else:
            groups.append((label, 1))
    return groups if any(label for label, _ in groups) else []


def _panel(results: Results, entry: Declaration, pair: Pair, bits: int | None, columns: list[Column]) -> Panel:
    names = {method["name"]: method for method in results.methods}
    methods = [names[name] for name in _selected(entry, "methods", list(names))]
    rows = [
        Row(
            method["name"],
            method["label"],
            [method_cell(results, (*pair, method["name"]), bits if column.bits is None else column.bits, column) for column in columns],
            method.get("note", ""),
        )
        for method in methods
    ]
    return Panel(
        label=results.label(pair) + (f", {bits} bits" if bits is not None else ""),
        pair=pair,
        bits=bits,
        rows=_with_daggers(results, pair, columns, _with_best(rows)) if entry.best else rows,
        controls=[_control_row(results, pair, control, entry, columns) for control in results.controls] if entry.controls else [],
    )


def method_cell(results: Results, key: tuple[str, str, str], bits: int | None, column: Column) -> Cell:
    """The cell of one method: its mean over the seeds asked for, or why there is none. `key` is (dataset, features, variant)."""
    value = column.value
    runs = [run for length in ([bits] if bits is not None else results.experiment["bits"]) for run in results.runs.get((*key, length), [])]
    if value.metric and results.omission(Pair(*key[:2]), value.metric, column.k):
        return Cell(DASH, "omitted")
    done = [run for run in runs if run["status"] == "done"]
    if not done:
        return _undone(runs)
    if value.fact in TEXT_FACTS:
        return Cell(", ".join(dict.fromkeys(run[value.fact] for run in done)))
    if value.fact in OPTIONAL_FACTS and not all(run.get(OPTIONAL_FACTS[value.fact]) for run in done):
        return Cell(DASH, "omitted")
    numbers = [
        [_number(results, key, run, name, value, column.k) for run in done] for name in (value.metric or value.fact, value.to) if name
    ]
    if any(number is None for series in numbers for number in series):
        return Cell("not scored", "unscored")
    cell = _with_seeds(_summary(numbers, value), len(done), runs)
    return replace(cell, collapse=_collapse(done), interval=_interval(results, (*key, bits), value)) if value.metric else cell


def _interval(results: Results, key: tuple, value: Value) -> str:
    ends = results.intervals.get(key) if value.interval else None
    return f"[{', '.join(value.printed(end * value.scale) for end in ends)}]" if ends else ""


def _undone(runs: list[dict]) -> Cell:
    failed = [run for run in runs if run["status"] == "failed"]
    if failed:
        return Cell(f"failed {len(failed)}/{len(runs)}", "failed", detail=failed[0]["message"])
    return Cell("missing", "missing")


def _with_seeds(cell: Cell, done: int, runs: list[dict]) -> Cell:
    if done == len(runs):
        return cell
    failures = [run["message"] for run in runs if run["status"] == "failed"]
    return replace(cell, state="incomplete", seeds=f"{done}/{len(runs)}", detail=next(iter(failures), ""))


def _collapse(done: list[dict]) -> Collapse | None:
    # Twelve bits cannot tell 60,000 items apart: the share is of the codes that there could be.
    possible = [min(int(run["items"]), 2 ** run["bits"]) for run in done]
    count = sum(int(run["distinct_codes"]) < NEAR_COLLAPSE * most for run, most in zip(done, possible, strict=True))
    return Collapse(count, len(done)) if count else None


def _number(results: Results, key: tuple, run: dict, name: str, value: Value, k: int | None) -> float | None:
    if value.metric:
        number = results.scores.get((*key, run["bits"], name, k), {}).get(run["seed"])
    elif name in DERIVED:
        number = DERIVED[name](run)
    else:
        number = float(run[name])
    return None if number is None else number * value.scale


def _summary(numbers: list[list[float]], value: Value) -> Cell:
    """The mean of one series with its deviation, or the range between the means of two."""
    means = [math.fsum(series) / len(series) for series in numbers]
    text = DASH.join(value.printed(mean) for mean in means)
    if value.to or len(numbers[0]) < 2:
        return Cell(text, number=means[0])
    spread = statistics.stdev(numbers[0])
    return Cell(text, number=means[0], spread=spread, deviation=value.printed(spread) if value.deviation else "")


def _control_row(results: Results, pair: Pair, control: dict, entry: Declaration, columns: list[Column]) -> Row:
    """A ranking by real-valued features has no code length: one cell spans the columns of all of them."""
    wanted = columns[:1] if entry.columns == "bits" else columns
    cells = [replace(_control_cell(results, pair, control["name"], column), span=len(columns) // len(wanted)) for column in wanted]
    return Row(control["name"], control["label"], cells)


def _control_cell(results: Results, pair: Pair, name: str, column: Column) -> Cell:
    value = column.value
    if results.omission(pair, value.metric, column.k):
        return Cell(DASH, "omitted")
    numbers = [list(results.scores.get((*pair, name, 0, metric, column.k), {}).values()) for metric in (value.metric, value.to) if metric]
    if not all(numbers):
        return Cell("missing", "missing")
    return replace(_summary(numbers, value), interval=_interval(results, (*pair, name, 0), value))


def _with_best(rows: list[Row]) -> list[Row]:
    """Mark the highest printed number of each column, ties all; a mean over fewer seeds than the others competes with none."""
    marked = [list(row.cells) for row in rows]
    for place, cells in enumerate(zip(*marked, strict=True)):
        printed = [float(cell.text.replace(",", "")) if cell.state == "complete" else -math.inf for cell in cells]
        for row, number in zip(marked, printed, strict=True):
            if number == max(printed) > -math.inf:
                row[place] = replace(row[place], best=True)
    return [replace(row, cells=cells) for row, cells in zip(rows, marked, strict=True)]


def _with_daggers(results: Results, pair: Pair, columns: list[Column], rows: list[Row]) -> list[Row]:
    """Mark the one best mean average precision of a column if it is significantly higher than that of every other complete cell."""
    marked = [list(row.cells) for row in rows]
    for place, column in enumerate(columns):
        complete = {row.name: row.cells[place] for row in rows if row.cells[place].state == "complete"}
        best = [name for name, cell in complete.items() if cell.best]
        if column.value != Value(metric="map", interval=column.value.interval) or len(best) != 1 or len(complete) < 2:
            continue
        others = [name for name in complete if name != best[0]]
        if all(results.comparisons.get((*pair, column.bits, best[0], other)) for other in others):
            cells = next(cells for row, cells in zip(rows, marked, strict=True) if row.name == best[0])
            cells[place] = replace(cells[place], dagger=True)
    return [replace(row, cells=cells) for row, cells in zip(rows, marked, strict=True)]
