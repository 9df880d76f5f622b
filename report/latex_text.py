# ruff: noqa: RUF001 (letters that look like others are the subject here)
"""Escape any Unicode text for pdflatex, and estimate its width."""

from __future__ import annotations

import functools
import re
import unicodedata

# Brackets and stars are in braces: after a line break LaTeX would read them as its argument.
SYMBOLS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "†": r"\dag{}", '"': "''",
    "[": "{[}", "]": "{]}", "*": "{*}", "`": "{`}", "\u00a0": "~",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}",
    "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
    "µ": r"$\mu$", "±": r"$\pm$", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "−": "$-$",
    "·": r"$\cdot$", "→": r"$\rightarrow$", "–": "--", "—": "---", "‘": "`", "’": "'", "“": "``",
    "”": "''", "…": r"\ldots{}",
}  # fmt: skip
ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
    "\u0331": "b", "\u0323": "d",
}  # fmt: skip
# Capital Greek letters that look Latin, and omicron, have no command of their own.
LOOKS_LATIN = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))
VARIANT_GREEK = {"ς": r"$\varsigma$", "ϑ": r"$\vartheta$", "ϕ": r"$\phi$", "ϵ": r"$\epsilon$"}
GREEK_NAMES = {"LAMDA": "lambda"}  # Unicode's spelling
# Of Computer Modern: how much wider its small sizes are, by size in points, and the widths of
# letters in units of the size.
WIDER = {9: 1.03, 8: 1.06, 7: 1.14, 5: 1.39}
WIDTHS = {
    0.28: "ijl.,:;'|![]", 0.34: "f -", 0.4: "trs()", 0.45: "cez\N{DAGGER}", 0.5: "ago/*0123456789",
    0.56: "bdhknpquvxyI", 0.84: "mw%@&+=<>",
}  # fmt: skip
EMS = {letter: em for em, letters in WIDTHS.items() for letter in letters}
CAPITAL = 0.76
OTHER = 0.84  # of a letter that a command prints
UNPRINTABLE = 5.0  # of a character that is printed as its code point
CODE_POINT = "{[}U+"


class Source(str):
    """Text that is LaTeX already; everything else that a template prints is escaped."""


def escape(text: object) -> str:
    """Return `text` as LaTeX that prints it, with plain pdflatex and any encoding.

    A character that it cannot print is shown as its code point.
    """
    if isinstance(text, Source):
        return text
    pieces = []
    for cluster in _clusters(re.sub(r"[ \t\r\n]+", " ", str(text))):
        follows_hyphen = cluster == "-" and pieces[-1:] == ["-"]  # two would print as a dash
        pieces.append("{}-" if follows_hyphen else _letter(cluster))
    return Source("".join(pieces))


def breakable(text: str, points: int, most: float) -> Source:
    """Return `text` escaped; a line may break after each character of a too wide word.

    Parameters
    ----------
    text : str
    points : int
        Size of the type.
    most : float
        Width in points from which a word may be broken.
    """
    words = []
    for word in text.split():
        if width(word, points) <= most:
            words.append(escape(word))
        else:
            words.append(r"\allowbreak{}".join(map(_letter, _clusters(word))))
    return Source(" ".join(words))


def printable(text: str) -> bool:
    """Return whether pdflatex prints every character; otherwise some are code points."""
    return UNPRINTABLE not in map(_em, unicodedata.normalize("NFC", text))


def _clusters(text: str) -> list[str]:
    """Return the decomposed characters, each with the combining marks that follow it."""
    clusters = []
    for character in unicodedata.normalize("NFD", text):
        if clusters and unicodedata.combining(character):
            clusters[-1] += character
        elif unicodedata.category(character)[0] != "C":  # control characters print nothing
            clusters.append(character)
    return clusters


def _letter(cluster: str) -> str:
    letter, marks = _base(cluster[0]), cluster[1:]
    for mark in marks:
        known = mark in ACCENTS
        letter = f"\\{ACCENTS[mark]}{{{letter}}}" if known else letter + _code_point(mark)
    return letter


def _base(character: str) -> str:
    for table in (SYMBOLS, LOOKS_LATIN, VARIANT_GREEK):
        if character in table:
            return table[character]

    if character.isascii():
        return character

    kind, *rest = unicodedata.name(character, "").split(" LETTER ")
    if kind in ("GREEK SMALL", "GREEK CAPITAL") and rest[0].isalpha():
        name = GREEK_NAMES.get(rest[0], rest[0].lower())
        return f"$\\{name if kind == 'GREEK SMALL' else name.capitalize()}$"

    return _code_point(character)


def _code_point(character: str) -> str:
    return f"{CODE_POINT}{ord(character):04X}{{]}}"


@functools.cache
def width(text: str, points: int) -> float:
    """Return the width in points of text in Computer Modern of that size.

    Digits are exact, and other letters are estimated from above.
    """
    ems = sum(_em(character) for character in unicodedata.normalize("NFC", text))
    return points * WIDER[points] * ems


def _em(character: str) -> float:
    if character in EMS:
        return EMS[character]
    if character.isascii() or unicodedata.decomposition(character):
        return CAPITAL
    return UNPRINTABLE if _base(character).startswith(CODE_POINT) else OTHER
