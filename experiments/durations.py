"""How long runs are expected to take: from this command, earlier runs, or published ones."""

from __future__ import annotations

import contextlib
import csv
import json
from collections import defaultdict
from collections.abc import Iterable

from harness.plan import RESULTS, Plan, Run

PUBLISHED = RESULTS / "published"
START_SECONDS = 1.5  # of one job: starting Python and its packages, reading, writing


class Estimate:
    """The time that the remaining runs of a plan are expected to take.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self._left: dict[Run, None] = {}
        self._recorded: dict[tuple, list[float]] = {}  # by place and variant
        self._measured: dict[tuple, list[float]] = defaultdict(list)

    def expect(self, runs: Iterable[Run]) -> None:
        """Set the runs that remain, and read how long others took."""
        self._left = dict.fromkeys(runs)
        if self._left:
            self._recorded = published_seconds() | recorded_seconds(self.plan)

    def measured(self, run: Run, seconds: float) -> None:
        """Note how long a run of this command took."""
        self._left.pop(run, None)
        self._measured[_key(run)].append(seconds)

    def left(self, cores: int) -> tuple[float, int]:
        """Return the seconds that the remaining runs need, and how many of them are not known."""
        seconds = self._recorded | self._measured
        run_times = [seconds[_key(run)] for run in self._left if _key(run) in seconds]
        total = sum(sum(times) / len(times) for times in run_times)
        return total / max(1, min(cores, len(self._left))), len(self._left) - len(run_times)


def _key(run: Run) -> tuple:
    return run.dataset, run.features, run.variant


def recorded_seconds(plan: Plan) -> dict[tuple, list[float]]:
    """Return {(data set, features, variant): seconds of its runs} of the plan's finished runs."""
    seconds = defaultdict(list)
    for run in plan.runs:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            record = json.loads(run.record.read_bytes())
            seconds[_key(run)].append(_seconds(record))
    return dict(seconds)


def published_seconds() -> dict[tuple, list[float]]:
    """Return the same of the published runs."""
    seconds = defaultdict(list)
    for path in sorted(PUBLISHED.glob("*/runs.csv")):
        with contextlib.suppress(OSError, ValueError, KeyError), open(path, newline="") as file:
            for row in csv.DictReader(file):
                key = (row["dataset"], row["features"], row["variant"])
                seconds[key].append(_seconds(row))
    return dict(seconds)


def _seconds(record: dict) -> float:
    """Return the seconds of a run, by its record or its line of runs.csv."""
    times = [float(record.get(name) or 0) for name in ("fit_seconds", "encode_seconds")]
    return START_SECONDS + sum(times)
