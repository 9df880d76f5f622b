"""`python -m datasets cifar10`: prepare one data set as arrays in cache/datasets/cifar10."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from pathlib import Path

import numpy as np

import storage
from datasets import _base, _runtime
from errors import raised_by
from experiments import CACHE, DATASET, BenchmarkError, data_folder, one_line, settings_given
from harness.identity import digests, sources
from plugins import component


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m datasets", description=__doc__)
    parser.add_argument("name", help="name in the results: a data set, or dataset-protocol")
    parser.add_argument("--settings", default=None, help='JSON {"of": plugin, "set": keywords}; default: what `name` stands for')
    parser.add_argument("--data", type=Path, default=data_folder(), help="the user's data folder, only read")
    parser.add_argument("--threads", type=int, default=1, help="that decode images")
    parser.add_argument("--check", action="store_true", help="say whether everything is there, downloads included, and prepare nothing")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="PIL")  # of flaws that are harmless or, in its next step, an error
    try:
        settings = settings_given("datasets", arguments.name, arguments.settings)
        with raised_by(f"datasets/{settings['of']}.py", f"logs/datasets/{arguments.name}.log.traceback"):
            dataset, collection = load(arguments.name, settings, arguments.data)
            if arguments.check:
                print(f"{arguments.name}: {len(collection.images):,} images, all there")
            else:
                prepare(arguments.name, settings, dataset, collection, arguments.threads)
    except BenchmarkError as error:
        sys.exit(f"datasets: {one_line(error)}")


def load(name: str, settings: dict, data: Path) -> tuple[_base.Dataset, _base.Collection]:
    """A data set and what it gives, its split checked, before an image file is decoded."""
    part = component("datasets", settings["of"])
    dataset = getattr(importlib.import_module(f"datasets.{part.name}"), part.class_name)(**settings["set"])
    collection = _runtime.collect(dataset, data, Path(CACHE), name, settings.get("validation", False))
    _base.check(collection, name)
    return dataset, collection


def prepare(name: str, settings: dict, dataset: _base.Dataset, collection: _base.Collection, threads: int) -> None:
    """Write images.npy, labels.npy, split.npz, names.json (of image files, else none) and dataset.json of one data set, all or none."""
    with storage.new_folder(DATASET.format(dataset=name)) as folder:
        storage.write_json(folder / "names.json", {"names": list(getattr(collection.images, "names", ()))})
        collection = _runtime.write_arrays(collection, folder, threads)
        described = describe(name, settings, dataset, collection)
        files = {file: storage.digest(folder / file) for file in ("images.npy", "labels.npy", "split.npz")}
        storage.write_json(folder / "dataset.json", described | {"sha256": files})
    print(f"{name}: {described['sizes']}, split {described['split_sha256'][:12]}")
    print(f"  duplicate queries: {described['duplicate_queries']}; without a relevant item: {described['queries_without_relevant']}")
    for rule, source in collection.rules:
        print(f"  {rule} ({source})")


def describe(name: str, settings: dict, dataset: _base.Dataset, collection: _base.Collection) -> dict:
    """What a table or a reader needs to know of a prepared data set."""
    labels = collection.labels
    return {
        "name": name,
        "label": dataset.label + (", validation" if settings.get("validation") else ""),
        "citation": dataset.citation,
        "settings": settings,
        "version": dataset.version,
        "protocol": getattr(dataset, "protocol", dataset.protocols[0]),
        "rules": [{"rule": rule, "source": source} for rule, source in collection.rules],
        "images": list(collection.images.shape),
        "classes": int(labels.shape[1] if labels.ndim == 2 else len(np.unique(labels))),
        "sizes": {part: len(getattr(collection, part)) for part in ("query", "database", "train")},
        "duplicate_queries": _base.duplicate_queries(collection),
        "queries_without_relevant": _base.queries_without_relevant(collection),
        "split_sha256": _base.split_digest(collection),
        "sources": digests(sources("datasets", settings["of"])),
    }


if __name__ == "__main__":
    main()
