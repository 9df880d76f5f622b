"""How far the mean average precision of a run of seeds can be trusted, and which methods differ: from the value of every query.

Each cell of the table, one variant at one code length, is average precision (S, Q): S seeds, Q queries. The queries are the same for all
cells of a data set and its features, the seeds of two methods have nothing in common. The split is fixed: nothing here says what
another draw of the queries from the data set, or of the training images, would give.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import stdtr

import experiments
import storage
from experiments import BenchmarkError

DRAWS = 5000  # the ends of an interval move by about a hundredth of its length from one set of draws to another
CONFIDENCE = 0.95
SEEDS_NEEDED = 3  # of a method with randomness, before a difference is called significant
BLOCK = 2**20  # counts of queries that are held at a time

Place = tuple[str, str, str]  # data set, features, variant
CELL_COLUMNS = ("dataset", "features", "variant", "bits", "seeds", "queries", "map", "deviation", "low", "high")
COMPARISON_COLUMNS = ("dataset", "features", "bits", "variant", "other", "difference", "low", "high", "p", "p_holm", "significant")


@dataclass(frozen=True)
class Cell:
    """One variant at one code length: average precision float64 (S, Q), its mean in each draw of the bootstrap (DRAWS,).

    complete: every seed asked for is there; tested: there are enough of them, or the method has no randomness.
    """

    average_precision: np.ndarray
    draws: np.ndarray
    complete: bool
    tested: bool

    @property
    def mean(self) -> float:
        return float(self.average_precision.mean())


def write(root: Path, plan: dict, folders: dict[Place, Path]) -> None:
    """Write statistics.csv and comparisons.csv into `root`, from the histograms.npz of each scored folder.

    statistics.csv has a row a cell: mean, standard deviation over seeds (n - 1), and the interval of the two-level bootstrap.
    comparisons.csv has a row for every two methods at one code length, the higher mean first: the difference with its interval, the p
    value of the paired test, the same after Holm's correction over the whole file, and whether the difference is `significant`: `yes` if
    p_holm < 0.05 and the interval excludes 0, else `no`, or `too few seeds`.
    Raises BenchmarkError for a file that cannot be read, and for two that hold different queries.
    """
    described, compared = [], []
    for dataset, features in experiments.grid(plan):
        cells = _cells(plan, {place: folder for place, folder in folders.items() if place[:2] == (dataset, features)})
        described += [(dataset, features, *key, *_description(cell)) for key, cell in cells.items()]
        compared += [(dataset, features, *row) for row in _comparisons(plan, cells)]
    corrected = holm([row[-2] for row in compared])
    rows = [(*row, p, _verdict(p, *row[-3:-1], tested)) for (*row, tested), p in zip(compared, corrected, strict=True)]
    _write_table(root / "statistics.csv", CELL_COLUMNS, described)
    _write_table(root / "comparisons.csv", COMPARISON_COLUMNS, rows)


def over_queries(average_precision: np.ndarray, key: str) -> np.ndarray:
    """Mean of each run (R, Q) over each of DRAWS draws of Q queries with replacement, the same draws for all runs: (R, DRAWS)."""
    runs, queries = average_precision.shape
    generator = _generator(key)
    means = np.empty((runs, DRAWS))
    step = max(1, BLOCK // queries)
    for start in range(0, DRAWS, step):
        count = min(step, DRAWS - start)
        drawn = generator.integers(0, queries, (count, queries)) + queries * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * queries).reshape(count, queries)
        means[:, start : start + count] = average_precision @ weights.T.astype(np.float64) / queries
    return means


def over_seeds(means: np.ndarray, key: str) -> np.ndarray:
    """Mean over the seeds drawn with each draw of queries: (S, DRAWS) to (DRAWS,); of S seeds S - 1 are drawn, with replacement.

    Queries and seeds are crossed, and drawn independently: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007. S draws of
    3 seeds would give two thirds of the variance of their mean; S - 1 give all of it: Rao & Wu, "Resampling inference with complex survey
    data", Journal of the American Statistical Association 1988. One seed is no sample: what remains are the queries.
    """
    if len(means) == 1:
        return means[0]
    drawn = _generator(key).integers(0, len(means), (len(means) - 1, means.shape[1]))
    return np.take_along_axis(means, drawn, axis=0).mean(axis=0)


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The percentiles of the draws between which CONFIDENCE of them lie."""
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def paired_test(differences: np.ndarray) -> float:
    """Two-sided p value of the paired t-test over queries, of differences (Q,).

    It agrees with the randomisation test on average precision, at no cost: Smucker, Allan & Carterette, "A comparison of statistical
    significance tests for information retrieval evaluation", CIKM 2007. Where all differences are equal: 1 if they are 0, else 0.
    """
    queries, mean = len(differences), float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(queries) if queries > 1 else math.inf
    if error == 0:
        return float(mean == 0)
    return float(2 * stdtr(max(queries - 1, 1), -abs(mean) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p value after Holm's step-down correction over all of them.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors))
    return corrected.tolist()


def _cells(plan: dict, folders: dict[Place, Path]) -> dict[tuple[str, int], Cell]:
    """(variant, bits) -> cell, of one data set and its features."""
    runs, queries = {}, None
    for place, folder in folders.items():
        for run, kept, values in _read(folder / "histograms.npz"):
            if queries is not None and not np.array_equal(kept, queries):
                raise BenchmarkError(f"{folder} was scored on other queries than the folders beside it: delete it, and score it again")
            queries = kept
            runs[place, run] = values
    if not runs:
        return {}
    where = "/".join(next(iter(folders))[:2])
    means = dict(zip(runs, over_queries(np.stack(list(runs.values())), where), strict=True))
    cells = {}
    for (place, bits), group in itertools.groupby(sorted(runs), key=lambda run: (run[0], run[1][0])):
        found = list(group)
        asked = experiments.bits_and_seeds(place[2], plan)
        draws = over_seeds(np.stack([means[run] for run in found]), "/".join([*place, str(bits)]))
        values = np.stack([runs[run] for run in found])
        enough = len(found) >= SEEDS_NEEDED or not _seeded(place[2], plan)
        cells[place[2], bits] = Cell(values, draws, len(found) == sum(length == bits for length, _ in asked), enough)
    return cells


def _seeded(name: str, plan: dict) -> bool:
    """Whether a method has randomness; that of codes made elsewhere may be in one file, of one seed."""
    return name not in experiments.CONTROLS and "seed" in experiments.variant("methods", name, plan).component.keywords


def _read(path: Path) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray]]:
    """Yield ((bits, seed), queries, average precision of each query) of every run in a histograms.npz."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            queries = stored["query"]
            for name in stored.files:
                if name.endswith("/ap"):
                    bits, seed, _ = name.split("/")
                    yield (int(bits.removesuffix("bit")), int(seed.removeprefix("seed"))), queries, stored[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchmarkError(f"{path} cannot be read ({experiments.one_line(error)}): delete its folder, and score it again") from None


def _description(cell: Cell) -> tuple:
    seeds, queries = cell.average_precision.shape
    deviation = float(cell.average_precision.mean(axis=1).std(ddof=1)) if seeds > 1 else ""
    return seeds, queries, cell.mean, deviation, *interval(cell.draws)


def _comparisons(plan: dict, cells: dict[tuple[str, int], Cell]) -> Iterator[tuple]:
    """bits, variant, other, difference, low, high, p, tested: every two methods of a code length, the higher mean first."""
    for bits in plan["bits"]:
        complete = {name: cells[name, bits] for name in plan["methods"] if (name, bits) in cells and cells[name, bits].complete}
        for pair in itertools.combinations(complete, 2):
            one, other = sorted(pair, key=lambda name: -complete[name].mean)
            better, worse = complete[one], complete[other]
            p = paired_test(better.average_precision.mean(axis=0) - worse.average_precision.mean(axis=0))
            low, high = interval(better.draws - worse.draws)
            yield bits, one, other, better.mean - worse.mean, low, high, p, better.tested and worse.tested


def _verdict(p: float, low: float, high: float, tested: bool) -> str:
    if not tested:
        return "too few seeds"
    return "yes" if p < 1 - CONFIDENCE and (low > 0 or high < 0) else "no"


def _generator(key: str) -> np.random.Generator:
    """Draws of its own for each key: what a method is compared with does not change its interval."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big"))


def _write_table(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    """Floats as the shortest text that reads back as the same number."""
    with storage.new_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([columns, *rows])
