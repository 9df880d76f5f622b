"""`python -m features extract | neighbours`: features of a prepared data set, and neighbour lists of its training images."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy: blocks of rows are what runs in parallel

import argparse
import importlib
import json
import sys
from pathlib import Path

import numpy as np

import storage
from experiments import DATASET, FEATURES, METRICS, BenchmarkError, component, data_folder, one_line
from features import _base
from features._neighbours import nearest


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
    listing.add_argument("--metric", choices=METRICS, default=METRICS[0])
    listing.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    try:
        arguments.job(arguments)
    except BenchmarkError as error:
        sys.exit(f"features: {one_line(error)}")


def extract(arguments: argparse.Namespace) -> None:
    """Write features.npy (n, d) float32 and features.json."""
    name, (dataset, output) = arguments.features, folders(arguments)
    settings = json.loads(arguments.settings or json.dumps({"of": name, "set": {}}))
    part = component("features", settings["of"])
    extractor = getattr(importlib.import_module(f"features.{part.name}"), part.class_name)(**settings["set"])
    images = np.load(dataset / "images.npy", mmap_mode="r", allow_pickle=False)
    with storage.new_file(output / "features.npy") as temporary:
        dimensions = write_features(temporary, extractor.extract(images, arguments.data), len(images), name)
    described = {"name": name, "label": extractor.label, "citation": extractor.citation, "settings": settings, "dimensions": dimensions}
    storage.write_json(output / "features.json", described | {"sha256": storage.digest(output / "features.npy")})
    print(f"{name}: {len(images):,} x {dimensions:,}")


def folders(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Where the data set is and where its features go."""
    place = {"dataset": arguments.dataset, "features": arguments.features}
    return Path(DATASET.format(**place)), Path(FEATURES.format(**place))


def write_features(path: Path, extracted, n: int, name: str) -> int:
    """Write the extractor's blocks as one memory-mapped array; returns its dimensions.

    Raises BenchmarkError for rows that are not finite, and for more or fewer of them than images.
    """
    array, start = None, 0
    for block in extracted:
        _base.check_block(block, start, name)
        if array is None:
            array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, block.shape[1]))
        array[start : start + len(block)] = block
        start += len(block)
    if start != n:
        raise BenchmarkError(f"{name}: the extractor gave {start:,} rows for {n:,} images; see features/{name}.py")
    array.flush()
    return array.shape[1]


def neighbours(arguments: argparse.Namespace) -> None:
    """Write neighbours.npy (n_train, 64) int32: positions within the training images, nearest first, each image itself at the head."""
    dataset, output = folders(arguments)
    train = np.load(dataset / "split.npz", allow_pickle=False)["train"]
    features = np.load(output / "features.npy", mmap_mode="r", allow_pickle=False)[train]
    with storage.new_file(output / "neighbours.npy") as temporary:
        np.save(temporary, nearest(features, threads=arguments.threads, metric=arguments.metric))


if __name__ == "__main__":
    main()
