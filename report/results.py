"""The collected results of one experiment, read once and grouped once: every table and figure looks up, none filters."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from harness import families, records, schemas, storage
from harness.errors import BenchmarkError

EXPERIMENT_KEYS = ("partial", "name", "sha256", "date", "commit", "dirty", "bits", "seeds", "grid", "datasets", "features", "methods",
                   "controls")  # fmt: skip
CURVES = (
    "pr_"  # metrics of this prefix are curves over k: a few hundred values a run, wanted as arrays
)


class Pair(NamedTuple):
    """A data set and the features that its images are ranked by: what one panel of a table shows."""

    dataset: str
    features: str

    @property
    def file_part(self) -> str:
        """The pair in a file's name. No name holds two hyphens in a row (config/schema.yaml), so that no two pairs share a file."""
        return f"{self.dataset}--{self.features}"


class Comparison(NamedTuple):
    """The test of two methods at one code length.

    p: without correction, None for fewer seeds than a test needs. detectable: smallest true difference that the test detects with power 0.8.
    """

    p: float | None
    detectable: float


class Curve(NamedTuple):
    """A metric over k, the ranks or the radii (m,) int64: mean and standard deviation (n - 1) over the seeds done, (m,) float64.

    The deviation is nan where one seed is done.
    """

    k: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class Results:
    """What `collect` wrote, indexed.

    experiment: results/experiment.json; runs: (dataset, features, variant, bits) -> the runs asked for, one a seed;
    scores: (dataset, features, variant, bits, metric, k or None) -> {seed: value};
    curves: (dataset, features, variant, bits, metric) -> Curve;
    intervals: (dataset, features, variant, bits) -> ends of the interval of the mean average precision;
    comparisons: (dataset, features, bits, higher variant, lower variant) -> Comparison;
    timing: (dataset, features, variant, bits) -> what was measured with nothing beside, texts, where the experiment asks for it.
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

    def all_runs(self) -> list[dict]:
        return [run for group in self.runs.values() for run in group]

    def plugin_of(self, dataset: str) -> str:
        """Name of the file in datasets/ that a data set comes from."""
        return self.experiment["datasets"][dataset]["plugin"]

    def label(self, pair: Pair) -> str:
        features = self.experiment["features"]["/".join(pair)]["label"]
        return f"{self.experiment['datasets'][pair.dataset]['label']}, {features}"

    def is_best(
        self, pair: Pair, bits: int | None, name: str, other: str, columns: int
    ) -> bool | None:
        """Whether the best method of a column is significantly above another one; None if that was not tested.

        columns: of the table, see `harness.families`.
        """
        comparison = self.comparisons.get((*pair, bits, name, other))
        if comparison is None or comparison.p is None:
            return None
        return families.is_best(comparison.p, columns)

    def chance(self, pair: Pair, metric: str) -> float | None:
        """What a random ranking has: `map_chance`, or the precision at any rank, `relevant_share`; None where no run is scored."""
        entries = [
            *((method["name"], bits) for method in self.methods for bits in self.experiment["bits"])
        ]
        entries += [(control["name"], 0) for control in self.controls]
        for variant, bits in entries:
            for value in self.scores.get((*pair, variant, bits, metric, None), {}).values():
                return value
        return None

    def omission(self, pair: Pair, metric: str, k: int | None) -> str | None:
        """Why a metric was left out for a data set and its features, or None where it was not."""
        for entry in self.experiment.get("omitted", []):
            if (entry["dataset"], entry["features"], entry["metric"], entry["k"] or None) == (
                *pair,
                metric,
                k,
            ):
                return entry["reason"]
        return None


def read(folder: Path) -> Results:
    """Read metrics.csv, runs.csv, statistics.csv, comparisons.csv, experiment.json and, of what was timed, timing.csv of a results folder.

    Raises BenchmarkError where a file is absent or not what `python -m experiments collect` writes.
    """
    experiment = _read_experiment(folder / "experiment.json")
    _check_digests(folder / "experiment.json", experiment)
    metrics = _read_metrics(folder / "metrics.csv")
    curve = metrics["metric"].str.startswith(CURVES)
    return Results(
        experiment,
        _read_runs(folder / "runs.csv"),
        _index_scores(metrics[~curve]),
        _index_curves(metrics[curve]),
        _read_intervals(folder / "statistics.csv"),
        _read_comparisons(folder / "comparisons.csv"),
        _read_timing(folder) if experiment.get("timed") and not experiment["partial"] else {},
    )


def _read_experiment(path: Path) -> dict:
    try:
        experiment = json.loads(_existing(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise _broken(path, f"is not valid JSON: {error}") from None
    if not isinstance(experiment, dict):
        raise _broken(path, "is not a JSON object")
    records.checked_format(experiment, path)
    missing = [key for key in EXPERIMENT_KEYS if key not in experiment]
    if missing:
        raise _broken(path, f"lacks {', '.join(missing)}")
    _tell_apart(
        [(entry["name"], entry) for entry in experiment["methods"] + experiment["controls"]]
    )
    _tell_apart([*experiment["datasets"].items()])
    for dataset in experiment["datasets"]:
        _tell_apart(
            [
                (key, entry)
                for key, entry in experiment["features"].items()
                if key.startswith(f"{dataset}/")
            ]
        )
    return experiment


def _check_digests(path: Path, record: dict) -> None:
    """Raise BenchmarkError if a table is not the file that its record, the content of `path`, describes."""
    for name, expected in record["sha256"].items():
        table = _existing(path.with_name(name))
        if storage.digest(table) != expected:
            raise _broken(
                table,
                f"was changed after it was written: its SHA-256 is not the one in {path.name}",
            )


def _tell_apart(named: list[tuple[str, dict]]) -> None:
    """Add their names to the labels of entries that share one: a variant without a label has that of its plugin."""
    shared = Counter(entry["label"] for _, entry in named)
    for name, entry in named:
        if shared[entry["label"]] > 1:
            entry["label"] += f" ({name.rpartition('/')[2]})"


def _read_metrics(path: Path) -> pd.DataFrame:
    text = dict.fromkeys(("dataset", "features", "variant", "metric", "value"), str)
    try:
        # A variant may be called "NA" or "null": only the numeric columns have empty cells.
        metrics = pd.read_csv(
            _existing(path), dtype=text, keep_default_na=False, na_values={"k": [""]}
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise _broken(path, f"is no table: {error}") from None
    _check_columns(path, schemas.METRICS_CSV, metrics.columns)
    values = metrics["value"].map(_float).astype("float64")
    wrong = ~np.isfinite(values)
    if wrong.any():
        row = metrics[wrong].iloc[0]
        raise _broken(
            path,
            f"has the value {row['value']!r} for {row['metric']} of {row['variant']}, expected a finite number",
        )
    keys = [name for name in schemas.METRICS_CSV if name != "value"]
    if metrics.duplicated(keys).any():
        row = metrics[metrics.duplicated(keys)].iloc[0]
        raise _broken(
            path,
            f"has two values for {row['metric']} of {row['variant']}, {row['bits']} bits, seed {row['seed']}",
        )
    return metrics.assign(value=values, k=metrics["k"].astype("float64"))


def _float(text: str) -> float:
    """Python's own exact reading, the inverse of repr; nan for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _read_rows(path: Path, columns: tuple[str, ...]) -> list[dict]:
    try:
        with _existing(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
            found = reader.fieldnames or ()
    except (UnicodeDecodeError, csv.Error) as error:
        raise _broken(path, f"is no CSV file in UTF-8 ({error})") from None
    _check_columns(path, columns, found)
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise _broken(path, f"is cut: row {line} has not {len(found)} cells")
        for column in ("bits", "seed"):
            if column in row and not row[column].isdecimal():
                raise _broken(path, f"has {row[column]!r} as `{column}`, expected a whole number")
    return rows


def _read_intervals(path: Path) -> dict[tuple, tuple[float, float]]:
    places = {}
    for row in _read_rows(path, schemas.STATISTICS_CSV):
        ends = (_float(row["low"]), _float(row["high"]))
        if not np.isfinite(ends).all():
            raise _broken(
                path,
                f"has the interval {row['low']} to {row['high']} for {row['variant']}, expected finite numbers",
            )
        places[row["dataset"], row["features"], row["variant"], int(row["bits"])] = ends
    return places


def _read_comparisons(path: Path) -> dict[tuple, Comparison]:
    compared = {}
    for row in _read_rows(path, schemas.COMPARISONS_CSV):
        if row["significant"] not in schemas.VERDICTS:
            raise _broken(
                path,
                f"has {row['significant']!r} as `significant`, expected one of {', '.join(schemas.VERDICTS)}",
            )
        key = (row["dataset"], row["features"], int(row["bits"]), row["variant"], row["other"])
        p, detectable = _float(row["p"]), _float(row["detectable"])
        if math.isnan(p) or math.isnan(detectable):
            raise _broken(
                path, f"has no number as `p` or `detectable` of {row['variant']} and {row['other']}"
            )
        tested = schemas.VERDICTS[row["significant"]] is not None
        compared[key] = Comparison(p if tested else None, detectable)
    return compared


def _read_timing(folder: Path) -> dict[tuple, dict[str, str]]:
    record = folder / "timing.json"
    _check_digests(record, records.read(_existing(record)))
    rows = _read_rows(folder / "timing.csv", schemas.TIMING_CSV)
    return {
        (*(row[name] for name in schemas.TIMING_CSV[:3]), int(row["bits"])): row for row in rows
    }


def _read_runs(path: Path) -> dict[tuple, list[dict]]:
    runs = defaultdict(list)
    for row in _read_rows(path, schemas.RUNS_CSV):
        run = row | {"bits": int(row["bits"]), "seed": int(row["seed"])}
        runs[run["dataset"], run["features"], run["variant"], run["bits"]].append(run)
    return dict(runs)


def _index_scores(metrics: pd.DataFrame) -> dict[tuple, dict[int, float]]:
    scores = defaultdict(dict)
    for dataset, features, variant, bits, seed, metric, k, value in metrics[
        list(schemas.METRICS_CSV)
    ].itertuples(index=False):
        scores[dataset, features, variant, bits, metric, None if np.isnan(k) else int(k)][seed] = (
            value
        )
    return dict(scores)


def _index_curves(metrics: pd.DataFrame) -> dict[tuple, Curve]:
    keys = ["dataset", "features", "variant", "bits", "metric"]
    means = metrics.groupby([*keys, "k"], sort=True)["value"].agg(["mean", "std"]).reset_index()
    return {
        key: Curve(group["k"].to_numpy(dtype=np.int64), group["mean"].to_numpy(), group["std"].to_numpy())
        for key, group in means.groupby(keys, sort=False)
    }  # fmt: skip


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BenchmarkError(
            f"{path} does not exist: run `snakemake`, which writes it, or name its folder with --results"
        )
    return path


def _check_columns(path: Path, expected: tuple[str, ...], found: object) -> None:
    missing = [name for name in expected if name not in found]
    if missing:
        raise _broken(path, f"lacks the columns {', '.join(missing)}")


def _broken(path: Path, what: str) -> BenchmarkError:
    return BenchmarkError(
        f"{path} {what}: delete it and rerun the `snakemake` command, which writes it"
    )
