# ruff: noqa: RUF001 (letters that look like others are the subject here)
"""Escape any Unicode text for pdflatex, and estimate its width."""

from __future__ import annotations

import functools
import re
import unicodedata

SYMBOLS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "†": r"\dag{}", '"': "''", "[": "{[}", "]": "{]}", "*": "{*}",  # a bracket or a star after \\ would be read as its argument
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}",
    "ı": r"\i{}", "µ": r"$\mu$", "±": r"$\pm$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "−": "$-$", "·": r"$\cdot$",
    "–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\ldots{}", "→": r"$\rightarrow$", "\u00a0": "~", "`": "{`}",
}  # fmt: skip
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".", "\u0308": '"',
    "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c", "\u0331": "b", "\u0323": "d",
}  # fmt: skip
# Capital Greek letters that look Latin, and omicron, have no command of their own.
LATIN_GREEK = dict(
    zip(
        "ΑΒΕΖΗΙΚΜΝΟΡΤΧοςϑϕϵ",
        [*"ABEZHIKMNOPTXo", r"$\varsigma$", r"$\vartheta$", r"$\phi$", r"$\epsilon$"],
        strict=True,
    )
)
GREEK_NAMES = {"LAMDA": "lambda"}  # Unicode's spelling
# Of Computer Modern: what its small sizes are wider, by size in points, and the widths of letters in units of the size.
WIDER = {9: 1.03, 8: 1.06, 7: 1.14, 5: 1.39}
WIDTHS = {
    0.28: "ijl.,:;'|![]", 0.34: "f -", 0.4: "trs()", 0.45: "cez\N{DAGGER}", 0.5: "ago/*0123456789", 0.56: "bdhknpquvxyI",
    0.84: "mw%@&+=<>",
}  # fmt: skip
EMS = {letter: em for em, letters in WIDTHS.items() for letter in letters}
CAPITAL = 0.76
UNPRINTABLE = 5.0  # shown as a code point


class Source(str):
    """Text that is LaTeX already; everything else that a template prints is escaped."""


def escape(text: object) -> str:
    """`text` as LaTeX that prints it, with plain pdflatex and any encoding; a character it cannot print is shown as its code point."""
    if isinstance(text, Source):
        return text
    pieces = []
    for cluster in _clusters(re.sub(r"[ \t\r\n]+", " ", str(text))):
        joined = cluster == "-" and pieces[-1:] == ["-"]  # two hyphens would print as a dash
        pieces.append("{}-" if joined else _letter(cluster))
    return Source("".join(pieces))


def breakable(text: str, points: int, most: float) -> Source:
    """`text` escaped, each word that is wider than `most` points with a place to break the line after every character."""
    words = (
        escape(word)
        if width(word, points) <= most
        else r"\allowbreak{}".join(map(_letter, _clusters(word)))
        for word in text.split()
    )
    return Source(" ".join(words))


def printable(text: str) -> bool:
    """Whether pdflatex prints every character, or some as code points."""
    return UNPRINTABLE not in map(_em, unicodedata.normalize("NFC", text))


def _clusters(text: str) -> list[str]:
    """Characters with the combining marks that follow them, decomposed."""
    clusters = []
    for character in unicodedata.normalize("NFD", text):
        if clusters and unicodedata.combining(character):
            clusters[-1] += character
        elif unicodedata.category(character)[0] != "C":  # a control character prints nothing
            clusters.append(character)
    return clusters


def _letter(cluster: str) -> str:
    base, marks = _base(cluster[0]), cluster[1:]
    for mark in marks:
        base = f"\\{ACCENTS[mark]}{{{base}}}" if mark in ACCENTS else base + _code_point(mark)
    return base


def _base(character: str) -> str:
    if character in SYMBOLS:
        return SYMBOLS[character]
    if character in LATIN_GREEK:
        return LATIN_GREEK[character]
    if character.isascii():
        return character
    kind, *rest = unicodedata.name(character, "").split(" LETTER ")
    if kind in ("GREEK SMALL", "GREEK CAPITAL") and rest[0].isalpha():
        name = GREEK_NAMES.get(rest[0], rest[0].lower())
        return f"$\\{name if kind == 'GREEK SMALL' else name.capitalize()}$"
    return _code_point(character)


def _code_point(character: str) -> str:
    return f"{{[}}U+{ord(character):04X}{{]}}"


@functools.cache
def width(text: str, points: int) -> float:
    """Width in points of text in Computer Modern of that size, its digits exact, other letters estimated from above."""
    return (
        points
        * WIDER[points]
        * sum(_em(character) for character in unicodedata.normalize("NFC", text))
    )


def _em(character: str) -> float:
    if character in EMS:
        return EMS[character]
    if character.isascii() or unicodedata.decomposition(character):
        return CAPITAL
    return UNPRINTABLE if _base(character).startswith("{[}") else 0.84
