"""Read and validate tables.yaml: the specifications of the tables and the claims of the paper."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from harness.errors import BenchmarkError

TABLES_FILE = Path(__file__).parents[1] / "tables.yaml"


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
    optional: bool = False

    def printed(self, number: float) -> str:
        """Rounded to `decimals`, or to `significant` digits down to a thousandth."""
        decimals = self.decimals
        if self.significant and 0 < number < 0.001:
            return "<0.001"
        if self.significant and number:
            decimals = max(0, self.significant - 1 - math.floor(math.log10(abs(number))))
        return f"{number:,.{decimals}f}"


@dataclass(frozen=True)
class TableSpec:
    """One entry of tables.yaml."""

    name: str
    title: str
    caption: str
    values: list[Value]
    columns: str = "bits"
    k: int | list[int] | None = None
    best: bool = False
    order: bool = False
    controls: bool = False
    select: dict = field(default_factory=dict)
    split: bool = False
    cites: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Claim:
    """One claim of the paper, and the rule by which a verdict on it is computed; the keys are explained in tables.yaml."""

    name: str
    question: str
    claim: str
    row: list[str]
    against: list[str]
    test: str
    metric: str = ""
    fact: str = ""
    better: str = "higher"
    margin: float = 0.0


def read(path: Path = TABLES_FILE) -> list[TableSpec]:
    """The tables of tables.yaml. Raises BenchmarkError for a key that no table has, or a name that is no file name."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["tables"]
    return [
        _table_spec(entry, f"{path.name}: {entry.get('name', 'an entry without a name')}")
        for entry in entries
    ]


def read_claims(path: Path = TABLES_FILE) -> list[Claim]:
    """The claims of tables.yaml. Raises BenchmarkError for a key that no claim has, or a rule that cannot be applied."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8")).get("claims", [])
    return [
        _claim(entry, f"{path.name}: claims: {entry.get('name', 'one without a name')}")
        for entry in entries
    ]


def _claim(entry: dict, where: str) -> Claim:
    _check_keys(entry, Claim, ("name", "question", "claim", "row", "against", "test"), where)
    if ("metric" in entry) == ("fact" in entry):
        raise BenchmarkError(f"{where}: expected either a metric or a fact")
    if entry["test"] not in ("significant", "apart") or (
        entry["test"] == "significant" and entry.get("metric") != "map"
    ):
        raise BenchmarkError(
            f"{where}: test: found {entry['test']!r}, expected apart, or significant of the metric map"
        )
    if entry.get("better", "higher") not in ("higher", "lower") or (
        entry["test"] == "significant" and entry.get("better") == "lower"
    ):
        raise BenchmarkError(
            f"{where}: better: found {entry['better']!r}, expected higher, or lower of a test apart"
        )
    return Claim(**entry)


def _table_spec(entry: dict, where: str) -> TableSpec:
    _check_keys(entry, TableSpec, ("name", "title", "caption", "values"), where)
    if not re.fullmatch(r"[a-z0-9-]+", entry["name"]):
        raise BenchmarkError(
            f"{where}: a name has small letters, digits and hyphens only, since it names a file and a LaTeX label"
        )
    for value in entry["values"]:
        _check_keys(value, Value, (), f"{where}: values")
        if ("metric" in value) == ("fact" in value):
            raise BenchmarkError(
                f"{where}: values: found {value}, expected either a metric or a fact"
            )
        if value.get("interval") and value.get("metric") != "map":
            raise BenchmarkError(
                f"{where}: values: found an interval of {value.get('metric')}, expected one of map alone"
            )
        if entry.get("best") and "to" in value:
            raise BenchmarkError(f"{where}: best: found a range, expected single numbers")
    columns = entry.get("columns", "bits")
    if columns not in ("bits", "k", "values"):
        raise BenchmarkError(f"{where}: columns: found {columns!r}, expected bits, k or values")
    if (
        columns == "bits" and entry.get("controls") and len(entry["values"]) > 1
    ):  # a control has one cell under all code lengths
        raise BenchmarkError(
            f"{where}: values: found {len(entry['values'])}, expected one value beside controls, or columns: values"
        )
    return TableSpec(**entry | {"values": [Value(**value) for value in entry["values"]]})


def _check_keys(entry: dict, kind: type, required: tuple[str, ...], where: str) -> None:
    known = [item.name for item in fields(kind)]
    unknown = [key for key in entry if key not in known]
    if unknown:
        raise BenchmarkError(
            f"{where}: unknown key {unknown[0]!r}, expected one of {', '.join(known)}"
        )
    missing = [key for key in required if key not in entry]
    if missing:
        raise BenchmarkError(f"{where}: {missing[0]} must be given")
