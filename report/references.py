"""The entries of references.bib, as a list of references prints them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchmarkError

BIBLIOGRAPHY = Path(__file__).with_name("references.bib")
ENTRY = re.compile(r"^@\w+\{\s*([^,\s]+)\s*,\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", re.MULTILINE)
ACCENT = re.compile(r"\\([\"'`^~])\s*(\w)")
ACCENTS = {'"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303"}
VENUES = ("booktitle", "journal", "institution", "publisher", "note")
ADDRESSES = ("doi", "url")


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
    """Read a UTF-8 bibliography with one `field = {value},` per line, as {key: reference}."""
    entries = ENTRY.findall(path.read_text(encoding="utf-8"))
    return {key: _reference(key, dict(FIELD.findall(body))) for key, body in entries}


def cited(keys: list[str], references: dict[str, Reference]) -> list[Reference]:
    """Return the references of these keys, each once, in the order of the keys.

    Raises
    ------
    BenchmarkError
        If a key has no entry.
    """
    for key in keys:
        if key not in references:
            raise BenchmarkError(
                f"report/references.bib has no entry {key!r}, which a method, a data set or a "
                "table cites: add the entry"
            )
    return [references[key] for key in sorted(set(keys))]


def _reference(key: str, fields: dict[str, str]) -> Reference:
    texts = {}
    for name, value in fields.items():
        texts[name] = value if name in ADDRESSES else _without_latex(value)

    names = texts.get("author", "").split(" and ")
    authors = [" ".join(reversed(name.split(", "))) for name in names]
    venue = next((texts[name] for name in VENUES if name in texts), "")
    link = f"https://doi.org/{texts['doi']}" if "doi" in texts else texts.get("url", "")
    title, year = texts.get("title", ""), texts.get("year", "")
    return Reference(key, ", ".join(authors), title, venue, year, link)


def _without_latex(value: str) -> str:
    """Return LaTeX as text: what names and titles use. Other commands lose their backslash."""
    value = re.sub(r"[{}]|(?<!\\)\$", "", value)
    value = ACCENT.sub(lambda match: _accented(match[2], match[1]), value)
    value = value.replace("~", " ").replace("---", "\N{EM DASH}").replace("--", "\N{EN DASH}")
    return value.replace("\\", "")


def _accented(letter: str, accent: str) -> str:
    return unicodedata.normalize("NFC", letter + ACCENTS[accent])


def sources(path: Path = BIBLIOGRAPHY) -> dict[str, str]:
    """Return the BibTeX text of each entry of a bibliography, by its key."""
    text = path.read_text(encoding="utf-8")
    return {match[1]: match[0] for match in ENTRY.finditer(text)}
