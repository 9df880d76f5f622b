"""Choose the environment, font size and parts of a LaTeX table. Widths are upper estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from report.tables.table import DAGGER, Cell, Panel, Row, Table
from report.writers.latex_text import width

COLUMN, TEXT = (
    226,
    343,
)  # points: a column and the text of the article class, the narrowest that a table may meet
LABEL = 112  # points: a longer label is broken into lines, where its table would not fit otherwise
HEIGHT = 480  # points of a page that the panels of a table and its notes may take
CONTINUED = " (continued)"


@dataclass(frozen=True)
class Size:
    """Type of a table: its command and that of deviations, both in points, half the gap between columns, and the height of a line."""

    command: str
    small: str
    points: int
    small_points: int
    gap: int
    line: float


SMALL, FOOTNOTE, SCRIPT = SIZES = (
    Size(r"\small", r"\scriptsize", 9, 7, 5, 11),
    Size(r"\footnotesize", r"\scriptsize", 8, 7, 4, 9.5),
    Size(r"\scriptsize", r"\tiny", 7, 5, 3, 8),
)


@dataclass(frozen=True)
class Layout:
    """How a table is set: in one column of two or across both, its type, the width of broken labels (None: none is), columns a part."""

    wide: bool
    size: Size
    label: int | None
    columns: int

    @property
    def environment(self) -> str:
        return "table*" if self.wide else "table"

    @property
    def width(self) -> int:
        return TEXT if self.wide else COLUMN


def layout(table: Table) -> Layout:
    """The first that fits whole of: a column, the text, the text with labels broken into lines, and that with fewer columns a part.

    A table that is too long for any is set as the first that is wide enough, and cut.
    """
    every = max(1, len(table.columns))
    tried = [Layout(False, size, None, every) for size in (SMALL, FOOTNOTE)]
    tried += [Layout(True, size, label, every) for label in (None, LABEL) for size in SIZES]
    group = max(
        [span for _, span in table.groups], default=every
    )  # a part has whole groups where it can, or about as many as another
    fewer = [count for count in range(every - 1, 0, -1) if count % group == 0] + [
        -(-every // parts) for parts in range(2, every + 1)
    ]
    tried += [Layout(True, SCRIPT, LABEL, count) for count in fewer]
    fitting = [choice for choice in tried if _fits(table, choice)] or tried[-1:]
    return next((choice for choice in fitting if len(parts(table, choice)) == 1), fitting[0])


def _fits(table: Table, chosen: Layout) -> bool:
    return all(_width(part, chosen) <= chosen.width for part in _blocks(table, chosen))


def _width(table: Table, chosen: Layout) -> float:
    """Width of a table in points, estimated from above."""
    rows = [row for panel in table.panels for row in panel.rows + panel.controls]
    labels = max((width(row.label, chosen.size.points) for row in rows), default=0)
    widths = [width(column.label, chosen.size.points) for column in table.columns]
    for row in rows:
        for place, cell in _places(row):
            if cell.span == 1:
                widths[place] = max(widths[place], _cell_width(cell, chosen.size))
    between = 2 * chosen.size.gap * (len(widths) + 1)
    printed = (
        min(labels, chosen.label or labels)
        + sum(widths)
        + between
        + _missing_for_groups(table, widths, chosen.size)
    )
    return max(
        [
            printed,
            *(
                width(panel.label, chosen.size.points) + 2 * chosen.size.gap
                for panel in table.panels
            ),
        ]
    )


def _missing_for_groups(table: Table, widths: list[float], size: Size) -> float:
    """What the headings above several columns are wider than these."""
    missing, left = 0.0, 0
    for label, span in table.groups:
        below = sum(widths[left : left + span]) + 2 * size.gap * (span - 1)
        missing, left = missing + max(0.0, width(label, size.points) - below), left + span
    return missing


def _cell_width(cell: Cell, size: Size) -> float:
    """Deviation, marks and interval are set smaller; bold is wider."""
    printed = width(cell.text, size.points) * (1.16 if cell.best else 1)
    printed += width(f"+{cell.deviation}", size.small_points) + 2 if cell.deviation else 0
    printed += width(marks(cell), 5)
    return max(printed, width(cell.interval, size.small_points))


def _places(row: Row) -> list[tuple[int, Cell]]:
    """Each cell of a row with the column where it starts."""
    placed, left = [], 0
    for cell in row.cells:
        placed.append((left, cell))
        left += cell.span
    return placed


def parts(table: Table, chosen: Layout) -> list[Table]:
    """The table, or the parts that it is cut into, each a float: by columns, then by rows."""
    blocks = _blocks(table, chosen)
    return [part for block in blocks for part in _pages(block, chosen, block is blocks[-1])]


def _blocks(table: Table, chosen: Layout) -> list[Table]:
    """The table, or where it has more columns than a part takes, one with the first of them, and so on; it has no blank rows."""
    if chosen.columns >= len(table.columns):
        return [table]
    starts = range(0, len(table.columns), chosen.columns)
    return [
        _with_columns(table, start, min(start + chosen.columns, len(table.columns)))
        for start in starts
    ]


def _with_columns(table: Table, start: int, end: int) -> Table:
    def cut(row: Row) -> Row:
        kept = [
            replace(cell, span=min(end, left + cell.span) - max(start, left))
            for left, cell in _places(row)
        ]
        return replace(row, cells=[cell for cell in kept if cell.span > 0])

    groups, left = [], 0
    for label, span in table.groups:
        groups.append((label, min(end, left + span) - max(start, left)))
        left += span

    def said(rows: list[Row]) -> list[Row]:
        return [row for row in map(cut, rows) if any(cell.text for cell in row.cells)]

    panels = [
        replace(panel, rows=said(panel.rows), controls=said(panel.controls))
        for panel in table.panels
    ]
    return replace(
        table,
        columns=table.columns[start:end],
        groups=[group for group in groups if group[1] > 0],
        panels=[panel for panel in panels if panel.rows],
    )


def _pages(table: Table, chosen: Layout, last: bool) -> list[Table]:
    """The table, or parts of it that fit a page each, the `last` of all with the notes: whole panels where they do, else some rows."""
    below = 8 * math.ceil(sum(width(sentence, 7) + 3 for sentence in notes(table)) / chosen.width)
    page, page_with_notes = (
        HEIGHT / chosen.size.line,
        max(12.0, (HEIGHT - below) / chosen.size.line),
    )
    pieces = [piece for panel in table.panels for piece in _pieces(panel, page_with_notes, chosen)]
    pages, taken = [[]], 0.0
    for panel in pieces:
        if pages[-1] and taken + _lines(panel, chosen) > page:
            pages.append([])
            taken = 0.0
        pages[-1].append(panel)
        taken += _lines(panel, chosen)
    if last and len(pages[-1]) > 1 and taken > page_with_notes:
        pages.append([pages[-1].pop()])
    return [replace(table, panels=panels) for panels in pages]


def _pieces(panel: Panel, most: float, chosen: Layout) -> list[Panel]:
    """The panel, or where it takes more than so many lines, as many of its rows as fit, and so on."""
    if _lines(panel, chosen) <= most or len(panel.rows) < 2:
        return [panel]
    fitting = len(panel.rows) - 1
    while (
        fitting > 1
        and _lines(replace(panel, rows=panel.rows[:fitting], controls=[]), chosen) > most
    ):
        fitting -= 1
    heading = panel.label.removesuffix(CONTINUED) + CONTINUED
    rest = replace(panel, label=heading, rows=panel.rows[fitting:])
    return [replace(panel, rows=panel.rows[:fitting], controls=[]), *_pieces(rest, most, chosen)]


def _lines(panel: Panel, chosen: Layout) -> float:
    """Lines that a panel takes, its heading and rules included."""
    lines = 2.5
    for row in panel.rows + panel.controls:
        lines += (
            math.ceil(1.1 * width(row.label, chosen.size.points) / chosen.label)
            if broken(row.label, chosen)
            else 1
        )
        lines += 1.3 if any(cell.interval for cell in row.cells) else 0
    return lines


def broken(label: str, chosen: Layout) -> bool:
    return chosen.label is not None and width(label, chosen.size.points) > chosen.label


def notes(table: Table) -> list[str]:
    """What stands below a table: the definition of its metric, how its cells are read, the protocol, and what made it."""
    return [table.caption, *table.protocol, *table.notes]


def marks(cell: Cell) -> str:
    return ", ".join(
        filter(
            None,
            [
                DAGGER if cell.dagger else "",
                cell.seeds,
                cell.collapse.mark if cell.collapse else "",
            ],
        )
    )
