"""Repeat a run from its record: the same method and parameters on the same data, on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from harness import records
from harness.errors import BenchmarkError
from harness.plan import Place, Run
from harness.user_data import data_folder, job_environment
from harness.variants import Variant, variant_of_text


def variant_of(record: dict) -> Variant:
    """Return the variant of a record; parameters that are new since have their defaults.

    Raises
    ------
    BenchmarkError
        For a parameter that its method no longer has.
    """
    made_of = record["made_of"]
    entry = {"of": made_of["plugin"], "set": made_of["params"]}
    if "fitted_on" in made_of:
        entry["fitted_on"] = "views"

    # Through text, as a job receives it.
    return variant_of_text("methods", made_of["run"]["variant"], json.dumps(entry))


def needed_records(place: Place, variant: Variant) -> list[Path]:
    """Return the records of the arrays that a run of a variant reads."""
    consumes = variant.consumes
    needed = [place.dataset_record]
    if "features" in consumes or "codes" in consumes:
        needed.append(place.features_record)

    if "neighbours" in consumes:
        needed.append(place.neighbours_record)

    if "views" in consumes:
        needed.append(place.views_record)

    return needed


def repeat(run: Run, variant: Variant, folder: Path) -> dict:
    """Run a method in a process of its own, without a GPU.

    Parameters
    ----------
    run : Run
    variant : Variant
    folder : Path
        Where the codes and the record of the run are written. It must not exist.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    BenchmarkError
        If the run fails.
    """
    names = [run.dataset, run.features, run.variant, str(run.bits), str(run.seed)]
    run_job(
        "methods", *names, "--entry", variant.entry_text, "--output", str(folder), name=run.name
    )
    return records.read(folder / run.record.name)


def run_job(stage: str, *arguments: str, name: str) -> None:
    """Run a job of a stage without a GPU. Raise BenchmarkError, with its last line, if it fails."""
    environment = os.environ | job_environment(str(data_folder())) | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", stage, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise BenchmarkError(f"{name} failed: {lines[-1] if lines else done.returncode}")
