"""The leaderboard: published runs as rankings, one for each facet.

A facet is a data set with its protocol, features, a code length, a kind of encoder and a kind of
settings. Nothing is averaged over facets: they vote. Queries and seeds are samples, so a rank is an
interval, and a difference is tested with a correction for all pairs of rows of its ranking.
"""

from __future__ import annotations

import csv
import functools
import gzip
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from harness import plugins
from harness.errors import BenchmarkError
from harness.families import LEVEL, holm
from harness.plain_text import plain_values
from harness.variants import QUANTISERS
from report.tables import published_values

PUBLISHED = Path("results/published")
VARIANTS = Path("config/variants.yaml")
DRAWS = 20_000
DRAWS_PER_PAIR = 30  # so that a p value can be small enough after a correction for all pairs
BLOCK = 2000  # draws at a time
POOLED_SEEDS = 5  # from here, the pooled freedom is used: as in evaluation.significance
SEED = 0
CHANCE = "chance"  # the plugin of the control
TUNED, DEFAULT, RELEASED, FIXED = "tuned", "default", "released", "fixed"
FROZEN, VIEWS, TRAINED, ANY = "frozen", "views", "trained", "any"
# The kinds of rows of each ranking, and those without which it would be another ranking.
ENCODERS = {
    FROZEN: ((FROZEN,), {FROZEN}),
    VIEWS: ((FROZEN, VIEWS), {FROZEN, VIEWS}),
    TRAINED: ((TRAINED,), {TRAINED}),
    ANY: ((FROZEN, VIEWS, TRAINED), {FROZEN, TRAINED}),
}

CellKey = tuple[str, str, str, int]  # data set, features, variant and bits


@dataclass
class Cell:
    """One variant at one code length on one data set and its features.

    Parameters
    ----------
    key : tuple
        Data set, features, variant and bits.
    method : dict
        The entry of the variant in experiment.json.
    folder : str
        Name of the published folder.
    runs : list of dict
        Row of runs.csv and record of each seed, as ``{"row": ..., "record": ...}``.
    average_precision : ndarray of float64, shape (S, Q)
    """

    key: CellKey
    method: dict
    folder: str
    runs: list[dict]
    average_precision: np.ndarray
    variance: float = field(init=False)
    freedom: float = field(init=False)

    def __post_init__(self) -> None:
        seeds = len(self.runs)
        of_seeds = self.average_precision.mean(axis=1)
        self.variance = float(of_seeds.var(ddof=1)) if seeds > 1 else 0.0
        self.freedom = max(seeds - 1.0, 1.0)

    @property
    def of_queries(self) -> np.ndarray:
        return self.average_precision.mean(axis=0)

    @property
    def tested(self) -> bool:
        """Whether the variance over seeds is known: several seeds, or no randomness."""
        return len(self.runs) > 1 or not self.method.get("stochastic", True)


@dataclass(frozen=True)
class Standing:
    """The position of a row in one ranking.

    Parameters
    ----------
    rank : int
        By the mean.
    low, high : int
        Ends of the interval of the rank: all positions that significant differences leave open.
        With 95 % confidence, all intervals of a ranking contain the true ranks. No row is
        significantly above one whose interval contains 1.
    """

    rank: int
    low: int
    high: int


def build(folder: Path = PUBLISHED) -> dict:
    """Return the data of the page, as values that JSON can represent.

    Raises
    ------
    BenchmarkError
        If no published folder has the average precision of its queries.
    """
    published, experiments = read(folder)
    if not published:
        raise BenchmarkError(
            f"{folder} has no folder with average_precision.npz: publish results with "
            "`python -m experiments publish`"
        )
    tasks = _tasks(published, experiments)
    ordered = sorted(published.values(), key=lambda cell: (cell.key[:2], cell.key[3], cell.key[2]))
    _pool_variances(ordered)
    sources: dict[str, int] = {}
    rows: list[dict] = []
    rankings: dict[str, list[list]] = {}
    for cells in _groups(ordered):
        means = drawn_means(cells)
        first = len(rows)
        for cell, drawn in zip(cells, means.T, strict=True):
            rows.append(_row(cell, interval(drawn), experiments[cell.folder], sources))
        rankings |= _rankings(cells, rows[first:], p_values(cells, means), first)
    version = plugins.constant(plugins.ROOT / "evaluation/__init__.py", "METRIC_VERSION")
    return plain_values(
        {
            "tasks": tasks,
            "rows": rows,
            "rankings": rankings,
            "votes": votes(rankings, rows),
            "metric_version": version,
            "draws": DRAWS,
            "sources": [json.loads(text) for text in sources],
            "reported": _reported({task["plugin"] for task in tasks}),
            "left_out": _left_out(folder),
        }
    )


# -------------------------------------------------------------------------- reading


def read(folder: Path) -> tuple[dict[CellKey, Cell], dict[str, dict]]:
    """Return the cells of all published folders, and experiment.json of each folder.

    If several folders have a cell, the one with the newest runs is returned.
    """
    cells: dict[CellKey, Cell] = {}
    experiments = {}
    for path in sorted(folder.glob("*/average_precision.npz")):
        experiment = json.loads((path.parent / "experiment.json").read_text(encoding="utf-8"))
        experiment["controls_of"] = _controls(path.parent, experiment)
        experiments[path.parent.name] = experiment
        for cell in _cells(path.parent, experiment):
            known = cells.get(cell.key)
            if known is None or _date(cell) > _date(known):
                cells[cell.key] = cell
    return cells, experiments


def _left_out(folder: Path) -> list[str]:
    """Return the names of the folders without the average precision of their queries."""
    paths = sorted(path.parent for path in folder.glob("*/experiment.json"))
    return [path.name for path in paths if not (path / "average_precision.npz").is_file()]


def _date(cell: Cell) -> str:
    return max(run["row"]["date"] for run in cell.runs)


def _cells(folder: Path, experiment: dict) -> Iterator[Cell]:
    with open(folder / "runs.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with gzip.open(folder / "runs.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    methods = {method["name"]: method for method in experiment["methods"]}

    groups: dict[CellKey, list[dict]] = defaultdict(list)
    for row, record in zip(rows, records, strict=True):
        key = row["dataset"], row["features"], row["variant"], int(row["bits"])
        groups[key].append({"row": row, "record": record})
    with np.load(folder / "average_precision.npz", allow_pickle=False) as stored:
        for key, runs in groups.items():
            names = [_run_name(run["row"]) for run in runs]
            values = np.stack([stored[name] for name in names]).astype(np.float64)
            yield Cell(key, methods[key[2]], folder.name, runs, values)


def _run_name(row: dict) -> str:
    variant = "/".join(row[name] for name in ("dataset", "features", "variant"))
    return f"{variant}/{row['bits']}bit/seed{row['seed']}"


def _controls(folder: Path, experiment: dict) -> dict[str, dict[str, float]]:
    """Return {DATASET/FEATURES: {label: mAP}} of the rankings by real-valued features.

    They are the rows of map.csv that are named like a control. Quantised features are left out.
    """
    path = folder / "map.csv"
    labels = set()
    for control in experiment["controls"]:
        if control["name"] not in QUANTISERS:
            labels.add(control["label"])
    names = {}
    for dataset, features in experiment["grid"]:
        shown = experiment["features"][f"{dataset}/{features}"]["label"]
        names[f"{experiment['datasets'][dataset]['label']}, {shown}"] = f"{dataset}/{features}"
    values: dict[str, dict[str, float]] = defaultdict(dict)
    if path.is_file():
        with open(path, encoding="utf-8", newline="") as file:
            for panel, label, value, *_ in list(csv.reader(file))[1:]:
                if label in labels and panel in names and value:
                    values[names[panel]][label] = float(value)
    return dict(values)


# -------------------------------------------------------------------------- ranking


def _pool_variances(cells: list[Cell]) -> None:
    """Give each cell the larger of two variances over seeds: its own, and the pooled one.

    The pooled variance is that of one variant over all code lengths. The variance of three seeds is
    sometimes far too small by chance, and the pooled one has more degrees of freedom.
    `evaluation.significance` pools in the same way for the tests in tables.
    """

    def without_length(cell: Cell) -> tuple:
        return cell.key[:3]

    for _, group in itertools.groupby(sorted(cells, key=without_length), key=without_length):
        lengths = [cell for cell in group if len(cell.runs) > 1]
        freedom = sum(len(cell.runs) - 1.0 for cell in lengths)
        squares = sum(cell.variance * (len(cell.runs) - 1) for cell in lengths)
        for cell in lengths:
            pooled = squares / freedom
            if pooled > cell.variance or len(cell.runs) >= POOLED_SEEDS:
                cell.variance, cell.freedom = max(pooled, cell.variance), freedom


def _groups(cells: list[Cell]) -> Iterator[list[Cell]]:
    """Yield the cells of each data set, features and code length, which share their queries."""
    for _, group in itertools.groupby(cells, key=lambda cell: (*cell.key[:2], cell.key[3])):
        yield list(group)


def drawn_means(cells: list[Cell], draws: int = DRAWS) -> np.ndarray:
    """Return the means of the cells in repetitions of the experiment, float64 (draws, cells).

    The queries are drawn with replacement, the same for all cells. Three seeds are too few to draw
    from: the error of a mean over seeds is drawn from Student's distribution instead. Many cells
    get more than `draws`: DRAWS_PER_PAIR for each pair.
    """
    draws = max(draws, DRAWS_PER_PAIR * len(cells) * (len(cells) - 1) // 2)
    values = np.stack([cell.of_queries for cell in cells])  # (M, Q)
    queries = values.shape[1]
    means = np.empty((draws, len(cells)))
    counts = _drawn_queries(queries, draws)
    for start in range(0, draws, BLOCK):
        block = slice(start, start + BLOCK)
        means[block] = counts[block].astype(np.float64) @ values.T / queries

    generator = np.random.default_rng([SEED, 1])
    for column, cell in enumerate(cells):
        error = (cell.variance / len(cell.runs)) ** 0.5
        means[:, column] += error * generator.standard_t(cell.freedom, draws)
    return means


@functools.lru_cache(maxsize=1)
def _drawn_queries(queries: int, draws: int) -> np.ndarray:
    """Return how often each query is drawn, uint8 (draws, Q)."""
    generator = np.random.default_rng(SEED)
    counts = generator.multinomial(queries, np.full(queries, 1 / queries), size=draws)
    return counts.astype(np.uint8)


def interval(means: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a mean, from `drawn_means`, within 0 and 1."""
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    return max(0.0, float(low)), min(1.0, float(high))


def p_values(cells: list[Cell], means: np.ndarray) -> np.ndarray:
    """Return the two-sided p value of the difference of each pair of cells, float64 (M, M).

    It is the share of repetitions whose error is at least as large as the observed difference. It
    is 1 if the variance over seeds of a cell is not known.

    Parameters
    ----------
    cells : list of Cell
        With the same queries.
    means : ndarray of float64, shape (draws, cells)
        From `drawn_means`.
    """
    observed = np.array([cell.of_queries.mean() for cell in cells])
    errors = means - observed  # (draws, M)
    p = np.ones((len(cells), len(cells)))
    for index, cell in enumerate(cells):
        others = [other for other in range(index) if cell.tested and cells[other].tested]
        differences = np.abs(observed[others] - observed[index])
        larger = np.abs(errors[:, others] - errors[:, [index]]) >= differences
        p[index, others] = p[others, index] = (1 + larger.sum(axis=0)) / (1 + len(means))
    return p


def ranked(observed: np.ndarray, p: np.ndarray) -> list[Standing]:
    """Return the standing of each row of a ranking by the mean, the highest first.

    Parameters
    ----------
    observed : ndarray of float64, shape (M,)
        Means.
    p : ndarray of float64, shape (M, M)
        From `p_values`. They are corrected by Holm's procedure for all pairs of these rows.

    References
    ----------
    Mogstad, Romano, Shaikh & Wilhelm, "Inference for ranks with applications to mobility across
    neighbourhoods and academic achievement across countries", Review of Economic Studies 2024:
    rank intervals from simultaneous tests of all pairs. Quantiles of drawn ranks are too narrow if
    rows are close.
    """
    first, second = np.triu_indices(len(observed), k=1)
    significant = np.zeros(p.shape, dtype=bool)
    significant[first, second] = np.array(holm(p[first, second].tolist())) < LEVEL
    significant |= significant.T
    higher = observed[None, :] > observed[:, None]  # (M, M): whether the column is above the row

    standings = []
    for index in range(len(observed)):
        above = int((significant[index] & higher[index]).sum())
        below = int((significant[index] & ~higher[index]).sum())
        rank = 1 + int(higher[index].sum())
        standings.append(Standing(rank, 1 + above, len(observed) - below))
    return standings


def _rankings(cells: list[Cell], rows: list[dict], p: np.ndarray, first: int) -> dict[str, list]:
    """Return {facet: [[row, rank, low, high], ...] by rank} of one data set and code length.

    Parameters
    ----------
    cells, rows : list
        The cells, and what the page shows of them.
    p : ndarray of float64, shape (M, M)
        From `p_values`.
    first : int
        Index of the first of these rows among all rows of the page.
    """
    rankings = {}
    for encoder, tuning in itertools.product(ENCODERS, (TUNED, DEFAULT)):
        chosen = [index for index, row in enumerate(rows) if _is_ranked(row, encoder, tuning)]
        if len(chosen) < 2 or not _is_facet([rows[index] for index in chosen], encoder):
            continue
        observed = np.array([cells[index].of_queries.mean() for index in chosen])
        entries = [
            [first + index, standing.rank, standing.low, standing.high]
            for index, standing in zip(
                chosen, ranked(observed, p[np.ix_(chosen, chosen)]), strict=True
            )
        ]
        facet = f"{rows[0]['task']}|{rows[0]['bits']}|{encoder}|{tuning}"
        rankings[facet] = sorted(entries, key=lambda entry: entry[1])
    return rankings


def votes(rankings: dict[str, list], rows: list[dict]) -> dict[str, dict]:
    """Return the Borda count of each ranking: {facet: {"voters": facets, "points": shares}}.

    The rows of a ranking are the candidates. The voters are all rankings of the same kind of
    encoder and settings in which every candidate has a row, the ranking itself among them. A vote
    gives a candidate one point for each other candidate with a lower mean, and half a point for an
    equal one. `points` has the share of all possible points, in the order of the ranking.

    References
    ----------
    Borda, "Memoire sur les elections au scrutin", 1781.
    """
    means = {facet: _means_by_name(entries, rows) for facet, entries in rankings.items()}
    counts = {}
    for facet, by_name in means.items():
        kind = facet.split("|")[2:]
        voters = [
            other
            for other, values in means.items()
            if other.split("|")[2:] == kind and by_name.keys() <= values.keys()
        ]
        ballots = [list(map(means[voter].__getitem__, by_name)) for voter in voters]
        values = np.array(ballots)  # (V, M)
        higher = (values[:, :, None] > values[:, None, :]).sum(axis=2)
        equal = (values[:, :, None] == values[:, None, :]).sum(axis=2) - 1  # not itself
        points = (higher + equal / 2).sum(axis=0) / (len(voters) * (len(by_name) - 1))
        counts[facet] = {"voters": voters, "points": points.tolist()}
    return counts


def _means_by_name(entries: list[list], rows: list[dict]) -> dict[str, float]:
    """Return the mean of each row of a ranking by a name that it has on other data sets too."""
    variants = [rows[index]["variant"] for index, *_ in entries]
    names = [variant.partition(".tuned-")[0] for variant in variants]
    means = {}
    for (index, *_), variant, name in zip(entries, variants, names, strict=True):
        means[name if names.count(name) == 1 else variant] = rows[index]["mean"]
    return means


def _is_facet(rows: list[dict], encoder: str) -> bool:
    """Whether the rows are of the facet's kind, and not only methods that have no settings."""
    _, required = ENCODERS[encoder]
    of_tuning = any(row["settings"] != FIXED for row in rows)
    return of_tuning and required <= {row["encoder"] for row in rows}


def _is_ranked(row: dict, encoder: str, tuning: str) -> bool:
    """Whether a row takes part: methods without parameters do, whatever the settings."""
    if row["control"] or row["ablation"]:
        return False
    kinds, _ = ENCODERS[encoder]
    return row["settings"] in (tuning, FIXED) and row["encoder"] in kinds


# ------------------------------------------------------------------ what a row shows


def _row(cell: Cell, ends: tuple[float, float], experiment: dict, sources: dict[str, int]) -> dict:
    """Return what the page shows of a cell; `sources` has the index of each set of digests."""
    dataset, features, variant, bits = cell.key
    of_seeds = cell.average_precision.mean(axis=1)
    first = cell.runs[0]["record"]
    made_of = first["made_of"]
    return {
        "task": f"{dataset}/{features}",
        "variant": variant,
        "label": cell.method["label"],
        "method": cell.method["method"],
        "citation": cell.method["citation"] or "",
        "note": cell.method["note"],
        "bits": bits,
        "settings": tuning_of(cell.method),
        "encoder": encoder_of(cell.method),
        "network": cell.runs[0]["row"]["encoder"],
        "control": cell.method["method"] == CHANCE,
        "ablation": is_ablation(cell.method),
        "mean": float(cell.of_queries.mean()),
        "low": ends[0],
        "high": ends[1],
        "deviation": float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else None,
        "fit_seconds": float(np.mean([run["record"]["fit_seconds"] for run in cell.runs])),
        "memory_mib": max(run["record"].get("peak_memory_mib", 0) for run in cell.runs),
        "trials": _trials(cell, experiment),
        "core_seconds": _core_seconds(cell),
        "core_seconds_of_trials": _tried(cell, experiment).get("core_seconds"),
        "sees": cell.method.get("tier"),
        "fidelity": cell.method.get("fidelity"),
        "labels_used": cell.method.get("labels_used"),
        "tested": cell.tested,
        "seeds": [_seed(run, float(value)) for run, value in zip(cell.runs, of_seeds, strict=True)],
        "record": {
            "params": made_of["params"],
            "versions": {"python": first["python"]} | first["versions"],
            "machine": first["machine"]["processor"],
            "device": first["device"],
            "repeats": first.get("repeats", ""),
            "split": made_of["split"],
            "features": made_of["features"],
            "sources": sources.setdefault(json.dumps(made_of["sources"]), len(sources)),
            "metric_version": experiment.get("metric_version"),
            "configfiles": experiment.get("configfiles", []),
            "folder": cell.folder,
            "attested": max(len(run["record"].get("attested", [])) for run in cell.runs),
        },
    }


def _seed(run: dict, value: float) -> dict:
    record = run["record"]
    return {
        "seed": int(run["row"]["seed"]),
        "value": value,
        "commit": record["commit"],
        "date": record["date"][:10],
        "codes": record["codes_sha256"],
        "fit_seconds": record["fit_seconds"],
    }


def tuning_of(method: dict) -> str:
    """Return whether the settings of a row are tuned, default or released, or there are none."""
    if "released" in method["name"] or "released" in method["label"]:
        return RELEASED
    if method["tuned"]:
        return TUNED
    return DEFAULT if method["keywords"] else FIXED


def encoder_of(method: dict) -> str:
    """Return how a method sees the images: frozen features, views of them, or its own network."""
    encoder = method["keywords"].get("encoder", "features")
    frozen = encoder == "features" or method["note"].startswith("frozen")
    if not frozen:
        return TRAINED
    return VIEWS if VIEWS in (method.get("tier"), method.get("fitted_on")) else FROZEN


def is_ablation(method: dict) -> bool:
    """Return whether a row is a method with a part changed.

    These have a colon in their label in config/variants.yaml. So have rows with the chosen
    parameters of another method.
    """
    name = method["name"].partition(".tuned-")[0]
    label = _named_methods().get(name, {}).get("label", "")
    return ": " in label or method["tuned"] not in ("", "own")


@functools.cache
def _named_methods() -> dict[str, dict]:
    """Return the entries of the methods in config/variants.yaml."""
    text = (plugins.ROOT / VARIANTS).read_text(encoding="utf-8")
    return yaml.safe_load(text)["variants"]["methods"]


def _trials(cell: Cell, experiment: dict) -> int:
    """Return the number of settings that were tried for the parameters of a tuned row."""
    method = _tried(cell, experiment)
    return method.get("settings_tried", len(method.get("trials", ())))


def _tried(cell: Cell, experiment: dict) -> dict:
    """Return what is recorded of the settings that were tried for a tuned row."""
    if tuning_of(cell.method) != TUNED:
        return {}
    base, _, dataset = cell.key[2].partition(".tuned-")
    methods = experiment["tried"].get(dataset, {}).get("methods", {})
    return methods.get(base, {})


def _core_seconds(cell: Cell) -> float | None:
    """Return the processor time of fitting all seeds; None if a GPU took part."""
    run_records = [run["record"] for run in cell.runs]
    if any(record["device"] != "cpu" for record in run_records):
        return None
    return sum(record["fit_seconds"] * record.get("threads", 1) for record in run_records)


def _reported(names: set[str]) -> list[dict]:
    """Return the values of report/published_values.csv of these files in datasets/.

    Several runs of one source are one entry with the ends of their range. Entries of one metric and
    protocol are together, the highest value first.
    """
    groups: dict[tuple, list[published_values.PublishedValue]] = defaultdict(list)
    for value in published_values.read():
        if value.dataset in names:
            setting = value.dataset, value.metric, value.terms.protocol, value.features
            groups[*setting, value.method, value.bits, value.origin].append(value)

    reported = []
    for values in groups.values():
        first = values[0]
        ends = [end for value in values for end in (value.value, value.to) if end is not None]
        reported.append(
            {
                "plugin": first.dataset,
                "protocol": first.terms.protocol,
                "method": first.method,
                "features": first.features,
                "metric": first.metric,
                "bits": first.bits,
                "low": min(ends),
                "high": max(ends),
                "runs": len(values),
                "qualifier": first.qualifier,
                "status": first.status,
                "source": first.source,
                "note": first.note,
            }
        )
    return sorted(reported, key=lambda entry: (entry["metric"], entry["protocol"], -entry["high"]))


def _tasks(cells: dict[CellKey, Cell], experiments: dict[str, dict]) -> list[dict]:
    """Return what the page shows of each data set and its features."""
    tasks = {}
    for cell in sorted(cells.values(), key=_date):
        dataset, features, *_ = cell.key
        experiment = experiments[cell.folder]
        data, kind = experiment["datasets"][dataset], experiment["features"]
        entry = kind[f"{dataset}/{features}"]
        identifier = f"{dataset}/{features}"
        controls = tasks.get(identifier, {}).get("controls", {})
        tasks[identifier] = {
            "id": identifier,
            "dataset": data["label"],
            "name": dataset,
            "plugin": data.get("plugin") or data.get("settings", {}).get("of", dataset),
            "protocol": data["protocol"],
            "features": entry["label"],
            "note": entry["note"],
            "dimensions": entry.get("dimensions"),
            "classes": data["classes"],
            "sizes": data["sizes"],
            "rules": data["rules"],
            "citation": data.get("citation") or "",
            "split": data["split_sha256"],
            "controls": controls | experiment["controls_of"].get(identifier, {}),
        }
    return [tasks[name] for name in sorted(tasks)]
