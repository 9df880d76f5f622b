"""One look for all figures: the canvas, the legend, and the forms in which a drawing is written; readable on light and on dark."""

from __future__ import annotations

import html
import io
import multiprocessing
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.markers import MarkerStyle

from report.results import Results

# Okabe and Ito's colours, the light ones darkened: each has a contrast of at least 3 to white and to the dark page.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a8790a", "#3f9bb0", "#7d6fd0")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")  # nine to seven colours: 63 methods before a pair repeats
CONTROL_DASHES = ("--", "-.")
INK = "#010203"  # stands for the colour of the surrounding text, in the written SVG
COLUMNS = 4
CHANCE = "Chance level"
CHANCE_NAME = "chance level"  # beside names of methods, which have no space
PANEL_INCHES, FEW_PANELS_INCHES = (2.3, 2.1), {1: (6.4, 2.7), 2: (3.6, 2.5)}
PANEL_GAP, LABEL_INCHES, MARGIN_INCHES, TITLE_INCHES, AXIS_INCHES = 0.25, 0.6, 0.15, 0.3, 0.45  # around the panels
LEGEND_ROW_INCHES = 0.2
LEGEND_CHARACTERS = 40  # of a label; the page shows all of it
POINTS = 72  # an inch in an SVG
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
GROUP = re.compile(r"<g[ >]|</g>")


@dataclass(frozen=True)
class Trace:
    """What one method or control shows in one panel: its artists, and its points in the words of the page.

    quantity: what y is. x, y, deviation: numbers as text, no deviation where there is one run; at: the rank or radius of each point,
    with the word for it in `what`. A line without points can be toggled, and says nothing.
    """

    name: str
    axis: Axes
    artists: list[Artist]
    quantity: str = ""
    x: list[str] = field(default_factory=list)
    y: list[str] = field(default_factory=list)
    deviation: list[str] = field(default_factory=list)
    at: list[str] = field(default_factory=list)
    what: str = ""


@dataclass(frozen=True)
class Figure:
    """A drawn figure: `inline` is SVG for the page, without its legend; `svg` a file of its own, `pdf` on white for a paper.

    names: the methods and controls in it, of the page's legend; panels: where they are and what their points say (`_panel`).
    """

    name: str
    title: str
    caption: str
    inline: str
    svg: str
    pdf: bytes
    names: list[str] = field(default_factory=list)
    panels: list[dict] = field(default_factory=list)


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
    looks = [(method, look(place)["color"], _outline(look(place)["marker"]), "") for place, method in enumerate(results.methods)]
    looks += [(control, "currentColor", "", ("5 2", "6 2 1 2")[place % 2]) for place, control in enumerate(results.controls)]
    looks.append(({"name": CHANCE_NAME, "label": CHANCE}, "currentColor", "", "1 2"))
    return [Key(place, entry["name"], entry["label"], *rest) for place, (entry, *rest) in enumerate(looks)]


def look(place: int) -> dict:
    """Colour and marker of the method at this place of the configuration."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def control_look(place: int) -> dict:
    return {"color": INK, "linestyle": CONTROL_DASHES[place % 2], "linewidth": 0.9}


def _outline(marker: str) -> str:
    """A marker as the path of an SVG, y downwards."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    letters = {path.MOVETO: "M", path.LINETO: "L", path.CURVE3: "Q", path.CURVE4: "C", path.CLOSEPOLY: "Z"}
    parts = []
    for vertices, code in path.iter_segments(simplify=False):
        numbers = " ".join(f"{-number if place % 2 else number:.3g}" for place, number in enumerate(vertices))
        parts.append("Z" if code == path.CLOSEPOLY else letters[code] + numbers)
    return "".join(parts)


def in_parallel(jobs: list[Callable[[], object]], processes: int) -> list:
    """What each job returns, in order. Several processes are forked, so that they see the results without a copy: on Linux alone."""
    processes = min(processes, len(jobs))
    if processes < 2 or sys.platform != "linux":
        return [job() for job in jobs]
    with multiprocessing.get_context("fork").Pool(processes, _inherit, (jobs,)) as pool:
        return pool.map(_run, range(len(jobs)), chunksize=1)


_inherited: list[Callable[[], object]] = []  # in a forked process


def _inherit(jobs: list[Callable[[], object]]) -> None:
    _inherited[:] = jobs


def _run(place: int) -> object:
    return _inherited[place]()


def canvas_of(panels: int, legend: list[str], y_label: str = "") -> tuple[Canvas, list[Axes]]:
    """Axes in rows of at most COLUMNS above room for a legend of these labels, placed in inches: a layout engine would draw everything
    three times. Where there is a `y_label`, all share one y axis, which each row names.
    """
    rows = -(-panels // COLUMNS)
    columns = -(-panels // rows)
    panel = FEW_PANELS_INCHES.get(panels, PANEL_INCHES)
    gap = PANEL_GAP if y_label else LABEL_INCHES
    width = LABEL_INCHES + columns * panel[0] + (columns - 1) * gap + MARGIN_INCHES
    height = rows * (TITLE_INCHES + panel[1] + AXIS_INCHES) + _legend_rows(legend, width) * LEGEND_ROW_INCHES
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
    return label if len(label) <= characters else f"{label[: characters - tail - 1]}\N{HORIZONTAL ELLIPSIS}{label[-tail:]}"


def legend_columns(labels: list[str], width: float) -> int:
    """How many entries fit into a row of the legend of a canvas `width` inches wide."""
    longest = max((len(shortened(label)) for label in labels), default=0)
    return max(1, int(width / (0.5 + 0.08 * longest)))


def _legend_rows(labels: list[str], width: float) -> int:
    return -(-len(labels) // legend_columns(labels, width))


def finished(canvas: Canvas, name: str, title: str, caption: str, traces: list[Trace] = (), labels: list[str] = ()) -> Figure:
    """A drawn canvas in its three forms. `labels`: those that `canvas_of` left room for; the page has a legend of its own."""
    series = {}
    for trace in traces:
        for artist in trace.artists:
            artist.set_gid(f"series_{len(series)}")
            series[artist.get_gid()] = trace.name
    whole = _svg(canvas, name)
    return Figure(
        name=name,
        title=title,
        caption=caption,
        inline=_inline(whole, name, series, POINTS * LEGEND_ROW_INCHES * _legend_rows(labels, canvas.get_figwidth())),
        svg=whole.replace(">", f">{SVG_COLOURS}", 1) + "\n",
        pdf=_pdf(canvas),
        names=list(dict.fromkeys(trace.name for trace in traces)),
        panels=[_panel(axis, [trace for trace in traces if trace.axis is axis]) for axis in canvas.axes] if traces else [],
    )


def _panel(axis: Axes, traces: list[Trace]) -> dict:
    """A panel as the page's script reads it: left, top, right and bottom in the SVG, limits of both axes, and the points of each line."""
    width, height = (POINTS * inches for inches in axis.figure.get_size_inches())
    box = axis.get_position()
    return {
        "title": axis.get_title(),
        "box": [round(number, 1) for number in (box.x0 * width, (1 - box.y1) * height, box.x1 * width, (1 - box.y0) * height)],
        "limits": [*axis.get_xlim(), *axis.get_ylim()],
        "logarithmic": [axis.get_xscale() == "log", axis.get_yscale() == "log"],
        "x": axis.get_xlabel(),
        "series": [_series(trace) for trace in traces if trace.x],
    }


def _series(trace: Trace) -> dict[str, str]:
    texts = {key: " ".join(getattr(trace, key)) for key in ("x", "y", "deviation", "at")} | {"what": trace.what}
    return {"name": trace.name, "quantity": trace.quantity} | {key: text for key, text in texts.items() if text}


def _svg(canvas: Canvas, name: str) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip().replace(INK, "currentColor")
    # Ids are unique in a file only, and the page holds many.
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)


def _inline(svg: str, name: str, series: dict[str, str], legend_height: float) -> str:
    """The drawing for the page: lines marked with the names of their methods, the page's font, coordinates to a hundredth, no legend."""
    start = svg.find(f'<g id="{name}-legend_1">')
    if start >= 0:
        svg = svg[:start] + svg[_end_of_group(svg, start) :]
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    size = f'width="{width:g}pt" height="{height - legend_height:g}pt" viewBox="0 0 {width:g} {height - legend_height:g}"'
    svg = re.sub(r'width="[^"]*" height="[^"]*" viewBox="[^"]*"', size, svg, count=1)
    svg = re.sub(rf'id="{name}-(series_\d+)"', lambda found: f'data-series="{html.escape(series[found[1]])}"', svg)
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    return re.sub(r' (d|x|y|transform)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg)


def _end_of_group(svg: str, start: int) -> int:
    depth = 0
    for found in GROUP.finditer(svg, start):
        depth += -1 if found[0] == "</g>" else 1
        if depth == 0:
            return found.end()
    raise ValueError("the SVG ends within a group")


def _pdf(canvas: Canvas) -> bytes:
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return buffer.getvalue()
