"""What several test modules build: copies of the project, synthetic results, and damaged bytes."""

from __future__ import annotations

import base64
import copy
import csv
import functools
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from harness import schemas, storage
from harness.plugins import ROOT
from harness.records import FORMAT
from harness.variants import CONTROLS, QUANTISERS
from report import results
from report.figures import training_curves
from report.tables.build import build_tables

# Copies of the project

TINY = """
methods: [chance, pcah, itq, bgan-brief]
bits: [8, 12]
seeds: [0, 1]
variants:
  methods:
    bgan-brief: {of: bgan, set: {epochs: 1, betas: [1.0]}, label: "BGAN, 1 epoch"}
"""
PARITY = '''"""A method that somebody adds."""

from methods._base import Hasher


class Parity(Hasher):
    """Whether random sums of pixels are even.

    Source: this test.   Differs from the paper: nothing.
    """

    label, citation, uses_gpu = "Parity_&_<b>", None, False

    def __init__(self, n_bits):
        self.n_bits = n_bits

    def fit(self, features):
        assert not features.flags.writeable
        return self

    def encode(self, features):
        assert not features.flags.writeable
        return (features[:, : self.n_bits] * 255).astype(int) % 2 == 0
'''


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Copy:
    """A copy of the project in which the workflow runs.

    Parameters
    ----------
    folder : Path
        The copy. It must not exist.
    finished : Path, optional
        A copy whose workflow has ended, with its results, file times and Snakemake's metadata.
    """

    def __init__(self, folder: Path, finished: Path | None = None):
        self.folder = folder
        ignored = shutil.ignore_patterns(
            ".*", "cache", "logs", "results", "data"
        )  # compiled kernels come along
        shutil.copytree(finished or ROOT, folder, ignore=None if finished else ignored)
        self.write("tiny.yaml", TINY)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def replace(self, name, old, new):
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new, 1))

    def snakemake(self, *arguments, config="tiny.yaml", cores="2"):
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("BGAN_BENCH", "SNAKEMAKE"))
        }
        command = [sys.executable, "-m", "snakemake", "--cores", cores, *arguments]
        command += ["--configfile", config] if config else []
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, env=environment
        )

    def run(self, *arguments, **options):
        done = self.snakemake(*arguments, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, **options):
        """(rule, variant or '') of every job that would run now."""
        return jobs_of(self.run("--dry-run", **options))


def write_dataset_record(folder, of="digits"):
    """Write the record of arrays that a test put into the folder of a data set without images."""
    names = ("images.npy", "labels.npy", "split.npz", "names.json")
    if not (folder / "names.json").exists():
        storage.write_json(folder / "names.json", {"names": []})
    digests = {
        name: storage.digest(folder / name) if (folder / name).exists() else "" for name in names
    }
    storage.write_json(
        folder / "dataset.json",
        {"format": FORMAT, "made_of": {"plugin": of}, "sha256": digests, "split_sha256": ""},
    )


def jobs_of(text):
    """(rule, variant or '') of every job that Snakemake lists in a dry run."""
    jobs = re.split(r"\n(?=rule |localrule |checkpoint )", text)[1:]
    matches = [
        (re.match(r"(?:local)?rule (\w+):", job)[1], re.search(r"variant=([^,\s]+)", job))
        for job in jobs
    ]
    return sorted((rule, variant[1] if variant else "") for rule, variant in matches)


# Pages in a browser


def checked_pages(browser, url, allowed):
    """Yield a function that opens a page.

    At the end, no page has logged or loaded anything or executed a label. `allowed` is a pattern
    of the addresses that a page may load.
    """
    contexts, messages, urls = [], [], []

    def open_page(address="", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: urls.append(request.url))
        page.goto(url + address)
        return page

    yield open_page
    hacked = [page.evaluate("window.hacked") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert not messages
    assert not [loaded_url for loaded_url in urls if not re.match(allowed, loaded_url)]
    assert not any(hacked)


# Configurations


def loaded(name="config.yaml", **changes):
    files = [_parsed(file) for file in ("config.yaml", "variants.yaml", name)]
    return copy.deepcopy(files[0] | files[1] | files[2]) | changes


@functools.cache
def _parsed(name):
    return yaml.safe_load((ROOT / "config" / name).read_text())


# Synthetic results

METHODS = [
    ("lsh", "LSH", 0.25, True),
    ("pcah", "PCAH", 0.35, False),
    ("itq", "ITQ", 0.45, True),
    ("bgan", "BGAN", 0.5, True),
]
CITATIONS = {
    "lsh": "charikar2002similarity",
    "pcah": "wang2010semi",
    "itq": "gong2011iterative",
    "bgan": "song2018binary",
}
SIZES = {"digits": (300, 1497), "cifar10": (1000, 59000)}
DONE = {
    "status": "done", "peak_memory_mib": "312.5", "items": "1797", "distinct_codes": "1500",
    "bit_balance": "0.45", "device": "cpu", "processor": "A processor", "repeats": "bit for bit",
    "versions": '{"python": "3.11.7", "torch": "2.13.0"}', "threads": "1",
    "commit": "0123456789abcdef0123", "dirty": "False", "date": "2026-01-02T03:04:05+00:00",
    "codes_sha256": "ab" * 32,
}  # fmt: skip
PRESETS = {
    "as-bgan": 1,
    "as-deephash-pytorch": 1.01,
    "as-hashnet": 1.2,
    "as-deepbit": 1.3,
    "as-trec": -0.1,
    "as-landmarks": 0.9,
}
GRADED = [
    ("ndcg@k", 100),
    ("ndcg@k", 1000),
    ("ndcg_linear@k", 1000),
    ("acg@k", 100),
    ("acg@k", 1000),
]
SEEDS = (0, 1, 2)
DIGITS = results.Pair("digits", "pixels")


def write_results(
    folder, *, methods=METHODS, grid=(DIGITS,), bits=(16, 32), seeds=SEEDS, broken=(), distinct=(),
    map_of=None, significant=None, rows=(), quantised=False, **changes
):  # fmt: skip
    """Write what `collect` writes, with correct digests, into `folder` and return it.

    broken: {(variant, bits, seed): "failed", "missing" or "unplanned"}.
    distinct: {(variant, bits, seed): distinct codes of 1797}.
    map_of: (variant, bits, seed) -> map.
    significant: {(higher, lower): "yes" or "too few seeds"}, else "no".
    rows: {variant: keys of its entry in experiment.json}, as those of `tuned`.
    quantised: whether int8 features and product quantisation are controls too.
    changes: keys of experiment.json.
    """
    random = np.random.default_rng(0)
    runs, metrics = [], []
    for dataset, features in grid:
        database = SIZES[dataset][1]
        for name, label, level, stochastic in methods:
            for length, seed in [
                (length, seed) for length in bits for seed in (seeds if stochastic else [0])
            ]:
                status = dict(broken).get((name, length, seed), "done")
                if status == "unplanned":
                    continue
                run = {
                    "dataset": dataset,
                    "features": features,
                    "variant": name,
                    "bits": length,
                    "seed": seed,
                    "label": label,
                }
                runs.append(run | _run_facts(run, status, random, folder))
                if (name, length, seed) in distinct:
                    runs[-1]["distinct_codes"] = str(distinct[name, length, seed])
                if status == "done":
                    value = (
                        map_of(name, length, seed)
                        if map_of
                        else level + length / 1000 + random.normal(0, 0.01)
                    )
                    metrics += [
                        (dataset, features, name, length, seed, *row)
                        for row in scores(value, length, database)
                    ]
        metrics += [(dataset, features, *row) for row in _control_scores(database, bits, quantised)]
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "metrics.csv", schemas.METRICS_CSV, metrics)
    _write_statistics(folder, metrics, list(bits), significant or {})
    write_csv(
        folder / "runs.csv",
        schemas.RUNS_CSV,
        [[run.get(column, "") for column in schemas.RUNS_CSV] for run in runs],
    )
    described = experiment(methods, grid, bits, seeds, runs)
    if quantised:
        described["controls"] += [{"name": name, "label": CONTROLS[name]} for name in QUANTISERS]
    described |= changes
    for method in described["methods"]:
        method.update(dict(rows).get(method["name"], {}))
    return describe(folder, described)


def _control_scores(database, bits, quantised):
    """Return (control, bits, seed, metric, k, value) of every control."""
    levels = {("exact-cosine", 0): 0.62, ("exact-l2", 0): 0.6}
    if quantised:
        levels["int8", 0] = 0.615
        levels |= {("pq", length): 0.5 + length / 1000 for length in bits}
    return [
        (*control, 0, *row)
        for control, level in levels.items()
        for row in scores(level, 0, database)
    ]


def described(folder):
    """The content of a folder's experiment.json."""
    return json.loads((folder / "experiment.json").read_text(encoding="utf-8"))


def describe(folder, experiment=None):
    """Write experiment.json with the digests of the present tables and return the folder.

    experiment: the new content; by default, that of the existing file.
    """
    experiment = experiment or described(folder)
    digests = {name: storage.digest(folder / name) for name in schemas.COLLECTED_TABLES}
    (folder / "experiment.json").write_text(
        json.dumps(experiment | {"sha256": digests}), encoding="utf-8"
    )
    return folder


def tuned(base, dataset="digits", whose="own"):
    """Return the relations of a row whose parameters were chosen on validation labels.

    whose: "own" for the parameters of the row itself, else those of BGAN.
    """
    return {"base": base, "tuned": whose, "tuned_on": dataset}


def _write_statistics(folder, metrics, bits, significant):
    """Write intervals of 0.02 around the mean of each cell, and all comparisons of two methods."""
    values = {}
    for dataset, features, variant, length, _, metric, _, value in metrics:
        if metric == "map":
            values.setdefault((dataset, features, variant, length), []).append(float(value))
    means = {key: np.mean(scores) for key, scores in values.items()}
    cells = [
        (*key, len(values[key]), 300, mean, "", mean - 0.02, mean + 0.02)
        for key, mean in means.items()
    ]
    write_csv(folder / "statistics.csv", schemas.STATISTICS_CSV, cells)
    compared = []
    for (*pair, one, length), (*other_pair, other, same) in itertools.combinations(means, 2):
        is_method = not {one, other} & set(QUANTISERS)
        if is_method and pair == other_pair and length == same in bits:
            higher, lower = sorted((one, other), key=lambda name: -means[*pair, name, length])
            verdict = significant.get((higher, lower), "no")
            p = 1e-6 if verdict == "yes" else 0.5
            unknown = [""] * 3  # difference, low, high
            compared.append((*pair, length, higher, lower, *unknown, p, p, verdict, 0.015))
    write_csv(folder / "comparisons.csv", schemas.COMPARISONS_CSV, compared)


def run_path(run):
    group = f"{run['dataset']}/{run['features']}/{run['variant']}"
    return f"runs/{group}/{run['bits']}bit/seed{run['seed']}"


def _run_facts(run, status, random, folder):
    facts = {
        "status": status,
        "folder": f"{folder}/{run_path(run)}",
        "keywords": '{"iterations": 50}',
        "method": run["variant"],
    }
    if status == "failed":
        facts["message"] = "ValueError: loss is not finite at step 40"
    if status == "done":
        facts |= DONE | {
            "fit_seconds": repr(float(random.gamma(2.0) * run["bits"] / 16)),
            "encode_seconds": repr(float(random.gamma(2.0) / 50)),
        }
        facts |= {"saturated": "0.25"} if run["variant"] == "bgan" else {}
    return facts


def scores(level, bits, database):
    """Rows (metric, k, value) of one run: a level with curves of a believable shape."""
    rows = [
        ("map", "", level),
        ("map_chance", "", 0.104),
        ("relevant_share", "", 0.1),
        ("queries_left_out", "", 0),
    ]
    slack = 0.5 / bits if bits else 0.0
    rows += [("map_worst", "", level - slack), ("map_best", "", level + slack)]
    rows += [("map@k[found]", k, min(1.0, level * 1.2)) for k in (1000, 5000) if k <= database]
    rows += [
        (f"map@k[{name}]", 1000, level * factor)
        for name, factor in (("min", 0.9), ("R", 0.1), ("hits", 1.1))
        if database >= 1000
    ]
    if bits:
        rows += [(name, "", level * factor) for name, factor in PRESETS.items()]
        rows += [
            ("precision_r2", "", level / 2),
            ("recall_r2", "", level / 9),
            ("empty_r2", "", 1 - level),
        ]
    rows += [
        ("precision@k", k, level + 0.3 / (1 + np.log10(k)))
        for k in (1, 10, 50, 100, 500, 1000, 5000)
        if k <= database
    ]
    ranks = np.unique(np.geomspace(1, database, 40).astype(int))
    share = ranks / database
    precision = 0.1 + (min(level + 0.3, 1) - 0.1) * (1 - share**0.4)
    rows += [("pr_rank_precision", int(k), p) for k, p in zip(ranks, precision, strict=True)]
    rows += [
        ("pr_rank_recall", int(k), min(1.0, 10 * p * s))
        for k, p, s in zip(ranks, precision, share, strict=True)
    ]
    for radius in range(bits + 1 if bits else 0):
        ball = radius / bits
        rows += [
            ("pr_recall", radius, ball**2),
            ("pr_precision", radius, 0.1 + (level + 0.2) * (1 - ball)),
            ("pr_empty", radius, 0.0),
        ]
    return [(metric, k, repr(float(value))) for metric, k, value in rows]


def experiment(methods, grid, bits, seeds, runs):
    """A complete experiment.json for this grid."""
    small = [pair for pair in grid if SIZES[pair[0]][1] < 5000]
    return {
        "format": FORMAT,
        "made_of": {},
        "metric_version": 5,
        "name": "",
        "configfiles": [],
        "timed": [],
        "trials": {},
        "tried": {},
        "partial": False,
        "date": "2026-01-02T03:04:05+00:00",
        "commit": "0123456789abcdef0123",
        "dirty": False,
        "bits": list(bits),
        "seeds": list(seeds),
        "grid": [list(pair) for pair in grid],
        "datasets": {name: dataset_facts(name) for name, _ in grid},
        "features": {
            "/".join(pair): {"label": pair[1].capitalize(), "dimensions": 192, "note": ""}
            for pair in grid
        },
        "methods": [_method(name, label, stochastic) for name, label, _, stochastic in methods],
        "controls": [
            {"name": "exact-cosine", "label": "Exact cosine"},
            {"name": "exact-l2", "label": "Exact Euclidean"},
        ],
        "omitted": [
            {
                "dataset": dataset,
                "features": features,
                "metric": metric,
                "k": 5000,
                "reason": "the database is too small",
            }
            for dataset, features in small
            for metric in ("map@k[found]", "precision@k")
        ]
        + [
            {
                "dataset": dataset,
                "features": features,
                "metric": metric,
                "k": k,
                "reason": "items have one label each",
            }
            for dataset, features in grid
            for metric, k in GRADED
        ],
        "queries_left_out": {"/".join(pair): 0 for pair in grid},
        "failures": [_failure(run) for run in runs if run["status"] == "failed"],
    }


def dataset_facts(name):
    query, database = SIZES[name]
    return {
        **dataset_relations(name),
        "protocol": "default",
        "citation": "alpaydin1998optical",
        "classes": 10,
        "split_sha256": "cd" * 32,
        "sizes": {"query": query, "database": database, "train": database},
        "rules": [
            {"rule": "30 queries a class", "source": "ours"},
            {"rule": "relevant: same class", "source": "published"},
        ],
    }


def dataset_relations(name):
    """What experiment.json has of a data set that was not prepared too."""
    return {"label": name.capitalize(), "plugin": name, "base": name, "validation": False}


def _method(name, label, stochastic):
    known = {
        "name": name,
        "label": label,
        "method": name,
        "citation": CITATIONS.get(name),
        "note": "",
    }
    relations = {"base": name, "trial": None, "tuned": "", "tuned_on": "", "set": {}}
    return known | relations | {"stochastic": stochastic, "keywords": {"iterations": 50}}


def _failure(run):
    identity = {key: run[key] for key in ("dataset", "features", "variant", "bits", "seed")}
    return {"run": identity, "log": f"logs/{run_path(run)}.log", "message": run["message"]}


def write_extras(folder, variant, *, pair=DIGITS, bits=32, seed=0, **changes):
    """Write curves and pictures of one run as a method saves them, and return the arrays.

    An array that is changed to None is omitted.
    """
    random = np.random.default_rng(0)
    arrays = {
        name: random.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
        for name in training_curves.PICTURES
    }
    arrays |= {
        "curves": random.random((20, 2)).astype(np.float32),
        "curve_names": np.array(["pixel", "<a & b>"]),
    } | changes
    run = {"dataset": pair[0], "features": pair[1], "variant": variant, "bits": bits, "seed": seed}
    run_folder = folder / run_path(run)
    run_folder.mkdir(parents=True, exist_ok=True)
    present = {name: array for name, array in arrays.items() if array is not None}
    np.savez(run_folder / "extras.npz", **present)
    return arrays


def picture(data_uri):
    """The pixels of an embedded PNG, read by Pillow."""
    return np.asarray(
        Image.open(io.BytesIO(base64.b64decode(data_uri.removeprefix("data:image/png;base64,"))))
    )


def write_csv(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def built(folder):
    """The tables of a results folder by name."""
    return {table.name: table for table in build_tables(results.read(folder))}


class Page(HTMLParser):
    """What a browser would load, link to and show of a file, or of a part of a page as text."""

    def __init__(self, page: Path | str):
        super().__init__(convert_charrefs=True)
        self.ids, self.links, self.loaded, self.tags, self.text = [], [], [], [], []
        self.feed(page if isinstance(page, str) else page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        if tag == "a":
            self.links.append(values["href"])
        else:
            self.loaded += [
                values[name]
                for name in ("src", "href", "xlink:href", "data", "srcset")
                if name in values
            ]

    def handle_data(self, data):
        self.text.append(data)


HOSTILE = [
    "<script>alert(1)</script>",
    "a_b & 50% #1 ~x ^y {z} \\input{/etc/passwd}",
    '$x^2$ [best] *star* |bar| "quoted" `tick` a--b',
    "Müller Łódź Ångström ñ ç ő ğ ř œ",
    "αβγ Ω Λ ς ή \N{GREEK SMALL LETTER OMICRON} µ ± \N{MULTIPLICATION SIGN} ≤ → \N{EN DASH} …",
    "漢字 emoji 🙂 \N{COMBINING ACUTE ACCENT}",
    "_leading",
]
