"""`python -m features`: features of a data set; neighbours and views of its training images."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy: blocks of rows are what runs in parallel

import argparse
import functools
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from features import _base, _runtime, _views
from features._neighbours import nearest
from harness import gpus, records, storage
from harness.errors import BenchmarkError, one_line, raised_by
from harness.plan import Place
from harness.plugins import AUGMENTATIONS, Plugin, checked_facts, load_class
from harness.progress import Progress
from harness.user_data import CACHE, data_folder
from harness.variants import METRICS, Variant, variant_of_text

TIMING_IMAGES = 256  # images whose features the command `time` computes
CHECKPOINT_SECONDS = 1.0  # of work that a killed job loses at most


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m features", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="JOB")
    extraction = commands.add_parser("extract", help="write features.npy and features.json")
    extraction.set_defaults(job=extract)
    listing = commands.add_parser("neighbours", help="write neighbours.npy, from features.npy")
    listing.set_defaults(job=neighbours)
    augmentation = commands.add_parser("views", help="write views.npy, of augmented images")
    augmentation.set_defaults(job=views)
    timing = commands.add_parser(
        "time",
        help="print the seconds that the features of an image take, on one thread or one GPU",
    )
    timing.set_defaults(job=time_alone)
    search = commands.add_parser(
        "check", help="look for the files that features need, downloads included"
    )
    search.set_defaults(job=check)
    for command in (extraction, listing, augmentation, timing):
        command.add_argument("dataset", help="name of a prepared data set")

    for command in (extraction, listing, augmentation, timing, search):
        command.add_argument("features", help="name of the features in the results")

    for command in (extraction, augmentation, timing, search):
        command.add_argument(
            "--entry",
            help='JSON {"of": plugin, "set": parameters}; default: the plugin FEATURES',
        )
        command.add_argument(
            "--data", type=Path, default=data_folder(), help="the user's data folder, only read"
        )

    search.add_argument(
        "--images", type=int, nargs="*", default=[], help="number of images of each data set"
    )
    listing.add_argument("--metric", choices=METRICS, default=METRICS[0])
    for command in (extraction, listing, augmentation):
        command.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    try:
        maker = variant_of(arguments).plugin.name if "entry" in arguments else "_neighbours"
        traceback_path = Path(
            "logs/features",
            vars(arguments).get("dataset", ""),
            f"{arguments.features}.log.traceback",
        )
        with raised_by(f"features/{maker}.py", traceback_path):
            arguments.job(arguments)
    except BenchmarkError as error:
        sys.exit(f"features: {one_line(error)}")


def extract(arguments: argparse.Namespace) -> None:
    """Write features.npy (n, d) float32 and features.json."""
    place, variant = Place(arguments.dataset, arguments.features), variant_of(arguments)
    images = storage.unchanged(place.images, place.dataset_record)
    made_of = records.of_features(variant, records.place_digests(place), arguments.data)
    n = len(_base.opened(images))
    extractor = ready(variant, place, arguments.data, n, arguments.threads)
    described = {"name": variant.name, "label": extractor.label, "citation": extractor.citation}
    opened = functools.partial(_base.opened, images)
    dimensions = store(
        place.features_array, extractor, variant.plugin, opened, (n,), made_of, described
    )
    print(f"{variant.name}: {n:,} x {dimensions:,}")


def ready(variant: Variant, place: Place, data: Path, n: int, threads: int) -> _base.Extractor:
    """Return the extractor, with its files open for n images, and a GPU leased if it uses one."""
    if variant.uses_gpu and gpus.lease():
        from harness import determinism  # imports torch

        determinism.use_deterministic_algorithms()

    extractor = built(variant)
    extractor.threads = threads
    facts = storage.read_json(place.image_names)
    extractor.grey = facts.get("grey", False)
    extractor.image_names = [path.rpartition("/")[2] for path in facts["names"]]
    extractor.match_names = functools.partial(_base.match_names, facts["names"])
    extractor.open(data, n)
    return extractor


def time_alone(arguments: argparse.Namespace) -> None:
    """Print {"seconds": number} per image; null if features come from a file."""
    place, variant = Place(arguments.dataset, arguments.features), variant_of(arguments)
    if "rows" in variant.plugin.consumes:
        print(json.dumps({"seconds": None}))
        return

    images = _base.opened(storage.unchanged(place.images, place.dataset_record))[:TIMING_IMAGES]
    extractor = ready(variant, place, arguments.data, len(images), threads=1)
    extractor.extract(images[: extractor.block])  # warm-up

    started = time.perf_counter()
    for _ in _runtime.extracted(extractor, variant.plugin.consumes, lambda: images, len(images)):
        pass

    print(json.dumps({"seconds": (time.perf_counter() - started) / len(images)}))


def check(arguments: argparse.Namespace) -> None:
    extractor = built(variant_of(arguments))
    extractor.check(arguments.data)
    for n in arguments.images:
        extractor.check_rows(arguments.data, n)
    print(f"{arguments.features}: all files found")


def variant_of(arguments: argparse.Namespace) -> Variant:
    return variant_of_text("features", arguments.features, arguments.entry)


def built(variant: Variant) -> _base.Extractor:
    extractor = load_class(variant.plugin)(**variant.params)
    records.check_sources("features", variant.plugin.name)
    return extractor


def store(
    path: Path,
    extractor: _base.Extractor,
    plugin: Plugin,
    images: Callable,
    shape: tuple[int, ...],
    made_of: dict,
    described: dict,
) -> int:
    """Write an array of features, with its record beside it; return its dimensions.

    An interrupted job resumes at its last block. If several jobs need the same array, one of them
    extracts it. The others wait, and link to its file.

    Parameters
    ----------
    path : Path
        Of the array.
    extractor, plugin, images, shape
        See `write_features`.
    made_of : dict
        What decides the array.
    described : dict
        Other facts for the record.
    """
    own = {"dimensions", "sha256", *described}  # names of the record's other facts
    facts = checked_facts(plugin, extractor.facts_, dict.fromkeys(own))
    partial = CACHE / "checkpoints" / f"{records.digest_of([made_of, facts])}.npy"
    with storage.writing(path.parent), storage.locked(partial.with_suffix(".lock")):
        same = same_array(path, {"made_of": made_of, **facts})
        if same is None:
            write_features(partial, extractor, plugin, images, shape)

        array = same or partial
        dimensions = _base.opened(array).shape[-1]
        described = described | {"dimensions": dimensions, "sha256": storage.digest(array)} | facts
        path.parent.mkdir(parents=True, exist_ok=True)
        if same is None:
            storage.move(partial, path)
        else:
            storage.link(same, path)
        records.write(path.with_suffix(".json"), made_of, **described)
        rows_done(partial).unlink(missing_ok=True)

    return dimensions


def same_array(path: Path, facts: dict) -> Path | None:
    """Return an undamaged array of another data set whose record has the same facts, or None.

    All protocols of a collection, and its validation part, have the same images. `facts` are
    what decides the array, and those of the extractor, such as its device.
    """
    for record in sorted((CACHE / "features").glob(f"*/*/{path.stem}.json")):
        array = record.with_suffix(".npy")
        if array == path:
            continue
        try:
            if facts.items() <= storage.read_json(record).items():
                return storage.unchanged(array, record)
        except BenchmarkError as error:  # its own jobs report it
            print(f"not shared: {one_line(error)}", file=sys.stderr)

    return None


def rows_done(partial: Path) -> Path:
    """Return the file with the number of rows of an unfinished array that are written."""
    return partial.with_suffix(".json")


def write_features(
    partial: Path,
    extractor: _base.Extractor,
    plugin: Plugin,
    images: Callable,
    shape: tuple[int, ...],
) -> int:
    """Write the missing rows into one memory-mapped array; return its dimensions.

    Both arrays are opened again for every block, since all pages touched through a memory map count
    as memory while it is open.

    Parameters
    ----------
    partial : Path
    extractor : Extractor
    plugin : Plugin
    images : callable
        Opens the images, or what gives blocks of them.
    shape : tuple of int
        Of the array, without the dimensions d. Its rows, in C order, are those of the images.

    Raises
    ------
    BenchmarkError
        If features are not finite, or not one row for each image.
    """
    partial.parent.mkdir(parents=True, exist_ok=True)
    n = math.prod(shape)
    done = (
        storage.read_json(rows_done(partial))["rows"]
        if partial.is_file() and rows_done(partial).is_file()
        else 0
    )
    dimensions = _base.opened(partial).shape[-1] if done else None
    progress = Progress(plugin.name, total=n, unit="images", done=done)
    saved_at = -CHECKPOINT_SECONDS
    for rows, block in _runtime.extracted(extractor, plugin.consumes, images, n, done):
        _base.check_block(block, rows, dimensions, plugin.name)
        dimensions = block.shape[1]
        if not partial.is_file():
            _create(partial, (*shape, dimensions))
        array = np.lib.format.open_memmap(partial, mode="r+")
        array.reshape(n, dimensions)[rows] = block
        if time.monotonic() - saved_at >= CHECKPOINT_SECONDS or rows.stop == n:
            array.flush()  # rows are stored before they count as done
            storage.write_json(rows_done(partial), {"rows": rows.stop})
            saved_at = time.monotonic()
        progress.advance(len(block))

    return dimensions


def _create(path: Path, shape: tuple[int, ...]) -> None:
    """Create a file with an array of zeros, float32, atomically.

    A job that was left behind may be writing into it.
    """
    with storage.new_file(path) as temporary:
        np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        storage.reserve(temporary)


def neighbours(arguments: argparse.Namespace) -> None:
    """Write neighbours.npy (n_train, 64) int32 and neighbours.json.

    Neighbours are positions within the training images, each image itself first, then the nearest.
    """
    place = Place(arguments.dataset, arguments.features)
    made_of = records.of_neighbours(arguments.metric, records.place_digests(place, "features"))
    split = storage.unchanged(place.split, place.dataset_record)
    train = np.load(split, allow_pickle=False)["train"]
    array = storage.unchanged(place.features_array, place.features_record)
    features = _runtime.neighbour_features(_base.opened(array), train)
    with storage.new_file(place.neighbours_array) as temporary:
        np.save(temporary, nearest(features, threads=arguments.threads, metric=arguments.metric))

    digest = storage.digest(place.neighbours_array)
    records.write(place.neighbours_record, made_of, sha256=digest, metric=arguments.metric)


def views(arguments: argparse.Namespace) -> None:
    """Write views.npy (m, n_train, d) float32 and views.json.

    They are the features of m augmented copies of the training images, in the order of the split.
    """
    place, variant = Place(arguments.dataset, arguments.features), variant_of(arguments)
    variant.check_views()
    augmentation = variant.plugin.member("augmentation")
    images = storage.unchanged(place.images, place.dataset_record)
    split = storage.unchanged(place.split, place.dataset_record)
    train = np.load(split, allow_pickle=False)["train"]
    made_of = records.of_views(variant, records.place_digests(place), arguments.data)
    extractor = ready(variant, place, arguments.data, len(_base.opened(images)), arguments.threads)

    def augmented() -> _views.AugmentedImages:
        return _views.AugmentedImages(_base.opened(images), train, augmentation)

    shape = _views.VIEWS, len(train)
    described = {
        "name": variant.name,
        "views": _views.VIEWS,
        "operations": AUGMENTATIONS[augmentation],
        "seed": _views.SEED,
    }
    dimensions = store(
        place.views_array, extractor, variant.plugin, augmented, shape, made_of, described
    )
    print(f"{variant.name}: {_views.VIEWS} views, {len(train):,} x {dimensions:,}")


if __name__ == "__main__":
    main()
