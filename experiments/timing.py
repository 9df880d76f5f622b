"""Measure the cost of fitting, encoding and searching on an otherwise idle machine.

One job runs at a time, on one thread or one GPU. Every search finds the first SEARCH_ITEMS of the
whole database for one query: by codes, by codes and then features, by float32 features, or by
quantised features. What does not depend on the query is computed before.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numba
import numpy as np

from evaluation.compiling import popcount
from evaluation.relevance import words
from experiments import quantisation, tables
from harness import provenance, records, schemas, storage
from harness.errors import BenchmarkError
from harness.plan import Job, Place, Plan, Run, fields_of
from harness.progress import Progress
from harness.stale import State
from harness.variants import PRODUCT_QUANTISER, QUANTISERS, control_bits

SEARCH_QUERIES = 100  # queries, one after another
SEARCH_ITEMS = 100  # items that a search finds
SEARCH_REPETITIONS = 3  # times that all of them are searched for: median, and largest difference
RERANKED_ITEMS = 1000  # first items by Hamming distance that are ordered again by their features
# Columns that the files of earlier versions do not have. The spread is the largest of the
# repetitions minus the smallest.
COLUMNS = (
    *schemas.TIMING_CSV,
    *("search_spread_microseconds", "rerank_microseconds", "rerank_spread_microseconds"),
)
Search = Callable[[int], np.ndarray]  # query -> the items that it finds, in any order


def write(plan: Plan) -> None:
    """Write timing.csv, with a row for each control and each timed run, and its record timing.json.

    Microseconds are of one image or of one query. extract_microseconds are of the features that a
    method reads, 0 if it reads the images. rerank_microseconds are of a search by codes whose first
    RERANKED_ITEMS are ordered again by their features. A cell is empty if nothing was computed: a
    control neither fits nor encodes, and features or codes may come from files.

    Raises
    ------
    BenchmarkError
        If a job fails.
    """
    made_of = State(plan).made_of(Job("timing"))
    now = provenance.record()
    facts = {"processor": now["machine"]["processor"], "date": now["date"]}
    total = len(plan.timed_runs) + len(plan.places) * len(_timed_controls(plan))
    progress, rows = Progress("timing", total=total, unit="rows"), []
    with tempfile.TemporaryDirectory() as scratch:
        for place in plan.places:
            for row in _rows(place, Path(scratch), plan):
                rows.append(row | facts)
                progress.advance()

    table, record = plan.outputs(Job("timing"))
    tables.write_rows(table, COLUMNS, rows)
    records.write(record, made_of, sha256={table.name: storage.digest(table)})


def _rows(place: Place, scratch: Path, plan: Plan) -> Iterator[dict]:
    """Yield the rows of the timed runs of a place, and then of its controls."""
    extracted = _extraction(place, plan)
    split_path = storage.unchanged(place.split, place.dataset_record)
    with np.load(split_path, allow_pickle=False) as split:
        searched = split["query"][:SEARCH_QUERIES], split["database"]
        train = split["train"]

    path = storage.unchanged(place.features_array, place.features_record)
    features = np.load(path, mmap_mode="r", allow_pickle=False)
    parts = (*searched, train)
    queries, database, train = (np.ascontiguousarray(features[part], np.float32) for part in parts)
    common = {"dataset": place.dataset, "features": place.features, "database": len(searched[1])}

    for run in plan.timed_runs:
        if run.place != place:
            continue
        of_method = extracted if plan.methods[run.variant].reads_features else 0.0
        folder = scratch / f"{run.variant}-{run.bits}"
        measured = _run_row(run, searched, (queries, database), folder, plan)
        yield common | measured | {"extract_microseconds": of_method}

    for control, bits in _timed_controls(plan):
        if control in QUANTISERS:
            search, size = search_by_quantised(control, queries, database, train, bits)
        else:
            search = search_by_features(control, queries, database)
            size = database.itemsize * database.shape[1]
        yield common | {
            **{"variant": control, "bits": bits, "seed": 0, "device": "cpu", "bytes": size},
            "extract_microseconds": extracted,
            **_columns("search", _seconds(search, len(queries))),
        }


def _timed_controls(plan: Plan) -> list[tuple[str, int]]:
    """Return the controls with their bits: one search for each timed code length that matters."""
    rows = []
    for control in plan.controls:
        rows += dict.fromkeys((control, control_bits(control, bits)) for bits in plan.timed)
    return rows


def _columns(name: str, seconds: np.ndarray) -> dict[str, float]:
    """Return the median of the repetitions and their spread, in microseconds."""
    return {
        f"{name}_microseconds": float(np.median(seconds)) * 1e6,
        f"{name}_spread_microseconds": float(np.ptp(seconds)) * 1e6,
    }


def _run_row(
    run: Run,
    searched: tuple[np.ndarray, ...],
    features: tuple[np.ndarray, ...],
    folder: Path,
    plan: Plan,
) -> dict:
    """Repeat a run and measure the search.

    searched: image indices of queries and database; features: of these images.
    """
    record = _repeated(run, folder, plan)
    with np.load(folder / "codes.npz", allow_pickle=False) as stored:
        queries, database = (stored["codes"][rows] for rows in searched)

    encoded = None
    if "encode_seconds" in record:
        encoded = 1e6 * record["encode_seconds"] / record["items"]

    search = search_by_codes(queries, database, SEARCH_ITEMS)
    rerank = search_reranked(queries, database, *features)
    return {
        **{"variant": run.variant, "bits": run.bits, "seed": run.seed},
        **{"device": record["device"], "bytes": database.shape[1]},
        "fit_seconds": record.get("fit_seconds"),
        "encode_microseconds": encoded,
        **_columns("search", _seconds(search, len(queries))),
        **_columns("rerank", _seconds(rerank, len(queries))),
    }


def _repeated(run: Run, folder: Path, plan: Plan) -> dict:
    """Return the record of a run that is repeated in a process of its own."""
    values = [str(value) for value in fields_of(run).values()]
    options = ["--entry", plan.methods[run.variant].entry_text, "--output", str(folder)]
    _job("methods", *values, *options)
    return storage.read_json(folder / "run.json")


def _extraction(place: Place, plan: Plan) -> float | None:
    """Return the microseconds to extract the features of an image; None if a file has them."""
    entry = plan.features[place.features].entry_text
    printed = _job("features", "time", place.dataset, place.features, "--entry", entry)
    seconds = json.loads(printed.splitlines()[-1])["seconds"]
    return None if seconds is None else 1e6 * seconds


def _job(stage: str, *arguments: str) -> str:
    """Run a job in a process of its own. Return what it prints."""
    command = [sys.executable, "-m", stage, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise BenchmarkError(f"timing: {' '.join(lines[-1:])}")
    return done.stdout


# ------------------------------------------------------------------------------ searches


def search_by_codes(queries: np.ndarray, database: np.ndarray, count: int) -> Search:
    """Return the search for the first items by Hamming distance.

    Parameters
    ----------
    queries, database : ndarray of shape (Q, bytes) and (N, bytes), uint8
        Packed codes.
    count : int
        Number of items, at most those of the database.
    """
    query_words, database_words = np.ascontiguousarray(words(queries).T), words(database)
    nearest = np.empty(min(count, len(database)), np.int64)
    distances = np.empty(len(database), np.uint16)
    counts = np.empty(8 * queries.shape[1] + 1, np.int64)

    def search(query: int) -> np.ndarray:
        _search(query_words[query], database_words, distances, counts, nearest)
        return nearest

    return search


def search_by_features(control: str, queries: np.ndarray, database: np.ndarray) -> Search:
    """Return the search for the first SEARCH_ITEMS by real-valued features.

    Norms of the database are computed before, so a query is one product of the matrix and a vector,
    and a selection.

    Parameters
    ----------
    control : {"exact-l2", "exact-cosine"}
    queries, database : ndarray of shape (Q, d) and (N, d), float32
    """
    squares, inverse = _norms(database)
    euclidean = control == "exact-l2"

    def search(query: int) -> np.ndarray:
        products = database @ queries[query]
        return _smallest(squares - 2 * products if euclidean else -products * inverse)

    return search


def search_reranked(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    queries: np.ndarray,
    database: np.ndarray,
) -> Search:
    """Return the search for the first SEARCH_ITEMS by the cosine of features among the first codes.

    Parameters
    ----------
    query_codes, database_codes : ndarray of shape (Q, bytes) and (N, bytes), uint8
        Packed codes, by which the first RERANKED_ITEMS are found.
    queries, database : ndarray of shape (Q, d) and (N, d), float32
        Features.
    """
    first_items = search_by_codes(query_codes, database_codes, RERANKED_ITEMS)
    _, inverse = _norms(database)
    rows = np.empty((min(RERANKED_ITEMS, len(database)), database.shape[1]), np.float32)

    def search(query: int) -> np.ndarray:
        items = first_items(query)
        np.take(database, items, axis=0, out=rows, mode="clip")  # the only mode without a copy
        return items[_smallest(-(rows @ queries[query]) * inverse[items])]

    return search


def search_by_quantised(
    control: str, queries: np.ndarray, database: np.ndarray, train: np.ndarray, bits: int
) -> tuple[Search, int]:
    """Return the search for the first SEARCH_ITEMS by quantised features, and the bytes of an item.

    Parameters
    ----------
    control : {"int8", "pq"}
    queries, database, train : ndarray of shape (Q, d), (N, d) and (n_train, d), float32
    bits : int
        Length of the codes of "pq".
    """
    unit_queries, rows = quantisation.decoded(control, queries, database, train, bits)
    if control == PRODUCT_QUANTISER:
        return _search_by_parts(unit_queries, rows, bits), -(-bits // 8)

    _, extremes = quantisation.decoded(control, queries[:1], train, train, bits)
    return _search_by_steps(unit_queries, rows, extremes), rows.shape[1]


def _search_by_parts(queries: np.ndarray, rows: np.ndarray, bits: int) -> Search:
    """Search by the sum of a table over the parts of "pq": the distances of a query to all centres.

    rows (N, d): as their codes describe them.
    """
    parts = [dimensions for dimensions, _ in quantisation.parts(rows.shape[1], bits)]
    width = max(part.stop - part.start for part in parts)
    codes = np.empty((len(parts), len(rows)), np.uint8)
    centres = np.zeros((len(parts), 256, width), np.float32)
    padded = np.zeros((len(queries), len(parts), width), np.float32)
    for index, part in enumerate(parts):
        distinct, inverse = np.unique(rows[:, part], axis=0, return_inverse=True)
        codes[index] = inverse.reshape(-1)
        centres[index, : len(distinct), : part.stop - part.start] = distinct
        padded[:, index, : part.stop - part.start] = queries[:, part]

    distances = np.empty(len(rows), np.float32)

    def search(query: int) -> np.ndarray:
        table = np.square(centres - padded[query][:, None]).sum(axis=2)  # (parts, 256)
        _add_parts(table, codes, distances)
        return _smallest(distances)

    return search


def _search_by_steps(queries: np.ndarray, rows: np.ndarray, extremes: np.ndarray) -> Search:
    """Search by one product of a query with all codes of "int8".

    rows (N, d): as their codes describe them, lowest + step * code; extremes: rows whose smallest
    and largest value of each dimension are those of the codes 0 and 255.
    """
    lowest = extremes.min(axis=0)
    step = (extremes.max(axis=0) - lowest) / quantisation.LARGEST_INT8
    step[step == 0] = 1
    codes = np.rint((rows - lowest) / step).astype(np.uint8)
    squares, _ = _norms(rows)
    distances = np.empty(len(rows), np.float32)

    def search(query: int) -> np.ndarray:
        _add_products(-2 * step * queries[query], codes, squares, distances)
        return _smallest(distances)

    return search


def _norms(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the squares of the lengths of rows (N, d), and the inverse lengths; float32 (N,)."""
    squares = np.einsum("nd,nd->n", rows, rows)
    return squares, 1 / np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))


def _smallest(distances: np.ndarray) -> np.ndarray:
    """Return the indices of the SEARCH_ITEMS smallest distances, in any order."""
    last = min(SEARCH_ITEMS, len(distances)) - 1
    return np.argpartition(distances, last)[: last + 1]


def _seconds(search: Search, queries: int) -> np.ndarray:
    """Return the seconds of a query in each repetition, float64 (SEARCH_REPETITIONS,)."""
    search(0)
    seconds = []
    for _ in range(SEARCH_REPETITIONS):
        started = time.perf_counter()
        for query in range(queries):
            search(query)
        seconds.append((time.perf_counter() - started) / queries)
    return np.array(seconds)


SIGNATURE = "(uint64[::1], uint64[:, ::1], uint16[::1], int64[::1], int64[::1])"


@numba.njit(SIGNATURE, nogil=True, cache=True)
def _search(query, database, distances, counts, nearest):
    """Write the items of the smallest distances into `nearest`; ties in the order of the database.

    query (words,), database (words, N), distances (N,), counts (B,), nearest (SEARCH_ITEMS,).
    """
    distances[:] = 0
    for row in range(len(query)):
        word, other = query[row], database[row]
        for item in range(len(distances)):
            distances[item] += popcount(word ^ other[item])

    counts[:] = 0
    for distance in distances:
        counts[distance] += 1

    radius, within = 0, counts[0]
    while within < len(nearest):
        radius += 1
        within += counts[radius]

    position, ties = 0, len(nearest) - (within - counts[radius])
    for item in range(len(distances)):
        if distances[item] < radius or (distances[item] == radius and ties > 0):
            ties -= distances[item] == radius
            nearest[position] = item
            position += 1


@numba.njit("(float32[:, ::1], uint8[:, ::1], float32[::1])", nogil=True, cache=True)
def _add_parts(table, codes, distances):
    """Write the sum of the entries of each item: table (parts, 256), codes (parts, N)."""
    distances[:] = 0
    for part in range(len(codes)):
        of_codes, row = table[part], codes[part]
        for item in range(len(distances)):
            distances[item] += of_codes[row[item]]


# With sums in any order, the compiler adds several products at a time, as a BLAS does.
@numba.njit(
    "(float32[::1], uint8[:, ::1], float32[::1], float32[::1])",
    nogil=True,
    cache=True,
    fastmath={"reassoc", "contract"},
)
def _add_products(weights, codes, squares, distances):
    """Write squares plus the product of each item's codes with weights: codes (N, d)."""
    for item in range(len(distances)):
        row, product = codes[item], np.float32(0)
        for dimension in range(len(weights)):
            product += weights[dimension] * np.float32(row[dimension])
        distances[item] = squares[item] + product
