"""What the benchmark itself costs: the time of a command that went into no fit, no encoding and no scoring."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from harness import storage


def measure(cost: dict, now: float) -> dict | None:
    """Core-seconds a run beyond its work: (elapsed x cores - fit - encode - score seconds) / runs made.

    `cost` is that key of experiment.json, `now` in epoch seconds. None where the start was not recorded or no run was made.
    """
    if cost.get("started") is None or not cost.get("runs_made"):
        return None
    elapsed = now - cost["started"]
    work = cost["fit_seconds"] + cost["encode_seconds"] + cost["score_seconds"]
    return {
        "seconds_per_run": (elapsed * cost["cores"] - work) / cost["runs_made"],
        "elapsed_seconds": elapsed,
        "cores": cost["cores"],
        "runs_made": cost["runs_made"],
        "started": cost["started"],
        "date": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
    }


def keep(path: Path, measured: dict | None) -> dict | None:
    """The measurement to show, kept in `path`: the first one of a command, until another command makes a run."""
    kept = storage.read_json(path) if path.is_file() else None
    if measured is None or (kept and kept["started"] == measured["started"]):
        return kept
    storage.write_json(path, measured)
    return measured


def sentence(measured: dict | None, started: float | None) -> str:
    """The measurement in words; `started` is when the command that collected the results began."""
    if measured is None:
        return "The cost of the harness was not measured: no command that made a run has recorded its start."
    cost = (
        f"{measured['seconds_per_run']:.2f} core-seconds a run beyond fitting, encoding and scoring "
        f"({measured['runs_made']:,} runs in {measured['elapsed_seconds']:,.0f} s on {measured['cores']} cores)"
    )
    if measured["started"] == started:
        return f"The harness cost {cost}."
    return f"This command made no run; when one last did ({measured['date'][:10]}), the harness cost {cost}."
