"""The table of rank correlations: how far the order of the methods depends on what is compared."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from statistics import fmean

import numpy as np

from report.results import Pair, Results
from report.tables import captions
from report.tables.cells import OMITTED_CELL
from report.tables.table import Cell, Column, Panel, Row, Table
from report.tables.table_specs import Value

TITLE = "Stability of the order of the methods: Kendall's rank correlation"
MIN_METHODS = 5  # the correlation of fewer methods is too coarse
RANDOM_CODES = "chance"  # the method that every other one exceeds, whatever is compared
MAP = ("map", None)
METRICS = {  # of the same codes, besides mAP: metric and cut, and label
    ("map@k[found]", 1000): "mAP@1,000, divided by the hits found",
    ("precision@k", 100): "Precision@100",
    ("neighbour_recall@k", 100): "Neighbour recall@100",
}
NOTE = (
    "Kendall's rank correlation (tau-b) of the methods: 1 for equal orders, 0 for unrelated ones, "
    "-1 for opposite ones. The order by mAP (mean over the seeds that are done) on the data set "
    "and features of the panel is compared with that of the row: another metric of the same codes, "
    "other features of the same images, or another split of the same data set. Seeds: the mean "
    "over all pairs of seeds, each with one run per method; the other rows should be read against "
    "it. Only methods that have both values count. Random codes do not count, since every method "
    "is above them. No row states a significance: methods are not a random sample."
)
TAU = Value(decimals=2, deviation=False)

Means = dict[str, float]  # {method: value}


def build(results: Results) -> list[Table]:
    """Return the table; none if fewer than MIN_METHODS can be compared."""
    columns = [Column(TAU, bits, None, f"{bits} bits") for bits in results.experiment["bits"]]
    panels = []
    for pair in results.pairs:
        rows = [row for row in _rows(results, pair) if any(map(_has_number, row.cells))]
        if rows:
            panels.append(Panel(results.label(pair), pair, None, rows, []))

    if not panels:
        return []

    return [
        Table(
            name="stability",
            title=TITLE,
            caption=f"{TITLE}.",
            note=NOTE,
            groups=[],
            columns=columns,
            panels=panels,
            notes=[captions.provenance(results, [panel.pair for panel in panels])],
            cites=["kendall1945treatment"],
            row_heading="Compared with",
        )
    ]


def _has_number(cell: Cell) -> bool:
    return cell.number is not None


def _rows(results: Results, pair: Pair) -> list[Row]:
    """Return the rows of a panel: what the order by mAP is compared with."""
    lengths = results.experiment["bits"]
    orders = [_means(results, pair, bits, MAP) for bits in lengths]

    rows = [_row("Seeds", "Seeds", [_between_seeds(results, pair, bits) for bits in lengths])]
    for metric, label in METRICS.items():
        others = [_means(results, pair, bits, metric) for bits in lengths]
        rows.append(_row(label, label, list(map(_correlation, orders, others))))

    for other in results.pairs:
        kind = _difference(results, pair, other)
        if kind:
            name, label = ", ".join(other), results.label(other)
            others = [_means(results, other, bits, MAP) for bits in lengths]
            taus = list(map(_correlation, orders, others))
            rows.append(_row(f"{kind}: {name}", f"{kind}: {label}", taus))

    return rows


def _row(name: str, label: str, taus: list[float | None]) -> Row:
    return Row(name, label, list(map(_cell, taus)))


def _cell(tau: float | None) -> Cell:
    return OMITTED_CELL if tau is None else Cell(TAU.printed(tau), number=tau)


def _difference(results: Results, pair: Pair, other: Pair) -> str:
    """Return the one thing in which two places differ; empty if they differ in more or nothing."""
    if pair.dataset == other.dataset:
        return "Features" if pair.features != other.features else ""

    plugins = {results.plugin_of(name) for name in (pair.dataset, other.dataset)}
    return "Split" if len(plugins) == 1 and pair.features == other.features else ""


def _methods(results: Results) -> list[dict]:
    return [method for method in results.methods if method["method"] != RANDOM_CODES]


def _means(results: Results, pair: Pair, bits: int, metric: tuple[str, int | None]) -> Means:
    """Return the mean over seeds of each method that has the metric."""
    means = {}
    for method in _methods(results):
        values = results.scores.get((*pair, method["name"], bits, *metric))
        if values:
            means[method["name"]] = fmean(values.values())
    return means


def _between_seeds(results: Results, pair: Pair, bits: int) -> float | None:
    """Return the mean rank correlation of pairs of seeds; None if there is one seed."""
    orders: list[Means] = []
    for seed in results.experiment["seeds"]:
        order = {}
        for method in _methods(results):
            values = results.scores.get((*pair, method["name"], bits, *MAP), {})
            value = values.get(seed if method["stochastic"] else 0)
            if value is not None:
                order[method["name"]] = value
        orders.append(order)

    taus = [_correlation(*two) for two in itertools.combinations(orders, 2)]
    known = [tau for tau in taus if tau is not None]
    return fmean(known) if known else None


def _correlation(values: Mapping[str, float], others: Mapping[str, float]) -> float | None:
    """Return tau-b of the methods that both have; None for too few, or if all values are equal."""
    names = [name for name in values if name in others]
    if len(names) < MIN_METHODS:
        return None
    return kendall([values[name] for name in names], [others[name] for name in names])


def kendall(values: list[float], others: list[float]) -> float | None:
    """Return Kendall's rank correlation tau-b.

    Parameters
    ----------
    values, others : list of float
        Two values of each item.

    Returns
    -------
    float or None
        None if all values or all others are equal.

    References
    ----------
    Kendall, "The treatment of ties in ranking problems", Biometrika 1945.
    """
    # Not scipy.stats.kendalltau: importing scipy.stats would take a second of every report.
    signs = [np.sign(np.subtract.outer(series, series)) for series in (values, others)]
    concordant = float((signs[0] * signs[1]).sum())
    untied = [float(np.abs(sign).sum()) for sign in signs]
    scale = float(np.sqrt(untied[0] * untied[1]))
    return concordant / scale if scale else None
