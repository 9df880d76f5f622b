"""Write the leaderboard: one page that needs no network, a part of the documentation's site."""

from __future__ import annotations

from pathlib import Path

from harness import storage
from report import leaderboard, references
from report.writers.html import environment

PAGE = "leaderboard.html"


def write(output: Path) -> Path:
    """Write leaderboard.html into the folder `output`, and return its path.

    Raises
    ------
    BenchmarkError
        If nothing is published, or a method cites what report/references.bib does not have.
    """
    board = leaderboard.build()
    page = render(board)
    with storage.new_file(output / PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    print(f"{output / PAGE}: {len(board['rankings'])} rankings of {len(board['rows'])} rows")
    return output / PAGE


def render(board: dict) -> str:
    """Return the HTML of the page for what `leaderboard.build` returns."""
    keys = {entry["citation"] for entry in [*board["rows"], *board["tasks"]] if entry["citation"]}
    references.cited(sorted(keys), references.read())
    entries = references.sources()
    data = board | {"bibtex": {key: entries[key] for key in sorted(keys)}}
    return environment().get_template("leaderboard.html.j2").render(board=data).lstrip()
