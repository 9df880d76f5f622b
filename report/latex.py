"""Tables as LaTeX to paste: booktabs and \\multicolumn only, and every text made safe for pdflatex."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jinja2

from report.latex_text import Source, escape
from report.model import DAGGER, Cell, Panel, Row, Table

TEMPLATES = Path(__file__).with_name("templates")
TEXT_WIDTH = 490  # points; the text of IEEE, ACM, AAAI and CVPR papers is 497 to 516 wide


@dataclass(frozen=True)
class Size:
    """Type of a table: its command, that of deviations, the mean width of a character and half the gap between columns in points."""

    command: str
    small: str
    character: float
    gap: int


SIZES = (Size(r"\small", r"\scriptsize", 4.7, 5), Size(r"\footnotesize", r"\scriptsize", 4.3, 4), Size(r"\scriptsize", r"\tiny", 3.7, 3))


def render(table: Table, references: list[str]) -> str:
    """A table as one self-contained `table*` environment; `references` are the keys that its rows and caption cite."""
    chosen = size(table)
    return (
        _environment()
        .get_template("table.tex.j2")
        .render(
            table=table,
            name=Source(table.name),  # a label is no text: escaped, its underscores would break it
            references=Source(" ".join(references)),
            columns=Source("l" + "".join("l" if column.value.per == "row" else "c" for column in table.columns)),
            size=Source(rf"{chosen.command}\setlength{{\tabcolsep}}{{{chosen.gap}pt}}"),
            header=header(table),
            body=[body(table, panel, chosen) for panel in table.panels],
        )
    )


def _environment() -> jinja2.Environment:
    marks = {"block": r"\BLOCK{", "variable": r"\VAR{", "comment": r"\COMMENT{"}
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        finalize=escape,
        **{f"{kind}_start_string": mark for kind, mark in marks.items()},
        **{f"{kind}_end_string": "}" for kind in marks},
    )


def size(table: Table) -> Size:
    """The largest type in which the table fits the width of two columns of text, by a count of its characters; else the smallest."""
    labels = max(len(row.label) for panel in table.panels for row in panel.rows + panel.controls)
    columns = [[row.cells[place] for panel in table.panels for row in panel.rows] for place in range(len(table.columns))]
    widths = [max([len(column.label), *map(_characters, cells)]) for column, cells in zip(table.columns, columns, strict=True)]
    fitting = [size for size in SIZES if (labels + sum(widths)) * size.character + 2 * len(widths) * size.gap <= TEXT_WIDTH]
    return (fitting or SIZES[-1:])[0]


def _characters(cell: Cell) -> float:
    """Length of a cell in characters of its own size; deviation and marks are set smaller."""
    printed = len(cell.text) + (0.8 * len(cell.deviation) + 2.5 if cell.deviation else 0) + 0.7 * len(_marks(cell))
    return max(printed, 0.8 * len(cell.interval))


def header(table: Table) -> Source:
    lines = []
    if table.groups:
        lines += [_line([Source(), *(_spanning(escape(label), span) for label, span in table.groups)]), _group_rules(table)]
    lines.append(_line([escape("Method"), *(escape(column.label) for column in table.columns)]))
    return Source("\n".join(line for line in lines if line))


def _group_rules(table: Table) -> str:
    rules, left = [], 2
    for label, span in table.groups:
        if label:
            rules.append(rf"\cmidrule(lr){{{left}-{left + span - 1}}}")
        left += span
    return "".join(rules)


def body(table: Table, panel: Panel, size: Size) -> Source:
    """The lines of one panel: its heading over all columns, the methods, and below a rule the controls."""
    width = len(table.columns) + 1
    lines = [rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escape(panel.label)}}}}} \\"]
    lines += [_row(row, size) for row in panel.rows]
    if panel.controls:
        lines += [rf"\cmidrule(lr){{1-{width}}}", *(_row(row, size) for row in panel.controls)]
    return Source("\n".join(lines))


def _row(row: Row, size: Size) -> str:
    lines = [_line([escape(row.label), *(_spanning(_cell(cell, size), cell.span) for cell in row.cells)])]
    if any(cell.interval for cell in row.cells):
        intervals = [_spanning(rf"{{{size.small}{escape(cell.interval)}}}" if cell.interval else "", cell.span) for cell in row.cells]
        lines.append(_line(["", *intervals]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _spanning(text: str, span: int) -> str:
    return text if span == 1 else rf"\multicolumn{{{span}}}{{c}}{{{text}}}"


def _cell(cell: Cell, size: Size) -> str:
    text = escape(cell.text)
    if cell.best:
        text = rf"\textbf{{{text}}}"
    if cell.state in ("failed", "missing", "unscored"):
        text = rf"\textit{{{text}}}"
    if cell.deviation:
        text += rf"{{{size.small}$\,\pm\,${cell.deviation}}}"
    marks = escape(_marks(cell)).replace(" ", r"\,")  # seven cuts with marks are as wide as the text
    return text + (rf"\textsuperscript{{{marks}}}" if marks else "")


def _marks(cell: Cell) -> str:
    return ", ".join(filter(None, [DAGGER if cell.dagger else "", cell.seeds, cell.collapse.mark if cell.collapse else ""]))
