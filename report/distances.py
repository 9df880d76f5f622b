"""The distances of relevant and of other pairs as a figure for a paper; the page draws its own, for every code length."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator

from report.drawing import COLOURS, STYLE, TITLE_CHARACTERS, Figure, canvas_of, finished, shortened
from report.gallery import Gallery

METHODS = 12  # panels at most
LENGTH = 32  # the first code length of at least so many bits is drawn, or the last
KINDS = {"relevant": COLOURS[0], "others": COLOURS[1]}


def draw(galleries: list[Gallery]) -> list[Figure]:
    """A figure for each data set and features: a panel a method, the share of each kind of pair at each Hamming distance."""
    with matplotlib.rc_context(STYLE):
        return [_figure(gallery) for gallery in galleries]


def _figure(gallery: Gallery) -> Figure:
    lengths = [bits for bits in gallery.data["bits"] if any(bits in method["lengths"] for method in gallery.data["methods"])]
    bits = next((length for length in lengths if length >= LENGTH), lengths[-1])
    found = [(method["label"], method["lengths"][bits]["pairs"]) for method in gallery.data["methods"] if bits in method["lengths"]]
    shown = found[:METHODS]
    canvas, axes = canvas_of(len(shown), list(KINDS), "% of pairs")
    for axis, (label, pairs) in zip(axes, shown, strict=True):
        for (kind, colour), shares in zip(KINDS.items(), pairs, strict=True):
            axis.stairs(100 * np.array(shares), np.arange(bits + 2) - 0.5, fill=True, color=colour, alpha=0.6, label=kind)
        axis.set_title(shortened(label, TITLE_CHARACTERS))
        axis.set_xlabel("Hamming distance")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    handles, labels = axes[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="lower center", ncols=len(KINDS), borderaxespad=0.1)
    return finished(
        canvas,
        gallery.name.replace("gallery--", "distances--"),
        f"Distances of pairs: {gallery.title}",
        f"Share of the pairs of a query and a database item at each Hamming distance, {bits} bits, by the first seed that is done: pairs"
        " that are relevant, and the others. The less they overlap, the better."
        + (f" The first {METHODS} methods." if len(found) > METHODS else ""),
        labels=list(KINDS),
    )
