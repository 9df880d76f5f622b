"""Write tables as LaTeX with booktabs and \\multicolumn only. All text is escaped for pdflatex."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jinja2

from report.figures.figure import Figure
from report.latex_text import Source, breakable, escape, printable
from report.tables.table import Cell, Panel, Row, Table
from report.writers.latex_layout import (
    Layout,
    Size,
    first_fitting,
    is_broken,
    marks,
    parts,
    sentences,
)

TEMPLATES = Path(__file__).parents[1] / "templates"


def render(table: Table, references: list[str]) -> str:
    """Return a table as one float, or several if it is longer or wider than a page.

    Parameters
    ----------
    table : Table
    references : list of str
        Keys of references.bib that it cites.
    """
    table = _with_printable_labels(table)
    layout = first_fitting(table)
    size = rf"{layout.size.command}\setlength{{\tabcolsep}}{{{layout.size.gap}pt}}"
    caption = _source_or_escaped(table.caption, table.latex)
    return (
        _environment()
        .get_template("table.tex.j2")
        .render(
            caption=caption,
            continued=Source(f"{caption.removesuffix('.')} (continued)."),
            name=Source(table.name),  # \label takes the name without escapes
            file=Source(f"{table.name}.tex"),
            environment=Source(layout.environment),
            references=Source(" ".join(dict.fromkeys(references))),
            size=Source(size),
            notes=Source(" ".join(escape(sentence) for sentence in sentences(table))),
            parts=[_part(part, layout) for part in parts(table, layout)],
        )
    )


def _source_or_escaped(text: str, is_latex: bool) -> Source:
    return Source(text) if is_latex else escape(text)


def _with_printable_labels(table: Table) -> Table:
    """Replace labels that pdflatex cannot print with names, as figures do."""
    names = {}  # of the data sets and features whose labels cannot be printed
    panels = []
    for panel in table.panels:
        if not printable(panel.label):
            names[panel.pair_label] = ", ".join(panel.pair)
        label = _renamed(panel.label, names)
        rows, controls = map(_printable_rows, (panel.rows, panel.controls))
        panels.append(replace(panel, label=label, rows=rows, controls=controls))

    return replace(
        table,
        caption=_renamed(table.caption, names),
        protocol=[_renamed(sentence, names) for sentence in table.protocol],
        notes=[_renamed(sentence, names) for sentence in table.notes],
        panels=panels,
    )


def _renamed(text: str, names: dict[str, str]) -> str:
    for label, name in names.items():
        text = text.replace(label, name)
    return text


def _printable_rows(rows: list[Row]) -> list[Row]:
    return [row if printable(row.label) else replace(row, label=row.name) for row in rows]


def render_report(
    title: str,
    summary: list[str],
    tables: list[Table],
    figures: list[Figure],
    references: list[str],
    provenance: str,
) -> str:
    """Return a document with all tables and figures of the folder of the report.

    pdflatex and bibtex compile it.

    Parameters
    ----------
    title : str
    summary : list of str
        Sentences.
    tables : list of Table
    figures : list of Figure
    references : list of str
        Keys of references.bib.
    provenance : str
    """
    entries = []
    for figure in figures:
        texts = [f"{figure.title}.", figure.caption, figure.note]
        words = [_source_or_escaped(text, figure.latex) for text in texts if text]
        entries.append((Source(figure.name), Source(" ".join(words))))

    return (
        _environment()
        .get_template("report.tex.j2")
        .render(
            title=title,
            provenance=provenance,
            summary=summary,
            tables=[Source(table.name) for table in tables],
            figures=entries,
            references=Source(",".join(dict.fromkeys(references))),
        )
    )


def _environment() -> jinja2.Environment:
    """Return the templates, whose delimiters are LaTeX commands and whose values are escaped."""
    starts = {"block": r"\BLOCK{", "variable": r"\VAR{", "comment": r"\COMMENT{"}
    delimiters = {f"{kind}_start_string": start for kind, start in starts.items()}
    delimiters |= {f"{kind}_end_string": "}" for kind in starts}
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        finalize=escape,
        **delimiters,
    )


def _part(table: Table, layout: Layout) -> dict[str, object]:
    """Return one tabular: its columns, its header and its panels."""
    alignment = "".join("l" if column.value.per == "row" else "c" for column in table.columns)
    return {
        "columns": Source(f"l{alignment}"),
        "header": header(table),
        "panels": [body(len(table.columns), panel, layout) for panel in table.panels],
    }


def header(table: Table) -> Source:
    """Return the lines above the first panel."""
    lines = []
    if table.groups:
        groups = [_spanning(escape(label), span) for label, span in table.groups]
        lines += [_line(["", *groups]), _group_rules(table)]
    lines.append(
        _line([escape(table.row_heading), *(escape(column.label) for column in table.columns)])
    )
    return Source("\n".join(line for line in lines if line))


def _group_rules(table: Table) -> str:
    rules, left = [], 2
    for label, span in table.groups:
        if label:
            rules.append(rf"\cmidrule(lr){{{left}-{left + span - 1}}}")
        left += span
    return "".join(rules)


def body(columns: int, panel: Panel, layout: Layout) -> Source:
    """Return the lines of one panel: its heading, the methods, and below a rule the controls."""
    lines = [rf"\multicolumn{{{columns + 1}}}{{l}}{{\textit{{{escape(panel.label)}}}}} \\"]
    lines += [_row(row, layout) for row in panel.rows]
    if panel.controls:
        lines.append(rf"\cmidrule(lr){{1-{columns + 1}}}")
        lines += [_row(row, layout) for row in panel.controls]
    return Source("\n".join(lines))


def _row(row: Row, layout: Layout) -> str:
    """Return the line of a row, and below it a line of intervals or statuses if it has any."""
    cells = [_spanning(_cell(cell, layout.size), cell.span) for cell in row.cells]
    lines = [_line([_label(row.label, layout), *cells])]
    if any(cell.below for cell in row.cells):
        small = layout.size.small
        below = []
        for cell in row.cells:
            text = rf"{{{small} {escape(cell.below)}}}" if cell.below else ""
            below.append(_spanning(text, cell.span))
        lines += [_line(["", *below]), r"\addlinespace[2pt]"]

    return "\n".join(lines)


def _label(label: str, layout: Layout) -> str:
    """Return the label of a row, in a box if it is wider than its column."""
    if not is_broken(label, layout):
        return escape(label)
    points = layout.size.points
    text = breakable(label, points, layout.label - points)  # later lines are indented by an em
    return rf"\parbox[t]{{{layout.label}pt}}{{\raggedright\hangindent=1em {text}\strut}}"


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

    # Narrow spaces: seven columns with marks are as wide as the text of a page.
    raised = escape(marks(cell)).replace(" ", r"\,")
    return text + (rf"\textsuperscript{{{raised}}}" if raised else "")
