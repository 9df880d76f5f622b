"""references.bib as data: only what a list of references prints."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchmarkError

BIBLIOGRAPHY = Path(__file__).with_name("references.bib")
ENTRY = re.compile(r"^@\w+\{\s*([^,\s]+)\s*,\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", re.MULTILINE)
ACCENTS = {'"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303"}
VENUES = ("booktitle", "journal", "institution", "publisher", "note")


@dataclass(frozen=True)
class Reference:
    """One entry; `link` is the address of its DOI, or its URL, or empty."""

    key: str
    authors: str
    title: str
    venue: str
    year: str
    link: str


def read(path: Path = BIBLIOGRAPHY) -> dict[str, Reference]:
    """Read a bibliography with one `field = {value},` a line, UTF-8, as {key: reference}."""
    entries = ENTRY.findall(path.read_text(encoding="utf-8"))
    return {key: _reference(key, dict(FIELD.findall(body))) for key, body in entries}


def cited(keys: list[str], references: dict[str, Reference]) -> list[Reference]:
    """The references of these keys, each once, in the order of the keys, by surname. Raises BenchmarkError for a key without an entry."""
    for key in keys:
        if key not in references:
            raise BenchmarkError(
                f"report/references.bib has no entry {key!r}, which a method, a data set or a table cites: add it there"
            )
    return [references[key] for key in sorted(set(keys))]


def _plain(value: str) -> str:
    """LaTeX as text: what is usual in names and titles; a command that is none of it loses its backslash."""
    value = re.sub(r"[{}]|(?<!\\)\$", "", value)
    value = re.sub(
        r"\\([\"'`^~])\s*(\w)",
        lambda found: unicodedata.normalize("NFC", found[2] + ACCENTS[found[1]]),
        value,
    )
    return (
        value.replace("~", " ")
        .replace("---", "\N{EM DASH}")
        .replace("--", "\N{EN DASH}")
        .replace("\\", "")
    )


def _reference(key: str, fields: dict[str, str]) -> Reference:
    plain = {
        name: value if name in ("doi", "url") else _plain(value) for name, value in fields.items()
    }
    names = [
        " ".join(reversed(name.split(", "))) for name in plain.get("author", "").split(" and ")
    ]
    venue = next((plain[name] for name in VENUES if name in plain), "")
    link = f"https://doi.org/{plain['doi']}" if "doi" in plain else plain.get("url", "")
    return Reference(
        key, ", ".join(names), plain.get("title", ""), venue, plain.get("year", ""), link
    )
