"""What a reader wants to know first, in plain sentences computed from the results."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from report.cells import method_cell
from report.declarations import Value
from report.model import Cell, Column
from report.results import Pair, Results


@dataclass(frozen=True)
class Best:
    """The methods of highest printed mAP at one code length, and what is amiss.

    dagger: significantly higher than every other; undecided: methods below that no test tells from the best, untested: those that were
    not tested for want of seeds; collapsed: which of the methods, and in how many seeds; absent: methods without a complete cell.
    """

    bits: int
    labels: list[str]
    cell: Cell
    dagger: bool
    undecided: list[str]
    untested: list[str]
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
    labels = {method["name"]: method["label"] for method in results.methods}
    cells = {name: method_cell(results, (*pair, name), bits, column) for name in labels}
    complete = {name: cell for name, cell in cells.items() if cell.state == "complete"}
    if not complete:
        return None
    top = max(complete, key=lambda name: complete[name].number)
    best = [name for name, cell in complete.items() if cell.text == complete[top].text]
    verdicts = {name: results.comparisons.get((*pair, bits, top, name)) for name in complete if name not in best}
    return Best(
        bits=bits,
        labels=[labels[name] for name in best],
        cell=complete[top],
        dagger=len(best) == 1 and bool(verdicts) and all(verdicts.values()),
        undecided=[labels[name] for name, verdict in verdicts.items() if verdict is False],
        untested=[labels[name] for name, verdict in verdicts.items() if verdict is None],
        collapsed=[f"{labels[name]}: {complete[name].collapse.words}" for name in best if complete[name].collapse],
        absent=[labels[name] for name in cells if name not in complete],
    )
