"""Read the CSV files of experiments, and write them so that a spreadsheet evaluates no text."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness import storage
from harness.errors import BenchmarkError, one_line
from harness.plain_text import spreadsheet_text

UNREADABLE = (gzip.BadGzipFile, EOFError, zlib.error)  # of a compressed file


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file; floats as the shortest text that gives the same number when it is read.

    Parameters
    ----------
    path : Path
    columns : sequence of str
    rows : iterable of sequence of object
        One value for each column. Texts are written as `spreadsheet_text` gives them.
    """
    with storage.new_file(path) as temporary:
        temporary.write_text(text_of(columns, rows), encoding="utf-8")


def text_of(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return the text of the CSV file that `write` writes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return text.getvalue()


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a CSV file from rows by column; a value that is missing or None is an empty cell."""
    write(path, columns, (list(map(row.get, columns)) for row in rows))


def read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file, which may be compressed as `.csv.gz`.

    Raises
    ------
    BenchmarkError
        If the file is missing, is not UTF-8, was cut, or lacks one of `columns`.
    """
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            rows = list(reader)
            header = reader.fieldnames or ()
    except FileNotFoundError:
        raise BenchmarkError(
            f"{path} is missing: rerun the command of the experiment, or name its folder in "
            "--results"
        ) from None
    except (UnicodeDecodeError, csv.Error, *UNREADABLE) as error:
        raise _damaged(path, f"is not a CSV file in UTF-8 ({one_line(error)})") from None

    missing = [column for column in columns if column not in header]
    if missing:
        raise _damaged(path, f"has no column {missing[0]!r}: expected {', '.join(columns)}")

    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise _damaged(path, f"is cut: row {line} has not {len(header)} cells")

    return rows


def _damaged(path: Path, problem: str) -> BenchmarkError:
    return BenchmarkError(f"{path} {problem}. Delete it and rerun the command of the experiment")


def _cell(value: object) -> object:
    return spreadsheet_text(value) if isinstance(value, str) else value
