"""Write the report as a single HTML page that needs no network."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import jinja2

from harness.plan import EXPERIMENTS, RESULTS, Score
from harness.variants import control_bits
from report import summary
from report.figures.figure import Figure
from report.figures.gallery import METHODS, Gallery
from report.figures.plot_style import legend
from report.figures.training_curves import Training, methods_shown
from report.references import Reference
from report.results import MOST_SHOWN, Pair, Results
from report.tables import claims
from report.tables.cells import shown_number
from report.tables.table import Cell, Column, Panel, Row, Table

TEMPLATES = Path(__file__).parents[1] / "templates"


def render(
    results: Results,
    tables: list[Table],
    figures: list[Figure],
    trainings: list[Training],
    galleries: list[Gallery],
    references: list[Reference],
    source: Path,
    output: Path,
) -> str:
    """Return the HTML of the page.

    Parameters
    ----------
    results : Results
    tables, figures, trainings, galleries, references : list
        What the page shows.
    source, output : Path
        Folders of the results and of the page.
    """
    citations = {}
    for method in results.methods:
        if method["citation"]:
            citations[method["name"]] = method["citation"]

    page = (
        environment()
        .get_template("page.html.j2")
        .render(
            results=results,
            experiment=results.experiment,
            title=summary.TITLE,
            summary=summary.what_ran(results),
            best=summary.best_methods(results),
            winners=summary.winners(results),
            problems=summary.problems(results),
            verdicts=claims.verdicts(results),
            none_run=claims.NONE_RUN,
            not_tested=claims.NOT_TESTED,
            gallery=galleries,
            gallery_shown=METHODS,
            tables=[_shortened(table, results) for table in tables],
            overview=next((figure for figure in figures if figure.name == "overview"), None),
            figures=[figure for figure in figures if figure.name != "overview"],
            legend=legend(results),
            origin=partial(_origin, results),
            command=_command(results),
            trainings=trainings,
            trainings_shown=methods_shown(results),
            references=references,
            numbers={reference.key: number for number, reference in enumerate(references, 1)},
            citations=citations,
            runs=[_run_facts(run, output) for run in _shown_runs(results)],
            planned=results.all_runs(),
            root=_address(output, source),
        )
    )
    return page.lstrip()


def _shortened(table: Table, results: Results) -> Table:
    """Return a table with the leading methods only, if it is long; the first one has all rows."""
    n = len(results.methods)
    if table.name == "map" or n <= MOST_SHOWN:
        return table

    panels = []
    for panel in table.panels:
        leading = results.leading(panel.pair)
        omitted = results.labels.keys() - leading
        panels.append(replace(panel, rows=[row for row in panel.rows if row.name not in omitted]))

    if panels == table.panels:
        return table

    note = (
        f"The page shows the {MOST_SHOWN} of {n} methods with the highest mAP. The files have all."
    )
    return replace(table, panels=panels, notes=[*table.notes, note])


def _shown_runs(results: Results) -> list[dict]:
    """Return the runs of the leading methods, and all runs that are not done."""
    leading = {pair: results.leading(pair) for pair in results.pairs}
    return [
        run
        for run in results.all_runs()
        if run["status"] != "done"
        or run["variant"] in leading[Pair(run["dataset"], run["features"])]
    ]


def environment() -> jinja2.Environment:
    """Return the templates of the page."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.globals["source"] = lambda name: (TEMPLATES / name).read_text(encoding="utf-8")
    templates.filters["parameters"] = _parameters
    templates.filters["number"] = _number
    return templates


def _run_facts(run: dict, output: Path) -> dict:
    """Return what the table of runs shows of a run."""
    params = json.loads(run["keywords"] or "{}")
    versions = json.loads(run["versions"] or "{}")
    key = ("dataset", "features", "variant", "bits", "seed")
    return run | {
        "name": "/".join(str(run[part]) for part in key),
        "parameters": _parameters(params),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "modified": run["dirty"].lower() == "true",
        "record": _address(output, Path(run["folder"])) + "/run.json",
    }


def _origin(results: Results, panel: Panel, row: Row, column: Column, cell: Cell) -> dict[str, str]:
    """Return the attributes of a cell that was computed from runs; none for other cells.

    `data-run` is DATASET/FEATURES/METHOD/BITS, without bits if the cell is of all lengths.
    `data-values` has the value of each seed behind a mean.
    """
    is_control = row.name in [control["name"] for control in results.controls]
    if not is_control and row.name not in results.leading(panel.pair):
        return {}

    bits = panel.bits if column.bits is None else column.bits
    is_of_all_lengths = bits is None and column.value.per == "row"
    if cell.state == "omitted" or not (is_control or bits or is_of_all_lengths):
        return {}

    length = bits or results.experiment["bits"][0]
    if not is_control and not results.runs.get((*panel.pair, row.name, length)):
        return {}

    if is_control:
        bits = control_bits(row.name, bits or 0)

    parts = [*panel.pair, row.name] + ([] if bits is None else [str(bits)])
    attributes = {"data-run": "/".join(parts)}

    scores = results.scores.get((*panel.pair, row.name, bits, column.value.metric, column.k), {})
    if scores and not column.value.to:
        shown = partial(shown_number, results, panel.pair, value=column.value)
        numbers = {seed: shown(score) for seed, score in sorted(scores.items())}
        attributes["data-values"] = " ".join(f"{seed}:{n:.6f}" for seed, n in numbers.items())

    return attributes


def _command(results: Results) -> str:
    """Return the command that recomputes the scores of a row, with placeholders.

    They are {commit}, {dataset}, {features} and {variant}.
    """
    files = results.experiment.get("configfiles", [])
    option = f" --configfile {shlex.join(files)}" if files else ""
    root = EXPERIMENTS / results.experiment["name"] if results.experiment["name"] else RESULTS
    scores = Score(root, "{dataset}", "{features}", "{variant}")
    return f"git checkout {{commit}}\nsnakemake --cores all {scores.metrics}{option}"


def _parameters(params: dict) -> str:
    texts = []
    for name, value in params.items():
        texts.append(f"{name}={json.dumps(value, ensure_ascii=False)}")
    return ", ".join(texts)


def _number(text: str) -> str:
    """Return a number of runs.csv with three significant digits; empty stays empty."""
    if not text:
        return ""
    number = float(text)
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


def _address(start: Path, end: Path) -> str:
    """Return the relative address of one folder from another, as a link needs it."""
    return quote(Path(os.path.relpath(end, start)).as_posix())
