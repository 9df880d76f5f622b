"""NUS-WIDE from the official label files, the official image list and a folder of images."""

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
    others,
    shuffled,
)
from datasets._files import Files, Folder, need, open_files
from datasets._images import ImageFiles
from datasets._labels import missing_images, read_flags, read_lists
from harness.errors import BenchmarkError

FOLDER = "nuswide"
SITE = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html"
LISTS_SITE = "https://github.com/swuxyj/DeepHash-pytorch"
IMAGES_ADVICE = (
    " (images as Flickr/actor/0001_2124494179.jpg ... or images/0001_2124494179.jpg ...), or set "
    "`images: false` for features from a file"
)
ROWS, TRAINING_ROWS, TEST_ROWS = 269_648, 161_789, 107_859
CONCEPTS, CONCEPT_NAMES = 81, "Concepts81.txt"
# Images with at least one of the most frequent concepts.
LABELLED_IMAGES = {"10": 186_577, "21": 195_834, "81": 209_347}
SIZES = {  # query, database and training images
    "21": (2_100, 193_734, 10_500),
    "10": (1_000, 185_577, 5_000),
    "81": (5_000, LABELLED_IMAGES["81"] - 5_000, 10_000),
}
# The published Labels_lake_Train.txt has this at line 78373. A 0 there makes its images those of
# AllLabels, as for every other concept.
PUBLISHED_ERRORS = {"Labels_lake_Train.txt": {78_373: (b"-1130179", False)}}
NOT_THE_PAPERS = ("not the paper's: its NUS-WIDE protocol is not published", OURS)


class NUSWIDE(Dataset):
    """269,648 Flickr photographs with 81 concepts, rows in the order of the official image list.

    Relevant: a concept in common. Protocols, as queries / database / training images:

    21, 10
        The most frequent concepts, and the images that carry one; 2,100 / 193,734 / 10,500 and
        1,000 / 185,577 / 5,000: concept by concept, the rarest first, 100 queries and then 500
        training images that are not yet taken. 21: sizes of
        https://github.com/swuxyj/DeepHash-pytorch.
    81
        All concepts; 5,000 queries and 10,000 training images drawn uniformly, since some
        concepts have fewer than 100 images.
    21-list
        The lists that hashing repositories share, in `nuswide/nuswide_21/`: database.txt,
        train.txt, test.txt, lines of `images/0001_2124494179.jpg 0 1 0 ...`, paths below
        `nuswide/`.

    Parameters
    ----------
    protocol : str
    images : bool
        False prepares the labels alone, for features from a file.
    leave_out_missing : bool
        Run without the images that do not exist, many of which are gone from Flickr. They are an
        error otherwise.
    leave_out_unreadable : bool
        Run without the images that cannot be decoded. They are an error otherwise.
    training_images : int, optional
        Number of the protocol's training images, drawn without labels. Default: all.
    size : int
        Side length in pixels.

    References
    ----------
    Chua et al., NUS-WIDE, CIVR 2009.
    """

    label, citation = "NUS-WIDE", "chua2009nuswide"
    reads = ("nuswide",)
    protocols = ("21", "10", "81", "21-list")

    def __init__(
        self,
        *,
        protocol="21",
        images=True,
        leave_out_missing=False,
        leave_out_unreadable=False,
        training_images=None,
        size=256,
    ):
        self.protocol, self.images = known_protocol(NUSWIDE, protocol), images
        self.leave_out_missing, self.leave_out_unreadable = leave_out_missing, leave_out_unreadable
        self.training_images, self.size = training_images, size

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load. Reads `nuswide/` below `data`."""
        folder = data / FOLDER
        fields = self._listed(folder) if self.protocol == "21-list" else self._official(folder)
        collection = Collection(**fields, leave_out_unreadable=self.leave_out_unreadable)
        name = f"nuswide-{self.protocol}/{self.version}/fewer"
        return fewer_training_images(collection, self.training_images, name)

    def _official(self, folder: Path) -> dict:
        """Return the fields of a Collection from the official files."""
        advice = f"get what is missing from {SITE} and put it into {folder}"
        need(folder, self._parts(folder), f"{advice}{IMAGES_ADVICE}" if self.images else advice)
        labels, rules = read_concepts(folder, self.protocol, advice)
        images, present, losses = (
            self._image_files(*official_images(folder, advice))
            if self.images
            else without_images(ROWS)
        )
        labels = labels[present]
        fields = split(labels, self.protocol, len(labels) == ROWS)
        rules = (*fields.pop("rules"), *rules, *losses, NOT_THE_PAPERS)
        return {"images": images, "labels": labels, **fields, "rules": rules}

    def _parts(self, folder: Path) -> list[tuple[str, str]]:
        """Return the official folders that are read, and the zips that they come in."""
        names = ["Groundtruth"]
        if not (folder / CONCEPT_NAMES).is_file():
            names.append("ConceptsList")
        if self.images:
            names += ["ImageList"] if (folder / "images").is_dir() else ["ImageList", "Flickr"]
        return [(name, f"{name}.zip") for name in names]

    def _listed(self, folder: Path) -> dict:
        """Return the fields of a Collection from the three published lists."""
        lists = folder / "nuswide_21"
        if not lists.is_dir():
            raise BenchmarkError(
                f"{lists} is missing: get database.txt, train.txt and test.txt of nuswide_21 from "
                f"{LISTS_SITE}"
            )

        listed = read_lists(Folder(lists))
        if listed.labels.ndim != 2:
            raise BenchmarkError(
                f"{lists} has one number after each path, expected a 0 or 1 for each class: get "
                f"the lists from {LISTS_SITE}"
            )

        n = len(listed.names)
        images, present, losses = (
            self._image_files(Folder(folder), listed.names) if self.images else without_images(n)
        )
        new_row = np.cumsum(present) - 1
        parts = {}
        for part, of_list in zip(PARTS, ("test", "database", "train"), strict=True):
            rows = listed.parts[of_list]
            parts[part] = new_row[rows[present[rows]]]

        rule = (
            "queries, database and training images as the published lists say; relevant: at least "
            "one label in common"
        )
        rules = ((rule, PUBLISHED), *losses, NOT_THE_PAPERS)
        return {"images": images, "labels": listed.labels[present], **parts, "rules": rules}

    def _image_files(
        self, files: Files, names: tuple[str, ...]
    ) -> tuple[ImageFiles, np.ndarray, tuple]:
        """Return the images that exist, which of all they are, bool (n,), and the rules of that.

        Raise BenchmarkError if one is missing and may not be left out.
        """
        present = np.array([files.has(name) for name in names])
        losses = ()
        if not present.all():
            missing = missing_images(files, names, present)
            if not self.leave_out_missing:
                raise BenchmarkError(
                    f"{missing}; get them from {SITE}, set `leave_out_missing: true` to run "
                    "without them, or `images: false` for features from a file"
                )
            count = int((~present).sum())
            losses = ((f"{count:,} of {len(names):,} images are missing and left out", OURS),)

        images = ImageFiles(files, tuple(np.array(names)[present].tolist()), self.size)
        return images, present, (*losses, (images.rule, OURS))


def without_images(n: int) -> tuple[np.ndarray, np.ndarray, tuple]:
    """Return rows without pixels, all of them present, and the rule of that."""
    return (
        np.empty((n, 0, 0, 3), np.uint8),
        np.ones(n, bool),
        (("labels alone: features come from a file", OURS),),
    )


def official_images(folder: Path, advice: str) -> tuple[Files, tuple[str, ...]]:
    """Return the folder of images, and the name of each row in it.

    Names are `actor/0001_2124494179.jpg` in Flickr/, or without folder in images/.
    """
    lists = open_files(folder, "ImageList", "ImageList.zip", advice)
    shown = lists.shown("Imagelist.txt")
    try:
        text = lists.read("Imagelist.txt").decode("utf-8")
    except UnicodeDecodeError as error:
        raise BenchmarkError(
            f"{shown} is not UTF-8 text ({error}): expected the official image list"
        ) from None

    names = tuple(line.strip().replace("\\", "/") for line in text.splitlines() if line.strip())
    if len(names) != ROWS:
        raise BenchmarkError(f"{shown} has {len(names):,} lines, expected {ROWS:,}")
    if (folder / "images").is_dir():
        return Folder(folder / "images"), tuple(name.rpartition("/")[2] for name in names)

    return open_files(folder, "Flickr", "Flickr.zip", advice), names


def read_concepts(folder: Path, protocol: str, advice: str) -> tuple[np.ndarray, tuple]:
    """Return the labels of the most frequent concepts, and the rules that state their source.

    Returns
    -------
    labels : ndarray of bool, shape (269648, classes)
        The most frequent concept first.
    rules : tuple of (str, str)
    """
    concepts = _names(folder, advice)
    files = open_files(folder, "Groundtruth", "Groundtruth.zip", advice)
    columns = {}
    for concept in concepts:
        name = f"AllLabels/Labels_{concept}.txt"
        columns[concept] = read_flags(files.read(name), ROWS, files.shown(name))

    count = {concept: int(column.sum()) for concept, column in columns.items()}
    chosen = sorted(concepts, key=lambda concept: (-count[concept], concept))[: int(protocol)]
    labels = np.stack([columns[concept] for concept in chosen], axis=1)
    labelled = int(labels.any(axis=1).sum())
    if labelled != LABELLED_IMAGES[protocol]:
        raise BenchmarkError(
            f"{files.shown('AllLabels')}: {labelled:,} images carry a concept, expected "
            f"{LABELLED_IMAGES[protocol]:,}; {advice}"
        )

    which = (
        f"all {CONCEPTS} concepts"
        if len(chosen) == CONCEPTS
        else f"the {len(chosen)} most frequent of {CONCEPTS} concepts by count"
    )
    rules = ((f"{which}: {labelled:,} images carry one", PUBLISHED),)
    return labels, rules + _halves(files, count)


def _names(folder: Path, advice: str) -> list[str]:
    """Return the 81 concepts: Concepts81.txt is in the folder, in ConceptsList/ or in its zip."""
    if (folder / CONCEPT_NAMES).is_file():
        files = Folder(folder)
    else:
        files = open_files(folder, "ConceptsList", "ConceptsList.zip", advice)

    names = files.read(CONCEPT_NAMES).decode("ascii", errors="replace").split()
    are_names = all(name.isidentifier() for name in names)
    if len(names) != CONCEPTS or len(set(names)) != CONCEPTS or not are_names:
        raise BenchmarkError(
            f"{files.shown(CONCEPT_NAMES)} holds {len(names)} entries, expected the {CONCEPTS} "
            f"names of concepts; {advice}"
        )

    return names


def _halves(files: Files, count: dict[str, int]) -> tuple:
    """Compare the counts of AllLabels with those of TrainTestLabels, if these exist.

    Returns the rule on the known wrong line, if it was read.
    """
    rules = ()
    for concept, total in count.items():
        of_halves = 0
        for part, rows in (("Train", TRAINING_ROWS), ("Test", TEST_ROWS)):
            name = f"Labels_{concept}_{part}.txt"
            path = f"TrainTestLabels/{name}"
            if not files.has(path):
                return ()
            content, known = files.read(path), PUBLISHED_ERRORS.get(name)
            of_halves += int(read_flags(content, rows, files.shown(path), known).sum())
            for line, (text, value) in (known or {}).items():
                if text in content:
                    rule = (
                        f"{name} line {line} holds {text.decode()}, as published; read as "
                        f"{int(value)}, no protocol uses it"
                    )
                    rules = ((rule, OURS),)
        if of_halves != total:
            raise BenchmarkError(
                f"{files.shown('AllLabels')}: {concept} has {total:,} images, {of_halves:,} in "
                "TrainTestLabels"
            )

    return rules


def split(labels: np.ndarray, protocol: str, complete: bool) -> dict:
    """Return split, sizes and rules of a protocol as fields of a Collection.

    Parameters
    ----------
    labels : ndarray of bool, shape (n, classes)
        The most frequent concept first. Some rows of the whole set may be missing.
    protocol : str
    complete : bool
        Whether no row is missing, so that sizes are as stated.
    """
    labelled = np.flatnonzero(labels.any(axis=1))
    if protocol == "81":
        query = _uniform(labelled, 5_000, "81", "query")
        train = _uniform(np.setdiff1d(labelled, query), 10_000, "81", "train")
        drawn = (
            (
                "5,000 queries, then 10,000 training images from the rest, drawn uniformly, in the "
                "order of a fixed hash",
                OURS,
            ),
        )
    else:
        n, unlabelled = len(labels), others(len(labels), labelled)
        query = draw_per_concept(labels, 100, unlabelled, _order(n, protocol, "query"))
        taken = np.union1d(unlabelled, query)
        train = draw_per_concept(labels, 500, taken, _order(n, protocol, "train"))
        drawn = (
            (
                f"100 queries and 500 training images per concept, {len(query):,} and "
                f"{len(train):,} in all; the rest database",
                PUBLISHED if protocol == "21" else OURS,
            ),
            (
                "concept by concept, the rarest first, in the order of a fixed hash, each image "
                "taken once",
                OURS,
            ),
        )

    return {
        "query": query,
        "database": np.setdiff1d(labelled, query),
        "train": train,
        "sizes": SIZES[protocol] if complete else None,
        "rules": (("relevant: at least one concept in common", PUBLISHED), *drawn),
    }


def _order(n: int, protocol: str, part: str) -> np.ndarray:
    return shuffled(n, f"bgan-bench/nuswide-{protocol}/{NUSWIDE.version}/{part}")


def _uniform(rows: np.ndarray, count: int, protocol: str, part: str) -> np.ndarray:
    return np.sort(rows[_order(len(rows), protocol, part)[:count]])


def draw_per_concept(
    labels: np.ndarray, per_concept: int, taken: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Return `per_concept` rows of each concept, sorted, the rarest concept drawn first.

    Parameters
    ----------
    labels : ndarray of bool, shape (n, classes)
    per_concept : int
        Drawn for each concept: the first in `order` that carry it and are not yet taken.
    taken : ndarray of int
        Rows that are not to be drawn.
    order : ndarray of int, shape (n,)

    Raises
    ------
    BenchmarkError
        If too few rows are left for a concept.
    """
    free = np.ones(len(labels), bool)
    free[taken] = False
    drawn = []
    for concept in np.argsort(labels.sum(axis=0), kind="stable"):
        rows = order[labels[order, concept] & free[order]][:per_concept]
        if len(rows) < per_concept:
            raise BenchmarkError(
                f"{len(rows)} images are left for concept {concept}, expected {per_concept}: too "
                "many are missing"
            )
        free[rows] = False
        drawn.append(rows)

    return np.sort(np.concatenate(drawn))
