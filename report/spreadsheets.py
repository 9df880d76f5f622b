"""Tables and figures as CSV: the numbers behind what is printed, at full precision."""

from __future__ import annotations

import csv
import io

from report.drawing import Figure
from report.model import Cell, Column, Row, Table


def of_table(table: Table) -> str:
    """A line a row of the table; what has no number stands as it is printed (`failed 1/3`). A deviation follows its mean."""
    groups = [label for label, span in table.groups for _ in range(span)] or [""] * len(table.columns)
    names = [f"{group}: {column.label}" if group else column.label for group, column in zip(groups, table.columns, strict=True)]
    spread = [any(cell.spread for row in _rows(table) for cell in _cells(row)[place : place + 1]) for place in range(len(names))]
    header = [text for name, has in zip(names, spread, strict=True) for text in [name, f"{name}, deviation"][: 1 + has]]
    lines = []
    for panel in table.panels:
        for row in [*panel.rows, *panel.controls]:
            cells = zip(_cells(row), table.columns, spread, strict=True)
            lines.append([panel.label, row.label, *(text for cell, column, has in cells for text in _texts(cell, column)[: 1 + has])])
    return _csv(["Panel", "Method", *header], lines)


def of_figure(figure: Figure) -> str:
    """A line a point, as the page says it: the number of digits of its tables and one more."""
    lines = []
    for panel in figure.panels:
        for series in panel["series"]:
            points = [series[key].split() if key in series else None for key in ("x", "y", "deviation", "at")]
            columns = [texts or [""] * len(points[0]) for texts in points]
            lines += [[panel["title"], series["name"], panel["x"], x, series["quantity"], *rest] for x, *rest in zip(*columns, strict=True)]
    return _csv(["panel", "method", "x is", "x", "y is", "y", "deviation", "rank or radius"], lines)


def _rows(table: Table) -> list[Row]:
    return [row for panel in table.panels for row in [*panel.rows, *panel.controls]]


def _cells(row: Row) -> list[Cell]:
    """A cell for each column: one that spans several is repeated."""
    return [cell for cell in row.cells for _ in range(cell.span)]


def _texts(cell: Cell, column: Column) -> list[str]:
    if cell.number is None or column.value.to:
        return [cell.text, ""]
    return [repr(cell.number), repr(cell.spread) if cell.deviation or cell.spread else ""]


def _csv(header: list[str], lines: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()
