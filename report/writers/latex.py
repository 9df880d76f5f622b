"""Write tables as LaTeX with booktabs and \\multicolumn only. All text is escaped for pdflatex."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jinja2

from report.figures.figure import Figure
from report.tables.table import Cell, Panel, Row, Table
from report.writers.latex_layout import Layout, Size, broken, layout, marks, notes, parts
from report.writers.latex_text import Source, breakable, escape, printable

TEMPLATES = Path(__file__).parents[1] / "templates"


def render(table: Table, references: list[str]) -> str:
    """A table as one float, or several where it is longer than a page or wider than the text; `references` are the keys it cites."""
    table = _named(table)
    chosen = layout(table)
    return (
        _environment()
        .get_template("table.tex.j2")
        .render(
            table=table,
            name=Source(table.name),  # a label is no text: escaped, its underscores would break it
            environment=Source(chosen.environment),
            references=Source(" ".join(dict.fromkeys(references))),
            size=Source(rf"{chosen.size.command}\setlength{{\tabcolsep}}{{{chosen.size.gap}pt}}"),
            notes=Source(r" ".join(escape(sentence) for sentence in notes(table))),
            parts=[_part(part, chosen) for part in parts(table, chosen)],
        )
    )


def _named(table: Table) -> Table:
    """Rows whose label pdflatex cannot print have their name in its place."""
    panels = []
    for panel in table.panels:
        rows = [row if printable(row.label) else replace(row, label=row.name) for row in panel.rows]
        panels.append(replace(panel, rows=rows))
    return replace(table, panels=panels)


def render_report(
    title: str,
    summary: list[str],
    tables: list[Table],
    figures: list[Figure],
    references: list[str],
    made: str,
) -> str:
    """A document of all `tables` and `figures` of the report's folder, its sentences and its references; pdflatex and bibtex make it."""
    return (
        _environment()
        .get_template("report.tex.j2")
        .render(
            title=title,
            made=made,
            summary=summary,
            tables=[Source(table.name) for table in tables],
            figures=[(Source(figure.name), figure.title, figure.caption) for figure in figures],
            references=Source(",".join(dict.fromkeys(references))),
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


def _part(table: Table, chosen: Layout) -> dict[str, Source]:
    """One tabular: its columns, its header and its panels."""
    return {
        "columns": Source(
            "l" + "".join("l" if column.value.per == "row" else "c" for column in table.columns)
        ),
        "header": header(table),
        "panels": [body(len(table.columns), panel, chosen) for panel in table.panels],
    }


def header(table: Table) -> Source:
    lines = []
    if table.groups:
        lines += [
            _line([Source(), *(_spanning(escape(label), span) for label, span in table.groups)]),
            _group_rules(table),
        ]
    lines.append(_line([escape("Method"), *(escape(column.label) for column in table.columns)]))
    return Source("\n".join(line for line in lines if line))


def _group_rules(table: Table) -> str:
    rules, left = [], 2
    for label, span in table.groups:
        if label:
            rules.append(rf"\cmidrule(lr){{{left}-{left + span - 1}}}")
        left += span
    return "".join(rules)


def body(columns: int, panel: Panel, chosen: Layout) -> Source:
    """The lines of one panel: its heading over all columns, the methods, and below a rule the controls."""
    lines = [rf"\multicolumn{{{columns + 1}}}{{l}}{{\textit{{{escape(panel.label)}}}}} \\"]
    lines += [_row(row, chosen) for row in panel.rows]
    if panel.controls:
        lines += [
            rf"\cmidrule(lr){{1-{columns + 1}}}",
            *(_row(row, chosen) for row in panel.controls),
        ]
    return Source("\n".join(lines))


def _row(row: Row, chosen: Layout) -> str:
    label = escape(row.label)
    if broken(row.label, chosen):
        label = breakable(
            row.label, chosen.size.points, chosen.label - chosen.size.points
        )  # later lines are set in by an em
        label = rf"\parbox[t]{{{chosen.label}pt}}{{\raggedright\hangindent=1em {label}\strut}}"
    lines = [
        _line([label, *(_spanning(_cell(cell, chosen.size), cell.span) for cell in row.cells)])
    ]
    if any(cell.interval for cell in row.cells):
        small = chosen.size.small
        intervals = [
            _spanning(rf"{{{small}{escape(cell.interval)}}}" if cell.interval else "", cell.span)
            for cell in row.cells
        ]
        lines += [_line(["", *intervals]), r"\addlinespace[2pt]"]
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
        text += rf"{{{size.small}$\,\pm\,${escape(cell.deviation)}}}"
    raised = escape(marks(cell)).replace(
        " ", r"\,"
    )  # seven cuts with marks are as wide as the text
    return text + (rf"\textsuperscript{{{raised}}}" if raised else "")
