"""Delete the results of a method or of an experiment, or the prepared arrays."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from experiments.resources import in_units
from harness.errors import BenchmarkError
from harness.plan import EXPERIMENTS, LOGS, RESULTS
from harness.schemas import COLLECTED_TABLES
from harness.user_data import CACHE

LOCKS = Path(".snakemake/locks")  # has files while a command runs
ALL_CACHES = "cache"
DEFAULT_EXPERIMENT = "default"


def clean(name: str, dry_run: bool = False) -> list[str]:
    """Delete what has a name, and return lines on what was freed.

    The results of a method are its runs, its scores in every experiment and its logs. Those of an
    experiment are its tables, scores and report; its runs are shared with other experiments, and
    stay. Published folders stay.

    Parameters
    ----------
    name : str
        A row of a table, an experiment, "default" for the default experiment, or "cache".
    dry_run : bool
        Whether to delete nothing.

    Raises
    ------
    BenchmarkError
        If nothing has this name, both a method and an experiment have it, or a command is running.
    """
    of_method, of_experiment = _of_method(name), _of_experiment(name)
    if of_method and of_experiment:
        listed = " ".join(map(str, of_method + of_experiment))
        raise BenchmarkError(
            f"clean: both a method and an experiment are named {name!r}: delete the folders of one "
            f"of them yourself: {listed}"
        )
    paths = [*of_method, *of_experiment]
    if name == ALL_CACHES:
        paths += sorted(CACHE.glob("*"))
    if not paths:
        raise BenchmarkError(
            f"clean: found no results of {name!r}, expected a method, an experiment, "
            f"{DEFAULT_EXPERIMENT} or {ALL_CACHES}. `python -m experiments list` prints the names"
        )
    if not dry_run and LOCKS.is_dir() and any(LOCKS.iterdir()):
        raise BenchmarkError(
            "clean: a snakemake command is running here: wait for its end. If none is, run "
            "`snakemake --unlock`"
        )
    lines, total = [], 0
    for path in paths:
        files, size = _contents(path)
        total += size
        lines.append(f"{path}: {files:,} file{'' if files == 1 else 's'}, {in_units(size)}")
        if not dry_run:
            _delete(path)
    return [*lines, f"{'would free' if dry_run else 'freed'} {in_units(total)}"]


def _of_method(name: str) -> list[Path]:
    """The folders of a method: its runs, its scores in every experiment, and the logs of both."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
        return []
    roots = [RESULTS / "runs", LOGS / "runs"]
    for root in (RESULTS, *EXPERIMENTS.glob("*")):
        roots += [root / "scores", root / "partial/scores"]
    folders = [path for root in roots for path in sorted(root.glob(f"*/*/{name}"))]
    return [*folders, *sorted(LOGS.glob(f"results/**/scores/*/*/{name}.log"))]


def _of_experiment(name: str) -> list[Path]:
    if name == DEFAULT_EXPERIMENT:
        files = [*COLLECTED_TABLES, "experiment.json", "timing.csv", "timing.json"]
        paths = [RESULTS / part for part in (*files, "scores", "report", "partial")]
    elif re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
        paths = [EXPERIMENTS / name, LOGS / EXPERIMENTS / name]
    else:
        paths = []
    return [path for path in paths if path.exists()]


def _contents(path: Path) -> tuple[int, int]:
    """Number and size in bytes of the files below a path; what a link points to does not count."""
    below: Iterable[Path] = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    files = [item for item in below if item.is_symlink() or item.is_file()]
    return len(files), sum(item.lstat().st_size for item in files)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
