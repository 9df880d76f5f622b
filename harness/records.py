"""The records of results: what each result is made of, in the JSON file beside it.

Every record has `format` and `made_of`, the facts that decide the result and nothing else. Planning
computes the same facts from the present sources, parameters and inputs, and compares them: see
`harness.stale`. Standard library only.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import identity, plugins, provenance, storage
from harness.errors import BenchmarkError
from harness.plan import Place, Plan, Run, fields_of
from harness.user_data import content_digests, read_paths
from harness.variants import Variant

FORMAT = 2  # of the records and of the files that they describe
ARRAYS = ("features", *plugins.TRAINING_ARRAYS)  # that a method may read, each with a record


def write(path: Path, made_of: dict, **facts: object) -> None:
    """Write a record: its format, the inputs of the result, date, machine and other facts."""
    storage.write_json(path, provenance.record(format=FORMAT, made_of=made_of, **facts))


def read(path: Path) -> dict:
    """Return a record.

    Raises
    ------
    BenchmarkError
        If the file is missing, damaged, or of another format.
    """
    return checked_format(storage.read_json(path), path)


def is_run(record: dict) -> bool:
    """Return whether a record has the facts that every record of a run has, each of its type."""
    made_of, machine = record.get("made_of"), record.get("machine")
    if not isinstance(made_of, dict) or not isinstance(machine, dict):
        return False

    kinds = {"sources": dict, "plugin": str, "params": dict, "run": dict}
    seconds = (record.get(name, 0) for name in ("fit_seconds", "encode_seconds"))
    return (
        all(isinstance(made_of.get(name), kind) for name, kind in kinds.items())
        and isinstance(machine.get("processor"), str)
        and all(isinstance(record.get(name), str) for name in ("codes_sha256", "device"))
        and all(isinstance(value, (int, float)) for value in seconds)
    )


class FormatError(BenchmarkError):
    """A record that another version of the project wrote."""


def checked_format(record: dict, path: Path) -> dict:
    """Return the record. Raises FormatError if this version writes another format."""
    record_format = record.get("format", 1)
    if record_format != FORMAT:
        other = "an earlier" if record_format == 1 else "another"
        raise FormatError(
            f"{path} has format {record_format}, expected {FORMAT}: {other} version of "
            "bgan-bench wrote it. Move results and cache to another folder, and rerun the command"
        )
    return record


@functools.cache
def source_digests(stage: str, name: str) -> dict[str, str]:
    """Return the digests of the meaning of the sources that decide a plugin's or job's result."""
    return identity.digests(identity.sources(stage, name))


def check_sources(stage: str, name: str) -> None:
    """Raise BenchmarkError if a source changed since `source_digests` read it in this process.

    A job calls it once its sources are imported. Its record would otherwise describe the earlier
    text, although the later one was imported.
    """
    if source_digests(stage, name) != identity.digests(identity.sources(stage, name)):
        raise BenchmarkError(
            f"a source of {stage}/{name}.py changed while the job started: rerun the command"
        )


@functools.cache
def report_digests() -> dict[str, str]:
    """Return the digests of everything that decides the report: sources, templates, data."""
    files = [path for path in (plugins.ROOT / "report").rglob("*") if path.is_file()]
    return identity.digests(path for path in files if path.suffix != ".pyc")


def dataset_digests(record: dict) -> dict[str, str]:
    """Return the digests of the arrays of a data set: `images`, `labels`, `names` and `split`."""
    files = record["sha256"]
    return {
        "images": files["images.npy"],
        "labels": files["labels.npy"],
        "names": files["names.json"],
        "split": record["split_sha256"],
    }


def place_digests(place: Place, *arrays: str) -> dict[str, str]:
    """Return the digests of the arrays of a place, from their records.

    Parameters
    ----------
    place : Place
    *arrays : {"features", "neighbours", "views"}
        The arrays whose records are read, besides those of the data set.
    """
    paths = {
        "features": place.features_record,
        "neighbours": place.neighbours_record,
        "views": place.views_record,
    }
    digests = dataset_digests(read(place.dataset_record))
    return digests | {name: read(paths[name])["sha256"] for name in arrays}


def consumed_arrays(variant: Variant) -> list[str]:
    """Return the names of the arrays that decide the codes of a method, without the data set's."""
    return [name for name in ARRAYS if name in variant.consumes]


def of_dataset(variant: Variant, data: Path) -> dict:
    """Return what a prepared data set is made of."""
    return _of_plugin(variant) | {
        "dataset": variant.name,
        "validation": variant.validation,
        "files": content_digests(data, read_paths(variant)),
    }


def of_features(variant: Variant, digests: dict[str, str], data: Path) -> dict:
    """Return what features are made of. digests: of the arrays of their place."""
    return _of_plugin(variant) | {
        "images": digests.get("images"),
        "names": digests.get("names"),
        "files": content_digests(data, read_paths(variant)),
    }


def of_neighbours(metric: str, digests: dict[str, str]) -> dict:
    """Return what the neighbour lists of the training images are made of."""
    return {
        "sources": source_digests("features", "_neighbours"),
        "metric": metric,
        "split": digests.get("split"),
        "features": digests.get("features"),
    }


def of_views(variant: Variant, digests: dict[str, str], data: Path) -> dict:
    """Return what the views of the training images are made of. digests: of their place."""
    facts = of_features(variant, digests, data)
    return facts | {
        "sources": facts["sources"] | source_digests("features", "_views"),
        "augmentation": variant.plugin.member("augmentation"),
        "split": digests.get("split"),
    }


def of_run(run: Run, variant: Variant, digests: dict[str, str], data: Path) -> dict:
    """Return what decides the codes of a run: the arrays that its method consumes, no labels."""
    consumed = [name for name in ("images", *ARRAYS) if name in variant.consumes]
    arrays = {name: digests.get(name) for name in ("split", *consumed)}
    facts: dict = {
        "run": fields_of(run),
        **arrays,
        "files": content_digests(data, read_paths(variant, run.bits, run.seed)),
    }
    if variant.fitted_on:  # the module that makes rows of views is no source of the method
        facts["fitted_on"] = source_digests("methods", "_pool")
    return _of_plugin(variant) | facts


def of_scores(
    codes: dict[str, str], dataset: str, digests: dict[str, str], optional: Mapping
) -> dict:
    """Return what the scores of a variant are made of.

    Parameters
    ----------
    codes : dict of str to str
        Digest of the codes of each run, by `12bit/seed0`; empty for a control.
    dataset : str
        Plugin of the data set, by which some presets choose their cut.
    digests : dict of str to str
        Of the arrays of the place.
    optional : mapping
        Facts that most scores do not have: of `of_rankings`, or `bits`, the code lengths of a
        control that has a value for each. Empty ones are left out.
    """
    return {
        "sources": source_digests("experiments", "scoring"),
        "dataset": dataset,
        "labels": digests.get("labels"),
        "split": digests.get("split"),
        "features": digests.get("features"),
        **({"codes": codes} if codes else {}),
        **{name: fact for name, fact in optional.items() if fact},
    }


def of_rankings(rankings: Sequence[str], runs: Mapping[str, dict]) -> dict:
    """Return what the rankings of a method besides that by Hamming distance are made of.

    Parameters
    ----------
    rankings : sequence of str
        Of `schemas.RANKINGS`.
    runs : mapping of str to dict
        Record of each run, by `12bit/seed0`.
    """
    values = {}
    if "asymmetric" in rankings:
        for part, record in runs.items():
            if "query_values_sha256" in record:
                values[part] = record["query_values_sha256"]

    return {"rankings": sorted(rankings), "query_values": values}


def of_tables(plan: Plan, records: dict[str, str]) -> dict:
    """Return what decides collected tables. records: digest of each record that they need."""
    return {
        "sources": source_digests("experiments", "collect"),
        "plan": plan.digest,
        "records": digest_of(records),
    }


def of_timing(plan: Plan, runs: dict[str, str]) -> dict:
    """Return what measured times are of. runs: digest of what each timed run is made of."""
    extractors = {variant.plugin.name for variant in plan.features.values()}
    return {
        "sources": source_digests("experiments", "timing"),
        "extractors": {name: digest_of(source_digests("features", name)) for name in extractors},
        "timed": list(plan.timed),
        "controls": list(plan.controls),
        "runs": runs,
    }


def of_report(read: dict[str, str]) -> dict:
    """Return what a report is made of. read: digest of each record that it is read from."""
    return {"sources": report_digests(), "records": read}


def digest_of(facts: object) -> str:
    """Return the SHA-256 of facts as canonical JSON."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _of_plugin(variant: Variant) -> dict:
    params = json.loads(json.dumps(variant.params))  # tuples become lists, as in a record
    return {
        "sources": source_digests(variant.stage, variant.plugin.name),
        "plugin": variant.plugin.name,
        "params": params,
    }
