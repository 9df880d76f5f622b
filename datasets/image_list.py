"""Images of your own with a split of your own: the lists that deep-hashing repositories share."""

from pathlib import Path

import numpy as np

from datasets._base import OURS, Collection, Dataset
from datasets._files import Folder
from datasets._images import ImageFiles
from datasets._labels import missing_images, read_lists
from harness.errors import BenchmarkError


class ImageList(Dataset):
    """The images of `path/database.txt`, `train.txt` and `test.txt`, lines of `file 0 1 0 ...`. Relevant: a label in common.

    Rows: the database's images in their order, then training images and queries that are not among them. path: the folder of the
    lists, images: the folder that their files are in, `path` if it is null; each absolute or below the data folder. size: pixels of a
    side. Form: https://github.com/thuml/HashNet, https://github.com/swuxyj/DeepHash-pytorch. Source: none.
    """

    label, citation = "Image list", None
    file_params = ("path", "images")

    def __init__(self, *, path, images=None, size=256):
        self.path, self.images, self.size = path, images, size

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load."""
        lists = data / self.path
        if not lists.is_dir():
            raise BenchmarkError(
                f"{lists} is missing: expected a folder with database.txt, train.txt and test.txt; change `path`"
            )
        listed = read_lists(Folder(lists))
        files = Folder(data / (self.images or self.path))
        present = np.array([files.has(name) for name in listed.names], dtype=bool)
        if not present.all():
            raise BenchmarkError(
                f"{missing_images(files, listed.names, present)}; expected every image of the lists: change `images`"
            )
        images = ImageFiles(files, listed.names, self.size)
        outside = len(np.setdiff1d(listed.parts["train"], listed.parts["database"]))
        place = (
            f"{outside:,} of them outside the database"
            if outside
            else "all of them in the database"
        )
        return Collection(
            images=images,
            labels=listed.labels,
            query=listed.parts["test"],
            database=listed.parts["database"],
            train=listed.parts["train"],
            train_outside=bool(outside),
            rules=(
                (
                    "queries, database and training images as listed; relevant: at least one label in common",
                    OURS,
                ),
                (f"{len(listed.parts['train']):,} training images, {place}", OURS),
                (images.rule, OURS),
            ),
        )
