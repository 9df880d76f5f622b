"""Write statistics.csv and comparisons.csv from the average precision of every query."""

from __future__ import annotations

import itertools
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.significance import (
    POOLED_SEEDS,
    Estimate,
    Floats,
    Variance,
    estimate,
    interval,
    over_queries,
    over_seeds,
    over_seeds_pooled,
)
from experiments import tables
from harness import schemas
from harness.errors import BenchmarkError, one_line
from harness.families import LEVEL, holm
from harness.plan import Plan, Score
from harness.variants import CONTROLS

# Seeds of a method with randomness before it is tested: fewer suffice if its variance over seeds
# can be pooled over code lengths.
TESTED_SEEDS = POOLED_SEEDS
TESTED_SEEDS_POOLED = 3

CellKey = tuple[str, int]  # variant and bits


@dataclass(frozen=True)
class Cell:
    """One variant at one code length.

    Parameters
    ----------
    of_queries : ndarray of shape (Q,), float64
        Average precision of each query, the mean over seeds.
    of_seeds : ndarray of shape (S,), float64
        Mean average precision of each seed.
    complete : bool
        Whether all planned seeds are present.
    """

    of_queries: Floats
    of_seeds: Floats
    complete: bool

    @property
    def variance_of_seeds(self) -> float:
        """Sample variance (n - 1) over seeds; 0 with one seed."""
        return float(self.of_seeds.var(ddof=1)) if len(self.of_seeds) > 1 else 0.0


def cell_of(average_precision: Floats, complete: bool = True) -> Cell:
    """Return the cell of average precision float64 (S, Q), by seed and query."""
    return Cell(average_precision.mean(axis=0), average_precision.mean(axis=1), complete)


def write(root: Path, plan: Plan, scores: Iterable[Score]) -> None:
    """Write statistics.csv and comparisons.csv into `root`, from the histograms.npz of each score.

    `harness.schemas` describes the columns. All pairs of methods are in comparisons.csv, and
    `p_holm` and `significant` are corrected over the whole file: they are exploratory. The report
    corrects `p` over its declared families, see `harness.families`.

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
    scores = list(scores)
    cells = {}
    for place in plan.places:
        of_place = [score for score in scores if score.place == place]
        cells[place.dataset, place.features] = _cells(plan, of_place)
    seeded = {name: method.seeded for name, method in plan.methods.items()}
    write_cells(root, cells, seeded, plan.bits)


def write_cells(
    root: Path,
    cells: Mapping[tuple[str, str], dict[CellKey, Cell]],
    seeded: Mapping[str, bool],
    lengths: Collection[int],
) -> None:
    """Write the same files from the cells of each data set and its features.

    Parameters
    ----------
    root : Path
    cells : dict
        By data set and features; the value by variant and code length.
    seeded : dict of str to bool
        Whether each method takes a seed.
    lengths : sequence of int
        Code lengths of the experiment.
    """
    statistics: list[tuple[object, ...]] = []
    compared: list[tuple[tuple[object, ...], Estimate, bool]] = []
    for names, of_place in cells.items():
        statistics += [(*names, *key, *_statistics(cell)) for key, cell in of_place.items()]
        tests = _comparisons(of_place, seeded, lengths)
        compared += [((*names, *key), *test) for key, *test in tests]

    corrected = holm([float(difference.p) for _, difference, _ in compared])
    comparisons = []
    for (key, difference, tested), p_holm in zip(compared, corrected, strict=True):
        columns = _comparison_columns(difference, p_holm, tested, len(lengths))
        comparisons.append((*key, *columns))

    tables.write(root / "statistics.csv", schemas.STATISTICS_CSV, statistics)
    tables.write(root / "comparisons.csv", schemas.COMPARISONS_CSV, comparisons)


def read(path: Path) -> Iterator[tuple[tuple[int, int], np.ndarray, Floats]]:
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


def _cells(plan: Plan, scores: Iterable[Score]) -> dict[CellKey, Cell]:
    """Return the cells of one data set and its features."""
    runs: dict[tuple[Score, tuple[int, int]], Floats] = {}
    queries = None
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
        complete = len(values) == _planned_seeds(plan, score, bits)
        cells[score.variant, bits] = cell_of(values, complete)

    return cells


def _planned_seeds(plan: Plan, score: Score, bits: int) -> int:
    """Return how many runs the plan has at one code length; a control has one, at 0 bits."""
    if score.variant in CONTROLS:
        return 1
    return sum(run.bits == bits for run in plan.runs_of(score))


def _statistics(cell: Cell) -> tuple[object, ...]:
    """Return the columns of statistics.csv after those that identify a cell."""
    seeds = len(cell.of_seeds)
    mean = float(cell.of_queries.mean())
    deviation = cell.variance_of_seeds**0.5 if seeds > 1 else ""
    variance = over_seeds([cell.variance_of_seeds], [seeds])
    low, high = interval(mean, over_queries(cell.of_queries), _at(variance, 0))
    return seeds, len(cell.of_queries), mean, deviation, float(low), float(high)


def _comparisons(
    cells: dict[CellKey, Cell], seeded: Mapping[str, bool], lengths: Iterable[int]
) -> Iterator[tuple[tuple[object, ...], Estimate, bool]]:
    """Yield bits and two variants, the higher mean first; their difference; if it is tested."""
    complete = {key: cell for key, cell in cells.items() if cell.complete}
    variances, tested = {}, {}
    for name, takes_seed in seeded.items():
        of_method = {bits: cell for (variant, bits), cell in complete.items() if variant == name}
        variances[name] = variances_of_seeds(of_method)
        # Codes from files may be random, even if there is only one seed.
        tested[name] = not takes_seed or has_enough_seeds(of_method.values())

    for bits in lengths:
        present = [name for name in seeded if (name, bits) in complete]
        present.sort(key=lambda name: -complete[name, bits].of_queries.mean())
        for name, other in itertools.combinations(present, 2):
            differences = complete[name, bits].of_queries - complete[other, bits].of_queries
            difference = estimate(
                differences.mean(),
                over_queries(differences),
                variances[name][bits],
                variances[other][bits],
            )
            yield (bits, name, other), difference, tested[name] and tested[other]


def variances_of_seeds(cells: dict[int, Cell]) -> dict[int, Variance]:
    """Return the variance over seeds of the mean of a method, pooled over its code lengths.

    Parameters
    ----------
    cells : dict of int to Cell
        By code length.

    Returns
    -------
    dict of int to Variance
        By code length.
    """
    variances = over_seeds_pooled(
        [cell.variance_of_seeds for cell in cells.values()],
        [len(cell.of_seeds) for cell in cells.values()],
    )
    return {bits: _at(variances, index) for index, bits in enumerate(cells)}


def _at(variance: Variance, index: int) -> Variance:
    return Variance(variance.values[..., index], variance.freedom[..., index])


def has_enough_seeds(cells: Iterable[Cell]) -> bool:
    """Return whether a method with randomness has enough seeds at each code length for a test."""
    seeds = [len(cell.of_seeds) for cell in cells]
    fewest = min(seeds, default=0)
    return fewest >= TESTED_SEEDS or (len(seeds) > 1 and fewest >= TESTED_SEEDS_POOLED)


def _comparison_columns(
    difference: Estimate, p_holm: float, tested: bool, lengths: int
) -> tuple[object, ...]:
    """Return the columns of comparisons.csv after those that identify a comparison."""
    low, high = difference.interval()
    detectable = difference.detectable(lengths)
    numbers = (difference.value, low, high, difference.p, p_holm)
    return *(float(number) for number in numbers), _verdict(p_holm, tested), float(detectable)


def _verdict(p: float, tested: bool) -> str:
    if not tested:
        return "too few seeds"
    return "yes" if p < LEVEL else "no"
