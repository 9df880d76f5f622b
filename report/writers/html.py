"""Write the report as a single HTML page that needs no network."""

from __future__ import annotations

import json
import os
import shlex
from functools import partial
from pathlib import Path
from urllib.parse import quote

import jinja2

from harness.plan import EXPERIMENTS, RESULTS, Score
from report import summary
from report.figures.figure import Figure
from report.figures.gallery import METHODS, Gallery
from report.figures.plot_style import legend
from report.figures.training_curves import Training, methods_shown
from report.references import Reference
from report.results import Results
from report.tables import claims
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
    """Return the HTML of the page. `source` is the folder of the results, `output` the folder of the page."""
    return _environment().get_template("page.html.j2").render(
        results=results,
        experiment=results.experiment,
        summary=summary.what_ran(results),
        best=summary.best_methods(results),
        winners=summary.winners(results),
        problems=summary.problems(results),
        verdicts=claims.verdicts(results),
        none_run=claims.NONE_RUN,
        gallery=galleries,
        gallery_shown=METHODS,
        tables=tables,
        overview=next((figure for figure in figures if figure.name == "overview"), None),
        figures=[figure for figure in figures if figure.name != "overview"],
        legend=legend(results),
        origin=partial(_origin, results),
        command=_command(results),
        trainings=trainings,
        trainings_shown=methods_shown(results),
        references=references,
        numbers={reference.key: place for place, reference in enumerate(references, 1)},
        citations={method["name"]: method["citation"] for method in results.methods if method["citation"]},
        runs=[_described(run, output) for run in results.all_runs()],
        root=_address(output, source),
    ).lstrip()  # fmt: skip


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["source"] = lambda name: (TEMPLATES / name).read_text(encoding="utf-8")
    environment.filters["parameters"] = _parameters
    environment.filters["number"] = _number
    return environment


def _described(run: dict, output: Path) -> dict:
    keywords, versions = (json.loads(run[key] or "{}") for key in ("keywords", "versions"))
    return run | {
        "name": "/".join(
            str(run[key]) for key in ("dataset", "features", "variant", "bits", "seed")
        ),
        "parameters": _parameters(keywords),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "modified": run["dirty"].lower() == "true",
        "record": _address(output, Path(run["folder"])) + "/run.json",
    }


def _origin(results: Results, panel: Panel, row: Row, column: Column, cell: Cell) -> dict[str, str]:
    """Attributes of a cell that was computed from runs: which ones, DATASET/FEATURES/METHOD/BITS without bits where a row is of all
    lengths, and the value of each seed behind a mean. None of a cell that says something else.
    """
    bits = panel.bits if column.bits is None else column.bits
    control = row.name in [control["name"] for control in results.controls]
    known = control or results.runs.get(
        (*panel.pair, row.name, bits or results.experiment["bits"][0])
    )
    if (
        not known
        or cell.state == "omitted"
        or (bits is None and not control and column.value.per != "row")
    ):
        return {}
    length = 0 if control else bits
    values = results.scores.get((*panel.pair, row.name, length, column.value.metric, column.k), {})
    named = " ".join(
        f"{seed}:{value * column.value.scale:.6f}" for seed, value in sorted(values.items())
    )
    parts = [*panel.pair, row.name, *([] if length is None else [str(length)])]
    return {"data-run": "/".join(parts)} | (
        {"data-values": named} if named and not column.value.to else {}
    )


def _command(results: Results) -> str:
    """What makes the scores of a row again, with {commit}, {dataset}, {features} and {variant} to fill in."""
    files = results.experiment.get("configfiles", [])
    given = f" --configfile {shlex.join(files)}" if files else ""
    root = EXPERIMENTS / results.experiment["name"] if results.experiment["name"] else RESULTS
    scores = Score(root, "{dataset}", "{features}", "{variant}")
    return f"git checkout {{commit}}\nsnakemake --cores all {scores.metrics}{given}"


def _parameters(keywords: dict) -> str:
    return ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in keywords.items()
    )


def _number(text: str) -> str:
    """A figure of runs.csv to three significant digits; empty stays empty."""
    return (
        f"{float(text):.3g}"
        if text and float(text) < 1000
        else f"{float(text):,.0f}"
        if text
        else ""
    )


def _address(start: Path, end: Path) -> str:
    """Relative address of one folder seen from another, fit for a link."""
    return quote(Path(os.path.relpath(end, start)).as_posix())
