"""The ranking of the methods at one code length, instead of lines against code length."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from harness.variants import QUANTISERS
from report.figures.figure import POINTS, Figure, Trace, finished
from report.figures.plot_style import (
    AXIS_INCHES,
    CHANCE,
    CHANCE_NAME,
    COLUMNS,
    INK,
    MARGIN_INCHES,
    PANEL_GAP,
    QUANTISER_COLOUR,
    chance_look,
    control_marker,
    look,
    printed_label,
    printed_pair,
    shortened,
)
from report.figures.points import (
    as_points,
    cells_of,
    incomplete_points,
    incomplete_sentence,
    leading,
    leading_sentence,
)
from report.results import Pair, Results
from report.tables.table_specs import Value

MAP = Value(metric="map")
RECALL = Value(metric="neighbour_recall@k", k=100)
LABELS = {MAP: "mAP over all ranks", RECALL: "Neighbour recall@100"}
ROW_INCHES, PANELS_INCHES, NARROWEST_INCHES = 0.19, 5.0, 1.6  # a row, all panels, one panel
TITLES_INCHES, TITLE_CHARACTER_INCHES = 0.45, 0.075  # room for two lines of a title


@dataclass(frozen=True)
class Entry:
    """A row of the ranking: a method or a control, and how its point looks."""

    facts: dict
    style: dict
    is_control: bool


def ranking(results: Results) -> Figure | None:
    """Draw a row for each method and control, ordered by mAP on the first data set and features.

    Each data set and features has a panel of mAP. If there is one pair, its second panel has the
    neighbour recall of the same codes, if that was scored.
    """
    (bits,) = results.experiment["bits"]
    panels = [(pair, MAP) for pair in results.pairs]
    if len(panels) == 1 and _has_recall(results, results.pairs[0], bits):
        panels.append((results.pairs[0], RECALL))

    entries = _ordered(results, bits)
    if not entries:
        return None

    canvas, axes = _canvas(len(panels), [printed_label(entry.facts) for entry in entries])
    traces: list[Trace] = []
    incomplete: list[str] = []
    for axis, (pair, value) in zip(axes, panels, strict=True):
        for row, entry in enumerate(entries, start=1):
            if value == RECALL and not _fits(results, pair, entry, entries, bits):
                continue
            traces += _point(axis, results, pair, value, entry, row, bits)

        axis.set_xlim(left=0)
        axis.set_xlabel(LABELS[value])
        if len(results.pairs) > 1:
            axis.set_title(_wrapped(printed_pair(results, pair), axis), y=1.0)
        chance = results.chance(pair, "map_chance") if value == MAP else None
        if chance is not None:
            line = axis.axvline(chance, label=CHANCE, **chance_look())
            traces.append(Trace(CHANCE_NAME, axis, [line]))

    methods = leading(results, results.pairs)
    for pair in results.pairs:
        for method in methods:
            cells = cells_of(results, pair, method, MAP, [bits])
            incomplete += incomplete_points(results, pair, method, [bits], cells)

    title = f"Mean average precision at {bits} bits"
    caption = _caption(results, panels, traces) + incomplete_sentence(incomplete)
    caption += leading_sentence(results, methods)
    return finished(canvas, "overview", title, caption, traces)


def _has_recall(results: Results, pair: Pair, bits: int) -> bool:
    return any(
        (*key[:2], *key[3:]) == (*pair, bits, RECALL.metric, RECALL.k) for key in results.scores
    )


def _fits(results: Results, pair: Pair, entry: Entry, entries: list[Entry], bits: int) -> bool:
    """Return whether the recall of an entry leaves at least half of the panel to the methods.

    That of exact and int8 features is near 1, and that of codes is often below 0.3.
    """
    if not entry.is_control:
        return True
    of_methods = [
        _value(results, pair, RECALL, other, bits)[0] or 0
        for other in entries
        if not other.is_control
    ]
    recall = _value(results, pair, RECALL, entry, bits)[0]
    return recall is not None and recall <= 2 * max(of_methods, default=0)


def _ordered(results: Results, bits: int) -> list[Entry]:
    """Return methods and controls with a value on any pair, in the order of the rows."""
    methods = leading(results, results.pairs)
    entries = []
    for index, method in enumerate(results.methods):
        if method in methods:
            entries.append(Entry(method, look(index) | {"linestyle": "none"}, False))

    for index, control in enumerate(results.controls):
        colour = QUANTISER_COLOUR if control["name"] in QUANTISERS else INK
        style = {"color": colour, "marker": control_marker(index), "linestyle": "none"}
        entries.append(Entry(control, style, True))

    def height(entry: Entry) -> tuple[float, ...]:
        values = (_value(results, pair, MAP, entry, bits)[0] for pair in results.pairs)
        return tuple(-1.0 if value is None else value for value in values)

    shown = [entry for entry in entries if max(height(entry)) >= 0]
    return sorted(shown, key=height, reverse=True)


def _value(
    results: Results, pair: Pair, value: Value, entry: Entry, bits: int
) -> tuple[float | None, float]:
    """Return mean and standard deviation, the latter NaN if there is one run."""
    if entry.is_control:
        name = entry.facts["name"]
        return results.of_control(pair, name, bits, value.metric, value.k), float("nan")
    (cell,) = cells_of(results, pair, entry.facts, value, [bits])
    return cell.number, cell.spread if cell.spread or cell.deviation else float("nan")


def _point(
    axis: Axes, results: Results, pair: Pair, value: Value, entry: Entry, row: int, bits: int
) -> list[Trace]:
    """Draw the value of an entry, with a bar of one standard deviation if it has several seeds."""
    number, spread = _value(results, pair, value, entry, bits)
    if number is None:
        return []

    bar = spread if spread > 0 else None
    drawn = axis.errorbar([number], [row], xerr=bar, capsize=2, **entry.style)
    points = as_points([row], [number], [spread])
    quantity = LABELS[value]
    return [
        Trace(entry.facts["name"], axis, drawn.get_children(), quantity, **points, flipped=True)
    ]


def _canvas(panels: int, labels: list[str]) -> tuple[Canvas, list[Axes]]:
    """Return a canvas with at most COLUMNS panels beside each other.

    All panels have the same rows, the first one on top, and each has its own x axis. The labels are
    beside the first panel of each line of panels.
    """
    names = [shortened(label, []) for label in labels]
    lines = -(-panels // COLUMNS)
    columns = -(-panels // lines)
    left = max(map(_width, names)) + 0.2
    panel_width = max(NARROWEST_INCHES, (PANELS_INCHES - (columns - 1) * PANEL_GAP) / columns)
    panel_height = ROW_INCHES * (len(names) + 0.5)
    line_height = TITLES_INCHES + panel_height + AXIS_INCHES
    width = left + columns * panel_width + (columns - 1) * PANEL_GAP + MARGIN_INCHES
    height = lines * line_height

    canvas = Canvas(figsize=(width, height))
    axes = []
    for index in range(panels):
        line, column = divmod(index, columns)
        start = left + column * (panel_width + PANEL_GAP)
        bottom = height - (line + 1) * line_height + AXIS_INCHES
        box = (start / width, bottom / height, panel_width / width, panel_height / height)
        axis = canvas.add_axes(box)
        axis.set_yticks(range(1, len(names) + 1), [""] * len(names) if column else names)
        axis.set_ylim(len(names) + 0.75, 0.25)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", linewidth=0.5, alpha=0.2, color=INK)
        axis.set_axisbelow(True)
        axes.append(axis)
    return canvas, axes


def _wrapped(title: str, axis: Axes) -> str:
    """Return a title in at most two lines that are as wide as its panel, or nearly so."""
    characters = axis.get_position().width * axis.figure.get_figwidth() / TITLE_CHARACTER_INCHES
    lines = textwrap.wrap(title, int(characters), break_long_words=False)
    if len(lines) <= 2:
        return "\n".join(lines)
    return f"{lines[0]}\n{lines[1]}\N{HORIZONTAL ELLIPSIS}"


def _width(text: str) -> float:
    """Return the width of a label in inches."""
    font = FontProperties(size=rcParams["ytick.labelsize"])
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return width / POINTS


def _caption(results: Results, panels: list[tuple[Pair, Value]], traces: list[Trace]) -> str:
    sentences = ["Mean average precision over all ranks (expected over ties)"]
    with_recall = (results.pairs[0], RECALL) in panels
    if with_recall:
        sentences.append(
            "Neighbour recall is the share of the 100 nearest items by the features that are among "
            "the first 100 results"
        )
    if any(trace.deviation for trace in traces):
        sentences.append("Bars are one standard deviation over seeds")
    if len(results.pairs) > 1:
        sentences.append("The first panel decides the order of the rows")
    if results.controls:
        sentences.append(
            "Black and grey points are rankings by real-valued features, which are not upper bounds"
            + (". Their neighbour recall is shown if it is low enough" if with_recall else "")
        )
        names = {control["name"] for control in results.controls}
        if not names.isdisjoint(QUANTISERS):
            sentences.append("Those of quantised features are reference lines, not hashes")
    sentences.append("The dotted line is the chance level")
    return ". ".join(sentences) + "."
