"""Check the text of configuration files: what YAML cannot parse, or reads as another value.

The profiles run `check_arguments` before Snakemake reads the files, since Snakemake prints a
traceback for a missing one, and runs the Python code of a file with the key `__use_yte__`.

YAML 1.1, which Snakemake reads, takes 012 for an octal number, 1:30 for base 60 and `no` for False,
and keeps only the last of two equal keys. Imports PyYAML, besides the standard library.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.errors import BenchmarkError, one_line

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TAG = "tag:yaml.org,2002:"
TEMPLATE_KEY = "__use_yte__"  # Snakemake executes the other keys of such a file as a template
# What a scalar without quotes must look like to be read as the value that it shows.
UNAMBIGUOUS = {
    "int": re.compile(r"[-+]?(0|[1-9][0-9]*)"),
    "float": re.compile(
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)", re.IGNORECASE
    ),
    "bool": re.compile(r"true|false", re.IGNORECASE),
    "null": re.compile(r"|~|null", re.IGNORECASE),
    "timestamp": re.compile(r"(?!)"),  # never
}
EXPECTED_KINDS = {
    "int": "a decimal number without leading zeros, or a text in quotes",
    "float": "a decimal number, or a text in quotes",
    "bool": "true or false, or a text in quotes",
    "timestamp": "a text in quotes",
}


def check(path: str | Path) -> None:
    """Check the text of a configuration file.

    Parameters
    ----------
    path : str or Path
        A YAML or JSON file.

    Raises
    ------
    BenchmarkError
        If the file is missing or is not YAML with keys, if it has Python code for Snakemake, or if
        YAML reads a value as another one than it shows.
        The message starts with ``FILE:LINE:COLUMN``.
    """
    text = ""
    try:
        text = Path(path).read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=LOADER)
    except FileNotFoundError:
        raise BenchmarkError(
            f"{path} is missing: expected a configuration file. Correct its path, and name targets "
            "before --configfile"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BenchmarkError(f"{_position(path, mark)}: {_syntax(error, text)}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise BenchmarkError(f"{path} cannot be read as YAML ({one_line(error)})") from None

    if not isinstance(root, yaml.MappingNode):
        raise BenchmarkError(
            f"{path} has no keys: expected lines KEY: VALUE, as in config/config.yaml"
        )
    for node in _nodes(root):
        if problem := _problem(node):
            raise BenchmarkError(f"{_position(path, node.start_mark)}: {problem}")


def merged(*paths: str | Path) -> dict[str, Any]:
    """Return configuration files merged as Snakemake does: mappings by key, lists replaced.

    Raises
    ------
    BenchmarkError
        As `check`.
    """
    config: dict[str, Any] = {}
    for path in paths:
        _update(config, read(path))
    return config


def _update(config: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            _update(config[key], value)
        else:
            config[key] = value


def read(path: str | Path) -> Any:
    """Return the value of a YAML file whose text `check` accepts."""
    check(path)
    return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=LOADER)


def _position(path: str | Path, mark: yaml.Mark) -> str:
    return f"{path}:{mark.line + 1}:{mark.column + 1}"


def _syntax(error: yaml.MarkedYAMLError, text: str) -> str:
    if "mapping values are not allowed" in error.problem:
        return 'found a second ": ". Put the text that contains it in quotes, as in label: "A: b"'
    if re.match(r" *\t", "".join(text.splitlines()[error.problem_mark.line :][:1])):
        return "found a tab. Indent with spaces"
    return f"not valid YAML: {error.problem}"


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """All nodes in the order of the file; a node that an alias repeats comes once."""
    pending, seen = [root] if root else [], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            pending.extend(part for pair in reversed(node.value) for part in reversed(pair))
        elif isinstance(node, yaml.SequenceNode):
            pending.extend(reversed(node.value))


def _problem(node: yaml.Node) -> str:
    """Return why YAML reads a node as something else than it shows; empty if it does not."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if TEMPLATE_KEY in keys:
            return f"found the key {TEMPLATE_KEY!r}, with which a file runs Python code: remove it"
        repeated = [key for index, key in enumerate(keys) if key in keys[:index]]
        return f"found the key {repeated[0]!r} twice, expected once" if repeated else ""

    kind = node.tag.removeprefix(TAG)
    plain = isinstance(node, yaml.ScalarNode) and not node.style
    if not plain or kind not in UNAMBIGUOUS or UNAMBIGUOUS[kind].fullmatch(node.value):
        return ""

    value = "a date" if kind == "timestamp" else yaml.load(node.value, Loader=LOADER)
    return f"found {node.value}, which YAML reads as {value}: expected {EXPECTED_KINDS[kind]}"


def check_arguments(arguments: Sequence[str]) -> None:
    """Exit with one line if a command of Snakemake names a configuration that cannot be read.

    Parameters
    ----------
    arguments : sequence of str
        Those of the command. The values of `--configfile` and `--config` are checked.
    """
    try:
        for path in _values(arguments, "--configfile", "--configfiles"):
            check(path)
        for value in _values(arguments, "--config", "-C"):
            if not re.match(r"[a-zA-Z_][\w-]*=", value):
                raise BenchmarkError(
                    f"--config: found {value!r}, expected KEY=VALUE. Put values with spaces or "
                    "brackets in quotes, as in --config 'bits=[16, 32]'"
                )
    except BenchmarkError as error:
        sys.exit(f"config: {one_line(error)}")


def _values(arguments: Sequence[str], *options: str) -> Iterator[str]:
    """The values of an option that takes several, up to the next option."""
    for index, argument in enumerate(arguments):
        name, separator, value = argument.partition("=")
        if name not in options:
            continue
        if separator:
            yield value
        else:
            following = arguments[index + 1 :]
            yield from itertools.takewhile(lambda word: not word.startswith("-"), following)
