"""Run the jobs that draw figures in several processes."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable


def in_parallel(jobs: list[Callable[[], object]], processes: int) -> list:
    """Return what each job returns, in order.

    Several processes are forked, so that they read the results without a copy. Other systems than
    Linux use one process.
    """
    processes = min(processes, len(jobs))
    if processes < 2 or sys.platform != "linux":
        return [job() for job in jobs]
    with multiprocessing.get_context("fork").Pool(processes, _inherit, (jobs,)) as pool:
        return pool.map(_run, range(len(jobs)), chunksize=1)


_inherited: list[Callable[[], object]] = []  # set in a forked process


def _inherit(jobs: list[Callable[[], object]]) -> None:
    _inherited[:] = jobs


def _run(index: int) -> object:
    return _inherited[index]()
