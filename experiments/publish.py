"""results/published/: measured tables with the record of every run, and whether they are current.

Each folder has `runs.jsonl.gz` (every run.json, one per line), `runs.csv` (in the same order),
`average_precision.npz` (of every query of every run, so that a method can be tested against others
without training them), `metrics.csv.gz` (all metrics but curves, from which the tables are written
again when runs are added), `experiment.json`, and tables and figures of the report.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from evaluation import METRIC_VERSION
from experiments import collected, statistics, tables
from harness import identity, plugins, records, schemas, storage
from harness.errors import BenchmarkError
from harness.plan import PUBLISHED, Place, Run, Score

RUNS, EXPERIMENT, TABLE = "runs.jsonl.gz", "experiment.json", "runs.csv"
QUERIES, METRICS = "average_precision.npz", "metrics.csv.gz"
RERUN = "Rerun the command of the experiment"
T = TypeVar("T")
# Keys of experiment.json whose values are lists or dictionaries that a joined folder unites.
LISTS = ("bits", "seeds", "timed", "configfiles", "grid", "omitted")
NAMED_LISTS = ("methods", "controls")
DICTIONARIES = ("trials", "tried", "datasets", "features", "queries_left_out")


@dataclass
class Contents:
    """The runs of a published folder.

    Parameters
    ----------
    runs : dict of str to tuple
        Row of runs.csv and record of each run, by its name `DATASET/FEATURES/VARIANT/8bit/seed0`.
    queries : dict of str to ndarray
        Average precision of each query, float32 (Q,), by the name of the run; the indices of these
        images, int64 (Q,), by `DATASET/FEATURES/query`. A control has the name
        `DATASET/FEATURES/CONTROL/0bit/seed0`.
    metrics : dict of str to list of tuple
        Metric, cut and value, as in metrics.csv, by the same names. Curves are left out. Empty if
        the folder was published without them.
    experiment : dict
    """

    runs: dict[str, tuple[dict, dict]]
    queries: dict[str, np.ndarray]
    metrics: dict[str, list[tuple[str, str, str]]]
    experiment: dict

    def cells(self) -> dict[str, list[str]]:
        """Return the names of runs by cell: those that differ in the seed alone."""
        cells = defaultdict(list)
        for name in self.runs:
            cells[name.rpartition("/")[0]].append(name)
        return dict(cells)


def publish(results: Path, name: str, shown: list[str]) -> Path:
    """Write a published folder of a finished experiment; an existing folder is replaced.

    Parameters
    ----------
    results : Path
        Folder of what `collect` and `report` wrote.
    name : str
        Name of the folder below `PUBLISHED`.
    shown : list of str
        Tables and figures of the report, for example ``map.tex`` and ``overview.svg``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    BenchmarkError
        For a run that is not done, for a record, score, table or report that is not current, for
        runs of a checkout with uncommitted changes, and for a table or figure that is missing.
    """
    if not shown:
        raise BenchmarkError(
            "publish: no table is named: expected names of the report, as map.tex overview.svg"
        )

    rows = _rows(results / TABLE)
    for row in rows:
        if row["status"] != "done":
            raise BenchmarkError(
                f"{row['folder']} is {row['status']}: expected results with all runs done. "
                "Finish it, or join the complete cells to a published folder with --add"
            )

    contents = _current(results, rows)
    files = _report_files(results, shown)
    with storage.new_folder(PUBLISHED / name) as folder:
        _write(folder, contents, files)

    return PUBLISHED / name


def add(
    results: Path, name: str, shown: list[str], render: Callable[[Path, Path], None]
) -> list[str]:
    """Join the complete cells of an experiment to a published folder, and write its tables again.

    A cell is a variant at one code length on one data set and its features. It is complete if all
    its seeds are done. Runs that are equal to published ones change nothing. If a run differs from
    the published one, its whole cell is replaced, or not joined if a published seed is missing.

    Parameters
    ----------
    results, name, shown
        As of `publish`. These tables and figures, and those of the folder, are written from the
        joined runs. Times are not joined: a table of times stays as it is.
    render : callable
        Writes the folders `tables` and `figures` of a report into its second argument, from the
        collected tables in its first one.

    Returns
    -------
    list of str
        What was joined, in lines to print.

    Raises
    ------
    BenchmarkError
        As `publish`, except for runs that are not done; and for a folder that was published with
        other metrics, queries, labels or features.
    """
    target = PUBLISHED / name
    old = contents_of(target)
    if not old.metrics:
        raise BenchmarkError(
            f"{target / METRICS} is missing, and the tables cannot be written without it. Publish "
            "all runs again without --add"
        )

    rows = _rows(results / TABLE)
    unfinished = {_cell(row) for row in rows if row["status"] != "done"}
    new = _current(results, [row for row in rows if _cell(row) not in unfinished])

    joined, lines = _joined(old, new)
    _check_comparable(old, new, joined, target)
    with tempfile.TemporaryDirectory() as root, storage.new_folder(target) as folder:
        collected.write(Path(root), joined)
        render(Path(root), Path(root, "report"))
        files = _files(Path(root, "report"), shown)
        for path in target.iterdir():
            shutil.copyfile(path, folder / path.name)
            written = _path(Path(root, "report"), path.name)
            files += [written] if written.is_file() else []
        _write(folder, joined, files)

    return [f"{target}: {line}" for line in lines]


def _rows(path: Path) -> list[dict]:
    columns = (*schemas.RUN_KEY, "status", "folder", "codes_sha256")
    return tables.read(path, columns)


def _cell(row: dict) -> str:
    return "/".join([row["dataset"], row["features"], row["variant"], f"{row['bits']}bit"])


def _run(row: dict) -> Run:
    key = row["dataset"], row["features"], row["variant"], int(row["bits"]), int(row["seed"])
    return Run(*key)


# ------------------------------------------------------------------- what is published


def _current(results: Path, rows: list[dict]) -> Contents:
    """Return the runs of these rows. Raise BenchmarkError for one that is not current."""
    experiment = records.read(results / EXPERIMENT)
    if (version := experiment.get("metric_version")) != METRIC_VERSION:
        raise BenchmarkError(
            f"{results / EXPERIMENT}: found version {version} of the metrics, "
            f"expected {METRIC_VERSION}. {RERUN}"
        )
    for name in (TABLE, "metrics.csv"):
        if experiment.get("sha256", {}).get(name) != storage.digest(results / name):
            raise BenchmarkError(
                f"{results / name} is not the table that {EXPERIMENT} describes. {RERUN}"
            )

    runs, scored = {}, defaultdict(list)
    for row in rows:
        run = _run(row)
        runs[run.name] = row, _current_record(run, row)
        scored[Score(results, run.dataset, run.features, run.variant)].append(run)

    queries = {}
    for score, group in scored.items():
        codes = {run: runs[run.name][1]["codes_sha256"] for run in group}
        queries |= _average_precision(score, codes)

    queries |= _controls(experiment, scored)
    return Contents(runs, queries, _metrics(results / "metrics.csv", runs), experiment)


def _metrics(path: Path, runs: Collection[str]) -> dict[str, list[tuple[str, str, str]]]:
    """Return the metrics of these runs and of controls, without curves."""
    metrics = defaultdict(list)
    for row in tables.read(path, schemas.METRICS_CSV):
        key = [row[column] for column in schemas.RUN_KEY]
        name = Run(*key).name
        is_shown = name in runs or collected.is_of_control(name)
        if is_shown and not row["metric"].startswith(schemas.CURVES):
            metrics[name].append((row["metric"], row["k"], row["value"]))
    return dict(metrics)


def _current_record(run: Run, row: dict) -> dict:
    """Return the record of a run that the tables show, if the present sources would make it."""
    record = records.read(run.record)
    if record["dirty"]:
        raise BenchmarkError(
            f"{run.folder} was made with uncommitted changes: commit them, delete the folder and "
            "rerun the command of the experiment"
        )
    if record["codes_sha256"] != row["codes_sha256"]:
        raise BenchmarkError(f"{run.folder} has changed since the tables were collected. {RERUN}")

    made_of = record["made_of"]
    present = {"sources": present_sources(made_of["plugin"])} | _present_inputs(run, made_of)
    recorded = {name: made_of.get(name) for name in present}
    if problem := identity.difference(recorded, present):
        raise BenchmarkError(f"{run.folder} is out of date: {problem}. {RERUN}")

    return record


def _present_inputs(run: Run, made_of: dict) -> dict[str, str]:
    """Return the digests of the arrays that a result was made of, of those that are prepared."""
    place = run.place
    prepared = {
        name: digest
        for name, digest in _dataset_digests(place).items()
        if name in made_of and digest is not None
    }
    records_of_arrays = {
        "features": place.features_record,
        "neighbours": place.neighbours_record,
        "views": place.views_record,
    }
    for name, path in records_of_arrays.items():
        if name in made_of and path.is_file():
            prepared[name] = records.read(path)["sha256"]

    return prepared


def _dataset_digests(place: Place) -> dict[str, str]:
    if not place.dataset_record.is_file():
        return {}
    return records.dataset_digests(records.read(place.dataset_record))


def _average_precision(score: Score, codes: dict[Run, str]) -> dict[str, np.ndarray]:
    """Return the arrays of `Contents.queries` for runs that one job scored."""
    record = records.read(score.record)
    made_of = record["made_of"]
    sources = {"sources": records.source_digests("experiments", "scoring")}
    present = sources | _present_inputs(next(iter(codes)), made_of)
    if problem := identity.difference({name: made_of.get(name) for name in present}, present):
        raise BenchmarkError(f"{score.folder} is out of date: {problem}. {RERUN}")
    _check_histograms(score, record)
    arrays = {}
    for (bits, seed), queries, values in statistics.read(score.histograms):
        run = Run(score.dataset, score.features, score.variant, bits, seed)
        if run not in codes:
            continue
        if made_of["codes"].get(schemas.run_part(bits, seed)) != codes[run]:
            raise BenchmarkError(f"{score.folder} has scores of other codes of {run.name}. {RERUN}")
        arrays[schemas.published_queries(score.dataset, score.features)] = queries
        arrays[run.name] = values.astype(np.float32)

    missing = [run.name for run in codes if run.name not in arrays]
    if missing:
        raise BenchmarkError(f"{score.histograms} has no scores of {missing[0]}. {RERUN}")

    return arrays


def _controls(experiment: dict, scored: Collection[Score]) -> dict[str, np.ndarray]:
    """Return the average precision of the controls beside these scores."""
    names = [control["name"] for control in experiment["controls"]]
    scores = dict.fromkeys(replace(score, variant=name) for score in scored for name in names)
    arrays = {}
    for score in (score for score in scores if score.record.is_file()):
        _check_histograms(score, records.read(score.record))
        for (bits, seed), _, values in statistics.read(score.histograms):
            run = Run(score.dataset, score.features, score.variant, bits, seed)
            arrays[run.name] = values.astype(np.float32)

    return arrays


def _check_histograms(score: Score, record: dict) -> None:
    if storage.digest(score.histograms) != record["sha256"][score.histograms.name]:
        raise BenchmarkError(f"{score.histograms} was changed after it was written. {RERUN}")


def _report_files(results: Path, shown: list[str]) -> list[Path]:
    """Return the paths of tables and figures of a report of these results."""
    if not shown:
        return []

    report = results / "report"
    read = records.read(report / "report.json")["made_of"]["records"]
    if read.get(EXPERIMENT) != storage.digest(results / EXPERIMENT):
        raise BenchmarkError(f"{report} shows other results than {results / TABLE}. {RERUN}")

    return _files(report, shown)


def _files(report: Path, shown: list[str]) -> list[Path]:
    """Return the paths of tables and figures. Raise BenchmarkError for one that is missing."""
    for path in (paths := [_path(report, name) for name in shown]):
        if not path.is_file():
            folder = path.parent
            present = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
            raise BenchmarkError(
                f"{path} is missing: expected one of {', '.join(present) or 'none'}"
            )
    return paths


def _path(report: Path, name: str) -> Path:
    return report / ("tables" if name.endswith((".tex", ".csv")) else "figures") / name


# ------------------------------------------------------------------------------ joining


def _joined(old: Contents, new: Contents) -> tuple[Contents, list[str]]:
    """Return the union of a published folder and new cells, and lines on what was joined."""
    cells, lines, counts = old.cells(), [], Counter()
    taken: set[str] = set()  # names of the runs that come from the new results
    for cell, names in new.cells().items():
        published = cells.get(cell, [])
        common = [name for name in published if name in names]
        absent = [name for name in published if name not in names]
        differs = any(not _equal(old, new, name) for name in common)
        if differs and absent:
            lines.append(f"{cell} is not joined: {absent[0]} is missing from the results")
            continue

        added = [name for name in names if name not in published]
        taken |= set(names if differs else added)
        cells[cell] = names if differs else published + added
        counts["added"] += len(added)
        counts["replaced" if differs else "equal"] += len(common)

    order = [name for names in cells.values() for name in names]
    source = {name: new if name in taken else old for name in order}
    pairs = sorted({f"{name.rsplit('/', 3)[0]}/query" for name in order})
    queries = {name: {**new.queries, **old.queries}[name] for name in pairs}
    controls = _of_controls(old.queries) | _of_controls(new.queries)
    joined = Contents(
        {name: source[name].runs[name] for name in order},
        queries | {name: source[name].queries[name] for name in order} | controls,
        _joined_metrics(old, new, source),
        _united(old.experiment, new.experiment, taken) if taken else old.experiment,
    )
    summary = ", ".join(f"{counts[kind]} {kind}" for kind in ("added", "replaced", "equal"))
    return joined, [f"{len(order)} runs: {summary}", *lines]


def _joined_metrics(
    old: Contents, new: Contents, source: dict[str, Contents]
) -> dict[str, list[tuple[str, str, str]]]:
    """Return the metrics of the joined runs, then those of all controls."""
    runs = {name: contents.metrics[name] for name, contents in source.items()}
    return runs | _of_controls(old.metrics) | _of_controls(new.metrics)


def _of_controls(values: dict[str, T]) -> dict[str, T]:
    return {name: value for name, value in values.items() if collected.is_of_control(name)}


def _equal(old: Contents, new: Contents, name: str) -> bool:
    """Return whether a run was made of the same, with the same codes."""
    before, now = old.runs[name][1], new.runs[name][1]
    same_codes = before["codes_sha256"] == now["codes_sha256"]
    return same_codes and not identity.difference(before["made_of"], now["made_of"])


def _united(old: dict, new: dict, taken: set[str]) -> dict:
    """Return the experiment.json of a folder after joining runs, which it lists.

    The digests of the collected tables are removed, since no job wrote the joined ones.
    """
    now = _restricted(new, taken)
    united = {key: value for key, value in old.items() if key not in ("made_of", "sha256")}
    for key in LISTS:
        present = united.get(key) or []
        united[key] = present + [item for item in now.get(key) or [] if item not in present]

    for key in NAMED_LISTS:
        entries = {entry["name"]: entry for entry in [*united.get(key, []), *now.get(key, [])]}
        united[key] = list(entries.values())

    for key in DICTIONARIES:
        united[key] = (united.get(key) or {}) | (now.get(key) or {})

    united["bits"], united["seeds"] = sorted(united["bits"]), sorted(united["seeds"])
    facts = {key: new.get(key) for key in ("name", "date", "commit", "configfiles")}
    united["joined"] = [*old.get("joined", []), facts | {"runs": len(taken)}]
    return united


def _restricted(experiment: dict, taken: set[str]) -> dict:
    """Return experiment.json with the data sets, methods, code lengths and seeds of these runs."""
    datasets, pairs, methods, lengths, seeds = set(), set(), set(), set(), set()
    for name in taken:
        dataset, features, variant, length, seed = name.split("/")  # length: 8bit, seed: seed0
        datasets.add(dataset)
        pairs.add(f"{dataset}/{features}")
        methods.add(variant)
        lengths.add(length)
        seeds.add(seed)

    omitted = experiment.get("omitted", [])
    lists = {
        "bits": [bits for bits in experiment["bits"] if f"{bits}bit" in lengths],
        "seeds": [seed for seed in experiment["seeds"] if f"seed{seed}" in seeds],
        "methods": [method for method in experiment["methods"] if method["name"] in methods],
        "grid": [names for names in experiment.get("grid", []) if "/".join(names) in pairs],
        "omitted": [item for item in omitted if f"{item['dataset']}/{item['features']}" in pairs],
    }
    described = {}
    for key, names in (("datasets", datasets), ("features", pairs), ("queries_left_out", pairs)):
        entries = experiment.get(key) or {}
        described[key] = {name: entries[name] for name in entries if name in names}

    return experiment | lists | described


def _check_comparable(old: Contents, new: Contents, joined: Contents, folder: Path) -> None:
    """Raise BenchmarkError if a table of these runs would mix queries, labels or features."""
    inputs = defaultdict(set)
    for _, record in joined.runs.values():
        made_of = record["made_of"]
        dataset, features = made_of["run"]["dataset"], made_of["run"]["features"]
        inputs[f"{dataset}: split"].add(made_of["split"])
        if "features" in made_of:
            inputs[f"{dataset}/{features}: features"].add(made_of["features"])

    for what, digests in inputs.items():
        if len(digests) > 1:
            raise _incomparable(folder, what)

    published = old.experiment["datasets"]
    for name, described in new.experiment["datasets"].items():
        digests = [known.get("sha256", {}) for known in (described, published.get(name, {}))]
        labels = {known["labels.npy"] for known in digests if "labels.npy" in known}
        if len(labels) > 1:
            raise _incomparable(folder, f"{name}: labels")

    for name in old.queries.keys() & new.queries.keys():
        if name.endswith("/query") and not np.array_equal(old.queries[name], new.queries[name]):
            raise _incomparable(folder, name.replace("/query", ": queries"))


def _incomparable(folder: Path, what: str) -> BenchmarkError:
    return BenchmarkError(
        f"{folder}: {what} of the results differ from the published ones: expected equal ones in "
        "one table. Publish all runs under another name, without --add"
    )


def _write(folder: Path, contents: Contents, files: list[Path]) -> None:
    """Write contents into a folder, and copy tables and figures."""
    rows = [row for row, _ in contents.runs.values()]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    tables.write_rows(folder / TABLE, columns, rows)
    write_records(folder / RUNS, [record for _, record in contents.runs.values()])
    np.savez_compressed(folder / QUERIES, **contents.queries)
    metrics = {name: contents.metrics[name] for name in contents.runs}
    metrics |= _of_controls(contents.metrics)
    text = tables.text_of(schemas.METRICS_CSV, collected.metrics_rows(metrics))
    (folder / METRICS).write_bytes(gzip.compress(text.encode(), mtime=0))
    storage.write_json(folder / EXPERIMENT, contents.experiment)
    for path in files:
        shutil.copyfile(path, folder / path.name)


def write_records(path: Path, run_records: list[dict]) -> None:
    """Write records, one JSON text per line; equal records give equal bytes."""
    lines = [json.dumps(record, sort_keys=True) + "\n" for record in run_records]
    path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


# ------------------------------------------------------------------------------ reading


def contents_of(folder: Path) -> Contents:
    """Return the contents of a published folder.

    Raises
    ------
    BenchmarkError
        For another folder, and for one that was published with other metrics or without the
        average precision of its queries.
    """
    if not (folder / RUNS).is_file():
        names = ", ".join(path.name for path in folders())
        raise BenchmarkError(
            f"{folder} is not a published folder: expected one of {names or 'none'}. "
            "Publish it first, without --add"
        )

    experiment = storage.read_json(folder / EXPERIMENT)
    version = experiment.get("metric_version")
    if version != METRIC_VERSION or not (folder / QUERIES).is_file():
        raise BenchmarkError(
            f"{folder} has version {version} of the metrics and "
            f"{'a' if (folder / QUERIES).is_file() else 'no'} file {QUERIES}: expected version "
            f"{METRIC_VERSION} and the file. Publish the folder again without --add"
        )

    rows = _rows(folder / TABLE)
    pairs = zip(rows, records_of(folder), strict=True)
    runs = {_run(row).name: (row, record) for row, record in pairs}
    with np.load(folder / QUERIES, allow_pickle=False) as stored:
        queries = {name: stored[name] for name in stored.files}

    path = folder / METRICS
    metrics = _metrics(path, runs) if path.is_file() else {}
    return Contents(runs, queries, metrics, experiment)


def folders() -> list[Path]:
    """Return the published folders, sorted."""
    if not PUBLISHED.is_dir():
        return []
    return sorted(path for path in PUBLISHED.iterdir() if path.is_dir())


def records_of(folder: Path) -> list[dict]:
    """Return the record of each run of a published folder, in the order of its runs.csv.

    Raises
    ------
    BenchmarkError
        If the file is damaged, or a record has another format.
    """
    path = folder / RUNS
    try:
        run_records = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    except (OSError, EOFError, ValueError) as error:
        raise BenchmarkError(f"{path} cannot be read ({error}): restore it with git") from None

    for record in run_records:
        if record.get("format") != records.FORMAT:
            raise BenchmarkError(
                f"{path}: found format {record.get('format', 1)}, expected {records.FORMAT}: "
                "publish the folder again"
            )
        if not records.is_run(record):
            raise BenchmarkError(
                f"{path}: a line is not the record of a run: restore the file with git"
            )

    return run_records


def outdated(folder: Path) -> list[str]:
    """Return why the present code might not reproduce a published folder; empty if it would.

    The reasons are sources whose meaning differs from the recorded one, with how many runs have
    them, and the version of the metrics.
    """
    run_records, counts = records_of(folder), Counter()
    for record in run_records:
        recorded = record["made_of"]["sources"]
        present = present_sources(record["made_of"]["plugin"])
        for path in recorded.keys() | present.keys():
            recorded_path, present_path = {path: recorded.get(path)}, {path: present.get(path)}
            phrase = identity.difference({"sources": recorded_path}, {"sources": present_path})
            counts.update([phrase] if phrase else [])

    reasons = [
        f"{phrase}: {count} of {len(run_records)} runs" for phrase, count in sorted(counts.items())
    ]
    version = storage.read_json(folder / EXPERIMENT)["metric_version"]
    if version != METRIC_VERSION:
        reasons.append(f"the metrics were of version {version}, now {METRIC_VERSION}")

    return reasons


def present_sources(plugin: str) -> dict[str, str]:
    """Return the digests of the present sources of a method; none if it was removed."""
    return records.source_digests("methods", plugin) if plugin in plugins.names("methods") else {}
