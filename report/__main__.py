"""`python -m report`: write the page, the tables and the figures of the collected results.

`python -m report site` writes the leaderboard of results/published/ instead.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness import records, storage
from harness.errors import BenchmarkError, one_line
from harness.plain_text import plain
from harness.plan import EXPERIMENTS

if TYPE_CHECKING:
    from report.figures.figure import Figure
    from report.results import Results
    from report.tables.table import Table

CONTENTS = ("index.html", "report.tex", "tables", "figures", "references.bib", "report.json")
SITE = "site"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> None:
    arguments = _parser().parse_args()
    # Before NumPy is imported: its idle threads do not survive in the processes that draw.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))

    default = "results/partial" if arguments.partial else "results"
    source = Path(arguments.results or default)
    output = Path(arguments.output or source / "report")
    try:
        if arguments.job == SITE:
            from report.writers import site

            site.write(Path(arguments.output or "build/site"))
        elif arguments.experiments:
            from report.writers import experiment_list

            experiment_list.write(EXPERIMENTS)
        else:
            write(source, output, arguments.partial, arguments.threads)
    except BenchmarkError as error:
        sys.exit(f"report: {plain(one_line(error))}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m report", description=__doc__)
    parser.add_argument(
        "job", nargs="?", choices=[SITE], help="write leaderboard.html from results/published/"
    )
    parser.add_argument(
        "--results",
        help="folder with metrics.csv, runs.csv and experiment.json (default: results, or "
        "results/partial with --partial)",
    )
    parser.add_argument(
        "--output",
        help="folder to write; an existing report is replaced (default: report in the folder of "
        "--results; build/site for site)",
    )
    parser.add_argument(
        "--partial", action="store_true", help="mark the report as made from the runs that exist"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="processes that draw figures (default: 1)"
    )
    parser.add_argument(
        "--experiments",
        action="store_true",
        help="write the list of all experiments, results/experiments/index.html",
    )
    return parser


def write(source: Path, output: Path, partial: bool = False, processes: int = 1) -> None:
    """Write a report atomically.

    It has index.html, report.tex, references.bib, report.json, and the folders tables and figures.

    Parameters
    ----------
    source : Path
        Folder that `python -m experiments collect` wrote.
    output : Path
    partial : bool
        Whether to mark the report as partial.
    processes : int
        Number of processes that draw.

    Raises
    ------
    BenchmarkError
        If the results are not what `collect` writes, or if `output` has other files than a report.
    """
    from report import references, results
    from report.figures import gallery, plots, training_curves
    from report.tables.build import build_tables
    from report.writers import html

    _check_output(output)
    collected = results.read(source)
    # The results live to the end: collecting garbage among them took a fifth of the drawing time.
    gc.freeze()
    if partial:
        collected = replace(collected, experiment=collected.experiment | {"partial": True})

    tables = build_tables(collected)
    figures = plots.draw(collected, processes)
    trainings = training_curves.draw(collected, processes)
    galleries = gallery.build(collected, source)
    all_figures = list(figures)
    for training in trainings:
        all_figures += training.figures

    cited = references.cited(_citations(collected, tables), references.read())

    with storage.new_folder(output) as folder:
        _write_tables(folder / "tables", collected, tables)
        _write_figures(folder / "figures", all_figures)
        keys = [reference.key for reference in cited]
        _write_document(folder / "report.tex", collected, tables, all_figures, keys)
        shutil.copyfile(references.BIBLIOGRAPHY, folder / "references.bib")
        page = html.render(collected, tables, figures, trainings, galleries, cited, source, output)
        (folder / "index.html").write_text(page, encoding="utf-8")
        made_of = records.of_report(_read_records(source, collected))
        records.write(folder / "report.json", made_of, sha256=_digests(folder))

    print(f"{output / 'index.html'}: {len(tables)} tables, {len(figures)} figures")


def write_tables_and_figures(source: Path, output: Path) -> None:
    """Write the folders `tables` and `figures` of a report alone; source, output as of `write`."""
    from report import results
    from report.figures import plots
    from report.tables.build import build_tables

    collected = results.read(source)
    output.mkdir()
    _write_tables(output / "tables", collected, build_tables(collected))
    _write_figures(output / "figures", list(plots.draw(collected, processes=1)))


def _check_output(output: Path) -> None:
    """Raise BenchmarkError if the folder has other files than a report, which would be deleted."""
    names = {path.name for path in output.iterdir()} if output.is_dir() else set()
    others = sorted(names - set(CONTENTS))
    if others or output.is_file():
        problem = f"has {others[0]}" if others else "is a file"
        raise BenchmarkError(
            f"--output {output} {problem}, and a report would replace it: name another folder"
        )


def _citations(collected: Results, tables: list[Table]) -> list[str]:
    """Return what methods, data sets and tables cite."""
    entries = [*collected.methods, *collected.experiment["datasets"].values()]
    keys = [entry["citation"] for entry in entries if entry.get("citation")]
    for table in tables:
        keys += table.cites
    return keys


def _write_tables(folder: Path, collected: Results, tables: list[Table]) -> None:
    from report.writers import csv_files, latex

    folder.mkdir()
    for table in tables:
        if table.panels:
            source = latex.render(table, _citations_of(table, collected))
            (folder / f"{table.name}.tex").write_text(source, encoding="utf-8")
            (folder / f"{table.name}.csv").write_text(csv_files.of_table(table), encoding="utf-8")


def _citations_of(table: Table, collected: Results) -> list[str]:
    """Return what a table, its rows and its data sets cite."""
    names = {row.name for row in table.rows}
    methods = [method for method in collected.methods if method["name"] in names]
    known = collected.experiment["datasets"]
    datasets = dict.fromkeys(panel.pair.dataset for panel in table.panels)
    entries = [*methods, *(known[name] for name in datasets if name in known)]
    return [*table.cites, *(entry["citation"] for entry in entries if entry.get("citation"))]


def _write_figures(folder: Path, figures: list[Figure]) -> None:
    from report.writers import csv_files

    folder.mkdir()
    for figure in figures:
        (folder / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")
        (folder / f"{figure.name}.pdf").write_bytes(figure.pdf)
        if figure.panels:
            text = csv_files.of_figure(figure)
            (folder / f"{figure.name}.csv").write_text(text, encoding="utf-8")


def _write_document(
    path: Path, collected: Results, tables: list[Table], figures: list[Figure], keys: list[str]
) -> None:
    """Write report.tex, which includes all tables and figures."""
    from report import summary
    from report.tables import captions
    from report.writers import latex

    text = latex.render_report(
        summary.TITLE,
        summary.sentences(collected),
        [table for table in tables if table.panels],
        figures,
        keys,
        captions.provenance(collected, []),
    )
    path.write_text(text, encoding="utf-8")


def _read_records(source: Path, collected: Results) -> dict[str, str]:
    """Return the digests of the records that the report is made from."""
    names = ["experiment.json", "timing.json"] if collected.timing else ["experiment.json"]
    return {name: storage.digest(source / name) for name in names}


def _digests(folder: Path) -> dict[str, str]:
    """Return {path in the folder: SHA-256} of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): storage.digest(path) for path in files}


if __name__ == "__main__":
    main()
