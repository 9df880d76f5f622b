"""The table of the reference lines: rankings by stored features, which are no hash codes."""

from __future__ import annotations

from harness.variants import QUANTISERS, control_bits
from report.results import Pair, Results
from report.tables import captions
from report.tables.cells import control_cell
from report.tables.table import Column, Panel, Row, Table
from report.tables.table_specs import Value

TITLE = "Reference lines, not hashes"
NOTE = (
    "Rankings by stored features. These rows have no hash codes and no Hamming distance, and do "
    "not compete with the methods. Product quantisation has as many bits as the codes: consecutive "
    "parts of the features, centred and of length 1, are replaced by the nearest centre of "
    "k-means, with at most 8 bits for each part. Int8 features have one byte per dimension, in "
    "equal steps between the extremes of the training features. Queries are not quantised, and "
    "items are ranked by the Euclidean distance of the query to their quantised features "
    "(asymmetric distance). The exact rankings use all features as float32. Bytes: storage per "
    "image. mAP: all ranks, divided by R. mAP@1,000: divided by the hits found. Neighbours: "
    "neighbour recall@100. Exact expectation over random orders of ties."
)
VALUES = (
    Value(fact="code_bytes", label="Bytes", decimals=0),
    Value(metric="map", label="mAP"),
    Value(metric="map@k[found]", k=1000, label="mAP@1,000"),
    Value(metric="neighbour_recall@k", k=100, label="Neighbours"),
)


def build(results: Results) -> list[Table]:
    """Return the table; none if the experiment has no quantised features."""
    names = [control["name"] for control in results.controls]
    if not set(names) & set(QUANTISERS):
        return []

    columns = [Column(value, None, value.k, value.label) for value in VALUES]
    panels = []
    for pair in results.pairs:
        rows = []
        for control in results.controls:
            rows += _rows(results, pair, control, columns)
        rows.sort(key=lambda row: row.cells[0].number or 0)  # fewer bytes first
        panels.append(Panel(results.label(pair), pair, None, rows, []))

    return [
        Table(
            name="references",
            title=TITLE,
            caption=f"{TITLE}.",
            note=NOTE,
            groups=[],
            columns=columns,
            panels=panels,
            notes=[captions.provenance(results, results.pairs)],
            cites=["jegou2011product"],
        )
    ]


def _rows(results: Results, pair: Pair, control: dict, columns: list[Column]) -> list[Row]:
    """Return the row of a control, or a row for each code length at which it has a value."""
    name, rows = control["name"], []
    if not control_bits(name, 1):
        cells = [control_cell(results, pair, name, None, column) for column in columns]
        return [Row(name, control["label"], cells)]

    for bits in sorted(results.experiment["bits"]):
        cells = [control_cell(results, pair, name, bits, column) for column in columns]
        rows.append(Row(name, f"{control['label']}, {bits} bits", cells))
    return rows
