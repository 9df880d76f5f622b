"""The job `timing`: what fitting, encoding and searching cost, measured alone: one thing at a time, on one thread or one GPU."""

from __future__ import annotations

import csv
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
from harness import provenance, records, storage
from harness.errors import BenchmarkError
from harness.plan import Job, Place, Plan, Run, fields_of
from harness.progress import Progress
from harness.stale import State

COLUMNS = ("dataset", "features", "variant", "bits", "seed", "fit_seconds", "encode_microseconds", "extract_microseconds",
           "search_microseconds", "bytes", "database", "device", "processor", "date")  # fmt: skip
SEARCHED = 100  # queries, one after another
NEAREST = 100  # items that a search finds
REPEATED = 5  # times that all of them are searched for; the fastest counts


def write(plan: Plan) -> None:
    """Write timing.csv, a row for each control and each timed run, and its record timing.json.

    Microseconds are of one image or of one query. An empty cell: a control fits and encodes nothing; features and codes from
    files were not computed here. extract_microseconds are of the features that a method reads, 0 if it reads the images.

    Raises
    ------
    BenchmarkError
        If a job fails.
    """
    made_of = State(plan).made_of(Job("timing"))
    now = provenance.record()
    facts = {"processor": now["machine"]["processor"], "date": now["date"]}
    total = len(plan.timed_runs) + len(plan.places) * len(plan.controls)
    progress, rows = Progress("timing", total=total, unit="rows"), []
    with tempfile.TemporaryDirectory() as scratch:
        for place in plan.places:
            extracted = _extraction(place, plan)
            for row in _rows(place, extracted, Path(scratch), plan):
                rows.append(row | facts)
                progress.advance()

    table, record = plan.outputs(Job("timing"))
    with storage.new_file(table) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    records.write(record, made_of, sha256={table.name: storage.digest(table)})


def _rows(place: Place, extracted: float | None, scratch: Path, plan: Plan) -> Iterator[dict]:
    with np.load(storage.unchanged(place.split, place.dataset_record), allow_pickle=False) as split:
        searched = split["query"][:SEARCHED], split["database"]
    common = {"dataset": place.dataset, "features": place.features, "database": len(searched[1])}

    for run in plan.timed_runs:
        if run.place != place:
            continue
        folder = scratch / f"{run.variant}-{run.bits}"
        record = _repeated(run, folder, plan)
        with np.load(folder / "codes.npz", allow_pickle=False) as stored:
            queries, database = (stored["codes"][rows] for rows in searched)
        encoded = "encode_seconds" in record
        yield common | {
            **{"variant": run.variant, "bits": run.bits, "seed": run.seed},
            **{"device": record["device"], "bytes": database.shape[1]},
            "fit_seconds": record.get("fit_seconds"),
            "encode_microseconds": 1e6 * record["encode_seconds"] / record["items"] if encoded else None,
            "extract_microseconds": extracted if plan.methods[run.variant].reads_features else 0.0,
            "search_microseconds": seconds_of_codes(queries, database) * 1e6,
        }

    array = storage.unchanged(place.features_array, place.features_record)
    rows = np.load(array, mmap_mode="r", allow_pickle=False)
    queries, database = (np.ascontiguousarray(rows[part], np.float32) for part in searched)
    for control in plan.controls:
        yield common | {
            **{"variant": control, "bits": 0, "seed": 0, "device": "cpu"},
            "bytes": database.itemsize * database.shape[1],
            "extract_microseconds": extracted,
            "search_microseconds": seconds_of_features(control, queries, database) * 1e6,
        }


def _repeated(run: Run, folder: Path, plan: Plan) -> dict:
    """The record of a run that is repeated in a process of its own."""
    values = [str(value) for value in fields_of(run).values()]
    _job("methods", *values, "--settings", plan.methods[run.variant].entry_text, "--output", str(folder))
    return storage.read_json(folder / "run.json")


def _extraction(place: Place, plan: Plan) -> float | None:
    """Microseconds that the features of an image take, None where they come from a file."""
    settings = plan.features[place.features].entry_text
    printed = _job("features", "time", place.dataset, place.features, "--settings", settings)
    seconds = json.loads(printed.splitlines()[-1])["seconds"]
    return None if seconds is None else 1e6 * seconds


def _job(floor: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", floor, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"timing: {' '.join((done.stderr.strip() or done.stdout.strip()).splitlines()[-1:])}")
    return done.stdout


def seconds_of_codes(queries: np.ndarray, database: np.ndarray) -> float:
    """Seconds that a query takes to find its NEAREST by Hamming distance, the codes packed uint8 (Q, bytes) and (N, bytes)."""
    asked, kept = np.ascontiguousarray(words(queries).T), words(database)
    found = np.empty(min(NEAREST, len(database)), np.int64)
    distances, counts = np.empty(len(database), np.uint16), np.empty(8 * queries.shape[1] + 1, np.int64)
    return _fastest(lambda query: _search(asked[query], kept, distances, counts, found), len(queries))


def seconds_of_features(control: str, queries: np.ndarray, database: np.ndarray) -> float:
    """Seconds that a query takes to find its NEAREST by cosine or Euclidean distance, float32 (Q, d) and (N, d).

    Norms of the database are known beforehand, so that a query is one product of the matrix and a vector, and a selection.
    """
    squares = np.einsum("nd,nd->n", database, database)
    inverse = 1 / np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))
    nearest = min(NEAREST, len(database)) - 1

    def search(query: int) -> np.ndarray:
        products = database @ queries[query]
        return np.argpartition(squares - 2 * products if control == "exact-l2" else -products * inverse, nearest)[: nearest + 1]

    return _fastest(search, len(queries))


def _fastest(search: Callable[[int], object], queries: int) -> float:
    search(0)
    seconds = []
    for _ in range(REPEATED):
        started = time.perf_counter()
        for query in range(queries):
            search(query)
        seconds.append((time.perf_counter() - started) / queries)
    return min(seconds)


@numba.njit("(uint64[::1], uint64[:, ::1], uint16[::1], int64[::1], int64[::1])", nogil=True, cache=True)
def _search(query, database, distances, counts, found):
    """Write into `found` the items of the smallest distances, in the order of the database at the largest of them."""
    distances[:] = 0
    for row in range(len(query)):
        word, other = query[row], database[row]
        for item in range(len(distances)):
            distances[item] += popcount(word ^ other[item])
    counts[:] = 0
    for distance in distances:
        counts[distance] += 1
    radius, within = 0, counts[0]
    while within < len(found):
        radius += 1
        within += counts[radius]
    place, ties = 0, len(found) - (within - counts[radius])
    for item in range(len(distances)):
        if distances[item] < radius or (distances[item] == radius and ties > 0):
            ties -= distances[item] == radius
            found[place] = item
            place += 1
