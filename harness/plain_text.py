"""Remove what a message or a label could do to a terminal, a page or a spreadsheet."""

from __future__ import annotations

import re
import unicodedata

# Sequences that move the cursor, set colours or titles, or define keys (ECMA-48).
TERMINAL_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI, for example colours
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS
    r"|\x1b[ -/]*[0-~]?"  # two characters, or a lone escape
)
FORMULA = ("=", "+", "-", "@")  # a spreadsheet evaluates a cell that begins with one of these
PROTECTION = "'"  # a spreadsheet shows such a cell as text
CONTROL_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")  # of Unicode
INVISIBLE = (
    "\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # byte order mark, directions
)
DIRECTIONS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])  # reorder the text


def plain(text: str) -> str:
    """Return text without terminal sequences, control characters and overrides of its direction."""
    text = TERMINAL_SEQUENCES.sub("", text).translate(DIRECTIONS)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def spreadsheet_text(text: str) -> str:
    """Return a text without control characters that no spreadsheet evaluates.

    An apostrophe is put before a text that a spreadsheet would evaluate as a formula. A number
    stays a number, also if it is negative.
    """
    printable = "".join(" " if _is_control(character) else character for character in text)
    if printable.lstrip().startswith(FORMULA) and not _is_number(printable):
        return PROTECTION + printable
    return printable


def plain_values(value: object) -> object:
    """Return a JSON value in which every text, keys included, is `plain`."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [plain_values(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain_values(item) for key, item in value.items()}
    return value


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Zl", "Zp") or character in "\t\n\r":
        return " "
    return "" if category in ("Cc", "Cs") else character


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in CONTROL_CATEGORIES or character in INVISIBLE


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
