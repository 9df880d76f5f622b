"""What the readers of label files share: 0 or 1 in text, lists of images with labels, and what is said of missing images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets._files import Files
from datasets._images import NAMED
from harness.errors import BenchmarkError

LINE = 16  # bytes that no line of one number has: as objects, those of a longer file could fill the memory


def missing_images(files: Files, names: Sequence[str], present: np.ndarray) -> str:
    """A sentence that counts the images that are not there and names the first. present: (n,) bool."""
    missing = np.flatnonzero(~present)
    named = ", ".join(files.shown(names[row]) for row in missing[:NAMED])
    return f"{len(missing):,} of {len(names):,} images are missing: {named}{', ...' if missing[NAMED:].size else ''}"


def read_flags(
    content: bytes, n: int, shown: str, known: dict[int, tuple[bytes, bool]] | None = None
) -> np.ndarray:
    """(n,) bool from `n` lines of 0 or 1. known: by line number from 1, a wrong text that the published file has, and its value.

    Raises BenchmarkError for another number of lines or another value, with its line.
    """
    compact = content.replace(b"\r", b"")
    if (
        len(compact) == 2 * n and compact[1::2] == b"\n" * n and not compact[::2].strip(b"01")
    ):  # a published file without a fault
        return np.frombuffer(compact[::2], np.uint8) == ord("1")
    if len(content) > LINE * (n + 1):
        raise BenchmarkError(f"{shown} has {len(content):,} bytes, expected {n:,} lines of 0 or 1")
    lines = content.split()
    for number, (text, value) in (known or {}).items():
        if lines[number - 1 : number] == [text]:
            lines[number - 1] = b"1" if value else b"0"
    if set(lines) - {b"0", b"1"}:
        number, line = next(
            (number, line) for number, line in enumerate(lines, start=1) if line not in (b"0", b"1")
        )
        raise BenchmarkError(f"{shown}, line {number} is {line[:40]!r}, expected 0 or 1")
    if len(lines) != n:
        raise BenchmarkError(f"{shown} has {len(lines):,} lines, expected {n:,}, one an image")
    return np.array(lines, dtype="S1") == b"1"


@dataclass(frozen=True)
class Listed:
    """The lists `database.txt`, `train.txt` and `test.txt` as one set of images. labels: (n, classes) bool; parts: rows of each list."""

    names: tuple[str, ...]
    labels: np.ndarray
    parts: dict[str, np.ndarray]


def read_lists(files: Files) -> Listed:
    """The three lists that deep-hashing repositories share, each line an image's path and a 0 or 1 for each class.

    Rows: the database's images, then training images and queries that are not among them. Raises BenchmarkError for an empty list, a
    line that is damaged, an image that is twice in a list, or one that has other labels in another.
    """
    rows: dict[str, int] = {}
    labels: list[tuple[str, ...]] = []
    parts = {}
    for part in ("database", "train", "test"):
        listed = list(_lines(files, f"{part}.txt"))
        if not listed:
            raise BenchmarkError(
                f"{files.shown(f'{part}.txt')} names no image, expected lines of `path 0 1 0 ...`"
            )
        for where, name, values in listed:
            row = rows.setdefault(name, len(rows))
            if row == len(labels):
                labels.append(values)
            if values != labels[row]:
                other = (
                    f"has {len(values)} labels, expected {len(labels[0])}"
                    if len(values) != len(labels[row])
                    else "has other labels"
                )
                raise BenchmarkError(f"{where}: {name} {other} than in the list before")
            if len(values) != len(labels[0]):
                raise BenchmarkError(
                    f"{where} has {len(values)} labels, expected {len(labels[0])} as in the first line"
                )
        parts[part] = np.array([rows[name] for _, name, _ in listed], dtype=np.int64)
        if len(np.unique(parts[part])) < len(listed):
            places = Counter(name for _, name, _ in listed)
            raise BenchmarkError(
                f"{files.shown(f'{part}.txt')} names {places.most_common(1)[0][0]} twice, expected each image once"
            )
    return Listed(tuple(rows), np.array(labels) == "1", parts)


def _lines(files: Files, name: str):
    """(where, path, labels) of every line that is not empty."""
    if not files.has(name):
        raise BenchmarkError(
            f"{files.shown(name)} is missing: expected database.txt, train.txt and test.txt, lines of `path 0 1 0 ...`"
        )
    try:
        text = files.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchmarkError(
            f"{files.shown(name)} is no text ({error}): expected lines of `path 0 1 0 ...`"
        ) from None
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{files.shown(name)}, line {number}"
        image, *values = line.split() or [""]
        if not image:
            continue
        wrong = [value for value in values if value not in ("0", "1")]
        if wrong or not values:
            found = repr(wrong[0][:40]) if wrong else "no label"
            raise BenchmarkError(
                f"{where}: found {found} after the path, expected a 0 or 1 for each class, and no space in a path"
            )
        yield where, image, tuple(values)
