"""The contract of a data set: images, labels and a split, and the invariants that hold for all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datasets._images import ImageFiles
from harness.errors import BenchmarkError

PUBLISHED, OURS = "published", "ours"
PARTS = ("query", "database", "train")
VALIDATION_QUERIES = 1000


@dataclass(frozen=True)
class Collection:
    """A data set under one protocol.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3), or ImageFiles
        Image files become such an array when they are written. Shape (n, 0, 0, 3) stands for
        labels without images.
    labels : ndarray of int64, shape (n,), or of bool, shape (n, classes)
        One class an image, or any number of labels an image.
    query, database, train : ndarray of int64
        Row numbers. Rows in none of them take no part, so that one order of rows serves all
        protocols.
    rules : tuple of (str, str)
        How the protocol draws the split, each rule with its source, `PUBLISHED` or `OURS`.
    sizes : tuple of int, optional
        Numbers of query, database and training images that the protocol states. They are checked.
    train_outside : bool
        Whether the protocol keeps training images out of the database.
    leave_out_unreadable : bool
        Whether image files that cannot be decoded are left out. They are an error otherwise.
    """

    images: np.ndarray | ImageFiles
    labels: np.ndarray
    query: np.ndarray
    database: np.ndarray
    train: np.ndarray
    rules: tuple[tuple[str, str], ...]
    sizes: tuple[int, int, int] | None = None
    train_outside: bool = False
    leave_out_unreadable: bool = False


class Dataset:
    """Contract of a data set: class attributes and `load`.

    The keywords of `__init__` are its parameters, and their defaults stand nowhere else. No keyword
    may have the name of a member of this class. A data set without parameters has no `__init__`.

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
    one_channel : bool
        Whether images are grey: their three channels are equal, and `pixels` takes one of them.
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
    one_channel: bool = False
    needs_files: bool = True
    protocols: tuple[str, ...] = ("default",)

    version: int = 1

    def load(self, data: Path, cache: Path) -> Collection:
        """Return the images, labels and split. Decode no image file.

        Parameters
        ----------
        data : Path
            The user's data folder, which is only read.
        cache : Path
            Folder of downloads.

        Raises
        ------
        BenchmarkError
            If a file is missing or damaged. The message states where to get it and where to put
            it.
        """
        raise NotImplementedError


def known_protocol(dataset: type[Dataset], protocol: str) -> str:
    """Return the protocol if the data set has it. Raise BenchmarkError otherwise."""
    if protocol not in dataset.protocols:
        raise BenchmarkError(
            f"{dataset.label}: protocol {protocol!r} is unknown: expected one of "
            f"{', '.join(dataset.protocols)}"
        )
    return protocol


def shuffled(n: int, name: str) -> np.ndarray:
    """Return a fixed permutation of range(n), int64: ordered by SHA-256 of ``name/i``.

    Unlike a seeded generator, it is the same under every version of every library and in any
    language.
    """
    keys = [hashlib.sha256(f"{name}/{i}".encode()).digest() for i in range(n)]
    return np.array(sorted(range(n), key=keys.__getitem__), dtype=np.int64)


def draw_per_class(labels: np.ndarray, per_class: int, order: np.ndarray) -> np.ndarray:
    """Return the first `per_class` rows of each class in `order`, sorted.

    labels: (n,) int64.
    """
    drawn = [order[labels[order] == label][:per_class] for label in np.unique(labels[order])]
    short = [rows for rows in drawn if len(rows) < per_class]
    if short:
        raise BenchmarkError(
            f"a class has {min(map(len, short))} images, expected at least {per_class} to draw from"
        )
    return np.sort(np.concatenate(drawn))


def others(n: int, rows: np.ndarray) -> np.ndarray:
    """Return the rows of range(n) that are not in `rows`, sorted."""
    return np.setdiff1d(np.arange(n, dtype=np.int64), rows)


def fewer_training_images(collection: Collection, count: int | None, name: str) -> Collection:
    """Return the collection with `count` of its training images.

    They are drawn without labels, in the order of a fixed hash. The database stays the same.

    Parameters
    ----------
    collection : Collection
    count : int or None
        The parameter `training_images` of a data set. None keeps all training images.
    name : str
        Data set, protocol and version, from which the order is derived.

    Raises
    ------
    BenchmarkError
        If there are not as many training images.
    """
    if count is None:
        return collection

    most = len(collection.train)
    if type(count) is not int or not 1 <= count <= most:
        raise BenchmarkError(
            f"training_images is {count!r}, expected 1 to {most}, the training images of the "
            "protocol, or null for all"
        )

    order = shuffled(most, f"bgan-bench/{name}/train")
    rule = f"{count:,} of {most:,} training images, drawn without labels in the order of a hash"
    return replace(
        collection,
        train=np.sort(collection.train[order[:count]]),
        rules=(*collection.rules, (rule, OURS)),
        sizes=collection.sizes and (*collection.sizes[:2], count),
    )


def without_rows(collection: Collection, lost: np.ndarray, images: np.ndarray) -> Collection:
    """Return the collection without the rows whose images cannot be read.

    Parameters
    ----------
    collection : Collection
    lost : ndarray of int
        Rows to leave out.
    images : ndarray of uint8
        The images of the other rows.
    """
    n = len(collection.images)
    present = ~np.isin(np.arange(n), lost)
    new_row = np.cumsum(present) - 1
    parts, losses = {}, []
    for part in PARTS:
        rows = getattr(collection, part)
        parts[part] = new_row[rows[present[rows]]]
        losses.append(f"{len(rows) - len(parts[part]):,} of {len(rows):,} {part}")

    rule = f"{len(lost):,} of {n:,} images cannot be read and are left out: {', '.join(losses)}"
    return replace(
        collection,
        images=images,
        labels=collection.labels[present],
        **parts,
        rules=(*collection.rules, (rule, OURS)),
        sizes=None,
    )


def validation_part(collection: Collection, name: str) -> Collection:
    """Return the same images with a split inside the training part, for choosing parameters.

    1,000 of the training images, or a fifth if that is fewer, are queries. The others train and
    are searched. No test query takes part.
    """
    train = collection.train[shuffled(len(collection.train), f"bgan-bench/{name}/1")]
    count = min(VALIDATION_QUERIES, len(train) // 5)
    rest = np.sort(train[count:])
    rule = (
        f"validation: {count:,} training images, drawn without labels in the order of a fixed "
        "hash, are queries; the others the rest",
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
    """Return the SHA-256 of the three index arrays (little-endian int64).

    It identifies a split, whatever file holds it.
    """
    parts = hashlib.sha256()
    for name in PARTS:
        parts.update(name.encode() + getattr(collection, name).astype("<i8").tobytes())
    return parts.hexdigest()


def duplicate_queries(collection: Collection) -> int | None:
    """Return the number of query images that equal a database image, pixel for pixel.

    None if there are no pixels.
    """
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


def _array_problems(collection: Collection, n: int) -> Iterator[str]:
    images, labels = collection.images, collection.labels
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        yield f"images are {images.dtype} {images.shape}, expected uint8 (n, h, w, 3)"

    if len(labels) != n:
        yield f"{len(labels)} rows of labels for {n} images"

    if (labels.ndim, labels.dtype.kind) not in ((1, "i"), (2, "b")):
        yield (
            f"labels are {labels.dtype} with {labels.ndim} axes, expected int64 (n,) or bool "
            "(n, classes)"
        )

    for part in PARTS:
        rows = getattr(collection, part)
        if not len(rows):
            yield f"no {part} images"
        elif rows.min() < 0 or rows.max() >= n or len(np.unique(rows)) != len(rows):
            yield f"{part} rows must be distinct and within 0..{n - 1}"


def _split_problems(collection: Collection) -> Iterator[str]:
    sizes = tuple(len(getattr(collection, part)) for part in PARTS)
    if collection.sizes not in (None, sizes):
        yield f"query, database and training images are {sizes}, expected {collection.sizes}"

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


def _label_problems(collection: Collection) -> Iterator[str]:
    labels = collection.labels
    if labels.ndim == 1:
        missing = np.setdiff1d(labels[collection.query], labels[collection.database])
        if len(missing):
            yield (
                f"class {missing[0]} has queries but no database item, so nothing could be "
                "relevant to them"
            )
    elif queries_without_relevant(collection) == len(collection.query):
        yield "no query has a label in common with a database item, so nothing could be relevant"


def queries_without_relevant(collection: Collection) -> int:
    """Return the number of queries without a relevant database item. Metrics leave these out."""
    labels, query, database = collection.labels, collection.query, collection.database
    if labels.ndim == 1:
        return int((~np.isin(labels[query], labels[database])).sum())
    shared = labels[query][:, labels[database].any(axis=0)]
    return int((~shared.any(axis=1)).sum())
