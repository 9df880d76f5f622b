"""What a reader wants to know first, in plain sentences computed from the results."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from report.results import Pair, Results
from report.tables.cells import method_cell
from report.tables.claims import NONE_RUN, listed, verdicts
from report.tables.table import Cell, Column
from report.tables.table_specs import Value

TITLE = "Unsupervised image hashing: results"
NAMED = 4  # up to so many methods are named in a sentence, more are counted; the list of each code length names all


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
    states = ", ".join(
        f"{counts[state]:,} {state}"
        for state in ("done", "failed", "interrupted", "missing")
        if counts[state] or state == "done"
    )
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
    found = [
        (pair, [_best(results, pair, bits) for bits in results.experiment["bits"]])
        for pair in results.pairs
    ]
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
    verdicts = {
        name: results.comparisons.get((*pair, bits, top, name))
        for name in complete
        if name not in best
    }
    return Best(
        bits=bits,
        labels=[labels[name] for name in best],
        cell=complete[top],
        dagger=len(best) == 1 and bool(verdicts) and all(verdicts.values()),
        undecided=[labels[name] for name, verdict in verdicts.items() if verdict is False],
        untested=[labels[name] for name, verdict in verdicts.items() if verdict is None],
        collapsed=[
            f"{labels[name]}: {complete[name].collapse.words}"
            for name in best
            if complete[name].collapse
        ],
        absent=[labels[name] for name in cells if name not in complete],
    )


def winners(results: Results) -> list[str]:
    """Who has the highest mAP where, whether that is significant, and how it stands to rankings by the features themselves."""
    said = []
    for pair, bests in best_methods(results):
        place = results.label(pair)
        for (who, absent), group in itertools.groupby(
            bests, key=lambda best: (best.labels, best.absent)
        ):
            alike = list(group)
            printed = [best.cell.text for best in alike]
            span = printed[0] if len(set(printed)) == 1 else f"{min(printed)} to {max(printed)}"
            have = "has" if len(who) == 1 else "have"
            lacking = f"; not complete: {_named(absent)}" if absent else ""
            said.append(
                f"{place}: {listed(who)} {have} the highest mAP at {_lengths(alike)} ({span}){_significance(alike)}{lacking}."
            )
        said += _beside_features(results, pair, bests)
    return said


def _lengths(bests: list[Best]) -> str:
    return f"{listed([best.bits for best in bests])} bits"


def _significance(bests: list[Best]) -> str:
    """Over which others the highest is significantly so; the same at all of these code lengths, or length by length."""
    others = "every other method" + (" that has all its seeds" if bests[0].absent else "")
    if all(best.dagger for best in bests):
        return f", significantly higher than {others}" + (" at each" if len(bests) > 1 else "")
    told = []
    groups = {}
    for best in bests:
        groups.setdefault((best.dagger, *map(tuple, (best.undecided, best.untested))), []).append(
            best
        )
    for (dagger, undecided, untested), alike in groups.items():
        words = [f"significantly higher than {others}"] if dagger else []
        words += [f"not distinguishable from {_named(undecided)}"] if undecided else []
        words += [f"not tested against {_named(untested)}, for want of seeds"] if untested else []
        told += (
            [f"{' and '.join(words)}{f' at {_lengths(alike)}' if len(alike) < len(bests) else ''}"]
            if words
            else []
        )
    return f"; {'; '.join(told)}" if told else ""


def _named(labels: Sequence[str]) -> str:
    return listed(list(labels)) if len(labels) <= NAMED else f"{len(labels)} other methods"


def _beside_features(results: Results, pair: Pair, bests: list[Best]) -> list[str]:
    """How the best methods stand to the rankings by the features themselves, and to chance."""
    said = []
    for control in results.controls:
        values = list(results.scores.get((*pair, control["name"], 0, "map", None), {}).values())
        if values and bests:
            level = Value(metric="map").printed(sum(values) / len(values))
            above = sum(float(best.cell.text) > float(level) for best in bests)
            said.append(
                f"{level} ({control['label']}; the best method is above it at {above} of {_count(len(bests), 'code length')})"
            )
    if not said:
        return []
    chance = Value(metric="map").printed(results.chance(pair, "map_chance"))
    return [
        f"{results.label(pair)}: ranking by the features themselves has {listed(said)}; chance has {chance}."
    ]


def problems(results: Results) -> list[str]:
    """What failed, is missing or nearly collapsed, each named; one sentence if nothing did."""
    labels = {method["name"]: method["label"] for method in results.methods}
    undone = ("failed", "interrupted", "missing")
    places = {state: {} for state in (*undone, "near-collapsed")}
    for (*pair, variant, bits), runs in results.runs.items():
        cell = method_cell(
            results, (*pair, variant), bits, Column(Value(metric="map"), bits, None, "")
        )
        counts = {state: sum(run["status"] == state for run in runs) for state in undone}
        counts["near-collapsed"] = cell.collapse.count if cell.collapse else 0
        for state, count in counts.items():
            if count:
                where = f"{labels[variant]} on {results.label(Pair(*pair))}"
                places[state].setdefault(where, []).append(
                    f"{bits} bits ({count} of {len(runs)})" if len(runs) > 1 else f"{bits} bits"
                )
    told = {
        state: "; ".join(f"{where}, {listed(at)}" for where, at in found.items())
        for state, found in places.items()
        if found
    }
    said = [f"{state.capitalize()}: {words}." for state, words in told.items()]
    return said or ["Nothing failed, is missing or nearly collapsed."]


def sentences(results: Results) -> list[str]:
    """The whole summary in plain words."""
    said = [what_ran(results), *winners(results), *problems(results)]
    judged = verdicts(results)
    for pair, found in judged:
        for verdict in found:
            told = [
                f"{results.label(pair)}. {verdict.question} {verdict.words.capitalize()}, {verdict.scope}. Claim: {verdict.claim}"
            ]
            told += [*verdict.sentences, f"Rule: {verdict.rule}."]
            told += [f"Not run: {', '.join(verdict.lacking)}."] if verdict.lacking else []
            said.append(
                " ".join([*told, *(f"Near-collapsed: {row}." for row in verdict.collapsed)])
            )
    return said if judged else [*said, NONE_RUN]
