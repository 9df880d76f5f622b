"""Reproduce random published runs, and compare their codes and average precision.

On the same kind of processor with the same versions of the libraries, codes must be equal bit for
bit. Otherwise the mean average precision must be within the prediction interval over the published
seeds. Codes are written to a temporary folder. Data sets and features that are missing are prepared
in `cache/`, if their files are present.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from evaluation.histograms import hamming
from evaluation.metrics import average_precision
from evaluation.relevance import Relevance
from experiments import catalogue, publish, repetition
from harness import configuration, identity, records, schemas, storage
from harness.errors import BenchmarkError, one_line
from harness.families import LEVEL
from harness.plan import DEFAULT_CONFIG, Place, Run
from harness.progress import duration
from harness.variants import Catalogue, Variant

ROUNDING = 1e-6  # of published average precision, which is float32
HALF_PRINTED_UNIT = 0.0005  # half a unit of the last decimal in tables


@dataclass(frozen=True)
class Cell:
    """A variant at one code length on one data set and its features, in a published folder.

    Parameters
    ----------
    name : str
        `DATASET/FEATURES/VARIANT/8bit`.
    run_records : list of dict
        Record of the run of each seed.
    precisions : list of ndarray
        Average precision of each query of each of these runs, float32 (Q,).
    queries : ndarray of int64, shape (Q,)
        Image indices of the queries.
    """

    name: str
    run_records: list[dict]
    precisions: list[np.ndarray]
    queries: np.ndarray


@dataclass(frozen=True)
class Repeatable:
    """A cell that can be repeated here.

    Parameters
    ----------
    cell : Cell
    variant : Variant
        The method.
    inputs : Catalogue
        Its data sets and features.
    """

    cell: Cell
    variant: Variant
    inputs: Catalogue


def reproduce(folders: Sequence[Path], cells: int, seed: int | None = None) -> bool:
    """Repeat one run of each of some random cells, and print whether they are reproduced.

    Parameters
    ----------
    folders : sequence of Path
        Published folders; all if empty.
    cells : int
        How many cells are drawn from all folders together. Cells are not drawn if a file that they
        need is missing, if a source of their runs has changed, or if a GPU measured them.
    seed : int, optional
        Of the draw; another one each time if omitted.

    Returns
    -------
    bool
        Whether all these runs are reproduced.

    Raises
    ------
    BenchmarkError
        If no cell can be drawn.
    """
    available, reasons = _available(folders or publish.folders())
    for reason, count in reasons.items():
        _print(f"cells not drawn: {count}, {reason}")

    if not available:
        raise BenchmarkError(
            "reproduce: no published cell can be repeated here: expected one whose files are "
            "present and whose sources are current. Add the files that are named above"
        )

    if seed is None:
        seed = random.SystemRandom().randrange(2**32)

    generator = random.Random(seed)
    sample = generator.sample(available, min(cells, len(available)))
    _print(f"drawn: {len(sample)} of {len(available)} cells, with --seed {seed}")
    outcomes = []
    for drawn in sample:
        index = generator.randrange(len(drawn.cell.run_records))
        outcomes.append(_is_reproduced(drawn, index, LEVEL / len(sample)))

    _print(f"reproduced: {sum(outcomes)} of {len(sample)} cells")
    return all(outcomes)


def _print(line: str) -> None:
    print(line, flush=True)


# ------------------------------------------------------------------------------- drawing


def _available(folders: Sequence[Path]) -> tuple[list[Repeatable], Counter[str]]:
    """Return the cells that can be repeated here, and the number of others for each reason."""
    available, reasons = [], Counter[str]()
    for folder in folders:
        try:
            contents = publish.contents_of(folder)
        except BenchmarkError as error:
            if not (folder / publish.RUNS).is_file():
                raise
            reasons[one_line(error)] += len(_cell_names(folder))
            continue

        inputs = _inputs(contents.experiment)
        for name, names in sorted(contents.cells().items()):
            cell = Cell(
                name,
                [contents.runs[run][1] for run in names],
                [contents.queries[run] for run in names],
                contents.queries[schemas.published_queries(*name.split("/")[:2])],
            )
            try:
                variant = _checked_variant(cell, inputs)
            except BenchmarkError as error:
                reasons[f"{folder}: {one_line(error)}"] += 1
            else:
                available.append(Repeatable(cell, variant, inputs))

    return available, reasons


def _cell_names(folder: Path) -> set[str]:
    names = [Run(**record["made_of"]["run"]).name for record in publish.records_of(folder)]
    return {name.rpartition("/")[0] for name in names}


def _inputs(experiment: dict) -> Catalogue:
    """Return the data sets and features of the configurations of an experiment."""
    files = [Path(path) for path in experiment.get("configfiles") or []]
    present = [path for path in files if path.is_file()]
    config = configuration.merged(DEFAULT_CONFIG, catalogue.VARIANTS, *present)
    return Catalogue(config["variants"])


def _checked_variant(cell: Cell, inputs: Catalogue) -> Variant:
    """Return the variant of a cell. Raise BenchmarkError if its runs cannot be repeated here."""
    for record in cell.run_records:
        made_of = record["made_of"]
        if record["device"] != "cpu":
            raise BenchmarkError(f"measured on {record['device']}, where codes do not repeat")
        if made_of["sources"] != publish.present_sources(made_of["plugin"]):
            raise BenchmarkError("sources have changed since")

    place = Run(**cell.run_records[0]["made_of"]["run"]).place
    variant = repetition.variant_of(cell.run_records[0])
    missing = catalogue.missing_files(variant)
    for path in repetition.needed_records(place, variant):
        if not path.is_file():
            missing += catalogue.missing_files(_producer(path, place, inputs))

    if missing:
        raise BenchmarkError(f"missing: {', '.join(dict.fromkeys(missing))}")
    return variant


def _producer(path: Path, place: Place, inputs: Catalogue) -> Variant:
    """Return the data set or the features whose job writes the record of an array."""
    if path == place.dataset_record:
        return inputs.resolve("datasets", place.dataset)
    return inputs.resolve("features", place.features)


# --------------------------------------------------------------------------- repeating


def _is_reproduced(drawn: Repeatable, index: int, level: float) -> bool:
    """Repeat the run of one seed of a cell, and print one line on the comparison."""
    published = drawn.cell.run_records[index]
    run = Run(**published["made_of"]["run"])
    started = time.monotonic()
    try:
        _prepare(run.place, drawn)
        with tempfile.TemporaryDirectory(prefix="bgan-bench-") as temporary:
            folder = Path(temporary, "run")
            record = repetition.repeat(run, drawn.variant, folder)
            check_inputs(published, record)
            precisions = _average_precision(run, folder / run.codes.name, drawn.cell.queries)
        outcome = compared(drawn.cell, index, record, precisions, level)
    except BenchmarkError as error:
        _print(f"{run.name}: NOT REPRODUCED: {one_line(error)}")
        return False

    _print(f"{run.name}: {outcome}, {duration(time.monotonic() - started)}")
    return True


def _prepare(place: Place, drawn: Repeatable) -> None:
    """Prepare the arrays that a run reads, if they are missing."""
    needed = repetition.needed_records(place, drawn.variant)
    if place.neighbours_record in needed and not place.neighbours_record.is_file():
        needed.insert(1, place.features_record)

    names = [place.dataset, place.features]
    for path in dict.fromkeys(needed):
        if path.is_file():
            continue

        producer = _producer(path, place, drawn.inputs)
        entry = ["--entry", producer.entry_text]
        commands = {
            place.dataset_record: [place.dataset, *entry],
            place.features_record: ["extract", *names, *entry],
            place.neighbours_record: ["neighbours", *names, "--metric", producer.neighbours],
            place.views_record: ["views", *names, *entry],
        }
        repetition.run_job(producer.stage, *commands[path], name=path.as_posix())


def _average_precision(run: Run, codes: Path, queries: np.ndarray) -> np.ndarray:
    """Return the average precision of each published query, float64 (Q,)."""
    place = run.place
    labels = np.load(storage.unchanged(place.labels, place.dataset_record), allow_pickle=False)
    split_path = storage.unchanged(place.split, place.dataset_record)
    with np.load(split_path, allow_pickle=False) as split:
        database = split["database"]

    with np.load(codes, allow_pickle=False) as stored:
        packed = stored["codes"]

    evaluated, relevance = Relevance.of(labels[queries], labels[database]).evaluated()
    if len(evaluated) != len(queries):
        raise BenchmarkError(
            f"{len(queries) - len(evaluated)} of the published queries have no relevant item here: "
            f"expected the published labels. Compare {place.dataset_record} with "
            f"{publish.EXPERIMENT}"
        )
    return average_precision(*hamming(packed[queries], packed[database], run.bits, relevance))


# --------------------------------------------------------------------------- comparing


def compared(cell: Cell, index: int, repeated: dict, precisions: np.ndarray, level: float) -> str:
    """Compare a repeated run with the published ones.

    Parameters
    ----------
    cell : Cell
    index : int
        Index of the published run that was repeated.
    repeated : dict
        Record of the repeated run.
    precisions : ndarray of float64, shape (Q,)
        Average precision of each query of the repeated run.
    level : float
        Probability that another seed of the cell is outside of its prediction interval.

    Returns
    -------
    str
        How it is reproduced.

    Raises
    ------
    BenchmarkError
        If it is not.
    """
    record = cell.run_records[index]
    other = _other_machine(record, repeated)
    mean, published = float(precisions.mean()), cell.precisions[index]
    if repeated["codes_sha256"] == record["codes_sha256"]:
        difference = float(np.abs(precisions - published).max())
        if difference > ROUNDING:
            raise BenchmarkError(
                f"equal codes, but the average precision of a query differs by {difference:.2g} "
                f"from the published one: expected at most {ROUNDING:.0e}"
            )
        return f"equal codes, mAP {mean:.4f}"

    if not other:
        raise BenchmarkError(
            f"found codes {repeated['codes_sha256'][:12]} with mAP {mean:.4f}, expected "
            f"{record['codes_sha256'][:12]} with {published.mean():.4f}: processor and versions "
            "are those of the published run"
        )

    means = np.array([values.mean(dtype=np.float64) for values in cell.precisions])
    low, high = prediction_interval(means, level)
    seeds = "1 seed" if len(means) == 1 else f"{len(means)} seeds"
    shown = f"mAP {mean:.4f}, published {published.mean():.4f}, "
    shown += f"{low:.4f} to {high:.4f} expected from {seeds}"
    if not low <= mean <= high:
        raise BenchmarkError(f"other codes ({other}) and {shown}")
    return f"other codes ({other}), {shown}"


def prediction_interval(means: np.ndarray, level: float) -> tuple[float, float]:
    """Return the interval in which one more seed is expected: mean +- t sd sqrt(1 + 1/n).

    It is at least as wide as the last printed decimal, to which a method without randomness must
    agree.

    Parameters
    ----------
    means : ndarray of float64, shape (n,)
        Mean average precision of each seed.
    level : float
        Probability of a mean outside of the interval.
    """
    count, half = len(means), 0.0
    if count > 1:
        quantile = stdtrit(count - 1, 1 - level / 2)
        half = float(quantile * means.std(ddof=1) * np.sqrt(1 + 1 / count))

    half = max(half, HALF_PRINTED_UNIT)
    return float(means.mean()) - half, float(means.mean()) + half


def _other_machine(record: dict, repeated: dict) -> str:
    """Return how the machine of a repeated run differs from the published one; empty if equal."""
    processors = [entry["machine"]["processor"] for entry in (record, repeated)]
    if processors[0] != processors[1]:
        return f"{processors[1]} instead of {processors[0]}"

    for name, version in record["versions"].items():
        present = repeated["versions"].get(name)
        if present != version:
            return f"{name} {present} instead of {version}"
    return ""


def check_inputs(record: dict, repeated: dict) -> None:
    """Raise BenchmarkError if the inputs of a repeated run differ from those of the published one.

    Features, and the neighbours and views that are computed from them, depend on the processor.
    They are compared only on the same machine.

    Parameters
    ----------
    record, repeated : dict
        Records of the published and the repeated run.
    """
    before, now = dict(record["made_of"]), dict(repeated["made_of"])
    for array in records.ARRAYS if _other_machine(record, repeated) else ():
        before.pop(array, None)
        now.pop(array, None)

    problem = identity.difference(before, now)
    if problem:
        raise BenchmarkError(
            f"the inputs are not those of the published run: {problem}. If an array differs, "
            "delete its folder in cache/ and rerun the command. If it still differs, your files "
            "are not those of the published run"
        )
