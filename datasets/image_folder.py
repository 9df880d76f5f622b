"""Images of your own in one sub-folder a class."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets._base import (
    OURS,
    Collection,
    Dataset,
    draw_per_class,
    fewer_training_images,
    others,
    shuffled,
)
from datasets._files import Folder
from datasets._images import MAX_NAMES, ImageFiles
from harness.errors import BenchmarkError
from harness.user_data import user_path

# Files and folders, in lower case, that computers and storage devices put beside images:
# thumbnails, deleted files, snapshots and the settings of file managers. So are all names that
# begin with a dot.
SKIPPED_NAMES = {
    *("@eadir", "#recycle", "#snapshot", "@tmp", "@sharebin"),  # Synology
    *("@recycle", "@recently-snapshot", "@__thumb"),  # QNAP
    *("$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    *("__macosx", "icon\r", "lost+found"),
}


class ImageFolder(Dataset):
    """The images of `path/CLASS/...`, one class a sub-folder.

    Queries are drawn from each class. All other images are the database. Rows are in the order of
    a hash of their paths, so that the position of an image does not tell its class. Thumbnails,
    system files and names that begin with a dot are skipped. Every other file must be an image.
    Of channels with 16 bits, the high byte is used.

    Parameters
    ----------
    path : str
        A folder, absolute or below the data folder.
    queries_per_class : int
        Drawn in the order of a fixed hash.
    training_images : int, optional
        Number of training images, drawn from the database without labels. Default: all.
    size : int
        Side length in pixels.
    grey : bool
        Convert to grey. `pixels` then reads one channel.
    leave_out_unreadable : bool
        Run without the images that cannot be decoded. They are an error otherwise.
    """

    label, citation = "Image folder", None
    file_params = ("path",)
    version = 2

    def __init__(
        self,
        *,
        path,
        queries_per_class=100,
        training_images=None,
        size=256,
        grey=False,
        leave_out_unreadable=False,
    ):
        if queries_per_class < 1:
            raise BenchmarkError(
                f"queries_per_class is {queries_per_class}, expected a whole number from 1"
            )
        self.path, self.size, self.one_channel = path, size, grey
        self.queries_per_class, self.training_images = queries_per_class, training_images
        self.leave_out_unreadable = leave_out_unreadable

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load."""
        folder = user_path(data, self.path)
        listing = list_images(folder)
        images = ImageFiles(Folder(folder), listing.names, self.size, self.one_channel)
        labels = listing.labels()
        self._check_counts(folder, listing, labels)

        order = shuffled(len(labels), f"bgan-bench/image-folder/{self.version}/query")
        query = draw_per_class(labels, self.queries_per_class, order)
        database = others(len(labels), query)
        collection = Collection(
            images=images,
            labels=labels,
            query=query,
            database=database,
            train=database,
            leave_out_unreadable=self.leave_out_unreadable,
            rules=(
                (
                    f"{self.queries_per_class} queries per class, the rest database; relevant: "
                    "same class (sub-folder)",
                    OURS,
                ),
                ("rows by a hash of their paths; draws in the order of a fixed hash", OURS),
                (images.rule, OURS),
                *((rule, OURS) for rule in listing.rules()),
            ),
        )
        name = f"image-folder/{self.version}"
        return fewer_training_images(collection, self.training_images, name)

    def _check_counts(self, folder: Path, listing: _Listing, labels: np.ndarray) -> None:
        """Raise BenchmarkError if a class has too few images to draw the queries from."""
        counts = np.bincount(labels)
        smallest = int(counts.argmin())
        if counts[smallest] > self.queries_per_class:
            return

        most = counts[smallest] - 1
        advice = f"set queries_per_class to {most} or less" if most else "add images to this folder"
        count = f"{most + 1} image{'s' if most else ''}"
        raise BenchmarkError(
            f"{folder / listing.classes()[smallest]} has {count}, expected more than "
            f"{self.queries_per_class}, the number of queries: {advice}"
        )


@dataclass(frozen=True)
class _Listing:
    """The images below a folder.

    Parameters
    ----------
    names : tuple of str
        Paths below the folder, in the order of their hash.
    skipped : int
        Number of files that were skipped.
    empty : tuple of str
        Sub-folders without images.
    """

    names: tuple[str, ...]
    skipped: int
    empty: tuple[str, ...]

    def classes(self) -> list[str]:
        """Return the sub-folders with images, sorted."""
        return sorted({name.partition("/")[0] for name in self.names})

    def labels(self) -> np.ndarray:
        """Return the class of each image, int64 (n,)."""
        index = {name: label for label, name in enumerate(self.classes())}
        return np.array([index[name.partition("/")[0]] for name in self.names], dtype=np.int64)

    def rules(self) -> list[str]:
        """Return what was left out, for the rules of the protocol."""
        rules = []
        if self.skipped:
            rules.append(f"{self.skipped:,} hidden files, thumbnails and system files are skipped")
        if self.empty:
            named = ", ".join(self.empty[:MAX_NAMES]) + (", ..." if self.empty[MAX_NAMES:] else "")
            rules.append(f"{len(self.empty):,} sub-folders without images are no class: {named}")
        return rules


def list_images(folder: Path) -> _Listing:
    """List every image in a sub-folder.

    Raises
    ------
    BenchmarkError
        For a file outside a sub-folder, a name that is not UTF-8, a link to a folder or to
        nothing, and for fewer than two classes.
    """
    if not folder.is_dir():
        raise BenchmarkError(
            f"{folder} is missing: expected a folder with one sub-folder of images a class; "
            "change `path`"
        )

    names, skipped, empty = [], 0, []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if _is_skipped(entry.name):
            skipped += sum(len(files) for _, _, files in os.walk(entry)) or int(entry.is_file())
            continue
        if entry.is_file():
            raise BenchmarkError(
                f"{entry.path} is in no class: expected every image in a sub-folder, which names "
                "its class. Move or delete it"
            )
        class_names, passed = _files_of_class(folder, entry.name)
        names += class_names
        skipped += passed
        if not class_names:
            empty.append(entry.name)

    _check_encoding(folder, [*names, *empty])
    listing = _Listing(tuple(sorted(names, key=_path_hash)), skipped, tuple(empty))
    if len(listing.classes()) < 2:
        raise BenchmarkError(
            f"{folder} has images of fewer than two classes: expected one sub-folder of images a "
            "class"
        )

    return listing


def _files_of_class(folder: Path, name: str) -> tuple[list[str], int]:
    """Return the paths of the images of a class, and the number of files that are skipped."""
    _check_not_a_link(folder / name)
    paths, skipped = [], 0
    for parent, folders, files in os.walk(folder / name, onerror=_refuse):
        for inner in [inner for inner in folders if _is_skipped(inner)]:
            folders.remove(inner)
            skipped += sum(len(names) for _, _, names in os.walk(Path(parent, inner)))
        for inner in folders:
            _check_not_a_link(Path(parent, inner))
        for file in files:
            if _is_skipped(file):
                skipped += 1
                continue
            path = Path(parent, file)
            if not path.is_file():
                _check_not_a_link(path)
            paths.append(path.relative_to(folder).as_posix())

    return paths, skipped


def _refuse(error: OSError) -> None:
    """Raise BenchmarkError for a folder that cannot be listed, which os.walk would leave out."""
    raise BenchmarkError(
        f"{error.filename} cannot be read ({error.strerror}): expected a folder that you may list. "
        "Change its permissions"
    )


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name.lower() in SKIPPED_NAMES


def _check_not_a_link(path: Path) -> None:
    """Raise BenchmarkError for a link to a folder or to nothing, and for a device."""
    if path.is_symlink() or not path.is_dir():
        raise BenchmarkError(
            f"{path} is neither a file nor a folder but a link or device: expected images "
            "themselves. Replace it by the folder or the file that it leads to"
        )


def _check_encoding(folder: Path, names: list[str]) -> None:
    """Raise BenchmarkError for names that are not UTF-8, which no list could name."""
    wrong = sorted(name for name in names if not _is_utf8(name))
    if wrong:
        raise BenchmarkError(
            f"{folder}: {len(wrong):,} file names are not UTF-8: found {os.fsencode(wrong[0])!r}, "
            "expected UTF-8. Rename them, for example with `convmv -r --notest -f latin1 -t utf8`"
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the bytes of other encodings are surrogates
        return False
    return True


def _path_hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
