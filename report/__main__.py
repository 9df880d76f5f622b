"""`python -m report`: write the page, the tables and the figures of the results that were collected last."""

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
from harness.plan import EXPERIMENTS

if TYPE_CHECKING:
    from report.figures.figure import Figure
    from report.results import Results
    from report.tables.table import Table

CONTENTS = ("index.html", "report.tex", "tables", "figures", "references.bib", "report.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m report", description=__doc__)
    parser.add_argument(
        "--results",
        help="folder with metrics.csv, runs.csv and experiment.json (default: results, or results/partial)",
    )
    parser.add_argument(
        "--output",
        help="folder to write; a report that is there is replaced (default: report in that of --results)",
    )
    parser.add_argument(
        "--partial", action="store_true", help="mark everything as made from the runs that exist"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="processes that draw figures (default: 1)"
    )
    parser.add_argument(
        "--experiments",
        action="store_true",
        help="write the list of all experiments, results/experiments/index.html",
    )
    arguments = parser.parse_args()
    # Before NumPy is imported: its idle threads would not come along into the processes that draw.
    os.environ.update(
        dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    )
    source = Path(arguments.results or ("results/partial" if arguments.partial else "results"))
    try:
        if arguments.experiments:
            from report.writers import experiment_list

            experiment_list.write(EXPERIMENTS)
            return
        write(
            source,
            Path(arguments.output or source / "report"),
            arguments.partial,
            arguments.threads,
        )
    except BenchmarkError as error:
        sys.exit(f"report: {one_line(error)}")


def write(source: Path, output: Path, partial: bool = False, processes: int = 1) -> None:
    """Write index.html, tables/*.tex and *.csv, figures/*.svg, *.pdf and *.csv, report.tex, and references.bib into `output`, all or none.

    Raises BenchmarkError where the results are not what `collect` writes, or where `output` holds something that is no report.
    """
    from report import references, results
    from report.figures import gallery, plots, training_curves
    from report.tables.build import build_tables
    from report.writers import html

    _check_output(output)
    found = results.read(source)
    gc.freeze()  # the results live to the end: a fifth of the time of drawing went into collecting among them
    if partial:
        found = replace(found, experiment=found.experiment | {"partial": True})
    built = build_tables(found)
    drawn = plots.draw(found, processes)
    trainings = training_curves.draw(found, processes)
    galleries = gallery.build(found, source)
    pictured = [*drawn, *(figure for item in trainings for figure in item.figures)]
    cited = references.cited(_keys(found, built), references.read())
    with storage.new_folder(output) as folder:
        _write_tables(folder / "tables", found, built)
        _write_figures(folder / "figures", pictured)
        _write_report(folder / "report.tex", found, built, pictured, [item.key for item in cited])
        shutil.copyfile(references.BIBLIOGRAPHY, folder / "references.bib")
        page = html.render(found, built, drawn, trainings, galleries, cited, source, output)
        (folder / "index.html").write_text(page, encoding="utf-8")
        made_of = records.of_report(_records_read(source, found))
        records.write(folder / "report.json", made_of, sha256=_digests(folder))
    print(f"{output / 'index.html'}: {len(built)} tables, {len(drawn)} figures")


def _records_read(source: Path, found: Results) -> dict[str, str]:
    """Digests of the records that a report is read from."""
    names = ["experiment.json", "timing.json"] if found.timing else ["experiment.json"]
    return {name: storage.digest(source / name) for name in names}


def _digests(folder: Path) -> dict[str, str]:
    """{path in the folder: SHA-256} of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): storage.digest(path) for path in files}


def _write_tables(folder: Path, found: Results, built: list[Table]) -> None:
    from report.writers import csv_files, latex

    folder.mkdir()
    methods = [method["citation"] for method in found.methods if method["citation"]]
    for table in built:
        if table.panels:
            (folder / f"{table.name}.tex").write_text(
                latex.render(table, table.cites + methods), encoding="utf-8"
            )
            (folder / f"{table.name}.csv").write_text(csv_files.of_table(table), encoding="utf-8")


def _write_report(
    path: Path, found: Results, built: list[Table], drawn: list[Figure], keys: list[str]
) -> None:
    from report import summary
    from report.tables import captions
    from report.writers import latex

    shown = [table for table in built if table.panels]
    made = captions.provenance(found, [])
    path.write_text(
        latex.render_report(summary.TITLE, summary.sentences(found), shown, drawn, keys, made),
        encoding="utf-8",
    )


def _write_figures(folder: Path, drawn: list[Figure]) -> None:
    from report.writers import csv_files

    folder.mkdir()
    for figure in drawn:
        (folder / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")
        (folder / f"{figure.name}.pdf").write_bytes(figure.pdf)
        if figure.panels:
            (folder / f"{figure.name}.csv").write_text(
                csv_files.of_figure(figure), encoding="utf-8"
            )


def _check_output(output: Path) -> None:
    """A report replaces its folder whole: refuse any folder that holds something else."""
    found = [path.name for path in output.iterdir()] if output.is_dir() else []
    strangers = sorted(set(found) - set(CONTENTS))
    if strangers or output.is_file():
        what = f"holds {strangers[0]}" if strangers else "is a file"
        raise BenchmarkError(
            f"--output {output} {what}, and a report would replace it; name a folder of its own"
        )


def _keys(found: Results, built: list[Table]) -> list[str]:
    """What the shown rows, data sets and captions cite."""
    described = [*found.methods, *found.experiment["datasets"].values()]
    cited = [item["citation"] for item in described if item.get("citation")]
    return cited + [key for table in built for key in table.cites]


if __name__ == "__main__":
    main()
