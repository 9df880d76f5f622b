"""Images of your own in one sub-folder a class."""

from pathlib import Path

import numpy as np

from datasets._base import OURS, Collection, Dataset, draw_per_class, others, shuffled
from datasets._files import Folder
from datasets._images import ImageFiles
from harness.errors import BenchmarkError


class ImageFolder(Dataset):
    """The images of `path/CLASS/...`, one class a sub-folder, rows ordered by path; the rest after the queries is searched and trained on.

    path: a folder, absolute or below the data folder; queries_per_class: drawn in the order of a fixed hash; training_images: as
    many of the database, drawn without labels, or all of it (null); size: pixels of a side. Files and folders whose names begin
    with a dot are passed over; every other file must be an image. Source: none.
    """

    label, citation = "Image folder", None
    file_params = ("path",)

    def __init__(self, *, path, queries_per_class=100, training_images=None, size=256):
        if queries_per_class < 1:
            raise BenchmarkError(
                f"queries_per_class is {queries_per_class}, expected a whole number from 1"
            )
        self.path, self.size = path, size
        self.queries_per_class, self.training_images = queries_per_class, training_images

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load."""
        names = image_names(data / self.path)
        folders = [name.partition("/")[0] for name in names]
        labels = np.unique(folders, return_inverse=True)[1].astype(np.int64)
        images = ImageFiles(Folder(data / self.path), names, self.size)
        counts = np.bincount(labels)
        if counts.min() <= self.queries_per_class:
            name, most = sorted(set(folders))[int(counts.argmin())], counts.min() - 1
            advice = (
                f"set queries_per_class, here {most} at most"
                if most
                else "one alone has nothing to find"
            )
            raise BenchmarkError(
                f"{data / self.path / name} has {most + 1} images, expected more than {self.queries_per_class}: {advice}"
            )
        query = draw_per_class(
            labels, self.queries_per_class, shuffled(len(labels), "bgan-bench/image-folder/1/query")
        )
        database = others(len(labels), query)
        asked = self.training_images
        if asked is not None and (type(asked) is not int or not 1 <= asked <= len(database)):
            raise BenchmarkError(
                f"training_images is {asked!r}, expected 1 to {len(database)}, the images of the database, or null for all"
            )
        order = shuffled(len(database), "bgan-bench/image-folder/1/train")
        train = np.sort(database[order[: self.training_images]])
        return Collection(
            images=images,
            labels=labels,
            query=query,
            database=database,
            train=train,
            rules=(
                (
                    f"{self.queries_per_class} queries per class, the rest database; relevant: same class (sub-folder)",
                    OURS,
                ),
                (
                    f"{len(train):,} training images, drawn uniformly from the database, without labels",
                    OURS,
                ),
                ("rows by path; draws in the order of a fixed hash of their numbers", OURS),
                (images.rule, OURS),
            ),
        )


def image_names(folder: Path) -> tuple[str, ...]:
    """Paths below `folder`, sorted: every file in a sub-folder.

    Raises BenchmarkError for a file outside one, for a link to a folder or to nothing, and for fewer than two classes.
    """
    if not folder.is_dir():
        raise BenchmarkError(
            f"{folder} is missing: expected a folder with one sub-folder of images a class; change `path`"
        )
    found = [path.relative_to(folder) for path in folder.rglob("*")]
    shown = [path for path in found if not any(part.startswith(".") for part in path.parts)]
    names = sorted(path.as_posix() for path in shown if (folder / path).is_file())
    for path in sorted(folder / path for path in shown):
        if not path.is_file() and (
            path.is_symlink() or not path.is_dir()
        ):  # a linked folder is not gone into
            raise BenchmarkError(
                f"{path} is neither a file nor a folder but a link or device: expected images themselves"
            )
    outside = [name for name in names if "/" not in name]
    if outside:
        raise BenchmarkError(
            f"{folder / outside[0]} is in no class: expected every image in a sub-folder, which names its class"
        )
    if len({name.partition("/")[0] for name in names}) < 2:
        raise BenchmarkError(
            f"{folder} has images of fewer than two classes: expected one sub-folder of images a class"
        )
    return tuple(names)
