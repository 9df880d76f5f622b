"""Write statistics.csv and comparisons.csv from the average precision of every query."""

from __future__ import annotations

import csv
import itertools
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from evaluation.significance import CONFIDENCE, Cell, estimate, holm
from harness import schemas, storage
from harness.errors import BenchmarkError, one_line
from harness.plan import Plan, Score
from harness.variants import CONTROLS

SEEDS_NEEDED = 3  # of a method with randomness, before a difference is called significant


def write(root: Path, plan: Plan, scores: Iterable[Score]) -> None:
    """Write statistics.csv and comparisons.csv into `root`, from the histograms.npz of each score.

    statistics.csv has one row per cell: mean, standard deviation over seeds (n - 1), and the
    interval over seeds and queries. comparisons.csv has one row per two methods at one code length,
    the method with the higher mean first: the difference with its interval, the p value of the test
    (paired over queries), the p value after Holm's correction over the whole file, and whether the
    difference is `significant`: ``yes`` if p_holm < 0.05, else ``no``, or ``too few seeds``.

    Parameters
    ----------
    root : Path
        Folder of the experiment.
    plan : Plan
    scores : iterable of Score

    Raises
    ------
    BenchmarkError
        For a file that cannot be read, and for two files with different queries.
    """
    statistics, compared = [], []
    for place in plan.places:
        cells = _cells(plan, [score for score in scores if score.place == place])
        names = place.dataset, place.features
        statistics += [(*names, *key, *_statistics(cell)) for key, cell in cells.items()]
        compared += [(*names, *row) for row in _comparisons(plan, cells)]

    corrected = holm([row[-2] for row in compared])
    comparisons = [
        (*row, p, _verdict(p, tested))
        for (*row, tested), p in zip(compared, corrected, strict=True)
    ]
    _write_table(root / "statistics.csv", schemas.STATISTICS_CSV, statistics)
    _write_table(root / "comparisons.csv", schemas.COMPARISONS_CSV, comparisons)


def read(path: Path) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray]]:
    """Yield the average precision of every run in a histograms.npz.

    Yields
    ------
    run : tuple of int
        Bits and seed.
    queries : ndarray of shape (Q,), int64
        Image index of each query.
    average_precision : ndarray of shape (Q,), float64

    Raises
    ------
    BenchmarkError
        If the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            queries = stored["query"]
            for name in stored.files:
                parsed = schemas.parsed_array(name)
                if parsed and parsed[2] == "ap":
                    yield parsed[:2], queries, stored[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchmarkError(
            f"{path} cannot be read ({one_line(error)}): delete its folder and rerun the command"
        ) from None


def _cells(plan: Plan, scores: Iterable[Score]) -> dict[tuple[str, int], Cell]:
    """(variant, bits) -> cell, of one data set and its features."""
    runs, queries = {}, None
    for score in scores:
        for run, scored_queries, values in read(score.histograms):
            if queries is not None and not np.array_equal(scored_queries, queries):
                raise BenchmarkError(
                    f"{score.folder} was scored on other queries than the folders beside it: "
                    "delete it and rerun the command"
                )
            queries = scored_queries
            runs[score, run] = values

    cells = {}
    groups = itertools.groupby(sorted(runs), key=lambda key: (key[0], key[1][0]))
    for (score, bits), group in groups:
        values = np.stack([runs[key] for key in group])
        planned = _planned_seeds(plan, score, bits)
        tested = len(values) >= SEEDS_NEEDED or not _seeded(score.variant, plan)
        cells[score.variant, bits] = Cell(values, len(values) == planned, tested)
    return cells


def _planned_seeds(plan: Plan, score: Score, bits: int) -> int:
    """How many runs the plan has at one code length; a control has one, at 0 bits."""
    if score.variant in CONTROLS:
        return 1
    return sum(run.bits == bits for run in plan.runs_of(score))


def _seeded(name: str, plan: Plan) -> bool:
    """Whether a method is random. Codes from files may be, even if there is only one seed."""
    return name not in CONTROLS and plan.methods[name].seeded


def _statistics(cell: Cell) -> tuple:
    """The columns of statistics.csv after those that identify a cell."""
    seeds, queries = cell.average_precision.shape
    deviation = float(cell.of_seeds.std(ddof=1)) if seeds > 1 else ""
    mean = estimate(cell.of_queries, cell.of_seeds)
    return seeds, queries, mean.value, deviation, *mean.interval(lowest=0)


def _comparisons(plan: Plan, cells: dict[tuple[str, int], Cell]) -> Iterator[tuple]:
    """bits, variant, other, difference, low, high, p, tested; the higher mean first."""
    for bits in plan.bits:
        present = {name: cells[name, bits] for name in plan.methods if (name, bits) in cells}
        complete = {name: cell for name, cell in present.items() if cell.complete}
        ordered = sorted(complete, key=lambda name: -complete[name].of_queries.mean())
        for name, other in itertools.combinations(ordered, 2):
            better, worse = complete[name], complete[other]
            differences = better.of_queries - worse.of_queries
            mean = estimate(differences, better.of_seeds, worse.of_seeds)
            tested = better.tested and worse.tested
            yield bits, name, other, mean.value, *mean.interval(lowest=-1), mean.p, tested


def _verdict(p: float, tested: bool) -> str:
    if not tested:
        return "too few seeds"
    return "yes" if p < 1 - CONFIDENCE else "no"


def _write_table(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    """Write a CSV; floats as the shortest text that gives the same number when it is read."""
    with (
        storage.new_file(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([columns, *rows])
