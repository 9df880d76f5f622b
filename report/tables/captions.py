"""Sentences below a table: how to read its cells, protocols and provenance."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator

import numpy as np

from harness.schemas import VERDICTS
from harness.variants import QUANTISERS
from report.results import Pair, Results
from report.tables.cells import NOT_PLANNED_CELL
from report.tables.table import DAGGER, NEAR_COLLAPSE, Cell, Column, Panel, Row, cells_of
from report.tables.table_specs import TableSpec

MAX_NAMES = 3  # up to this number, pairs of methods and cells are named; more are counted
CHOSEN_BY = {  # the metric by which parameters were chosen
    "map": "mean mAP over code lengths on validation labels",
    "neighbour_recall@k": "the share of neighbours by features among the first, without labels",
}
OWN = "own"  # of a row whose settings were tuned for the row itself
NOT_TESTED = next(words for words, verdict in VERDICTS.items() if verdict is None)


def filled(spec: TableSpec) -> str:
    """Return the note of a table with its cut filled in."""
    return spec.note.replace("{k}", f"{spec.k:,}") if isinstance(spec.k, int) else spec.note


def spreads(results: Results, pairs: list[Pair]) -> Iterator[str]:
    """Yield how much repeated searches differ; nothing for times of an earlier version."""
    ratios = []
    for (*pair, _, _), row in results.timing.items():
        for name in ("search", "rerank"):
            median, spread = (row.get(f"{name}{part}_microseconds", "") for part in ("", "_spread"))
            if tuple(pair) in pairs and median and spread:
                ratios.append(float(spread) / float(median))

    if ratios:
        yield (
            "Times of a search are medians of three repetitions, which differ by at most "
            f"{100 * max(ratios):.0f} % of the median."
        )


# ---------------------------------------------------------------- how to read the cells


def conventions(results: Results, spec: TableSpec, panels: list[Panel]) -> Iterator[str]:
    """Yield how cells are to be read; each sentence only if the table has such a cell."""
    cells = cells_of(panels)
    has_metric = any(value.metric for value in spec.values)

    seeds = len(results.experiment["seeds"])
    if any(cell.deviation for cell in cells):
        yield (
            f"Mean ± standard deviation (n \N{MINUS SIGN} 1) over {seeds} seeds. A method without "
            "randomness runs once and has no deviation."
        )
    elif cells and seeds > 1 and has_metric:
        yield f"Mean over {seeds} seeds. A method without randomness runs once."
    yield from _fewer_seeds(results, panels)

    if has_metric:
        yield from _tuning(results, panels)

    if any(cell.best for cell in cells):
        yield "The best printed value of a column is bold, and so are all values equal to it."
        if any(value.metric == "map" for value in spec.values):
            yield _significance(results, cells)
            yield from _detectable(results, panels)

    if any(cell.interval for cell in cells):
        yield (
            "In brackets: the 95 % interval of the mean, from the variance over queries and over "
            "seeds (over queries only if there is one run). It holds for this "
            "split of the data, not for others."
        )

    controls = {row.name for panel in panels for row in panel.controls}
    if controls:
        yield "Below the rule: rankings by real-valued features, which are not upper bounds."
    if not controls.isdisjoint(QUANTISERS):
        yield "Quantised features are ranked by asymmetric distance, and are no hash codes."
    if NOT_PLANNED_CELL in cells:
        yield f"{NOT_PLANNED_CELL.text}: {NOT_PLANNED_CELL.detail}."
    yield from marks(cells)


def _significance(results: Results, cells: list[Cell]) -> str:
    if any(cell.dagger for cell in cells):
        others = "every other method of its column"
        if any(cell.state not in ("complete", "omitted") for cell in cells):
            others += " whose seeds are all done"
        return (
            f"{DAGGER}: significantly higher than {others}, by a t-test on average precision that "
            "is paired over the queries and whose variance is that over queries and over seeds "
            "(two-sided, p < 0.05 divided by the number of code lengths of the table; the closest "
            "method decides)."
        )

    sentence = f"No {DAGGER}: no method is significantly higher than all others of its column"
    if any(comparison.p is None for comparison in results.comparisons.values()):
        return f"{sentence}; some comparisons are not tested ({NOT_TESTED})."

    return f"{sentence}."


def _detectable(results: Results, panels: list[Panel]) -> Iterator[str]:
    """Yield the smallest differences between the best row and another one that a test detects."""
    smallest = []
    for panel in panels:
        names = {row.name for row in panel.rows}
        best = {row.name for row in panel.rows for cell in row.cells if cell.best}
        for (*pair, _, name, other), comparison in results.comparisons.items():
            is_shown = tuple(pair) == panel.pair and {name, other} <= names
            if is_shown and {name, other} & best:
                smallest.append(comparison.detectable)

    if not smallest:
        return

    low, high = f"{min(smallest):.3f}", f"{max(smallest):.3f}"
    span = low if low == high else f"{low} to {high}, by the two methods and the code length"
    yield (
        f"Smallest difference from the best method that this test detects with power 0.8: {span}."
    )


def marks(cells: list[Cell]) -> Iterator[str]:
    """Yield what the marks beside a mean stand for: missing seeds and near-collapses."""
    seeds = next((cell.seeds for cell in cells if cell.seeds), "")
    if seeds:
        words = seeds.replace("/", " of ")
        yield f"{seeds} beside a mean: over the {words} seeds that are done; never bold."

    collapses = [cell.collapse for cell in cells if cell.collapse]
    if collapses:
        # A mark that counts seeds explains those that do not.
        example = max(collapses, key=lambda collapse: collapse.runs)
        share = f"{100 * NEAR_COLLAPSE:g} % of the items or of all codes"
        yield (
            f"{example.mark}: {example.words}, fewer distinct codes than {share}. These runs are "
            "in the mean."
        )


def _fewer_seeds(results: Results, panels: list[Panel]) -> Iterator[str]:
    """Yield which cells have fewer planned seeds than others, as in a table of joined results."""
    planned = len(results.experiment["seeds"])
    with_seeds = {method["name"] for method in results.methods if method["stochastic"]}
    rows = {(panel.pair, row.name) for panel in panels for row in panel.rows}
    fewer: dict[int, dict[str, set[int]]] = {}
    for (*pair, name, bits), runs in results.runs.items():
        if (tuple(pair), name) in rows and name in with_seeds and len(runs) < planned:
            of_count = fewer.setdefault(len(runs), {})
            of_count.setdefault(results.labels[name], set()).add(bits)

    for seeds, cells in sorted(fewer.items()):
        texts = [
            f"{label} at {', '.join(map(str, sorted(lengths)))} bits"
            for label, lengths in cells.items()
        ]
        yield f"Over {seeds} seed{'s' if seeds > 1 else ''}: {'; '.join(texts)}."


def _tuning(results: Results, panels: list[Panel]) -> Iterator[str]:
    """Yield which rows have settings that were chosen with the labels of validation queries."""
    names = {row.name for panel in panels for row in panel.rows}
    kinds = {method.get("tuned", "") for method in results.methods if method["name"] in names}
    if not kinds - {""}:
        return

    tried = results.experiment.get("tried", {})
    counts, metrics = set(), set()
    for dataset in tried.values():
        counts.update(method["settings_tried"] for method in dataset["methods"].values())
        metrics.add(CHOSEN_BY[dataset["metric"]])

    trials = " or ".join(str(count) for count in sorted(counts))
    yield (
        f"(tuned): the best of {trials} settings by {' or '.join(sorted(metrics))}, with queries "
        "and database from the training part and other seeds; then trained on the whole training "
        "part."
    )
    for base in sorted(kinds - {"", OWN}):
        label = results.labels.get(base, base)
        yield (
            f"({label}'s tuning): the setting chosen for {label}, if another one was chosen for "
            "the row itself."
        )

    elsewhere = {}
    for pair in dict.fromkeys(panel.pair for panel in panels):
        chosen_on = tried.get(pair.dataset, {}).get("features", pair.features)
        if chosen_on != pair.features:
            elsewhere[pair.dataset] = f"{chosen_on} for {pair.dataset}"

    if elsewhere:
        yield f"Chosen on other features: {', '.join(elsewhere.values())}."

    yield "Other rows: default settings, the same for all data sets."


# -------------------------------------------------------------------------- protocols


def protocols(results: Results, pairs: list[Pair], spec: TableSpec) -> list[str]:
    """Return a sentence for each data set; features with the same sentence share it."""
    has_metric = any(value.metric for value in spec.values)
    labels_by_sentence: dict[str, list[str]] = {}
    for pair in pairs:
        sentence = _protocol(results, pair, has_metric)
        labels_by_sentence.setdefault(sentence, []).append(results.label(pair))
    return [f"{'; '.join(labels)}: {text}" for text, labels in labels_by_sentence.items()]


def _protocol(results: Results, pair: Pair, has_metric: bool) -> str:
    """Return protocol, sizes and rules of a data set; with a metric also what is relevant."""
    dataset = results.experiment["datasets"][pair.dataset]
    if "sizes" not in dataset:
        return "the data set is not prepared."

    sizes = dataset["sizes"]
    facts = [
        f"protocol {dataset['protocol']}",
        f"{sizes['query']:,} queries",
        f"database of {sizes['database']:,}",
        f"{sizes['train']:,} training images",
    ]
    if has_metric:
        facts += [_relevant(results, pair), _omitted_queries(results, pair)]
    if dataset.get("duplicate_queries"):
        facts.append(f"{dataset['duplicate_queries']:,} queries equal a database image")

    ours = [rule["rule"].rstrip(".") for rule in dataset["rules"] if rule["source"] == "ours"]
    rules = f"Rules of ours: {'; '.join(ours)}." if ours else "All rules as published."
    return f"{', '.join(facts)}. {rules}"


def _relevant(results: Results, pair: Pair) -> str:
    share = results.chance(pair, "relevant_share")
    if share is None:
        return "share of relevant items unknown, since no run is scored"
    return f"share of relevant items {share:.3f}"


def _omitted_queries(results: Results, pair: Pair) -> str:
    count = results.experiment.get("queries_left_out", {}).get("/".join(pair), 0)
    if not count:
        return "all queries used"
    noun = "query" if count == 1 else "queries"
    return f"{count:,} {noun} without a relevant item omitted"


# ------------------------------------------------------------------ orders of methods


def orders(panels: list[Panel], columns: list[Column]) -> list[str]:
    """Return which pairs of methods the first column and another column order differently."""
    panels_by_sentence: dict[str, list[str]] = {}
    for panel in panels:
        rows = [row for row in panel.rows if row.cells[0].state == "complete"]
        if len(rows) < 2:
            continue
        panels_by_sentence.setdefault(_order_sentence(rows, columns), []).append(panel.label)

    return [f"{'; '.join(labels)}: {text}" for text, labels in panels_by_sentence.items()]


def _order_sentence(rows: list[Row], columns: list[Column]) -> str:
    # Numbers are compared as printed: what cannot be seen is no difference.
    printed = np.array([_printed(row) for row in rows])  # (rows, columns)
    one, other = np.triu_indices(len(rows), k=1)  # of each pair
    differences = printed[one] - printed[other]  # (pairs, columns)
    swapped = differences[:, :1] * differences < 0  # false where a number is missing

    texts = []
    for index, column in enumerate(columns):
        pairs = [(rows[one[i]], rows[other[i]]) for i in np.flatnonzero(swapped[:, index])]
        if pairs:
            texts.append(f"{column.label}: {_named_pairs(pairs)}")

    start = f"of {len(one)} pairs of methods ordered by {columns[0].label}"
    if not texts:
        return f"{start}, all have the same order under every convention."

    return f"{start}, these have another order under {'; '.join(texts)}."


def _printed(row: Row) -> list[float]:
    """Return the numbers of a row as printed; NaN for a cell that is not complete."""
    numbers = []
    for cell in row.cells:
        complete = cell.state == "complete"
        numbers.append(float(cell.text.replace(",", "")) if complete else np.nan)
    return numbers


def _named_pairs(pairs: list[tuple[Row, Row]]) -> str:
    if len(pairs) > MAX_NAMES:
        return f"{len(pairs)} pairs"
    return ", ".join(f"{one.label} and {other.label}" for one, other in pairs)


# ------------------------------------------------------------------------ provenance


def mixtures(results: Results, panels: list[Panel], columns: list[Column]) -> Iterator[str]:
    """Yield which cells have seeds that were run with other versions or on other processors."""
    cells_by_difference: dict[str, dict[tuple, str]] = {}
    for panel, column in itertools.product(panels, columns):
        bits = panel.bits if column.bits is None else column.bits
        for row in panel.rows:
            runs = results.runs.get((*panel.pair, row.name, bits), [])
            done = [run for run in runs if run["status"] == "done"]
            cell = f"{row.label}, {bits} bits, {results.label(panel.pair)}"
            for difference in _differences(done):
                cells = cells_by_difference.setdefault(difference, {})
                cells[panel.pair, row.name, bits] = cell

    texts = []
    for difference, cells in cells_by_difference.items():
        named = "; ".join(cells.values()) if len(cells) <= MAX_NAMES else f"{len(cells)} cells"
        texts.append(f"{difference} ({named})")

    if texts:
        yield (
            "Seeds of one cell were run with different versions or on different processors: "
            f"{'; '.join(texts)}."
        )


def _differences(runs: list[dict]) -> Iterator[str]:
    """Yield how the runs of one cell differ; of versions, only if several runs have the package."""
    versions: dict[str, dict[str, None]] = {}
    for run in runs:
        for package, version in json.loads(run["versions"] or "{}").items():
            versions.setdefault(package, {})[version] = None

    for package, numbers in versions.items():
        if len(numbers) > 1:
            yield f"{package} {_alternatives(numbers)}"

    processors = dict.fromkeys(run["processor"] for run in runs)
    if len(processors) > 1:
        yield f"processors {_alternatives(processors)}"


def _alternatives(texts: Iterable[str]) -> str:
    *first, last = sorted(texts)
    return f"{', '.join(first)} and {last}"


def measured(results: Results) -> str:
    """Return the commit and the date of the measured rows beside published ones."""
    experiment = results.experiment
    return f"Measured: commit {experiment['commit'][:12]}, {experiment['date'][:10]}."


def provenance(results: Results, pairs: list[Pair]) -> str:
    """Return the commit and the date of the results, and the features of these data sets."""
    experiment = results.experiment
    commit = experiment["commit"][:12] + (" (modified)" if experiment["dirty"] else "")
    sentences = [f"Commit {commit}, {experiment['date'][:10]}."]

    if experiment["partial"]:
        states = [run["status"] for run in results.all_runs()]
        done = f"{states.count('done'):,} of {len(states):,}"
        sentences.insert(0, f"Partial: {done} runs are done.")

    features = dict.fromkeys(
        _features_sentence(experiment["features"]["/".join(pair)]) for pair in pairs
    )
    if features:
        sentences.append(f"Features: {'; '.join(features)}.")

    tasks = [_task(results, pair) for pair in pairs]
    if any(tasks):
        version = experiment.get("metric_version", "unknown")
        sentences.append(f"Task: {'; '.join(filter(None, tasks))}; metrics version {version}.")

    return " ".join(sentences)


def _task(results: Results, pair: Pair) -> str:
    """Return data set, features and split, which decide whether two tables can be compared."""
    split = results.experiment["datasets"][pair.dataset].get("split_sha256")
    return f"{'/'.join(pair)}, split {split[:12]}" if split else ""


def _features_sentence(features: dict) -> str:
    dimensions = features["dimensions"]
    size = f"{dimensions:,} dimensions" if dimensions else "not prepared"
    facts = filter(None, [size, features["note"].rstrip(".")])
    return f"{features['label']} ({'; '.join(facts)})"
