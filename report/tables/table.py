"""The data structure of a table, from which HTML, LaTeX and CSV are written."""

from __future__ import annotations

from dataclasses import dataclass, field

from report.results import Pair
from report.tables.table_specs import Value

# Share of the possible distinct codes: the metrics of a run with fewer mean little.
NEAR_COLLAPSE = 0.05
DAGGER = "\N{DAGGER}"


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes
    ----------
    value : Value
    bits : int or None
        Code length; None if the panel states it, or if the value is of all lengths.
    k : int or None
        Cut of the metric.
    label : str
    """

    value: Value
    bits: int | None
    k: int | None
    label: str


@dataclass(frozen=True)
class Collapse:
    """How many of the done runs behind a cell are near-collapses."""

    count: int
    runs: int

    @property
    def mark(self) -> str:
        """What a cell shows, for example ``c 1/3``."""
        return f"c {self.count}/{self.runs}" if self.runs > 1 else "c"

    @property
    def words(self) -> str:
        seeds = f" in {self.count} of {self.runs} seeds" if self.runs > 1 else ""
        return f"near-collapse{seeds}"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes
    ----------
    text : str
    state : str
        complete, incomplete (some seeds are not done), failed, missing, unscored or omitted.
    deviation : str
        Standard deviation (n - 1) as printed.
    seeds : str
        "2/3" in an incomplete cell.
    collapse : Collapse or None
        Of a metric, if a run behind the mean collapsed.
    detail : str
        Shown when the pointer rests on the cell.
    number, spread : float
        Mean and standard deviation behind the text, if there are any.
    best : bool
    interval : str
        "[0.612, 0.655]", below the mean.
    status : str
        Status of a reported value, below it.
    dagger : bool
        The value is best, and significantly higher than all others of its column.
    span : int
        Number of columns.
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
    status: str = ""
    dagger: bool = False
    span: int = 1

    @property
    def below(self) -> str:
        """The small line below the number."""
        return self.interval or self.status


@dataclass(frozen=True)
class Row:
    """One row: the name of a method or control, its label and its cells."""

    name: str
    label: str
    cells: list[Cell]
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """The rows of one data set and features, and of one code length if the columns are cuts."""

    label: str
    pair: Pair
    bits: int | None
    rows: list[Row]
    controls: list[Row]

    @property
    def pair_label(self) -> str:
        """The label without the code length."""
        return self.label.removesuffix(f", {self.bits} bits")


def cells_of(panels: list[Panel]) -> list[Cell]:
    """Return the cells of all rows, without those of controls."""
    rows = [row for panel in panels for row in panel.rows]
    return [cell for row in rows for cell in row.cells]


@dataclass(frozen=True)
class Table:
    """A table without its typography.

    Attributes
    ----------
    name, title : str
        Of its files and label; heading on the page.
    caption : str
        Text of LaTeX's caption.
    note : str
        Definition of what is shown, the first sentences below the table.
    conventions : list of str
        How cells are read.
    protocol, notes : list of str
        Protocol of each data set; everything else below the table.
    groups : list of (str, int)
        Headings of several columns, and their number.
    columns : list of Column
    panels : list of Panel
        Empty if no data set has the values.
    cites : list of str
        Keys of references.bib that the note rests on.
    latex : bool
        Whether caption and note are LaTeX source.
    row_heading : str
        Heading of the labels of the rows.
    """

    name: str
    title: str
    caption: str
    note: str
    groups: list[tuple[str, int]]
    columns: list[Column]
    panels: list[Panel]
    conventions: list[str] = field(default_factory=list)
    protocol: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cites: list[str] = field(default_factory=list)
    latex: bool = False
    row_heading: str = "Method"

    @property
    def explanation(self) -> str:
        """The definition and how cells are read, as one text."""
        return " ".join([self.note, *self.conventions]).strip()

    @property
    def rows(self) -> list[Row]:
        """The rows of all panels, controls included."""
        return [row for panel in self.panels for row in panel.rows + panel.controls]
