"""Verdicts on the claims of the paper, by the rules in tables.yaml."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from report.results import Pair, Results
from report.tables import published_values
from report.tables.cells import TIMED, method_cell, run_values
from report.tables.table import Column
from report.tables.table_specs import Claim, Value, read_claims

FOR, AGAINST, UNDECIDED, UNTESTED, ABSENT = (
    "better",
    "worse",
    "not distinguishable",
    "not tested for want of seeds",
    "not complete",
)
TUNED = "tuned"
VGG19 = "vgg19"  # the paper's encoder: rows on it are compared with each other
NONE_RUN = (
    "None of the rows required by the paper's claims was run, so the claims are not evaluated."
)
THE_ROW = object()  # the name of the row that a claim is about
# The words for the parameters of two rows, whose choice they are, and the encoder of both.
KINDS = (
    (TUNED, ("own", "own"), None),
    ("both with the settings tuned for the first", ("own", THE_ROW), None),
    ("fixed settings", ("", ""), VGG19),
    ("fixed settings", ("", ""), None),
)
TESTS = {
    "significant": "significantly, by the test of the daggers",
    "apart": "every run of the one better than every run of the other",
}


@dataclass(frozen=True)
class Comparison:
    """One row against another at each code length compared: outcomes as {what: code lengths}; settings: tuned, both as the one, or fixed."""

    row: str
    other: str
    settings: str
    outcomes: dict[str, list[int]]


@dataclass(frozen=True)
class Verdict:
    """What the runs of one data set and features say of a claim.

    words: the verdict; scope: whether they are a replication; rule: how it was found; comparisons: what it rests on; lacking: rows of the
    rule that were not run, or not with settings of one kind; collapsed: near-collapsed rows among those compared.
    """

    question: str
    claim: str
    words: str
    scope: str
    rule: str
    comparisons: list[Comparison]
    lacking: list[str]
    collapsed: list[str]

    @property
    def kind(self) -> str:
        """The verdict in one word, for its colour."""
        words = {
            "holds": "holds",
            "does not hold": "fails",
            "finds no support": "fails",
            "cannot be said": "open",
        }
        return words.get(self.words.partition(" (")[0], "partly")

    @property
    def sentences(self) -> list[str]:
        """What was compared and what came of it; comparisons alike in one sentence."""
        alike = {}
        for found in self.comparisons:
            settings = (
                "" if found.settings == TUNED else f", {found.settings}"
            )  # a tuned row's label says so
            alike.setdefault((found.row, settings, _told(found.outcomes)), []).append(found.other)
        return [
            f"{row} against {listed(others)}{settings}: {told}."
            for (row, settings, told), others in alike.items()
        ]


def verdicts(results: Results) -> list[tuple[Pair, list[Verdict]]]:
    """For each data set and features, a verdict on each claim of tables.yaml; nothing where what the claims are of was not run."""
    claims = read_claims()
    if not any(_run(results) & set(claim.row) for claim in claims):
        return []
    return [(pair, [_verdict(results, pair, claim) for claim in claims]) for pair in results.pairs]


def _verdict(results: Results, pair: Pair, claim: Claim) -> Verdict:
    pairings = [
        _settings(results, pair, claim.row, other)
        for other in claim.against
        if _lengths(results, claim)
    ]
    compared = [found for found in pairings if found]
    comparisons = [_comparison(results, pair, claim, *found) for found in compared]
    lacking = _lacking(results, pair, claim)
    same = bool(compared) and all(
        published_values.replicated(results, pair, row, claim.metric) for row, _, _ in compared
    )
    return Verdict(
        question=claim.question,
        claim=claim.claim,
        words=_words(comparisons, bool(lacking)),
        scope="on the terms of the published figures"
        if same
        else "on these runs, not a replication",
        rule=_rule(claim),
        comparisons=comparisons,
        lacking=lacking,
        collapsed=_collapsed(
            results,
            pair,
            dict.fromkeys(name for row, other, _ in compared for name in (row, other)),
        ),
    )


def _rule(claim: Claim) -> str:
    measured = (
        "mean average precision"
        if claim.metric == "map"
        else claim.metric or claim.fact.replace("_", " ")
    )
    margin = f" by more than {100 * claim.margin:g} %" if claim.margin else ""
    lengths = "every code length that was timed" if claim.fact in TIMED else "every code length"
    return f"{claim.better} {measured} than each of {', '.join(claim.against)} at {lengths}, {TESTS[claim.test]}{margin}"


def _settings(
    results: Results, pair: Pair, rows: list[str], other: str
) -> tuple[str, str, str] | None:
    """The two rows to compare, and whose settings both have; None where no two of a kind were run.

    A row without any parameters, as LSH, is of every kind.
    """
    for words, tuned, encoder in KINDS:
        for row in rows:
            of_row, of_other = (row if kind is THE_ROW else kind for kind in tuned)
            found = _row(results, pair, row, of_row, encoder)
            compared = _row(results, pair, other, of_other, encoder)
            if found and compared:
                return found, compared, words
    return None


def _row(results: Results, pair: Pair, base: str, tuned: str, encoder: str | None) -> str | None:
    """Name of the row that is `base` with parameters of one kind, or with fixed ones on `encoder`.

    Without an encoder the row with fixed parameters is the one of that name, whatever its encoder is.
    """
    for method in results.methods:
        if method["name"] == base and (not tuned or not method["keywords"]) and encoder is None:
            return base
        related = method["base"] == base and method["trial"] is None
        same_kind = (method["tuned"], method["tuned_on"]) == (tuned, pair.dataset if tuned else "")
        if related and same_kind and (tuned or _on(method, encoder)):
            return method["name"]
    return None


def _on(method: dict, encoder: str | None) -> bool:
    return encoder is not None and method["keywords"].get("encoder") == encoder


def _lengths(results: Results, claim: Claim) -> list[int]:
    """The code lengths at which two rows are compared: all, or those that were timed."""
    return (
        results.experiment["timed" if claim.fact in TIMED else "bits"]
        if results.timing or claim.fact not in TIMED
        else []
    )


def _lacking(results: Results, pair: Pair, claim: Claim) -> list[str]:
    if not _lengths(results, claim):
        return ['times taken alone (key "timed" of the configuration)']
    run = _run(results)
    if not run & set(claim.row):
        return [" or ".join(claim.row)]
    unlike = [
        other
        for other in claim.against
        if other in run and not _settings(results, pair, claim.row, other)
    ]
    return [
        *(other for other in claim.against if other not in run),
        *(f"{other} with settings of the same kind" for other in unlike),
    ]


def _run(results: Results) -> set[str]:
    """The rows of the experiment, a row with other settings by its plain name too."""
    return {name for method in results.methods for name in (method["name"], method["base"])}


def _comparison(
    results: Results, pair: Pair, claim: Claim, row: str, other: str, settings: str
) -> Comparison:
    labels = {method["name"]: method["label"] for method in results.methods}
    outcomes = {}
    for bits in _lengths(results, claim):
        outcomes.setdefault(_outcome(results, pair, claim, row, other, bits), []).append(bits)
    return Comparison(labels[row], labels[other], settings, outcomes)


def _outcome(results: Results, pair: Pair, claim: Claim, row: str, other: str, bits: int) -> str:
    value = Value(metric=claim.metric, fact=claim.fact)
    column = Column(value, bits, None, "")
    if any(
        method_cell(results, (*pair, name), bits, column).state != "complete"
        for name in (row, other)
    ):
        return ABSENT
    if claim.test == "apart":
        one, another = (run_values(results, (*pair, name), bits, column) for name in (row, other))
        one, another = (one, another) if claim.better == "higher" else (another, one)
        apart = 1 + claim.margin
        return (
            FOR
            if min(one) > apart * max(another)
            else AGAINST
            if apart * max(one) < min(another)
            else UNDECIDED
        )
    above, below = (
        results.comparisons.get((*pair, bits, *names)) for names in ((row, other), (other, row))
    )
    tested = (
        (*pair, bits, row, other)
        if (*pair, bits, row, other) in results.comparisons
        else (*pair, bits, other, row)
    )
    if results.comparisons.get(tested) is None:
        return UNTESTED
    return FOR if above else AGAINST if below else UNDECIDED


def _words(comparisons: list[Comparison], lacking: bool) -> str:
    """The verdict: what all comparisons at all code lengths together say; lacking: whether rows of the rule were not compared."""
    counts = Counter(dict.fromkeys((FOR, AGAINST, UNDECIDED, UNTESTED, ABSENT), 0))
    for comparison in comparisons:
        counts.update({what: len(lengths) for what, lengths in comparison.outcomes.items()})
    if not counts[FOR] + counts[AGAINST] and (
        counts[UNTESTED] or counts[ABSENT] or not counts[UNDECIDED]
    ):
        return "cannot be said"
    if counts[FOR] == counts.total():
        return "holds (of the rows compared)" if lacking else "holds"
    decided = f"{counts[FOR]} of {counts.total()} comparisons in favour, {counts[AGAINST]} against"
    if counts[FOR] and not counts[AGAINST]:
        return f"holds in part ({decided})"
    if counts[FOR]:
        return f"holds in places only ({decided})"
    return f"does not hold ({decided})" if counts[AGAINST] else f"finds no support ({decided})"


def _collapsed(results: Results, pair: Pair, names: dict[str, None]) -> list[str]:
    labels = {method["name"]: method["label"] for method in results.methods}
    found = []
    for name in names:
        for bits in results.experiment["bits"]:
            collapse = method_cell(
                results, (*pair, name), bits, Column(Value(metric="map"), bits, None, "")
            ).collapse
            if collapse:
                found.append(f"{labels[name]} at {bits} bits ({collapse.words})")
    return found


def _told(outcomes: dict[str, list[int]]) -> str:
    return "; ".join(f"at {listed(lengths)} bits {what}" for what, lengths in outcomes.items())


def listed(items: list) -> str:
    """Items in words, as in 12, 24 and 48."""
    return " and ".join(filter(None, [", ".join(map(str, items[:-1])), str(items[-1])]))
