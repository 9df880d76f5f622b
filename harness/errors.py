"""Errors that a user can fix, reported in one line. Standard library only."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORE_FOLDERS = ("harness", "tests")  # their lines are not where a plugin went wrong
CORE_FILES = ("__main__.py", "_runtime.py")


class BenchmarkError(Exception):
    """An error that a user can fix. Every stage prints it as one line and exits with 1."""


def one_line(error: BaseException) -> str:
    """Return an error's message on one line."""
    return " ".join(str(error).split())


@contextlib.contextmanager
def reading(
    file: str | Path, expected: str, advice: str, if_missing: str = "Put it there."
) -> Iterator[None]:
    """Convert whatever a library raises for a missing or damaged file into a BenchmarkError.

    Libraries raise errors of many types for damaged bytes, since each of their steps fails in its
    own way. Every Exception is therefore converted: the block contains the call of the library
    and nothing else.

    Parameters
    ----------
    file : str or Path
        The file, as the message names it.
    expected : str
        What the file should be, with its article: ``"a .npy array of numbers"``.
    advice : str
        A full sentence that tells the user what to do about a damaged file.
    if_missing : str
        The same for a missing file.
    """
    try:
        yield
    except BenchmarkError:
        raise
    except FileNotFoundError:
        raise BenchmarkError(f"{file} is missing: expected {expected}. {if_missing}") from None
    except Exception as error:
        raise BenchmarkError(
            f"{file} is damaged or not {expected} ({reason(error)}). {advice}"
        ) from None


def reason(error: BaseException) -> str:
    """Return the message of a library's error on one line, without addresses of objects."""
    text = re.sub(r" *<[\w. ]+ at 0x[0-9a-fA-F]+>", "", one_line(error)).rstrip(" .")
    return text or type(error).__name__


@contextlib.contextmanager
def raised_by(
    file: str, traceback_path: str | Path | None, memory_params: Sequence[str] = ()
) -> Iterator[None]:
    """Convert an exception raised by a plugin's `file` into a BenchmarkError, as one line.

    Parameters
    ----------
    file : str
        Path of the plugin, shown in the message.
    traceback_path : path or None
        File that the traceback is written to. Without it, the traceback is printed.
    memory_params : sequence of str
        Parameters that memory grows with.
    """
    try:
        yield
    except BenchmarkError:
        raise
    except (Exception, SystemExit) as error:  # SystemExit would end the job without a message
        traceback_note = _save_traceback(traceback_path)
        advice = _device_advice(error, memory_params)
        line = plugin_line(error)
        position = f" at {line}" if line else ""
        message = f"raised {type(error).__name__}{position}: {one_line(error)}"
        message += f"; {advice}" if advice else ""
        raise BenchmarkError(f"{file} {message}{traceback_note}") from None


def plugin_line(error: BaseException) -> str:
    """Return FILE:LINE of the innermost call in a plugin or in a module of the user, or empty."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if not path.is_relative_to(ROOT) or "site-packages" in path.parts:
            continue
        relative = path.relative_to(ROOT)
        if relative.parts[0] not in CORE_FOLDERS and relative.name not in CORE_FILES:
            return f"{relative.as_posix()}:{frame.lineno}"
    return ""


def _save_traceback(path: str | Path | None) -> str:
    if path is None:
        traceback.print_exc()
        return ""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(traceback.format_exc(), encoding="utf-8")
    return f" (traceback: {path})"


def _device_advice(error: BaseException, smaller: Sequence[str]) -> str:
    """Return what helps where a device is too small or lost; empty for any other error.

    Errors of torch are known by their names, since many a job does without it.
    """
    kind = type(error).__name__
    if kind == "OutOfMemoryError" or isinstance(error, MemoryError):
        if smaller:
            return f"too little memory: lower {' or '.join(smaller)}"
        if _array_bytes(error) > memory_bytes():
            return (
                "this array is larger than the memory of the machine: use features with fewer "
                "dimensions, or a smaller `size` of the images"
            )
        return "too little memory: run fewer jobs at a time"
    if kind == "AcceleratorError" or "CUDA error" in str(error):
        return "the GPU failed: rerun the command, which resumes this job from its checkpoint"

    return ""


def _array_bytes(error: BaseException) -> int:
    """Return the size of the array that NumPy could not allocate; 0 if the error states none."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    if not isinstance(shape, tuple) or dtype is None:
        return 0
    return math.prod(shape) * dtype.itemsize


def memory_bytes() -> int:
    """Return the size of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def explain(error: Exception) -> str:
    """Return one line for an error in a configuration: the key, what was found, what is expected.

    Snakemake's `validate` raises an error that prints the whole schema. The error of jsonschema in
    its context has the key and the rule.
    """
    invalid: Any = error.__context__
    if not hasattr(invalid, "absolute_path"):
        return one_line(error)

    key = "".join(map(_key, invalid.absolute_path))
    instance = invalid.instance
    match invalid.validator:
        case "additionalProperties":
            known = sorted(invalid.schema.get("properties", {}))
            unknown = ", ".join(repr(name) for name in instance if name not in known)
            hint = did_you_mean(unknown.strip("'"), known)
            return f"{key}unknown key {unknown}{hint}: expected one of {', '.join(known)}"
        case "required":
            return f"{key}{invalid.message}"
        case "uniqueItems":
            repeated = next(item for item in instance if instance.count(item) > 1)
            return f"{key}found {repeated!r} more than once"
    expected = _in_words(invalid.validator, invalid.validator_value)
    if expected == "a list" and isinstance(instance, str | int):
        expected += f": write [{instance}]"
    return f"{key}found {instance!r}, expected {expected}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'X'?)` for the known name that is most similar, or an empty text."""
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {similar[0]!r}?)" if similar else ""


def _key(part: str | int) -> str:
    return f"item {part + 1}: " if isinstance(part, int) else f"{part}: "


def _in_words(rule: str, value: Any) -> str:
    """Return what a rule of the schema expects."""
    match rule:
        case "type":
            return {
                "array": "a list",
                "object": "keys with values",
                "string": "a text",
                "integer": "a whole number",
            }[value]
        case "enum":
            return " or ".join(value)
        case "minItems":
            return f"at least {value} item{'s' * (value > 1)}"
        case "minimum":
            return f"{value} or more"
        case "maximum":
            return f"{value} or less"
        case "maxLength":
            return f"at most {value} characters"
        case "minLength":
            return "a text that is not empty"
        case "pattern" if "A-Z" in value:
            return "a name of letters, digits and _ . + -, the first one a letter or a digit"
        case "pattern":
            return "a name of lower-case letters and digits, joined by single - _ or ."
    return f"{rule} {value}"
