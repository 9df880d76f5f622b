"""Captions and notes of tables: conventions, protocols and provenance."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator

from report.results import Pair, Results
from report.tables.table import DAGGER, NEAR_COLLAPSE, Cell, Column, Panel, Row
from report.tables.table_specs import TableSpec

NAMED = 3  # up to so many pairs of methods are named, more are counted


def conventions(results: Results, entry: TableSpec, panels: list[Panel]) -> Iterator[str]:
    """The sentences of a caption that say how its cells are to be read; each only where the table has such a cell."""
    cells = [cell for panel in panels for row in panel.rows for cell in row.cells]
    seeds = len(results.experiment["seeds"])
    if any(cell.deviation for cell in cells):
        yield f"Mean ± standard deviation (n \N{MINUS SIGN} 1) over {seeds} seeds; a method without randomness runs once, with none."
    elif cells and seeds > 1 and any(value.metric for value in entry.values):
        yield f"Mean over {seeds} seeds; a method without randomness runs once."
    yield from _settings(results, entry, panels)
    if any(cell.best for cell in cells):
        yield "Best in bold, by the printed digits; ties all."
    if any(cell.dagger for cell in cells):
        all_others = "every other method of its column"
        all_others += (
            " that has all its seeds"
            if any(cell.state not in ("complete", "omitted") for cell in cells)
            else ""
        )
        yield (
            f"{DAGGER}: higher than {all_others}, by a t-test on average precision, paired over the queries, whose variance is that over "
            f"queries and that over seeds (p < 0.05, two-sided, Holm's correction over all {len(results.comparisons):,} comparisons of two "
            "methods at one code length of this experiment)."
        )
    elif any(cell.best and value.metric == "map" for value in entry.values for cell in cells):
        yield f"No {DAGGER}: no method is significantly higher than all others of its column{_for_want_of_seeds(results)}."
    if any(cell.interval for cell in cells):
        yield (
            "In brackets: the 95 % interval of the mean, by Student's t with the variance over queries and that over seeds (queries alone "
            "where there is one run). The split is fixed: the interval says nothing of other splits."
        )
    if any(panel.controls for panel in panels):
        yield "Below the rule: rankings by real-valued features; not upper bounds."
    yield from marks(cells)


def marks(cells: list[Cell]) -> Iterator[str]:
    """What stands beside a mean that lacks seeds, or that a collapse is in."""
    if lowered := [cell.seeds for cell in cells if cell.seeds]:
        yield f"{lowered[0]} beside a mean: over the {lowered[0].replace('/', ' of ')} seeds that are done; never in bold."
    if collapses := [cell.collapse for cell in cells if cell.collapse]:
        example = max(
            collapses, key=lambda collapse: collapse.runs
        )  # one that counts seeds explains those that do not
        share = f"{100 * NEAR_COLLAPSE:g} % of the items or of all codes"
        yield f"{example.mark}: {example.words}, fewer distinct codes than {share}; still in the mean."


def _for_want_of_seeds(results: Results) -> str:
    return (
        "; methods with randomness are not tested with fewer than 3 seeds"
        if None in results.comparisons.values()
        else ""
    )


def _settings(results: Results, entry: TableSpec, panels: list[Panel]) -> Iterator[str]:
    """Whether rows have settings that were chosen with labels, those of the validation queries."""
    shown = {row.name for panel in panels for row in panel.rows}
    kinds = {method.get("tuned", "") for method in results.methods if method["name"] in shown}
    if not any(value.metric for value in entry.values) or not kinds - {""}:
        return
    tried = results.experiment["tried"]
    counts = sorted(
        {
            len(method["trials"])
            for dataset in tried.values()
            for method in dataset["methods"].values()
        }
    )
    yield (
        f"(tuned): the best of {' or '.join(map(str, counts))} settings by mean mAP over code lengths on validation labels, queries and"
        " database both from the training part, one other seed; then trained on the whole of it."
    )
    for name in sorted(kinds - {"", "own"}):
        label = _tuned_label(results, name)
        yield (
            f"({label}'s tuning): the setting so chosen for {label}, "
            "where another was chosen for the row itself."
        )
    pairs = {panel.pair for panel in panels}
    elsewhere = [
        name
        for name in tried
        if any(pair.dataset == name and pair.features != tried[name]["features"] for pair in pairs)
    ]
    if elsewhere:
        chosen = ", ".join(f"{tried[name]['features']} for {name}" for name in elsewhere)
        yield f"Chosen on other features: {chosen}."
    yield "Other rows: fixed settings, the same for all data sets."


def _tuned_label(results: Results, name: str) -> str:
    """The label of a method whose parameters were chosen."""
    labels = [dataset["methods"].get(name) for dataset in results.experiment["tried"].values()]
    return next((method["label"] for method in labels if method), name)


def protocols(results: Results, pairs: list[Pair], entry: TableSpec) -> list[str]:
    """A sentence on each data set, said once of all its features."""
    said = {}
    for pair in pairs:
        said.setdefault(_protocol(results, pair, entry), []).append(results.label(pair))
    return [f"{'; '.join(labels)}: {told}" for told, labels in said.items()]


def _protocol(results: Results, pair: Pair, entry: TableSpec) -> str:
    """One sentence on a data set: protocol, sizes, which rules are ours; for metrics what is relevant, and queries left out."""
    dataset = results.experiment["datasets"][pair.dataset]
    if "sizes" not in dataset:
        return "the data set was not prepared."
    sizes = dataset["sizes"]
    parts = [
        f"protocol {dataset['protocol']}",
        f"{sizes['query']:,} queries",
        f"database of {sizes['database']:,}",
    ]
    parts.append(f"{sizes['train']:,} training images")
    if any(value.metric for value in entry.values):
        parts += [_relevant(results, pair), _left_out(results, pair)]
    ours = [rule["rule"].rstrip(".") for rule in dataset["rules"] if rule["source"] == "ours"]
    rules = f"Rules of ours: {'; '.join(ours)}." if ours else "All rules as published."
    return f"{', '.join(parts)}. {rules}"


def _relevant(results: Results, pair: Pair) -> str:
    share = results.chance(pair, "relevant_share")
    return (
        "share of relevant items not known, no run is scored"
        if share is None
        else f"share of relevant items {share:.3f}"
    )


def _left_out(results: Results, pair: Pair) -> str:
    count = results.experiment.get("queries_left_out", {}).get("/".join(pair), 0)
    return (
        f"{count:,} {'query' if count == 1 else 'queries'} without a relevant item left out"
        if count
        else "no query left out"
    )


def orders(panels: list[Panel], columns: list[Column]) -> Iterator[str]:
    """Which pairs of methods the first column puts in one order and another column in the other; one sentence for panels alike."""
    said = {}
    for panel in panels:
        pairs = list(itertools.combinations([row for row in panel.rows if _shown(row.cells[0])], 2))
        swapped = {
            column.label: [pair for pair in pairs if _swapped(*pair, place)]
            for place, column in enumerate(columns)
        }
        listed = [f"{label}: {_named(found)}" for label, found in swapped.items() if found]
        if pairs:
            told = (
                f"in another order under {'; '.join(listed)}"
                if listed
                else "in the same order under every convention"
            )
            said.setdefault(
                f"of {len(pairs)} pairs of methods ordered by {columns[0].label}, {told}.", []
            ).append(panel.label)
    return (f"{'; '.join(labels)}: {told}" for told, labels in said.items())


def _swapped(one: Row, other: Row, place: int) -> bool:
    differences = [
        _number(one.cells[at]) - _number(other.cells[at])
        for at in (0, place)
        if _shown(one.cells[at], other.cells[at])
    ]
    return len(differences) == 2 and differences[0] * differences[1] < 0


def _shown(*cells: Cell) -> bool:
    return all(cell.state == "complete" for cell in cells)


def _number(cell: Cell) -> float:
    return float(cell.text.replace(",", ""))  # as printed: what cannot be seen is no difference


def _named(pairs: list[tuple[Row, Row]]) -> str:
    if len(pairs) > NAMED:
        return f"{len(pairs)} pairs"
    return ", ".join(f"{one.label} and {other.label}" for one, other in pairs)


def mixtures(results: Results, panels: list[Panel], columns: list[Column]) -> Iterator[str]:
    """State which cells have seeds that were run with different versions or on different processors, in one sentence."""
    cells = {}
    for panel, column in itertools.product(panels, columns):
        bits = panel.bits if column.bits is None else column.bits
        for row in panel.rows:
            runs = results.runs.get((*panel.pair, row.name, bits), [])
            for difference in _differences([run for run in runs if run["status"] == "done"]):
                cell = f"{row.label}, {bits} bits, {results.label(panel.pair)}"
                cells.setdefault(difference, {})[panel.pair, row.name, bits] = cell
    if cells:
        listed = [
            f"{difference} ({_few(list(found.values()), 'cells')})"
            for difference, found in cells.items()
        ]
        yield f"Seeds of one cell were run with different versions or on different processors: {'; '.join(listed)}."


def _differences(runs: list[dict]) -> Iterator[str]:
    """How the runs of one cell differ; of versions, only those of packages that several runs imported."""
    versions = {}
    for run in runs:
        for package, version in json.loads(run["versions"] or "{}").items():
            versions.setdefault(package, {})[version] = None
    for package, found in versions.items():
        if len(found) > 1:
            yield f"{package} {_alternatives(found)}"

    processors = dict.fromkeys(run["processor"] for run in runs)
    if len(processors) > 1:
        yield f"processors {_alternatives(processors)}"


def _alternatives(texts: Iterable[str]) -> str:
    *first, last = sorted(texts)
    return f"{', '.join(first)} and {last}"


def _few(texts: list[str], noun: str) -> str:
    return "; ".join(texts) if len(texts) <= NAMED else f"{len(texts)} {noun}"


def provenance(results: Results, pairs: list[Pair]) -> str:
    experiment = results.experiment
    commit = experiment["commit"][:12] + (" (modified)" if experiment["dirty"] else "")
    noted = dict.fromkeys(_features_note(experiment["features"]["/".join(pair)]) for pair in pairs)
    states = [run["status"] for run in results.all_runs()]
    partial = (
        f"Partial: {states.count('done'):,} of {len(states):,} runs are done. "
        if experiment["partial"]
        else ""
    )
    return f"{partial}Commit {commit}, {experiment['date'][:10]}." + (
        f" Features: {'; '.join(noted)}." if noted else ""
    )


def _features_note(features: dict) -> str:
    dimensions = (
        f"{features['dimensions']:,} dimensions" if features["dimensions"] else "not prepared"
    )
    return f"{features['label']} ({'; '.join(filter(None, [dimensions, features['note'].rstrip('.')]))})"
