"""Write the values of tables and figures as CSV, at full precision."""

from __future__ import annotations

import csv
import io

from harness.plain_text import spreadsheet_text
from report.figures.figure import NO_DEVIATION, Figure
from report.tables.table import Cell, Column, Row, Table

FIGURE_COLUMNS = ("panel", "method", "x is", "x", "y is", "y", "deviation", "rank or radius")


def of_table(table: Table) -> str:
    """Return a table as CSV, one line per row.

    A cell that is more than a number is written as printed, for example ``failed 1/3``. Columns of
    deviations and of seeds follow the column of a mean that has any.
    """
    rows = [(panel, row) for panel in table.panels for row in [*panel.rows, *panel.controls]]
    header = ["Panel", table.row_heading]
    lines = [[panel.label, row.label] for panel, row in rows]
    for index, column in enumerate(table.columns):
        group = _group(table, index)
        name = f"{group}: {column.label}" if group else column.label
        cells = [_cells(row)[index] for _, row in rows]
        parts = {
            name: [_number_text(cell, column) for cell in cells],
            f"{name}, deviation": [_deviation_text(cell, column) for cell in cells],
            f"{name}, seeds": [cell.seeds for cell in cells],
            f"{name}, status": [cell.status for cell in cells],
        }
        for heading, texts in parts.items():
            if heading == name or any(texts):
                header.append(heading)
                for line, text in zip(lines, texts, strict=True):
                    line.append(text)

    return _csv(header, lines)


def of_figure(figure: Figure) -> str:
    """Return the points of a figure as CSV, with one more digit than its tables print."""
    lines = []
    for panel in figure.panels:
        for series in panel["series"]:
            xs, ys = series["x"].split(), series["y"].split()
            deviations = series.get("deviation", "").split() or [""] * len(xs)
            ranks = series.get("at", "").split() or [""] * len(xs)
            for x, y, deviation, rank in zip(xs, ys, deviations, ranks, strict=True):
                spread = "" if deviation == NO_DEVIATION else deviation
                point = [panel["x"], x, series["quantity"], y, spread, rank]
                lines.append([panel["title"], series["name"], *point])

    return _csv(list(FIGURE_COLUMNS), lines)


def _group(table: Table, index: int) -> str:
    """Return the heading above a column and others, if there is one."""
    labels = []
    for label, span in table.groups:
        labels += [label] * span
    return labels[index] if labels else ""


def _cells(row: Row) -> list[Cell]:
    """Return a cell for each column: one that spans several columns is repeated."""
    cells = []
    for cell in row.cells:
        cells += [cell] * cell.span
    return cells


def _is_plain_number(cell: Cell, column: Column) -> bool:
    return cell.number is not None and cell.text == column.value.printed(cell.number)


def _number_text(cell: Cell, column: Column) -> str:
    return repr(cell.number) if _is_plain_number(cell, column) else cell.text


def _deviation_text(cell: Cell, column: Column) -> str:
    has_deviation = _is_plain_number(cell, column) and (cell.deviation or cell.spread)
    return repr(cell.spread) if has_deviation else ""


def _csv(header: list[str], lines: list[list[str]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for line in [header, *lines]:
        writer.writerow([spreadsheet_text(text) for text in line])
    return file.getvalue()
