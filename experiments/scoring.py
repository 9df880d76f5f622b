"""Score the codes of one variant on one data set and its features: all code lengths and seeds."""

from __future__ import annotations

import contextlib
import functools
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation import METRIC_VERSION, asymmetric, metrics
from evaluation.controls import each_query
from evaluation.histograms import hamming_shared, items_and_relevant
from evaluation.inspection import chosen, inspect, is_at_chance
from evaluation.neighbours import COUNT, Neighbours, nearest_items
from evaluation.presets import PRESETS, replay, undefined
from evaluation.relevance import Relevance
from evaluation.reranking import average_precision_reranked
from experiments import quantisation, tables
from experiments.errors import USER_ERRORS
from harness import records, schemas, storage
from harness.errors import BenchmarkError, one_line
from harness.plan import Place, Run, Score
from harness.user_data import CACHE
from harness.variants import CONTROLS, QUANTISERS, control_bits

CUTS = [(metric, k) for metric, ranks in schemas.CUTS.items() for k in ranks]
ASYMMETRIC = {"map_asymmetric": "product", "map_sigmoid": "sigmoid"}  # metric: its distance
READ_ROWS = 16_384  # of features at a time
CURVE_RANKS = 40  # log-spaced ranks of the curve of precision and recall

Rows = list[tuple[str, int | None, float]]  # metric, k, value
Arrays = dict[str, np.ndarray]


def score(target: Score, runs: Iterable[tuple[int, int]], rankings: Sequence[str] = ()) -> None:
    """Write metrics.csv, histograms.npz and score.json of some runs into the folder of `target`.

    Parameters
    ----------
    target : Score
        A variant or a control, on a data set and its features.
    runs : iterable of (int, int)
        Bits and seed of each run. A control has seed 0, and 0 bits unless it has a value for each
        code length.
    rankings : sequence of str
        Rankings of a method besides that by Hamming distance, of `schemas.RANKINGS`.

    Raises
    ------
    BenchmarkError
        For a file that is missing, damaged or does not fit the labels, and if no query has a
        relevant item.
    """
    records.check_sources("experiments", "scoring")
    runs = sorted(set(runs))
    control = target.variant in CONTROLS
    if control:
        _check_control(target.variant, runs)

    inputs = _inputs(target.place)
    rank = None if control or not rankings else _ranker(target, rankings, inputs)

    table, scored, arrays = [], [], {"query": inputs.query}
    if not control:
        arrays["inspected"] = inputs.query[chosen(len(inputs.query))]

    for bits, seed in runs:
        started = time.perf_counter()
        if control:
            source = storage.unchanged(target.place.features_array, target.place.features_record)
            rows, run_arrays = _score_control(target.variant, source, bits, inputs)
        else:
            source = Run(*target.key, bits, seed).codes
            rows, run_arrays = _score_codes(source, bits, inputs)
            rows += rank(Run(*target.key, bits, seed)) if rank else []
        seconds = time.perf_counter() - started

        rows.append(("queries_left_out", None, inputs.left_out))
        table += [(bits, seed, *row) for row in rows]
        for name, array in run_arrays.items():
            arrays[schemas.scored_array(bits, seed, name)] = array
        digest = storage.digest(source)
        facts = {"bits": bits, "seed": seed, "seconds": round(seconds, 4), "sha256": digest}
        scored.append(facts)
        run = f"{target.variant}, {bits} bits, seed {seed}"
        print(f"{run}: mAP {rows[0][2]:.4f} in {seconds:.2f} s")
        if is_at_chance(run_arrays["ap"], inputs.chance):
            print(chance_warning(run, rows[0][2], inputs.chance.mean(), target.dataset))

    made_of = _made_of(target, scored, inputs.plugin, rankings)
    facts = dict(zip(("dataset", "features", "variant"), target.key, strict=True))
    facts |= _facts(inputs, () if control else rankings)
    _write(target, table, arrays, made_of, facts | {"runs": scored})


def _check_control(control: str, runs: list[tuple[int, int]]) -> None:
    """Raise BenchmarkError for bits or seeds that the scores of a control do not have."""
    for bits, seed in runs:
        expected = control_bits(control, max(bits, 1))
        if (bits, seed) != (expected, 0):
            raise BenchmarkError(
                f"{control} ranks by features: found --runs {bits}:{seed}, expected {expected}:0"
            )


def chance_warning(codes: str, mean: float, chance: float, dataset: str) -> str:
    """Return one line on codes whose mean average precision is not above chance.

    Parameters
    ----------
    codes : str
        What was scored.
    mean, chance : float
        Mean average precision of the codes, and of a random ranking.
    dataset : str
    """
    folder = Place(dataset, "").dataset_folder
    return (
        f"{codes}: mAP {mean:.4f} is within the interval of chance ({chance:.4f}). If the codes "
        f"come from a file, its rows are probably in another order: expected that of "
        f"{folder}/images.npy, or of the queries and the database in {folder}/split.npz"
    )


@dataclass(frozen=True)
class Inputs:
    """What every run of a place is scored with.

    Parameters
    ----------
    plugin : str
        File in datasets/ that the data set comes from.
    items : int
        Number of images of the data set.
    query, database, train : ndarray of int64
        Image indices of the split. `query` has only the queries with a relevant item.
    evaluated : ndarray of int64
        Positions of these queries among all queries of the split.
    relevance : Relevance
    chance : ndarray of float64
        Average precision of a random ranking, for each query.
    left_out : int
        Number of queries without a relevant item.
    neighbours : Neighbours or None
        The nearest items of `query` by features; None if the database has too few items.
    """

    plugin: str
    items: int
    query: np.ndarray
    database: np.ndarray
    train: np.ndarray
    evaluated: np.ndarray
    relevance: Relevance
    chance: np.ndarray
    left_out: int
    neighbours: Neighbours | None


def _inputs(place: Place) -> Inputs:
    plugin = records.read(place.dataset_record)["made_of"]["plugin"]
    labels = _array(storage.unchanged(place.labels, place.dataset_record))
    split_path = storage.unchanged(place.split, place.dataset_record)
    split = _arrays(split_path, *schemas.SPLIT_NPZ)

    query, database = split["query"], split["database"]
    with _naming(place.dataset_folder):
        evaluated, relevance = Relevance.of(labels[query], labels[database]).evaluated()

    neighbours = None
    if len(database) >= COUNT:
        neighbours = _neighbours(place, len(labels), split).of(evaluated)

    return Inputs(
        plugin,
        len(labels),
        query[evaluated],
        database,
        split["train"],
        evaluated,
        relevance,
        _chance(relevance, len(database)),
        len(query) - len(evaluated),
        neighbours,
    )


def _chance(relevance: Relevance, items: int) -> np.ndarray:
    """Return the average precision of a random ranking: all items are in one bucket."""
    relevant = relevance.totals()[:, None]
    return metrics.chance(np.full_like(relevant, items), relevant)


def _neighbours(place: Place, items: int, split: Arrays) -> Neighbours:
    """Return the nearest items of every query, computed once for these features and this split.

    The file is named by everything that decides its content, so it is never out of date.
    """
    digests = records.place_digests(place, "features")
    facts = [
        digests["features"],
        digests["split"],
        records.source_digests("experiments", "scoring"),
    ]
    path = CACHE / "query_neighbours" / f"{records.digest_of(facts)}.npz"
    if path.is_file():
        return Neighbours(**_arrays(path, "items", "starts", "weights"))

    started = time.perf_counter()
    source = storage.unchanged(place.features_array, place.features_record)
    rows = {name: StoredRows(source, items, split[name]) for name in schemas.SPLIT_NPZ}
    with _naming(source):
        neighbours = nearest_items(rows["query"][:], rows["database"], rows["train"])

    with storage.new_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, items=neighbours.items, starts=neighbours.starts, weights=neighbours.weights)

    seconds = time.perf_counter() - started
    print(f"{place.dataset}, {place.features}: nearest items of the queries in {seconds:.2f} s")
    return neighbours


class StoredRows:
    """Rows of stored features as `nearest_items` reads them, without all of them in memory.

    The file is opened again for every block: all pages that were read through a memory map count
    as memory while it is open.

    Parameters
    ----------
    source : Path
        Of the features.
    items : int
        Number of rows of the file.
    rows : ndarray of int64
        The rows that are read, in this order.
    """

    def __init__(self, source: Path, items: int, rows: np.ndarray):
        self.source, self.items, self.rows = source, items, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        return _features(self.source, self.items)[self.rows[index]]

    def mean(self, axis: int, dtype: type) -> np.ndarray:
        """Return the mean row, the same to the last bit as the method of an array."""
        total = np.add.reduce(self[:READ_ROWS], axis=axis, dtype=dtype)
        for start in range(READ_ROWS, len(self), READ_ROWS):
            block = self[start : start + READ_ROWS].astype(dtype)
            total = np.add.reduce(np.concatenate([total[None], block]), axis=axis)
        return total / len(self)


def _features(source: Path, items: int) -> np.ndarray:
    with _reading(source):
        features = np.load(source, mmap_mode="r", allow_pickle=False)
    if features.ndim != 2 or len(features) != items:
        raise BenchmarkError(
            f"{source} has shape {features.shape}: expected a row for each of {items} labels. "
            "Delete it and rerun the command"
        )
    return features


def _made_of(target: Score, scored: list[dict], plugin: str, rankings: Sequence[str]) -> dict:
    """Return what the scores are made of. plugin: of the data set."""
    digests = records.place_digests(target.place, "features")
    if target.variant in CONTROLS:
        bits = [run["bits"] for run in scored if run["bits"]]
        return records.of_scores({}, plugin, digests, {"bits": bits})

    codes = {schemas.run_part(run["bits"], run["seed"]): run["sha256"] for run in scored}
    run_records = {}
    for run in scored if rankings else ():
        path = Run(*target.key, run["bits"], run["seed"]).record
        run_records[schemas.run_part(run["bits"], run["seed"])] = records.read(path)
    optional = records.of_rankings(rankings, run_records)
    return records.of_scores(codes, plugin, digests, optional)


def _write(target: Score, table: list[tuple], arrays: Arrays, made_of: dict, facts: dict) -> None:
    with storage.new_folder(target.folder) as folder:
        _write_table(folder / target.metrics.name, table)
        np.savez_compressed(folder / target.histograms.name, **arrays)
        outputs = {
            name: storage.digest(folder / name)
            for name in (target.metrics.name, target.histograms.name)
        }
        records.write(folder / target.record.name, made_of, **facts, sha256=outputs)


def _score_codes(source: Path, bits: int, inputs: Inputs) -> tuple[Rows, Arrays]:
    query_codes, database_codes = _codes(source, bits, inputs)
    relevance = inputs.relevance
    with _naming(source):
        g = hamming_shared(query_codes, database_codes, bits, relevance)
        replayed = _replayed(query_codes, database_codes, bits, inputs)

    n, r = items_and_relevant(g)
    inspected = inspect(query_codes, database_codes, bits, relevance, n, r)
    inspected["first"] = inputs.database[inspected["first"]]

    lookup = [(metric, None) for metric in metrics.LOOKUP]
    weights = None
    if inputs.neighbours is not None:
        weights = inputs.neighbours.by_distance(query_codes, database_codes, bits)

    values = _measure(g, weights, relevance.single) | metrics.measure_all(lookup, n, r)
    rows = [(*key, value.mean()) for key, value in values.items()]
    rows += [*metrics.ball_curve(n, r), *replayed]

    histograms = {"n": n, "r": r} | ({} if relevance.single else {"g": g})
    arrays = {name: counts.astype(np.int32) for name, counts in histograms.items()}
    return rows, arrays | {"ap": values["map", None], **inspected}


def _ranker(target: Score, rankings: Sequence[str], inputs: Inputs) -> Callable[[Run], Rows]:
    """Return the function that scores a run by other rankings than that by Hamming distance."""
    rank_again = None
    if "reranked" in rankings:
        rank_again = _reranker(target.place, inputs)

    def rank(run: Run) -> Rows:
        codes = _codes(run.codes, run.bits, inputs)
        rows = []
        if "asymmetric" in rankings:
            rows += _asymmetric_rows(run, codes[1], inputs)
        if rank_again is not None:
            rows += rank_again(run, *codes)
        return rows

    return rank


def _asymmetric_rows(run: Run, database_codes: np.ndarray, inputs: Inputs) -> Rows:
    """Return the metrics of real-valued queries; none if the method has no real values."""
    digest = records.read(run.record).get("query_values_sha256")
    if digest is None:
        return []

    [values] = _arrays(run.extras, schemas.QUERY_VALUES).values()
    if storage.bytes_digest(values.tobytes()) != digest:
        raise BenchmarkError(
            f"{run.extras}: {schemas.QUERY_VALUES} is not the array that {run.record.name} "
            f"describes: delete {run.folder} and rerun the command"
        )

    cuts = _ranking_cuts("asymmetric", len(inputs.database))
    rows = []
    for name, distance in ASYMMETRIC.items():
        own = [(metric, k) for metric, k in cuts if metric.partition("@")[0] == name]
        standard = [(metric.replace(name, "map"), k) for metric, k in own]
        measure = functools.partial(metrics.measure_all, standard)
        queries = asymmetric.each_query(
            distance, values[inputs.evaluated], database_codes, inputs.relevance, measure
        )
        for key, wanted in zip(own, standard, strict=True):
            rows.append((*key, np.concatenate([query[wanted] for query in queries]).mean()))

    return rows


def _reranker(place: Place, inputs: Inputs) -> Callable[[Run, np.ndarray, np.ndarray], Rows]:
    """Return the function that orders the first items of a run by their features."""
    source = storage.unchanged(place.features_array, place.features_record)
    features = _features(source, inputs.items)
    queries, database = features[inputs.query], features[inputs.database]
    centre = features[inputs.train].mean(axis=0, dtype=np.float64)

    def rank_again(run: Run, query_codes: np.ndarray, database_codes: np.ndarray) -> Rows:
        rows = []
        for metric, k in _ranking_cuts("reranked", len(database)):
            values = average_precision_reranked(
                query_codes,
                database_codes,
                run.bits,
                queries,
                database,
                centre,
                inputs.relevance,
                k,
            )
            rows.append((metric, k, values.mean()))
        return rows

    return rank_again


def _ranking_cuts(ranking: str, size: int) -> list[tuple[str, int | None]]:
    """Return the metrics of a ranking and their cuts that a database of this size has."""
    cuts = [(metric, k) for metric, ranks in schemas.RANKINGS[ranking].items() for k in ranks]
    return [(metric, k) for metric, k in cuts if k is None or k <= size]


def _codes(source: Path, bits: int, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of the queries and of the database."""
    stored = _arrays(source, *schemas.CODES_NPZ)
    codes = stored["codes"]
    if not np.array_equal(stored["bits"], bits) or len(codes) != inputs.items:
        raise BenchmarkError(
            f"{source} has {len(codes)} codes of {stored['bits']} bits: "
            f"expected {inputs.items}, one per label, of {bits} bits"
        )
    return codes[inputs.query], codes[inputs.database]


def _replayed(
    query_codes: np.ndarray, database_codes: np.ndarray, bits: int, inputs: Inputs
) -> Rows:
    """Return the presets that have a value for these codes."""
    relevance, left_out = inputs.relevance, inputs.left_out
    names = [name for name in PRESETS if not undefined(name, left_out)]
    values = replay(names, query_codes, database_codes, bits, relevance, left_out, inputs.plugin)
    return [(name, None, value) for name, value in values.items() if value is not None]


def _score_control(control: str, source: Path, bits: int, inputs: Inputs) -> tuple[Rows, Arrays]:
    features = _features(source, inputs.items)
    rows = [features[part] for part in (inputs.query, inputs.database, inputs.train)]
    if control in QUANTISERS:
        with _naming(source):
            rows[:2] = quantisation.decoded(control, *rows, bits)
        control = "exact-l2"

    neighbours, single = inputs.neighbours, inputs.relevance.single
    if neighbours is None:
        queries = each_query(
            control, *rows, inputs.relevance, lambda g, _: _measure(g, None, single)
        )
    else:
        weights_of = functools.partial(neighbours.weights_of, database=len(inputs.database))
        measure = functools.partial(_measure, single=single)
        queries = each_query(control, *rows, inputs.relevance, measure, weights_of)

    values = {}
    for key in queries[0]:
        values[key] = np.concatenate([query[key] for query in queries])

    return [(*key, value.mean()) for key, value in values.items()], {"ap": values["map", None]}


def _measure(
    g: np.ndarray, weights: np.ndarray | None, single: bool
) -> dict[tuple[str, int | None], np.ndarray]:
    """Return (metric, k) -> one value per query (Q,), of what codes and controls share.

    Cuts that exceed the database are left out. weights: of the nearest items by features, (Q, B);
    None for too small a database.
    """
    n, r = items_and_relevant(g)
    size = n[0].sum()
    cuts = [key for key in CUTS if not _omission(*key, size, single)]
    of_labels = [key for key in cuts if key[0] not in metrics.NEIGHBOURS]
    values = metrics.measure_all([(metric, None) for metric in metrics.WHOLE] + of_labels, n, r, g)
    for metric, k in cuts:
        if metric in metrics.NEIGHBOURS and weights is not None:
            values[metric, k] = metrics.NEIGHBOURS[metric](n, weights, k)

    ranks = np.unique(np.geomspace(1, size, CURVE_RANKS).round().astype(np.int64))
    curve = metrics.rank_curve(n, r, ranks)
    return values | {(metric, rank): value for metric, rank, value in curve}


def _omission(metric: str, k: int | None, size: int, single: bool) -> str:
    """Return why a cut of a metric is left out, or empty."""
    if metric in metrics.GRADED and single:
        return "items have one label each"
    return f"the database has {size:,} items" if k is not None and k > size else ""


def _facts(inputs: Inputs, rankings: Sequence[str]) -> dict:
    size, left_out = len(inputs.database), inputs.left_out
    cuts = list(CUTS)
    for ranking in rankings:
        cuts += [(metric, k) for metric, ks in schemas.RANKINGS[ranking].items() for k in ks]
    reasons = {key: _omission(*key, size, inputs.relevance.single) for key in cuts}
    reasons |= {(name, None): undefined(name, left_out) for name in PRESETS}
    omitted = [
        {"metric": metric, "k": k, "reason": reason}
        for (metric, k), reason in reasons.items()
        if reason
    ]
    return {
        "metric_version": METRIC_VERSION,
        "queries": len(inputs.query),
        "queries_left_out": left_out,
        "database": size,
        "omitted": omitted,
    }


def _write_table(path: Path, table: list[tuple]) -> None:
    """Write a CSV; floats as the shortest text that gives the same number when it is read."""
    rows = ((*key, value if isinstance(value, int) else float(value)) for *key, value in table)
    # The folder is a temporary one, so the file needs none of its own.
    path.write_text(tables.text_of(schemas.SCORES_CSV, rows), encoding="utf-8")


def _array(path: Path) -> np.ndarray:
    with _reading(path):
        return np.load(path, allow_pickle=False)


def _arrays(path: Path, *names: str) -> Arrays:
    with _reading(path), np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in names}


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise BenchmarkError(
            f"{path} is missing: expected it from an earlier job; `snakemake {path}` runs that"
        ) from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchmarkError(
            f"{path} is damaged ({one_line(error)}): delete it and rerun the command"
        ) from None


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the path of a file or folder to an error about its content."""
    try:
        yield
    except USER_ERRORS as error:
        raise BenchmarkError(f"{path}: {error}") from None
