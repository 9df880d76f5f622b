"""Plots of metrics and times against code length, and of precision against recall."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, NullLocator

from report.figures.figure import Figure, Trace, finished
from report.figures.parallel import in_parallel
from report.figures.plot_style import (
    CHANCE,
    CHANCE_NAME,
    INK,
    STYLE,
    canvas_of,
    control_look,
    legend_columns,
    look,
    shortened,
)
from report.results import Pair, Results
from report.tables.cells import method_cell
from report.tables.table import Cell, Column
from report.tables.table_specs import Value

Points = dict[str, list[str] | str]  # x, y, deviation, at and what of a Trace
Numbers = tuple[np.ndarray, np.ndarray, Points]  # x and y of a line, and its points


def draw(results: Results, processes: int = 1) -> list[Figure]:
    """Every figure that the results have data for."""
    jobs = [partial(overview, results)]
    for pair in results.pairs:
        jobs += [
            partial(kind, results, pair) for kind in (precision_at_k, by_rank, by_radius, times)
        ]
    with matplotlib.rc_context(STYLE):
        return [figure for figure in in_parallel(jobs, processes) if figure]


def overview(results: Results) -> Figure | None:
    """mAP against bits, a panel for each data set and features."""
    canvas, axes = canvas_of(len(results.pairs), _legend_labels(results), "mAP over all ranks")
    lengths = results.experiment["bits"]
    traces, lowered = [], []
    for axis, pair in zip(axes, results.pairs, strict=True):
        found, lacking = _lengths(axis, results, pair, Value(metric="map"), "mAP")
        traces += found
        lowered += lacking
        for place, control in enumerate(results.controls):
            for value in results.scores.get((*pair, control["name"], 0, "map", None), {}).values():
                traces.append(_level(axis, control, value, lengths, **control_look(place)))
        traces += _chance_line(axis, results, pair, "map_chance", lengths)
        axis.set_title(results.label(pair), y=1.0)
    axes[0].set_ylim(bottom=0)  # of all panels, and of none before the last has its lines
    bars = (
        "; bars are one standard deviation over seeds"
        if any(trace.deviation for trace in traces)
        else ""
    )
    lines = (
        "s: rankings by real-valued features, which are not upper bounds, and"
        if results.controls
        else ":"
    )
    caption = f"Mean average precision over all ranks (expected over ties) against the code length{bars}. Straight line{lines} the chance level."
    return _finish(
        results,
        canvas,
        traces,
        "overview",
        "Mean average precision against code length",
        caption + _lowered(lowered),
    )


def precision_at_k(results: Results, pair: Pair) -> Figure | None:
    def curve(key: tuple) -> Numbers | None:
        found = sorted(
            (cut[5], list(values.values())) for cut, values in cuts.items() if cut[:4] == key
        )
        k = np.array([k for k, _ in found])
        means = np.array([np.mean(values) for _, values in found])
        spreads = [np.std(values, ddof=1) if len(values) > 1 else np.nan for _, values in found]
        return (k, means, _points(k, means, spreads)) if found else None

    cuts = {
        key: values
        for key, values in results.scores.items()
        if key[:2] == pair and key[4] == "precision@k"
    }
    caption = "Expected precision at k, mean over queries and over the seeds that are done."
    return _curves(
        results,
        pair,
        ("precision-at-k", "Precision at k", caption),
        curve,
        ("k", "Precision@k"),
        logarithmic=True,
    )


def by_rank(results: Results, pair: Pair) -> Figure | None:
    caption = (
        "Expected precision and recall at ranks from 1 to the whole database, mean over queries and over the seeds that are done: "
        "the curve to compare with papers."
    )
    described = ("precision-recall-by-rank", "Precision and recall by rank", caption)
    return _curves(
        results,
        pair,
        described,
        _recall_precision(results, "pr_rank", "rank"),
        ("Recall", "Precision"),
    )


def by_radius(results: Results, pair: Pair) -> Figure | None:
    caption = (
        "Precision and recall of the items within a Hamming radius, one point a radius; a query with no item within it counts "
        "precision 0 and recall 0. Mean over queries and over the seeds that are done."
    )
    described = ("precision-recall-by-radius", "Precision and recall by Hamming radius", caption)
    return _curves(
        results,
        pair,
        described,
        _recall_precision(results, "pr", "radius"),
        ("Recall", "Precision"),
    )


def times(results: Results, pair: Pair) -> Figure | None:
    """Seconds to fit and microseconds to encode an image, against bits, on logarithmic scales."""
    canvas, axes = canvas_of(2, _legend_labels(results))
    traces, lowered = [], []
    for axis, fact, label in zip(
        axes,
        ("fit_seconds", "encode_microseconds"),
        ("Fit (s)", "Encode (µs per image)"),
        strict=True,
    ):
        found, lowered = _lengths(axis, results, pair, Value(fact=fact, deviation=False), label)
        traces += found
        axis.set_yscale("log")
        _plain_ticks(axis.yaxis)
        axis.set_title(label, y=1.0)
    caption = "Wall time against the code length, mean over the seeds that are done; logarithmic."
    name = f"time--{pair.file_part}"
    return _finish(
        results,
        canvas,
        traces,
        name,
        f"Time to fit and to encode: {results.label(pair)}",
        caption + _lowered(lowered),
    )


def _legend_labels(results: Results) -> list[str]:
    return [*(entry["label"] for entry in results.methods + results.controls), CHANCE]


def _lengths(
    axis: Axes, results: Results, pair: Pair, value: Value, quantity: str
) -> tuple[list[Trace], list[str]]:
    """One line a method over the code lengths, with bars of one deviation; and what is wrong with points that lack seeds."""
    lengths = results.experiment["bits"]
    traces, lowered = [], []
    for place, method in enumerate(results.methods):
        cells = [
            method_cell(results, (*pair, method["name"]), bits, Column(value, bits, None, ""))
            for bits in lengths
        ]
        lowered += [
            _lowered_point(results, pair, method, bits, cell)
            for bits, cell in zip(lengths, cells, strict=True)
            if cell.state not in ("complete", "omitted")
        ]
        if any(cell.number is not None for cell in cells):
            means = [
                np.nan if cell.number is None else cell.number for cell in cells
            ]  # a gap in the line
            spreads = (
                [cell.spread for cell in cells]
                if value.deviation and any(cell.spread for cell in cells)
                else None
            )
            artists = axis.errorbar(
                lengths, means, yerr=spreads, capsize=2, label=method["label"], **look(place)
            ).get_children()
            shown = [
                (bits, cell)
                for bits, cell in zip(lengths, cells, strict=True)
                if cell.number is not None
            ]
            points = _points(
                [bits for bits, _ in shown],
                [cell.number for _, cell in shown],
                [cell.spread if cell.spread or cell.deviation else np.nan for _, cell in shown],
                "{:.4f}" if value.metric else "{:.3g}",
            )
            traces.append(Trace(method["name"], axis, artists, quantity, **points))
    axis.set_xticks(lengths)
    axis.set_xlabel("bits")
    return traces, lowered


def _points(
    x: list | np.ndarray, y: list | np.ndarray, spreads: list | np.ndarray, printed: str = "{:.4f}"
) -> Points:
    """Points as text, a deviation of nan as "-": one run has none."""
    deviations = ["-" if np.isnan(spread) else printed.format(spread) for spread in spreads]
    return {
        "x": [
            f"{number:.4f}" if isinstance(number, float) else str(number)
            for number in np.asarray(x).tolist()
        ],
        "y": [printed.format(number) for number in y],
        "deviation": deviations if set(deviations) != {"-"} else [],
    }


def _lowered_point(results: Results, pair: Pair, method: dict, bits: int, cell: Cell) -> str:
    return f"{method['label']}, {bits} bits, on {results.label(pair)}: {cell.seeds + ' seeds' if cell.seeds else cell.text}"


def _lowered(points: list[str]) -> str:
    return f" Not complete: {'; '.join(points)}." if points else ""


def _curves(
    results: Results,
    pair: Pair,
    described: tuple[str, str, str],
    curve: Callable[[tuple], Numbers | None],
    axis_labels: tuple[str, str],
    logarithmic: bool = False,
) -> Figure | None:
    """A panel a code length, a line a method; `curve` gives the numbers for a key (dataset, features, variant, bits)."""
    lengths = results.experiment["bits"]
    canvas, axes = canvas_of(len(lengths), _legend_labels(results), axis_labels[1])
    looks = [
        (entry, None, look(place) | {"markevery": 0.2})
        for place, entry in enumerate(results.methods)
    ]
    looks += [(entry, 0, control_look(place)) for place, entry in enumerate(results.controls)]
    traces = []
    for axis, bits in zip(axes, lengths, strict=True):
        for entry, no_bits, style in looks:
            found = curve((*pair, entry["name"], bits if no_bits is None else no_bits))
            if found:
                x, y, points = found
                traces.append(
                    Trace(
                        entry["name"],
                        axis,
                        axis.plot(x, y, label=entry["label"], **style),
                        axis_labels[1],
                        **points,
                    )
                )
        traces += _chance_line(axis, results, pair, "relevant_share")
        _dress(axis, f"{bits} bits", axis_labels, logarithmic)
    name, title, caption = described
    return _finish(
        results,
        canvas,
        traces,
        f"{name}--{pair.file_part}",
        f"{title}: {results.label(pair)}",
        caption,
    )


def _recall_precision(
    results: Results, family: str, what: str
) -> Callable[[tuple], Numbers | None]:
    """Curves of a family of metrics, whose points are at ranks or radii: `what`."""

    def curve(key: tuple) -> Numbers | None:
        recall, precision = (
            results.curves.get((*key, f"{family}_{name}")) for name in ("recall", "precision")
        )
        if not (recall and precision):
            return None
        points = _points(recall.mean, precision.mean, precision.deviation)
        return (
            recall.mean,
            precision.mean,
            points | {"at": [str(k) for k in recall.k.tolist()], "what": what},
        )

    return curve


def _dress(axis: Axes, title: str, labels: tuple[str, str], logarithmic: bool) -> None:
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
    """Numbers instead of powers of ten, and 2 and 5 among them where there are few decades."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1,) if high > 100 * low else (1, 2, 5)))
    axis.set_major_formatter(_plain)
    axis.set_minor_locator(NullLocator())


def _plain(value: float, _: int) -> str:
    return f"{value:,g}"


def _chance_line(
    axis: Axes, results: Results, pair: Pair, metric: str, lengths: list[int] = ()
) -> list[Trace]:
    chance = results.chance(pair, metric)
    look = {"color": INK, "linestyle": ":", "linewidth": 0.9}
    return (
        []
        if chance is None
        else [_level(axis, {"name": CHANCE_NAME, "label": CHANCE}, chance, lengths, **look)]
    )


def _level(axis: Axes, entry: dict, value: float, lengths: list[int], **style: object) -> Trace:
    """A straight line; the page says its value at the code lengths."""
    line = axis.axhline(value, label=entry["label"], **style)
    return Trace(entry["name"], axis, [line], "mAP", **_points(lengths, [value] * len(lengths), []))


def _finish(
    results: Results, canvas: Canvas, traces: list[Trace], name: str, title: str, caption: str
) -> Figure | None:
    """One legend for all panels; None where nothing was drawn."""
    if not traces:
        return None
    drawn = {
        label: handle
        for axis in canvas.axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    labels = _legend_labels(results)
    shown = [label for label in dict.fromkeys(labels) if label in drawn]
    columns = legend_columns(labels, canvas.get_figwidth())
    texts = [shortened(label) for label in shown]
    canvas.legend(
        [drawn[label] for label in shown],
        texts,
        loc="lower center",
        ncols=columns,
        columnspacing=1.2,
        borderaxespad=0.1,
    )
    return finished(canvas, name, title, caption, traces, labels)
