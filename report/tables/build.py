"""Build the tables of a report from their specifications and the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from harness.errors import BenchmarkError
from harness.variants import control_bits
from report.results import Pair, Results
from report.tables import (
    captions,
    gradient_table,
    paper_tables,
    published_values,
    reference_table,
    stability_table,
    tuning_table,
)
from report.tables.cells import (
    NOT_PLANNED_CELL,
    SHARED_FACTS,
    TIMING_VALUES,
    control_cell,
    is_planned,
    method_cell,
)
from report.tables.table import Cell, Column, Panel, Row, Table
from report.tables.table_specs import TableSpec, read, selected

HIGH_CHANCE = 0.25  # mean average precision of a random ranking; lower ones change few readings


def build_tables(results: Results, specs: list[TableSpec] | None = None) -> list[Table]:
    """Return every table of a report.

    Parameters
    ----------
    results : Results
    specs : list of TableSpec, optional
        Those of tables.yaml and of the configuration, unless given.

    Returns
    -------
    list of Table
        A table whose metric is omitted for every data set has no panels, and states why.

    Raises
    ------
    BenchmarkError
        If two tables have one name.
    """
    if specs is None:
        specs = read(results.experiment.get("tables") or [])

    tables = []
    for spec in specs:
        if _concerns(results, spec):
            tables += [_table(results, spec, pairs) for pairs in _files(results, spec)]

    modules = (
        reference_table,
        stability_table,
        gradient_table,
        tuning_table,
        paper_tables,
        published_values,
    )
    for module in modules:
        tables += module.build(results)

    _check_names(tables)
    return tables


def _check_names(tables: list[Table]) -> None:
    names = set()
    for table in tables:
        if table.name in names:
            raise BenchmarkError(
                f"tables: found two tables with the name {table.name}: rename the one of the "
                "configuration"
            )
        names.add(table.name)


def _concerns(results: Results, spec: TableSpec) -> bool:
    """Return whether the experiment has what a table selects.

    Of several methods it takes two, since one alone compares nothing.
    """
    if _is_timed(spec) and not results.timing:
        return False

    if not _has_rankings(results, spec):
        return False

    if not any(_is_shown(results, spec, pair) for pair in results.pairs):
        return False

    experiment = results.experiment
    available = {
        "methods": {method["base"] for method in results.methods} | set(results.labels),
        "bits": set(experiment["bits"]),
        "datasets": set(experiment["datasets"]),
    }
    for what, names in spec.select.items():
        required = min(2 if what == "methods" else 1, len(names))
        if len(available[what].intersection(names)) < required:
            return False

    return True


def _has_rankings(results: Results, spec: TableSpec) -> bool:
    """Return whether some run has an optional metric of a table, if it shows any."""
    optional = [value for value in spec.values if value.metric and value.optional]
    metrics = {(value.metric, value.k) for value in optional}
    return not optional or any(key[-2:] in metrics for key in results.scores)


def _is_shown(results: Results, spec: TableSpec, pair: Pair) -> bool:
    """Return whether a table shows a data set: values above chance only if chance is high."""
    if not any(value.above_chance for value in spec.values):
        return True
    chance = results.chance(pair, "map_chance") or 0.0
    return HIGH_CHANCE <= chance < 1


def _is_timed(spec: TableSpec) -> bool:
    return any(value.fact in TIMING_VALUES for value in spec.values)


def _files(results: Results, spec: TableSpec) -> list[list[Pair]]:
    """Return the data sets and features of each file of a table."""
    pairs = []
    for dataset in selected(spec.select, "datasets", list(results.experiment["datasets"])):
        pairs += [pair for pair in results.pairs if pair.dataset == dataset]
    pairs = [pair for pair in pairs if _is_shown(results, spec, pair)]
    return [[pair] for pair in pairs] if spec.split else [pairs]


def _table(results: Results, spec: TableSpec, pairs: list[Pair]) -> Table:
    if _is_timed(spec):
        lengths = results.experiment["timed"]
    else:
        lengths = selected(spec.select, "bits", results.experiment["bits"])

    columns, omissions = _columns(results, spec, pairs, lengths)
    panels = _panels(results, spec, pairs, lengths, columns)

    shared = []
    if spec.columns == "values":
        columns, panels, shared = _without_shared_columns(columns, panels)

    pairs_with_panels = list(dict.fromkeys(panel.pair for panel in panels))

    notes = [*shared, *omissions]
    if _is_timed(spec):
        notes += captions.spreads(results, pairs)
    if spec.order:
        notes += captions.orders(panels, columns)

    notes += captions.mixtures(results, panels, columns)
    if pairs_with_panels:
        notes.append(captions.provenance(results, pairs_with_panels))

    title, name = spec.title, spec.name
    if spec.split:
        title += f": {results.label(pairs[0])}"
        name += f"--{pairs[0].file_part}"

    return Table(
        name=name,
        title=title,
        caption=spec.caption or f"{title}.",
        note=captions.filled(spec),
        groups=_groups(columns) if spec.columns != "values" else [],
        columns=columns,
        panels=panels,
        conventions=list(captions.conventions(results, spec, panels)),
        protocol=captions.protocols(results, pairs_with_panels, spec),
        notes=notes,
        cites=spec.cites,
        latex=spec.latex,
    )


def _panels(
    results: Results,
    spec: TableSpec,
    pairs: list[Pair],
    lengths: list[int],
    columns: list[Column],
) -> list[Panel]:
    panels = []
    for pair in pairs:
        if all(_omission(results, pair, column) for column in columns):
            continue
        panel_lengths = [None] if spec.columns == "bits" else lengths
        panels += [_panel(results, spec, pair, bits, columns) for bits in panel_lengths]
    return panels


# -------------------------------------------------------------------------- columns


def _columns(
    results: Results, spec: TableSpec, pairs: list[Pair], lengths: list[int]
) -> tuple[list[Column], list[str]]:
    """Return the columns that some pair has, and a sentence on each omission."""
    planned = _planned_columns(spec, lengths)
    sentences = []
    for pair in pairs:
        labels_by_reason: dict[str, list[str]] = {}
        for column in planned:
            reason = _omission(results, pair, column)
            if reason:
                is_cut = column.k and spec.columns != "values"
                label = f"k = {column.k:,}" if is_cut else column.value.label
                labels_by_reason.setdefault(reason, []).append(label)
        for reason, labels in labels_by_reason.items():
            what = "; ".join(dict.fromkeys(labels))
            sentences.append(f"{results.label(pair)}, {what}: omitted, {reason}.")

    def is_available(column: Column) -> bool:
        return any(_omission(results, pair, column) is None for pair in pairs)

    available = list(filter(is_available, planned))
    # A table that no data set has keeps its columns, and has no panels.
    return available or planned, sentences


def _planned_columns(spec: TableSpec, lengths: list[int]) -> list[Column]:
    columns = []
    for value in spec.values:
        if spec.columns == "k":
            columns += [Column(value, None, k, f"k = {k:,}") for k in spec.k]
        elif spec.columns == "values":
            label = value.label or value.metric or value.fact
            columns.append(Column(value, None, value.k, label))
        elif value.per == "row":
            columns.append(Column(value, None, spec.k, value.label))
        else:
            columns += [Column(value, bits, spec.k, f"{bits} bits") for bits in lengths]

    return columns


def _omission(results: Results, pair: Pair, column: Column) -> str | None:
    """Return why a column is omitted for a data set and features; None if it is not."""
    value = column.value
    if value.metric and (reason := results.omission(pair, value.metric, column.k)):
        return reason
    if not value.optional or _has_optional(results, pair, column):
        return None
    return "no run has it"


def _has_optional(results: Results, pair: Pair, column: Column) -> bool:
    """Return whether some run on a data set and features has a metric or a fact."""
    value = column.value
    if value.fact in TIMING_VALUES:
        compute = TIMING_VALUES[value.fact]
        rows = [row for key, row in results.timing.items() if key[:2] == pair]
        return any(compute(row) is not None for row in rows)
    if value.metric:
        cell = (*pair, value.metric, column.k)
        return any((*key[:2], *key[-2:]) == cell for key in results.scores)
    return any(
        run.get(value.fact) for key, runs in results.runs.items() if key[:2] == pair for run in runs
    )


def _without_shared_columns(
    columns: list[Column], panels: list[Panel]
) -> tuple[list[Column], list[Panel], list[str]]:
    """Replace each column of text that is equal in every row with a sentence."""
    rows = [row for panel in panels for row in panel.rows + panel.controls]
    sentences, remaining = [], []
    for index, column in enumerate(columns):
        cells = [row.cells[index] for row in rows]
        texts = {cell.text for cell in cells if cell.state == "complete"}
        if column.value.fact in SHARED_FACTS and len(texts) == 1:
            sentences.append(f"{column.label}: {min(texts)}.")
        else:
            remaining.append(index)

    if not sentences or not remaining:
        return columns, panels, []

    def reduced(row: Row) -> Row:
        return replace(row, cells=[row.cells[index] for index in remaining])

    reduced_panels = []
    for panel in panels:
        panel_rows, controls = map(reduced, panel.rows), map(reduced, panel.controls)
        reduced_panels.append(replace(panel, rows=list(panel_rows), controls=list(controls)))

    return [columns[index] for index in remaining], reduced_panels, sentences


def _groups(columns: list[Column]) -> list[tuple[str, int]]:
    """Return the headings of several columns, and how many columns each has."""
    groups: list[tuple[str, int]] = []
    for column in columns:
        label = "" if column.value.per == "row" else column.value.label
        if groups and label and groups[-1][0] == label:
            groups[-1] = (label, groups[-1][1] + 1)
        else:
            groups.append((label, 1))
    return groups if any(label for label, _ in groups) else []


# ----------------------------------------------------------------------------- rows


def _panel(
    results: Results, spec: TableSpec, pair: Pair, bits: int | None, columns: list[Column]
) -> Panel:
    rows = []
    for method in _selected_methods(results, spec):
        key = (*pair, method["name"])
        if _is_timed(spec):
            is_shown = (*key, bits) in results.timing
        else:
            is_shown = is_planned(results, key, bits)
        if not is_shown:
            continue
        cells = []
        for column in columns:
            length = bits if column.bits is None else column.bits
            cells.append(method_cell(results, key, length, column))
        if all(cell == NOT_PLANNED_CELL for cell in cells):
            continue
        rows.append(Row(method["name"], method["label"], cells, method.get("note", "")))

    if spec.best:
        rows = _with_daggers(results, pair, bits, columns, _with_best(rows))

    controls = []
    if spec.controls:
        row_of = partial(_control_row, results, pair, bits, spec, columns)
        controls = [row_of(control) for control in results.controls]

    label = results.label(pair) + ("" if bits is None else f", {bits} bits")
    return Panel(label, pair, bits, rows, controls)


def _selected_methods(results: Results, spec: TableSpec) -> list[dict]:
    """Return the methods that a table selects, each followed by its trials and tuned versions."""
    if "methods" not in spec.select:
        return results.methods
    methods = {}
    for name in spec.select["methods"]:
        for method in results.methods:
            if name in (method["name"], method["base"]):
                methods.setdefault(method["name"], method)
    return list(methods.values())


def _control_row(
    results: Results,
    pair: Pair,
    bits: int | None,
    spec: TableSpec,
    columns: list[Column],
    control: dict,
) -> Row:
    """Return a ranking by features: one cell spans all code lengths if they have one value."""
    name, cells = control["name"], []
    for column in columns:
        length = bits if column.bits is None else column.bits
        cells.append(control_cell(results, pair, name, length, column))

    if spec.columns == "bits" and not control_bits(name, 1):
        cells = [replace(cells[0], span=len(columns))]
    return Row(name, control["label"], cells)


def _with_best(rows: list[Row]) -> list[Row]:
    """Mark the highest printed number of each column, and all that are equal to it.

    A mean over fewer seeds than the others does not compete, and a single row is not marked.
    """
    if len(rows) < 2:
        return rows
    columns = zip(*(row.cells for row in rows), strict=True)
    return _with_columns(rows, [_with_best_cells(cells) for cells in columns])


def _with_best_cells(cells: tuple[Cell, ...]) -> list[Cell]:
    """Mark the complete cells whose printed number is the highest."""
    numbers = {}
    for index, cell in enumerate(cells):
        if cell.state == "complete":
            numbers[index] = float(cell.text.replace(",", ""))

    highest = max(numbers.values(), default=None)
    best = {index for index, number in numbers.items() if number == highest}
    return [replace(cell, best=True) if i in best else cell for i, cell in enumerate(cells)]


def _with_daggers(
    results: Results, pair: Pair, bits: int | None, columns: list[Column], rows: list[Row]
) -> list[Row]:
    """Mark the best mean average precision of a column if it is significantly the highest."""
    lengths = {column.bits for column in columns} if bits is None else results.experiment["bits"]
    marked = []
    for index, column in enumerate(columns):
        cells = [row.cells[index] for row in rows]
        if column.value.metric == "map":
            is_best = partial(results.is_best, pair, bits or column.bits, columns=len(lengths))
            cells = list(_with_dagger(is_best, rows, cells))
        marked.append(cells)

    return _with_columns(rows, marked)


def _with_dagger(
    is_best: Callable[[str, str], bool | None], rows: list[Row], cells: list[Cell]
) -> Iterator[Cell]:
    """Yield the cells of one column; is_best: whether one row is significantly above another."""
    complete = {}
    for row, cell in zip(rows, cells, strict=True):
        if cell.state == "complete":
            complete[row.name] = cell

    best = [name for name, cell in complete.items() if cell.best]
    others = [name for name, cell in complete.items() if not cell.best]
    is_significant = (
        len(best) == 1 and bool(others) and all(is_best(best[0], other) for other in others)
    )
    for cell in cells:
        yield replace(cell, dagger=is_significant and cell.best)


def _with_columns(rows: list[Row], columns: list[list[Cell]]) -> list[Row]:
    """Return the rows with the cells of these columns."""
    cells_of_rows = zip(*columns, strict=True)
    return [replace(row, cells=list(cells)) for row, cells in zip(rows, cells_of_rows, strict=True)]
