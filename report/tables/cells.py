"""Cells of a table: a mean over seeds with its standard deviation, or why there is none."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from harness.variants import QUANTISERS, control_bits
from report.results import Pair, Results
from report.tables.table import NEAR_COLLAPSE, Cell, Collapse, Column
from report.tables.table_specs import TEXT_FACTS, Value

DASH = "\N{EN DASH}"
NOT_SCORED_CELL = Cell("not scored", "unscored")
OMITTED_CELL = Cell(DASH, "omitted")
MISSING_CELL = Cell("missing", "missing")
NOT_PLANNED_CELL = Cell(DASH, "omitted", detail="not run at this code length")
FEATURE_BYTES = 4  # per dimension, of float32
# A column of these that is equal in every row becomes a sentence.
SHARED_FACTS = (*TEXT_FACTS, "alone_device")


def _number_or_none(text: str) -> float | None:
    return float(text) if text else None


def _encode_microseconds(run: dict) -> float | None:
    seconds = _number_or_none(run["encode_seconds"])
    return None if seconds is None else 1e6 * seconds / float(run["items"])


# Facts that are computed from the columns of runs.csv.
RUN_VALUES = {
    "encode_microseconds": _encode_microseconds,
    "distinct_share": lambda run: float(run["distinct_codes"]) / float(run["items"]),
    "code_bytes": lambda run: -(-run["bits"] // 8),
}


def _image_microseconds(row: dict[str, str]) -> float | None:
    """Return the time from pixels to the code, or for a control to the features."""
    extract = _number_or_none(row["extract_microseconds"])
    encode = 0.0 if row["bits"] == "0" else _number_or_none(row["encode_microseconds"])
    return None if extract is None or encode is None else math.fsum([extract, encode])


# Facts of timing.csv, which only the timed code lengths have.
TIMING_VALUES = {
    "alone_fit_seconds": lambda row: _number_or_none(row["fit_seconds"]),
    "alone_encode_microseconds": lambda row: _number_or_none(row["encode_microseconds"]),
    "image_microseconds": _image_microseconds,
    "search_microseconds": lambda row: _number_or_none(row["search_microseconds"]),
    # Earlier versions did not measure it.
    "rerank_microseconds": lambda row: _number_or_none(row.get("rerank_microseconds", "")),
    "kept_bytes": lambda row: _number_or_none(row["bytes"]),
    "alone_device": lambda row: row["processor"] if row["device"] == "cpu" else row["device"],
}


def method_cell(
    results: Results, key: tuple[str, str, str], bits: int | None, column: Column
) -> Cell:
    """Return the mean of a method over its seeds, or why there is none.

    Parameters
    ----------
    results : Results
    key : tuple of str
        (dataset, features, variant).
    bits : int or None
        Code length; None for all.
    column : Column
    """
    value = column.value
    if value.metric and results.omission(Pair(*key[:2]), value.metric, column.k):
        return OMITTED_CELL
    if value.fact in TIMING_VALUES:
        return _timed_cell(results, (*key, bits), value)

    if not is_planned(results, key, bits):
        return NOT_PLANNED_CELL
    runs = []
    for length in [bits] if bits is not None else results.experiment["bits"]:
        runs += results.runs.get((*key, length), [])

    done = [run for run in runs if run["status"] == "done"]
    if not done:
        return _cell_without_runs(runs)
    if value.fact in TEXT_FACTS:
        texts = dict.fromkeys(run[value.fact] for run in done)
        return Cell(", ".join(texts)) if any(texts) else OMITTED_CELL

    cell = _metric_cell(results, key, done, column) if value.metric else _fact_cell(done, value)
    if cell.number is None:
        return cell

    cell = replace(cell, interval=_interval(results, (*key, bits), value))
    return _with_seeds(cell, len(done), runs)


def is_planned(results: Results, key: tuple[str, str, str], bits: int | None) -> bool:
    """Return whether a method was planned at a code length, if it was at any."""
    lengths = results.lengths(Pair(*key[:2]), key[2])
    return bits is None or not lengths or bits in lengths


def _metric_cell(results: Results, key: tuple, done: list[dict], column: Column) -> Cell:
    value = column.value
    series = []
    for metric in filter(None, (value.metric, value.to)):
        scores = [_score(results, key, run, metric, column) for run in done]
        if value.optional and scores == [None] * len(scores):
            return OMITTED_CELL
        if None in scores:
            return NOT_SCORED_CELL
        series.append(scores)
    return replace(_mean_cell(series, value), collapse=_collapse(done))


def _score(results: Results, key: tuple, run: dict, metric: str, column: Column) -> float | None:
    score = results.scores.get((*key, run["bits"], metric, column.k), {}).get(run["seed"])
    return None if score is None else shown_number(results, Pair(*key[:2]), score, column.value)


def shown_number(results: Results, pair: Pair, score: float, value: Value) -> float:
    """Return a score as a cell shows it: its share of the range above chance, and scaled."""
    if value.above_chance:
        chance = results.chance(pair, "map_chance") or 0.0
        score = (score - chance) / (1 - chance)
    return score * value.scale


def _fact_cell(done: list[dict], value: Value) -> Cell:
    """Return the mean of a fact; a dash if a run has none, for example codes made elsewhere."""
    compute = RUN_VALUES.get(value.fact, lambda run: _number_or_none(run.get(value.fact, "")))
    numbers = [compute(run) for run in done]
    if None in numbers:
        return OMITTED_CELL
    return _mean_cell([[number * value.scale for number in numbers]], value)


def _timed_cell(results: Results, key: tuple[str, str, str, int], value: Value) -> Cell:
    row = results.timing.get(key)
    fact = TIMING_VALUES[value.fact](row) if row else None
    if fact is None or fact == "":
        return OMITTED_CELL
    if isinstance(fact, str):
        return Cell(fact)
    return Cell(value.printed(fact * value.scale), number=fact * value.scale)


def _interval(results: Results, key: tuple, value: Value) -> str:
    ends = results.intervals.get(key) if value.interval else None
    if not ends:
        return ""
    low, high = (value.printed(end * value.scale) for end in ends)
    return f"[{low}, {high}]"


def _cell_without_runs(runs: list[dict]) -> Cell:
    failed = [run for run in runs if run["status"] == "failed"]
    if failed:
        return Cell(f"failed {len(failed)}/{len(runs)}", "failed", detail=failed[0]["message"])
    return MISSING_CELL


def _with_seeds(cell: Cell, done: int, runs: list[dict]) -> Cell:
    """Mark a mean if some of its seeds are not done."""
    if done == len(runs):
        return cell
    messages = [run["message"] for run in runs if run["status"] == "failed"]
    detail = messages[0] if messages else ""
    return replace(cell, state="incomplete", seeds=f"{done}/{len(runs)}", detail=detail)


def _collapse(done: list[dict]) -> Collapse | None:
    count = 0
    for run in done:
        # 12 bits cannot distinguish 60,000 items: the share is of the possible codes.
        possible = min(int(run["items"]), 2 ** run["bits"])
        count += int(run["distinct_codes"]) < NEAR_COLLAPSE * possible
    return Collapse(count, len(done)) if count else None


def _mean_cell(series: list[list[float]], value: Value) -> Cell:
    """Return the mean of one series with its deviation, or the range between two means."""
    means = [math.fsum(numbers) / len(numbers) for numbers in series]
    printed = dict.fromkeys(value.printed(mean) for mean in means)  # equal ends are one number
    text = DASH.join(printed)
    if value.to or len(series[0]) < 2:
        return Cell(text, number=means[0])
    spread = statistics.stdev(series[0])
    deviation = value.printed(spread) if value.deviation else ""
    return Cell(text, number=means[0], spread=spread, deviation=deviation)


def control_cell(results: Results, pair: Pair, name: str, bits: int | None, column: Column) -> Cell:
    """Return the value of a ranking by features, or why there is none.

    Parameters
    ----------
    results : Results
    pair : Pair
    name : str
    bits : int or None
        Code length of a control that has a value for each.
    column : Column
    """
    value, length = column.value, control_bits(name, bits or 0)
    if value.fact in TIMING_VALUES:
        return _timed_cell(results, (*pair, name, length), value)
    if value.fact:
        dimensions = results.experiment["features"]["/".join(pair)]["dimensions"]
        if value.fact != "code_bytes" or not dimensions:
            return OMITTED_CELL
        size = stored_bytes(name, dimensions, length)
        return Cell(value.printed(size), number=size)

    if results.omission(pair, value.metric, column.k):
        return OMITTED_CELL

    series = []
    for metric in filter(None, (value.metric, value.to)):
        score = results.of_control(pair, name, bits, metric, column.k)
        if score is None:
            return MISSING_CELL
        series.append([shown_number(results, pair, score, value)])

    interval = _interval(results, (*pair, name, length), value)
    return replace(_mean_cell(series, value), interval=interval)


def stored_bytes(control: str, dimensions: int, bits: int) -> int:
    """Return the bytes that a control stores for each item.

    Parameters
    ----------
    control : str
    dimensions : int
        Of the features.
    bits : int
        Code length of product quantisation, else 0.
    """
    if bits:
        return -(-bits // 8)
    return dimensions if control in QUANTISERS else FEATURE_BYTES * dimensions
