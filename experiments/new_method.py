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
    path = new_path("new-method", plugins.ROOT / "methods", name)
    text = TEMPLATE.read_text(encoding="utf-8").replace("CLASS", class_name(name))
    path.write_text(text.replace("LABEL", name.replace("_", " ")), encoding="utf-8")
    return path


def next_steps(name: str) -> list[str]:
    """Return what to do with the new file."""
    return [
        "next: edit it",
        f"      python -m experiments check {name}",
        f"      snakemake --cores all --config 'methods=[chance,lsh,itq,{name}]'",
    ]


def new_path(command: str, folder: Path, name: str) -> Path:
    """Return the path of a new plugin. Raise BenchmarkError for a name that it cannot have."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise BenchmarkError(
            f"{command}: found the name {name!r}, expected lower-case letters and digits, joined "
            "by single underscores, a letter first"
        )
    path = folder / f"{name}.py"
    if path.exists():
        raise BenchmarkError(
            f"{folder.name}/{path.name} exists: choose another name, or edit the file"
        )
    return path


def class_name(name: str) -> str:
    """Return the name of the class of a plugin, for example ``MyMethod`` for ``my_method``."""
    return "".join(word.capitalize() for word in name.split("_"))
