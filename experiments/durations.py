"""How long runs are expected to take: from this command, earlier runs, or published ones."""

from __future__ import annotations

import contextlib
import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from harness.plan import PUBLISHED, Plan, Run

PLUGIN = "plugin"
NOTHING: Mapping[Run, float] = MappingProxyType({})
START_SECONDS = 1.0  # of one job: starting Python and its packages, reading, writing


class Estimate:
    """The time that the remaining runs of a plan are expected to take.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self._left: dict[Run, None] = {}
        self._alone: list[Run] = []
        self._recorded: dict[tuple, list[float]] = {}  # by place and variant, or place and plugin
        self._measured: dict[tuple, list[float]] = defaultdict(list)

    def expect(self, runs: Iterable[Run], alone: Iterable[Run] = ()) -> None:
        """Set the runs that remain, and read how long others took.

        Parameters
        ----------
        runs : iterable of Run
        alone : iterable of Run
            Those that are repeated one at a time, to be timed.
        """
        self._left, self._alone = dict.fromkeys(runs), list(alone)
        if self._left or self._alone:
            self._recorded = published_seconds() | recorded_seconds(self.plan)

    def measured(self, run: Run, seconds: float) -> None:
        """Note how long a run of this command took."""
        self._left.pop(run, None)
        self._measured[_key(run)].append(seconds)

    def drop(self, run: Run) -> None:
        """Expect a run no more, since it failed."""
        self._left.pop(run, None)

    def left(self, cores: int, running: Mapping[Run, float] = NOTHING) -> tuple[float, int]:
        """Return the seconds that the remaining runs need, and how many of them are not known.

        Parameters
        ----------
        cores : int
            How many runs there are at the same time.
        running : mapping of Run to float
            Since how many seconds runs have been running.
        """
        known = [
            max(0.0, seconds - running.get(run, 0.0))
            for run in self._left
            if (seconds := self._seconds(run)) is not None
        ]
        shared = sum(known) / max(1, min(cores, len(self._left)))
        alone = sum(self._seconds(run) or 0.0 for run in self._alone)
        return shared + alone, len(self._left) - len(known)

    def _seconds(self, run: Run) -> float | None:
        """Mean of other runs of the variant, else of its plugin; None if there are none."""
        plugin = self.plan.methods[run.variant].plugin.name
        for times in (
            self._measured.get(_key(run)),
            self._recorded.get(_key(run)),
            self._recorded.get((run.dataset, run.features, PLUGIN, plugin)),
        ):
            if times:
                return sum(times) / len(times)
        return None


def _key(run: Run) -> tuple:
    return run.dataset, run.features, run.variant


def recorded_seconds(plan: Plan) -> dict[tuple, list[float]]:
    """Return {(data set, features, variant): seconds of its runs} of the plan's finished runs.

    The runs of all variants of a plugin are those of (data set, features, PLUGIN, plugin).
    """
    seconds = defaultdict(list)
    for run in plan.runs:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            record = json.loads(run.record.read_bytes())
            plugin = plan.methods[run.variant].plugin.name
            seconds[_key(run)].append(_seconds(record))
            seconds[run.dataset, run.features, PLUGIN, plugin].append(_seconds(record))
    return dict(seconds)


def published_seconds() -> dict[tuple, list[float]]:
    """Return the same of the published runs."""
    seconds = defaultdict(list)
    for path in sorted(PUBLISHED.glob("*/runs.csv")):
        with contextlib.suppress(OSError, ValueError, KeyError), open(path, newline="") as file:
            for row in csv.DictReader(file):
                pair = row["dataset"], row["features"]
                seconds[*pair, row["variant"]].append(_seconds(row))
                seconds[*pair, PLUGIN, row["method"]].append(_seconds(row))
    return dict(seconds)


def _seconds(record: dict) -> float:
    """Return the seconds of a run, by its record or its line of runs.csv."""
    times = [float(record.get(name) or 0) for name in ("fit_seconds", "encode_seconds")]
    return START_SECONDS + sum(times)
