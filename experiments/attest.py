"""Attest runs of earlier sources: recompute one run per method, and compare its codes.

A rewritten method has other digests, although its codes may be the same. The cheapest run of each
method is recomputed with the present sources. If its codes are equal, the records of all runs of
this method with the same earlier sources get the present digests, and state this proof.
"""

from __future__ import annotations

import json
import tempfile
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from experiments import publish, repetition
from harness import identity, plugins, provenance, records, storage
from harness.errors import BenchmarkError, one_line
from harness.plan import RESULTS, Run
from harness.progress import duration
from harness.user_data import data_folder
from harness.variants import Variant, variant_of_text

RECORDS = "*/*/*/*bit/seed*/run.json"  # below the folder of all runs


class Records(ABC):
    """The records of the runs of one folder.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    records : list of dict
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.records: list[dict] = []

    @abstractmethod
    def save(self, changed: list[dict]) -> None:
        """Write the records, of which these were changed."""

    @abstractmethod
    def targets_command(self) -> str:
        """Return the command that prepares the cache, up to its targets."""


class PublishedRecords(Records):
    """Records of a published folder."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.records = publish.records_of(folder)

    def save(self, changed: list[dict]) -> None:
        with storage.new_file(self.folder / publish.RUNS) as temporary:
            publish.write_records(temporary, self.records)

    def targets_command(self) -> str:
        experiment = storage.read_json(self.folder / publish.EXPERIMENT)
        files = experiment.get("configfiles") or []
        option = f" --configfile {' '.join(files)}" if files else ""
        return f"snakemake --cores all{option} --"


class RunRecords(Records):
    """Records of all runs of a results folder, which experiments share."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self._paths = sorted((folder / "runs").glob(RECORDS))
        self.records = [_read(path) for path in self._paths]

    def save(self, changed: list[dict]) -> None:
        for path, record in zip(self._paths, self.records, strict=True):
            if any(record is other for other in changed):
                storage.write_json(path, record)

    def targets_command(self) -> str:
        return "snakemake --cores all [--configfile FILE] --"


def _read(path: Path) -> dict:
    record = records.read(path)
    if not records.is_run(record):
        raise BenchmarkError(
            f"{path} is not the record of a run: delete {path.parent} and rerun the command of the "
            "experiment"
        )
    return record


@dataclass(frozen=True)
class Proof:
    """A recomputed run: its name, the digests of its sources and codes, and its parameters."""

    run: str
    sources: dict[str, str]
    codes_sha256: str
    params: dict


def attest(folders: list[Path], each_variant: bool = False) -> bool:
    """Attest the runs of folders whose sources differ from the present ones.

    Parameters
    ----------
    folders : list of Path
        Published folders, or the results folder with all runs. Equal runs of several folders are
        recomputed only once.
    each_variant : bool
        Whether a run of each variant is recomputed, instead of one per method. Some sources run
        only with certain parameters.

    Returns
    -------
    bool
        Whether the sources of all runs are the present ones at the end.

    Raises
    ------
    BenchmarkError
        For a checkout with uncommitted changes, and for a folder without records.
    """
    _check_checkout()
    opened = [_opened(folder) for folder in folders]

    complete, proofs = True, {}
    for folder_records in opened:
        run_records = folder_records.records
        groups = _outdated_groups(run_records, each_variant)
        if not groups:
            count = len(run_records)
            _print(f"{folder_records.folder}: the sources of all {count} runs are current")
        for method, group in groups:
            name = f"{folder_records.folder}: {method}"
            try:
                proof = _proof(group, folder_records, proofs)
            except BenchmarkError as error:
                complete = False
                _print(f"{name}: not attested: {one_line(error)}")
                continue
            for record in group:
                _append(record, proof)
            folder_records.save(group)
            _print(f"{name}: attested {len(group)} runs by {proof.run}")
            for line in _changed_defaults(group):
                _print(f"{name}: {line}")

    return complete


def _print(line: str) -> None:
    print(line, flush=True)


def _check_checkout() -> None:
    if provenance.commit() == "unknown":
        raise BenchmarkError(
            "attest: the project is not a git checkout: expected one, since an attestation names "
            "its commit. Clone the repository"
        )
    if provenance.dirty():
        raise BenchmarkError(
            "attest: the checkout has uncommitted changes: expected none, since an attestation "
            "names its commit. Commit them and rerun the command"
        )


def _opened(folder: Path) -> Records:
    if (folder / publish.RUNS).is_file():
        return PublishedRecords(folder)
    run_records = RunRecords(folder) if (folder / "runs").is_dir() else None
    if run_records is None or not run_records.records:
        raise BenchmarkError(
            f"{folder} has no records of runs: expected {publish.PUBLISHED}/NAME or {RESULTS}"
        )
    return run_records


def _outdated_groups(run_records: list[dict], each_variant: bool) -> list[tuple[str, list[dict]]]:
    """Name and records of each group that one proof attests.

    The records of a group have the same method, the same earlier sources and the same device.
    """
    groups = defaultdict(list)
    for record in run_records:
        made_of = record["made_of"]
        if made_of["sources"] != publish.present_sources(made_of["plugin"]):
            name = made_of["run"]["variant"] if each_variant else made_of["plugin"]
            key = name, records.digest_of(made_of["sources"]), record["device"]
            groups[key].append(record)
    return [(name, group) for (name, *_), group in groups.items()]


def _changed_defaults(group: list[dict]) -> list[str]:
    """Return the lines on attested runs that the workflow runs again because a default has changed.

    Only a variant with the name of its method is known to override no parameter.
    """
    lines = {}
    for record in group:
        made_of = record["made_of"]
        plugin = made_of["plugin"]
        if made_of["run"]["variant"] != plugin:
            continue
        present = json.loads(json.dumps(variant_of_text("methods", plugin, None).params))
        problem = identity.difference(made_of["params"], present)
        if problem:
            lines[f"default changed ({problem}): the workflow runs {plugin} again"] = None

    return list(lines)


def _append(record: dict, proof: Proof) -> None:
    """State in a record that the present sources give its codes."""
    made_of = record["made_of"]
    before, now = made_of["sources"], proof.sources
    paths = sorted(before.keys() | now.keys())
    entry = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": provenance.commit(),
        "dirty": False,
        "processor": provenance.processor(),
        "run": proof.run,
        "codes_sha256": proof.codes_sha256,
        "replaces": {path: before.get(path) for path in paths if before.get(path) != now.get(path)},
    }
    made_of["sources"] = now
    # A parameter that is new since has its default here, as in the run that was recomputed.
    added = {name: value for name, value in proof.params.items() if name not in made_of["params"]}
    made_of["params"] = made_of["params"] | added
    record["attested"] = [*record.get("attested", []), entry]


# ------------------------------------------------------------------------------- proofs


def _proof(group: list[dict], folder_records: Records, proofs: dict[str, Proof]) -> Proof:
    """Recompute the cheapest run of a group. Raise BenchmarkError if its codes are not equal."""
    _check_parameters(group)
    record = min(_repeatable(group), key=_seconds)
    run, key = Run(**record["made_of"]["run"]), _key(record)
    if key in proofs:
        return proofs[key]

    variant = repetition.variant_of(record)
    _check_prepared(run, variant, folder_records)
    data = data_folder()
    digests = records.place_digests(run.place, *records.consumed_arrays(variant))
    present = records.of_run(run, variant, digests, data)
    problem = identity.difference(
        _without_sources(record["made_of"] | {"params": present["params"]}),
        _without_sources(present),
    )
    if problem:
        raise BenchmarkError(
            f"the cache is not that of {run.name}: {problem}. "
            "Prepare it as it was, or measure the runs again"
        )

    shown = f"{folder_records.folder}: {run.name}"
    _print(f"{shown}: recomputing, {duration(_seconds(record))} before")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bgan-bench-") as temporary:
        recomputed = repetition.repeat(run, variant, Path(temporary, "run"))
    if recomputed["made_of"] != present or recomputed["commit"] != provenance.commit():
        raise BenchmarkError("the checkout or the cache changed meanwhile: rerun the command")
    if recomputed["codes_sha256"] != record["codes_sha256"]:
        raise BenchmarkError(
            f"{run.name}: found codes {recomputed['codes_sha256'][:12]}, expected "
            f"{record['codes_sha256'][:12]}: the results of the method have changed. "
            "Measure its runs again"
        )

    _print(f"{shown}: equal codes, {duration(time.monotonic() - started)} now")
    params = present["params"]
    proofs[key] = Proof(run.name, present["sources"], recomputed["codes_sha256"], params)
    return proofs[key]


def _key(record: dict) -> str:
    """Return the key of a proof: a digest of the codes and the inputs of a run."""
    return records.digest_of([record["codes_sha256"], record["made_of"]])


def _without_sources(made_of: dict) -> dict:
    return {key: value for key, value in made_of.items() if key != "sources"}


def _seconds(record: dict) -> float:
    return record.get("fit_seconds", 0) + record.get("encode_seconds", 0)


def _check_parameters(group: list[dict]) -> None:
    """Raise BenchmarkError if a run has a parameter that its method no longer has."""
    for record in group:
        try:
            repetition.variant_of(record)
        except BenchmarkError as error:
            raise BenchmarkError(f"{Run(**record['made_of']['run']).name}: {error}") from None


def _repeatable(group: list[dict]) -> list[dict]:
    """Return the runs whose codes repeat on this processor. Raise BenchmarkError if none does."""
    device = group[0]["device"]
    if device != "cpu":
        raise BenchmarkError(
            f"the runs were made on {device}, where codes do not repeat bit for bit: expected the "
            "device cpu. Measure them again"
        )
    if not _has_networks(group[0]["made_of"]["plugin"]):
        return group

    processor = provenance.processor()
    same = [record for record in group if record["machine"]["processor"] == processor]
    if not same:
        raise BenchmarkError(
            "codes of networks differ between kinds of processors: found "
            f"{processor}, expected {group[0]['machine']['processor']}. "
            "Attest the runs there, or measure them again"
        )

    return same


def _has_networks(plugin: str) -> bool:
    """Return whether a method, or a source of it, imports torch."""
    files = identity.sources("methods", plugin)
    modules = {module for path in files for module in plugins.imported_modules(path)}
    return any(module.partition(".")[0] == "torch" for module in modules)


def _check_prepared(run: Run, variant: Variant, folder_records: Records) -> None:
    """Raise BenchmarkError, with the command to run, if the cache lacks what a run reads."""
    needed = repetition.needed_records(run.place, variant)
    missing = [path.as_posix() for path in needed if not path.is_file()]
    if missing:
        raise BenchmarkError(
            f"{missing[0]} is missing: "
            f"prepare it with `{folder_records.targets_command()} {' '.join(missing)}`"
        )
