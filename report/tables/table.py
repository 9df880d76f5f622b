"""The data structure of a table, from which HTML, LaTeX and CSV are written."""

from __future__ import annotations

from dataclasses import dataclass

from report.results import Pair
from report.tables.table_specs import Value


@dataclass(frozen=True)
class Column:
    """One column of numbers: a value at a code length and a cut; bits is None where the panel or the whole row says it."""

    value: Value
    bits: int | None
    k: int | None
    label: str


NEAR_COLLAPSE = 0.05  # of the distinct codes that there could be: a run with fewer is done, and its metrics say little


DAGGER = "\N{DAGGER}"


@dataclass(frozen=True)
class Collapse:
    """How many of the `runs` behind a cell, those that are done, are near-collapses."""

    count: int
    runs: int

    @property
    def mark(self) -> str:
        return f"c {self.count}/{self.runs}" if self.runs > 1 else "c"

    @property
    def words(self) -> str:
        return "near-collapse" + (f" in {self.count} of {self.runs} seeds" if self.runs > 1 else "")


@dataclass(frozen=True)
class Cell:
    """What is printed at one place.

    state: complete, incomplete (some seeds are not done), failed, missing, unscored or omitted; number and spread: the mean and
    the standard deviation (n - 1) behind the text, where there are any; seeds: "2/3" in an incomplete cell; collapse: of a metric,
    where a run that is in the mean collapsed; interval: "[0.612, 0.655]" where the table shows one; dagger: the value is best, and
    significantly higher than that of every other method of the column.
    """

    text: str
    state: str = "complete"
    deviation: str = ""
    seeds: str = ""
    collapse: Collapse | None = None
    detail: str = ""
    number: float | None = None
    spread: float = 0.0
    best: bool = False
    interval: str = ""
    dagger: bool = False
    span: int = 1


@dataclass(frozen=True)
class Row:
    name: str
    label: str
    cells: list[Cell]
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """The rows of one data set and features, and of one code length where the columns are cuts."""

    label: str
    pair: Pair
    bits: int | None
    rows: list[Row]
    controls: list[Row]


@dataclass(frozen=True)
class Table:
    """A table without its typography: groups heads spans of columns, protocol and notes are sentences below it."""

    name: str
    title: str
    caption: str
    protocol: list[str]
    notes: list[str]
    groups: list[tuple[str, int]]
    columns: list[Column]
    panels: list[Panel]
    cites: list[str]
