"""Published figures, reported.csv, in a table apart from the measured ones."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

from experiments import BenchmarkError
from report.declarations import Value
from report.model import Cell, Column, Panel, Row, Table
from report.results import Results

FILE = Path(__file__).with_name("reported.csv")
COLUMNS = (
    *("dataset", "queries", "database", "training", "metric", "method", "features", "bits", "value", "deviation", "runs"),
    *("status", "source", "note"),
)
STATUSES = ("confirmed", "second-hand", "measured by a third party", "re-run by a third party", "withdrawn")
METRIC = re.compile(r"map(@\d+)?(\[found\])?")
CAPTION = (
    "Mean average precision as published, by protocol and metric; a blank is not known. None is compared with a measured figure:"
    " protocol, metric, features, encoder and training images would all have to agree. The order of ties is not known of any."
    " map@k without a bracket: what it is divided by is not known."
)
VALUE = Value(metric="map")
TEXT = Value(fact="features", per="row")


@dataclass(frozen=True)
class Reported:
    """One published figure; sizes are 0, and texts empty, where they are not known. value and deviation are shares, not percent."""

    dataset: str
    protocol: tuple[int, int, int]  # queries, database, training images
    metric: str
    method: str
    features: str
    bits: int
    value: float
    deviation: float | None
    status: str
    source: str
    note: str


def read(path: Path = FILE) -> list[Reported]:
    """Every figure of reported.csv. Raises BenchmarkError, with the line, for a figure without a source or with a status unknown."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise BenchmarkError(f"{path.name} has the columns {reader.fieldnames}, expected {', '.join(COLUMNS)}")
        return [_reported(row, f"{path.name}, line {reader.line_num}") for row in reader]


def _reported(row: dict[str, str], where: str) -> Reported:
    if row["status"] not in STATUSES or not row["source"]:
        raise BenchmarkError(f"{where}: expected a source, and a status of {', '.join(STATUSES)}; found {row['status']!r}")
    if not METRIC.fullmatch(row["metric"]):
        raise BenchmarkError(f"{where}: metric {row['metric']!r}, expected map, map@1000 or map@1000[found]")
    try:
        value, deviation = float(row["value"]), float(row["deviation"]) if row["deviation"] else None
        sizes = tuple(int(row[key] or 0) for key in ("queries", "database", "training"))
        bits = int(row["bits"])
    except ValueError as error:
        raise BenchmarkError(f"{where}: {error}") from None
    if not 0 <= value <= 1 or not math.isfinite(deviation or 0.0):
        raise BenchmarkError(f"{where}: value {value}, expected a share between 0 and 1")
    texts = {key: row[key] for key in ("dataset", "metric", "method", "features", "status", "source", "note")}
    return Reported(protocol=sizes, bits=bits, value=value, deviation=deviation, **texts)


def build(results: Results) -> list[Table]:
    """A table for each data set of the experiment that has published figures."""
    figures = read()
    names = dict.fromkeys(pair.dataset.partition("-")[0] for pair in results.pairs)
    return [_table(results, name, [figure for figure in figures if figure.dataset == name]) for name in names if _known(figures, name)]


def _known(figures: list[Reported], name: str) -> bool:
    return any(figure.dataset == name for figure in figures)


def _table(results: Results, name: str, figures: list[Reported]) -> Table:
    pair = next(pair for pair in results.pairs if pair.dataset.partition("-")[0] == name)
    lengths = sorted({figure.bits for figure in figures})
    sources = list(dict.fromkeys((figure.source, figure.status, figure.note) for figure in figures))
    panels = dict.fromkeys((figure.protocol, figure.metric) for figure in figures)
    return Table(
        name=f"reported-{name}",
        title=f"Reported elsewhere: {results.experiment['datasets'][pair.dataset]['label']}",
        caption=CAPTION,
        protocol=[],
        notes=[_source(place, *source) for place, source in enumerate(sources, 1)],
        groups=[("", 1), ("Bits", len(lengths))],
        columns=[Column(TEXT, None, None, "Features"), *(Column(VALUE, bits, None, f"{bits}") for bits in lengths)],
        panels=[
            Panel(_protocol(*key), pair, None, _rows([f for f in figures if (f.protocol, f.metric) == key], lengths, sources), [])
            for key in panels
        ],
        cites=[],
    )


def _source(place: int, source: str, status: str, note: str) -> str:
    return f"[{place}] {status}{': ' + note if note else ''}. {source}."


def _protocol(sizes: tuple[int, int, int], metric: str) -> str:
    words = [f"{size:,} {what}" for size, what in zip(sizes, ("queries", "in the database", "training images"), strict=True) if size]
    return f"{metric.replace('map', 'mAP')}; {', '.join(words) or 'protocol not known'}"


def _rows(figures: list[Reported], lengths: list[int], sources: list[tuple]) -> list[Row]:
    rows = {}
    for figure in figures:
        place = sources.index((figure.source, figure.status, figure.note)) + 1
        cells = rows.setdefault((f"{figure.method} [{place}]", figure.features), {})
        deviation = "" if figure.deviation is None else VALUE.printed(figure.deviation)
        cells[figure.bits] = Cell(VALUE.printed(figure.value), number=figure.value, deviation=deviation)
    blank = Cell("", "omitted")
    return [
        Row(f"reported {place}", label, [Cell(features), *(cells.get(bits, blank) for bits in lengths)])
        for place, ((label, features), cells) in enumerate(rows.items())
    ]
