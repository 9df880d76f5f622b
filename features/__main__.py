"""`python -m features extract | neighbours`: features of a prepared data set, and neighbour lists of its training images."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy: blocks of rows are what runs in parallel

import argparse
import hashlib
import importlib
import json
import sys
from pathlib import Path

import numpy as np

import gpus
import provenance
import storage
from experiments import CACHE, DATASET, FEATURES, METRICS, BenchmarkError, Component, component, data_folder, one_line, sources
from features import _base
from features._neighbours import nearest
from progress import Progress


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m features", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="JOB")
    extraction = commands.add_parser("extract", help="write features.npy and features.json")
    extraction.set_defaults(job=extract)
    listing = commands.add_parser("neighbours", help="write neighbours.npy, from features.npy")
    listing.set_defaults(job=neighbours)
    for command in (extraction, listing):
        command.add_argument("dataset", help="name of a prepared data set")
        command.add_argument("features", help="name of the features in the results")
    extraction.add_argument("--settings", help='JSON {"of": plugin, "set": keywords}; default: the plugin `features` as it is')
    extraction.add_argument("--data", type=Path, default=data_folder(), help="the user's data folder, only read")
    extraction.add_argument("--threads", type=int, default=1)
    listing.add_argument("--metric", choices=METRICS, default=METRICS[0])
    listing.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    try:
        arguments.job(arguments)
    except BenchmarkError as error:
        sys.exit(f"features: {one_line(error)}")


def extract(arguments: argparse.Namespace) -> None:
    """Write features.npy (n, d) float32 and features.json. A job that was killed goes on where it was."""
    name, (dataset, output) = arguments.features, folders(arguments)
    settings = json.loads(arguments.settings or json.dumps({"of": name, "set": {}}))
    part = component("features", settings["of"])
    if part.literals.get("uses_gpu"):
        gpus.lease()
    extractor = getattr(importlib.import_module(f"features.{part.name}"), part.class_name)(**settings["set"])
    extractor.threads = arguments.threads
    images = dataset / "images.npy"
    n = len(_base.opened(images))
    extractor.open(arguments.data, n)
    facts = getattr(extractor, "facts_", {})
    partial = unfinished(part, settings, facts, images)
    dimensions = write_features(partial, extractor, part, images, n)
    described = {"name": name, "label": extractor.label, "citation": extractor.citation, "settings": settings, "dimensions": dimensions}
    described |= {"sha256": storage.digest(partial), **facts, "sources": provenance.digests(sources("features", part.name))}
    output.mkdir(parents=True, exist_ok=True)
    partial.replace(output / "features.npy")
    storage.write_json(output / "features.json", provenance.record(**described))
    rows_done(partial).unlink()
    print(f"{name}: {n:,} x {dimensions:,}")


def folders(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Where the data set is and where its features go."""
    place = {"dataset": arguments.dataset, "features": arguments.features}
    return Path(DATASET.format(**place)), Path(FEATURES.format(**place))


def unfinished(part: Component, settings: dict, facts: dict, images: Path) -> Path:
    """Where rows are written: a name made of all that they are made of, so that a job never goes on from another's."""
    seen = images.stat()
    made_of = [settings, facts, provenance.digests(sources("features", part.name)), str(images), seen.st_size, seen.st_mtime_ns]
    return Path(CACHE, "checkpoints", hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest() + ".npy")


def rows_done(partial: Path) -> Path:
    """The file that says how many rows of an unfinished array are written."""
    return partial.with_suffix(".json")


def write_features(partial: Path, extractor: _base.Extractor, part: Component, images: Path, n: int) -> int:
    """Write the rows that are not there yet into one memory-mapped array; returns its dimensions.

    Both arrays are opened anew for every block, since all pages touched through a mapping count as memory while it is open. Raises
    BenchmarkError for rows that are not finite, and for more or fewer of them than images.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    done = storage.read_json(rows_done(partial))["rows"] if partial.is_file() and rows_done(partial).is_file() else 0
    dimensions = _base.opened(partial).shape[1] if done else None
    progress = Progress(part.name, total=n, unit="images", done=done)
    for rows in _base.blocks(n, done):
        block = extractor.extract(rows if "rows" in part.consumes else _base.opened(images)[rows])
        _base.check_block(block, rows, dimensions, part.name)
        dimensions = block.shape[1]
        array = np.lib.format.open_memmap(partial, mode="r+" if rows.start else "w+", dtype=np.float32, shape=(n, dimensions))
        array[rows] = block
        storage.write_json(rows_done(partial), {"rows": rows.stop})
        progress.advance(len(block))
    return dimensions


def neighbours(arguments: argparse.Namespace) -> None:
    """Write neighbours.npy (n_train, 64) int32: positions within the training images, nearest first, each image itself at the head."""
    dataset, output = folders(arguments)
    train = np.load(dataset / "split.npz", allow_pickle=False)["train"]
    features = np.load(output / "features.npy", mmap_mode="r", allow_pickle=False)[train]
    with storage.new_file(output / "neighbours.npy") as temporary:
        np.save(temporary, nearest(features, threads=arguments.threads, metric=arguments.metric))


if __name__ == "__main__":
    main()
