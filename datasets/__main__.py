"""`python -m datasets cifar10`: prepare one data set as arrays in cache/datasets/cifar10."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np

from datasets import _base, _runtime
from harness import records, storage
from harness.errors import BenchmarkError, one_line, raised_by
from harness.plan import Place
from harness.plugins import PROTOCOL, load_class
from harness.user_data import CACHE, data_folder
from harness.variants import Variant, variant_of_text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m datasets", description=__doc__)
    parser.add_argument("name", help="name in the results: a data set, or dataset-protocol")
    parser.add_argument(
        "--entry",
        default=None,
        help='JSON {"of": plugin, "set": parameters}; default: the plugin or variant NAME',
    )
    parser.add_argument(
        "--data", type=Path, default=data_folder(), help="the user's data folder, only read"
    )
    parser.add_argument("--threads", type=int, default=1, help="that decode images")
    parser.add_argument(
        "--check",
        action="store_true",
        help="look for all files, downloads included, and prepare nothing",
    )
    arguments = parser.parse_args()
    warnings.filterwarnings(
        "ignore", module="PIL"
    )  # of flaws that are harmless or, in its next step, an error
    try:
        variant = variant_of_text("datasets", arguments.name, arguments.entry)
        with raised_by(
            f"datasets/{variant.plugin.name}.py", f"logs/datasets/{arguments.name}.log.traceback"
        ):
            made_of = records.of_dataset(variant, arguments.data)
            dataset, collection = load(variant, arguments.data)
            if arguments.check:
                print(f"{arguments.name}: {len(collection.images):,} images, all there")
            else:
                prepare(variant, made_of, dataset, collection, arguments.threads)
    except BenchmarkError as error:
        sys.exit(f"datasets: {one_line(error)}")


def load(variant: Variant, data: Path) -> tuple[_base.Dataset, _base.Collection]:
    """Return a data set and its collection, with a valid split, before an image file is decoded."""
    dataset = load_class(variant.plugin)(**variant.params)
    records.check_sources("datasets", variant.plugin.name)
    collection = _runtime.collect(dataset, data, CACHE, variant.name, variant.validation)
    _base.check(collection, variant.name)
    return dataset, collection


def prepare(
    variant: Variant,
    made_of: dict,
    dataset: _base.Dataset,
    collection: _base.Collection,
    threads: int,
) -> None:
    """Write images.npy, labels.npy, split.npz, names.json and dataset.json: all or none.

    names.json has the names of the image files. It is empty if images are not files of their own.
    """
    place = Place(variant.name, "")
    arrays = (place.images, place.labels, place.split, place.image_names)
    with storage.new_folder(place.dataset_folder) as folder:
        unreadable = Path(f"logs/datasets/{variant.name}.unreadable.txt")
        collection = _runtime.write_arrays(
            collection, folder, threads, unreadable, dataset.one_channel
        )
        _base.check(collection, variant.name)
        described = describe(variant, dataset, collection)
        digests = {path.name: storage.digest(folder / path.name) for path in arrays}
        records.write(folder / place.dataset_record.name, made_of, **described, sha256=digests)

    print(f"{variant.name}: {described['sizes']}, split {described['split_sha256'][:12]}")
    print(
        f"  duplicate queries: {described['duplicate_queries']}; without a relevant item: "
        f"{described['queries_without_relevant']}"
    )
    for rule, source in collection.rules:
        print(f"  {rule} ({source})")


def describe(variant: Variant, dataset: _base.Dataset, collection: _base.Collection) -> dict:
    """Return the facts of a prepared data set that tables and readers need."""
    labels = collection.labels
    protocols = variant.plugin.member("protocols")
    return {
        "name": variant.name,
        "label": dataset.label + (", validation" if variant.validation else ""),
        "citation": dataset.citation,
        "version": dataset.version,
        "protocol": variant.params[PROTOCOL] if protocols[1:] else protocols[0],
        "rules": [{"rule": rule, "source": source} for rule, source in collection.rules],
        "images": list(collection.images.shape),
        "classes": int(labels.shape[1] if labels.ndim == 2 else len(np.unique(labels))),
        "sizes": {part: len(getattr(collection, part)) for part in ("query", "database", "train")},
        "duplicate_queries": _base.duplicate_queries(collection),
        "queries_without_relevant": _base.queries_without_relevant(collection),
        "split_sha256": _base.split_digest(collection),
    }


if __name__ == "__main__":
    main()
