"""What a reader wants to know first, in plain sentences computed from the results."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.variants import QUANTISERS
from report.results import Pair, Results
from report.tables.cells import is_planned, method_cell
from report.tables.claims import NONE_RUN, NOT_TESTED, Verdict, listed, verdicts
from report.tables.table import Cell, Column
from report.tables.table_specs import Value

TITLE = "Unsupervised image hashing: results"
MAX_NAMES = 4  # up to this number, methods are named in a sentence; more are counted
MAP = Value(metric="map")
PROBLEM_STATES = ("failed", "interrupted", "missing")


@dataclass(frozen=True)
class Best:
    """The methods with the highest printed mAP at one code length.

    Attributes
    ----------
    bits : int
    labels : list of str
        Labels of these methods.
    cell : Cell
    dagger : bool
        Whether the one best method is significantly higher than every other.
    undecided : list of str
        Methods that the best is not significantly higher than.
    untested : list of str
        Methods that were not tested against the best, since there are too few seeds.
    collapsed : list of str
        The best methods that nearly collapsed, and in how many seeds.
    incomplete : list of str
        Methods without a complete cell.
    """

    bits: int
    labels: list[str]
    cell: Cell
    dagger: bool
    undecided: list[str]
    untested: list[str]
    collapsed: list[str]
    incomplete: list[str]


# ----------------------------------------------------------------------------- counts


def what_ran(results: Results) -> str:
    """Return how much was planned, and how many of the runs are done, failed and missing."""
    experiment = results.experiment
    lengths = ", ".join(map(str, experiment["bits"]))
    datasets = "; ".join(results.label(pair) for pair in results.pairs)
    planned = [
        _count(len(results.methods), "method"),
        f"{_count(len(experiment['bits']), 'code length')} ({lengths} bits)",
        _count(len(experiment["seeds"]), "seed"),
        f"{_count(len(experiment['datasets']), 'data set')} ({datasets})",
    ]

    counts = Counter(run["status"] for run in results.all_runs())
    problems = [state for state in PROBLEM_STATES if counts[state]]
    states = [f"{counts[state]:,} {state}" for state in ("done", *problems)]
    total = _count(len(results.all_runs()), "run")
    return f"{', '.join(planned)}. Of {total}: {', '.join(states)}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# ----------------------------------------------------------------------- best methods


def best_methods(results: Results) -> list[tuple[Pair, list[Best]]]:
    """Return the best methods by mean mAP at each code length, for each data set and features.

    Code lengths without a complete cell are left out.
    """
    bests = []
    for pair in results.pairs:
        by_length = (_best(results, pair, bits) for bits in results.experiment["bits"])
        bests.append((pair, [best for best in by_length if best]))
    return bests


def _best(results: Results, pair: Pair, bits: int) -> Best | None:
    labels = results.labels
    column = Column(MAP, bits, None, "")
    cells = {
        name: method_cell(results, (*pair, name), bits, column)
        for name in labels
        if is_planned(results, (*pair, name), bits)
    }
    complete = {name: cell for name, cell in cells.items() if cell.state == "complete"}
    if not complete:
        return None

    top = max(complete, key=lambda name: complete[name].number)
    best = [name for name, cell in complete.items() if cell.text == complete[top].text]
    higher = {}  # whether the best is significantly higher; None if it was not tested
    for name in complete:
        if name not in best:
            higher[name] = results.is_best(pair, bits, top, name, len(results.experiment["bits"]))

    collapsed = [name for name in best if complete[name].collapse]
    return Best(
        bits=bits,
        labels=[labels[name] for name in best],
        cell=complete[top],
        dagger=len(best) == 1 and bool(higher) and all(higher.values()),
        undecided=[labels[name] for name, outcome in higher.items() if outcome is False],
        untested=[labels[name] for name, outcome in higher.items() if outcome is None],
        collapsed=[f"{labels[name]}: {complete[name].collapse.words}" for name in collapsed],
        incomplete=[labels[name] for name in cells if name not in complete],
    )


def winners(results: Results) -> list[str]:
    """Return which methods have the highest mAP, and how they compare with the others."""
    sentences = []
    for pair, bests in best_methods(results):
        groups = itertools.groupby(bests, key=lambda best: (best.labels, best.incomplete))
        for _, group in groups:
            sentences.append(f"{results.label(pair)}: {_winner_sentence(list(group))}")
        sentences += _features_sentence(results, pair, bests)
    return sentences


def _winner_sentence(bests: list[Best]) -> str:
    """Return a sentence on code lengths with the same best and the same incomplete methods."""
    labels, incomplete = bests[0].labels, bests[0].incomplete
    verb = "has" if len(labels) == 1 else "have"
    values = [best.cell.text for best in bests]
    lowest, highest = min(values), max(values)
    span = lowest if lowest == highest else f"{lowest} to {highest}"

    sentence = f"{listed(labels)} {verb} the highest mAP at {_lengths(bests)} ({span})"
    sentence += _significance(bests)
    if incomplete:
        sentence += f"; not complete: {_named(incomplete)}"

    return f"{sentence}."


def _significance(bests: list[Best]) -> str:
    """Return how the best methods compare with the others, as the end of a sentence.

    Code lengths with the same outcome share a clause.
    """
    others = "every other method"
    if bests[0].incomplete:
        others += " whose seeds are all done"

    if all(best.dagger for best in bests):
        at_each = " at each" if len(bests) > 1 else ""
        return f", significantly higher than {others}{at_each}"

    lengths_by_clause: dict[str, list[Best]] = {}
    for best in bests:
        clause = " and ".join(_outcomes(best, others))
        if clause:
            lengths_by_clause.setdefault(clause, []).append(best)

    clauses = []
    for clause, group in lengths_by_clause.items():
        is_everywhere = len(group) == len(bests)
        clauses.append(clause if is_everywhere else f"{clause} at {_lengths(group)}")

    return "".join(f"; {clause}" for clause in clauses)


def _outcomes(best: Best, others: str) -> Iterator[str]:
    if best.dagger:
        yield f"significantly higher than {others}"
    if best.undecided:
        yield f"not significantly higher than {_named(best.undecided)}"
    if best.untested:
        differences = "difference" if len(best.untested) == 1 else "differences"
        verb = "is" if len(best.untested) == 1 else "are"
        named = _named(best.untested)
        yield f"the {differences} from {named} {verb} not tested ({NOT_TESTED})"


def _lengths(bests: list[Best]) -> str:
    return f"{listed([best.bits for best in bests])} bits"


def _named(labels: Sequence[str]) -> str:
    return listed(list(labels)) if len(labels) <= MAX_NAMES else f"{len(labels)} other methods"


def _features_sentence(results: Results, pair: Pair, bests: list[Best]) -> list[str]:
    """Return how the best methods compare with rankings by the features themselves."""
    texts = []
    for control in results.controls:
        value = None
        if control["name"] not in QUANTISERS:
            value = results.of_control(pair, control["name"], None, "map")
        if value is not None and bests:
            level = MAP.printed(value)
            above = sum(float(best.cell.text) > float(level) for best in bests)
            lengths = _count(len(bests), "code length")
            texts.append(
                f"{level} ({control['label']}; the best method is above it at {above} of {lengths})"
            )

    if not texts:
        return []

    chance = MAP.printed(results.chance(pair, "map_chance"))
    ranking = f"{results.label(pair)}: ranking by the features themselves has {listed(texts)}"
    return [f"{ranking}; a random ranking has {chance}."]


# --------------------------------------------------------------------------- problems


def problems(results: Results) -> list[str]:
    """Return what failed, is missing or nearly collapsed; one sentence if nothing did."""
    states = (*PROBLEM_STATES, "near-collapsed")
    lengths: dict[str, dict[str, list[str]]] = {state: {} for state in states}
    for (*pair, variant, bits), runs in results.runs.items():
        where = f"{results.labels[variant]} on {results.label(Pair(*pair))}"
        for state, count in _states(results, (*pair, variant), bits, runs).items():
            if count:
                seeds = f" ({count} of {len(runs)})" if len(runs) > 1 else ""
                lengths[state].setdefault(where, []).append(f"{bits} bits{seeds}")

    sentences = []
    for state, bits_by_method in lengths.items():
        texts = [f"{where}, {listed(bits)}" for where, bits in bits_by_method.items()]
        if texts:
            sentences.append(f"{state.capitalize()}: {'; '.join(texts)}.")

    sentences += _at_chance(results)
    return sentences or ["No run failed, is missing or nearly collapsed."]


def _at_chance(results: Results) -> list[str]:
    """Return a sentence on codes from files that are not better than a random ranking."""
    cells = []
    for (*pair, variant, bits), runs in results.runs.items():
        low, _ = results.intervals.get((*pair, variant, bits), (1.0, 1.0))
        chance = results.chance(Pair(*pair), "map_chance")
        from_file = not any(run["fit_seconds"] for run in runs)
        if from_file and chance is not None and low <= chance:
            cells.append(f"{results.labels[variant]} on {results.label(Pair(*pair))}, {bits} bits")

    if not cells:
        return []

    advice = "Check that the rows of the file are in the order of the images"
    return [f"At chance level: {'; '.join(cells)}. {advice}."]


def _states(results: Results, key: tuple, bits: int, runs: list[dict]) -> dict[str, int]:
    """Return how many runs of a cell failed, are missing, and nearly collapsed."""
    collapse = method_cell(results, key, bits, Column(MAP, bits, None, "")).collapse
    statuses = [run["status"] for run in runs]
    counts = {state: statuses.count(state) for state in PROBLEM_STATES}
    return counts | {"near-collapsed": collapse.count if collapse else 0}


# ------------------------------------------------------------------------- all of it


def sentences(results: Results) -> list[str]:
    """Return the whole summary in plain words."""
    texts = [what_ran(results), *winners(results), *problems(results)]
    judged = verdicts(results)
    for pair, judgements in judged:
        label = results.label(pair)
        texts += [f"{label}. {_verdict_sentences(verdict)}" for verdict in judgements]
    return texts if judged else [*texts, NONE_RUN]


def _verdict_sentences(verdict: Verdict) -> str:
    texts = [verdict.question]
    if verdict.words:
        decided = f", decided on {verdict.decided_on}" if verdict.decided_on else ""
        texts.append(f"{verdict.words.capitalize()}{decided}.")

    texts.append(f"Claim: {verdict.claim}" if verdict.words else verdict.claim)
    texts += verdict.sentences
    if verdict.released:
        texts.append(f"For comparison: {' '.join(verdict.released_sentences)}")

    if verdict.rule:
        texts.append(f"Rule: {verdict.rule}.")

    if verdict.missing:
        texts.append(f"Not run: {', '.join(verdict.missing)}.")

    if verdict.collapsed:
        texts.append(f"Near-collapsed: {', '.join(verdict.collapsed)}.")

    return " ".join(texts)
