"""Read and validate the specifications of tables, figures and claims.

They are in report/tables.yaml and in the keys `tables` and `figures` of a configuration. Only the
standard library and PyYAML are imported, so the workflow validates them before any job starts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from harness.errors import BenchmarkError, did_you_mean
from harness.schemas import CUTS, RANKINGS

TABLES_FILE = Path(__file__).parents[1] / "tables.yaml"
NAME = re.compile(r"[a-z0-9-]+")
COLUMNS = ("bits", "k", "values")
SELECTIONS = ("methods", "bits", "datasets")
# Metrics of metrics.csv without a cut, besides the presets, whose names start with PRESET.
WHOLE_METRICS = (
    *("map", "map_worst", "map_best", "map_chance", "relevant_share"),
    *("precision_r2", "recall_r2", "empty_r2"),
)
PRESET = "as-"
# The cuts of every metric that has any, or that a ranking has without one.
KNOWN_CUTS: dict[str, tuple[int | None, ...]] = dict(CUTS)
for ranking_cuts in RANKINGS.values():
    KNOWN_CUTS |= ranking_cuts
# Columns of runs.csv with numbers and texts, facts computed from them, and those of timing.csv.
NUMBER_FACTS = (
    *("fit_seconds", "encode_seconds", "peak_memory_mib", "items", "distinct_codes"),
    *("bit_balance", "saturated"),
)
TEXT_FACTS = ("device", "threads", "tier", "fidelity", "settings", "trials", "labels_used")
DERIVED_FACTS = ("encode_microseconds", "distinct_share", "code_bytes")
TIMED_FACTS = (
    *("alone_fit_seconds", "alone_encode_microseconds", "image_microseconds"),
    *("search_microseconds", "rerank_microseconds", "kept_bytes", "alone_device"),
)
FACTS = (*NUMBER_FACTS, *TEXT_FACTS, *DERIVED_FACTS, *TIMED_FACTS)


@dataclass(frozen=True)
class Value:
    """What a cell holds; the keys are explained in tables.yaml."""

    metric: str = ""
    k: int | None = None
    to: str = ""
    fact: str = ""
    label: str = ""
    per: str = ""
    scale: float = 1.0
    decimals: int = 3
    significant: int = 0
    deviation: bool = True
    interval: bool = False
    above_chance: bool = False
    optional: bool = False

    def printed(self, number: float) -> str:
        """Round to `decimals`, or to `significant` digits, of which a thousandth is the last."""
        decimals = self.decimals
        if self.significant and 0 < number < 0.001:
            return "<0.001"
        if self.significant and number:
            decimals = max(0, self.significant - 1 - math.floor(math.log10(abs(number))))
        return f"{number:,.{decimals}f}"


@dataclass(frozen=True)
class TableSpec:
    """One table; the keys are explained in tables.yaml."""

    name: str
    title: str
    values: list[Value]
    caption: str = ""
    note: str = ""
    latex: bool = False
    columns: str = "bits"
    k: int | list[int] | None = None
    best: bool = False
    order: bool = False
    controls: bool = False
    select: dict = field(default_factory=dict)
    split: bool = False
    cites: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FigureSpec:
    """One figure of a configuration; the keys are explained in tables.yaml."""

    name: str
    title: str
    metric: str = ""
    fact: str = ""
    k: int | None = None
    label: str = ""
    caption: str = ""
    note: str = ""
    latex: bool = False
    logarithmic: bool = False
    select: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """One research question of the paper; the keys are explained in tables.yaml.

    Each entry of `against` is a list of rows, of which one is compared.
    """

    name: str
    question: str
    claim: str
    row: list[str] = field(default_factory=list)
    against: list[list[str]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    encoder: str = ""
    table: str = ""


@dataclass(frozen=True)
class PaperTable:
    """The paper's comparison on one data set; the keys are explained in tables.yaml."""

    dataset: str
    label: str
    metric: str
    protocol: str
    not_measured: str


@dataclass(frozen=True)
class Paper:
    """The layout of the paper's comparison."""

    row: str
    source: str
    bits: list[int]
    tables: list[PaperTable]


# ------------------------------------------------------------------------- reading


def read(own: object = (), path: Path = TABLES_FILE) -> list[TableSpec]:
    """Return the tables of a report.

    Parameters
    ----------
    own : list of dict
        The key `tables` of the configuration. A table with the name of one in tables.yaml replaces
        it; others follow.
    path : Path

    Raises
    ------
    BenchmarkError
        If an entry has an unknown key, a value of another type, or an invalid file name.
    """
    specs = {}
    for index, entry in enumerate(_file(path)["tables"], 1):
        spec = _table_spec(entry, f"{path.name}: tables: {_name(entry, index)}")
        specs[spec.name] = spec

    names = set()
    for index, entry in enumerate(_listed(own, "tables"), 1):
        spec = _table_spec(entry, f"tables: {_name(entry, index)}")
        _check_unique(spec.name, names, "tables")
        specs[spec.name] = spec

    return list(specs.values())


def read_figures(own: object = ()) -> list[FigureSpec]:
    """Return the figures of the key `figures` of the configuration.

    Raises
    ------
    BenchmarkError
        As `read` does.
    """
    names, specs = set(), []
    for index, entry in enumerate(_listed(own, "figures"), 1):
        spec = _figure_spec(entry, f"figures: {_name(entry, index)}")
        _check_unique(spec.name, names, "figures")
        specs.append(spec)
    return specs


def read_claims(path: Path = TABLES_FILE) -> list[Claim]:
    """Return the claims of tables.yaml.

    Raises
    ------
    BenchmarkError
        If an entry has an unknown key, or names no rows to compare.
    """
    claims = []
    for index, entry in enumerate(_file(path).get("claims", []), 1):
        where = f"{path.name}: claims: {_name(entry, index)}"
        _check_keys(entry, Claim, ("name", "question", "claim"), where)
        if bool(entry.get("table")) == bool(entry.get("row") and entry.get("against")):
            raise BenchmarkError(f"{where}: expected either table, or row and against")
        against = [
            rows if isinstance(rows, list) else [rows] for rows in entry.get("against") or []
        ]
        claims.append(Claim(**entry | {"against": against}))
    return claims


def read_paper(path: Path = TABLES_FILE) -> Paper:
    """Return the layout of the paper's comparison, of the key `paper` of tables.yaml."""
    entry = _file(path)["paper"]
    _check_keys(entry, Paper, tuple(item.name for item in fields(Paper)), f"{path.name}: paper")
    tables = [PaperTable(**table) for table in entry["tables"]]
    return Paper(**entry | {"tables": tables})


def check(config: Mapping) -> None:
    """Raise BenchmarkError if the keys `tables` and `figures` of a configuration are not valid.

    The names that they select are not verified: a table may select a method that another
    configuration adds.
    """
    read(config.get("tables") or [])
    read_figures(config.get("figures") or [])


def selected(select: Mapping, what: str, everything: list) -> list:
    """Return what a table or figure selects of everything, in the order of the selection."""
    if what not in select:
        return everything
    return [item for item in select[what] if item in everything]


# -------------------------------------------------------------------------- entries


def _file(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _listed(entries: object, key: str) -> list:
    if not isinstance(entries, list | tuple):
        raise BenchmarkError(f"{key}: found {entries!r}, expected a list of entries")
    return list(entries)


def _name(entry: object, index: int) -> str:
    """Return how messages call an entry."""
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return name if isinstance(name, str) else f"entry {index}"


def _check_unique(name: str, names: set[str], key: str) -> None:
    if name in names:
        raise BenchmarkError(f"{key}: found {name!r} more than once: rename one of the entries")
    names.add(name)


def _table_spec(entry: object, where: str) -> TableSpec:
    _check_keys(entry, TableSpec, ("name", "title", "values"), where)
    _check_types(entry, TableSpec, where)
    _check_name(entry["name"], where)
    _check_select(entry.get("select", {}), where)
    if not entry["values"]:
        raise BenchmarkError(f"{where}: values: found no entry, expected at least one")

    values = [_value(value, f"{where}: values") for value in entry["values"]]
    spec = TableSpec(**entry | {"values": values})
    if spec.best and any(value.to for value in values):
        raise BenchmarkError(f"{where}: best: found a range, expected single numbers")

    _check_columns(spec, where)
    for value in values:
        for k in _cuts(spec, value):
            _check_cut(value.metric, k, where)

    return spec


def _cuts(spec: TableSpec, value: Value) -> list[int | None]:
    """Return the cuts at which a table shows a value."""
    if spec.columns == "k":
        return spec.k
    return [value.k] if spec.columns == "values" else [spec.k]


def _value(entry: object, where: str) -> Value:
    _check_keys(entry, Value, (), where)
    _check_types(entry, Value, where)
    value = Value(**entry)
    if bool(value.metric) == bool(value.fact):
        raise BenchmarkError(f"{where}: found {entry}, expected either a metric or a fact")
    if value.interval and value.metric != "map":
        raise BenchmarkError(f"{where}: found an interval of {value.metric}, expected one of map")
    if value.above_chance and (value.metric != "map" or value.interval):
        raise BenchmarkError(
            f"{where}: found above_chance in {entry}, expected it for map, without an interval"
        )

    _check_known(value, where)
    return value


def _check_known(value: Value | FigureSpec, where: str) -> None:
    """Raise BenchmarkError for a metric or fact that no run has. Optional facts may be unknown."""
    if value.fact:
        optional = isinstance(value, Value) and value.optional
        if value.fact not in FACTS and not optional:
            raise BenchmarkError(f"{where}: fact: {_unknown(value.fact, FACTS)}")
        return

    metrics = (*WHOLE_METRICS, *KNOWN_CUTS)
    for metric in filter(None, (value.metric, getattr(value, "to", ""))):
        if metric not in metrics and not metric.startswith(PRESET):
            raise BenchmarkError(f"{where}: metric: {_unknown(metric, metrics)}")


def _unknown(name: str, known: tuple[str, ...]) -> str:
    return f"unknown name {name!r}{did_you_mean(name, known)}: expected one of {', '.join(known)}"


def _check_cut(metric: str, k: int | None, where: str) -> None:
    """Raise BenchmarkError for a cut that is not computed, or of a metric over all ranks."""
    if metric in KNOWN_CUTS and k not in KNOWN_CUTS[metric]:
        cuts = ", ".join(map(str, KNOWN_CUTS[metric])).replace("None", "no cut")
        raise BenchmarkError(f"{where}: k: found {k!r} for {metric}, expected one of {cuts}")
    if metric and metric not in KNOWN_CUTS and k is not None:
        raise BenchmarkError(f"{where}: k: found {k} for {metric}, which has no cut: remove k")


def _check_columns(spec: TableSpec, where: str) -> None:
    if spec.columns not in COLUMNS:
        expected = ", ".join(COLUMNS)
        raise BenchmarkError(f"{where}: columns: found {spec.columns!r}, expected {expected}")
    if spec.columns == "k" and not isinstance(spec.k, list):
        raise BenchmarkError(f"{where}: k: found {spec.k!r}, expected a list, with columns: k")
    if spec.columns != "k" and isinstance(spec.k, list):
        raise BenchmarkError(f"{where}: k: found a list, expected one number, or columns: k")
    # A control has one cell below all code lengths.
    if spec.columns == "bits" and spec.controls and len(spec.values) > 1:
        raise BenchmarkError(
            f"{where}: values: found {len(spec.values)}, expected one value with controls. Use "
            "columns: values, or remove controls"
        )


def _figure_spec(entry: object, where: str) -> FigureSpec:
    _check_keys(entry, FigureSpec, ("name", "title"), where)
    _check_types(entry, FigureSpec, where)
    _check_name(entry["name"], where)
    _check_select(entry.get("select", {}), where)
    spec = FigureSpec(**entry)
    if bool(spec.metric) == bool(spec.fact):
        raise BenchmarkError(f"{where}: expected either a metric or a fact")

    _check_known(spec, where)
    _check_cut(spec.metric, spec.k, where)
    return spec


def _check_keys(entry: object, kind: type, required: tuple[str, ...], where: str) -> None:
    if not isinstance(entry, Mapping):
        raise BenchmarkError(f"{where}: found {entry!r}, expected keys with values")

    known = [item.name for item in fields(kind)]
    unknown = [key for key in entry if key not in known]
    if unknown:
        hint = did_you_mean(str(unknown[0]), known)
        raise BenchmarkError(
            f"{where}: unknown key {unknown[0]!r}{hint}: expected one of {', '.join(known)}"
        )

    missing = [key for key in required if key not in entry]
    if missing:
        raise BenchmarkError(f"{where}: {missing[0]} is missing")


# Annotations of the fields, the types that YAML may give them, and what a message calls these.
TYPES = {
    "str": (str, "a text"),
    "bool": (bool, "true or false"),
    "int": (int, "a whole number"),
    "float": (int | float, "a number"),
    "int | None": (int, "a whole number"),
    "int | list[int] | None": (int | list, "a whole number or a list of them"),
    "dict": (dict, "keys with values"),
    "list[str]": (list, "a list"),
    "list[Value]": (list, "a list of values"),
}


def _check_types(entry: Mapping, kind: type, where: str) -> None:
    for item in fields(kind):
        if item.name not in entry:
            continue
        expected, words = TYPES[item.type]
        value = entry[item.name]
        is_stray_bool = isinstance(value, bool) and expected is not bool
        if not isinstance(value, expected) or is_stray_bool:
            raise BenchmarkError(f"{where}: {item.name}: found {value!r}, expected {words}")
        numbers = value if isinstance(value, list) else [value]
        if item.name == "k" and not _positive(numbers):
            raise BenchmarkError(f"{where}: k: found {value!r}, expected numbers above 0")


def _positive(numbers: list) -> bool:
    return all(isinstance(number, int) and number > 0 for number in numbers)


def _check_name(name: str, where: str) -> None:
    if not NAME.fullmatch(name):
        raise BenchmarkError(
            f"{where}: name: found {name!r}, expected lower-case letters, digits and hyphens, "
            "since it names a file and a LaTeX label"
        )


def _check_select(select: Mapping, where: str) -> None:
    for what, names in select.items():
        if what not in SELECTIONS or not isinstance(names, list):
            raise BenchmarkError(
                f"{where}: select: found {what}: {names!r}, expected a list of "
                f"{' or of '.join(SELECTIONS)}"
            )
