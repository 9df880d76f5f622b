"""results/published/: measured tables with the record of every run, and whether the present code would still make them."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np

import storage
from errors import BenchmarkError
from evaluation import METRIC_VERSION, statistics
from harness.records import source_digests

PUBLISHED = Path("results/published")
RUNS, EXPERIMENT = "runs.jsonl.gz", "experiment.json"  # of each folder: every run.json, a line each; the experiment
QUERIES = "average_precision.npz"  # of each run, of every query: what tests need that are made later


def publish(results: Path, name: str, shown: list[str]) -> Path:
    """Copy tables and figures of the report (`shown`, as map.tex or overview.svg), runs.csv, the records of all runs and their
    average precision of each query to PUBLISHED/name.

    What is there is replaced. Raises BenchmarkError for results with a run that is not done, made with sources that differ from the
    commit, made anew since the tables or scored by other metrics than now, or without something that is to be shown.
    """
    with open(results / "runs.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["status"] != "done":
            raise BenchmarkError(f"{row['folder']} is {row['status']}: only results with all runs done are published")
    records = [storage.read_json(results.parent / row["folder"] / "run.json") for row in rows]
    dirty = [row["folder"] for row, record in zip(rows, records, strict=True) if record["dirty"]]
    if dirty:
        raise BenchmarkError(f"{dirty[0]} was made with changes that no commit holds: commit them and run it again")
    report = results / "report"
    files = [report / ("tables" if name.endswith((".tex", ".csv")) else "figures") / name for name in shown]
    for row, record in zip(rows, records, strict=True):
        if row["codes_sha256"] != record["codes_sha256"]:
            raise BenchmarkError(f"{row['folder']} was made anew since the tables: run the experiment again, which makes them anew")
    experiment = storage.read_json(results / "experiment.json")
    if (version := experiment.get("metric_version")) != METRIC_VERSION:
        again = "run the experiment again, which scores its codes anew"
        raise BenchmarkError(f"{results}/experiment.json is of version {version} of the metrics, now {METRIC_VERSION}: {again}")
    with storage.new_folder(PUBLISHED / name) as folder:
        for path in [results / "runs.csv", *files]:
            if not path.is_file():
                there = sorted(found.name for found in path.parent.iterdir()) if path.parent.is_dir() else []
                raise BenchmarkError(f"{path} is missing; there are {', '.join(there) or 'none'}")
            shutil.copyfile(path, folder / path.name)
        lines = "".join(json.dumps(record, sort_keys=True) + "\n" for record in records)
        np.savez_compressed(folder / QUERIES, **_of_queries(results, rows))
        (folder / RUNS).write_bytes(gzip.compress(lines.encode(), mtime=0))  # hundreds of records that differ in little
        storage.write_json(folder / EXPERIMENT, experiment)
    return PUBLISHED / name


def _of_queries(results: Path, rows: list[dict]) -> dict[str, np.ndarray]:
    """Average precision of each query of each run, float32 (Q,), by `DATASET/FEATURES/VARIANT/BITSbit/seedN`; and which images they are,
    int64 (Q,), by `DATASET/FEATURES/query`."""
    found = {}
    for place in dict.fromkeys((row["dataset"], row["features"], row["variant"]) for row in rows):
        scores = results / "scores" / Path(*place) / "histograms.npz"
        for (bits, seed), queries, values in statistics.read(scores):
            found["/".join([*place[:2], "query"])] = queries
            found["/".join([*place, f"{bits}bit", f"seed{seed}"])] = values.astype(np.float32)
    return found


def folders() -> list[Path]:
    return sorted(path for path in PUBLISHED.iterdir() if path.is_dir())


def records_of(folder: Path) -> list[dict]:
    """The run.json of each run of a published folder, in the order of its runs.csv."""
    return [json.loads(line) for line in gzip.decompress((folder / RUNS).read_bytes()).splitlines()]


def outdated(folder: Path) -> list[str]:
    """Why the present code might not make what a published folder holds: each source that changed since, and the metrics' version."""
    records, changed = records_of(folder), Counter()
    for record in records:
        present = source_digests("methods", record["method"])
        changed.update({path for path in record["sources"].keys() | present.keys() if record["sources"].get(path) != present.get(path)})
    reasons = [f"{path} has changed since {count} of its {len(records)} runs" for path, count in sorted(changed.items())]
    version = storage.read_json(folder / EXPERIMENT)["metric_version"]
    return reasons + ([f"its metrics are of version {version}, now {METRIC_VERSION}"] if version != METRIC_VERSION else [])
