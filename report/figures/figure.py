"""A figure and its three forms: SVG in the page, an SVG file and a PDF file."""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass, field

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from report.figures.plot_style import INK, LEGEND_ROW_INCHES, legend_rows

POINTS = 72  # an inch in an SVG
# Written into the SVG files only: as images they do not inherit the page's colour.
SVG_COLOURS = (
    "<style>:root{color:#1f2328}@media(prefers-color-scheme:dark){:root{color:#e6edf3}}</style>"
)
SVG_METADATA = {"Date": None, "Creator": None, "Type": None, "Format": None}
PDF_METADATA = {"CreationDate": None, "Creator": None, "Producer": None}
NO_DEVIATION = "-"  # of a point with one run, in the texts of a panel
GROUP = re.compile(r"<g[ >]|</g>")


@dataclass(frozen=True)
class Trace:
    """The line of one method or control in one panel.

    Attributes
    ----------
    name : str
        Name of the method or control.
    axis : Axes
    artists : list of Artist
    quantity : str
        Label of y.
    x, y, deviation : list of str
        Coordinates and standard deviations of the points. A line without points has no tooltips.
    at : list of str
        Rank or radius of each point.
    what : str
        Word for `at`: rank or radius.
    flipped : bool
        Whether y is drawn from left to right, and x, the number of a row, from the top down.
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
    flipped: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure in its three forms.

    Attributes
    ----------
    name, title, caption : str
    inline : str
        SVG for the page, without a legend.
    svg : str
        SVG file.
    pdf : bytes
        PDF file with a white background.
    names : list of str
        Methods and controls in the figure.
    panels : list of dict
        Positions of the panels, and their points (see `_panel`).
    note : str
        Sentences below the caption.
    latex : bool
        Whether title, caption and note are LaTeX source.
    """

    name: str
    title: str
    caption: str
    inline: str
    svg: str
    pdf: bytes
    names: list[str] = field(default_factory=list)
    panels: list[dict] = field(default_factory=list)
    note: str = ""
    latex: bool = False


def finished(
    canvas: Canvas,
    name: str,
    title: str,
    caption: str,
    traces: list[Trace] = (),
    labels: list[str] = (),
) -> Figure:
    """Return a canvas in its three forms.

    Parameters
    ----------
    canvas : matplotlib Figure
    name, title, caption : str
    traces : list of Trace
    labels : list of str
        Labels of the legend, as given to `canvas_of`.
    """
    names_by_id = _number_artists(traces)
    svg = _svg(canvas, name)
    legend_height = POINTS * LEGEND_ROW_INCHES * legend_rows(labels, canvas.get_figwidth())

    traces_by_axis: dict[Axes, list[Trace]] = {axis: [] for axis in canvas.axes}
    for trace in traces:
        traces_by_axis[trace.axis].append(trace)

    panels = [_panel(axis, group) for axis, group in traces_by_axis.items()] if traces else []

    return Figure(
        name=name,
        title=title,
        caption=caption,
        inline=_inline(svg, name, names_by_id, legend_height),
        svg=svg.replace(">", f">{SVG_COLOURS}", 1) + "\n",
        pdf=_pdf(canvas),
        names=list(dict.fromkeys(trace.name for trace in traces)),
        panels=panels,
    )


def _number_artists(traces: list[Trace]) -> dict[str, str]:
    """Give every artist an id in the SVG, and return {id: name of its method}."""
    names_by_id = {}
    for trace in traces:
        for artist in trace.artists:
            artist.set_gid(f"series_{len(names_by_id)}")
            names_by_id[artist.get_gid()] = trace.name
    return names_by_id


def _panel(axis: Axes, traces: list[Trace]) -> dict:
    """Return a panel as the page's script reads it: its position, limits, and the points."""
    width, height = (POINTS * inches for inches in axis.figure.get_size_inches())
    position = axis.get_position()
    left, right = position.x0 * width, position.x1 * width
    top, bottom = (1 - position.y1) * height, (1 - position.y0) * height
    flipped = any(trace.flipped for trace in traces)
    return {
        "title": axis.get_title().replace("\n", " "),
        "box": [round(number, 1) for number in (left, top, right, bottom)],
        "limits": [*axis.get_xlim(), *axis.get_ylim()],
        "logarithmic": [axis.get_xscale() == "log", axis.get_yscale() == "log"],
        "flipped": flipped,
        "x": "row" if flipped else axis.get_xlabel(),
        "series": [_series(trace) for trace in traces if trace.x],
    }


def _series(trace: Trace) -> dict[str, str]:
    texts = {key: " ".join(getattr(trace, key)) for key in ("x", "y", "deviation", "at")}
    texts["what"] = trace.what
    given = {key: text for key, text in texts.items() if text}
    return {"name": trace.name, "quantity": trace.quantity} | given


def _svg(canvas: Canvas, name: str) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        canvas.savefig(buffer, format="svg", transparent=True, metadata=SVG_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip().replace(INK, "currentColor")
    # Ids are unique in a file only, and the page holds many.
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)


def _inline(svg: str, name: str, names_by_id: dict[str, str], legend_height: float) -> str:
    """Return the SVG for the page.

    It has no legend, the font of the page, the names of the methods at their lines, and
    coordinates to a hundredth.
    """
    start = svg.find(f'<g id="{name}-legend_1">')
    if start >= 0:
        svg = svg[:start] + svg[_end_of_group(svg, start) :]

    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
    height -= legend_height
    size = f'width="{width:g}pt" height="{height:g}pt" viewBox="0 0 {width:g} {height:g}"'
    svg = re.sub(r'width="[^"]*" height="[^"]*" viewBox="[^"]*"', size, svg, count=1)

    svg = re.sub(
        rf'id="{name}-(series_\d+)"',
        lambda match: f'data-series="{html.escape(names_by_id[match[1]])}"',
        svg,
    )
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    return re.sub(
        r' (d|x|y|transform)="[^"]*"',
        lambda match: re.sub(r"(\.\d\d)\d+", r"\1", match[0]),
        svg,
    )


def _end_of_group(svg: str, start: int) -> int:
    depth = 0
    for match in GROUP.finditer(svg, start):
        depth += -1 if match[0] == "</g>" else 1
        if depth == 0:
            return match.end()
    raise ValueError("the SVG ends within a group")


def _pdf(canvas: Canvas) -> bytes:
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="pdf", metadata=PDF_METADATA)
    return buffer.getvalue()
