"""The page: everything on one sheet that needs no network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

import jinja2

from report import claims, gallery, summary
from report.figures import Figure
from report.model import Table
from report.references import Reference
from report.results import Results
from report.training import Training, methods_shown

TEMPLATES = Path(__file__).with_name("templates")


def render(
    results: Results,
    tables: list[Table],
    figures: list[Figure],
    trainings: list[Training],
    references: list[Reference],
    cost: str,
    source: Path,
    output: Path,
) -> str:
    """The page's HTML: `cost` is the sentence on the harness, `source` the folder of the results, `output` that of the page."""
    return _environment().get_template("page.html.j2").render(
        results=results,
        experiment=results.experiment,
        summary=summary.what_ran(results),
        best=summary.best_methods(results),
        winners=summary.winners(results),
        problems=summary.problems(results),
        verdicts=claims.verdicts(results),
        gallery=gallery.build(results, source),
        tables=tables,
        overview=next((figure for figure in figures if figure.name == "overview"), None),
        figures=[figure for figure in figures if figure.name != "overview"],
        trainings=trainings,
        trainings_shown=methods_shown(results),
        references=references,
        numbers={reference.key: place for place, reference in enumerate(references, 1)},
        citations={method["name"]: method["citation"] for method in results.methods if method["citation"]},
        runs=[_described(run, output) for run in results.all_runs()],
        cost=cost,
        root=_address(output, source),
    ).lstrip()  # fmt: skip


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.globals["source"] = lambda name: (TEMPLATES / name).read_text(encoding="utf-8")
    environment.filters["parameters"] = _parameters
    environment.filters["number"] = _number
    return environment


def _described(run: dict, output: Path) -> dict:
    keywords = json.loads(run["keywords"]) if run.get("keywords") else {}
    record = _address(output, Path(run["folder"])) + "/run.json"
    return run | {"parameters": _parameters(keywords), "modified": run["dirty"].lower() == "true", "record": record}


def _parameters(keywords: dict) -> str:
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in keywords.items())


def _number(text: str) -> str:
    """A figure of runs.csv to three significant digits; empty stays empty."""
    return f"{float(text):.3g}" if text and float(text) < 1000 else f"{float(text):,.0f}" if text else ""


def _address(start: Path, end: Path) -> str:
    """Relative address of one folder seen from another, fit for a link."""
    return quote(Path(os.path.relpath(end, start)).as_posix())
