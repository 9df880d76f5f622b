"""The collected tables of a published folder, as `collect` writes those of an experiment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments import statistics, tables
from harness import plugins, schemas, storage
from harness.variants import CONTROLS

if TYPE_CHECKING:
    from experiments.publish import Contents


def write(root: Path, contents: Contents) -> None:
    """Write metrics.csv, runs.csv, statistics.csv, comparisons.csv and experiment.json.

    Parameters
    ----------
    root : Path
        An existing folder.
    contents : Contents
        Every cell is complete. Intervals and tests are those of the published average precision,
        which is float32. Nothing is timed.
    """
    rows = [row for row, _ in contents.runs.values()]
    tables.write_rows(root / "runs.csv", schemas.RUNS_CSV, rows)
    tables.write(root / "metrics.csv", schemas.METRICS_CSV, metrics_rows(contents.metrics))
    experiment = contents.experiment
    seeded = {method["name"]: _takes_seed(method) for method in experiment["methods"]}
    statistics.write_cells(root, _cells(contents), seeded, experiment["bits"])
    digests = {name: storage.digest(root / name) for name in schemas.COLLECTED_TABLES}
    facts = {"partial": False, "timed": [], "failures": [], "sha256": digests}
    storage.write_json(root / "experiment.json", experiment | facts)


def metrics_rows(metrics: dict[str, list[tuple[str, str, str]]]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of metrics.csv; metrics: as of `Contents`."""
    for name, values in metrics.items():
        *variant, length, seed = name.split("/")
        key = *variant, length.removesuffix("bit"), seed.removeprefix("seed")
        yield from ((*key, *value) for value in values)


def _takes_seed(method: dict) -> bool:
    name = method["method"]
    if name not in plugins.names("methods"):  # it was removed
        return method["stochastic"]
    return "seed" in plugins.read_plugin("methods", name).defaults


def _cells(
    contents: Contents,
) -> dict[tuple[str, str], dict[statistics.CellKey, statistics.Cell]]:
    """Return the cells of each data set and its features."""
    values = defaultdict(list)
    for name in (*contents.runs, *filter(is_of_control, contents.queries)):
        dataset, features, variant, length, _ = name.split("/")
        key = dataset, features, variant, int(length.removesuffix("bit"))
        values[key].append(contents.queries[name].astype(np.float64))
    cells = defaultdict(dict)
    for (dataset, features, variant, bits), seeds in values.items():
        cells[dataset, features][variant, bits] = statistics.cell_of(np.stack(seeds))
    return dict(cells)


def is_of_control(name: str) -> bool:
    """Whether a name of `Contents` is that of a control."""
    return name.split("/")[2] in CONTROLS
