"""Seconds and peak memory of each stage on synthetic databases, from a feature file to metrics; and how they grow.

    python -m benchmarks.large 1000000                       # items of 128 features; ITQ, 32 bits, 1,000 queries
    python -m benchmarks.large 10000 100000 1000000 --plot   # writes benchmarks/large.svg

The items are noisy centres of a hundred classes, drawn block by block. Each stage is the job of the workflow, in a process of its own, on
one thread. All database items may train; the method draws its sample of them. Memory is the process's largest resident size: it includes
the pages of the block of a file that is being read, and the interpreter with its libraries.
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
        help="for the files, about 1.1 GB a million items; default: the system's for temporary ones",
    )
    parser.add_argument("--plot", action="store_true", help=f"write {PLOT.name}")
    arguments = parser.parse_args()
    print(
        f"{provenance.processor()}; {arguments.method}, {arguments.bits} bits, {QUERIES:,} queries, {DIMENSIONS} features an item"
    )
    measured = {}
    for items in arguments.items:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            write(Path(folder), items)
            measured[items] = {
                stage: run(*job, Path(folder))
                for stage, job in stages(arguments.method, arguments.bits).items()
            }
            record = Run(PLACE.dataset, PLACE.features, arguments.method, arguments.bits, 0).record
            described = storage.read_json(Path(folder, record))
        for stage, (seconds, processor, memory) in measured[items].items():
            print(
                f"{items:>12,} items  {stage:<10} {seconds:8.1f} s, {processor:6.1f} s of a core, {memory:8,.0f} MiB"
            )
        inside = f"fit {described['fit_seconds']:.1f} s on {described['fitted_rows']:,} rows, encode {described['encode_seconds']:.1f} s"
        print(f"{'':>19} of these: {inside}", flush=True)
    if arguments.plot:
        draw(measured)


def write(folder: Path, items: int) -> None:
    """A prepared data set without images, and the feature file of its user."""
    n = QUERIES + items
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((CLASSES, DIMENSIONS), dtype=np.float32)
    labels = generator.integers(CLASSES, size=n)
    data = folder / PLACE.dataset_folder
    data.mkdir(parents=True)
    with open(folder / "given.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (n, DIMENSIONS)}
        )
        for start in range(0, n, BLOCK):
            rows = labels[start : start + BLOCK]
            file.write(
                centres[rows]
                + 2 * generator.standard_normal((len(rows), DIMENSIONS), dtype=np.float32)
            )
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
    """The jobs as the Snakefile runs them, each with the file in which it describes itself."""
    settings = json.dumps({"of": "file", "set": {"path": "given.npy"}})
    names = [PLACE.dataset, PLACE.features]
    extract = ["features", "extract", *names, "--settings", settings, "--data", "."]
    score = ["evaluation", "score", *names, method, "--runs", f"{bits}:0", "--threads", "1"]
    return {
        "features": (extract, PLACE.features_record),
        "codes": (["methods", *names, method, str(bits), "0"], Run(*names, method, bits, 0).record),
        "metrics": (score, Score(RESULTS, *names, method).record),
    }


def run(command: list[str], described: Path, folder: Path) -> tuple[float, float, float]:
    """Seconds of the wall and of the processor, and largest resident size in MiB, of a job."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    wall, processor = time.perf_counter(), processor_seconds()
    subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    spent = time.perf_counter() - wall, processor_seconds() - processor
    return *spent, storage.read_json(folder / described)["peak_memory_mib"]


def processor_seconds() -> float:
    """Of all jobs that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def draw(measured: dict[int, dict[str, tuple[float, float, float]]]) -> None:
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
            for stage in next(iter(measured.values())):
                values = [stages[stage][index] for stages in measured.values()]
                axis.loglog(list(measured), values, marker="o", label=stage)
            axis.set(xlabel="items in the database", ylabel=unit)
            axis.grid(alpha=0.3)
        axes[0].legend(frameon=False)
        figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
