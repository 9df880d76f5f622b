"""Write the values of tables and figures as CSV, at full precision."""

from __future__ import annotations

import csv
import io

from report.figures.figure import Figure
from report.tables.table import Cell, Column, Row, Table


def of_table(table: Table) -> str:
    """A line a row of the table; what is more than a number, or none, stands as it is printed (`failed 1/3`). A deviation follows its mean,
    and the seeds that are done where some are not.
    """
    groups = [label for label, span in table.groups for _ in range(span)] or [""] * len(
        table.columns
    )
    rows = [(panel, row) for panel in table.panels for row in [*panel.rows, *panel.controls]]
    header, lines = ["Panel", "Method"], [[panel.label, row.label] for panel, row in rows]
    for place, (group, column) in enumerate(zip(groups, table.columns, strict=True)):
        name = f"{group}: {column.label}" if group else column.label
        found = [_texts(_cells(row)[place], column) for _, row in rows]
        for at, what in enumerate(("", ", deviation", ", seeds")):
            texts = [said[at] for said in found]
            if not what or any(texts):
                header.append(name + what)
                for line, text in zip(lines, texts, strict=True):
                    line.append(text)
    return _csv(header, lines)


def of_figure(figure: Figure) -> str:
    """A line a point, as the page says it: the number of digits of its tables and one more."""
    lines = []
    for panel in figure.panels:
        for series in panel["series"]:
            points = [
                series[key].split() if key in series else None
                for key in ("x", "y", "deviation", "at")
            ]
            columns = [texts or [""] * len(points[0]) for texts in points]
            lines += [
                [panel["title"], series["name"], panel["x"], x, series["quantity"], *rest]
                for x, *rest in zip(*columns, strict=True)
            ]
    return _csv(["panel", "method", "x is", "x", "y is", "y", "deviation", "rank or radius"], lines)


def _cells(row: Row) -> list[Cell]:
    """A cell for each column: one that spans several is repeated."""
    return [cell for cell in row.cells for _ in range(cell.span)]


def _texts(cell: Cell, column: Column) -> tuple[str, str, str]:
    """Value, deviation and seeds."""
    if cell.number is None or cell.text != column.value.printed(cell.number):
        return cell.text, "", cell.seeds
    return repr(cell.number), repr(cell.spread) if cell.deviation or cell.spread else "", cell.seeds


def _csv(header: list[str], lines: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()
