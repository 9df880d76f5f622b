"""The style of all figures: colours, markers, axes and legend, readable on a light and on a dark page."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.markers import MarkerStyle

from report.results import Results

# Okabe and Ito's colours, the light ones darkened: each has a contrast of at least 3 to white and to the dark page.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a8790a", "#3f9bb0", "#7d6fd0")
MARKERS = (
    "o",
    "s",
    "^",
    "D",
    "v",
    "P",
    "X",
    "<",
    ">",
)  # nine to seven colours: 63 methods before a pair repeats
CONTROL_DASHES = ("--", "-.")
INK = "#010203"  # stands for the colour of the surrounding text, in the written SVG
COLUMNS = 4
CHANCE = "Chance level"
CHANCE_NAME = "chance level"  # beside names of methods, which have no space
PANEL_INCHES, FEW_PANELS_INCHES = (2.3, 2.1), {1: (6.4, 2.7), 2: (3.6, 2.5)}
PANEL_GAP, LABEL_INCHES, MARGIN_INCHES, TITLE_INCHES, AXIS_INCHES = (
    0.25,
    0.6,
    0.15,
    0.3,
    0.45,
)  # around the panels
LEGEND_ROW_INCHES = 0.2
LEGEND_CHARACTERS = 40  # of a label; the page shows all of it
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
    **dict.fromkeys(
        (
            "text.color",
            "axes.edgecolor",
            "axes.labelcolor",
            "axes.titlecolor",
            "xtick.color",
            "ytick.color",
        ),
        INK,
    ),
}


@dataclass(frozen=True)
class Key:
    """An entry of the page's legend: the colour, marker (an SVG path of about unit size) and dashes of a line in every plot."""

    place: int
    name: str
    label: str
    colour: str
    marker: str = ""
    dashes: str = ""


def legend(results: Results) -> list[Key]:
    """Methods, controls and chance, in the order of every legend."""
    looks = [
        (method, look(place)["color"], _outline(look(place)["marker"]), "")
        for place, method in enumerate(results.methods)
    ]
    looks += [
        (control, "currentColor", "", ("5 2", "6 2 1 2")[place % 2])
        for place, control in enumerate(results.controls)
    ]
    looks.append(({"name": CHANCE_NAME, "label": CHANCE}, "currentColor", "", "1 2"))
    return [
        Key(place, entry["name"], entry["label"], *rest)
        for place, (entry, *rest) in enumerate(looks)
    ]


def look(place: int) -> dict:
    """Colour and marker of the method at this place of the configuration."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def control_look(place: int) -> dict:
    return {"color": INK, "linestyle": CONTROL_DASHES[place % 2], "linewidth": 0.9}


def _outline(marker: str) -> str:
    """A marker as the path of an SVG, y downwards."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    letters = {
        path.MOVETO: "M",
        path.LINETO: "L",
        path.CURVE3: "Q",
        path.CURVE4: "C",
        path.CLOSEPOLY: "Z",
    }
    parts = []
    for vertices, code in path.iter_segments(simplify=False):
        numbers = " ".join(
            f"{-number if place % 2 else number:.3g}" for place, number in enumerate(vertices)
        )
        parts.append("Z" if code == path.CLOSEPOLY else letters[code] + numbers)
    return "".join(parts)


def canvas_of(panels: int, legend: list[str], y_label: str = "") -> tuple[Canvas, list[Axes]]:
    """Axes in rows of at most COLUMNS above room for a legend of these labels, placed in inches: a layout engine would draw everything
    three times. Where there is a `y_label`, all share one y axis, which each row names.
    """
    rows = -(-panels // COLUMNS)
    columns = -(-panels // rows)
    panel = FEW_PANELS_INCHES.get(panels, PANEL_INCHES)
    gap = PANEL_GAP if y_label else LABEL_INCHES
    width = LABEL_INCHES + columns * panel[0] + (columns - 1) * gap + MARGIN_INCHES
    height = (
        rows * (TITLE_INCHES + panel[1] + AXIS_INCHES)
        + legend_rows(legend, width) * LEGEND_ROW_INCHES
    )
    canvas = Canvas(figsize=(width, height))
    axes = []
    for place in range(panels):
        row, column = divmod(place, columns)
        left = LABEL_INCHES + column * (panel[0] + gap)
        bottom = height - (row + 1) * (TITLE_INCHES + panel[1]) - row * AXIS_INCHES
        box = (left / width, bottom / height, panel[0] / width, panel[1] / height)
        axes.append(canvas.add_axes(box, sharey=axes[0] if y_label and axes else None))
        if y_label and column:
            axes[-1].tick_params(labelleft=False)
        else:
            axes[-1].set_ylabel(y_label)
    return canvas, axes


def shortened(label: str, characters: int = LEGEND_CHARACTERS) -> str:
    """A label of so many characters at most, without its middle: names often differ at their ends."""
    tail = characters // 3
    return (
        label
        if len(label) <= characters
        else f"{label[: characters - tail - 1]}\N{HORIZONTAL ELLIPSIS}{label[-tail:]}"
    )


def legend_columns(labels: list[str], width: float) -> int:
    """How many entries fit into a row of the legend of a canvas `width` inches wide."""
    longest = max((len(shortened(label)) for label in labels), default=0)
    return max(1, int(width / (0.5 + 0.08 * longest)))


def legend_rows(labels: list[str], width: float) -> int:
    return -(-len(labels) // legend_columns(labels, width))
