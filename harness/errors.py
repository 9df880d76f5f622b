"""Mistakes that a user can fix, reported in one line. Standard library only."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path


class BenchmarkError(Exception):
    """A mistake that a user can fix. Every stage prints it as one line and exits with status 1."""


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(error).split())


@contextlib.contextmanager
def raised_by(
    file: str, traceback_path: str | Path | None, memory_params: Sequence[str] = ()
) -> Iterator[None]:
    """Convert an exception raised by a plugin into a BenchmarkError, and save its traceback.

    Parameters
    ----------
    file : str
        The plugin's file, which the error names.
    traceback_path : str, Path or None
        Where the traceback is saved. If None, it is printed.
    memory_params : sequence of str
        The parameters of the plugin that its memory grows with.
    """
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:
        location = _save_traceback(traceback_path)
        advice = _device_advice(error, memory_params)
        message = f"{type(error).__name__}: {one_line(error)}{advice}"
        raise BenchmarkError(f"{file} raised {message}{location}") from None


def _save_traceback(path: str | Path | None) -> str:
    if path is None:
        traceback.print_exc()
        return ""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(traceback.format_exc(), encoding="utf-8")
    return f" (traceback: {path})"


def _device_advice(error: Exception, memory_params: Sequence[str]) -> str:
    """Advice for a device that is too small or lost, else an empty text.

    Errors of torch are recognized by their names, since many jobs do not import it.
    """
    kind = type(error).__name__
    if kind in ("OutOfMemoryError", "MemoryError"):
        remedy = (
            f"lower {' or '.join(memory_params)}" if memory_params else "run fewer jobs at a time"
        )
        return f"; too little memory: {remedy}"
    if kind == "AcceleratorError" or "CUDA error" in str(error):
        return "; the GPU failed: rerun the same command, which resumes this job"
    return ""


def explain(error: Exception) -> str:
    """Return one line for an error in a configuration: the key, what was found, what is expected.

    Snakemake's `validate` raises an error that prints the whole schema. The error of jsonschema in
    its context has the key and the rule.
    """
    invalid = error.__context__
    if not hasattr(invalid, "absolute_path"):
        return one_line(error)

    key = "".join(map(_key, invalid.absolute_path))
    instance = invalid.instance
    match invalid.validator:
        case "additionalProperties":
            known = sorted(invalid.schema.get("properties", {}))
            unknown = ", ".join(repr(name) for name in instance if name not in known)
            return f"{key}unknown key {unknown}: expected one of {', '.join(known)}"
        case "required":
            return f"{key}{invalid.message}"
        case "uniqueItems":
            repeated = next(item for item in instance if instance.count(item) > 1)
            return f"{key}found {repeated!r} more than once"
    expected = _in_words(invalid.validator, invalid.validator_value)
    return f"{key}found {instance!r}, expected {expected}"


def _key(part: str | int) -> str:
    return f"item {part + 1}: " if isinstance(part, int) else f"{part}: "


def _in_words(rule: str, value: object) -> str:
    """What a rule of the schema expects."""
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
        case "minLength":
            return "a text that is not empty"
        case "pattern" if "A-Z" in value:
            return "a name of letters, digits and _ . + -, the first one a letter or a digit"
        case "pattern":
            return "a name of lower-case letters and digits, joined by single - _ or ."
    return f"{rule} {value}"
