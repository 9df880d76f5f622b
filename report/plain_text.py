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
DIRECTIONS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])  # reorder the text


def plain(text: str) -> str:
    """Return text without terminal sequences, control characters and overrides of its direction."""
    text = TERMINAL_SEQUENCES.sub("", text).translate(DIRECTIONS)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


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
