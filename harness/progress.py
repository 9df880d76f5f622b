"""Progress of long work: a line every ten seconds in a log, a line updated in place on a terminal.

Standard library only. tqdm 4.70 and rich 15 are not used: in a log, tqdm joins all its states to
one line by carriage returns, and rich writes nothing before the end.
"""

from __future__ import annotations

import sys
import time

LOG_SECONDS = 10.0  # between two lines of a log
TERMINAL_SECONDS = 0.2  # between two states of a terminal's line


class Progress:
    """Count steps, and show how many are done, how fast, and how much time is left.

    Parameters
    ----------
    task : str
        What is done, as the first words of the line.
    total : int
        Number of steps.
    unit : str
        What one step is.
    done : int
        Steps that an earlier job has done.

    Examples
    --------
    >>> progress = Progress("training", total=100, unit="batch")
    >>> progress.advance(loss=0.5)
    """

    def __init__(self, task: str, total: int, unit: str, done: int = 0):
        self.task, self.total, self.unit = task, total, unit
        self.done = self._earlier = done
        self.terminal = sys.stderr.isatty()
        self._interval = TERMINAL_SECONDS if self.terminal else LOG_SECONDS
        self._started = self._shown = time.monotonic()

    def advance(self, steps: int = 1, **values: float) -> None:
        """Count `steps` more. The next line shows `values`, for example losses."""
        self.done += steps
        now = time.monotonic()
        if now - self._shown >= self._interval:
            self._shown = now
            self._show(self.line(now - self._started, values))
        if self.terminal and self.done >= self.total:
            self._show(self.line(now - self._started, values) + "\n")

    def line(self, seconds: float, values: dict[str, float]) -> str:
        """Return the line after `seconds` of work."""
        rate = (self.done - self._earlier) / max(seconds, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        figures = "".join(f"  {name} {value:.4g}" for name, value in values.items())
        return (
            f"{self.task}: {self.done}/{self.total} {self.unit}, {rate_text(rate)}/s, "
            f"{duration(left)} left{figures}"
        )

    def _show(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}" if self.terminal else f"{text}\n")
        sys.stderr.flush()


def rate_text(rate: float) -> str:
    """Return a number of steps per second with three digits, or whole from 1,000 on."""
    return f"{rate:.3g}" if rate < 999.5 else f"{rate:,.0f}"


def duration(seconds: float) -> str:
    """Return seconds as `42 s`, `3 min 05 s` or `2 h 07 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
