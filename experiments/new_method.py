"""Write the file of a new method from a template: the job `new-method`."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from harness import plugins
from harness.errors import BenchmarkError

TEMPLATE = Path(__file__).with_name("new_method.py.txt")
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def new_method(name: str) -> Path:
    """Write methods/NAME.py, a method that passes the contract, and return its path.

    Raises
    ------
    BenchmarkError
        For a name that exists, that no module can have or that configurations do not allow.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise BenchmarkError(
            f"new-method: found the name {name!r}, expected lower-case letters and digits, joined "
            "by single underscores, a letter first"
        )
    path = plugins.ROOT / "methods" / f"{name}.py"
    if path.exists():
        raise BenchmarkError(f"methods/{name}.py exists: choose another name, or edit the file")

    words = name.split("_")
    text = TEMPLATE.read_text(encoding="utf-8")
    text = text.replace("CLASS", "".join(word.capitalize() for word in words))
    path.write_text(text.replace("LABEL", " ".join(words)), encoding="utf-8")
    return path
