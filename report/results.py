"""The collected results of one experiment, indexed so that tables and figures only look up."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pandas as pd

from harness import families, records, schemas, storage
from harness.errors import BenchmarkError
from harness.plain_text import plain, plain_values
from harness.variants import control_bits
from report.tables.table_specs import NUMBER_FACTS

# Keys of experiment.json, and their types.
EXPERIMENT_KEYS = {
    "partial": bool,
    "name": str,
    "sha256": dict,
    "date": str,
    "commit": str,
    "dirty": bool,
    "bits": list,
    "seeds": list,
    "grid": list,
    "datasets": dict,
    "features": dict,
    "methods": list,
    "controls": list,
}
# Keys of the entries of these lists and dictionaries.
ENTRY_KEYS = {
    "datasets": ("label", "plugin", "base"),
    "features": ("label", "dimensions", "note"),
    "methods": (
        *("name", "label", "method", "citation", "note", "base", "trial", "tuned", "tuned_on"),
        *("stochastic", "keywords"),
    ),
    "controls": ("name", "label"),
}
# Columns of runs.csv that have a JSON object or nothing.
JSON_COLUMNS = ("keywords", "versions")
STATES = ("done", "failed", "interrupted", "missing")
# Methods in a figure, and in a long table of the page: more are unreadable, and slow to load.
MOST_SHOWN = 40


class Pair(NamedTuple):
    """A data set and the features that rank its images: what one panel of a table shows."""

    dataset: str
    features: str

    @property
    def file_part(self) -> str:
        """The pair in the name of a file.

        No name has two hyphens in a row (config/schema.yaml), so no two pairs share a file.
        """
        return f"{self.dataset}--{self.features}"


class Comparison(NamedTuple):
    """The test of two methods at one code length.

    Attributes
    ----------
    p : float or None
        Without correction; None if there are fewer seeds than a test needs.
    detectable : float
        Smallest true difference that the test detects with power 0.8.
    """

    p: float | None
    detectable: float


class Curve(NamedTuple):
    """A metric over k: mean and standard deviation (n - 1) over the seeds that are done.

    Attributes
    ----------
    k : ndarray, shape (m,), int64
        Ranks or radii.
    mean, deviation : ndarray, shape (m,), float64
        The deviation of one seed is nan.
    """

    k: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class Results:
    """What `collect` wrote, indexed.

    Attributes
    ----------
    experiment : dict
        Content of experiment.json.
    runs : dict
        (dataset, features, variant, bits) -> the planned runs, one for each seed.
    scores : dict
        (dataset, features, variant, bits, metric, k or None) -> {seed: value}.
    curves : dict
        (dataset, features, variant, bits, metric) -> Curve.
    intervals : dict
        (dataset, features, variant, bits) -> ends of the interval of the mean average precision.
    comparisons : dict
        (dataset, features, bits, higher variant, lower variant) -> Comparison.
    timing : dict
        (dataset, features, variant, bits) -> row of timing.csv; empty if nothing was timed.
    """

    experiment: dict
    runs: dict[tuple, list[dict]]
    scores: dict[tuple, dict[int, float]]
    curves: dict[tuple, Curve]
    intervals: dict[tuple, tuple[float, float]]
    comparisons: dict[tuple, Comparison]
    timing: dict[tuple, dict[str, str]]

    @property
    def pairs(self) -> list[Pair]:
        return [Pair(*names) for names in self.experiment["grid"]]

    @property
    def methods(self) -> list[dict]:
        return self.experiment["methods"]

    @property
    def controls(self) -> list[dict]:
        return self.experiment["controls"]

    @property
    def labels(self) -> dict[str, str]:
        """{name: label} of every method."""
        return {method["name"]: method["label"] for method in self.methods}

    def all_runs(self) -> list[dict]:
        return [run for group in self.runs.values() for run in group]

    def lengths(self, pair: Pair, name: str) -> list[int]:
        """Return the code lengths at which a method was planned to run."""
        return [bits for bits in self.experiment["bits"] if (*pair, name, bits) in self.runs]

    def plugin_of(self, dataset: str) -> str:
        """Return the name of the file in datasets/ that a data set comes from."""
        return self.experiment["datasets"][dataset]["plugin"]

    def label(self, pair: Pair) -> str:
        """Return the label of a data set and its features, for example ``Digits, Pixels``."""
        features = self.experiment["features"]["/".join(pair)]["label"]
        return f"{self.experiment['datasets'][pair.dataset]['label']}, {features}"

    def is_best(
        self, pair: Pair, bits: int | None, name: str, other: str, columns: int
    ) -> bool | None:
        """Return whether the best method of a column is significantly above another one.

        Parameters
        ----------
        pair : Pair
        bits : int or None
        name, other : str
            The method with the highest mean, and another one.
        columns : int
            Number of code lengths of the table, see `harness.families`.

        Returns
        -------
        bool or None
            None if the two methods were not tested.
        """
        comparison = self.comparisons.get((*pair, bits, name, other))
        if comparison is None or comparison.p is None:
            return None
        return families.is_best(comparison.p, columns)

    def of_control(
        self, pair: Pair, name: str, bits: int | None, metric: str, k: int | None = None
    ) -> float | None:
        """Return the value of a control; None if it is not scored.

        Parameters
        ----------
        pair : Pair
        name : str
        bits : int or None
            Code length, which decides nothing for most controls.
        metric : str
        k : int or None
        """
        length = control_bits(name, bits or 0)
        return self.scores.get((*pair, name, length, metric, k), {}).get(0)

    def chance(self, pair: Pair, metric: str) -> float | None:
        """Return the value of a random ranking.

        Parameters
        ----------
        pair : Pair
        metric : {"map_chance", "relevant_share"}
            The second is the precision of a random ranking at any rank.

        Returns
        -------
        float or None
            None if no run is scored.
        """
        keys = [(control["name"], 0) for control in self.controls]
        for method in self.methods:
            keys += [(method["name"], bits) for bits in self.experiment["bits"]]
        for variant, bits in keys:
            for value in self.scores.get((*pair, variant, bits, metric, None), {}).values():
                return value
        return None

    def leading(self, pair: Pair) -> set[str]:
        """Return the names of the methods that figures and long tables of the page show.

        These are all methods, or the MOST_SHOWN with the highest mean average precision, averaged
        over code lengths and seeds.
        """
        everything = {method["name"] for method in self.methods}
        return self._leading.get(pair, everything)  # the paper's pairs need not be measured

    @cached_property
    def _leading(self) -> dict[Pair, set[str]]:
        names = {method["name"] for method in self.methods}
        if len(names) <= MOST_SHOWN:
            return {}

        values: dict[Pair, dict[str, list[float]]] = {}
        for (dataset, features, variant, _, metric, _), of_seeds in self.scores.items():
            if metric == "map" and variant in names:
                of_pair = values.setdefault(Pair(dataset, features), defaultdict(list))
                of_pair[variant].append(fmean(of_seeds.values()))

        leading = {}
        for pair in self.pairs:
            of_variants = values.get(pair, {})
            means = {variant: fmean(of_bits) for variant, of_bits in of_variants.items()}
            leading[pair] = set(sorted(means, key=means.__getitem__, reverse=True)[:MOST_SHOWN])
        return leading

    def omission(self, pair: Pair, metric: str, k: int | None) -> str | None:
        """Return why a metric is omitted for a data set and its features; None if it is not."""
        for entry in self.experiment.get("omitted", []):
            is_of_pair = (entry["dataset"], entry["features"]) == pair
            if is_of_pair and (entry["metric"], entry["k"] or None) == (metric, k):
                return entry["reason"]
        return None


def read(folder: Path) -> Results:
    """Read the files that `python -m experiments collect` writes, and timing.csv if there is one.

    Raises
    ------
    BenchmarkError
        If a file is missing, was changed, or is not what `collect` writes.
    """
    experiment = _read_experiment(folder / "experiment.json")
    _check_digests(folder / "experiment.json", experiment, schemas.COLLECTED_TABLES)
    metrics = _read_metrics(folder / "metrics.csv")
    is_curve = metrics["metric"].str.startswith(schemas.CURVES)
    timed = experiment.get("timed") and not experiment["partial"]
    return Results(
        experiment=experiment,
        runs=_read_runs(folder / "runs.csv"),
        scores=_index_scores(metrics[~is_curve]),
        curves=_index_curves(metrics[is_curve]),
        intervals=_read_intervals(folder / "statistics.csv"),
        comparisons=_read_comparisons(folder / "comparisons.csv"),
        timing=_read_timing(folder) if timed else {},
    )


# ------------------------------------------------------------------ experiment.json


def _read_experiment(path: Path) -> dict:
    try:
        experiment = json.loads(_existing(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _broken(path, f"is not valid JSON: {error}") from None

    if not isinstance(experiment, dict):
        raise _broken(path, "is not a JSON object")

    records.checked_format(experiment, path)
    experiment = plain_values(experiment)
    _check_keys(path, experiment)
    _check_entries(path, experiment)
    _distinguish_labels(experiment)
    return experiment


def _check_keys(path: Path, experiment: dict) -> None:
    """Raise BenchmarkError if a key is missing or has another type than `collect` writes."""
    missing = [key for key in EXPERIMENT_KEYS if key not in experiment]
    if missing:
        raise _broken(path, f"has no key {', '.join(missing)}")

    for key, kind in EXPERIMENT_KEYS.items():
        if not isinstance(experiment[key], kind):
            raise _broken(path, f"has {experiment[key]!r} as {key}, expected {kind.__name__}")

    for key in ("bits", "seeds"):
        if not all(isinstance(number, int) for number in experiment[key]):
            raise _broken(path, f"has {experiment[key]} as {key}, expected whole numbers")


def _check_entries(path: Path, experiment: dict) -> None:
    """Raise BenchmarkError if a method, control, data set or features lack a key."""
    for key, names in ENTRY_KEYS.items():
        entries = experiment[key]
        for entry in entries.values() if isinstance(entries, dict) else entries:
            absent = [name for name in names if not isinstance(entry, dict) or name not in entry]
            if absent:
                raise _broken(path, f"has an entry of {key} without {', '.join(absent)}")
            for name in ("label", "name"):
                if not isinstance(entry.get(name, ""), str):
                    raise _broken(path, f"has {entry[name]!r} as {name} in {key}, expected a text")

    for pair in experiment["grid"]:
        valid = isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, str) for n in pair)
        known = valid and pair[0] in experiment["datasets"]
        if not known or "/".join(pair) not in experiment["features"]:
            raise _broken(path, f"has {pair!r} in grid, expected a data set and its features")


def _distinguish_labels(experiment: dict) -> None:
    """Add the names to labels that are shared: a variant without a label has its plugin's."""
    _add_names([(entry["name"], entry) for entry in experiment["methods"] + experiment["controls"]])
    _add_names([*experiment["datasets"].items()])
    features = defaultdict(list)
    for key, entry in experiment["features"].items():
        dataset, _, name = key.partition("/")
        features[dataset].append((name, entry))
    for entries in features.values():
        _add_names(entries)


def _add_names(entries: list[tuple[str, dict]]) -> None:
    counts = Counter(entry["label"] for _, entry in entries)
    for name, entry in entries:
        if counts[entry["label"]] > 1:
            entry["label"] += f" ({name})"


def _check_digests(path: Path, record: dict, names: Iterable[str]) -> None:
    """Raise BenchmarkError if a table is not the file that its record at `path` describes."""
    digests = record.get("sha256")
    for name in names:
        table = _existing(path.with_name(name))
        if not isinstance(digests, dict) or storage.digest(table) != digests.get(name):
            raise _broken(
                table,
                f"was changed after it was written: its SHA-256 is not the one in {path.name}",
            )


# -------------------------------------------------------------------------- tables


def _read_metrics(path: Path) -> pd.DataFrame:
    texts = dict.fromkeys(("dataset", "features", "variant", "metric", "value"), str)
    try:
        # A variant may be called "NA" or "null": only numeric columns have empty cells.
        metrics = pd.read_csv(
            _existing(path), dtype=texts, keep_default_na=False, na_values={"k": [""]}
        )
        _check_columns(path, schemas.METRICS_CSV, metrics.columns)
        for column in ("bits", "seed", "k"):
            numbers = metrics[column].dropna().astype("float64")
            if not (np.isfinite(numbers) & (numbers % 1 == 0)).all():
                raise ValueError(f"found another number than a whole one as {column}")
        metrics = metrics.astype({"bits": "int64", "seed": "int64", "k": "float64"})
    except (ValueError, TypeError, OverflowError) as error:  # pandas' own errors are ValueErrors
        raise _broken(path, f"is not a valid table: {error}") from None

    values = metrics["value"].map(_float).astype("float64")
    invalid = ~np.isfinite(values)
    if invalid.any():
        row = metrics[invalid].iloc[0]
        raise _broken(
            path,
            f"has the value {row['value']!r} for {row['metric']} of {row['variant']}, expected a "
            "finite number",
        )

    keys = [name for name in schemas.METRICS_CSV if name != "value"]
    repeated = metrics.duplicated(keys)
    if repeated.any():
        row = metrics[repeated].iloc[0]
        cell = f"{row['metric']} of {row['variant']}, {row['bits']} bits, seed {row['seed']}"
        raise _broken(path, f"has two values for {cell}")

    return metrics.assign(value=values)


def _float(text: object) -> float:
    """Return what Python reads exactly, the inverse of repr; nan for any other text."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _read_rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with _existing(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path, columns, reader.fieldnames or ())
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise _broken(path, f"has another number of cells in line {reader.line_num}")
                rows.append(row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise _broken(path, f"is not a valid table: {error}") from None

    return rows


def _whole_number(path: Path, row: dict[str, str], column: str) -> int:
    try:
        return int(row[column])
    except ValueError:
        raise _broken(path, f"has {row[column]!r} as {column}, expected a whole number") from None


def _read_intervals(path: Path) -> dict[tuple, tuple[float, float]]:
    intervals = {}
    for row in _read_rows(path, schemas.STATISTICS_CSV):
        ends = (_float(row["low"]), _float(row["high"]))
        if not np.isfinite(ends).all():
            raise _broken(
                path,
                f"has the interval {row['low']} to {row['high']} for {row['variant']}, expected "
                "finite numbers",
            )
        bits = _whole_number(path, row, "bits")
        intervals[row["dataset"], row["features"], row["variant"], bits] = ends

    return intervals


def _read_comparisons(path: Path) -> dict[tuple, Comparison]:
    comparisons = {}
    for row in _read_rows(path, schemas.COMPARISONS_CSV):
        if row["significant"] not in schemas.VERDICTS:
            expected = ", ".join(schemas.VERDICTS)
            raise _broken(
                path, f"has {row['significant']!r} as `significant`, expected one of {expected}"
            )
        bits = _whole_number(path, row, "bits")
        key = (row["dataset"], row["features"], bits, row["variant"], row["other"])
        p, detectable = _float(row["p"]), _float(row["detectable"])
        if math.isnan(p) or math.isnan(detectable):
            names = f"{row['variant']} and {row['other']}"
            raise _broken(path, f"has no number as `p` or `detectable` of {names}")
        is_tested = schemas.VERDICTS[row["significant"]] is not None
        comparisons[key] = Comparison(p if is_tested else None, detectable)

    return comparisons


def _read_timing(folder: Path) -> dict[tuple, dict[str, str]]:
    path, record = folder / "timing.csv", folder / "timing.json"
    _check_digests(record, records.read(_existing(record)), ["timing.csv"])
    timing = {}
    for row in _read_rows(path, schemas.TIMING_CSV):
        bits = _whole_number(path, row, "bits")
        timing[row["dataset"], row["features"], row["variant"], bits] = plain_values(row)
    return timing


def _read_runs(path: Path) -> dict[tuple, list[dict]]:
    runs = defaultdict(list)
    for row in _read_rows(path, schemas.RUNS_CSV):
        run = {name: plain(text) for name, text in row.items()}
        run["bits"] = _whole_number(path, row, "bits")
        run["seed"] = _whole_number(path, row, "seed")
        _check_run(path, run)
        runs[run["dataset"], run["features"], run["variant"], run["bits"]].append(run)
    return dict(runs)


def _check_run(path: Path, run: dict) -> None:
    """Raise BenchmarkError if a cell of runs.csv is not what its column has."""
    if run["status"] not in STATES:
        raise _broken(path, f"has the status {run['status']!r}, expected {', '.join(STATES)}")

    for column in NUMBER_FACTS:
        if run[column] and not math.isfinite(_float(run[column])):
            raise _broken(path, f"has {run[column]!r} as {column}, expected a number or nothing")

    for column in JSON_COLUMNS:
        try:
            value = json.loads(run[column] or "{}")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise _broken(path, f"has {run[column]!r} as {column}, expected a JSON object")


def _index_scores(metrics: pd.DataFrame) -> dict[tuple, dict[int, float]]:
    """Return {seed: value} of each (dataset, features, variant, bits, metric, k or None)."""
    scores = defaultdict(dict)
    rows = metrics[list(schemas.METRICS_CSV)].itertuples(index=False)
    for dataset, features, variant, bits, seed, metric, k, value in rows:
        cut = None if np.isnan(k) else int(k)
        scores[dataset, features, variant, bits, metric, cut][seed] = value
    return dict(scores)


def _index_curves(metrics: pd.DataFrame) -> dict[tuple, Curve]:
    """Return the curve of each (dataset, features, variant, bits, metric) over the column k."""
    keys = ["dataset", "features", "variant", "bits", "metric"]
    points = metrics.groupby([*keys, "k"], sort=True)["value"].agg(["mean", "std"]).reset_index()
    curves = {}
    for key, group in points.groupby(keys, sort=False):
        k = group["k"].to_numpy(dtype=np.int64)
        curves[key] = Curve(k, group["mean"].to_numpy(), group["std"].to_numpy())
    return curves


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BenchmarkError(
            f"{path} does not exist: run `snakemake`, which writes it, or name its folder with "
            "--results"
        )
    return path


def _check_columns(path: Path, expected: tuple[str, ...], columns: Iterable[str]) -> None:
    missing = [name for name in expected if name not in list(columns)]
    if missing:
        raise _broken(path, f"lacks the columns {', '.join(missing)}")


def _broken(path: Path, problem: str) -> BenchmarkError:
    return BenchmarkError(
        f"{path} {problem}: delete it and rerun the `snakemake` command, which writes it"
    )
