"""Compare published values with measured ones if every term of both is known and the same."""

from __future__ import annotations

import csv
import math
import re
import statistics
from dataclasses import dataclass, fields
from pathlib import Path, PurePath

from harness.errors import BenchmarkError
from report.results import Pair, Results
from report.tables import captions
from report.tables.cells import method_cell
from report.tables.table import Cell, Column, Panel, Row, Table
from report.tables.table_specs import Value

PUBLISHED_VALUES = Path(__file__).parents[1] / "published_values.csv"
COLUMNS = (
    *(
        "dataset",
        "protocol",
        "queries",
        "database",
        "training",
        "metric",
        "preset",
        "method",
        "against",
        "features",
        "encoder",
    ),
    *("weights", "pixels", "bits", "value", "to", "qualifier", "run", "status", "source", "note"),
)
STATUSES = ("confirmed", "second-hand", "re-run by a third party", "withdrawn")
QUALIFIERS = ("", "about", "above")
METRIC = re.compile(r"(map|precision)(@\d+)?(\[found\])?")
CAPTION = (
    "Figures as published, by protocol and metric; a blank is not known. One is compared with a measured figure, with the difference"
    " measured less published, only where protocol, metric with its preset, encoder, its weights, input size and training images are"
    " known of both and the same; all others stand apart, with no difference and no verdict. The order of ties is not known of any"
    " published figure. @k without a bracket: what it is divided by is not known. ± is the standard deviation (n \N{MINUS SIGN} 1) over"
    " the runs that a source lists."
)
VALUE = Value(metric="map")
MEASURED = Value(
    metric="as-bgan"
)  # what measured rows under their own name hold, where a click asks for the runs behind a number
BLANK = Cell("", "omitted")


@dataclass(frozen=True)
class Terms:
    """What a figure rests on; empty or 0 where that is not known. encoder: as "vgg19 trained" or "vgg19_fc7 frozen"."""

    protocol: str
    metric: str
    encoder: str
    weights: str
    input_size: int
    training_images: int

    def differing(self, other: Terms) -> list[str]:
        """Names of the terms that differ, or that are not known of both."""
        both = {
            term.name.replace("_", " "): (getattr(self, term.name), getattr(other, term.name))
            for term in fields(self)
        }
        return [name for name, (one, another) in both.items() if one != another or not one]


@dataclass(frozen=True)
class PublishedValue:
    """One published figure, or what is said of it: value is a share, not percent; to: the end of a range; qualifier: about or above.

    sizes are queries, database and training images, 0 where not known; bits None where not said; against: the variants that it is set
    against; run: its number among several of one source.
    """

    dataset: str
    sizes: tuple[int, int, int]
    metric: str
    terms: Terms
    method: str
    against: tuple[str, ...]
    features: str
    bits: int | None
    value: float
    to: float | None
    qualifier: str
    run: str
    status: str
    source: str
    note: str

    @property
    def exact(self) -> bool:
        return not self.qualifier and self.to is None


def read(path: Path = PUBLISHED_VALUES) -> list[PublishedValue]:
    """Return every value of published_values.csv.

    Raises BenchmarkError, with the line, for a value without a source, with an unknown status, or given twice.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise BenchmarkError(
                f"{path.name} has the columns {reader.fieldnames}, expected {', '.join(COLUMNS)}"
            )
        figures = [_published_value(row, f"{path.name}, line {reader.line_num}") for row in reader]
    places = [
        (f.dataset, f.sizes, f.metric, f.method, f.features, f.bits, f.run, f.source)
        for f in figures
    ]
    twice = [place for place in places if places.count(place) > 1]
    if twice:
        raise BenchmarkError(
            f"{path.name} has two figures of {twice[0][3]}, {twice[0][5]} bits, from {twice[0][-1]}: give each a `run`"
        )
    return figures


def _published_value(row: dict[str, str], where: str) -> PublishedValue:
    if row["status"] not in STATUSES or not row["source"]:
        raise BenchmarkError(
            f"{where}: expected a source, and a status of {', '.join(STATUSES)}; found {row['status']!r}"
        )
    if not METRIC.fullmatch(row["metric"]):
        raise BenchmarkError(
            f"{where}: metric {row['metric']!r}, expected map, map@1000, map@1000[found] or precision@1000"
        )
    if row["qualifier"] not in QUALIFIERS:
        raise BenchmarkError(
            f"{where}: qualifier {row['qualifier']!r}, expected nothing, about or above"
        )
    try:
        value, to = float(row["value"]), float(row["to"]) if row["to"] else None
        sizes = tuple(int(row[key] or 0) for key in ("queries", "database", "training"))
        bits, pixels = (int(row[key]) if row[key] else None for key in ("bits", "pixels"))
    except ValueError as error:
        raise BenchmarkError(f"{where}: {error}") from None
    if not 0 <= value <= (1 if to is None else to) <= 1:
        raise BenchmarkError(f"{where}: value {value}, expected a share between 0 and 1")
    terms = Terms(
        row["protocol"], row["preset"], row["encoder"], row["weights"], pixels or 0, sizes[2]
    )
    texts = {
        key: row[key]
        for key in (
            "dataset",
            "metric",
            "method",
            "features",
            "qualifier",
            "run",
            "status",
            "source",
            "note",
        )
    }
    return PublishedValue(
        sizes=sizes,
        terms=terms,
        against=tuple(row["against"].split()),
        bits=bits,
        value=value,
        to=to,
        **texts,
    )


def measured_terms(results: Results, pair: Pair, method: dict, metric: str) -> Terms:
    """The terms of what a method of the experiment was given and is measured by."""
    keywords, features = method["keywords"], results.experiment["features"]["/".join(pair)]
    sizes = results.experiment["datasets"][pair.dataset].get("sizes", {})
    encoder = keywords.get("encoder", "features")
    if encoder == "features":
        given = features.get("keywords", {})
        weights = given.get("weights", "")
        weights = "official" if weights is None else weights
        made = (f"{features.get('of', '')} frozen", weights, given.get("crop"))
    else:
        made = (
            f"{encoder} trained",
            keywords.get("weights") or "official",
            keywords.get("encoder_size"),
        )
    return Terms(
        pair.dataset,
        metric,
        made[0],
        PurePath(made[1] or "").stem,
        made[2] or 0,
        sizes.get("train", 0),
    )


def differences(results: Results, pair: Pair, method: dict, figure: PublishedValue) -> list[str]:
    """Why a measured figure of `method` is not compared with a published one; empty where it is."""
    withdrawn = ["withdrawn"] if figure.status == "withdrawn" else []
    return withdrawn + measured_terms(results, pair, method, figure.terms.metric).differing(
        figure.terms
    )


def set_against(results: Results, figure: PublishedValue) -> list[dict]:
    """The methods of the experiment that a published figure is compared with, tuned or not."""
    return [
        method
        for method in results.methods
        if (method["base"] if method["tuned"] else method["name"]) in figure.against
    ]


def replicated(results: Results, pair: Pair, name: str, metric: str) -> bool:
    """Whether the row of this name, measured by `metric`, is made on the terms of a figure that was published of its method."""
    method = next(method for method in results.methods if method["name"] == name)
    figures = [
        figure
        for figure in read()
        if figure.terms.metric == metric and figure.dataset == results.plugin_of(pair.dataset)
    ]
    return any(
        method in set_against(results, figure) and not differences(results, pair, method, figure)
        for figure in figures
    )


def build(results: Results) -> list[Table]:
    """A table for each data set of the experiment that has published figures."""
    figures = read()
    names = dict.fromkeys(results.plugin_of(pair.dataset) for pair in results.pairs)
    grouped = {name: [figure for figure in figures if figure.dataset == name] for name in names}
    return [_table(results, name, found) for name, found in grouped.items() if found]


def _table(results: Results, name: str, figures: list[PublishedValue]) -> Table:
    pairs = [pair for pair in results.pairs if results.plugin_of(pair.dataset) == name]
    lengths = sorted(
        {figure.bits for figure in figures}, key=lambda bits: math.inf if bits is None else bits
    )
    sources = list(dict.fromkeys((figure.source, figure.status, figure.note) for figure in figures))
    published = dict.fromkeys((figure.sizes, figure.metric) for figure in figures)
    panels = [
        Panel(
            _protocol(*key),
            pairs[0],
            None,
            _rows(
                results, pairs, [f for f in figures if (f.sizes, f.metric) == key], lengths, sources
            ),
            [],
        )
        for key in published
    ]
    panels += _measured_panels(results, pairs, figures, lengths)
    return Table(
        name=f"reported-{name}",
        title=f"Reported beside measured: {results.experiment['datasets'][pairs[0].dataset]['label']}",
        caption=CAPTION,
        protocol=[],
        notes=[
            *(_source(place, *source) for place, source in enumerate(sources, 1)),
            *_apart(results, pairs, figures, sources),
            *captions.marks([cell for panel in panels for row in panel.rows for cell in row.cells]),
            f"Measured: commit {results.experiment['commit'][:12]}, {results.experiment['date'][:10]}.",
        ],
        groups=[("Bits", len(lengths))],
        columns=[
            Column(MEASURED, bits, None, "not said" if bits is None else f"{bits}")
            for bits in lengths
        ],
        panels=panels,
        cites=[],
    )


def _source(place: int, source: str, status: str, note: str) -> str:
    return f"[{place}] {status}{': ' + note if note else ''}. {source}."


def _apart(
    results: Results, pairs: list[Pair], figures: list[PublishedValue], sources: list[tuple]
) -> list[str]:
    """One sentence for each measured method that published figures are set against: why they are not compared."""
    said = {}
    for pair in pairs:
        for figure in figures:
            for method in set_against(results, figure):
                if reasons := differences(results, pair, method, figure):
                    place = sources.index((figure.source, figure.status, figure.note)) + 1
                    said.setdefault(
                        (method["label"], results.label(pair), ", ".join(reasons)),
                        dict.fromkeys([place]),
                    ).setdefault(place)
    return [
        f"{label} ({where}) is not compared with {', '.join(f'[{place}]' for place in places)}: different or not known: {reasons}."
        for (label, where, reasons), places in said.items()
    ]


def _protocol(sizes: tuple[int, int, int], metric: str) -> str:
    words = [
        f"{size:,} {what}"
        for size, what in zip(sizes, ("queries", "in the database", "training images"), strict=True)
        if size
    ]
    return f"{metric.replace('map', 'mAP')}; {', '.join(words) or 'protocol not known'}"


def _rows(
    results: Results,
    pairs: list[Pair],
    figures: list[PublishedValue],
    lengths: list,
    sources: list[tuple],
) -> list[Row]:
    """A row for each method, features and source, and below it what was measured on the same terms, and the difference."""
    grouped = {}
    for figure in figures:
        place = sources.index((figure.source, figure.status, figure.note)) + 1
        label = ", ".join(filter(None, [figure.method, figure.features]))
        grouped.setdefault(f"{label} [{place}]", []).append(figure)
    rows = []
    for label, found in grouped.items():
        cells = {
            bits: _cell([figure for figure in found if figure.bits == bits]) for bits in lengths
        }
        rows.append(Row(f"reported {len(rows)}", label, [*cells.values()]))
        for pair in pairs:
            for method in set_against(results, found[0]):
                if not differences(results, pair, method, found[0]):
                    rows += _compared(results, pair, method, found[0].terms.metric, found, cells)
    return rows


def _cell(figures: list[PublishedValue]) -> Cell:
    """One published figure as it is, or several runs of one source by mean and deviation."""
    if not figures:
        return BLANK
    if len(figures) > 1:
        values = [figure.value for figure in figures]
        mean, spread = math.fsum(values) / len(values), statistics.stdev(values)
        return Cell(
            VALUE.printed(mean), number=mean, spread=spread, deviation=VALUE.printed(spread)
        )
    (figure,) = figures
    end = "" if figure.to is None else "\N{EN DASH}" + VALUE.printed(figure.to)
    return Cell(
        f"{figure.qualifier} {VALUE.printed(figure.value)}{end}".strip(), number=figure.value
    )


def _compared(
    results: Results,
    pair: Pair,
    method: dict,
    metric: str,
    figures: list[PublishedValue],
    cells: dict,
) -> list[Row]:
    """What was measured of a method on a figure's terms, and measured less published where the published is exact."""
    exact = {figure.bits for figure in figures if figure.exact}
    measured = {bits: _measured(results, (*pair, method["name"]), metric, bits) for bits in cells}
    less = {
        bits: Cell(_signed(measured[bits].number - cells[bits].number))
        if bits in exact and measured[bits].state == "complete"
        else BLANK
        for bits in cells
    }
    if not any(cell.state == "complete" for cell in measured.values()):
        return []
    label = f"{method['label']}, measured by {metric}"
    return [
        Row(_row_name(method["name"], metric), label, [*measured.values()]),
        Row(f"{method['name']} difference", "difference", [*less.values()]),
    ]


def _signed(difference: float) -> str:
    """With its sign, which nothing has none of."""
    rounded = round(difference, VALUE.decimals)
    return f"{rounded:+.3f}".replace("-", "\N{MINUS SIGN}") if rounded else VALUE.printed(0)


def _row_name(name: str, metric: str) -> str:
    return name if metric == MEASURED.metric else f"{name} by {metric}"


def _measured(results: Results, key: tuple[str, str, str], metric: str, bits: int | None) -> Cell:
    if bits not in results.experiment["bits"]:
        return BLANK
    return method_cell(results, key, bits, Column(Value(metric=metric), bits, None, ""))


def _measured_panels(
    results: Results, pairs: list[Pair], figures: list[PublishedValue], lengths: list
) -> list[Panel]:
    """What was measured of the methods that published figures are set against, apart, by each preset of those."""
    panels = []
    for preset in dict.fromkeys(
        figure.terms.metric for figure in figures if figure.terms.metric and figure.against
    ):
        against = [method["name"] for figure in figures for method in set_against(results, figure)]
        named = [method["name"] for method in results.methods if method["name"] in against]
        for pair in pairs:
            labels = {method["name"]: method["label"] for method in results.methods}
            rows = [
                Row(
                    _row_name(name, preset),
                    labels[name],
                    [_measured(results, (*pair, name), preset, bits) for bits in lengths],
                )
                for name in named
            ]
            if any(cell.state == "complete" for row in rows for cell in row.cells):
                panels.append(
                    Panel(f"Measured here by {preset}: {results.label(pair)}", pair, None, rows, [])
                )
    return panels
