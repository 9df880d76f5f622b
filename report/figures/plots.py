"""Plots of metrics and times against code length, and of precision against recall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, NullLocator

from harness.variants import QUANTISERS, control_bits
from report.figures.figure import Figure, Trace, finished
from report.figures.parallel import in_parallel
from report.figures.plot_style import (
    CHANCE,
    CHANCE_NAME,
    canvas_of,
    chance_look,
    control_look,
    control_marker,
    legend_columns,
    look,
    printed_label,
    printed_pair,
    report_style,
    shortened,
)
from report.figures.points import (
    Points,
    as_points,
    cells_of,
    incomplete_points,
    incomplete_sentence,
    leading,
    leading_sentence,
    points_of_cells,
)
from report.figures.ranking import ranking
from report.results import Pair, Results
from report.tables.cells import FEATURE_BYTES, TIMING_VALUES, stored_bytes
from report.tables.table import Cell
from report.tables.table_specs import FigureSpec, Value, read_figures, selected

RERANKING = ("map_reranked@k", 1000)  # metric and cut
Numbers = tuple[np.ndarray, np.ndarray, Points]  # x and y of a line, and its points


def draw(results: Results, processes: int = 1) -> list[Figure]:
    """Return every figure that the results have data for.

    Parameters
    ----------
    results : Results
    processes : int
        Number of processes that draw.

    Returns
    -------
    list of Figure
        First the overview, or the ranking if there is one code length; then those of each data set
        and features, and those that the configuration asks for.
    """
    has_lengths = len(results.experiment["bits"]) > 1
    jobs = [partial(overview if has_lengths else ranking, results)]
    for pair in results.pairs:
        kinds = (quality_and_cost, precision_at_k, by_rank, by_radius, times)
        jobs += [partial(kind, results, pair) for kind in kinds]

    specs = read_figures(results.experiment.get("figures") or [])
    jobs += [partial(own_figure, results, spec) for spec in specs]

    with report_style():
        return [figure for figure in in_parallel(jobs, processes) if figure]


def overview(results: Results) -> Figure | None:
    """Draw mAP against bits, with a panel for each data set and features."""
    methods = leading(results, results.pairs)
    labels = _legend_labels(results, _by_last_point(results, methods))
    canvas, axes = canvas_of(len(results.pairs), labels, "mAP over all ranks")
    traces, incomplete = [], []
    for axis, pair in zip(axes, results.pairs, strict=True):
        lines, points = _lines(axis, results, pair, methods, Value(metric="map"), "mAP")
        traces += lines + _control_lines(axis, results, pair, "mAP")
        traces += _chance_line(axis, results, pair, "map_chance", results.experiment["bits"])
        incomplete += points
        axis.set_title(printed_pair(results, pair), y=1.0)

    axes[0].set_ylim(bottom=0)  # the axes share their limits, which the last line completes

    sentences = ["Mean average precision over all ranks (expected over ties) against code length"]
    if any(trace.deviation for trace in traces):
        sentences.append("Bars are one standard deviation over seeds")

    if results.controls:
        sentences.append(
            "Lines without markers are rankings by real-valued features, which are not upper "
            "bounds, and the chance level"
        )
        names = {control["name"] for control in results.controls}
        if not names.isdisjoint(QUANTISERS):
            sentences.append("Those of quantised features are reference lines, not hashes")
    else:
        sentences.append("The straight line is the chance level")

    caption = ". ".join(sentences) + "." + incomplete_sentence(incomplete)
    title = "Mean average precision against code length"
    caption += leading_sentence(results, methods)
    return _finish(canvas, traces, labels, ("overview", title, caption))


def precision_at_k(results: Results, pair: Pair) -> Figure | None:
    """Draw precision at k against k, with a panel for each code length."""
    cuts: dict[tuple, dict[int, list[float]]] = {}
    for (*key, metric, k), values in results.scores.items():
        if tuple(key[:2]) == pair and metric == "precision@k":
            cuts.setdefault(tuple(key), {})[k] = list(values.values())

    def curve(key: tuple) -> Numbers | None:
        if key not in cuts:
            return None
        series = dict(sorted(cuts[key].items()))
        k = np.array(list(series))
        means = np.array([np.mean(values) for values in series.values()])
        deviations = [_deviation(values) for values in series.values()]
        return k, means, as_points(k, means, deviations)

    caption = "Expected precision at k, mean over queries and over the seeds that are done."
    words = ("precision-at-k", "Precision at k", caption)
    return _curves(results, pair, words, curve, ("k", "Precision@k"), logarithmic=True)


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else np.nan


def by_rank(results: Results, pair: Pair) -> Figure | None:
    """Draw precision against recall at ranks from 1 to the whole database."""
    caption = (
        "Expected precision and recall at ranks from 1 to the whole database, mean over queries "
        "and over the seeds that are done. Papers usually show this curve."
    )
    words = ("precision-recall-by-rank", "Precision and recall by rank", caption)
    curve = _recall_precision(results, "pr_rank", "rank")
    return _curves(results, pair, words, curve, ("Recall", "Precision"))


def by_radius(results: Results, pair: Pair) -> Figure | None:
    """Draw precision against recall within each Hamming radius."""
    caption = (
        "Precision and recall of the items within a Hamming radius, one point per radius. A query "
        "without an item within the radius counts as precision 0 and recall 0. Mean over queries "
        "and over the seeds that are done."
    )
    words = ("precision-recall-by-radius", "Precision and recall by Hamming radius", caption)
    curve = _recall_precision(results, "pr", "radius")
    return _curves(results, pair, words, curve, ("Recall", "Precision"))


def times(results: Results, pair: Pair) -> Figure | None:
    """Draw seconds to fit and microseconds to encode an image, against bits, logarithmically."""
    quantities = {"fit_seconds": "Fit (s)", "encode_microseconds": "Encode (µs per image)"}
    methods = leading(results, [pair])
    labels = _legend_labels(results, methods)
    canvas, axes = canvas_of(len(quantities), labels)
    traces, incomplete = [], []
    for axis, (fact, label) in zip(axes, quantities.items(), strict=True):
        value = Value(fact=fact, deviation=False)
        lines, incomplete = _lines(axis, results, pair, methods, value, label)
        traces += lines
        axis.set_yscale("log")
        _plain_ticks(axis.yaxis)
        axis.set_title(label, y=1.0)

    caption = (
        "Wall time against code length, mean over the seeds that are done, on a logarithmic scale."
        + incomplete_sentence(incomplete)
        + leading_sentence(results, methods)
    )
    name = f"time--{pair.file_part}"
    title = f"Time to fit and to encode: {results.label(pair)}"
    return _finish(canvas, traces, labels, (name, title, caption))


def quality_and_cost(results: Results, pair: Pair) -> Figure | None:
    """Draw mAP against bytes per image, and against the time of a search if it was measured.

    Without quantised features, re-ranking and times, it would show what the overview shows.
    """
    is_timed = any(key[:2] == pair for key in results.timing)
    is_reranked = any(key[:2] == pair and key[-2:] == RERANKING for key in results.scores)
    names = {control["name"] for control in results.controls}
    if not is_timed and not is_reranked and names.isdisjoint(QUANTISERS):
        return None

    costs_of = {"Bytes per image": partial(_bytes, results, pair)}
    if is_timed:
        costs_of["Search (µs per query)"] = partial(_search_microseconds, results, pair)

    methods = leading(results, [pair])
    labels = _legend_labels(results, methods)
    canvas, axes = canvas_of(len(costs_of), labels, "mAP over all ranks")
    traces = []
    for axis, (label, cost_of) in zip(axes, costs_of.items(), strict=True):
        draw_line = partial(_cost_line, axis, results, pair, cost_of)
        for index, method in enumerate(results.methods):
            if method in methods:
                traces += draw_line(method, look(index), ("map", None))
                open_markers = look(index) | {"markerfacecolor": "none", "linewidth": 0.6}
                traces += draw_line(method, open_markers, RERANKING)

        for index, control in enumerate(results.controls):
            style = control_look(index, control["name"]) | {"marker": control_marker(index)}
            traces += draw_line(control, style, ("map", None))

        axis.set_xlabel(label)
        axis.set_xscale("log")
        _plain_ticks(axis.xaxis)

    sentences = [
        "Mean average precision against the bytes that are stored for an image, on a logarithmic "
        "scale",
        "Each point is one code length, the mean over the seeds that are done",
    ]
    if is_timed:
        sentences.append(
            "The second panel has the time in which one query finds its 100 nearest items in the "
            "whole database, on an otherwise idle machine, at the code lengths that were timed"
        )

    if is_reranked:
        sentences.append(
            "Open markers are the same codes, re-ranked: the first 1,000 items are ordered by "
            "their float32 features, which are stored too"
        )

    if results.controls:
        sentences.append("Rankings by real-valued features are not hash codes")

    name = f"quality-and-cost--{pair.file_part}"
    title = f"Quality against storage and time: {results.label(pair)}"
    caption = ". ".join(sentences) + "." + leading_sentence(results, methods)
    return _finish(canvas, traces, labels, (name, title, caption))


def _cost_line(
    axis: Axes,
    results: Results,
    pair: Pair,
    cost_of: Callable[[dict, int, bool], float | None],
    entry: dict,
    style: dict,
    metric: tuple[str, int | None],
) -> list[Trace]:
    """Draw a metric of a method or control against its cost, where both are known."""
    costs, means = [], []
    is_control = entry in results.controls
    lengths = results.experiment["bits"]
    if is_control:
        lengths = list(dict.fromkeys(control_bits(entry["name"], bits) for bits in lengths))
    for bits in lengths:
        cost = cost_of(entry, bits, metric == RERANKING)
        values = results.scores.get((*pair, entry["name"], bits, *metric))
        if cost is not None and values:
            costs.append(cost)
            means.append(float(np.mean(list(values.values()))))

    if not costs:
        return []

    label = "_nolegend_" if metric == RERANKING else printed_label(entry)
    line = axis.plot(costs, means, label=label, **style)
    costs = [f"{cost:.4g}" for cost in costs]
    return [Trace(entry["name"], axis, line, "mAP", **as_points([], means) | {"x": costs})]


def _bytes(results: Results, pair: Pair, entry: dict, bits: int, is_reranked: bool) -> float | None:
    """Return what a method or control stores for an image."""
    dimensions = results.experiment["features"]["/".join(pair)]["dimensions"]
    if entry in results.controls:
        return stored_bytes(entry["name"], dimensions, bits) if dimensions else None
    code_bytes = -(-bits // 8)
    if not is_reranked:
        return code_bytes
    return code_bytes + FEATURE_BYTES * dimensions if dimensions else None


def _search_microseconds(
    results: Results, pair: Pair, entry: dict, bits: int, is_reranked: bool
) -> float | None:
    """Return the measured time of a search; None if it was not measured."""
    row = results.timing.get((*pair, entry["name"], bits))
    fact = "rerank_microseconds" if is_reranked else "search_microseconds"
    return TIMING_VALUES[fact](row) if row else None


def own_figure(results: Results, spec: FigureSpec) -> Figure | None:
    """Draw a figure of the key `figures` of the configuration: one value against code length."""
    datasets = selected(spec.select, "datasets", list(results.experiment["datasets"]))
    pairs = [pair for pair in results.pairs if pair.dataset in datasets]
    methods = leading(results, pairs)
    if "methods" in spec.select:
        names = spec.select["methods"]
        methods = [method for method in results.methods if method["name"] in names]
    lengths = selected(spec.select, "bits", results.experiment["bits"])
    if not pairs or not methods or not lengths:
        return None

    label = spec.label or spec.metric or spec.fact
    labels = _legend_labels(results, methods)
    canvas, axes = canvas_of(len(pairs), labels, label)
    value = Value(metric=spec.metric, fact=spec.fact, k=spec.k)
    traces, incomplete = [], []
    for axis, pair in zip(axes, pairs, strict=True):
        lines, points = _lines(axis, results, pair, methods, value, label, lengths)
        traces += lines
        incomplete += points
        axis.set_title(printed_pair(results, pair), y=1.0)
        if spec.logarithmic:
            axis.set_yscale("log")
            _plain_ticks(axis.yaxis)

    note = spec.note + incomplete_sentence(incomplete)
    if "methods" not in spec.select:
        note += leading_sentence(results, methods)
    figure = _finish(canvas, traces, labels, (spec.name, spec.title, spec.caption))
    return figure and replace(figure, note=note.strip(), latex=spec.latex)


def _by_last_point(results: Results, methods: list[dict]) -> list[dict]:
    """Sort methods by the height at which their lines end in the first panel, the highest first."""
    pair = results.pairs[0]

    def last_point(method: dict) -> float:
        for bits in sorted(results.experiment["bits"], reverse=True):
            scores = results.scores.get((*pair, method["name"], bits, "map", None))
            if scores:
                return float(np.mean(list(scores.values())))
        return 0.0

    return sorted(methods, key=last_point, reverse=True)


def _legend_labels(results: Results, methods: list[dict]) -> list[str]:
    return [*(printed_label(entry) for entry in methods + results.controls), CHANCE]


def _lines(
    axis: Axes,
    results: Results,
    pair: Pair,
    methods: list[dict],
    value: Value,
    quantity: str,
    lengths: list[int] | None = None,
) -> tuple[list[Trace], list[str]]:
    """Draw a line over the code lengths for each method, with bars of one standard deviation.

    Returns the lines, and a text on each point whose seeds are not all done.
    """
    lengths = lengths or results.experiment["bits"]
    traces, incomplete = [], []
    for index, method in enumerate(results.methods):
        if method not in methods:
            continue  # the index decides the colour, which is the same in every plot
        cells = cells_of(results, pair, method, value, lengths)
        incomplete += incomplete_points(results, pair, method, lengths, cells)
        if any(cell.number is not None for cell in cells):
            artists = _error_bars(axis, lengths, cells, value, printed_label(method), index)
            points = points_of_cells(lengths, cells, "{:.4f}" if value.metric else "{:.3g}")
            traces.append(Trace(method["name"], axis, artists, quantity, **points))

    axis.set_xticks(lengths)
    axis.set_xlabel("bits")
    return traces, incomplete


def _error_bars(
    axis: Axes, lengths: list[int], cells: list[Cell], value: Value, label: str, index: int
) -> list:
    """Draw one line; a missing cell leaves a gap."""
    means = [np.nan if cell.number is None else cell.number for cell in cells]
    spreads = [cell.spread for cell in cells]
    bars = spreads if value.deviation and any(spreads) else None
    line = axis.errorbar(lengths, means, yerr=bars, capsize=2, label=label, **look(index))
    return line.get_children()


def _curves(
    results: Results,
    pair: Pair,
    words: tuple[str, str, str],
    curve: Callable[[tuple], Numbers | None],
    axis_labels: tuple[str, str],
    logarithmic: bool = False,
) -> Figure | None:
    """Draw a panel for each code length, with a line for each method and control.

    Parameters
    ----------
    results : Results
    pair : Pair
    words : tuple of str
        Name, title and caption.
    curve : callable
        Returns the numbers of a key (dataset, features, variant, bits), or None.
    axis_labels : tuple of str
    logarithmic : bool
        Of x.
    """
    lengths = results.experiment["bits"]
    methods = leading(results, [pair])
    labels = _legend_labels(results, methods)
    canvas, axes = canvas_of(len(lengths), labels, axis_labels[1])

    styles = []
    for index, method in enumerate(results.methods):
        if method in methods:
            styles.append((method, look(index) | {"markevery": 0.2}))

    for index, control in enumerate(results.controls):
        styles.append((control, control_look(index, control["name"])))

    traces = []
    for axis, bits in zip(axes, lengths, strict=True):
        for entry, style in styles:
            length = bits
            if entry in results.controls:
                length = control_bits(entry["name"], bits)
            numbers = curve((*pair, entry["name"], length))
            if numbers:
                x, y, points = numbers
                artists = axis.plot(x, y, label=printed_label(entry), **style)
                traces.append(Trace(entry["name"], axis, artists, axis_labels[1], **points))
        traces += _chance_line(axis, results, pair, "relevant_share")
        _label_axes(axis, f"{bits} bits", axis_labels, logarithmic)

    name, title, caption = words
    name, title = f"{name}--{pair.file_part}", f"{title}: {results.label(pair)}"
    caption += leading_sentence(results, methods)
    return _finish(canvas, traces, labels, (name, title, caption))


def _recall_precision(
    results: Results, family: str, what: str
) -> Callable[[tuple], Numbers | None]:
    """Return the function that gives the curve of a family of metrics.

    Parameters
    ----------
    results : Results
    family : {"pr", "pr_rank"}
    what : {"radius", "rank"}
        What the points of the curve are at.
    """

    def curve(key: tuple) -> Numbers | None:
        recall = results.curves.get((*key, f"{family}_recall"))
        precision = results.curves.get((*key, f"{family}_precision"))
        if not recall or not precision:
            return None
        points = as_points(recall.mean, precision.mean, precision.deviation)
        points["at"] = [str(k) for k in recall.k.tolist()]
        points["what"] = what
        return recall.mean, precision.mean, points

    return curve


def _label_axes(axis: Axes, title: str, labels: tuple[str, str], logarithmic: bool) -> None:
    axis.set_title(title, y=1.0)
    axis.set_xlabel(labels[0])
    axis.set_ylim(0, 1)
    if logarithmic:
        axis.set_xscale("log")
        _plain_ticks(axis.xaxis)
    else:
        axis.set_xlim(0, 1)
        axis.xaxis.set_major_formatter(_plain)


def _plain_ticks(axis: Axis) -> None:
    """Print numbers instead of powers of ten, and 2 and 5 among them if there are few decades."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1,) if high > 100 * low else (1, 2, 5)))
    axis.set_major_formatter(_plain)
    axis.set_minor_locator(NullLocator())


def _plain(value: float, _: int) -> str:
    """Return a number without an exponent."""
    return f"{value:,.9f}".rstrip("0").rstrip(".")


def _control_lines(axis: Axes, results: Results, pair: Pair, quantity: str) -> list[Trace]:
    """Draw the mAP of each control: a straight line, or a value for each code length."""
    traces, lengths = [], results.experiment["bits"]
    for index, control in enumerate(results.controls):
        name = control["name"]
        style = control_look(index, name)
        values = [results.of_control(pair, name, bits, "map") for bits in lengths]
        if None in values:
            continue
        if not control_bits(name, 1):
            traces.append(_straight_line(axis, control, values[0], lengths, quantity, style))
            continue
        line = axis.plot(lengths, values, label=printed_label(control), **style)
        traces.append(Trace(name, axis, line, quantity, **as_points(lengths, values)))
    return traces


def _chance_line(
    axis: Axes, results: Results, pair: Pair, metric: str, lengths: list[int] = ()
) -> list[Trace]:
    chance = results.chance(pair, metric)
    if chance is None:
        return []
    entry = {"name": CHANCE_NAME, "label": CHANCE}
    return [_straight_line(axis, entry, chance, lengths, "mAP", chance_look())]


def _straight_line(
    axis: Axes, entry: dict, value: float, lengths: list[int], quantity: str, style: dict
) -> Trace:
    """Draw a horizontal line; its tooltips are at the code lengths."""
    line = axis.axhline(value, label=printed_label(entry), **style)
    points = as_points(lengths, [value] * len(lengths))
    return Trace(entry["name"], axis, [line], quantity, **points)


def _finish(
    canvas: Canvas, traces: list[Trace], labels: list[str], words: tuple[str, str, str]
) -> Figure | None:
    """Add one legend for all panels. Return None if nothing was drawn."""
    if not traces:
        return None

    handles = {}
    for axis in canvas.axes:
        lines, names = axis.get_legend_handles_labels()
        handles |= dict(zip(names, lines, strict=True))

    entries = [label for label in dict.fromkeys(labels) if label in handles]
    canvas.legend(
        [handles[label] for label in entries],
        [shortened(label, labels) for label in entries],
        loc="lower center",
        ncols=legend_columns(labels, canvas.get_figwidth()),
        columnspacing=1.2,
        borderaxespad=0.1,
    )
    name, title, caption = words
    return finished(canvas, name, title, caption, traces, labels)
