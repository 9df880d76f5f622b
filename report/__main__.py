"""`python -m report`: write the page, the tables and the figures of the results that were collected last."""

from __future__ import annotations

import argparse
import gc
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import storage
from experiments import BenchmarkError, one_line

if TYPE_CHECKING:
    from report.figures import Figure
    from report.model import Table
    from report.results import Results

CONTENTS = ("index.html", "report.tex", "tables", "figures", "references.bib")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m report", description=__doc__)
    parser.add_argument("--results", help="folder with metrics.csv, runs.csv and experiment.json (default: results, or results/partial)")
    parser.add_argument("--output", help="folder to write; a report that is there is replaced (default: report in that of --results)")
    parser.add_argument("--partial", action="store_true", help="mark everything as made from the runs that exist")
    arguments = parser.parse_args()
    source = Path(arguments.results or ("results/partial" if arguments.partial else "results"))
    try:
        write(source, Path(arguments.output or source / "report"), arguments.partial)
    except BenchmarkError as error:
        sys.exit(f"report: {one_line(error)}")


def write(source: Path, output: Path, partial: bool = False) -> None:
    """Write index.html, tables/*.tex, figures/*.svg and *.pdf, report.tex, and references.bib into `output`, all or none.

    Raises BenchmarkError where the results are not what `collect` writes, or where `output` holds something that is no report.
    """
    from report import figures, harness, page, references, results, tables, training

    _check_output(output)
    found = results.read(source)
    gc.freeze()  # the results live to the end: a fifth of the time of drawing went into collecting among them
    if partial:
        found = replace(found, experiment=found.experiment | {"partial": True})
    built = tables.build(found)
    drawn = figures.draw(found)
    trainings = training.draw(found)
    pictured = [*drawn, *(figure for item in trainings for figure in item.figures)]
    cited = references.cited(_keys(found, built), references.read())
    spent = found.experiment.get("cost", {})
    cost = harness.sentence(harness.keep(source / "harness.json", harness.measure(spent, time.time())), spent.get("started"))
    with storage.new_folder(output) as folder:
        _write_tables(folder / "tables", found, built)
        _write_figures(folder / "figures", pictured)
        _write_report(folder / "report.tex", found, built, pictured, [item.key for item in cited])
        shutil.copyfile(references.BIBLIOGRAPHY, folder / "references.bib")
        (folder / "index.html").write_text(page.render(found, built, drawn, trainings, cited, cost, source, output), encoding="utf-8")
    print(f"{output / 'index.html'}: {len(built)} tables, {len(drawn)} figures")


def _write_tables(folder: Path, found: Results, built: list[Table]) -> None:
    from report import latex

    folder.mkdir()
    methods = [method["citation"] for method in found.methods if method["citation"]]
    for table in built:
        if table.panels:
            (folder / f"{table.name}.tex").write_text(latex.render(table, table.cites + methods), encoding="utf-8")


def _write_report(path: Path, found: Results, built: list[Table], drawn: list[Figure], keys: list[str]) -> None:
    from report import captions, latex, summary

    shown = [table for table in built if table.panels]
    made = captions.provenance(found, [])
    path.write_text(latex.render_report(summary.TITLE, summary.sentences(found), shown, drawn, keys, made), encoding="utf-8")


def _write_figures(folder: Path, drawn: list[Figure]) -> None:
    folder.mkdir()
    for figure in drawn:
        (folder / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")
        (folder / f"{figure.name}.pdf").write_bytes(figure.pdf)


def _check_output(output: Path) -> None:
    """A report replaces its folder whole: refuse any folder that holds something else."""
    found = [path.name for path in output.iterdir()] if output.is_dir() else []
    strangers = sorted(set(found) - set(CONTENTS))
    if strangers or output.is_file():
        what = f"holds {strangers[0]}" if strangers else "is a file"
        raise BenchmarkError(f"--output {output} {what}, and a report would replace it; name a folder of its own")


def _keys(found: Results, built: list[Table]) -> list[str]:
    """What the shown rows, data sets and captions cite."""
    described = [*found.methods, *found.experiment["datasets"].values()]
    cited = [item["citation"] for item in described if item.get("citation")]
    return cited + [key for table in built for key in table.cites]


if __name__ == "__main__":
    main()
