"""Before any work starts: are the user's files there? Each command that reads one is asked; what is missing is listed once."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import experiments
from errors import BenchmarkError
from experiments import DATASET, FEATURES, USER_FILES, WEIGHTS


def missing_files(config: dict) -> str:
    """Look for the user's files before any work; each command that finds one missing says so in a line of its own.

    Returns how to go on with what is there, or nothing if all is.
    """
    failed = [(floor, name) for floor, name in unprepared(config) if _lacks_files(floor, name, config)]
    return _advice(config, failed) if failed else ""


def _lacks_files(floor: str, name: str, config: dict) -> bool:
    keywords = experiments.variant(floor, name, config).keywords
    if floor == "methods" and (weights := experiments.encoder_weights(keywords)):
        digest = ["--sha256", keywords["sha256"]] if keywords.get("sha256") else []
        return _fails("networks", keywords["encoder"], weights, *digest)
    if floor == "methods":
        runs = experiments.bits_and_seeds(name, config)
        files = [path for bits, seed in runs for path in experiments.user_files(floor, name, config, bits, seed)]
        lacking = [path for path in dict.fromkeys(files) if not Path(path).is_file()]
        for path in lacking:
            print(f"methods: {name} needs {path}, which is missing: put it there, or change `path`", file=sys.stderr)
        return bool(lacking)
    place = [name, "--check"] if floor == "datasets" else ["check", name]
    return _fails(floor, *place, "--settings", experiments.settings_text(floor, name, config))


@functools.cache
def _fails(*command: str) -> bool:
    """Whether a command of ours fails; one is run once, though several variants may ask for it."""
    return subprocess.run([sys.executable, "-m", *command], stdout=subprocess.DEVNULL).returncode != 0


def unprepared(config: dict) -> list[tuple[str, str]]:
    """(floor, name) of every data set, extractor and method that reads files of the user's and is not done as the configuration says."""
    reading = [("datasets", name, DATASET.format(dataset=name) + "/dataset.json") for name in config["datasets"]]
    for dataset, name in experiments.grid(config):
        reading.append(("features", name, FEATURES.format(dataset=dataset, features=name) + "/features.json"))
    found = [
        (floor, name) for floor, name, path in reading if _reads_files(floor, name, config) and not _is_made(path, floor, name, config)
    ]
    undone = dict.fromkeys(run.variant for run in experiments.runs(config) if not Path(run.folder, "run.json").is_file())
    found += [("methods", name) for name in undone if _reads_files("methods", name, config)]
    return list(dict.fromkeys(found))


def _reads_files(floor: str, name: str, config: dict) -> bool:
    found = experiments.variant(floor, name, config)
    if floor == "datasets":
        return found.component.literals.get("needs_files", True)
    named = any(found.keywords.get(keyword) for keyword in (*USER_FILES, WEIGHTS))
    return named or (floor == "methods" and bool(experiments.encoder_weights(found.keywords)))


def _is_made(path: str, floor: str, name: str, config: dict) -> bool:
    try:
        made = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(made, dict) and made.get("settings") == json.loads(experiments.settings_text(floor, name, config))


def _advice(config: dict, failed: list[tuple[str, str]]) -> str:
    """What to do about the files of (floor, name) that are missing: at best, what to add to the command to run the rest."""
    there = {floor: [name for name in config[floor] if (floor, name) not in failed] for floor in ("datasets", "features", "methods")}
    said = "nothing was started: the files named above are missing or damaged"
    try:
        experiments.grid(config | there)
    except BenchmarkError:
        return said
    if not all(there[floor] for floor in there if config[floor]):
        return said
    lists = " ".join(f"'{floor}=[{','.join(names)}]'" for floor, names in there.items() if names != config[floor])
    return f"{said}; to run the rest, add --config {lists} to the command"
