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
import time
from pathlib import Path

import numpy as np

import gpus
import provenance
import storage
from errors import raised_by
from experiments import (
    CACHE,
    DATASET,
    FEATURES,
    METRICS,
    BenchmarkError,
    data_folder,
    one_line,
    settings_given,
)
from features import _base, _runtime
from features._neighbours import nearest
from harness.identity import digests, sources
from plugins import Component, component
from progress import Progress

TIMED = 256  # images whose features `time` computes
KEPT = 1.0  # seconds of work that a killed job loses at most


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m features", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="JOB")
    extraction = commands.add_parser("extract", help="write features.npy and features.json")
    extraction.set_defaults(job=extract)
    listing = commands.add_parser("neighbours", help="write neighbours.npy, from features.npy")
    listing.set_defaults(job=neighbours)
    timing = commands.add_parser("time", help="print the seconds that the features of an image take, on one thread or one GPU")
    timing.set_defaults(job=time_alone)
    search = commands.add_parser("check", help="say whether the files that features need are there, downloads included")
    search.set_defaults(job=check)
    for command in (extraction, listing, timing):
        command.add_argument("dataset", help="name of a prepared data set")
    for command in (extraction, listing, timing, search):
        command.add_argument("features", help="name of the features in the results")
    for command in (extraction, timing, search):
        command.add_argument("--settings", help='JSON {"of": plugin, "set": keywords}; default: the plugin `features` as it is')
        command.add_argument("--data", type=Path, default=data_folder(), help="the user's data folder, only read")
    extraction.add_argument("--threads", type=int, default=1)
    listing.add_argument("--metric", choices=METRICS, default=METRICS[0])
    listing.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    try:
        maker = chosen(arguments)[0].name if "settings" in arguments else "_neighbours"
        kept = Path("logs/features", vars(arguments).get("dataset", ""), f"{arguments.features}.log.traceback")
        with raised_by(f"features/{maker}.py", kept):
            arguments.job(arguments)
    except BenchmarkError as error:
        sys.exit(f"features: {one_line(error)}")


def extract(arguments: argparse.Namespace) -> None:
    """Write features.npy (n, d) float32 and features.json. A job that was killed goes on where it was."""
    name, (dataset, output) = arguments.features, folders(arguments)
    part, settings = chosen(arguments)
    images = storage.unchanged(dataset / "images.npy", dataset / "dataset.json")
    n = len(_base.opened(images))
    extractor = ready(part, settings, dataset, arguments.data, n, arguments.threads)
    facts = getattr(extractor, "facts_", {})
    partial = unfinished(part, settings, facts, images)
    with storage.writing(output):
        dimensions = write_features(partial, extractor, part, images, n)
        described = {"name": name, "label": extractor.label, "citation": extractor.citation, "settings": settings, "dimensions": dimensions}
        described |= {"sha256": storage.digest(partial), **facts, **made_of(part, dataset)}
        output.mkdir(parents=True, exist_ok=True)
        partial.replace(output / "features.npy")
    storage.write_json(output / "features.json", provenance.record(**described))
    rows_done(partial).unlink(missing_ok=True)
    print(f"{name}: {n:,} x {dimensions:,}")


def ready(part: Component, settings: dict, dataset: Path, data: Path, n: int, threads: int) -> _base.Extractor:
    """The extractor, on a GPU of its own where it uses one, with what it reads open for n images."""
    if part.literals.get("uses_gpu"):
        gpus.lease()  # before the extractor's module imports torch
    extractor = built(part, settings)
    extractor.threads = threads
    if (dataset / "names.json").is_file():
        extractor.image_names = storage.read_json(dataset / "names.json")["names"]
    extractor.open(data, n)
    return extractor


def time_alone(arguments: argparse.Namespace) -> None:
    """Print {"seconds": a number} for an image, or null where its features come from a file."""
    dataset, _ = folders(arguments)
    part, settings = chosen(arguments)
    if "rows" in part.consumes:
        print(json.dumps({"seconds": None}))
        return
    images = _base.opened(storage.unchanged(dataset / "images.npy", dataset / "dataset.json"))[:TIMED]
    extractor = ready(part, settings, dataset, arguments.data, len(images), threads=1)
    extractor.extract(images[: extractor.block])  # memory and kernels are there before the clock starts
    started = time.perf_counter()
    for _ in _runtime.extracted(extractor, part.consumes, lambda: images, len(images)):
        pass
    print(json.dumps({"seconds": (time.perf_counter() - started) / len(images)}))


def check(arguments: argparse.Namespace) -> None:
    built(*chosen(arguments)).check(arguments.data)
    print(f"{arguments.features}: all there")


def chosen(arguments: argparse.Namespace) -> tuple[Component, dict]:
    """What the source of the extractor that the command asks for says, and its settings."""
    settings = settings_given("features", arguments.features, arguments.settings)
    return component("features", settings["of"]), settings


def built(part: Component, settings: dict) -> _base.Extractor:
    return getattr(importlib.import_module(f"features.{part.name}"), part.class_name)(**settings["set"])


def folders(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Where the data set is and where its features go."""
    place = {"dataset": arguments.dataset, "features": arguments.features}
    return Path(DATASET.format(**place)), Path(FEATURES.format(**place))


def unfinished(part: Component, settings: dict, facts: dict, images: Path) -> Path:
    """Where rows are written: a name made of all that they are made of, so that a job never goes on from another's."""
    seen = images.stat()
    made_of = [settings, facts, digests(sources("features", part.name)), str(images), seen.st_size, seen.st_mtime_ns]
    return Path(CACHE, "checkpoints", hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest() + ".npy")


def rows_done(partial: Path) -> Path:
    """The file that says how many rows of an unfinished array are written."""
    return partial.with_suffix(".json")


def made_of(part: Component, dataset: Path) -> dict:
    """Digests of the sources and images that features are made of."""
    images = storage.read_json(dataset / "dataset.json")["sha256"]["images.npy"]
    return {"sources": digests(sources("features", part.name)), "images_sha256": images}


def write_features(partial: Path, extractor: _base.Extractor, part: Component, images: Path, n: int) -> int:
    """Write the rows that are not there yet into one memory-mapped array; returns its dimensions.

    Both arrays are opened anew for every block, since all pages touched through a mapping count as memory while it is open. Raises
    BenchmarkError for rows that are not finite, and for more or fewer of them than images.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    done = storage.read_json(rows_done(partial))["rows"] if partial.is_file() and rows_done(partial).is_file() else 0
    dimensions = _base.opened(partial).shape[1] if done else None
    progress, kept = Progress(part.name, total=n, unit="images", done=done), -KEPT
    for rows, block in _runtime.extracted(extractor, part.consumes, lambda: _base.opened(images), n, done):
        _base.check_block(block, rows, dimensions, part.name)
        dimensions = block.shape[1]
        if not partial.is_file():
            _create(partial, (n, dimensions))
        array = np.lib.format.open_memmap(partial, mode="r+")
        array[rows] = block
        if time.monotonic() - kept >= KEPT or rows.stop == n:
            array.flush()  # rows are on the disk before they count as done
            storage.write_json(rows_done(partial), {"rows": rows.stop})
            kept = time.monotonic()
        progress.advance(len(block))
    return dimensions


def _create(path: Path, shape: tuple[int, int]) -> None:
    """An array of zeros in a file, float32, whole from its first moment: a job that was left behind may be writing into it."""
    with storage.new_file(path) as temporary:
        np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        storage.reserve(temporary)


def neighbours(arguments: argparse.Namespace) -> None:
    """Write neighbours.npy (n_train, 64) int32, positions within the training images, nearest first, each image itself at the head,
    and neighbours.json."""
    dataset, output = folders(arguments)
    split = storage.unchanged(dataset / "split.npz", dataset / "dataset.json")
    train = np.load(split, allow_pickle=False)["train"]
    array = storage.unchanged(output / "features.npy", output / "features.json")
    features = _runtime.neighbour_features(_base.opened(array), train)
    with storage.new_file(output / "neighbours.npy") as temporary:
        np.save(temporary, nearest(features, threads=arguments.threads, metric=arguments.metric))
    described = {"sha256": storage.digest(output / "neighbours.npy"), "metric": arguments.metric}
    described |= {"sources": digests(sources("features", "_neighbours"))}
    described |= {"features_sha256": storage.read_json(output / "features.json")["sha256"]}
    storage.write_json(output / "neighbours.json", provenance.record(**described))


if __name__ == "__main__":
    main()
