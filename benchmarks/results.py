"""Store the figures of benchmarks beside the code, and show all of them in one table.

Each benchmark saves its figures in `benchmarks/NAME.json`, with machine, load, date and commit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from harness import provenance, storage

FOLDER = Path(__file__).parent
HEADER = ("Benchmark", "Problem", "Figures", "Measured")


def save(benchmark: str, problem: str, figures: Mapping[str, str]) -> None:
    """Print the figures of a problem, and save them in place of earlier ones.

    Parameters
    ----------
    benchmark : str
        Name of the module.
    problem : str
        What was measured, with its size.
    figures : mapping of str to str
        Values with their units.
    """
    print(f"{problem}: {shown(figures)}", flush=True)
    path = FOLDER / f"{benchmark}.json"
    stored = storage.read_json(path) if path.is_file() else {}
    storage.write_json(path, stored | {problem: {**figures, "measured": measured()}})


def measured() -> dict:
    """Return where and when a figure was measured.

    `load` is the number of processes that were running, on average over the last minute.
    """
    return {
        "machine": f"{provenance.processor()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 1),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": provenance.commit()[:10] + "+" * provenance.dirty(),
    }


def table(folder: Path = FOLDER) -> str:
    """Return the figures of all benchmarks as a table in Markdown, and a line for each machine."""
    machines: list[str] = []
    rows = [HEADER, ("---",) * len(HEADER)]
    for benchmark, problem, figures, facts in _entries(folder):
        if facts["machine"] not in machines:
            machines.append(facts["machine"])
        origin = f"{facts['date']}, `{facts['commit']}`, load {facts['load']}"
        if len(machines) > 1:
            origin += f", machine {machines.index(facts['machine']) + 1}"
        rows.append((f"`{benchmark}`", problem, shown(figures), origin))

    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += [f"\nMachine {number}: {name}." for number, name in enumerate(machines, 1)]
    return "\n".join(lines)


def _entries(folder: Path) -> Iterator[tuple[str, str, dict, dict]]:
    """Yield (benchmark, problem, figures, where and when they were measured)."""
    for path in sorted(folder.glob("*.json")):
        stored = storage.read_json(path)
        for problem, entry in stored.get("pieces", stored).items():  # pieces: of gpu.json
            figures = {name: value for name, value in entry.items() if name != "measured"}
            yield path.stem, problem, figures, entry["measured"]


def shown(figures: Mapping[str, object]) -> str:
    """Return figures as one text."""
    return "; ".join(f"{name} {text(value)}" for name, value in figures.items())


def text(value: object) -> str:
    """Return a value, or the values of a list, with four digits."""
    if isinstance(value, list):
        return ", ".join(map(text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def seconds(value: float) -> str:
    """Return a duration with its unit and three digits."""
    if value < 1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if value < 120 else f"{value / 60:.3g} min"


def mebibytes(value: float) -> str:
    """Return a size in memory with its unit."""
    return f"{value:,.0f} MiB"
