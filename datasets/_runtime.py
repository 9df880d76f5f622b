"""What decides the arrays of every data set beside its own file.

This file is a source of all data sets: a change of its meaning makes them stale. Command line,
checks, digests and records belong in __main__.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets._base import Collection, Dataset, validation_part
from datasets._images import write


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


def write_arrays(collection: Collection, folder: Path, threads: int) -> Collection:
    """Write images.npy, labels.npy and split.npz; return the collection with the images mapped."""
    images = write(collection.images, folder / "images.npy", threads)
    np.save(folder / "labels.npy", collection.labels)
    split = {part: getattr(collection, part) for part in ("query", "database", "train")}
    np.savez(folder / "split.npz", **split)
    return replace(collection, images=images)
