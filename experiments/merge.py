"""Merge the runs of another checkout: one experiment can be measured on several machines."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

from experiments import publish
from experiments.attest import RECORDS
from harness import identity, records, storage
from harness.errors import BenchmarkError, one_line
from harness.plan import RESULTS, Run, fields_of


def merge(other: Path) -> bool:
    """Copy the runs of another results folder into results/runs.

    A run that exists on both sides stays as it is here if the codes are equal or its sources are
    the present ones; it is replaced if the present sources are those of the other side alone.

    Parameters
    ----------
    other : Path
        The folder `results` of another checkout.

    Returns
    -------
    bool
        Whether no run was refused. The reasons are printed.

    Raises
    ------
    BenchmarkError
        If the folder has no runs.
    """
    paths = sorted((other / "runs").glob(RECORDS))
    if not paths:
        raise BenchmarkError(
            f"{other}/runs has no runs: expected the folder `results` of another checkout"
        )
    if (other / "runs").resolve() == (RESULTS / "runs").resolve():
        raise BenchmarkError(f"{other} is the results folder of this checkout: name another one")

    counts = Counter()
    for path in paths:
        try:
            outcome = _merged(path)
        except BenchmarkError as error:
            outcome = "refused"
            print(f"{path.parent}: refused: {one_line(error)}", flush=True)
        counts[outcome] += 1

    kinds = ("copied", "replaced", "equal", "retained", "refused")
    print(f"{other}: {', '.join(f'{counts[kind]:,} {kind}' for kind in kinds)}")
    return not counts["refused"]


def _merged(path: Path) -> str:
    """Merge one run, and return what was done. Raise BenchmarkError for a run that is refused."""
    record = records.read(path)
    run = _run_of(path, record)
    _check_inputs(run, record["made_of"])
    if not run.record.is_file():
        _copy(path.parent, run, record)
        return "copied"

    present = records.read(run.record)
    if not records.is_run(present):
        raise BenchmarkError(
            f"{run.record} is not the record of a run: delete {run.folder} and rerun the command"
        )

    equal_codes = present["codes_sha256"] == record["codes_sha256"]
    if equal_codes and not identity.difference(present["made_of"], record["made_of"]):
        return "equal"
    if _is_current(present) != _is_current(record):
        if _is_current(present):
            return "retained"
        _copy(path.parent, run, record)
        return "replaced"
    if not equal_codes:
        raise BenchmarkError(
            f"{run.folder} has other codes: found {record['codes_sha256'][:12]} "
            f"({record['machine']['processor']}), here {present['codes_sha256'][:12]} "
            f"({present['machine']['processor']}). To have the other ones, delete it and rerun "
            "the command"
        )

    return "retained"


def _run_of(path: Path, record: dict) -> Run:
    """Return the run of a record, if the path of the record is that of the run."""
    dataset, features, variant, bits, seed, _ = path.parts[-6:]
    numbers = re.fullmatch(r"(\d+)bit/seed(\d+)", f"{bits}/{seed}")
    if numbers is None or not records.is_run(record):
        raise BenchmarkError(f"{path.name} is not the record of a run. Delete the folder there")

    run = Run(dataset, features, variant, int(numbers[1]), int(numbers[2]))
    if record["made_of"]["run"] != fields_of(run):
        raise BenchmarkError(f"{path.name} is the record of another run: expected {run.name}")

    return run


def _check_inputs(run: Run, made_of: dict) -> None:
    """Raise BenchmarkError if the run was made with other data or features than those here."""
    place = run.place
    paths = {
        "split": place.dataset_record,
        "images": place.dataset_record,
        "features": place.features_record,
        "neighbours": place.neighbours_record,
        "views": place.views_record,
    }
    for name, path in paths.items():
        if name not in made_of or not path.is_file():
            continue
        record = records.read(path)
        prepared = record["sha256"]
        if path == place.dataset_record:
            prepared = records.dataset_digests(record)[name]
        if prepared != made_of[name]:
            raise BenchmarkError(
                f"found {name} {made_of[name][:12]}, expected {prepared[:12]} as {path} has. "
                "Prepare the same data on both machines"
            )


def _is_current(record: dict) -> bool:
    made_of = record["made_of"]
    return made_of["sources"] == publish.present_sources(made_of["plugin"])


def _copy(folder: Path, run: Run, record: dict) -> None:
    """Copy the folder of a run. Raise BenchmarkError if its codes are not those of its record."""
    with storage.new_folder(run.folder) as copied:
        for path in (run.codes, run.extras, run.record):
            if not (folder / path.name).is_file():
                raise BenchmarkError(f"{path.name} is missing. Rerun the command there")
            shutil.copyfile(folder / path.name, copied / path.name)
        digest = storage.digest(copied / run.codes.name)
        if digest != record["codes_sha256"]:
            raise BenchmarkError(
                f"{run.codes.name} has SHA-256 {digest[:12]}, expected "
                f"{record['codes_sha256'][:12]}: the file is damaged. Rerun the command there"
            )
