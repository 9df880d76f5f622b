"""What decides the arrays of every data set in addition to its own file.

This file is a source of all data sets: a change of its meaning makes them stale. Command line,
checks, digests and records belong in __main__.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets._base import PARTS, Collection, Dataset, validation_part, without_rows
from datasets._images import MAX_NAMES, remove_rows, write
from harness import storage
from harness.errors import BenchmarkError


def collect(dataset: Dataset, data: Path, cache: Path, name: str, validation: bool) -> Collection:
    """Return the images, labels and split of a data set; image files are not decoded yet.

    Parameters
    ----------
    dataset : Dataset
    data, cache : Path
        The user's data folder, and the folder of downloads.
    name : str
        Name in the results, from which the order of the validation split is derived.
    validation : bool
        Whether the split is inside the training part, for choosing parameters.
    """
    collection = dataset.load(data, cache)
    return validation_part(collection, name) if validation else collection


def write_arrays(
    collection: Collection, folder: Path, threads: int, unreadable_list: Path, grey: bool = False
) -> Collection:
    """Write images.npy, labels.npy, split.npz and names.json.

    Parameters
    ----------
    collection : Collection
    folder : Path
    threads : int
        Number of threads that decode images.
    unreadable_list : Path
        Text file that names all images that cannot be read, if there are any.
    grey : bool
        Whether the three channels of each image are equal.

    Returns
    -------
    Collection
        With the images memory-mapped, and without those that cannot be read and are left out.

    Raises
    ------
    BenchmarkError
        If images cannot be read and are not to be left out.
    """
    names = np.array(getattr(collection.images, "names", ()), dtype=object)
    images, unreadable = write(collection.images, folder / "images.npy", threads)
    if unreadable:
        _report_unreadable(collection, unreadable, unreadable_list)
        lost = np.array(sorted(unreadable))
        images = remove_rows(folder / "images.npy", lost)
        names = np.delete(names, lost)
        collection = without_rows(collection, lost, images)

    np.save(folder / "labels.npy", collection.labels)
    np.savez(folder / "split.npz", **{part: getattr(collection, part) for part in PARTS})
    facts = {"names": names.tolist()} | ({"grey": True} if grey else {})
    storage.write_json(folder / "names.json", facts)
    return replace(collection, images=images)


def _report_unreadable(collection: Collection, unreadable: dict[int, str], path: Path) -> None:
    """List the images that cannot be read; raise BenchmarkError unless they may be left out."""
    messages = [unreadable[row] for row in sorted(unreadable)]
    with storage.new_file(path) as temporary:
        temporary.write_text("".join(f"{message}\n" for message in messages), encoding="utf-8")
    if len(unreadable) == len(collection.images) or not collection.leave_out_unreadable:
        first = "; ".join(message.rstrip(".") for message in messages[:MAX_NAMES])
        raise BenchmarkError(
            f"{len(unreadable):,} of {len(collection.images):,} images cannot be read: {first}. "
            f"All of them are listed in {path}"
        )
