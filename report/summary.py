"""What a reader wants to know first, in plain sentences computed from the results."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from report.declarations import Value
from report.model import Cell, Column
from report.results import Pair, Results
from report.tables import method_cell


@dataclass(frozen=True)
class Best:
    """The methods of highest printed mAP at one code length, those whose mean +- deviation overlaps with theirs, and what is amiss.

    collapsed: which of the methods, and in how many seeds; absent: methods without a complete cell.
    """

    bits: int
    labels: list[str]
    cell: Cell
    overlapping: list[str]
    collapsed: list[str]
    absent: list[str]


def what_ran(results: Results) -> str:
    """How much was asked for, and how many of those runs are done, failed and missing."""
    experiment = results.experiment
    counts = Counter(run["status"] for run in results.all_runs())
    states = ", ".join(f"{counts[state]:,} {state}" for state in ("done", "failed", "missing") if counts[state] or state == "done")
    lengths = ", ".join(map(str, experiment["bits"]))
    asked = [
        _count(len(results.methods), "method"),
        f"{_count(len(experiment['bits']), 'code length')} ({lengths} bits)",
        _count(len(experiment["seeds"]), "seed"),
        f"{_count(len(experiment['datasets']), 'data set')} ({'; '.join(results.label(pair) for pair in results.pairs)})",
    ]
    return f"{', '.join(asked)}. Of {_count(len(results.all_runs()), 'run')}: {states}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def best_methods(results: Results) -> list[tuple[Pair, list[Best]]]:
    """For each data set and features, the best method by mean mAP at each code length that has a complete cell."""
    found = [(pair, [_best(results, pair, bits) for bits in results.experiment["bits"]]) for pair in results.pairs]
    return [(pair, [best for best in bests if best]) for pair, bests in found]


def _best(results: Results, pair: Pair, bits: int) -> Best | None:
    column = Column(Value(metric="map"), bits, None, "")
    cells = {method["label"]: method_cell(results, (*pair, method["name"]), bits, column) for method in results.methods}
    complete = {label: cell for label, cell in cells.items() if cell.state == "complete"}
    if not complete:
        return None
    top = max(complete.values(), key=lambda cell: cell.number)
    labels = [label for label, cell in complete.items() if cell.text == top.text]
    overlapping = [label for label, cell in complete.items() if label not in labels and _overlap(cell, top)]
    collapsed = [f"{label}: {complete[label].collapse.words}" for label in labels if complete[label].collapse]
    return Best(bits, labels, top, overlapping, collapsed, [label for label in cells if label not in complete])


def _overlap(one: Cell, other: Cell) -> bool:
    return abs(one.number - other.number) <= one.spread + other.spread
