"""Cells of a table: a mean over seeds with its standard deviation, or why it is missing."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from harness.errors import BenchmarkError
from report.results import Pair, Results
from report.tables.table import NEAR_COLLAPSE, Cell, Collapse, Column
from report.tables.table_specs import Value

DASH = "\N{EN DASH}"

# Facts computed from the columns of runs.csv.
DERIVED = {
    "encode_microseconds": lambda run: (
        1e6 * float(run["encode_seconds"]) / float(run["items"]) if run["encode_seconds"] else None
    ),
    "distinct_share": lambda run: float(run["distinct_codes"]) / float(run["items"]),
    "code_bytes": lambda run: -(-run["bits"] // 8),
}
TEXT_FACTS = (
    "device",
    "threads",
    "alone_device",
)  # a column that says the same of every row is a sentence instead
FEATURE_BYTES = 4  # a dimension of float32


def _read(text: str) -> float | None:
    return float(text) if text else None


def _image(row: dict[str, str]) -> float | None:
    """From pixels to the code, or of a control to the features."""
    parts = [
        _read(row["extract_microseconds"]),
        0.0 if row["bits"] == "0" else _read(row["encode_microseconds"]),
    ]
    return None if None in parts else math.fsum(parts)


# Facts of timing.csv, which only some code lengths have.
TIMED = {
    "alone_fit_seconds": lambda row: _read(row["fit_seconds"]),
    "alone_encode_microseconds": lambda row: _read(row["encode_microseconds"]),
    "image_microseconds": _image,
    "search_microseconds": lambda row: _read(row["search_microseconds"]),
    "kept_bytes": lambda row: _read(row["bytes"]),
    "alone_device": lambda row: row["processor"] if row["device"] == "cpu" else row["device"],
}


def method_cell(
    results: Results, key: tuple[str, str, str], bits: int | None, column: Column
) -> Cell:
    """The cell of one method: its mean over the seeds asked for, or why there is none. `key` is (dataset, features, variant)."""
    value = column.value
    runs = [
        run
        for length in ([bits] if bits is not None else results.experiment["bits"])
        for run in results.runs.get((*key, length), [])
    ]
    if value.metric and results.omission(Pair(*key[:2]), value.metric, column.k):
        return Cell(DASH, "omitted")
    if value.fact in TIMED:
        return _timed_cell(results, (*key, bits), value)
    done = [run for run in runs if run["status"] == "done"]
    if not done:
        return _undone(runs)
    if value.fact in TEXT_FACTS:
        return Cell(", ".join(dict.fromkeys(run[value.fact] for run in done)))
    if value.optional and not all(run.get(value.fact) for run in done):
        return Cell(DASH, "omitted")
    numbers = [
        [_number(results, key, run, name, value, column.k) for run in done]
        for name in (value.metric or value.fact, value.to)
        if name
    ]
    if any(number is None for series in numbers for number in series):
        return (
            Cell(DASH, "omitted") if value.fact else Cell("not scored", "unscored")
        )  # codes made elsewhere took no time here
    cell = _with_seeds(_summary(numbers, value), len(done), runs)
    return (
        replace(cell, collapse=_collapse(done), interval=_interval(results, (*key, bits), value))
        if value.metric
        else cell
    )


def _timed_cell(results: Results, key: tuple[str, str, str, int], value: Value) -> Cell:
    row = results.timing.get(key)
    found = row and TIMED[value.fact](row)
    if found is None or found == "":
        return Cell(DASH, "omitted")
    return (
        Cell(found)
        if isinstance(found, str)
        else Cell(value.printed(found * value.scale), number=found * value.scale)
    )


def run_values(
    results: Results, key: tuple[str, str, str], bits: int, column: Column
) -> list[float]:
    """What `method_cell` takes the mean of: the value of each run that is done and has one; of a fact that was timed alone, the one."""
    if column.value.fact in TIMED:
        return [_timed_cell(results, (*key, bits), column.value).number]
    done = [run for run in results.runs.get((*key, bits), []) if run["status"] == "done"]
    value = column.value
    numbers = [
        _number(results, key, run, value.metric or value.fact, value, column.k) for run in done
    ]
    return [number for number in numbers if number is not None]


def _interval(results: Results, key: tuple, value: Value) -> str:
    ends = results.intervals.get(key) if value.interval else None
    return f"[{', '.join(value.printed(end * value.scale) for end in ends)}]" if ends else ""


def _undone(runs: list[dict]) -> Cell:
    failed = [run for run in runs if run["status"] == "failed"]
    if failed:
        return Cell(f"failed {len(failed)}/{len(runs)}", "failed", detail=failed[0]["message"])
    return Cell("missing", "missing")


def _with_seeds(cell: Cell, done: int, runs: list[dict]) -> Cell:
    if done == len(runs):
        return cell
    failures = [run["message"] for run in runs if run["status"] == "failed"]
    return replace(
        cell, state="incomplete", seeds=f"{done}/{len(runs)}", detail=next(iter(failures), "")
    )


def _collapse(done: list[dict]) -> Collapse | None:
    # Twelve bits cannot tell 60,000 items apart: the share is of the codes that there could be.
    possible = [min(int(run["items"]), 2 ** run["bits"]) for run in done]
    count = sum(
        int(run["distinct_codes"]) < NEAR_COLLAPSE * most
        for run, most in zip(done, possible, strict=True)
    )
    return Collapse(count, len(done)) if count else None


def _number(
    results: Results, key: tuple, run: dict, name: str, value: Value, k: int | None
) -> float | None:
    if value.metric:
        number = results.scores.get((*key, run["bits"], name, k), {}).get(run["seed"])
    elif name in DERIVED:
        number = DERIVED[name](run)
    elif name in run:
        number = float(run[name]) if run[name] else None
    else:
        raise BenchmarkError(
            f"report/tables.yaml: fact {name!r} is no column of runs.csv; `optional: true` allows that"
        )
    return None if number is None else number * value.scale


def _summary(numbers: list[list[float]], value: Value) -> Cell:
    """The mean of one series with its deviation, or the range between the means of two."""
    means = [math.fsum(series) / len(series) for series in numbers]
    text = DASH.join(value.printed(mean) for mean in means)
    if value.to or len(numbers[0]) < 2:
        return Cell(text, number=means[0])
    spread = statistics.stdev(numbers[0])
    return Cell(
        text,
        number=means[0],
        spread=spread,
        deviation=value.printed(spread) if value.deviation else "",
    )


def control_cell(results: Results, pair: Pair, name: str, column: Column) -> Cell:
    value = column.value
    if value.fact in TIMED:
        return _timed_cell(results, (*pair, name, 0), value)
    if value.fact:
        dimensions = results.experiment["features"]["/".join(pair)]["dimensions"]
        known = value.fact == "code_bytes" and dimensions
        return (
            Cell(value.printed(FEATURE_BYTES * dimensions), number=FEATURE_BYTES * dimensions)
            if known
            else Cell(DASH, "omitted")
        )
    if results.omission(pair, value.metric, column.k):
        return Cell(DASH, "omitted")
    numbers = [
        list(results.scores.get((*pair, name, 0, metric, column.k), {}).values())
        for metric in (value.metric, value.to)
        if metric
    ]
    if not all(numbers):
        return Cell("missing", "missing")
    return replace(_summary(numbers, value), interval=_interval(results, (*pair, name, 0), value))
