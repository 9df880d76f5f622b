"""The list of all experiments, results/experiments/index.html: one row with a link per report."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from harness import records, storage
from harness.plain_text import plain_values
from report.writers.html import TEMPLATES, environment


def write(folder: Path) -> None:
    """Write index.html into the folder that has one folder per experiment.

    Raises
    ------
    BenchmarkError
        If a record cannot be read.
    """
    reports = sorted(folder.glob("*/report/index.html"))
    rows = [_row(folder, report) for report in reports]
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    page = environment().get_template("experiments.html.j2").render(rows=rows, style=style)
    with storage.new_file(folder / "index.html") as temporary:
        temporary.write_text(page.lstrip(), encoding="utf-8")
    noun = "experiment" if len(rows) == 1 else "experiments"
    print(f"{folder / 'index.html'}: {len(rows)} {noun}")


def _row(folder: Path, report: Path) -> dict:
    """Return what the list shows of one experiment."""
    experiment = plain_values(records.read(report.parents[1] / "experiment.json"))
    lengths = [str(bits) for bits in experiment["bits"]]
    return {
        "name": report.parents[1].name,
        "address": quote(report.relative_to(folder).as_posix()),
        "datasets": ", ".join(dataset["label"] for dataset in experiment["datasets"].values()),
        "methods": len(experiment["methods"]),
        "bits": ", ".join(lengths),
        "seeds": len(experiment["seeds"]),
        "date": experiment["date"][:10],
        "command": " ".join(experiment["configfiles"]),
    }
