"""What figures have in common: the methods that they draw, their points, and incomplete ones."""

from __future__ import annotations

import numpy as np

from report.figures.figure import NO_DEVIATION
from report.results import MOST_SHOWN, Pair, Results
from report.tables.cells import method_cell
from report.tables.table import Cell, Column
from report.tables.table_specs import Value

Points = dict[str, list[str] | str]  # x, y, deviation, at and what of a Trace
WITHOUT_GAPS = ("complete", "omitted")  # states of a cell that no sentence has to explain


def leading(results: Results, pairs: list[Pair]) -> list[dict]:
    """Return the methods that a figure of these data sets and features draws."""
    names = set().union(*(results.leading(pair) for pair in pairs))
    return [method for method in results.methods if method["name"] in names]


def leading_sentence(results: Results, methods: list[dict]) -> str:
    if len(methods) == len(results.methods):
        return ""
    return (
        f" Of {len(results.methods)} methods, the {MOST_SHOWN} with the highest mAP over all code "
        "lengths are drawn."
    )


def incomplete_sentence(points: list[str]) -> str:
    return f" Not complete: {'; '.join(points)}." if points else ""


def cells_of(
    results: Results, pair: Pair, method: dict, value: Value, lengths: list[int]
) -> list[Cell]:
    """Return a value of a method at each code length, as a table has it."""
    key = (*pair, method["name"])
    columns = [Column(value, bits, value.k, "") for bits in lengths]
    return [method_cell(results, key, column.bits, column) for column in columns]


def incomplete_points(
    results: Results, pair: Pair, method: dict, lengths: list[int], cells: list[Cell]
) -> list[str]:
    """Return a text on each cell of a method whose seeds are not all done."""
    texts = []
    for bits, cell in zip(lengths, cells, strict=True):
        if cell.state not in WITHOUT_GAPS:
            state = f"{cell.seeds} seeds" if cell.seeds else cell.text
            texts.append(f"{method['label']}, {bits} bits, on {results.label(pair)}: {state}")
    return texts


def points_of_cells(lengths: list[int], cells: list[Cell], number_format: str) -> Points:
    """Return the points of one method over the code lengths; a cell without a number has none."""
    pairs = zip(lengths, cells, strict=True)
    complete = [(bits, cell) for bits, cell in pairs if cell.number is not None]
    spreads = [cell.spread if cell.spread or cell.deviation else np.nan for _, cell in complete]
    bits = [bits for bits, _ in complete]
    return as_points(bits, [cell.number for _, cell in complete], spreads, number_format)


def as_points(
    x: list | np.ndarray,
    y: list | np.ndarray,
    spreads: list | np.ndarray = (),
    number_format: str = "{:.4f}",
) -> Points:
    """Return points as texts, with `spreads`, their standard deviations, if any is known."""
    deviations = [
        NO_DEVIATION if np.isnan(spread) else number_format.format(spread) for spread in spreads
    ]
    return {
        "x": [_coordinate(number) for number in np.asarray(x).tolist()],
        "y": [number_format.format(number) for number in y],
        "deviation": deviations if set(deviations) != {NO_DEVIATION} else [],
    }


def _coordinate(number: int | float) -> str:
    return f"{number:.4f}" if isinstance(number, float) else str(number)
