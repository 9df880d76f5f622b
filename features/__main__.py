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
from experiments import BenchmarkError, component, one_line
from features import _base
from features._neighbours import nearest


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m features", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    extraction = commands.add_parser("extract", help="write features.npy and features.json")
    extraction.add_argument("name", help="name in the results")
    extraction.add_argument("--settings", default=None, help='JSON {"of": plugin, "set": keywords}; default: the plugin `name` as it is')
    extraction.add_argument("--dataset", required=True, help="folder of the prepared data set")
    extraction.add_argument("--data", default="data", help="the user's data folder, only read")
    extraction.add_argument("--note", default="", help="a sentence for table captions")
    listing = commands.add_parser("neighbours", help="write neighbours.npy, from features.npy in the same folder")
    listing.add_argument("--dataset", required=True, help="folder of the prepared data set")
    listing.add_argument("--threads", type=int, default=1)
    for command in (extraction, listing):
        command.add_argument("--output", required=True, help="folder of the features")
    arguments = parser.parse_args()
    try:
        extract(arguments) if arguments.command == "extract" else neighbours(arguments)
    except BenchmarkError as error:
        sys.exit(f"features: {one_line(error)}")


def extract(arguments: argparse.Namespace) -> None:
    """Write features.npy (n, d) float32 and features.json."""
    settings = json.loads(arguments.settings or json.dumps({"of": arguments.name, "set": {}}))
    part = component("features", settings["of"])
    extractor = getattr(importlib.import_module(f"features.{part.name}"), part.class_name)(**settings["set"])
    images = np.load(Path(arguments.dataset) / "images.npy", mmap_mode="r", allow_pickle=False)
    output = Path(arguments.output)
    with storage.new_file(output / "features.npy") as temporary:
        dimensions = write_features(temporary, extractor.extract(images, Path(arguments.data)), len(images), arguments.name)
    described = {
        "name": arguments.name,
        "label": extractor.label,
        "citation": extractor.citation,
        "settings": settings,
        "note": arguments.note,
        "dimensions": dimensions,
        "sha256": storage.digest(output / "features.npy"),
    }
    storage.write_json(output / "features.json", described)
    print(f"{arguments.name}: {len(images):,} x {dimensions:,}")


def write_features(path: Path, extracted, n: int, name: str) -> int:
    """Write the extractor's blocks as one memory-mapped array; returns its dimensions. Raises BenchmarkError for rows that are not finite."""
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
    output = Path(arguments.output)
    train = np.load(Path(arguments.dataset) / "split.npz", allow_pickle=False)["train"]
    features = np.load(output / "features.npy", mmap_mode="r", allow_pickle=False)[train]
    with storage.new_file(output / "neighbours.npy") as temporary:
        np.save(temporary, nearest(features, threads=arguments.threads))


if __name__ == "__main__":
    main()
