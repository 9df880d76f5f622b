"""What every data set gives: images, labels and a split, and the invariants that hold for all of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datasets._images import ImageFiles
from harness.errors import BenchmarkError

PUBLISHED, OURS = "published", "ours"
VALIDATION_QUERIES = 1000


@dataclass(frozen=True)
class Collection:
    """A data set under one protocol, all index arrays int64 and in terms of the rows of `images`.

    images: (n, h, w, 3) uint8, or files that become such an array when they are written; (n, 0, 0, 3) for labels without images
    labels: (n,) int64, one class an image, or (n, classes) bool, any number of labels an image
    query, database, train: row numbers; rows in none of them take no part, so that one order of rows fits all protocols
    rules: (text, PUBLISHED or OURS): how the protocol draws the split, and who says so
    sizes: numbers of query, database and training images that the protocol states, if it does; checked
    train_outside: whether the protocol keeps training images out of the database
    """

    images: np.ndarray | ImageFiles
    labels: np.ndarray
    query: np.ndarray
    database: np.ndarray
    train: np.ndarray
    rules: tuple[tuple[str, str], ...]
    sizes: tuple[int, int, int] | None = None
    train_outside: bool = False


class Dataset:
    """Images with labels and a split.

    The keywords of ``__init__`` are the parameters of the data set, and their defaults stand
    nowhere else. No keyword may have the name of a member of this class. A data set without
    parameters needs no ``__init__``.

    Attributes
    ----------
    label : str
        Name in tables.
    citation : str or None
        Key in report/references.bib.
    file_params : tuple of str
        Keywords that name user files or folders below the data folder. Their content is part of
        the identity of the data set.
    reads : tuple of str
        Other files and folders below the data folder that decide the result. They need not exist.
    needs_files : bool
        Whether any file is looked for before work starts.
    protocols : tuple of str
        Names of the protocols, the default first. A data set that declares them has a keyword
        ``protocol``.
    version : int
        Of the splits. Increase it whenever one changes.
    """

    # Literals: they are read from the source of a class without importing it.
    label: str
    citation: str | None = None
    file_params: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    needs_files: bool = True
    protocols: tuple[str, ...] = ("default",)

    version: int = 1

    def load(self, data: Path, cache: Path) -> Collection:
        """Read the data set from the user's folder `data` (read only); downloads go below `cache`. Decodes no image file.

        Raises BenchmarkError that names what is missing or damaged, where to get it and where to put it.
        """
        raise NotImplementedError


def known_protocol(dataset: type[Dataset], protocol: str) -> str:
    """The protocol, if the data set has it; else BenchmarkError."""
    if protocol not in dataset.protocols:
        raise BenchmarkError(
            f"{dataset.label}: protocol {protocol!r} is unknown: expected one of {', '.join(dataset.protocols)}"
        )
    return protocol


def shuffled(n: int, name: str) -> np.ndarray:
    """A fixed permutation of range(n), int64: ordered by SHA-256 of `name/i`.

    Unlike a seeded generator it is the same under every version of every library, in any language.
    """
    keys = [hashlib.sha256(f"{name}/{i}".encode()).digest() for i in range(n)]
    return np.array(sorted(range(n), key=keys.__getitem__), dtype=np.int64)


def draw_per_class(labels: np.ndarray, per_class: int, order: np.ndarray) -> np.ndarray:
    """The first `per_class` rows of each class in `order`, as sorted row numbers. labels: (n,) int64."""
    drawn = [order[labels[order] == label][:per_class] for label in np.unique(labels[order])]
    short = [rows for rows in drawn if len(rows) < per_class]
    if short:
        raise BenchmarkError(
            f"a class has {min(map(len, short))} images, expected at least {per_class} to draw from"
        )
    return np.sort(np.concatenate(drawn))


def others(n: int, rows: np.ndarray) -> np.ndarray:
    """The rows of range(n) that are not in `rows`, sorted."""
    return np.setdiff1d(np.arange(n, dtype=np.int64), rows)


def validation_part(collection: Collection, name: str) -> Collection:
    """The same images with a split inside the training part, on which settings may be chosen: no test query takes part.

    1,000 of the training images, or a fifth if that is fewer, are queries; the others train and are searched.
    """
    train = collection.train[shuffled(len(collection.train), f"bgan-bench/{name}/1")]
    count = min(VALIDATION_QUERIES, len(train) // 5)
    rest = np.sort(train[count:])
    rule = (
        f"validation: {count:,} training images, drawn without labels in the order of a fixed hash, are queries; the others the rest",
        OURS,
    )
    query, rules = np.sort(train[:count]), (*collection.rules, rule)
    return replace(
        collection,
        query=query,
        database=rest,
        train=rest,
        rules=rules,
        sizes=None,
        train_outside=False,
    )


def split_digest(collection: Collection) -> str:
    """SHA-256 over the three index arrays (little-endian int64), the identity of a split whatever file holds it."""
    parts = hashlib.sha256()
    for name in ("query", "database", "train"):
        parts.update(name.encode() + getattr(collection, name).astype("<i8").tobytes())
    return parts.hexdigest()


def duplicate_queries(collection: Collection) -> int | None:
    """How many query images are also in the database, pixel for pixel; None where there are no pixels."""
    if 0 in collection.images.shape:
        return None

    def digests(rows: np.ndarray) -> list[bytes]:
        return [
            hashlib.blake2b(collection.images[row].tobytes(), digest_size=16).digest()
            for row in rows
        ]

    database = set(digests(collection.database))
    return sum(digest in database for digest in digests(collection.query))


def check(collection: Collection, name: str) -> None:
    """Raise BenchmarkError unless the invariants that make a comparison fair hold."""
    n = len(collection.images)
    problems = list(_array_problems(collection, n)) or list(_split_problems(collection))
    if problems:
        raise BenchmarkError(f"data set {name}: {problems[0]}")


def _array_problems(collection: Collection, n: int):
    images, labels = collection.images, collection.labels
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        yield f"images are {images.dtype} {images.shape}, expected uint8 (n, h, w, 3)"
    if len(labels) != n:
        yield f"{len(labels)} rows of labels for {n} images"
    if (labels.ndim, labels.dtype.kind) not in ((1, "i"), (2, "b")):
        yield f"labels are {labels.dtype} with {labels.ndim} axes, expected int64 (n,) or bool (n, classes)"
    for part in ("query", "database", "train"):
        rows = getattr(collection, part)
        if not len(rows):
            yield f"no {part} images"
        elif rows.min() < 0 or rows.max() >= n or len(np.unique(rows)) != len(rows):
            yield f"{part} rows must be distinct and within 0..{n - 1}"


def _split_problems(collection: Collection):
    found = tuple(len(getattr(collection, part)) for part in ("query", "database", "train"))
    if collection.sizes not in (None, found):
        yield f"query, database and training images are {found}, expected {collection.sizes}"
    both = np.intersect1d(collection.query, collection.database)
    if len(both):
        yield f"{len(both)} queries are in the database too, first row {both[0]}"
    outside = np.setdiff1d(collection.train, collection.database)
    if len(outside) and not collection.train_outside:
        yield f"{len(outside)} training images are outside the database, first row {outside[0]}"
    trained = np.intersect1d(collection.query, collection.train)
    if len(trained):
        yield f"{len(trained)} queries are training images, first row {trained[0]}"
    yield from _label_problems(collection)


def _label_problems(collection: Collection):
    labels = collection.labels
    if labels.ndim == 1:
        missing = np.setdiff1d(labels[collection.query], labels[collection.database])
        if len(missing):
            yield f"class {missing[0]} has queries but no database item, so nothing could be relevant to them"
    elif queries_without_relevant(collection) == len(collection.query):
        yield "no query has a label in common with a database item, so nothing could be relevant"


def queries_without_relevant(collection: Collection) -> int:
    """How many queries have no relevant database item; metrics leave these out."""
    labels = collection.labels
    if labels.ndim == 1:
        return int((~np.isin(labels[collection.query], labels[collection.database])).sum())
    return int(
        (~labels[collection.query][:, labels[collection.database].any(axis=0)].any(axis=1)).sum()
    )
