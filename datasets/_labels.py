"""Label files: 0 or 1 in text, lists of images with labels, and messages for missing images."""

from __future__ import annotations

import os.path
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from datasets._files import Files
from datasets._images import MAX_NAMES
from harness.errors import BenchmarkError

# More bytes than a line of one number has. As objects, the lines of a longer file could fill the
# memory.
LINE = 16
DIGITS = 9  # of a class number: all of them fit into 32 bits
LISTS = ("database", "train", "test")
FORM = "lines of `path 0 1 0 ...`, a 0 or 1 for each class, or of `path CLASS`, a class number"


def missing_images(files: Files, names: Sequence[str], present: np.ndarray) -> str:
    """Return a clause that counts the missing images and names the first.

    present: (n,) bool.
    """
    missing = np.flatnonzero(~present)
    named = ", ".join(files.shown(names[row]) for row in missing[:MAX_NAMES])
    more = ", ..." if missing[MAX_NAMES:].size else ""
    return f"{len(missing):,} of {len(names):,} images are missing: {named}{more}"


def read_flags(
    content: bytes, n: int, shown: str, known: dict[int, tuple[bytes, bool]] | None = None
) -> np.ndarray:
    """Return the labels (n,) bool of `n` lines of 0 or 1.

    Parameters
    ----------
    content : bytes
    n : int
        Expected number of lines.
    shown : str
        How an error names the file.
    known : dict of int to (bytes, bool), optional
        By line number from 1: a wrong text that the published file has, and its value.

    Raises
    ------
    BenchmarkError
        For another number of lines or another value, with its line.
    """
    compact = content.replace(b"\r", b"")
    one_digit_lines = len(compact) == 2 * n and compact[1::2] == b"\n" * n
    if one_digit_lines and not compact[::2].strip(b"01"):
        return np.frombuffer(compact[::2], np.uint8) == ord("1")

    if len(content) > LINE * (n + 1):
        raise BenchmarkError(f"{shown} has {len(content):,} bytes, expected {n:,} lines of 0 or 1")

    lines = content.split()
    for number, (text, value) in (known or {}).items():
        if lines[number - 1 : number] == [text]:
            lines[number - 1] = b"1" if value else b"0"

    for number, line in enumerate(lines, start=1):
        if line not in (b"0", b"1"):
            raise BenchmarkError(f"{shown}, line {number} is {line[:40]!r}, expected 0 or 1")

    if len(lines) != n:
        raise BenchmarkError(f"{shown} has {len(lines):,} lines, expected {n:,}, one an image")

    return np.array(lines, dtype="S1") == b"1"


@dataclass(frozen=True)
class Listed:
    """The lists `database.txt`, `train.txt` and `test.txt` as one set of images.

    Parameters
    ----------
    names : tuple of str
    labels : ndarray of bool, shape (n, classes), or of int64, shape (n,)
    parts : dict of str to ndarray of int64
        Rows of each list.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    parts: dict[str, np.ndarray]


def read_lists(files: Files, strip: str = "") -> Listed:
    """Read the three lists that deep-hashing repositories share.

    Each line is the path of an image and its labels: a 0 or 1 for each class, or one class
    number. A path may have spaces, and may be in double quotes.

    Parameters
    ----------
    files : Files
    strip : str, optional
        Beginning of the paths that is removed, as the folder of another computer.

    Returns
    -------
    Listed
        Rows: the images of the database, then training images and queries that are not in it.

    Raises
    ------
    BenchmarkError
        For an empty list, a damaged line, an image that is twice in a list, and for one with
        other labels in another list.
    """
    rows: dict[str, int] = {}
    labels: list[tuple[str, ...]] = []
    parts = {}
    for part in LISTS:
        file = f"{part}.txt"
        listed = list(_lines(files, file, strip))
        if not listed:
            raise BenchmarkError(f"{files.shown(file)} names no image, expected {FORM}")

        for where, name, values in listed:
            row = rows.setdefault(name, len(rows))
            if row == len(labels):
                labels.append(values)
            _check_labels(where, name, values, labels[row], labels[0])

        parts[part] = np.array([rows[name] for _, name, _ in listed], dtype=np.int64)
        if len(np.unique(parts[part])) < len(listed):
            twice = Counter(name for _, name, _ in listed).most_common(1)[0][0]
            raise BenchmarkError(
                f"{files.shown(file)} names {twice} twice, expected each image once"
            )

    return Listed(tuple(rows), _label_array(labels), parts)


def _check_labels(
    where: str, name: str, values: tuple[str, ...], before: tuple[str, ...], first: tuple[str, ...]
) -> None:
    """Raise BenchmarkError for another number of labels, or others than the image had before."""
    if len(values) != len(first):
        raise BenchmarkError(
            f"{where} has {len(values)} labels, expected {len(first)} as in the first line"
        )
    if values != before:
        raise BenchmarkError(f"{where}: {name} has other labels than in the list before")


def _label_array(labels: list[tuple[str, ...]]) -> np.ndarray:
    """Return class numbers as int64 (n,) and flags as bool (n, classes)."""
    if len(labels[0]) == 1:
        return np.array([int(number) for (number,) in labels], dtype=np.int64)
    return np.array(labels) == "1"


def _lines(files: Files, name: str, strip: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield (where, path, labels) of every line that is not empty."""
    if not files.has(name):
        expected = ", ".join(f"{part}.txt" for part in LISTS)
        raise BenchmarkError(f"{files.shown(name)} is missing: expected {expected}, {FORM}")

    try:
        text = files.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchmarkError(
            f"{files.shown(name)} is not UTF-8 text ({error}): expected {FORM}"
        ) from None

    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{files.shown(name)}, line {number}"
        if line.strip():
            path, values = _path_and_labels(line.strip(), where)
            yield where, _normalized(path, strip), values


def _path_and_labels(line: str, where: str) -> tuple[str, tuple[str, ...]]:
    """Return the path of a line, and its last columns: flags, or one class number."""
    quoted, *after = line[1:].split('"', 1) if line.startswith('"') else (None,)
    words = after[0].split() if after else line.split()[1:]

    flags = 0
    while flags < len(words) and words[-1 - flags] in ("0", "1"):
        flags += 1

    count = flags or int(bool(words) and _is_class_number(words[-1]))
    if not count or (after and count < len(words)):
        word = repr(words[-1][:40]) if words else "no label"
        raise BenchmarkError(f"{where}: found {word} after the path, expected {FORM}")

    path = quoted if after else line.rsplit(None, count)[0]
    return path, tuple(words[-count:])


def _is_class_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= DIGITS


def _normalized(path: str, strip: str) -> str:
    """Return a path without the beginning `strip`, and without `./` and doubled slashes."""
    if strip and path.startswith(strip):
        path = path[len(strip) :].lstrip("/")
    return posixpath.normpath(path)


def advice_on_absolute(names: Sequence[str], present: np.ndarray) -> str:
    """Return how to read lists of another computer if a missing image has an absolute path."""
    absolute = [names[row] for row in np.flatnonzero(~present) if names[row].startswith("/")]
    if not absolute:
        return ""
    common = os.path.commonpath([posixpath.dirname(name) for name in absolute])
    return f"; for absolute paths of another computer set `strip: {common}/` and `images: FOLDER`"
