"""Compare codes, or a method of an experiment, with published runs: nothing is trained again.

Published folders have the average precision of every query, so a test is paired over the queries.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

import evaluation
from evaluation.significance import estimate, over_queries
from experiments import imported, publish, statistics
from experiments.statistics import Cell
from harness import imported_codes, records, schemas, storage
from harness.errors import BenchmarkError
from harness.families import LEVEL, holm
from harness.plan import Place, Score

# The average precision of a query has had one definition since version 3 of the metrics.
COMPARABLE_VERSIONS = range(3, evaluation.METRIC_VERSION + 1)
PLACEHOLDER = re.compile(r"\{(bits|seed)\}")


@dataclass(frozen=True)
class Method:
    """The average precision of one method on one data set and its features.

    Parameters
    ----------
    label : str
    runs : dict of int to ndarray
        Average precision of each query and seed, float64 (S, Q), by code length.
    stochastic : bool
        Whether the method has randomness.
    """

    label: str
    runs: dict[int, np.ndarray]
    stochastic: bool

    def interval(self, bits: int) -> tuple[float, float, float]:
        """The mean at a code length, and the ends of its 95 % interval."""
        return evaluation.mean_interval(self.runs[bits])

    @cached_property
    def cells(self) -> dict[int, Cell]:
        """The means over seeds and over queries, by code length."""
        return {
            bits: Cell(values.mean(axis=0), values.mean(axis=1), complete=True)
            for bits, values in self.runs.items()
        }

    @property
    def is_tested(self) -> bool:
        """Whether there are enough seeds for a test, or no randomness."""
        return not self.stochastic or statistics.has_enough_seeds(self.cells.values())


@dataclass(frozen=True)
class Line:
    """One method at one code length, and how the own codes differ from it.

    Attributes
    ----------
    bits : int
    label : str
    seeds : int
    mean, low, high : float
        Mean average precision and its 95 % interval.
    difference : tuple of float or None
        Own mean minus that of the method, and its 95 % interval; None for the own codes.
    p : float or None
        Of the test of no difference, after Holm's correction over the methods of the code length;
        None if there are too few seeds for a test.
    """

    bits: int
    label: str
    seeds: int
    mean: float
    low: float
    high: float
    difference: tuple[float, float, float] | None = None
    p: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the own codes are better, in words."""
        if self.difference is None:
            return ""
        if self.p is None:
            return "not tested"
        if self.p >= LEVEL:
            return "no difference found"
        return "better" if self.difference[0] > 0 else "worse"


def against(
    codes: Sequence[str],
    folder: Path,
    *,
    dataset: str | None = None,
    features: str | None = None,
    method: str | None = None,
    bits: int | None = None,
    label: str = "Mine",
) -> tuple[list[Line], Method, Place]:
    """Compare codes, or a method of an experiment, with the methods of a published folder.

    Parameters
    ----------
    codes : sequence of str
        One file with a code of every image, or two, of the queries and of the database, see
        `of_files`; or a folder of results.
    folder : Path
        A published folder.
    dataset, features : str, optional
        Of the published runs. Required if there are several.
    method : str, optional
        Of a folder of results, see `of_experiment`.
    bits : int, optional
        Length of packed codes.
    label : str
        Of codes in files.

    Returns
    -------
    lines : list of Line
    own : Method
    place : Place

    Raises
    ------
    BenchmarkError
        If the two cannot be compared.
    """
    place = place_of(folder, dataset, features)
    methods, query = published(folder, place)
    if Path(codes[0]).is_dir():
        known = [known_method.label for known_method in methods]
        own = of_experiment(Path(codes[0]), method, place, query, known)
    else:
        check_split(folder, place)
        own = of_files(codes, place, query, bits, label)
    return compare(own, methods), own, place


def compare(own: Method, published: Iterable[Method]) -> list[Line]:
    """Return a line for the own codes at each code length, and for each published method.

    Parameters
    ----------
    own : Method
    published : iterable of Method

    Raises
    ------
    BenchmarkError
        If no published method has a code length of the own codes.
    """
    lines = []
    others = list(published)
    for bits in own.runs:
        present = [method for method in others if bits in method.runs]
        if present:
            lines += _lines_of(own, present, bits)
    if not lines:
        lengths = sorted({bits for method in others for bits in method.runs})
        raise BenchmarkError(
            f"{own.label} has codes of {_listed(own.runs)} bits, and the published runs of "
            f"{_listed(lengths)}: expected a common length"
        )
    return lines


def _lines_of(own: Method, others: list[Method], bits: int) -> list[Line]:
    lines, p_values = [], []
    for method in others:
        differences = own.cells[bits].of_queries - method.cells[bits].of_queries
        variances = [statistics.variances_of_seeds(part.cells)[bits] for part in (own, method)]
        estimated = estimate(differences.mean(), over_queries(differences), *variances)
        difference = (float(estimated.value), *map(float, estimated.interval()))
        line = Line(bits, method.label, len(method.runs[bits]), *method.interval(bits), difference)
        lines.append(line)
        p_values.append(float(estimated.p) if own.is_tested and method.is_tested else None)

    tested = [index for index, p in enumerate(p_values) if p is not None]
    corrected = holm([p_values[index] for index in tested])
    for index, p in zip(tested, corrected, strict=True):
        lines[index] = replace(lines[index], p=p)
    lines.append(Line(bits, own.label, len(own.runs[bits]), *own.interval(bits)))
    return sorted(lines, key=lambda line: -line.mean)


# ---------------------------------------------------------------------------- published


def published(folder: Path, place: Place) -> tuple[list[Method], np.ndarray]:
    """Return the methods of a published folder on one place, and the indices of the queries.

    Raises
    ------
    BenchmarkError
        If the folder is not a published one, has other metrics, or no runs on this place.
    """
    experiment = _experiment(folder)
    path = folder / publish.QUERIES
    if experiment.get("metric_version") not in COMPARABLE_VERSIONS or not path.is_file():
        raise BenchmarkError(
            f"{folder} has version {experiment.get('metric_version')} of the metrics and "
            f"{'a' if path.is_file() else 'no'} file {publish.QUERIES}: expected a version from "
            f"{COMPARABLE_VERSIONS.start} and the file. Choose another folder"
        )
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    names = schemas.published_queries(place.dataset, place.features)
    if names not in arrays:
        pairs = ", ".join("/".join(grid) for grid in experiment["grid"])
        raise BenchmarkError(
            f"{folder} has no runs on {place.dataset}/{place.features}: expected one of {pairs}. "
            "Choose with --dataset and --features"
        )

    values: dict[str, dict[int, list]] = {}
    for name, array in arrays.items():
        dataset, features, *run = name.split("/")
        if (dataset, features) == (place.dataset, place.features) and len(run) == 3:
            variant, bits, _ = run
            lengths = values.setdefault(variant, {})
            lengths.setdefault(int(bits.removesuffix("bit")), []).append(array)
    described = {method["name"]: method for method in experiment["methods"]}
    methods = [
        Method(described[name]["label"], _stacked(runs), described[name]["stochastic"])
        for name, runs in values.items()
        if name in described
    ]
    return methods, arrays[names]


def place_of(folder: Path, dataset: str | None, features: str | None) -> Place:
    """Return the only place of a published folder with these names.

    Raises
    ------
    BenchmarkError
        If there is none, or several.
    """
    grid = [Place(*names) for names in _experiment(folder)["grid"]]
    wanted = [Place(dataset or pair.dataset, features or pair.features) for pair in grid]
    fitting = [pair for pair, names in zip(grid, wanted, strict=True) if pair == names]
    if len(fitting) != 1:
        pairs = ", ".join(f"{pair.dataset}/{pair.features}" for pair in grid)
        raise BenchmarkError(
            f"{folder} has runs on {pairs}: found {len(fitting)} that fit, expected 1. Choose with "
            "--dataset and --features"
        )
    return fitting[0]


def check_split(folder: Path, place: Place) -> None:
    """Raise BenchmarkError if published runs were scored on another split than the prepared one."""
    entry = _experiment(folder)["datasets"].get(place.dataset, {})
    if not place.dataset_record.is_file():
        raise imported.unprepared(place)
    prepared = records.read(place.dataset_record)
    recorded = [entry.get("split_sha256"), entry.get("sha256", {}).get("labels.npy")]
    if recorded != [prepared["split_sha256"], prepared["sha256"]["labels.npy"]]:
        raise BenchmarkError(
            f"{folder} has another split or other labels of {place.dataset} than "
            f"{place.dataset_folder}: expected the same queries, database and labels. Prepare the "
            "protocol of the folder"
        )


def _experiment(folder: Path) -> dict:
    if not (folder / publish.EXPERIMENT).is_file():
        names = ", ".join(path.name for path in publish.folders())
        raise BenchmarkError(
            f"{folder} is not a published folder: expected one of {names or 'none'}"
        )
    return storage.read_json(folder / publish.EXPERIMENT)


# --------------------------------------------------------------------------------- own


def of_files(
    files: Sequence[str], place: Place, query: np.ndarray, bits: int | None, label: str
) -> Method:
    """Return the average precision of codes in files.

    Parameters
    ----------
    files : sequence of str
        One file with a code of every image, or two, of the queries and of the database. In their
        names, {bits} and {seed} stand for numbers.
    place : Place
    query : ndarray of int
        Image indices of the published queries.
    bits : int or None
        Length of packed codes.
    label : str

    Raises
    ------
    BenchmarkError
        If a file is missing or does not fit the data set, or its queries are not `query`.
    """
    labels, split = imported.labels_and_split(place)
    parts = split["query"], split["database"]
    runs: dict[int, list] = {}
    for paths in _expanded(files):
        codes, _ = imported_codes.of_images(paths, len(labels), *parts, bits)
        arrays = [array[part] for array in (codes, labels) for part in parts]
        values = evaluation.per_query(*arrays)
        _check_queries(split["query"][values["query"]], query, place.dataset_folder)
        runs.setdefault(codes.shape[1], []).append(values["map"])
    stacked = _stacked(runs)
    return Method(label, stacked, stochastic=any(len(values) > 1 for values in stacked.values()))


def of_experiment(
    results: Path, name: str | None, place: Place, query: np.ndarray, known: Iterable[str]
) -> Method:
    """Return the average precision of a method of an experiment.

    Parameters
    ----------
    results : Path
        Folder of what `collect` wrote.
    name : str or None
        The method. By default, the only one whose label is not among `known`.
    place : Place
    query : ndarray of int
        Image indices of the published queries.
    known : iterable of str
        Labels of the published methods.

    Raises
    ------
    BenchmarkError
        If the experiment has no such method on this place, it is not clear which one is meant, or
        the queries are others.
    """
    experiment = records.read(results / publish.EXPERIMENT)
    methods = {method["name"]: method for method in experiment["methods"]}
    chosen = [name] if name else [key for key in methods if methods[key]["label"] not in known]
    if len(chosen) != 1 or chosen[0] not in methods:
        raise BenchmarkError(
            f"{results} has the methods {_listed(methods)}: found {_listed(chosen) or 'none'} to "
            "compare, expected one of them. Choose with --method"
        )
    histograms = Score(results, place.dataset, place.features, chosen[0]).histograms
    if not histograms.is_file():
        raise BenchmarkError(
            f"{histograms} is missing: expected scores of {chosen[0]} on "
            f"{place.dataset}/{place.features}. Run the experiment"
        )
    runs: dict[int, list] = {}
    for (bits, _), scored, values in statistics.read(histograms):
        _check_queries(scored, query, histograms)
        runs.setdefault(bits, []).append(values)
    method = methods[chosen[0]]
    return Method(method["label"], _stacked(runs), method["stochastic"])


def _check_queries(own: np.ndarray, published: np.ndarray, where: Path) -> None:
    if not np.array_equal(own, published):
        raise BenchmarkError(
            f"{where} has {len(own):,} queries with a relevant item, the published runs have "
            f"{len(published):,} or others: expected the same queries"
        )


def _expanded(files: Sequence[str]) -> list[list[Path]]:
    """The existing files of each code length and seed that the names stand for."""
    if not any(map(PLACEHOLDER.search, files)):
        return [[Path(file) for file in files]]
    groups = []
    for values in sorted(_placeholder_values(files[0])):
        numbers = dict(values)

        def number_of(match: re.Match[str], numbers: dict[str, int] = numbers) -> str:
            return str(numbers[match[1]])

        groups.append([Path(PLACEHOLDER.sub(number_of, file)) for file in files])
    if not groups:
        raise BenchmarkError(
            f"no file fits {files[0]}: expected numbers in place of {{bits}} and {{seed}}"
        )
    return groups


def _placeholder_values(file: str) -> list[tuple[tuple[str, int], ...]]:
    """The numbers that {bits} and {seed} stand for in the names of existing files."""
    parts = PLACEHOLDER.split(file)  # text, key, text, key, ..., text
    keys = parts[1::2]
    wildcards = ["*" if index % 2 else glob.escape(part) for index, part in enumerate(parts)]
    pattern = ""
    for index, part in enumerate(parts):
        if index % 2 == 0:
            pattern += re.escape(part)
        elif part in keys[: index // 2]:
            pattern += rf"(?P={part})"
        else:
            pattern += rf"(?P<{part}>\d+)"
    matches = [re.fullmatch(pattern, path) for path in glob.glob("".join(wildcards))]
    numbers = []
    for match in filter(None, matches):
        values = match.groupdict()
        numbers.append(tuple((key, int(value)) for key, value in values.items()))
    return numbers


# ------------------------------------------------------------------------------ output


def text(lines: list[Line], place: Place, own: Method) -> str:
    """Return a table for the screen."""
    width = max(len(line.label) for line in lines)
    printed = []
    for bits, group in _by_length(lines):
        printed.append(f"{place.dataset}, {place.features}, {bits} bits")
        columns = [f"{'':{width}}", f"{'mAP':20}", f"{'':6}", f"{own.label} minus this method"]
        printed.append(f"  {'  '.join(columns)}")
        for line in group:
            runs = f"{line.seeds} run{'' if line.seeds == 1 else 's'}"
            cells = [f"{line.label:{width}}", _mean(line), f"{runs:6}", _difference(line)]
            printed.append(f"  {'  '.join([*cells, line.verdict])}".rstrip())
    return "\n".join([*printed, *notes(own)])


def latex(lines: list[Line], own: Method, escape: Callable[[str], str]) -> str:
    """Return a LaTeX table, which needs booktabs.

    Parameters
    ----------
    lines : list of Line
    own : Method
    escape : callable
        Converts a text to LaTeX.
    """
    rows = []
    for bits, group in _by_length(lines):
        rows.append(rf"\midrule \multicolumn{{5}}{{l}}{{{bits} bits}} \\")
        for line in group:
            difference = _difference(line).replace("-", "\N{MINUS SIGN}")
            cells = [line.label, _mean(line), str(line.seeds), difference, line.verdict]
            rows.append(" & ".join(map(escape, cells)) + r" \\")
    caption = f"Mean average precision, and the difference of {own.label} from each method."
    return "\n".join([
        r"\begin{table}[tp]",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        r"\begin{tabular}{llrll}",
        r"\toprule",
        r"Method & mAP & Runs & Difference & Verdict \\",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        "",
        rf"\smallskip\parbox{{\linewidth}}{{\scriptsize {escape(' '.join(notes(own)))}}}",
        r"\end{table}",
        "",
    ])  # fmt: skip


def notes(own: Method) -> list[str]:
    """Return how a table is to be read."""
    sentences = [
        "mAP: mean average precision over all ranks. In brackets: 95 % intervals over queries and "
        f"seeds. The verdict is whether {own.label} is significantly better or worse, by a t-test "
        "that is paired over the queries (p < 0.05 after Holm's correction over the methods of a "
        "code length). Not tested: one of the two methods has too few seeds. A method with "
        "randomness needs five seeds, or three seeds at two or more code lengths.",
    ]
    if all(len(values) == 1 for values in own.runs.values()):
        sentences.append(
            f"{own.label}: one run at each code length, taken for a method without randomness. If "
            "it has some, save one file per seed and write {seed} in the name."
        )
    return sentences


def _by_length(lines: list[Line]) -> list[tuple[int, list[Line]]]:
    groups: dict[int, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.bits, []).append(line)
    return list(groups.items())


def _mean(line: Line) -> str:
    return f"{line.mean:.3f} [{line.low:.3f}, {line.high:.3f}]"


def _difference(line: Line) -> str:
    if line.difference is None:
        return ""
    value, low, high = line.difference
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _stacked(runs: dict[int, list]) -> dict[int, np.ndarray]:
    """The runs of each code length as float64 (S, Q), in the order of the lengths."""
    return {bits: np.stack(values).astype(np.float64) for bits, values in sorted(runs.items())}


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
