"""Measure the cost of fitting, encoding and searching on an otherwise idle machine.

One job runs at a time, on one thread or one GPU.
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
from experiments import tables
from harness import provenance, records, schemas, storage
from harness.errors import BenchmarkError
from harness.plan import Job, Place, Plan, Run, fields_of
from harness.progress import Progress
from harness.stale import State
from harness.variants import QUANTISERS

SEARCH_QUERIES = 100  # queries, one after another
SEARCH_ITEMS = 100  # items that a search finds
SEARCH_REPETITIONS = 5  # times that all of them are searched for; the fastest counts


def write(plan: Plan) -> None:
    """Write timing.csv, with a row for each control and each timed run, and its record timing.json.

    Microseconds are of one image or of one query. extract_microseconds are of the features that a
    method reads, 0 if it reads the images. A cell is empty if nothing was computed: a control
    neither fits nor encodes, and features or codes may come from files.

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
    tables.write_rows(table, schemas.TIMING_CSV, rows)
    records.write(record, made_of, sha256={table.name: storage.digest(table)})


def _rows(place: Place, scratch: Path, plan: Plan) -> Iterator[dict]:
    """Yield the rows of the timed runs of a place, and then of its controls."""
    extracted = _extraction(place, plan)
    split_path = storage.unchanged(place.split, place.dataset_record)
    with np.load(split_path, allow_pickle=False) as split:
        searched = split["query"][:SEARCH_QUERIES], split["database"]

    common = {"dataset": place.dataset, "features": place.features, "database": len(searched[1])}

    for run in plan.timed_runs:
        if run.place != place:
            continue
        of_method = extracted if plan.methods[run.variant].reads_features else 0.0
        measured = _run_row(run, searched, scratch / f"{run.variant}-{run.bits}", plan)
        yield common | measured | {"extract_microseconds": of_method}

    path = storage.unchanged(place.features_array, place.features_record)
    features = np.load(path, mmap_mode="r", allow_pickle=False)
    queries, database = (np.ascontiguousarray(features[part], np.float32) for part in searched)
    for control in _timed_controls(plan):
        yield common | {
            **{"variant": control, "bits": 0, "seed": 0, "device": "cpu"},
            "bytes": database.itemsize * database.shape[1],
            "extract_microseconds": extracted,
            "search_microseconds": seconds_of_features(control, queries, database) * 1e6,
        }


def _timed_controls(plan: Plan) -> list[str]:
    """Return the controls whose search is timed: no quantised features, which need an index."""
    return [control for control in plan.controls if control not in QUANTISERS]


def _run_row(run: Run, searched: tuple[np.ndarray, ...], folder: Path, plan: Plan) -> dict:
    """Repeat a run and measure the search. searched: image indices of queries and database."""
    record = _repeated(run, folder, plan)
    with np.load(folder / "codes.npz", allow_pickle=False) as stored:
        queries, database = (stored["codes"][rows] for rows in searched)

    encoded = None
    if "encode_seconds" in record:
        encoded = 1e6 * record["encode_seconds"] / record["items"]

    return {
        **{"variant": run.variant, "bits": run.bits, "seed": run.seed},
        **{"device": record["device"], "bytes": database.shape[1]},
        "fit_seconds": record.get("fit_seconds"),
        "encode_microseconds": encoded,
        "search_microseconds": seconds_of_codes(queries, database) * 1e6,
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


def seconds_of_codes(queries: np.ndarray, database: np.ndarray) -> float:
    """Return the seconds of a query that finds the first SEARCH_ITEMS by Hamming distance.

    Parameters
    ----------
    queries, database : ndarray of shape (Q, bytes) and (N, bytes), uint8
        Packed codes.
    """
    query_words, database_words = np.ascontiguousarray(words(queries).T), words(database)
    nearest = np.empty(min(SEARCH_ITEMS, len(database)), np.int64)
    distances = np.empty(len(database), np.uint16)
    counts = np.empty(8 * queries.shape[1] + 1, np.int64)

    def search(query: int) -> None:
        _search(query_words[query], database_words, distances, counts, nearest)

    return _fastest(search, len(queries))


def seconds_of_features(control: str, queries: np.ndarray, database: np.ndarray) -> float:
    """Return the seconds of a query that finds the first SEARCH_ITEMS by real-valued features.

    Norms of the database are computed before, so a query is one product of the matrix and a vector,
    and a selection.

    Parameters
    ----------
    control : {"exact-l2", "exact-cosine"}
    queries, database : ndarray of shape (Q, d) and (N, d), float32
    """
    squares = np.einsum("nd,nd->n", database, database)
    inverse = 1 / np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))
    last = min(SEARCH_ITEMS, len(database)) - 1
    euclidean = control == "exact-l2"

    def search(query: int) -> np.ndarray:
        products = database @ queries[query]
        distances = squares - 2 * products if euclidean else -products * inverse
        return np.argpartition(distances, last)[: last + 1]

    return _fastest(search, len(queries))


def _fastest(search: Callable[[int], object], queries: int) -> float:
    search(0)
    seconds = []
    for _ in range(SEARCH_REPETITIONS):
        started = time.perf_counter()
        for query in range(queries):
            search(query)
        seconds.append((time.perf_counter() - started) / queries)
    return min(seconds)


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
