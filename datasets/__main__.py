"""`python -m datasets cifar10`: prepare one data set as arrays in cache/datasets/cifar10."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

import numpy as np

import storage
from datasets import _base
from experiments import CACHE, DATASET, BenchmarkError, component, data_folder, one_line


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m datasets", description=__doc__)
    parser.add_argument("name", help="name in the results: a data set, or dataset-protocol")
    parser.add_argument("--settings", default=None, help='JSON {"of": plugin, "set": keywords}; default: the plugin `name` as it is')
    parser.add_argument("--data", type=Path, default=data_folder(), help="the user's data folder, only read")
    arguments = parser.parse_args()
    try:
        settings = json.loads(arguments.settings or json.dumps({"of": arguments.name, "set": {}}))
        prepare(arguments.name, settings, arguments.data)
    except BenchmarkError as error:
        sys.exit(f"datasets: {one_line(error)}")


def prepare(name: str, settings: dict, data: Path) -> None:
    """Write images.npy, labels.npy, split.npz and dataset.json of one data set, all or none."""
    part = component("datasets", settings["of"])
    dataset = getattr(importlib.import_module(f"datasets.{part.name}"), part.class_name)(**settings["set"])
    collection = dataset.load(data, Path(CACHE))
    if settings.get("validation"):
        collection = _base.validation_part(collection, name)
    _base.check(collection, name)
    with storage.new_folder(DATASET.format(dataset=name)) as folder:
        np.save(folder / "images.npy", collection.images)
        np.save(folder / "labels.npy", collection.labels)
        np.savez(folder / "split.npz", query=collection.query, database=collection.database, train=collection.train)
        described = describe(name, settings, dataset, collection)
        files = {file: storage.digest(folder / file) for file in ("images.npy", "labels.npy", "split.npz")}
        storage.write_json(folder / "dataset.json", described | {"sha256": files})
    print(f"{name}: {described['sizes']}, split {described['split_sha256'][:12]}")


def describe(name: str, settings: dict, dataset: _base.Dataset, collection: _base.Collection) -> dict:
    """What a table or a reader needs to know of a prepared data set."""
    labels = collection.labels
    return {
        "name": name,
        "label": dataset.label + (", validation" if settings.get("validation") else ""),
        "citation": dataset.citation,
        "settings": settings,
        "protocol": getattr(dataset, "protocol", dataset.protocols[0]),
        "rules": [{"rule": rule, "source": source} for rule, source in collection.rules],
        "images": list(collection.images.shape),
        "classes": int(labels.shape[1] if labels.ndim == 2 else len(np.unique(labels))),
        "sizes": {part: len(getattr(collection, part)) for part in ("query", "database", "train")},
        "duplicate_queries": _base.duplicate_queries(collection),
        "split_sha256": _base.split_digest(collection),
    }


if __name__ == "__main__":
    main()
