"""The style of all figures: colours, markers, axes and legend, for a light and a dark page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.markers import MarkerStyle

from harness.variants import QUANTISERS
from report.latex_text import printable
from report.results import Results

# Okabe and Ito's colours, the light ones darkened: each has a contrast of at least 3 to white and
# to the dark page.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a8790a", "#3f9bb0", "#7d6fd0")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
# Lengths of dashes and gaps in multiples of the width of the line, as `stroke-dasharray` has them.
# The lines of the first seven methods are solid, and each further seven methods have the next
# pattern: no two methods of one colour look alike, whatever their markers.
METHOD_DASHES = ((), (4, 1.5), (1.5, 1.5), (6, 1.5, 1.5, 1.5), (6, 1.5, 1.5, 1.5, 1.5, 1.5))
# Controls are thin and have no markers. Exact ones have the colour of the text. Quantised features
# are grey and below the other lines, since those of int8 features nearly cover the exact ones.
QUANTISER_COLOUR = "#7a8088"
CONTROL_DASHES = ((5, 2), (6, 2, 1, 2), (9, 2, 3, 2), (9, 2, 1, 2, 1, 2))
CONTROL_MARKERS = ("*", "x", "h", "+")  # where a control has a single point
CHANCE_DASHES = (1, 2)
BELOW_LINES = 1.9  # lines have 2
INK = "#010203"  # stands for the colour of the surrounding text, in the written SVG
COLUMNS = 4
CHANCE = "Chance level"
CHANCE_NAME = "chance level"  # a space keeps it apart from the names of methods
PANEL_INCHES = (2.3, 2.1)
FEW_PANELS_INCHES = {1: (6.4, 2.7), 2: (3.6, 2.5)}
# Distances around the panels.
PANEL_GAP, LABEL_INCHES, MARGIN_INCHES, TITLE_INCHES, AXIS_INCHES = 0.25, 0.6, 0.15, 0.3, 0.45
LEGEND_ROW_INCHES = 0.2
LEGEND_CHARACTERS = 40  # of a label; the page shows all of it
# With more lines than MANY, a single panel is taller, and the legend has at least two columns.
MANY, TALL_PANEL_INCHES, MANY_CHARACTERS = 20, 4.2, 34
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
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextlib.contextmanager
def report_style() -> Iterator[None]:
    """Draw with Matplotlib's defaults and the style of the report, whatever the user configured."""
    with matplotlib.rc_context():
        matplotlib.rcParams.update(_defaults() | STYLE)
        yield


def _defaults() -> dict:
    """Return Matplotlib's own parameters; its `rcdefaults` would leave some out."""
    return {key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"}


@dataclass(frozen=True)
class Key:
    """An entry of the page's legend: how a line looks in every plot.

    Attributes
    ----------
    index : int
    name, label : str
    colour : str
    marker : str
        SVG path of about unit size; empty for a straight line.
    dashes : str
        Value of `stroke-dasharray`.
    """

    index: int
    name: str
    label: str
    colour: str
    marker: str = ""
    dashes: str = ""


def legend(results: Results) -> list[Key]:
    """Return methods, controls and chance, in the order of every legend."""
    keys = []
    for index, method in enumerate(results.methods):
        style = look(index)
        name, label, marker = method["name"], method["label"], _outline(style["marker"])
        dashes = _dash_array(_method_dashes(index))
        keys.append(Key(index, name, label, style["color"], marker, dashes))

    for index, control in enumerate(results.controls):
        name, label = control["name"], control["label"]
        colour = QUANTISER_COLOUR if name in QUANTISERS else "currentColor"
        dashes = _dash_array(_control_dashes(index))
        keys.append(Key(len(keys), name, label, colour, dashes=dashes))

    dashes = _dash_array(CHANCE_DASHES)
    return [*keys, Key(len(keys), CHANCE_NAME, CHANCE, "currentColor", dashes=dashes)]


def look(index: int) -> dict:
    """Return colour, marker and dashes of the method at this index of the configuration."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": _line_style(_method_dashes(index)),
    }


def control_look(index: int, name: str) -> dict:
    """Return the line style of the control at this index of the configuration."""
    style = {"linestyle": _line_style(_control_dashes(index)), "linewidth": 0.9}
    if name in QUANTISERS:
        return style | {"color": QUANTISER_COLOUR, "zorder": BELOW_LINES}
    return style | {"color": INK}


def control_marker(index: int) -> str:
    """Return the marker of the points of the control at this index of the configuration."""
    return CONTROL_MARKERS[index % len(CONTROL_MARKERS)]


def chance_look() -> dict:
    """Return the line style of the chance level."""
    return {"color": INK, "linestyle": _line_style(CHANCE_DASHES), "linewidth": 0.9}


def _method_dashes(index: int) -> tuple[float, ...]:
    return METHOD_DASHES[index // len(COLOURS) % len(METHOD_DASHES)]


def _control_dashes(index: int) -> tuple[float, ...]:
    return CONTROL_DASHES[index % len(CONTROL_DASHES)]


def _line_style(dashes: tuple[float, ...]) -> str | tuple[int, tuple[float, ...]]:
    return (0, dashes) if dashes else "-"


def _dash_array(dashes: tuple[float, ...]) -> str:
    """Return dashes as the value of `stroke-dasharray`; empty for a solid line."""
    return " ".join(f"{length:g}" for length in dashes)


def _outline(marker: str) -> str:
    """Return a marker as the path of an SVG, whose y points downwards."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    letters = {path.MOVETO: "M", path.LINETO: "L", path.CURVE3: "Q", path.CURVE4: "C"}
    commands = []
    for vertices, code in path.iter_segments(simplify=False):
        if code == path.CLOSEPOLY:
            commands.append("Z")
            continue
        signs = [1, -1] * (len(vertices) // 2)  # x stays, y turns
        numbers = [f"{s * number:.3g}" for s, number in zip(signs, vertices, strict=True)]
        commands.append(letters[code] + " ".join(numbers))

    return "".join(commands)


def canvas_of(panels: int, labels: list[str], y_label: str = "") -> tuple[Canvas, list[Axes]]:
    """Return a canvas with axes in rows of at most COLUMNS, above room for a legend.

    Positions are computed in inches: a layout engine would draw everything three times.

    Parameters
    ----------
    panels : int
    labels : list of str
        Labels of the legend.
    y_label : str
        If given, all panels share one y axis, and the first panel of each row has this label.
    """
    rows = -(-panels // COLUMNS)
    columns = -(-panels // rows)
    panel = FEW_PANELS_INCHES.get(panels, PANEL_INCHES)
    if panels == 1 and len(labels) > MANY:
        panel = panel[0], TALL_PANEL_INCHES
    gap = PANEL_GAP if y_label else LABEL_INCHES

    width = LABEL_INCHES + columns * panel[0] + (columns - 1) * gap + MARGIN_INCHES
    row_height = TITLE_INCHES + panel[1] + AXIS_INCHES
    height = rows * row_height + legend_rows(labels, width) * LEGEND_ROW_INCHES

    canvas = Canvas(figsize=(width, height))
    axes = []
    for index in range(panels):
        row, column = divmod(index, columns)
        left = LABEL_INCHES + column * (panel[0] + gap)
        bottom = height - (row + 1) * (TITLE_INCHES + panel[1]) - row * AXIS_INCHES
        box = (left / width, bottom / height, panel[0] / width, panel[1] / height)
        shared = axes[0] if y_label and axes else None
        axis = canvas.add_axes(box, sharey=shared)
        if y_label and column:
            axis.tick_params(labelleft=False)
        else:
            axis.set_ylabel(y_label)
        axes.append(axis)

    return canvas, axes


def printed_label(entry: dict) -> str:
    """Return the label of a method or control, or its name if a figure cannot print the label.

    Figures and LaTeX tables follow the same rule, `latex_text.printable`, so that a paper calls a
    method by one name. The page shows every label.
    """
    return entry["label"] if printable(entry["label"]) else entry["name"]


def printed_pair(results: Results, pair: tuple[str, str]) -> str:
    """Return the label of a data set and features, or their names, as `printed_label` does."""
    label = results.label(pair)
    return label if printable(label) else ", ".join(pair)


def shortened(label: str, labels: list[str]) -> str:
    """Return a label without its middle if it is too long: names often differ at their ends.

    labels: all labels of the legend.
    """
    characters = MANY_CHARACTERS if len(labels) > MANY else LEGEND_CHARACTERS
    if len(label) <= characters:
        return label
    tail = characters // 3
    return f"{label[: characters - tail - 1]}\N{HORIZONTAL ELLIPSIS}{label[-tail:]}"


def legend_columns(labels: list[str], width: float) -> int:
    """Return how many entries fit into a row of the legend of a canvas `width` inches wide."""
    longest = max((len(shortened(label, labels)) for label in labels), default=0)
    return max(1, int(width / (0.5 + 0.08 * longest)))


def legend_rows(labels: list[str], width: float) -> int:
    """Return how many rows the legend has."""
    return -(-len(labels) // legend_columns(labels, width))
