"""Build the tables of a report from their specifications and the results."""

from __future__ import annotations

import math
from dataclasses import replace

from report.results import Pair, Results
from report.tables import captions, published_values, tuning_table
from report.tables.cells import TEXT_FACTS, TIMED, control_cell, method_cell
from report.tables.table import Column, Panel, Row, Table
from report.tables.table_specs import TableSpec, read


def build_tables(results: Results, entries: list[TableSpec] | None = None) -> list[Table]:
    """Return every specified table, filled from the results; one whose metric was left out everywhere has no panels and says why."""
    shown = [entry for entry in entries or read() if _concerns(results, entry)]
    specified = [
        _table(results, entry, pairs) for entry in shown for pairs in _files(results, entry)
    ]
    return specified + tuning_table.build(results) + published_values.build(results)


def _concerns(results: Results, entry: TableSpec) -> bool:
    """Whether the experiment has what a table selects; of several methods it takes two, since one alone compares nothing."""
    experiment = results.experiment
    if _timed(entry) and not results.timing:
        return False
    methods = {method["base"] for method in results.methods}
    present = {"methods": methods, "bits": experiment["bits"], "datasets": experiment["datasets"]}
    return all(
        sum(name in present[what] for name in names)
        >= min(2 if what == "methods" else 1, len(names))
        for what, names in entry.select.items()
    )


def _timed(entry: TableSpec) -> bool:
    return any(value.fact in TIMED for value in entry.values)


def _files(results: Results, entry: TableSpec) -> list[list[Pair]]:
    datasets = _selected(entry, "datasets", list(results.experiment["datasets"]))
    pairs = [pair for dataset in datasets for pair in results.pairs if pair.dataset == dataset]
    return [[pair] for pair in pairs] if entry.split else [pairs]


def _table(results: Results, entry: TableSpec, pairs: list[Pair]) -> Table:
    lengths = (
        results.experiment["timed"]
        if _timed(entry)
        else _selected(entry, "bits", results.experiment["bits"])
    )
    columns, notes = _columns(results, entry, pairs, lengths)
    panels = [
        _panel(results, entry, pair, bits, columns)
        for pair in pairs
        for bits in ([None] if entry.columns == "bits" else lengths)
        if any(_omission(results, pair, column) is None for column in columns)
    ]
    columns, panels, said = (
        _said_once(columns, panels) if entry.columns == "values" else (columns, panels, [])
    )
    shown = [pair for pair in pairs if any(panel.pair == pair for panel in panels)]
    suffix = f"--{pairs[0].file_part}" if entry.split else ""
    return Table(
        name=entry.name + suffix,
        title=entry.title + (f": {results.label(pairs[0])}" if entry.split else ""),
        caption=" ".join(
            [entry.caption.format(k=entry.k), *captions.conventions(results, entry, panels)]
        ),
        protocol=captions.protocols(results, shown, entry),
        notes=[
            *said,
            *notes,
            *(captions.orders(panels, columns) if entry.order else []),
            *captions.mixtures(results, panels, columns),
            *([captions.provenance(results, shown)] if shown else []),
        ],
        groups=_groups(columns) if entry.columns != "values" else [],
        columns=columns,
        panels=panels,
        cites=entry.cites,
    )


def _selected(entry: TableSpec, what: str, everything: list) -> list:
    """What a table selects of everything, in its order."""
    return (
        everything
        if what not in entry.select
        else [item for item in entry.select[what] if item in everything]
    )


def _selected_methods(entry: TableSpec, results: Results) -> list[str]:
    """Names of the methods that a table selects, each followed by its trials and tuned versions."""
    if "methods" not in entry.select:
        return [method["name"] for method in results.methods]
    names = [
        method["name"]
        for selected in entry.select["methods"]
        for method in results.methods
        if selected in (method["name"], method["base"])
    ]
    return list(dict.fromkeys(names))


def _columns(
    results: Results, entry: TableSpec, pairs: list[Pair], lengths: list[int]
) -> tuple[list[Column], list[str]]:
    """The columns that some pair has, and a sentence for each reason why a pair has not all."""
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
        left_out: dict[str, list[str]] = {}
        for column in asked:
            if reason := _omission(results, pair, column):
                what = (
                    f"k = {column.k:,}"
                    if column.k and entry.columns != "values"
                    else column.value.label
                )
                left_out.setdefault(reason, []).append(what)
        notes += [
            f"{results.label(pair)}, {'; '.join(dict.fromkeys(whats))}: left out, {reason}."
            for reason, whats in left_out.items()
        ]
    # A column stays for the sake of one pair; a table that nobody has keeps its columns, and has no panels.
    kept = [
        column
        for column in asked
        if any(_omission(results, pair, column) is None for pair in pairs)
    ]
    return kept or asked, notes


def _said_once(
    columns: list[Column], panels: list[Panel]
) -> tuple[list[Column], list[Panel], list[str]]:
    """The table without columns of text that say the same of every row, a sentence for each of these; one column stays."""
    rows = [row for panel in panels for row in panel.rows + panel.controls]
    texts = [
        {row.cells[place].text for row in rows if row.cells[place].state == "complete"}
        for place in range(len(columns))
    ]
    alike = [
        column.value.fact in TEXT_FACTS and len(found) == 1
        for column, found in zip(columns, texts, strict=True)
    ]
    if not any(alike) or all(alike):
        return columns, panels, []

    def without(items: list) -> list:
        return [item for item, same in zip(items, alike, strict=True) if not same]

    def cut(found: list[Row]) -> list[Row]:
        return [replace(row, cells=without(row.cells)) for row in found]

    panels = [
        replace(panel, rows=cut(panel.rows), controls=cut(panel.controls)) for panel in panels
    ]
    sentences = [
        f"{column.label}: {min(found)}."
        for column, found, same in zip(columns, texts, alike, strict=True)
        if same
    ]
    return without(columns), panels, sentences


def _omission(results: Results, pair: Pair, column: Column) -> str | None:
    if column.value.metric:
        return results.omission(pair, column.value.metric, column.k)
    runs = [run for key, group in results.runs.items() if key[:2] == pair for run in group]
    unknown = column.value.optional and not any(run.get(column.value.fact) for run in runs)
    return "no run has it" if unknown else None


def _groups(columns: list[Column]) -> list[tuple[str, int]]:
    groups = []
    for column in columns:
        label = "" if column.value.per == "row" else column.value.label
        if groups and label and groups[-1][0] == label:
            groups[-1] = (label, groups[-1][1] + 1)
        else:
            groups.append((label, 1))
    return groups if any(label for label, _ in groups) else []


def _panel(
    results: Results, entry: TableSpec, pair: Pair, bits: int | None, columns: list[Column]
) -> Panel:
    names = {method["name"]: method for method in results.methods}
    methods = [names[name] for name in _selected_methods(entry, results)]
    rows = [
        Row(
            method["name"],
            method["label"],
            [
                method_cell(
                    results,
                    (*pair, method["name"]),
                    bits if column.bits is None else column.bits,
                    column,
                )
                for column in columns
            ],
            method.get("note", ""),
        )
        for method in methods
    ]
    return Panel(
        label=results.label(pair) + (f", {bits} bits" if bits is not None else ""),
        pair=pair,
        bits=bits,
        rows=_with_daggers(results, pair, bits, columns, _with_best(rows)) if entry.best else rows,
        controls=[
            _control_row(results, pair, control, entry, columns) for control in results.controls
        ]
        if entry.controls
        else [],
    )


def _control_row(
    results: Results, pair: Pair, control: dict, entry: TableSpec, columns: list[Column]
) -> Row:
    """A ranking by real-valued features has no code length: one cell spans the columns of all of them."""
    wanted = columns[:1] if entry.columns == "bits" else columns
    cells = [
        replace(
            control_cell(results, pair, control["name"], column), span=len(columns) // len(wanted)
        )
        for column in wanted
    ]
    return Row(control["name"], control["label"], cells)


def _with_best(rows: list[Row]) -> list[Row]:
    """Mark the highest printed number of each column, ties all; a mean over fewer seeds than the others competes with none.

    One row alone is the best of nothing.
    """
    if len(rows) < 2:
        return rows
    marked = [list(row.cells) for row in rows]
    for place, cells in enumerate(zip(*marked, strict=True)):
        printed = [
            float(cell.text.replace(",", "")) if cell.state == "complete" else -math.inf
            for cell in cells
        ]
        for row, number in zip(marked, printed, strict=True):
            if number == max(printed) > -math.inf:
                row[place] = replace(row[place], best=True)
    return [replace(row, cells=cells) for row, cells in zip(rows, marked, strict=True)]


def _with_daggers(
    results: Results, pair: Pair, bits: int | None, columns: list[Column], rows: list[Row]
) -> list[Row]:
    """Mark the one best mean average precision of a column if it is significantly higher than that of every other complete cell."""
    marked = [list(row.cells) for row in rows]
    lengths = {column.bits for column in columns} if bits is None else results.experiment["bits"]
    for place, column in enumerate(columns):
        complete = {
            row.name: row.cells[place] for row in rows if row.cells[place].state == "complete"
        }
        best = [name for name, cell in complete.items() if cell.best]
        if column.value.metric != "map" or len(best) != 1 or len(complete) < 2:
            continue
        others = [name for name in complete if name != best[0]]
        if all(
            results.is_best(pair, bits or column.bits, best[0], other, len(lengths))
            for other in others
        ):
            cells = next(
                cells for row, cells in zip(rows, marked, strict=True) if row.name == best[0]
            )
            cells[place] = replace(cells[place], dagger=True)
    return [replace(row, cells=cells) for row, cells in zip(rows, marked, strict=True)]
