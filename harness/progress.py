"""Progress of long work: a line every ten seconds in a log, one line rewritten in place on a terminal. Standard library only."""

from __future__ import annotations

import sys
import time

INTERVAL = 10.0  # seconds between the lines of a log
REFRESH = 0.2  # seconds between two states of a terminal's line


class Progress:
    """Count `total` steps of `unit` and say how many are done, how fast, and how long the rest takes; `done` of them were done before.

    >>> progress = Progress("training", total=100, unit="batch")
    >>> progress.advance(loss=0.5)
    """

    def __init__(self, what: str, total: int, unit: str, done: int = 0):
        self.what, self.total, self.unit = what, total, unit
        self.done = self._before = done
        self.terminal = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()

    def advance(self, steps: int = 1, **values: float) -> None:
        """Count `steps` more; `values` (losses, say) are shown with the next line."""
        self.done += steps
        now = time.monotonic()
        if now - self._shown >= (REFRESH if self.terminal else INTERVAL):
            self._shown = now
            self._show(self.line(now - self._started, values))
        if self.terminal and self.done >= self.total:
            self._show(self.line(now - self._started, values) + "\n")

    def line(self, seconds: float, values: dict[str, float]) -> str:
        rate = (self.done - self._before) / max(seconds, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        shown = "".join(f"  {name} {value:.4g}" for name, value in values.items())
        return f"{self.what}: {self.done}/{self.total} {self.unit}, {rate:.3g}/s, {duration(left)} left{shown}"

    def _show(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}" if self.terminal else f"{text}\n")
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """Seconds as `42 s`, `3 min 05 s` or `2 h 07 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
