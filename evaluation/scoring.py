"""The job `score`: one variant on one data set and its features, all its code lengths and seeds in one process."""

from __future__ import annotations

import contextlib
import csv
import functools
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from evaluation import METRIC_VERSION, metrics
from evaluation.controls import each_query
from evaluation.histograms import hamming_shared, items_and_relevant
from evaluation.inspection import chosen, inspect
from evaluation.presets import PRESETS, replay, undefined
from evaluation.relevance import Relevance
from harness import records, storage
from harness.errors import BenchmarkError, one_line
from harness.plan import Run, Score
from harness.variants import CONTROLS

CUTS = [(f"map@k[{denominator}]", k) for denominator in ("found", "min", "R", "hits") for k in (1000, 5000)]
CUTS += [("precision@k", k) for k in (1, 10, 50, 100, 500, 1000, 5000)]
GRADED_CUTS = [(metric, k) for metric in metrics.GRADED for k in (100, 1000)]  # where items have several labels
CURVE_RANKS = 40  # log-spaced ranks of the curve of precision and recall

Rows = list[tuple[str, int | None, float]]  # metric, k, value
Arrays = dict[str, np.ndarray]


def score(target: Score, runs: Iterable[tuple[int, int]]) -> None:
    """Write metrics.csv, histograms.npz and score.json of some runs into the folder of `target`.

    Parameters
    ----------
    target : Score
        A variant or a control, on a data set and its features.
    runs : iterable of (int, int)
        Bits and seed of each run; (0, 0) for a control.

    Raises
    ------
    BenchmarkError
        For a file that is missing, damaged or does not fit the labels, and if no query has a relevant
        item.
    """
    runs, place = sorted(set(runs)), target.place
    control = target.variant in CONTROLS
    if control and runs != [(0, 0)]:
        raise BenchmarkError(f"{target.variant} ranks by real-valued features: expected --runs 0:0")
    described = records.read(place.dataset_record)
    plugin = described["made_of"]["plugin"]
    labels = _array(storage.unchanged(place.labels, place.dataset_record))
    split = _arrays(storage.unchanged(place.split, place.dataset_record), "query", "database", "train")
    with _naming(place.dataset_folder):
        kept, relevance = Relevance.of(labels[split["query"]], labels[split["database"]]).evaluated()
    left_out = len(split["query"]) - len(kept)
    split["query"] = split["query"][kept]

    table, scored, arrays = [], [], {"query": split["query"]}
    if not control:
        arrays["inspected"] = split["query"][chosen(len(kept))]
    for bits, seed in runs:
        started = time.perf_counter()
        if control:
            source = storage.unchanged(place.features_array, place.features_record)
            rows, kept_arrays = _score_control(target.variant, source, len(labels), split, relevance)
        else:
            source = Run(*target.key, bits, seed).codes
            rows, kept_arrays = _score_codes(source, bits, len(labels), split, relevance)
            rows += _replayed(source, bits, split, relevance, left_out, plugin)
        seconds = time.perf_counter() - started
        table += [(bits, seed, *row) for row in [*rows, ("queries_left_out", None, left_out)]]
        arrays |= {f"{bits}bit/seed{seed}/{name}": array for name, array in kept_arrays.items()}
        scored.append({"bits": bits, "seed": seed, "seconds": round(seconds, 4), "sha256": storage.digest(source)})
        print(f"{target.variant}, {bits} bits, seed {seed}: mAP {rows[0][2]:.4f} in {seconds:.2f} s")

    codes = {} if control else {f"{run['bits']}bit/seed{run['seed']}": run["sha256"] for run in scored}
    made_of = records.of_scores(codes, plugin, records.place_digests(place, *(["features"] if control else [])))
    facts = dict(zip(("dataset", "features", "variant"), target.key, strict=True))
    facts |= _facts(split, relevance.single, left_out) | {"runs": scored}
    _write(target, table, arrays, made_of, facts)


def _write(target: Score, table: list[tuple], arrays: Arrays, made_of: dict, facts: dict) -> None:
    with storage.new_folder(target.folder) as folder:
        _write_table(folder / target.metrics.name, table)
        np.savez_compressed(folder / target.histograms.name, **arrays)
        outputs = {name: storage.digest(folder / name) for name in (target.metrics.name, target.histograms.name)}
        records.write(folder / target.record.name, made_of, **facts, sha256=outputs)


def _score_codes(source: Path, bits: int, items: int, split: Arrays, relevance: Relevance) -> tuple[Rows, Arrays]:
    found = _arrays(source, "codes", "bits")
    codes = found["codes"]
    if not np.array_equal(found["bits"], bits) or len(codes) != items:
        raise BenchmarkError(f"{source} has {len(codes)} codes of {found['bits']} bits: expected {items}, one a label, of {bits} bits")
    with _naming(source):
        g = hamming_shared(codes[split["query"]], codes[split["database"]], bits, relevance)
    n, r = items_and_relevant(g)
    looked_at = inspect(codes[split["query"]], codes[split["database"]], bits, relevance, n, r)
    looked_at["first"] = split["database"][looked_at["first"]]
    values = _measure(g, relevance.single) | metrics.measure_all([(metric, None) for metric in metrics.LOOKUP], n, r)
    rows = [(*key, value.mean()) for key, value in values.items()] + list(metrics.ball_curve(n, r))
    kept = {"n": n, "r": r} | ({} if relevance.single else {"g": g})
    return rows, {name: counts.astype(np.int32) for name, counts in kept.items()} | {"ap": values["map", None], **looked_at}


def _replayed(source: Path, bits: int, split: Arrays, relevance: Relevance, left_out: int, dataset: str) -> Rows:
    """The presets that have a value for these codes, where `left_out` queries have no relevant item."""
    codes, names = _arrays(source, "codes")["codes"], [name for name in PRESETS if not undefined(name, left_out)]
    with _naming(source):
        values = replay(names, codes[split["query"]], codes[split["database"]], bits, relevance, left_out, dataset)
    return [(name, None, value) for name, value in values.items() if value is not None]


def _score_control(control: str, source: Path, items: int, split: Arrays, relevance: Relevance) -> tuple[Rows, Arrays]:
    with _reading(source):
        features = np.load(source, mmap_mode="r", allow_pickle=False)
    if features.ndim != 2 or len(features) != items:
        raise BenchmarkError(f"{source} has shape {features.shape}; expected a row for each of {items} labels")
    rows = (features[split[part]] for part in ("query", "database", "train"))
    queries = each_query(control, *rows, relevance, functools.partial(_measure, single=relevance.single))
    values = {key: np.concatenate([query[key] for query in queries]) for key in queries[0]}
    return [(*key, value.mean()) for key, value in values.items()], {"ap": values["map", None]}


def _measure(g: np.ndarray, single: bool) -> dict[tuple[str, int | None], np.ndarray]:
    """Each metric and cut that codes and controls share, one value a query (Q,); cuts beyond the database are left out."""
    n, r = items_and_relevant(g)
    size = n[0].sum()
    asked = [(metric, None) for metric in metrics.WHOLE] + [key for key in CUTS + GRADED_CUTS if not _omission(*key, size, single)]
    values = metrics.measure_all(asked, n, r, g)
    ranks = np.unique(np.geomspace(1, size, CURVE_RANKS).round().astype(np.int64))
    return values | {(metric, rank): value for metric, rank, value in metrics.rank_curve(n, r, ranks)}


def _omission(metric: str, k: int, size: int, single: bool) -> str:
    """Why a cut of a metric is left out, or empty."""
    if metric in metrics.GRADED and single:
        return "items have one label each"
    return f"the database has {size:,} items" if k > size else ""


def _facts(split: Arrays, single: bool, left_out: int) -> dict:
    size = len(split["database"])
    reasons = {(metric, k): _omission(metric, k, size, single) for metric, k in CUTS + GRADED_CUTS}
    reasons |= {(name, None): undefined(name, left_out) for name in PRESETS}
    return {
        "metric_version": METRIC_VERSION,
        "queries": len(split["query"]),
        "queries_left_out": left_out,
        "database": size,
        "omitted": [{"metric": metric, "k": k, "reason": reason} for (metric, k), reason in reasons.items() if reason],
    }


def _write_table(path: Path, table: list[tuple]) -> None:
    """Floats as the shortest text that reads back as the same number."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("bits", "seed", "metric", "k", "value"))
        writer.writerows((*key, value if isinstance(value, int) else float(value)) for *key, value in table)


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
        raise BenchmarkError(f"{path} is missing: expected it from an earlier job; `snakemake {path}` runs that") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchmarkError(f"{path} is damaged ({one_line(error)}): delete it, and run its job again") from None


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say in an error which file or folder it is about."""
    try:
        yield
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {error}") from None
