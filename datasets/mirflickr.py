"""MIRFlickr-25K from the official folders or zips."""

from pathlib import Path

import numpy as np

from datasets._base import (
    OURS,
    PARTS,
    PUBLISHED,
    Collection,
    Dataset,
    fewer_training_images,
    known_protocol,
    shuffled,
)
from datasets._files import Files, Folder, need, open_files
from datasets._images import ImageFiles
from datasets._labels import LINE, missing_images
from harness.errors import BenchmarkError

FOLDER = "mirflickr25k"
SITE = "https://press.liacs.nl/mirflickr/mirdownload.html"
IMAGES, IMAGES_ZIP = "mirflickr", "mirflickr25k.zip"
ANNOTATIONS = "mirflickr25k_annotations_v080"
LIST = "20015.txt"
ROWS = 25_000
POTENTIAL = (
    *("animals", "baby", "bird", "car", "clouds", "dog", "female", "flower", "food", "indoor"),
    *("lake", "male", "night", "people", "plant_life", "portrait", "river", "sea", "sky"),
    *("structures", "sunset", "transport", "tree", "water"),
)
RELEVANT = (
    *("baby", "bird", "car", "clouds", "dog", "female", "flower", "male", "night", "people"),
    *("portrait", "river", "sea", "tree"),
)
LABELLED_IMAGES = 24_581  # images with at least one concept


class MIRFlickr(Dataset):
    """25,000 Flickr photographs; row i is im(i+1).jpg. Relevant: at least one concept in common.

    Protocols, as queries / database / training images:

    24
        The 24 potential labels; 2,000 / 22,581 / 10,000 of the 24,581 images that carry one.
    38
        With the 14 relevant labels (`_r1`), 1,000 / 20,000 / 4,000, training images outside the
        database; sizes of https://github.com/swuxyj/DeepHash-pytorch.
    20015
        2,000 / 18,015 / 10,000 of the 20,015 images that cross-modal hashing keeps for their
        tags; sizes of Yang et al., IJCAI 2018 (SSDH). Which images these are does not follow from
        the annotations, so it needs their numbers, one a line, in `mirflickr25k/20015.txt`.

    Parameters
    ----------
    protocol : str
    subset : bool
        Run on the images that exist, in the split of the whole set. Otherwise, a missing image is
        an error.
    training_images : int, optional
        Number of the protocol's training images, drawn without labels. Default: all.
    size : int
        Pixels of a side.
    leave_out_unreadable : bool
        Run without the images that cannot be decoded. They are an error otherwise.

    References
    ----------
    Huiskes & Lew, The MIR Flickr Retrieval Evaluation, MIR 2008, annotations v080.
    """

    label, citation = "MIRFlickr-25K", "huiskes2008mir"
    reads = ("mirflickr25k",)
    protocols = ("24", "38", "20015")

    def __init__(
        self,
        *,
        protocol="24",
        subset=False,
        training_images=None,
        size=256,
        leave_out_unreadable=False,
    ):
        self.protocol, self.subset, self.size = known_protocol(MIRFlickr, protocol), subset, size
        self.training_images, self.leave_out_unreadable = training_images, leave_out_unreadable

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load. Reads `mirflickr25k/` below `data`."""
        folder = data / FOLDER
        advice = (
            f"get {IMAGES_ZIP} and {ANNOTATIONS}.zip from {SITE} and put them into {folder}, "
            "unpacked or as they are"
        )
        need(folder, [(ANNOTATIONS, f"{ANNOTATIONS}.zip"), (IMAGES, IMAGES_ZIP)], advice)
        annotations = open_files(folder, ANNOTATIONS, f"{ANNOTATIONS}.zip", advice)
        labels = read_concepts(annotations, self.protocol)
        labelled = np.flatnonzero(labels.any(axis=1))
        taking_part = _listed(folder) if self.protocol == "20015" else labelled
        fields = split(labels, self.protocol, taking_part)

        images, present = self._image_files(open_files(folder, IMAGES, IMAGES_ZIP, advice))
        fields["rules"] += (
            (images.rule, OURS),
            ("not the paper's: its Flickr protocol is not published", OURS),
        )
        if not present.all():
            fields = _restricted(fields, present)

        collection = Collection(
            images=images,
            labels=labels[present],
            **fields,
            leave_out_unreadable=self.leave_out_unreadable,
        )
        name = f"mirflickr-{self.protocol}/{self.version}/fewer"
        return fewer_training_images(collection, self.training_images, name)

    def _image_files(self, files: Files) -> tuple[ImageFiles, np.ndarray]:
        """Return the images that exist, and which of all they are, bool (25000,)."""
        names = [f"im{number}.jpg" for number in range(1, ROWS + 1)]
        present = np.array([files.has(name) for name in names])
        if not present.all() and not self.subset:
            raise BenchmarkError(
                f"{missing_images(files, names, present)}; get {IMAGES_ZIP} from {SITE}, or set "
                "`subset: true` to run on the images that exist"
            )
        return ImageFiles(files, tuple(np.array(names)[present].tolist()), self.size), present


def read_concepts(files: Files, protocol: str) -> np.ndarray:
    """Return the labels (25000, 24 or 38) bool from one file a concept, an image number a line.

    Raise BenchmarkError for a damaged line.
    """
    concepts = [*POTENTIAL, *(f"{concept}_r1" for concept in RELEVANT if protocol == "38")]
    labels = np.zeros((ROWS, len(concepts)), dtype=bool)
    for column, concept in enumerate(concepts):
        name = f"{concept}.txt"
        labels[read_numbers(files.read(name), files.shown(name)) - 1, column] = True

    labelled = int(labels.any(axis=1).sum())
    if labelled != LABELLED_IMAGES:
        raise BenchmarkError(
            f"{files.shown('')}: {labelled:,} images carry a concept, expected "
            f"{LABELLED_IMAGES:,}: get it again from {SITE}"
        )

    return labels


def read_numbers(content: bytes, shown: str) -> np.ndarray:
    """Return image numbers from 1 to 25,000, one a line, as int64.

    Raise BenchmarkError for any other line.
    """
    if len(content) > LINE * ROWS:
        raise BenchmarkError(
            f"{shown} has {len(content):,} bytes, expected image numbers from 1 to {ROWS}, one a "
            "line"
        )

    lines = content.split()
    for number, line in enumerate(lines, start=1):
        if not (line.isdigit() and len(line) <= 5 and 1 <= int(line) <= ROWS):
            raise BenchmarkError(
                f"{shown}: entry {number} is {line[:40]!r}, expected an image number from 1 to "
                f"{ROWS}"
            )

    if len(set(map(int, lines))) < len(lines):
        raise BenchmarkError(
            f"{shown} names an image twice, expected {len(lines):,} different ones"
        )

    return np.array(lines, dtype=np.int64)


def split(labels: np.ndarray, protocol: str, taking_part: np.ndarray) -> dict:
    """Return split, sizes and rules of a protocol as fields of a Collection.

    taking_part: rows that the queries are drawn from.
    """
    queries, training = (1_000, 4_000) if protocol == "38" else (2_000, 10_000)

    def order(rows: np.ndarray, part: str) -> np.ndarray:
        return rows[
            shuffled(len(rows), f"bgan-bench/mirflickr-{protocol}/{MIRFlickr.version}/{part}")
        ]

    outside = protocol == "38"
    query = np.sort(order(taking_part, "query")[:queries])
    rest = np.setdiff1d(np.arange(ROWS) if outside else taking_part, query)
    train = np.sort(order(rest, "train")[:training])
    database = np.setdiff1d(rest, train) if outside else rest
    sizes = (queries, len(database), training)
    rules = {
        "24": (
            (
                "24 potential labels, all images that carry one; 2,000 queries, the rest "
                "database, 10,000 training images",
                OURS,
            ),
        ),
        "38": (
            (
                "24 potential and 14 relevant labels; 1,000 queries, database 20,000, 4,000 "
                "training images outside the database",
                PUBLISHED,
            ),
            ("queries carry a label; database and training images need not", OURS),
        ),
        "20015": (
            (
                "20,015 images, 24 labels; 2,000 queries, database 18,015, 10,000 training images "
                "inside it",
                PUBLISHED,
            ),
        ),
    }[protocol]
    drawn = ("queries, then training images, drawn uniformly, in the order of a fixed hash", OURS)
    return {
        "query": query,
        "database": database,
        "train": train,
        "sizes": sizes,
        "train_outside": outside,
        "rules": (("relevant: at least one label in common", PUBLISHED), *rules, drawn),
    }


def _listed(folder: Path) -> np.ndarray:
    """Return the rows of the 20,015 images that the user lists."""
    path = folder / LIST
    if not path.is_file():
        raise BenchmarkError(
            f"protocol 20015 needs {path}, the numbers of its 20,015 images, one a line: they were "
            "chosen by their tags and do not follow from the annotations; export them from the "
            "list or matrix of the paper that you compare with, or take protocol 24"
        )

    rows = np.sort(read_numbers(Folder(folder).read(LIST), str(path)) - 1)
    if len(rows) != 20_015:
        raise BenchmarkError(f"{path} names {len(rows):,} images, expected 20,015")

    return rows


def _restricted(fields: dict, present: np.ndarray) -> dict:
    """Return the split of the whole set on the images that exist, with their rows.

    present: (25000,) bool.
    """
    row = np.cumsum(present) - 1
    parts = {part: row[fields[part][present[fields[part]]]] for part in PARTS}
    rule = (
        f"subset: the {present.sum():,} images that exist, each in the part that it has in the "
        "whole set's split",
        OURS,
    )
    return fields | parts | {"sizes": None, "rules": (*fields["rules"], rule)}
