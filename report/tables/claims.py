"""Verdicts on the claims of the paper, by the rules in tables.yaml."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import product

from harness.families import LEVEL, holm
from report.results import Pair, Results
from report.tables.captions import NOT_TESTED
from report.tables.cells import method_cell
from report.tables.table import Column
from report.tables.table_specs import Claim, Value, read_claims

# The outcomes of a comparison at one code length.
BETTER = "better"
WORSE = "worse"
UNDECIDED = "not distinguishable"
UNTESTED = f"not tested ({NOT_TESTED})"
INCOMPLETE = "not complete"

# The settings that both rows of a comparison have.
TUNED = "tuned"
TUNED_FOR_FIRST = "with the settings tuned for the first"
DEFAULT = "default settings"

NONE_RUN = (
    "The claims of the paper are not evaluated: none of the rows that they require was run "
    "(report/tables.yaml)."
)
MAP = Value(metric="map")


@dataclass(frozen=True)
class Comparison:
    """One row compared with another.

    Attributes
    ----------
    row, other : str
        Labels.
    tuning : {TUNED, TUNED_FOR_FIRST, DEFAULT}
    outcomes : dict
        {outcome: code lengths}.
    """

    row: str
    other: str
    tuning: str
    outcomes: dict[str, list[int]]


@dataclass(frozen=True)
class Verdict:
    """What the runs of one data set and features state about a claim.

    Attributes
    ----------
    question, claim : str
    words : str
        The verdict; empty if the question has a table and no verdict.
    decided_on : str
        Labels of the rows that decide; empty if no row was compared.
    rule : str
    comparisons : list of Comparison
        What the verdict rests on.
    released : list of Comparison
        The rows of the released code, compared with the same rows.
    missing : list of str
        Rows of the rule that were not run, or not with the same kind of settings.
    collapsed : list of str
        Near-collapsed rows among those compared.
    table : str
        Name of the table that treats the question.
    """

    question: str
    claim: str
    words: str = ""
    decided_on: str = ""
    rule: str = ""
    comparisons: list[Comparison] = ()
    released: list[Comparison] = ()
    missing: list[str] = ()
    collapsed: list[str] = ()
    table: str = ""

    @property
    def kind(self) -> str:
        """The verdict in one word, for its colour."""
        kinds = {
            "": "open",
            "holds": "holds",
            "does not hold": "fails",
            "finds no support": "fails",
            "undecided": "open",
        }
        return kinds.get(self.words.partition(" (")[0], "partly")

    @property
    def sentences(self) -> list[str]:
        """The comparisons that decide; those with the same outcomes share a sentence."""
        return _sentences(self.comparisons)

    @property
    def released_sentences(self) -> list[str]:
        """The comparisons of the released code."""
        return _sentences(self.released)


def verdicts(results: Results) -> list[tuple[Pair, list[Verdict]]]:
    """Return a verdict on each claim, for each data set and features.

    The list is empty if no row that the claims are about was run.
    """
    claims = read_claims()
    if not any(_names_run(results) & set(claim.row) for claim in claims):
        return []
    return [(pair, _verdicts_of(results, pair, claims)) for pair in results.pairs]


def _verdicts_of(results: Results, pair: Pair, claims: list[Claim]) -> list[Verdict]:
    return [_verdict(results, pair, claim) for claim in claims]


def listed(items: list) -> str:
    """Return items in words, for example ``12, 24 and 48``."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


# ------------------------------------------------------------------------- the verdict


def _verdict(results: Results, pair: Pair, claim: Claim) -> Verdict:
    if claim.table:
        return Verdict(claim.question, claim.claim, table=claim.table)

    pairings = _pairings(results, pair, claim)
    compared = [names for names in pairings.values() if names]
    corrected = _corrected(results, pair, compared)
    comparisons = [_comparison(results, pair, corrected, *names) for names in compared]
    missing = _missing(results, claim, pairings)
    labels = dict.fromkeys(comparison.row for comparison in comparisons)
    return Verdict(
        question=claim.question,
        claim=claim.claim,
        words=_words(comparisons, bool(missing)),
        decided_on=listed(list(labels)) if labels else "",
        rule=_rule(claim),
        comparisons=comparisons,
        released=_released(results, pair, claim, pairings),
        missing=missing,
        collapsed=_collapsed(results, pair, pairings),
    )


def _rule(claim: Claim) -> str:
    others = ", ".join(_either(names) for names in claim.against)
    return (
        f"The mean average precision has to be significantly higher than that of each of {others} "
        "at every code length of both (p < 0.05 after Holm's correction over the comparisons of "
        "the claim)"
    )


def _words(comparisons: list[Comparison], is_partial: bool) -> str:
    """Return the verdict of all comparisons at all code lengths.

    is_partial: whether rows of the rule were not compared.
    """
    counts = Counter()
    for comparison in comparisons:
        counts.update({what: len(bits) for what, bits in comparison.outcomes.items()})

    better, worse, total = counts[BETTER], counts[WORSE], counts.total()
    if not better and not worse:
        is_tested = counts[UNDECIDED] and not counts[UNTESTED] and not counts[INCOMPLETE]
        if not is_tested:
            return "undecided"

    if better == total:
        return "holds (for the rows that were compared)" if is_partial else "holds"

    tally = f"({better} of {total} comparisons in favour, {worse} against)"
    if better and worse:
        return f"holds in some comparisons only {tally}"
    if better:
        return f"holds in part {tally}"

    return f"does not hold {tally}" if worse else f"finds no support {tally}"


# ---------------------------------------------------------------- the rows to compare


def _pairings(results: Results, pair: Pair, claim: Claim) -> dict[str, tuple | None]:
    """Return {entry of `against`: (row, other, settings)}; None if there are no such two rows."""
    return {_either(others): _pairing(results, pair, claim, others) for others in claim.against}


def _pairing(
    results: Results, pair: Pair, claim: Claim, others: list[str]
) -> tuple[str, str, str] | None:
    """Return the two rows to compare, and the settings that both have.

    Settings of one kind are compared: tuned with tuned, else the settings tuned for the first row
    with both, else default settings with default settings (both on the encoder of the claim, if
    both were run on it).
    """
    kinds = [(TUNED, ""), (TUNED_FOR_FIRST, ""), (DEFAULT, claim.encoder), (DEFAULT, "")]
    for (tuning, encoder), other, base in product(kinds, others, claim.row):
        opponent = _row(results, pair, other, tuning, encoder)
        # The first row is tuned for itself also where the other one shares its settings.
        own = TUNED if tuning == TUNED_FOR_FIRST else tuning
        row = _row(results, pair, base, own, encoder)
        if row and opponent and _are_comparable(results, pair, row, opponent):
            return row, opponent, tuning
    return None


def _are_comparable(results: Results, pair: Pair, row: str, other: str) -> bool:
    """Return whether two rows share a code length, and two of one method an encoder."""
    facts = {method["name"]: method for method in results.methods}
    one, two = facts[row], facts[other]
    encoders = {method["keywords"].get("encoder") for method in (one, two)}
    if one["method"] == two["method"] and len(encoders) > 1:
        return False
    return bool(_shared_lengths(results, pair, row, other))


def _either(names: list[str]) -> str:
    return " or ".join(names)


def _row(results: Results, pair: Pair, base: str, tuning: str, encoder: str) -> str | None:
    """Return the row `base` with settings of one kind; None if it was not run.

    A row with nothing to tune, such as LSH, is of every kind. Tables of earlier versions do not
    state it of rows with parameters.
    """
    plain = [method for method in results.methods if method["name"] == base]
    variants = [method for method in results.methods if method["base"] == base]
    variants = [method for method in variants if method["trial"] is None]
    if tuning != DEFAULT:
        candidates = [m for m in plain if not m.get("tunable", bool(m["keywords"]))]
        candidates += [method for method in variants if _is_tuned(method, pair, tuning)]
    elif encoder:
        default = [method for method in variants if not method["tuned"]]
        candidates = [m for m in default if m["keywords"].get("encoder") == encoder]
    else:
        candidates = plain

    return candidates[0]["name"] if candidates else None


def _is_tuned(method: dict, pair: Pair, tuning: str) -> bool:
    if not method["tuned"] or method["tuned_on"] != pair.dataset:
        return False
    is_own = method["tuned"] == "own"
    return is_own if tuning == TUNED else not is_own


def _missing(results: Results, claim: Claim, pairings: dict[str, tuple | None]) -> list[str]:
    names = _names_run(results)
    if not names & set(claim.row):
        return [_either(claim.row)]

    missing = [_either(others) for others in claim.against if not names & set(others)]
    for others in claim.against:
        run = [other for other in others if other in names]
        if run and not pairings[_either(others)]:
            missing.append(f"{_either(run)} with the same kind of settings and code length")
    return missing


def _names_run(results: Results) -> set[str]:
    """Return the names of the rows, and the name that each stands for in tables."""
    return {method["name"] for method in results.methods} | {
        method["base"] for method in results.methods
    }


def _released(
    results: Results, pair: Pair, claim: Claim, pairings: dict[str, tuple | None]
) -> list[Comparison]:
    """Compare the row of the released code with the rows that the verdict compares."""
    released = next((name for name in claim.released if name in results.labels), None)
    if released is None:
        return []
    others = [names[1] for names in pairings.values() if names and names[1] != released]
    compared = [(released, other, DEFAULT) for other in others]
    corrected = _corrected(results, pair, compared)
    comparisons = [_comparison(results, pair, corrected, *names) for names in compared]
    return [replace(comparison, tuning="") for comparison in comparisons]


# --------------------------------------------------------------------- the comparisons


# p values of two rows at one code length, by (bits, row with the higher mean, other row).
PValues = dict[tuple[int, str, str], float]


def _corrected(results: Results, pair: Pair, compared: list[tuple[str, str, str]]) -> PValues:
    """Return the p values after Holm's correction over these comparisons."""
    p_values = {}
    for bits in results.experiment["bits"]:
        for row, other, _ in compared:
            for key in ((bits, row, other), (bits, other, row)):
                comparison = results.comparisons.get((*pair, *key))
                if comparison is not None and comparison.p is not None:
                    p_values[key] = comparison.p
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def _comparison(
    results: Results, pair: Pair, corrected: PValues, row: str, other: str, tuning: str
) -> Comparison:
    outcomes: dict[str, list[int]] = {}
    for bits in _shared_lengths(results, pair, row, other):
        outcome = _outcome(results, (*pair, bits), corrected, row, other)
        outcomes.setdefault(outcome, []).append(bits)
    return Comparison(results.labels[row], results.labels[other], tuning, outcomes)


def _shared_lengths(results: Results, pair: Pair, row: str, other: str) -> list[int]:
    """Return the code lengths at which two rows were both planned to run."""
    return [bits for bits in results.lengths(pair, row) if bits in results.lengths(pair, other)]


def _outcome(
    results: Results, key: tuple[str, str, int], corrected: PValues, row: str, other: str
) -> str:
    """Return how two rows compare at one code length; key: (dataset, features, bits)."""
    dataset, features, bits = key
    for name in (row, other):
        cell = method_cell(results, (dataset, features, name), bits, Column(MAP, bits, None, ""))
        if cell.state != "complete":
            return INCOMPLETE

    # The row with the higher mean comes first in comparisons.csv.
    above, below = corrected.get((bits, row, other)), corrected.get((bits, other, row))
    if above is None and below is None:
        return UNTESTED
    if above is not None and above < LEVEL:
        return BETTER

    return WORSE if below is not None and below < LEVEL else UNDECIDED


def _collapsed(results: Results, pair: Pair, pairings: dict[str, tuple | None]) -> list[str]:
    names = {}
    for compared in filter(None, pairings.values()):
        names |= dict.fromkeys(compared[:2])

    collapsed = []
    for name in names:
        for bits in results.experiment["bits"]:
            cell = method_cell(results, (*pair, name), bits, Column(MAP, bits, None, ""))
            if cell.collapse:
                label = results.labels[name]
                collapsed.append(f"{label} at {bits} bits ({cell.collapse.words})")

    return collapsed


def _sentences(comparisons: list[Comparison]) -> list[str]:
    others: dict[tuple, list[str]] = {}
    for comparison in comparisons:
        # The label of a tuned row states its settings.
        tuning = "" if comparison.tuning in (TUNED, "") else f", {comparison.tuning}"
        key = (comparison.row, tuning, _outcomes_in_words(comparison.outcomes))
        others.setdefault(key, []).append(comparison.other)

    return [
        f"{row} against {listed(labels)}{tuning}: {words}."
        for (row, tuning, words), labels in others.items()
    ]


def _outcomes_in_words(outcomes: dict[str, list[int]]) -> str:
    return "; ".join(f"at {listed(bits)} bits {outcome}" for outcome, bits in outcomes.items())
