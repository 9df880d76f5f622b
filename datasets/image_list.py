"""Images of your own with a split of your own: the lists that deep-hashing repositories share."""

from pathlib import Path

import numpy as np

from datasets._base import OURS, Collection, Dataset, fewer_training_images
from datasets._files import Folder
from datasets._images import ImageFiles
from datasets._labels import Listed, advice_on_absolute, missing_images, read_lists
from harness.errors import BenchmarkError
from harness.user_data import user_path


class ImageList(Dataset):
    """The images of `path/database.txt`, `train.txt` and `test.txt`.

    Lines are `file 0 1 0 ...`, a 0 or 1 for each class, or `file CLASS`, a class number. Images
    are relevant if they have a label in common. Rows: the images of the database in their order,
    then training images and queries that are not in it. Of channels with 16 bits, the high byte is
    used.

    Parameters
    ----------
    path : str
        Folder of the lists, absolute or below the data folder.
    images : str, optional
        Folder of the images, absolute or below the data folder. Default: `path`.
    strip : str
        Beginning that is removed from the paths in the lists, as `/home/me/data/`.
    training_images : int, optional
        Number of training images, drawn without labels. Default: all.
    size : int
        Side length of the images in pixels.
    grey : bool
        Convert to grey. `pixels` then reads one channel.
    leave_out_unreadable : bool
        Run without the images that cannot be decoded. They are an error otherwise.

    References
    ----------
    The format is that of https://github.com/thuml/HashNet and
    https://github.com/swuxyj/DeepHash-pytorch.
    """

    label, citation = "Image list", None
    file_params = ("path", "images")

    def __init__(
        self,
        *,
        path,
        images=None,
        strip="",
        training_images=None,
        size=256,
        grey=False,
        leave_out_unreadable=False,
    ):
        self.path, self.images, self.strip = path, images, strip
        self.training_images, self.size, self.one_channel = training_images, size, grey
        self.leave_out_unreadable = leave_out_unreadable

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load."""
        folder = user_path(data, self.path)
        if not folder.is_dir():
            raise BenchmarkError(
                f"{folder} is missing: expected a folder with database.txt, train.txt and "
                "test.txt; change `path`"
            )

        listed = read_lists(Folder(folder), self.strip)
        files = Folder(user_path(data, self.images or self.path))
        _check_present(files, listed.names)

        images = ImageFiles(files, listed.names, self.size, self.one_channel)
        outside = len(np.setdiff1d(listed.parts["train"], listed.parts["database"]))
        collection = Collection(
            images=images,
            labels=listed.labels,
            query=listed.parts["test"],
            database=listed.parts["database"],
            train=listed.parts["train"],
            train_outside=bool(outside),
            leave_out_unreadable=self.leave_out_unreadable,
            rules=(*_rules(listed, outside), (images.rule, OURS)),
        )
        return fewer_training_images(collection, self.training_images, "image-list/1")


def _check_present(files: Folder, names: tuple[str, ...]) -> None:
    """Raise BenchmarkError if a listed image does not exist."""
    present = np.array([files.has(name) for name in names], dtype=bool)
    if not present.all():
        raise BenchmarkError(
            f"{missing_images(files, names, present)}; expected every image of the lists: change "
            f"the parameter `images` of the data set{advice_on_absolute(names, present)}"
        )


def _rules(listed: Listed, outside: int) -> tuple[tuple[str, str], ...]:
    """Return the rules of the split. outside: number of training images not in the database."""
    relevant = "at least one label in common" if listed.labels.ndim == 2 else "same class"
    where = (
        f"{outside:,} of them outside the database" if outside else "all of them in the database"
    )
    return (
        (f"queries, database and training images as listed; relevant: {relevant}", OURS),
        (f"{len(listed.parts['train']):,} training images, {where}", OURS),
    )
