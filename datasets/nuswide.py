"""NUS-WIDE from the official label files, the official image list and a folder of images."""

from pathlib import Path

import numpy as np

from datasets._base import OURS, PUBLISHED, Collection, Dataset, known_protocol, others, shuffled
from datasets._files import Files, Folder, need, open_files
from datasets._images import ImageFiles
from datasets._labels import missing_images, read_flags, read_lists
from harness.errors import BenchmarkError

FOLDER = "nuswide"
SITE = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html"
LISTS_SITE = "https://github.com/swuxyj/DeepHash-pytorch"
IMAGES_ADVICE = " (images as Flickr/actor/0001_2124494179.jpg ... or images/0001_2124494179.jpg ...), or set `images: false` for features from a file"
ROWS, TRAINING_ROWS, TEST_ROWS = 269_648, 161_789, 107_859
CONCEPTS, CONCEPT_NAMES = 81, "Concepts81.txt"
LABELLED = {
    "10": 186_577,
    "21": 195_834,
    "81": 209_347,
}  # images with at least one of the most frequent concepts
# The published Labels_lake_Train.txt has this at line 78373. A 0 there makes its images those of AllLabels, as for every other concept.
KNOWN_WRONG = {"Labels_lake_Train.txt": {78_373: (b"-1130179", False)}}


class NUSWIDE(Dataset):
    """269,648 Flickr photographs with 81 concepts, rows in the order of the official image list. Relevant: a concept in common.

    Source: Chua et al., NUS-WIDE, CIVR 2009. Protocols, as queries / database / training images:

    21, 10: the most frequent concepts, and the images that carry one; 2,100 / 193,734 / 10,500 and 1,000 / 185,577 / 5,000: concept
    by concept, the rarest first, 100 queries and then 500 training images that are not yet taken. 21: sizes of
    https://github.com/swuxyj/DeepHash-pytorch.
    81: all concepts; 5,000 queries and 10,000 training images drawn uniformly, since some concepts have fewer than 100 images.
    21-list: the lists that hashing repositories share, in `nuswide/nuswide_21/`: database.txt, train.txt, test.txt, lines of
    `images/0001_2124494179.jpg 0 1 0 ...`, paths below `nuswide/`.

    images: false prepares the labels alone, for features from a file. leave_out_missing: run without the images that are not there,
    many of which are gone from Flickr; otherwise they are an error. size: pixels of a side.
    """

    label, citation = "NUS-WIDE", "chua2009nuswide"
    reads = ("nuswide",)
    protocols = ("21", "10", "81", "21-list")

    def __init__(self, *, protocol="21", images=True, leave_out_missing=False, size=256):
        self.protocol, self.images = known_protocol(NUSWIDE, protocol), images
        self.leave_out_missing, self.size = leave_out_missing, size

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load; reads `nuswide/` below `data`."""
        folder = data / FOLDER
        if self.protocol == "21-list":
            return self._listed(folder)
        advice = f"get what is missing from {SITE} and put it into {folder}"
        need(folder, self._parts(folder), f"{advice}{IMAGES_ADVICE}" if self.images else advice)
        labels, rules = read_concepts(folder, self.protocol, advice)
        images, present, said = (
            self._image_files(*official_images(folder, advice))
            if self.images
            else without_images(ROWS)
        )
        labels = labels[present]
        fields = split(labels, self.protocol, len(labels) == ROWS)
        rules = (
            *fields.pop("rules"),
            *rules,
            *said,
            ("not the paper's: its NUS-WIDE protocol is not published", OURS),
        )
        return Collection(images=images, labels=labels, **fields, rules=rules)

    def _parts(self, folder: Path) -> list[tuple[str, str]]:
        """The official folders that are read, and the zips that they come in."""
        names = ["Groundtruth"]
        if not (folder / CONCEPT_NAMES).is_file():
            names.append("ConceptsList")
        if self.images:
            names += ["ImageList"] if (folder / "images").is_dir() else ["ImageList", "Flickr"]
        return [(name, f"{name}.zip") for name in names]

    def _listed(self, folder: Path) -> Collection:
        """The split of the three published lists."""
        lists = folder / "nuswide_21"
        if not lists.is_dir():
            raise BenchmarkError(
                f"{lists} is missing: get database.txt, train.txt and test.txt of nuswide_21 from {LISTS_SITE}"
            )
        listed = read_lists(Folder(lists))
        n = len(listed.names)
        images, present, said = (
            self._image_files(Folder(folder), listed.names) if self.images else without_images(n)
        )
        row = np.cumsum(present) - 1
        query, database, train = (
            row[rows[present[rows]]]
            for rows in (listed.parts[part] for part in ("test", "database", "train"))
        )
        return Collection(
            images=images,
            labels=listed.labels[present],
            query=query,
            database=database,
            train=train,
            rules=(
                (
                    "queries, database and training images as the published lists say; relevant: at least one label in common",
                    PUBLISHED,
                ),
                *said,
                ("not the paper's: its NUS-WIDE protocol is not published", OURS),
            ),
        )

    def _image_files(
        self, files: Files, names: tuple[str, ...]
    ) -> tuple[ImageFiles, np.ndarray, tuple]:
        """The images that are there, which those are (n,) bool, and the rules that say so. Raises BenchmarkError if one is missing."""
        present = np.array([files.has(name) for name in names])
        said = ()
        if not present.all():
            lost = missing_images(files, names, present)
            if not self.leave_out_missing:
                raise BenchmarkError(
                    f"{lost}; get them from {SITE}, set `leave_out_missing: true` to run without them, or `images: false` for features "
                    "from a file"
                )
            said = (
                (
                    f"{int((~present).sum()):,} of {len(names):,} images are missing and left out",
                    OURS,
                ),
            )
        images = ImageFiles(files, tuple(np.array(names)[present].tolist()), self.size)
        return images, present, (*said, (images.rule, OURS))


def without_images(n: int) -> tuple[np.ndarray, np.ndarray, tuple]:
    """Rows without pixels, all of them present, and the rule that says so."""
    return (
        np.empty((n, 0, 0, 3), np.uint8),
        np.ones(n, bool),
        (("labels alone: features come from a file", OURS),),
    )


def official_images(folder: Path, advice: str) -> tuple[Files, tuple[str, ...]]:
    """The folder of images, and the name that each row has in it: `actor/0001_2124494179.jpg` in Flickr/, or flat in images/."""
    lists = open_files(folder, "ImageList", "ImageList.zip", advice)
    try:
        text = lists.read("Imagelist.txt").decode("utf-8")
    except UnicodeDecodeError as error:
        raise BenchmarkError(
            f"{lists.shown('Imagelist.txt')} is no text ({error}): expected the official image list"
        ) from None
    names = tuple(line.strip().replace("\\", "/") for line in text.splitlines() if line.strip())
    if len(names) != ROWS:
        raise BenchmarkError(
            f"{lists.shown('Imagelist.txt')} has {len(names):,} lines, expected {ROWS:,}"
        )
    if (folder / "images").is_dir():
        return Folder(folder / "images"), tuple(name.rpartition("/")[2] for name in names)
    return open_files(folder, "Flickr", "Flickr.zip", advice), names


def read_concepts(folder: Path, protocol: str, advice: str) -> tuple[np.ndarray, tuple]:
    """Labels (269648, classes) bool of the most frequent concepts, the most frequent first, and the rules that say what was found."""
    concepts = _names(folder, advice)
    files = open_files(folder, "Groundtruth", "Groundtruth.zip", advice)
    columns = {}
    for concept in concepts:
        name = f"AllLabels/Labels_{concept}.txt"
        columns[concept] = read_flags(files.read(name), ROWS, files.shown(name))
    count = {concept: int(column.sum()) for concept, column in columns.items()}
    chosen = sorted(concepts, key=lambda concept: (-count[concept], concept))[: int(protocol)]
    labels = np.stack([columns[concept] for concept in chosen], axis=1)
    found = int(labels.any(axis=1).sum())
    if found != LABELLED[protocol]:
        raise BenchmarkError(
            f"{files.shown('AllLabels')}: {found:,} images carry a concept, expected {LABELLED[protocol]:,}; {advice}"
        )
    kept = (
        f"all {CONCEPTS} concepts"
        if len(chosen) == CONCEPTS
        else f"the {len(chosen)} most frequent of {CONCEPTS} concepts by count"
    )
    rules = ((f"{kept}: {found:,} images carry one", PUBLISHED),)
    return labels, rules + _halves(files, count)


def _names(folder: Path, advice: str) -> list[str]:
    """The 81 concepts, from Concepts81.txt in the folder itself, in ConceptsList/ or in its zip."""
    there = (folder / CONCEPT_NAMES).is_file()
    files = (
        Folder(folder) if there else open_files(folder, "ConceptsList", "ConceptsList.zip", advice)
    )
    names = files.read(CONCEPT_NAMES).decode("ascii", errors="replace").split()
    if (
        len(set(names)) != CONCEPTS
        or len(names) != CONCEPTS
        or not all(name.isidentifier() for name in names)
    ):
        raise BenchmarkError(
            f"{files.shown(CONCEPT_NAMES)} holds {len(names)} entries, expected the {CONCEPTS} names of concepts; {advice}"
        )
    return names


def _halves(files: Files, count: dict[str, int]) -> tuple:
    """Hold the counts of AllLabels against those of TrainTestLabels, where these are; says which wrong line was met."""
    said = ()
    for concept, whole in count.items():
        halves = 0
        for part, rows in (("Train", TRAINING_ROWS), ("Test", TEST_ROWS)):
            name = f"Labels_{concept}_{part}.txt"
            if not files.has(f"TrainTestLabels/{name}"):
                return ()
            content, known = files.read(f"TrainTestLabels/{name}"), KNOWN_WRONG.get(name)
            halves += int(
                read_flags(content, rows, files.shown(f"TrainTestLabels/{name}"), known).sum()
            )
            for line, (text, value) in (known or {}).items():
                if text in content:
                    said = (
                        (
                            f"{name} line {line} holds {text.decode()}, as published; read as {int(value)}, no protocol uses it",
                            OURS,
                        ),
                    )
        if halves != whole:
            raise BenchmarkError(
                f"{files.shown('AllLabels')}: {concept} has {whole:,} images, {halves:,} in TrainTestLabels"
            )
    return said


def split(labels: np.ndarray, protocol: str, complete: bool) -> dict:
    """Split, sizes and rules of a protocol as fields of a Collection, on rows of which some may be missing.

    labels: (n, classes) bool, the most frequent concept first; complete: whether no row is missing, so that sizes are as stated.
    """
    labelled = np.flatnonzero(labels.any(axis=1))
    if protocol == "81":
        query = _uniform(labelled, 5_000, "81", "query")
        train = _uniform(np.setdiff1d(labelled, query), 10_000, "81", "train")
        rule = (
            "5,000 queries, then 10,000 training images from the rest, drawn uniformly, in the order of a fixed hash",
            OURS,
        )
    else:
        query = draw_per_concept(
            labels, 100, others(len(labels), labelled), _order(len(labels), protocol, "query")
        )
        taken = np.union1d(others(len(labels), labelled), query)
        train = draw_per_concept(labels, 500, taken, _order(len(labels), protocol, "train"))
        source = PUBLISHED if protocol == "21" else OURS
        rule = (
            f"100 queries and 500 training images per concept, {len(query):,} and {len(train):,} in all; the rest database",
            source,
        )
    order = (
        "concept by concept, the rarest first, in the order of a fixed hash, each image taken once",
        OURS,
    )
    sizes = {
        "21": (2_100, 193_734, 10_500),
        "10": (1_000, 185_577, 5_000),
        "81": (5_000, LABELLED["81"] - 5_000, 10_000),
    }[protocol]
    return {
        "query": query,
        "database": np.setdiff1d(labelled, query),
        "train": train,
        "sizes": sizes if complete else None,
        "rules": (
            ("relevant: at least one concept in common", PUBLISHED),
            rule,
            *([order] if protocol != "81" else []),
        ),
    }


def _order(n: int, protocol: str, part: str) -> np.ndarray:
    return shuffled(n, f"bgan-bench/nuswide-{protocol}/{NUSWIDE.version}/{part}")


def _uniform(rows: np.ndarray, count: int, protocol: str, part: str) -> np.ndarray:
    return np.sort(rows[_order(len(rows), protocol, part)[:count]])


def draw_per_concept(
    labels: np.ndarray, per_concept: int, taken: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Sorted rows: for each concept, the rarest first, the first `per_concept` in `order` that carry it and are not yet taken.

    labels: (n, classes) bool; taken: rows that are not to be drawn. Raises BenchmarkError if too few are left for a concept.
    """
    free = np.ones(len(labels), bool)
    free[taken] = False
    drawn = []
    for concept in np.argsort(labels.sum(axis=0), kind="stable"):
        rows = order[labels[order, concept] & free[order]][:per_concept]
        if len(rows) < per_concept:
            raise BenchmarkError(
                f"{len(rows)} images are left for concept {concept}, expected {per_concept}: too many are missing"
            )
        free[rows] = False
        drawn.append(rows)
    return np.sort(np.concatenate(drawn))
