"""Measure time and peak memory of each stage on large synthetic databases.

    python -m benchmarks.large 1000000                       # items
    python -m benchmarks.large 10000 100000 1000000 --plot   # writes benchmarks/large.svg

By default ITQ learns 32 bits from 128 features per item, and there are 1,000 queries. The items are
centres of a hundred classes with noise, drawn in blocks. Each stage is the job of the workflow with
one thread, in a process of its own. All database items are training images, and the method draws
its sample of them. Memory is the largest resident size of the process. It includes the pages of the
block of a file that is being read, and the interpreter with its libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness import provenance, records, storage
from harness.plan import RESULTS, Place, Run, Score
from harness.plugins import ROOT

QUERIES, CLASSES, DIMENSIONS, BLOCK = 1000, 100, 128, 50_000
PLACE = Place("synthetic", "given")
PLOT = Path(__file__).with_name("large.svg")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("items", type=int, nargs="+", help="in the database")
    parser.add_argument("--method", default="itq")
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument(
        "--folder",
        type=Path,
        help="temporary files are written here, about 1.1 GB per million items",
    )
    parser.add_argument("--plot", action="store_true", help=f"write {PLOT.name}")
    arguments = parser.parse_args()
    method, bits = arguments.method, arguments.bits
    size = f"{QUERIES:,} queries, {DIMENSIONS} features per item"
    print(f"{provenance.processor()}; {method}, {bits} bits, {size}")

    costs = {}
    for items in arguments.items:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
            folder = Path(temporary)
            write(folder, items)
            jobs = stages(method, bits)
            costs[items] = {stage: run(*job, folder) for stage, job in jobs.items()}
            record = Run(PLACE.dataset, PLACE.features, method, bits, 0).record
            show(items, costs[items], storage.read_json(folder / record))

    if arguments.plot:
        draw(costs)


def show(items: int, costs: dict[str, tuple[float, float, float]], record: dict) -> None:
    """Print the costs of each stage, and the times of training from the record of the run."""
    for stage, (seconds, processor, memory) in costs.items():
        cost = f"{seconds:8.1f} s, {processor:6.1f} s of a core, {memory:8,.0f} MiB"
        print(f"{items:>12,} items  {stage:<10} {cost}")
    fit = f"fit {record['fit_seconds']:.1f} s on {record['fitted_rows']:,} rows"
    encode = f"encode {record['encode_seconds']:.1f} s"
    print(f"{'':>19} of which {fit}, {encode}", flush=True)


def write(folder: Path, items: int) -> None:
    """Write a prepared data set without images, and a feature file as a user would give it."""
    n = QUERIES + items
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((CLASSES, DIMENSIONS), dtype=np.float32)
    labels = generator.integers(CLASSES, size=n)
    data = folder / PLACE.dataset_folder
    data.mkdir(parents=True)
    header = {"descr": "<f4", "fortran_order": False, "shape": (n, DIMENSIONS)}
    with open(folder / "given.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, BLOCK):
            rows = labels[start : start + BLOCK]
            noise = generator.standard_normal((len(rows), DIMENSIONS), dtype=np.float32)
            file.write(centres[rows] + 2 * noise)

    np.save(data / "images.npy", np.empty((n, 0, 0, 3), np.uint8))
    np.save(data / "labels.npy", labels)
    database = np.arange(QUERIES, n)
    np.savez(data / "split.npz", query=np.arange(QUERIES), database=database, train=database)
    storage.write_json(data / PLACE.image_names.name, {"names": []})
    arrays = (PLACE.images, PLACE.labels, PLACE.split, PLACE.image_names)
    digests = {path.name: storage.digest(folder / path) for path in arrays}
    facts = {"name": PLACE.dataset, "sha256": digests, "split_sha256": digests[PLACE.split.name]}
    records.write(folder / PLACE.dataset_record, {"plugin": PLACE.dataset}, **facts)


def stages(method: str, bits: int) -> dict[str, tuple[list[str], Path]]:
    """Return the jobs as the Snakefile runs them, each with the record that it writes."""
    entry = json.dumps({"of": "file", "set": {"path": "given.npy"}})
    names = [PLACE.dataset, PLACE.features]
    extract = ["features", "extract", *names, "--entry", entry, "--data", "."]
    score = ["evaluation", "score", *names, method, "--runs", f"{bits}:0", "--threads", "1"]
    return {
        "features": (extract, PLACE.features_record),
        "codes": (["methods", *names, method, str(bits), "0"], Run(*names, method, bits, 0).record),
        "metrics": (score, Score(RESULTS, *names, method).record),
    }


def run(command: list[str], record: Path, folder: Path) -> tuple[float, float, float]:
    """Return the elapsed and the processor seconds of a job, and its peak memory in MiB."""
    job, environment = [sys.executable, "-m", *command], os.environ | {"PYTHONPATH": str(ROOT)}
    started, processor = time.perf_counter(), processor_seconds()
    subprocess.run(job, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - started, processor_seconds() - processor
    return *seconds, storage.read_json(folder / record)["peak_memory_mib"]


def processor_seconds() -> float:
    """Return the processor time of all jobs that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def draw(costs: dict[int, dict[str, tuple[float, float, float]]]) -> None:
    """Write PLOT: processor time and memory of each stage by the number of items."""
    # Imported first: a report does not depend on the user's Matplotlib.
    from report.figures.plot_style import report_style  # isort: skip
    import matplotlib
    from matplotlib.figure import Figure

    with report_style():
        matplotlib.rcParams["svg.hashsalt"] = "large"
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        axes = figure.subplots(1, 2)
        units = ("seconds of a core", "peak memory (MiB)")
        for index, (axis, unit) in enumerate(zip(axes, units, strict=True), start=1):
            for stage in next(iter(costs.values())):
                values = [stages[stage][index] for stages in costs.values()]
                axis.loglog(list(costs), values, marker="o", label=stage)
            axis.set(xlabel="items in the database", ylabel=unit)
            axis.grid(alpha=0.3)
        axes[0].legend(frameon=False)
        figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
