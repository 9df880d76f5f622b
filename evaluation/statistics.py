"""How far the mean average precision of a run of seeds can be trusted, and which methods differ: from the value of every query.

Each cell of the table, one variant at one code length, is average precision (S, Q): S seeds, Q queries. The queries are the same for all
cells of a data set and its features, the seeds of two methods have nothing in common. Both are samples: the variance of a mean is that
over queries plus that over seeds. The split is fixed: nothing here says what another draw of the queries from the data set, or of the
training images, would give.
"""

from __future__ import annotations

import csv
import itertools
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import stdtr, stdtrit

from harness import storage
from harness.errors import BenchmarkError, one_line
from harness.plan import Plan, Score
from harness.variants import CONTROLS

CONFIDENCE = 0.95
SEEDS_NEEDED = 3  # of a method with randomness, before a difference is called significant

CELL_COLUMNS = ("dataset", "features", "variant", "bits", "seeds", "queries", "map", "deviation", "low", "high")
COMPARISON_COLUMNS = ("dataset", "features", "bits", "variant", "other", "difference", "low", "high", "p", "p_holm", "significant")


@dataclass(frozen=True)
class Cell:
    """One variant at one code length: average precision float64 (S, Q).

    complete: every seed asked for is there; tested: there are enough of them, or the method has no randomness.
    """

    average_precision: np.ndarray
    complete: bool
    tested: bool

    @property
    def of_queries(self) -> np.ndarray:
        return self.average_precision.mean(axis=0)  # (Q,)

    @property
    def of_seeds(self) -> np.ndarray:
        return self.average_precision.mean(axis=1)  # (S,)


@dataclass(frozen=True)
class Estimate:
    """A mean of average precision, or the difference of two; its standard error, and the degrees of freedom of that."""

    value: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """Two-sided p value of the t-test of no difference. Where nothing varies: 1 if there is none, else 0."""
        if self.error == 0:
            return float(self.value == 0)
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.error))

    def interval(self, lowest: float) -> tuple[float, float]:
        """The ends of the interval of CONFIDENCE, within `lowest` and 1."""
        half = float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2)) * self.error
        return max(lowest, self.value - half), min(1.0, self.value + half)


def write(root: Path, plan: Plan, scores: Iterable[Score]) -> None:
    """Write statistics.csv and comparisons.csv into `root`, from the histograms.npz of each score.

    statistics.csv has a row a cell: mean, standard deviation over seeds (n - 1), and the interval over seeds and queries.
    comparisons.csv has a row for every two methods at one code length, the higher mean first: the difference with its interval, the p
    value of the test, paired over queries, the same after Holm's correction over the whole file, and whether the difference is
    `significant`: `yes` if p_holm < 0.05, else `no`, or `too few seeds`.
    Raises BenchmarkError for a file that cannot be read, and for two that hold different queries.
    """
    described, compared = [], []
    for place in plan.places:
        cells = _cells(plan, [score for score in scores if score.place == place])
        names = place.dataset, place.features
        described += [(*names, *key, *_description(cell)) for key, cell in cells.items()]
        compared += [(*names, *row) for row in _comparisons(plan, cells)]
    corrected = holm([row[-2] for row in compared])
    rows = [(*row, p, _verdict(p, tested)) for (*row, tested), p in zip(compared, corrected, strict=True)]
    _write_table(root / "statistics.csv", CELL_COLUMNS, described)
    _write_table(root / "comparisons.csv", COMPARISON_COLUMNS, rows)


def estimate(of_queries: np.ndarray, *of_seeds: np.ndarray) -> Estimate:
    """The mean of `of_queries` (Q,), with its variance over these queries and that over each group of seeds, `of_seeds` (S,) each.

    For the difference of two methods the queries are paired, and the groups are the means of the seeds of the one and of the other. The
    variances add, and their degrees of freedom are those of Satterthwaite, "An approximate distribution of estimates of variance
    components", Biometrics Bulletin 1946. One seed is no sample: what remains are the queries. What a seed does to one query alone is in
    both variances, so that the error is rather too large; with one query nothing is known, and it is infinite.
    On average precision the t-test agrees with the randomisation test, at no cost: Smucker, Allan & Carterette, "A comparison of
    statistical significance tests for information retrieval evaluation", CIKM 2007.
    """
    value, samples = float(of_queries.mean()), [of_queries, *(seeds for seeds in of_seeds if len(seeds) > 1)]
    if len(of_queries) == 1:
        return Estimate(value, math.inf, 1)
    variances = np.array([sample.var(ddof=1) / len(sample) for sample in samples])
    if not variances.any():
        return Estimate(value, 0, 1)
    shares = variances / variances.sum()
    freedom = 1 / sum(share**2 / (len(sample) - 1) for share, sample in zip(shares, samples, strict=True))
    return Estimate(value, math.sqrt(variances.sum()), float(freedom))


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p value after Holm's step-down correction over all of them.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors))
    return corrected.tolist()


def _cells(plan: Plan, scores: Iterable[Score]) -> dict[tuple[str, int], Cell]:
    """(variant, bits) -> cell, of one data set and its features."""
    runs, queries = {}, None
    for score in scores:
        for run, scored_queries, values in read(score.histograms):
            if queries is not None and not np.array_equal(scored_queries, queries):
                raise BenchmarkError(
                    f"{score.folder} was scored on other queries than the folders beside it: delete it and rerun the command"
                )
            queries = scored_queries
            runs[score, run] = values

    cells = {}
    for (score, bits), group in itertools.groupby(sorted(runs), key=lambda key: (key[0], key[1][0])):
        values = np.stack([runs[key] for key in group])
        planned = _planned_seeds(plan, score, bits)
        tested = len(values) >= SEEDS_NEEDED or not _seeded(score.variant, plan)
        cells[score.variant, bits] = Cell(values, len(values) == planned, tested)
    return cells


def _planned_seeds(plan: Plan, score: Score, bits: int) -> int:
    """How many values the plan asks for at one code length; a control has one, at 0 bits."""
    if score.variant in CONTROLS:
        return 1
    return sum(run.bits == bits for run in plan.runs_of(score))


def _seeded(name: str, plan: Plan) -> bool:
    """Whether a method is random; the randomness of codes from files may be in one file, of one seed."""
    return name not in CONTROLS and plan.methods[name].seeded


def read(path: Path) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray]]:
    """Yield ((bits, seed), queries, average precision of each query) of every run in a histograms.npz."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            queries = stored["query"]
            for name in stored.files:
                if name.endswith("/ap"):
                    bits, seed, _ = name.split("/")
                    yield (int(bits.removesuffix("bit")), int(seed.removeprefix("seed"))), queries, stored[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchmarkError(f"{path} cannot be read ({one_line(error)}): delete its folder and rerun the command") from None


def _description(cell: Cell) -> tuple:
    seeds, queries = cell.average_precision.shape
    deviation = float(cell.of_seeds.std(ddof=1)) if seeds > 1 else ""
    found = estimate(cell.of_queries, cell.of_seeds)
    return seeds, queries, found.value, deviation, *found.interval(lowest=0)


def _comparisons(plan: Plan, cells: dict[tuple[str, int], Cell]) -> Iterator[tuple]:
    """bits, variant, other, difference, low, high, p, tested: every two methods of a code length, the higher mean first."""
    for bits in plan.bits:
        complete = {name: cells[name, bits] for name in plan.methods if (name, bits) in cells and cells[name, bits].complete}
        ordered = sorted(complete, key=lambda name: -complete[name].of_queries.mean())
        for one, other in itertools.combinations(ordered, 2):
            better, worse = complete[one], complete[other]
            found = estimate(better.of_queries - worse.of_queries, better.of_seeds, worse.of_seeds)
            yield bits, one, other, found.value, *found.interval(lowest=-1), found.p, better.tested and worse.tested


def _verdict(p: float, tested: bool) -> str:
    if not tested:
        return "too few seeds"
    return "yes" if p < 1 - CONFIDENCE else "no"


def _write_table(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    """Floats as the shortest text that reads back as the same number."""
    with storage.new_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([columns, *rows])
