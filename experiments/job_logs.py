"""How a job ended, as the last lines of its log state it."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.plan import Plan
from harness.plugins import STAGES

STATUS_LINE = re.compile(r"exit status (\d+)")  # the rules of the Snakefile add it to a log
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TAIL_BYTES = 65_536


@dataclass(frozen=True)
class Ending:
    """How a job ended.

    Parameters
    ----------
    status : str
        "failed" or "interrupted"; empty while the log has no final line.
    message : str
        Why, or the last line so far.
    """

    status: str
    message: str


def memory_params(plan: Plan, variant: str) -> list[str]:
    """Return the parameters of a method that memory grows with."""
    return list(plan.methods[variant].plugin.member("memory_params"))


def ending(log: Path, memory_params: Iterable[str] = ()) -> Ending:
    """Return how the job of a log ended.

    Parameters
    ----------
    log : Path
        A log that exists.
    memory_params : iterable of str
        The parameters of the job that memory grows with.
    """
    lines = last_lines(log)
    status_line = STATUS_LINE.fullmatch(lines[-1]) if lines else None
    if status_line:
        lines.pop()

    last = lines[-1].strip() if lines else ""
    shown = f"; the last line of its log: {last}" if last else ""

    status = int(status_line[1]) if status_line else 0
    if status > 128:
        return _killed(status - 128, memory_params, shown)

    command, separator, message = last.partition(": ")
    if separator and command in STAGES:  # the message of a failed job begins with its stage
        return Ending("failed", message)
    if status:
        return Ending("failed", f"the job ended with exit status {status} and no message{shown}")

    return Ending("", last)


def last_lines(log: Path) -> list[str]:
    """Return the lines at the end of a log that are not empty."""
    with open(log, "rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    # A progress line on a terminal rewrites itself after a carriage return.
    return [line for line in text.replace("\r", "\n").split("\n") if line.strip()]


def _killed(number: int, memory_params: Iterable[str], shown: str) -> Ending:
    if number in STOP_SIGNALS:
        return Ending("interrupted", f"interrupted (signal {number}){shown}")
    if number != signal.SIGKILL:
        name = signal.strsignal(number) or "unknown"
        return Ending("failed", f"killed (signal {number}, {name.lower()}){shown}")

    lowered = " or ".join(memory_params)
    advice = f"lower {lowered}, or " if lowered else ""
    advice += "run fewer jobs at a time (snakemake --cores 1)"
    return Ending("failed", f"killed (signal 9), probably out of memory: {advice}{shown}")
