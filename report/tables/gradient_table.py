"""The table of what each term of the loss contributes to the gradient of the encoder."""

from __future__ import annotations

import math
from pathlib import Path

from harness import records
from harness.errors import BenchmarkError
from harness.plain_text import plain
from report.results import Pair, Results
from report.tables import captions
from report.tables.cells import OMITTED_CELL
from report.tables.table import Cell, Column, Panel, Row, Table
from report.tables.table_specs import Value

KEY = "gradient_shares"  # of run.json: {term: share of the gradient of the encoder}
NOTE = (
    "Share of each term of the loss in the gradient that reaches the encoder, in percent, as the "
    "run records state it. Mean over code lengths and seeds. A dash: the loss has no such term."
)
PERCENT = Value(scale=100.0, decimals=1, significant=2, deviation=False)

Shares = dict[str, list[float]]  # {term: share of each run}


def build(results: Results) -> list[Table]:
    """Return the table; none if no run records the shares."""
    shares = {}
    for pair in results.pairs:
        for method in results.methods:
            recorded = _shares(results, pair, method["name"])
            if recorded:
                shares[pair, method["name"]] = recorded

    if not shares:
        return []

    terms = list(dict.fromkeys(term for recorded in shares.values() for term in recorded))
    columns = [Column(PERCENT, None, None, term) for term in terms]
    panels = []
    for pair in results.pairs:
        rows = []
        for method in results.methods:
            recorded = shares.get((pair, method["name"]))
            if recorded:
                cells = [_cell(recorded.get(term, [])) for term in terms]
                rows.append(Row(method["name"], method["label"], cells, method["note"]))
        if rows:
            panels.append(Panel(results.label(pair), pair, None, rows, []))

    title = "RQ1: share of each term in the gradient of the encoder (%)"
    return [
        Table(
            name="gradient-shares",
            title=title,
            caption=f"{title}.",
            note=NOTE,
            groups=[],
            columns=columns,
            panels=panels,
            notes=[captions.provenance(results, [panel.pair for panel in panels])],
        )
    ]


def _shares(results: Results, pair: Pair, variant: str) -> Shares:
    """Return {term of the loss: its share of the gradient in each done run of a method}."""
    shares: Shares = {}
    for bits in results.experiment["bits"]:
        for run in results.runs.get((*pair, variant, bits), []):
            path = Path(run["folder"]) / "run.json"
            if run["status"] == "done" and path.is_file():
                for term, share in _recorded(path).items():
                    shares.setdefault(term, []).append(share)
    return shares


def _recorded(path: Path) -> dict[str, float]:
    recorded = records.read(path).get(KEY) or {}
    if not isinstance(recorded, dict) or not all(map(_is_share, recorded.values())):
        raise BenchmarkError(
            f"{path} has {recorded!r} as {KEY}, expected shares between 0 and 1. Delete the folder "
            "of this run and rerun the command"
        )
    return {plain(term): float(share) for term, share in recorded.items()}


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1


def _cell(shares: list[float]) -> Cell:
    if not shares:
        return OMITTED_CELL
    mean = 100 * math.fsum(shares) / len(shares)
    return Cell(PERCENT.printed(mean), number=mean)
