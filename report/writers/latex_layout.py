"""Choose the environment, font size and parts of a LaTeX table. Widths are upper estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from report.latex_text import Source, width
from report.tables.table import DAGGER, Cell, Panel, Row, Table

# Points of a column and of the text of the article class, the narrowest that a table may meet.
COLUMN, TEXT = 226, 343
LABEL = 112  # points: a longer label is broken into lines if its table does not fit otherwise
HEIGHT = 480  # points of a page that the panels of a table and its notes may take
BOLD = 1.16  # how much wider bold digits are
MARK_POINTS = 5  # size of the type of marks
NOTE_POINTS, NOTE_LINE = 7, 8  # size of the type of the notes, and height of its lines
CONTINUED = " (continued)"


HEADING_LINES = 2.5  # of a panel, with its rules


@dataclass(frozen=True)
class Size:
    """The type of a table.

    Attributes
    ----------
    command, small : str
        LaTeX commands of numbers and of deviations.
    points, small_points : int
        Their sizes.
    gap : int
        Half the distance between columns, in points.
    line : float
        Height of a line in points.
    """

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
    """How a table is typeset.

    Attributes
    ----------
    wide : bool
        Whether it spans both columns of a page.
    size : Size
    label : int or None
        Width of broken labels in points; None if no label is broken.
    columns : int
        Columns of each part.
    """

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


def first_fitting(table: Table) -> Layout:
    """Return the first layout in which the whole table fits.

    They are tried in this order: one column; the text; the text with broken labels; and that with
    fewer columns in each part. A table that is too long for any of them gets the first that is wide
    enough, and is cut.
    """
    columns = max(1, len(table.columns))
    layouts = [Layout(False, size, None, columns) for size in (SMALL, FOOTNOTE)]
    for label in (None, LABEL):
        layouts += [Layout(True, size, label, columns) for size in SIZES]

    for count in _smaller_parts(table, columns):
        layouts.append(Layout(True, SCRIPT, LABEL, count))

    fitting = [choice for choice in layouts if _fits(table, choice)] or layouts[-1:]
    whole = (choice for choice in fitting if len(parts(table, choice)) == 1)
    return next(whole, fitting[0])


def _smaller_parts(table: Table, columns: int) -> list[int]:
    """Return the numbers of columns that a part may have: whole groups first, then equal parts."""
    group = max((span for _, span in table.groups), default=columns)
    whole_groups = [count for count in range(columns - 1, 0, -1) if count % group == 0]
    equal_parts = [-(-columns // number) for number in range(2, columns + 1)]
    return whole_groups + equal_parts


# ---------------------------------------------------------------------------- widths


def _fits(table: Table, layout: Layout) -> bool:
    return all(_width(block, layout) <= layout.width for block in _blocks(table, layout))


def _width(table: Table, layout: Layout) -> float:
    """Return the width of a table in points, estimated from above."""
    size = layout.size
    label = max((width(row.label, size.points) for row in table.rows), default=0)
    if layout.label is not None:
        label = min(label, layout.label)

    widths = [width(column.label, size.points) for column in table.columns]
    for row in table.rows:
        for left, cell in _positions(row):
            if cell.span == 1:
                widths[left] = max(widths[left], _cell_width(cell, size))

    gaps = 2 * size.gap * (len(widths) + 1)
    tabular = label + sum(widths) + gaps + _extra_for_groups(table, widths, size)
    headings = [width(panel.label, size.points) + 2 * size.gap for panel in table.panels]
    return max([tabular, *headings])


def _extra_for_groups(table: Table, widths: list[float], size: Size) -> float:
    """Return by how much headings of several columns are wider than these columns."""
    extra, left = 0.0, 0
    for label, span in table.groups:
        below = sum(widths[left : left + span]) + 2 * size.gap * (span - 1)
        extra += max(0.0, width(label, size.points) - below)
        left += span
    return extra


def _cell_width(cell: Cell, size: Size) -> float:
    number = width(cell.text, size.points) * (BOLD if cell.best else 1)
    if cell.deviation:
        number += width(f"+{cell.deviation}", size.small_points) + 2
    number += width(marks(cell), MARK_POINTS)
    return max(number, width(cell.below, size.small_points))


def _positions(row: Row) -> list[tuple[int, Cell]]:
    """Return each cell of a row with the column where it starts."""
    positions, left = [], 0
    for cell in row.cells:
        positions.append((left, cell))
        left += cell.span
    return positions


# ----------------------------------------------------------------------------- parts


def parts(table: Table, layout: Layout) -> list[Table]:
    """Return the parts of a table, each a float: it is cut by columns first, then by rows."""
    pages = []
    blocks = _blocks(table, layout)
    for block in blocks:
        pages += _pages(block, layout, block is blocks[-1])
    return pages


def _blocks(table: Table, layout: Layout) -> list[Table]:
    """Return the table in blocks of as many columns as a part takes, without blank rows."""
    if layout.columns >= len(table.columns):
        return [table]
    blocks = []
    for start in range(0, len(table.columns), layout.columns):
        end = min(start + layout.columns, len(table.columns))
        blocks.append(_with_columns(table, start, end))
    return blocks


def _with_columns(table: Table, start: int, end: int) -> Table:
    """Return the columns from `start` to `end`, without rows and panels that are blank there."""
    panels = []
    for panel in table.panels:
        rows = _cut_rows(panel.rows, start, end)
        controls = _cut_rows(panel.controls, start, end)
        if rows:
            panels.append(replace(panel, rows=rows, controls=controls))

    groups, left = [], 0
    for label, span in table.groups:
        visible = min(end, left + span) - max(start, left)
        if visible > 0:
            groups.append((label, visible))
        left += span

    return replace(table, columns=table.columns[start:end], groups=groups, panels=panels)


def _cut_rows(rows: list[Row], start: int, end: int) -> list[Row]:
    cut = []
    for row in rows:
        cells = []
        for left, cell in _positions(row):
            visible = min(end, left + cell.span) - max(start, left)
            if visible > 0:
                cells.append(replace(cell, span=visible))
        if any(cell.text for cell in cells):
            cut.append(replace(row, cells=cells))

    return cut


def _pages(table: Table, layout: Layout, is_last: bool) -> list[Table]:
    """Return parts of the table that fit a page each, if possible with whole panels.

    is_last: whether the notes are below the last of them.
    """
    text = sum(width(sentence, NOTE_POINTS) + 3 for sentence in sentences(table))
    notes_height = NOTE_LINE * math.ceil(text / layout.width)
    page = HEIGHT / layout.size.line
    page_with_notes = max(12.0, (HEIGHT - notes_height) / layout.size.line)

    pages: list[list[Panel]] = [[]]
    lines = 0.0
    for panel in table.panels:
        for piece in _pieces(panel, page_with_notes, layout):
            if pages[-1] and lines + _lines(piece, layout) > page:
                pages.append([])
                lines = 0.0
            pages[-1].append(piece)
            lines += _lines(piece, layout)

    if is_last and len(pages[-1]) > 1 and lines > page_with_notes:
        pages.append([pages[-1].pop()])

    return [replace(table, panels=panels) for panels in pages]


def _pieces(panel: Panel, most: float, layout: Layout) -> list[Panel]:
    """Return the panel in pieces of at most so many lines."""
    if _lines(panel, layout) <= most or len(panel.rows) < 2:
        return [panel]
    count, lines = 1, HEADING_LINES + _row_lines(panel.rows[0], layout)
    for row in panel.rows[1:-1]:
        lines += _row_lines(row, layout)
        if lines > most:
            break
        count += 1

    heading = panel.label.removesuffix(CONTINUED) + CONTINUED
    rest = replace(panel, label=heading, rows=panel.rows[count:])
    first = replace(panel, rows=panel.rows[:count], controls=[])
    return [first, *_pieces(rest, most, layout)]


def _lines(panel: Panel, layout: Layout) -> float:
    """Return how many lines a panel takes, its heading and rules included."""
    return HEADING_LINES + sum(_row_lines(row, layout) for row in panel.rows + panel.controls)


def _row_lines(row: Row, layout: Layout) -> float:
    lines = 1.0
    if is_broken(row.label, layout):
        lines = math.ceil(1.1 * width(row.label, layout.size.points) / layout.label)
    if any(cell.below for cell in row.cells):
        lines += 1.3
    return lines


def is_broken(label: str, layout: Layout) -> bool:
    """Return whether a label is broken into lines."""
    return layout.label is not None and width(label, layout.size.points) > layout.label


# ----------------------------------------------------------------------------- words


def sentences(table: Table) -> list[str]:
    """Return what is below a table: definition, how to read cells, protocol and provenance."""
    note = Source(table.note) if table.latex else table.note
    return [text for text in (note, *table.conventions, *table.protocol, *table.notes) if text]


def marks(cell: Cell) -> str:
    """Return the raised marks of a cell."""
    dagger = DAGGER if cell.dagger else ""
    collapse = cell.collapse.mark if cell.collapse else ""
    return ", ".join(filter(None, [dagger, cell.seeds, collapse]))
