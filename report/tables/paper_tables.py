"""The layout of the paper's comparison: one table per data set, one column per code length."""

from __future__ import annotations

from dataclasses import replace

from report.results import Pair, Results
from report.tables import captions
from report.tables.published_values import PublishedValue, measured_cell, read, reported_cell
from report.tables.table import Cell, Column, Panel, Row, Table, cells_of
from report.tables.table_specs import Paper, PaperTable, Value, read_paper

UNKNOWN = "not known to us"
RE_RUN = "re-run by a third party"
NOTE = (
    "Each reported cell states its status. Second-hand: quoted by a user of the released code, not "
    "verified against the paper. Re-run: the released code, run by third parties. Blank cells of "
    "measured rows: code lengths that this experiment does not have."
)


def build(results: Results) -> list[Table]:
    """Return a table for each data set of the paper; none if the experiment has none of them."""
    paper = read_paper()
    plugins = {results.plugin_of(pair.dataset) for pair in results.pairs}
    if not plugins.intersection(table.dataset for table in paper.tables):
        return []
    values = [value for value in read() if value.bits in paper.bits]
    return [_table(results, paper, table, values) for table in paper.tables]


def _table(
    results: Results, paper: Paper, layout: PaperTable, values: list[PublishedValue]
) -> Table:
    pairs = [pair for pair in results.pairs if results.plugin_of(pair.dataset) == layout.dataset]
    groups = _groups(paper, layout, values)
    reported = _reported_rows(paper, groups)
    measured = _measured_panels(results, paper, layout, pairs)
    first = pairs[0] if pairs else Pair(layout.dataset, "")
    notes = [_known_cells(paper, layout, values), paper.source]
    if measured:
        notes += [*captions.marks(cells_of(measured)), captions.measured(results)]
    else:
        cell = Cell(layout.not_measured, "omitted", span=len(paper.bits))
        measured = [Panel("Measured here", first, None, [Row("none", "All methods", [cell])], [])]

    columns = [Column(Value(metric=layout.metric), bits, None, f"{bits}") for bits in paper.bits]
    title = f"Comparison in the paper: {layout.label}"
    return Table(
        name=f"paper-{layout.dataset}",
        title=title,
        caption=f"{title}.",
        note=NOTE,
        groups=[("Bits", len(columns))],
        columns=columns,
        panels=[Panel("Reported", first, None, reported, []), *measured],
        protocol=[layout.protocol],
        notes=[*notes, *_sources(groups)],
    )


def _groups(
    paper: Paper, layout: PaperTable, values: list[PublishedValue]
) -> dict[str, list[PublishedValue]]:
    """Return {method: its values}: of the paper's row, and of each re-run of its method."""
    names = {paper.row: None}
    for value in values:
        # Re-runs of other methods are in the table of all published values.
        if value.status == RE_RUN and value.method.startswith(f"{paper.row},"):
            names[value.method] = None
    groups = {name: _of(layout, values, name) for name in names}
    return {name: group for name, group in groups.items() if group or name == paper.row}


def _reported_rows(paper: Paper, groups: dict[str, list[PublishedValue]]) -> list[Row]:
    """Return the row of the paper, the re-runs, and a row for what is not known."""
    rows = []
    for method, group in groups.items():
        by_length: dict[int, list[PublishedValue]] = {bits: [] for bits in paper.bits}
        for value in group:
            by_length[value.bits].append(value)
        cells = [_reported_cell(values) for values in by_length.values()]
        label = f"The paper's {method}" if method == paper.row else method
        rows.append(Row(f"reported {len(rows)}", label, cells))

    unknown = Cell(f"rows and their order are {UNKNOWN}", "omitted", span=len(paper.bits))
    return [*rows, Row("reported others", "The paper's other methods", [unknown])]


def _of(layout: PaperTable, values: list[PublishedValue], method: str) -> list[PublishedValue]:
    return [v for v in values if v.dataset == layout.dataset and v.method == method]


def _reported_cell(values: list[PublishedValue]) -> Cell:
    """Return a reported value with its status."""
    if not values:
        return Cell("\N{EN DASH}", "omitted", status=UNKNOWN)
    status = values[0].status
    if len(values) > 1:
        status = f"re-run by third parties, n = {len(values)}"
    return replace(reported_cell(values), status=status)


def _measured_panels(
    results: Results, paper: Paper, layout: PaperTable, pairs: list[Pair]
) -> list[Panel]:
    panels = []
    for pair in pairs:
        rows = []
        for method in results.methods:
            key = (*pair, method["name"])
            cells = [measured_cell(results, key, layout.metric, bits) for bits in paper.bits]
            rows.append(Row(method["name"], method["label"], cells))
        if any(cell.text for row in rows for cell in row.cells):
            label = f"Measured here by {layout.metric}: {results.label(pair)}"
            panels.append(Panel(label, pair, None, rows, []))

    return panels


def _known_cells(paper: Paper, layout: PaperTable, values: list[PublishedValue]) -> str:
    counts = {}
    for table in paper.tables:
        counts[table.dataset] = len({value.bits for value in _of(table, values, paper.row)})

    columns = len(paper.bits)
    return (
        f"{counts[layout.dataset]} of {columns} cells known in the paper's row {paper.row}, "
        f"{sum(counts.values())} of {columns * len(paper.tables)} cells known on its "
        f"{len(paper.tables)} data sets. Its other rows and their order are {UNKNOWN}; measured "
        "rows are in the order of the configuration."
    )


def _sources(groups: dict[str, list[PublishedValue]]) -> list[str]:
    """Return the source of every reported value that the table shows."""
    sources = dict.fromkeys(value.source for group in groups.values() for value in group)
    return [f"Reported values: {', '.join(sources)}."] if sources else []
