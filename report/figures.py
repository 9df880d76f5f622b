"""Figures: metrics against code length, curves over ranks and radii, and times; one look for all, readable on light and on dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, NullLocator

from report.declarations import Value
from report.model import Cell, Column
from report.results import Pair, Results
from report.tables import method_cell

# Okabe and Ito's colours, the light ones darkened: each has a contrast of at least 3 to white and to the dark page.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a8790a", "#3f9bb0", "#7d6fd0")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")  # nine to seven colours: 63 methods before a pair repeats
CONTROL_DASHES = ("--", "-.")
INK = "#010203"  # stands for the colour of the surrounding text, in the written SVG
COLUMNS = 4
CHANCE = "Chance level"
PANEL_INCHES, FEW_PANELS_INCHES = (2.3, 2.1), {1: (6.4, 2.7), 2: (3.6, 2.5)}
PANEL_GAP, LABEL_INCHES, MARGIN_INCHES, TITLE_INCHES, AXIS_INCHES = 0.25, 0.6, 0.15, 0.3, 0.45  # around the panels
LEGEND_ROW_INCHES = 0.2
STYLE = {
    "text.parse_math": False,  # a $ in a name is a dollar
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), INK),
}
# Written into the SVG files only: as images they do not inherit the page's colour.
SVG_COLOURS = "<style>:root{color:#1f2328}@media(prefers-color-scheme:dark){:root{color:#e6edf3}}</style>"


@dataclass(frozen=True)
class Figure:
    """A drawn figure: `inline` is SVG for the page, `svg` the same as a file of its own, `pdf` on white for a paper."""

    name: str
    title: str
    caption: str
    inline: str
    svg: str
    pdf: bytes


def draw(results: Results) -> list[Figure]:
    """Every figure that the results have data for."""
    with matplotlib.rc_context(STYLE):
        figures = [overview(results)]
        for pair in results.pairs:
            figures += [precision_at_k(results, pair), by_rank(results, pair), by_radius(results, pair), times(results, pair)]
    return [figure for figure in figures if figure]


def overview(results: Results) -> Figure | None:
    """mAP against bits, a panel for each data set and features."""
    canvas, axes = canvas_of(len(results.pairs), _legend_labels(results))
    lowered = []
    for axis, pair in zip(axes, results.pairs, strict=True):
        lowered += _lengths(axis, results, pair, Value(metric="map"))
        for place, control in enumerate(results.controls):
            scores = results.scores.get((*pair, control["name"], 0, "map", None), {})
            for value in scores.values():
                axis.axhline(value, color=INK, linestyle=CONTROL_DASHES[place % 2], linewidth=0.9, label=control["label"])
        _chance_line(axis, results, pair)
        axis.set_title(results.label(pair), y=1.0)
        axis.set_ylim(bottom=0)
    axes[0].set_ylabel("mAP over all ranks")
    caption = (
        "Mean average precision over all ranks (expected over ties) against the code length; bars are one standard deviation over seeds. "
        "Straight lines: rankings by real-valued features, which are not upper bounds, and the chance level."
    )
    return _finish(results, canvas, axes, "overview", "Mean average precision against code length", caption + _lowered(lowered))


def precision_at_k(results: Results, pair: Pair) -> Figure | None:
    def curve(key: tuple) -> tuple[np.ndarray, np.ndarray] | None:
        found = sorted((cut[5], values) for cut, values in cuts.items() if cut[:4] == key)
        return (np.array([k for k, _ in found]), np.array([np.mean(list(values.values())) for _, values in found])) if found else None

    cuts = {key: values for key, values in results.scores.items() if key[:2] == pair and key[4] == "precision@k"}
    caption = "Expected precision at k, mean over queries and over the seeds that are done."
    return _curves(results, pair, ("precision-at-k", "Precision at k", caption), curve, ("k", "Precision@k"), logarithmic=True)


def by_rank(results: Results, pair: Pair) -> Figure | None:
    caption = (
        "Expected precision and recall at ranks from 1 to the whole database, mean over queries and over the seeds that are done: "
        "the curve to compare with papers."
    )
    described = ("precision-recall-by-rank", "Precision and recall by rank", caption)
    return _curves(results, pair, described, _recall_precision(results, "pr_rank"), ("Recall", "Precision"))


def by_radius(results: Results, pair: Pair) -> Figure | None:
    caption = (
        "Precision and recall of the items within a Hamming radius, one point a radius; a query with no item within it counts "
        "precision 0 and recall 0. Mean over queries and over the seeds that are done."
    )
    described = ("precision-recall-by-radius", "Precision and recall by Hamming radius", caption)
    return _curves(results, pair, described, _recall_precision(results, "pr"), ("Recall", "Precision"))


def times(results: Results, pair: Pair) -> Figure | None:
    """Seconds to fit and microseconds to encode an image, against bits, on logarithmic scales."""
    canvas, axes = canvas_of(2, _legend_labels(results), share_y=False)
    for axis, fact, label in zip(axes, ("fit_seconds", "encode_microseconds"), ("Fit (s)", "Encode (µs per image)"), strict=True):
        lowered = _lengths(axis, results, pair, Value(fact=fact, deviation=False))
        axis.set_yscale("log")
        _plain_ticks(axis.yaxis)
        axis.set_title(label, y=1.0)
    caption = "Wall time against the code length, mean over the seeds that are done; logarithmic."
    name = f"time--{pair.file_part}"
    return _finish(results, canvas, axes, name, f"Time to fit and to encode: {results.label(pair)}", caption + _lowered(lowered))


def canvas_of(panels: int, legend: list[str], share_y: bool = True) -> tuple[Canvas, list[Axes]]:
    """Axes in rows of at most COLUMNS above room for a legend of these labels, placed in inches: a layout engine would draw everything
    three times.
    """
    rows = -(-panels // COLUMNS)
    columns = -(-panels // rows)
    panel = FEW_PANELS_INCHES.get(panels, PANEL_INCHES)
    gap = PANEL_GAP if share_y else LABEL_INCHES
    width = LABEL_INCHES + columns * panel[0] + (columns - 1) * gap + MARGIN_INCHES
    legend_rows = -(-len(legend) // _legend_columns(legend, width))
    height = rows * (TITLE_INCHES + panel[1] + AXIS_INCHES) + legend_rows * LEGEND_ROW_INCHES
    canvas = Canvas(figsize=(width, height))
    axes = []
    for place in range(panels):
        row, column = divmod(place, columns)
        left = LABEL_INCHES + column * (panel[0] + gap)
        bottom = height - (row + 1) * (TITLE_INCHES + panel[1]) - row * AXIS_INCHES
        box = (left / width, bottom / height, panel[0] / width, panel[1] / height)
        axes.append(canvas.add_axes(box, sharey=axes[0] if share_y and axes else None))
        if share_y and column:
            axes[-1].tick_params(labelleft=False)
    return canvas, axes


def _legend_labels(results: Results) -> list[str]:
    return [*(entry["label"] for entry in results.methods + results.controls), CHANCE]


def _legend_columns(labels: list[str], width: float) -> int:
    longest = max(map(len, labels), default=0)
    return max(1, int(width / (0.5 + 0.08 * longest)))


def _lengths(axis: Axes, results: Results, pair: Pair, value: Value) -> list[str]:
    """One line a method over the code lengths, with bars of one deviation; returns what is wrong with points that lack seeds."""
    lengths = results.experiment["bits"]
    lowered = []
    for place, method in enumerate(results.methods):
        cells = [method_cell(results, (*pair, method["name"]), bits, Column(value, bits, None, "")) for bits in lengths]
        lowered += [
            _lowered_point(results, pair, method, bits, cell)
            for bits, cell in zip(lengths, cells, strict=True)
            if cell.state not in ("complete", "omitted")
        ]
        if any(cell.number is not None for cell in cells):
            means = [np.nan if cell.number is None else cell.number for cell in cells]  # a gap in the line
            spreads = [cell.spread for cell in cells] if value.deviation and any(cell.spread for cell in cells) else None
            axis.errorbar(lengths, means, yerr=spreads, capsize=2, label=method["label"], **_look(place))
    axis.set_xticks(lengths)
    axis.set_xlabel("bits")
    return lowered


def _lowered_point(results: Results, pair: Pair, method: dict, bits: int, cell: Cell) -> str:
    return f"{method['label']}, {bits} bits, on {results.label(pair)}: {cell.seeds + ' seeds' if cell.seeds else cell.text}"


def _lowered(points: list[str]) -> str:
    return f" Not complete: {'; '.join(points)}." if points else ""


def _curves(
    results: Results,
    pair: Pair,
    described: tuple[str, str, str],
    curve: Callable[[tuple], tuple[np.ndarray, np.ndarray] | None],
    axis_labels: tuple[str, str],
    logarithmic: bool = False,
) -> Figure | None:
    """A panel a code length, a line a method; `curve` gives x and y for a key (dataset, features, variant, bits)."""
    lengths = results.experiment["bits"]
    canvas, axes = canvas_of(len(lengths), _legend_labels(results))
    for axis, bits in zip(axes, lengths, strict=True):
        for place, method in enumerate(results.methods):
            points = curve((*pair, method["name"], bits))
            if points:
                axis.plot(*points, label=method["label"], markevery=0.2, **_look(place))
        for place, control in enumerate(results.controls):
            points = curve((*pair, control["name"], 0))
            if points:
                axis.plot(*points, color=INK, linestyle=CONTROL_DASHES[place % 2], linewidth=0.9, label=control["label"])
        _chance_line(axis, results, pair)
        _dress(axis, f"{bits} bits", axis_labels, logarithmic)
    axes[0].set_ylabel(axis_labels[1])
    name, title, caption = described
    return _finish(results, canvas, axes, f"{name}--{pair.file_part}", f"{title}: {results.label(pair)}", caption)


def _recall_precision(results: Results, family: str) -> Callable[[tuple], tuple[np.ndarray, np.ndarray] | None]:
    def curve(key: tuple) -> tuple[np.ndarray, np.ndarray] | None:
        recall, precision = (results.curves.get((*key, f"{family}_{what}")) for what in ("recall", "precision"))
        return (recall[1], precision[1]) if recall and precision else None

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


def _look(place: int) -> dict:
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def _chance_line(axis: Axes, results: Results, pair: Pair) -> None:
    chance = results.chance(pair)
    if chance is not None:
        axis.axhline(chance, color=INK, linestyle=":", linewidth=0.9, label=CHANCE)


def _finish(results: Results, canvas: Canvas, axes: list[Axes], name: str, title: str, caption: str) -> Figure | None:
    """One legend for all panels; None where nothing was drawn."""
    drawn = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if not drawn:
        return None
    labels = [label for label in dict.fromkeys(_legend_labels(results)) if label in drawn]
    columns = _legend_columns(_legend_labels(results), canvas.get_figwidth())
    canvas.legend([drawn[label] for label in labels], labels, loc="lower center", ncols=columns, columnspacing=1.2, borderaxespad=0.1)
    return finished(canvas, name, title, caption)


def finished(canvas: Canvas, name: str, title: str, caption: str) -> Figure:
    """A drawn canvas in its three forms."""
    inline = _svg(canvas, name)
    return Figure(name, title, caption, inline, inline.replace(">", f">{SVG_COLOURS}", 1) + "\n", _pdf(canvas))


def _svg(canvas: Canvas, name: str) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :].strip().replace(INK, "currentColor")
    # Ids are unique in a file only, and the page holds many.
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", drawn)


def _pdf(canvas: Canvas) -> bytes:
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return buffer.getvalue()
