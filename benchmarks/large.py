"""Measure time and peak memory of each stage on large synthetic databases.

    python -m benchmarks.large 1000000                       # items
    python -m benchmarks.large 10000 100000 1000000 --plot   # writes benchmarks/large.svg
    python -m benchmarks.large 1000000 --dimensions 512 --methods itq agh bihalf --bits 64
    python -m benchmarks.large 10000000 --dimensions 16 --methods lsh --bits 64

By default ITQ learns 32 bits from 128 features per item, and there are 1,000 queries. The items are
centres of a hundred classes with noise, or noise alone with `--distribution random`. They are drawn
in blocks. Each stage is the job of the workflow with one thread, in a process of its own. All
database items are training images, and a method with `sample` draws its sample of them. Memory is
the largest resident size of the process. It includes the pages of the block of a file that is being
read, and the interpreter with its libraries. The figures are saved in benchmarks/large.json.
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

from benchmarks import results
from harness import provenance, records, storage
from harness.plan import RESULTS, Place, Run, Score
from harness.plugins import ROOT
from harness.user_data import DATA_VARIABLE

QUERIES, CLASSES, BLOCK = 1000, 100, 50_000
DISTRIBUTIONS = ("clustered", "random")
PLACE = Place("synthetic", "given")
PLOT = Path(__file__).with_name("large.svg")

Cost = tuple[float, float, float]  # elapsed seconds, processor seconds, peak memory in MiB


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("items", type=int, nargs="+", help="in the database")
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--distribution", choices=DISTRIBUTIONS, default=DISTRIBUTIONS[0])
    parser.add_argument("--methods", nargs="+", default=["itq"])
    parser.add_argument(
        "--set",
        type=json.loads,
        default={},
        metavar="JSON",
        help='parameters by method: {"bihalf": {"epochs": 1}}',
    )
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument(
        "--folder",
        type=Path,
        help="temporary files are written here: 8 bytes per item and dimension",
    )
    parser.add_argument(
        "--plot", action="store_true", help=f"write {PLOT.name} of the first method"
    )
    arguments = parser.parse_args()
    print(f"{provenance.processor()}; {QUERIES:,} queries, {arguments.bits} bits")

    costs = {}
    for items in arguments.items:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
            folder = Path(temporary)
            write(folder, items, arguments.dimensions, arguments.distribution)
            costs[items] = measure(folder, items, arguments)

    if arguments.plot:
        draw(costs)


def measure(folder: Path, items: int, arguments: argparse.Namespace) -> dict[str, Cost]:
    """Measure all stages, and save their figures. Return the costs of the first method."""
    size = f"{items:,} x {arguments.dimensions} {arguments.distribution}"
    job = extraction()
    costs = {"features": run(*job, folder)}
    results.save("large", f"{size}: features", figures(costs["features"]))
    for method in arguments.methods:
        params = arguments.set.get(method, {})
        own = {
            stage: run(*job, folder)
            for stage, job in training_and_scoring(method, arguments.bits, params).items()
        }
        record = storage.read_json(folder / run_of(method, arguments.bits).record)
        problem = f"{size}: {method}, {arguments.bits} bits"
        if params:
            problem += f", {', '.join(f'{name} {value}' for name, value in params.items())}"
        facts = {
            "fit": results.seconds(record["fit_seconds"]),
            "fitted rows": f"{record['fitted_rows']:,}",
            "encode": results.seconds(record["encode_seconds"]),
        }
        results.save("large", problem, figures(own["codes"]) | facts)
        scored = f"{size}: scoring of {method}, {arguments.bits} bits, {QUERIES:,} queries"
        results.save("large", scored, figures(own["metrics"]))
        for stage, cost in own.items():
            costs.setdefault(stage, cost)

    return costs


def figures(cost: Cost) -> dict[str, str]:
    """Return the figures of a job as the table of results shows them."""
    elapsed, processor, memory = cost
    return {
        "elapsed": results.seconds(elapsed),
        "processor": results.seconds(processor),
        "peak": results.mebibytes(memory),
    }


def write(folder: Path, items: int, dimensions: int, distribution: str) -> None:
    """Write a prepared data set without images, and a feature file as a user would give it."""
    n = QUERIES + items
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((CLASSES, dimensions), dtype=np.float32)
    labels = generator.integers(CLASSES, size=n)
    data = folder / PLACE.dataset_folder
    data.mkdir(parents=True)
    header = {"descr": "<f4", "fortran_order": False, "shape": (n, dimensions)}
    with open(folder / "given.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, BLOCK):
            rows = labels[start : start + BLOCK]
            noise = generator.standard_normal((len(rows), dimensions), dtype=np.float32)
            file.write(centres[rows] + 2 * noise if distribution == "clustered" else noise)

    np.save(data / "images.npy", np.empty((n, 0, 0, 3), np.uint8))
    np.save(data / "labels.npy", labels)
    database = np.arange(QUERIES, n)
    np.savez(data / "split.npz", query=np.arange(QUERIES), database=database, train=database)
    storage.write_json(data / PLACE.image_names.name, {"names": []})
    arrays = (PLACE.images, PLACE.labels, PLACE.split, PLACE.image_names)
    digests = {path.name: storage.digest(folder / path) for path in arrays}
    facts = {"name": PLACE.dataset, "sha256": digests, "split_sha256": digests[PLACE.split.name]}
    records.write(folder / PLACE.dataset_record, {"plugin": PLACE.dataset}, **facts)


def run_of(method: str, bits: int) -> Run:
    return Run(PLACE.dataset, PLACE.features, method, bits, 0)


def extraction() -> tuple[list[str], Path]:
    """Return the job of the features, as the Snakefile runs it, with the record that it writes."""
    entry = json.dumps({"of": "file", "set": {"path": "given.npy"}})
    command = ["features", "extract", PLACE.dataset, PLACE.features, "--entry", entry]
    return command, PLACE.features_record


def training_and_scoring(method: str, bits: int, params: dict) -> dict[str, tuple[list[str], Path]]:
    """Return the jobs of a method, as the Snakefile runs them, with their records."""
    names = [PLACE.dataset, PLACE.features, method]
    train = [
        "methods",
        *names,
        str(bits),
        "0",
        "--entry",
        json.dumps({"of": method, "set": params}),
    ]
    score = ["evaluation", "score", *names, "--runs", f"{bits}:0", "--threads", "1"]
    return {
        "codes": (train, run_of(method, bits).record),
        "metrics": (score, Score(RESULTS, *names).record),
    }


def run(command: list[str], record: Path, folder: Path) -> Cost:
    """Return the elapsed and the processor seconds of a job, and its peak memory in MiB."""
    job, environment = (
        [sys.executable, "-m", *command],
        os.environ | {"PYTHONPATH": str(ROOT), DATA_VARIABLE: "."},
    )
    started, processor = time.perf_counter(), processor_seconds()
    subprocess.run(job, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - started, processor_seconds() - processor
    return *seconds, storage.read_json(folder / record)["peak_memory_mib"]


def processor_seconds() -> float:
    """Return the processor time of all jobs that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def draw(costs: dict[int, dict[str, Cost]]) -> None:
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
