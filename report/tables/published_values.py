"""Compare published values with measured ones if every term of both is known and equal."""

from __future__ import annotations

import csv
import math
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path, PurePath

from harness.errors import BenchmarkError, reading
from report.results import Pair, Results
from report.tables import captions
from report.tables.cells import method_cell
from report.tables.table import Cell, Column, Panel, Row, Table, cells_of
from report.tables.table_specs import Value

PUBLISHED_VALUES = Path(__file__).parents[1] / "published_values.csv"
COLUMNS = (
    *("dataset", "protocol", "queries", "database", "training", "metric", "preset", "method"),
    *("against", "features", "encoder", "weights", "pixels", "bits", "value", "to", "qualifier"),
    *("run", "status", "source", "note"),
)
TEXT_COLUMNS = (
    *("dataset", "metric", "method", "features", "qualifier", "run", "status", "source", "note"),
)
STATUSES = ("confirmed", "second-hand", "re-run by a third party", "withdrawn")
WITHDRAWN = "withdrawn"
QUALIFIERS = ("", "about", "above")
METRIC = re.compile(r"(map|precision)(@\d+)?(\[found\])?")
NOTE = (
    "Values as published, by protocol and metric; a blank is not known to us. A published value "
    "is compared with a measured one, and the difference (measured minus published) is shown, only "
    "if protocol, metric with its preset, encoder, its weights, input size and training images are "
    "known of both and equal. All others are listed without a difference and without a verdict. "
    "The order of ties is not known of any published value. @k without a bracket: the denominator "
    "is not known. ± is the standard deviation (n \N{MINUS SIGN} 1) over the runs of one source."
)
MAP = Value(metric="map")
BLANK = Cell("", "omitted")

Source = tuple[str, str, str]  # address, status and note


@dataclass(frozen=True)
class Terms:
    """What a value rests on; empty or 0 if it is not known.

    Attributes
    ----------
    protocol, metric : str
    encoder : str
        For example ``vgg19 trained`` or ``vgg19_fc7 frozen``.
    weights : str
    input_size, training_images : int
    """

    protocol: str
    metric: str
    encoder: str
    weights: str
    input_size: int
    training_images: int

    def differing(self, other: Terms) -> list[str]:
        """Return the names of the terms that differ, or that are not known of both."""
        names = []
        for term in fields(self):
            value = getattr(self, term.name)
            if not value or value != getattr(other, term.name):
                names.append(term.name.replace("_", " "))
        return names


@dataclass(frozen=True)
class PublishedValue:
    """One published value.

    Attributes
    ----------
    dataset : str
        Name of the file in datasets/.
    sizes : tuple of int
        Queries, database and training images; 0 if not known.
    metric : str
    terms : Terms
    method, features : str
    against : tuple of str
        Names of the variants that it is compared with.
    bits : int or None
        None if the source does not state it.
    value : float
        A share, not percent.
    to : float or None
        End of a range.
    qualifier : {"", "about", "above"}
    run : str
        Number among several runs of one source.
    status, source, note : str
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

    @property
    def origin(self) -> Source:
        """Where the value is from: values with the same origin have one number in a table."""
        return self.source, self.status, self.note


# ------------------------------------------------------------------------- reading


def read(path: Path = PUBLISHED_VALUES) -> list[PublishedValue]:
    """Return every value of published_values.csv.

    Raises
    ------
    BenchmarkError
        With the line, for a value without a source, with an unknown status, or given twice.
    """
    with (
        reading(path, "a CSV table in UTF-8", "Undo the last change of it."),
        path.open(newline="", encoding="utf-8") as file,
    ):
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise BenchmarkError(
                f"{path.name} has the columns {reader.fieldnames}, expected {', '.join(COLUMNS)}"
            )
        values = [_published_value(row, f"{path.name}, line {reader.line_num}") for row in reader]

    _check_unique(path, values)
    return values


def _check_unique(path: Path, values: list[PublishedValue]) -> None:
    keys = set()
    for value in values:
        key = (value.dataset, value.sizes, value.metric, value.method, value.features)
        key += (value.bits, value.run, value.source)
        if key in keys:
            raise BenchmarkError(
                f"{path.name} has two values of {value.method}, {value.bits} bits, from "
                f"{value.source}: give each a `run`"
            )
        keys.add(key)


def _published_value(row: dict[str, str], where: str) -> PublishedValue:
    if row["status"] not in STATUSES or not row["source"]:
        raise BenchmarkError(
            f"{where}: expected a source, and a status of {', '.join(STATUSES)}; found "
            f"{row['status']!r}"
        )
    if not METRIC.fullmatch(row["metric"]):
        raise BenchmarkError(
            f"{where}: metric {row['metric']!r}, expected map, map@1000, map@1000[found] or "
            "precision@1000"
        )
    if row["qualifier"] not in QUALIFIERS:
        raise BenchmarkError(
            f"{where}: qualifier {row['qualifier']!r}, expected nothing, about or above"
        )

    try:
        value = float(row["value"])
        to = float(row["to"]) if row["to"] else None
        sizes = tuple(int(row[key] or 0) for key in ("queries", "database", "training"))
        bits = int(row["bits"]) if row["bits"] else None
        pixels = int(row["pixels"] or 0)
    except ValueError as error:
        raise BenchmarkError(f"{where}: {error}") from None

    highest = 1 if to is None else to
    if not 0 <= value <= highest <= 1:
        raise BenchmarkError(f"{where}: value {value}, expected a share between 0 and 1")

    protocol, preset, encoder, weights = (
        row[key] for key in ("protocol", "preset", "encoder", "weights")
    )
    return PublishedValue(
        sizes=sizes,
        terms=Terms(protocol, preset, encoder, weights, pixels, sizes[2]),
        against=tuple(row["against"].split()),
        bits=bits,
        value=value,
        to=to,
        **{key: row[key] for key in TEXT_COLUMNS},
    )


# -------------------------------------------------------------------------- comparing


def measured_terms(results: Results, pair: Pair, method: dict, metric: str) -> Terms:
    """Return the terms of a method: its inputs and its metric."""
    params = method["keywords"]
    sizes = results.experiment["datasets"][pair.dataset].get("sizes", {})
    encoder = params.get("encoder", "features")
    if encoder == "features":
        features = results.experiment["features"]["/".join(pair)]
        feature_params = features.get("keywords", {})
        encoder = f"{features.get('of', '')} frozen"
        weights, size = feature_params.get("weights", ""), feature_params.get("crop")
        weights = "official" if weights is None else weights
    else:
        encoder = f"{encoder} trained"
        weights, size = params.get("weights") or "official", params.get("encoder_size")

    stem = PurePath(weights or "").stem
    return Terms(pair.dataset, metric, encoder, stem, size or 0, sizes.get("train", 0))


def differences(results: Results, pair: Pair, method: dict, value: PublishedValue) -> list[str]:
    """Return why a measured value of `method` is not compared with a published one."""
    terms = measured_terms(results, pair, method, value.terms.metric).differing(value.terms)
    return [WITHDRAWN, *terms] if value.status == WITHDRAWN else terms


def compared_methods(results: Results, value: PublishedValue) -> list[dict]:
    """Return the methods of the experiment that a published value names, tuned or not."""
    methods = []
    for method in results.methods:
        name = method["base"] if method["tuned"] else method["name"]
        if name in value.against:
            methods.append(method)
    return methods


# -------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class _Layout:
    """What all panels of one table share."""

    results: Results
    pairs: list[Pair]
    values: list[PublishedValue]
    lengths: list[int | None]
    sources: list[Source]
    metric: str  # of the columns

    def number(self, value: PublishedValue) -> int:
        """Return the number of the source of a value."""
        return self.sources.index(value.origin) + 1


def build(results: Results) -> list[Table]:
    """Return a table for each data set of the experiment that has published values."""
    values = read()
    names = dict.fromkeys(results.plugin_of(pair.dataset) for pair in results.pairs)
    tables = []
    for name in names:
        values_of_dataset = [value for value in values if value.dataset == name]
        if values_of_dataset:
            tables.append(_table(results, name, values_of_dataset))
    return tables


def _table(results: Results, name: str, values: list[PublishedValue]) -> Table:
    lengths = {value.bits for value in values}
    presets = [value.terms.metric for value in values if value.terms.metric]
    layout = _Layout(
        results,
        pairs=[pair for pair in results.pairs if results.plugin_of(pair.dataset) == name],
        values=values,
        lengths=sorted(lengths, key=lambda bits: math.inf if bits is None else bits),
        sources=list(dict.fromkeys(value.origin for value in values)),
        metric=presets[0] if presets else MAP.metric,
    )
    panels = []
    for sizes, metric in dict.fromkeys((value.sizes, value.metric) for value in values):
        rows = _rows(layout, [v for v in values if (v.sizes, v.metric) == (sizes, metric)])
        panels.append(Panel(_protocol(sizes, metric), layout.pairs[0], None, rows, []))

    panels += _measured_panels(layout)

    columns = []
    for bits in layout.lengths:
        label = "not stated" if bits is None else f"{bits}"
        columns.append(Column(Value(metric=layout.metric), bits, None, label))

    sources = [_source(number, *source) for number, source in enumerate(layout.sources, 1)]
    cells = cells_of(panels)
    dataset = results.experiment["datasets"][layout.pairs[0].dataset]["label"]
    title = f"Reported and measured values: {dataset}"
    return Table(
        name=f"reported-{name}",
        title=title,
        caption=f"{title}.",
        note=NOTE,
        groups=[("Bits", len(columns))],
        columns=columns,
        panels=panels,
        notes=[
            *sources,
            *_not_compared(layout),
            *captions.marks(cells),
            captions.measured(results),
        ],
    )


def _source(number: int, source: str, status: str, note: str) -> str:
    description = f"{status}: {note}" if note else status
    return f"[{number}] {description}. {source}."


def _not_compared(layout: _Layout) -> list[str]:
    """Return why published values that name a measured method are not compared with it.

    The sources of one method that have the same reasons share a sentence.
    """
    numbers: dict[tuple[str, str, str], dict[int, None]] = {}
    for pair in layout.pairs:
        where = layout.results.label(pair)
        for value in layout.values:
            for method in compared_methods(layout.results, value):
                reasons = differences(layout.results, pair, method, value)
                if reasons:
                    key = (method["label"], where, ", ".join(reasons))
                    numbers.setdefault(key, {})[layout.number(value)] = None

    sentences = []
    for (label, where, reasons), sources in numbers.items():
        listed = ", ".join(f"[{number}]" for number in sources)
        sentences.append(
            f"{label} ({where}) is not compared with {listed}: different or not known: {reasons}."
        )

    return sentences


def _protocol(sizes: tuple[int, int, int], metric: str) -> str:
    words = []
    for size, noun in zip(sizes, ("queries", "in the database", "training images"), strict=True):
        if size:
            words.append(f"{size:,} {noun}")
    return f"{metric.replace('map', 'mAP')}; {', '.join(words) or 'protocol not known'}"


def _rows(layout: _Layout, values: list[PublishedValue]) -> list[Row]:
    """Return a row for each method, features and source.

    What was measured on the same terms, and the difference, are below it.
    """
    groups: dict[str, list[PublishedValue]] = {}
    for value in values:
        words = ", ".join(filter(None, [value.method, value.features]))
        groups.setdefault(f"{words} [{layout.number(value)}]", []).append(value)

    rows = []
    for label, group in groups.items():
        cells = {}
        for bits in layout.lengths:
            cells[bits] = reported_cell([value for value in group if value.bits == bits])
        rows.append(Row(f"reported {len(rows)}", label, [*cells.values()]))
        rows += _measured_rows(layout, group, cells)

    return rows


def _measured_rows(layout: _Layout, group: list[PublishedValue], cells: dict) -> list[Row]:
    rows = []
    metric = group[0].terms.metric
    for pair in layout.pairs:
        for method in compared_methods(layout.results, group[0]):
            if not differences(layout.results, pair, method, group[0]):
                rows += _compared_rows(layout, pair, method, metric, group, cells)
    return rows


def _compared_rows(
    layout: _Layout,
    pair: Pair,
    method: dict,
    metric: str,
    group: list[PublishedValue],
    cells: dict[int | None, Cell],
) -> list[Row]:
    """Return what was measured, and the difference if the published value is exact."""
    key = (*pair, method["name"])
    measured = {bits: measured_cell(layout.results, key, metric, bits) for bits in cells}
    if not any(cell.state == "complete" for cell in measured.values()):
        return []

    exact = {value.bits for value in group if value.exact}
    difference = dict.fromkeys(cells, BLANK)
    for bits in exact:
        if measured[bits].state == "complete":
            difference[bits] = Cell(_signed(measured[bits].number - cells[bits].number))

    name = _row_name(layout, method["name"], metric)
    label = f"{method['label']}, measured by {metric}"
    return [
        Row(name, label, [*measured.values()]),
        Row(f"{method['name']} difference", "difference", [*difference.values()]),
    ]


def reported_cell(values: list[PublishedValue]) -> Cell:
    """Return the cell of the values of one source at one code length."""
    if not values:
        return BLANK
    if len(values) > 1:
        numbers = [value.value for value in values]
        mean, spread = math.fsum(numbers) / len(numbers), statistics.stdev(numbers)
        return Cell(MAP.printed(mean), number=mean, spread=spread, deviation=MAP.printed(spread))

    (value,) = values
    end = "" if value.to is None else "\N{EN DASH}" + MAP.printed(value.to)
    text = f"{value.qualifier} {MAP.printed(value.value)}{end}".strip()
    return Cell(text, number=value.value)


def measured_cell(
    results: Results, key: tuple[str, str, str], metric: str, bits: int | None
) -> Cell:
    """Return the mean of a method by a preset; blank for a length that was not run."""
    if bits not in results.experiment["bits"]:
        return BLANK
    return method_cell(results, key, bits, Column(Value(metric=metric), bits, None, ""))


def _signed(difference: float) -> str:
    """Return a difference with its sign; zero has none."""
    rounded = round(difference, MAP.decimals)
    if not rounded:
        return MAP.printed(0)
    return f"{rounded:+.3f}".replace("-", "\N{MINUS SIGN}")


def _row_name(layout: _Layout, name: str, metric: str) -> str:
    """Return the name of a row; the page opens the runs behind a number by the plain name."""
    return name if metric == layout.metric else f"{name} by {metric}"


def _measured_panels(layout: _Layout) -> list[Panel]:
    """Return, for each preset, what was measured of the methods that published values name."""
    panels = []
    for metric in _presets(layout.values):
        methods = _named_methods(layout)
        for pair in layout.pairs:
            rows = []
            for method in methods:
                key = (*pair, method["name"])
                cells = [measured_cell(layout.results, key, metric, n) for n in layout.lengths]
                name = _row_name(layout, method["name"], metric)
                rows.append(Row(name, method["label"], cells))
            if any(cell.state == "complete" for row in rows for cell in row.cells):
                label = f"Measured here by {metric}: {layout.results.label(pair)}"
                panels.append(Panel(label, pair, None, rows, []))

    return panels


def _presets(values: Iterable[PublishedValue]) -> list[str]:
    presets = [value.terms.metric for value in values if value.terms.metric and value.against]
    return list(dict.fromkeys(presets))


def _named_methods(layout: _Layout) -> list[dict]:
    names = set()
    for value in layout.values:
        names.update(method["name"] for method in compared_methods(layout.results, value))
    return [method for method in layout.results.methods if method["name"] in names]
