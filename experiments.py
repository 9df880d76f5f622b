"""What is run: from a configuration to a list of runs, and from a run to its place on disk.

The Snakefile and every floor ask this module; nothing else knows a path or resolves a name. What a file of a floor says comes from
plugins.py, which imports none, so that planning a grid costs no import of torch. Standard library only.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import plugins
from errors import BenchmarkError as BenchmarkError  # every floor has these four from here
from errors import one_line as one_line
from harness import identity
from plugins import GROUND as GROUND
from plugins import ROOT as ROOT

CACHE = "cache"
DATASET = CACHE + "/datasets/{dataset}"
FEATURES = CACHE + "/features/{dataset}/{features}"
RUN = "results/runs/{dataset}/{features}/{variant}/{bits}bit/seed{seed}"
# What a run records of the things it is made of, and is held against when results are collected.
IDENTITY = {"dataset": ("sha256", "split_sha256", "settings"), "features": ("sha256", "settings"), "neighbours": ("sha256", "metric")}
DESCRIPTIONS = {
    "dataset": DATASET + "/dataset.json",
    "features": FEATURES + "/features.json",
    "neighbours": FEATURES + "/neighbours.json",
}
LOG = "logs/runs/{dataset}/{features}/{variant}/{bits}bit/seed{seed}"
SCORES = "results/scores/{dataset}/{features}/{variant}"

DATA_VARIABLE = "BGAN_BENCH_DATA"
USER_FILES = ("path", "database_path", "names", "images")  # keywords that may name a file or folder below the data folder
TEXTS = (*USER_FILES, "sha256")  # whose default, none or null, does not say that they are texts
WEIGHTS = "weights"  # another, of a file that its name or the settings tell the digest of
VALIDATION = "-validation"  # after a data set's name: the protocol within its training part, for choosing settings
METRICS = ("centred-cosine", "cosine", "l2")  # of the neighbour lists, the default first
CONTROLS = {"exact-cosine": "Exact cosine", "exact-l2": "Exact Euclidean"}


@dataclass(frozen=True, order=True)
class Run:
    """One training and encoding job: one method variant, one code length, one seed, on one data set and its features."""

    dataset: str
    features: str
    variant: str
    bits: int
    seed: int

    @property
    def folder(self) -> str:
        return RUN.format(**vars(self))

    @property
    def log(self) -> str:
        return LOG.format(**vars(self)) + ".log"


@dataclass(frozen=True)
class Variant:
    """A component under a name, with the keywords that the configuration gives it."""

    name: str
    component: plugins.Component
    settings: dict
    label: str
    note: str = ""
    datasets: tuple[str, ...] | None = None
    neighbours: str = METRICS[0]
    validation: bool = False
    tuned: str = ""  # whose settings, chosen on validation labels, it has: "own" or "bgan"

    @property
    def keywords(self) -> dict:
        """Every keyword with its value: the defaults of the signature, then the configuration's."""
        return self.component.keywords | self.settings

    @property
    def stochastic(self) -> bool:
        """Whether seeds differ: a method takes one, and a file, where its codes are from one, names it."""
        paths = [str(self.keywords[key]) for key in ("path", "database_path") if self.keywords.get(key)]
        return "seed" in self.component.keywords and any("{seed}" in path for path in paths or ["{seed}"])


def variant_sources(floor: str, name: str, config: dict) -> list[str]:
    """`sources` of the plugin that a name of the configuration stands for, as paths from the project's root."""
    return plugins.relative(identity.sources(floor, variant(floor, name, config).component.name))


def variant(floor: str, name: str, config: dict) -> Variant:
    """Resolve a name of the configuration: a variant of `config["variants"]`, a plugin, or `dataset-protocol`.

    Raises BenchmarkError for an unknown name, an unknown keyword, a keyword of the wrong type, or a required one that is missing.
    """
    entry = config.get("variants", {}).get(floor, {}).get(name)
    if entry is None:
        entry = _implied_entry(floor, name, config)
    where = f"variants: {floor}: {name}"
    _check_entry(floor, entry, where, config)
    part = _component_of(floor, entry["of"], where)
    settings = entry.get("set") or {}
    for keyword, value in settings.items():
        _check_keyword(part, keyword, value, f"{where}: set: {keyword}")
    missing = [key for key, value in (part.keywords | settings).items() if value is ...]
    if missing:
        raise BenchmarkError(f"{where}: {', '.join(missing)} must be set, as in {{of: {part.name}, set: {{{missing[0]}: ...}}}}")
    only = entry.get("datasets")
    label, note, metric = entry.get("label") or part.label, entry.get("note") or "", entry.get("neighbours") or METRICS[0]
    choices = entry.get("validation", False), entry.get("tuned", "")
    return Variant(name, part, settings, label, note, tuple(only) if only else None, metric, *choices)


def _check_entry(floor: str, entry: dict, where: str, config: dict) -> None:
    """Raise BenchmarkError for a key that says nothing on this floor, and for a variant of a variant."""
    for key, floors in {"neighbours": ("features",), "tuned": ("methods",), "datasets": ("features", "methods")}.items():
        if entry.get(key) and floor not in floors:
            raise BenchmarkError(f"{where}: {key} is a key for {' and '.join(floors)} alone")
    known = config.get("variants", {}).get(floor, {}).get(entry["of"])
    if known and entry["of"] not in plugins.names(floor) and known["of"] in plugins.names(floor):
        settings = ", ".join(f"{key}: {json.dumps(value)}" for key, value in (known.get("set") or {}).items())
        begin = f"{{of: {known['of']}, set: {{{settings}}}}}"
        raise BenchmarkError(f"{where}: {entry['of']!r} is a variant itself: begin with {begin}, and add your own settings")


def _component_of(floor: str, name: str, where: str) -> plugins.Component:
    try:
        return plugins.component(floor, name)
    except BenchmarkError as error:
        raise BenchmarkError(f"{where}: {error}") from None


def _implied_entry(floor: str, name: str, config: dict) -> dict:
    if floor == "datasets" and name.endswith(VALIDATION):
        whole = variant(floor, name.removesuffix(VALIDATION), config)
        return {"of": whole.component.name, "set": whole.settings, "label": f"{whole.label}, validation", "validation": True}
    base, _, protocol = name.partition("-")
    if floor == "datasets" and protocol and base in plugins.names(floor):
        protocols = plugins.component(floor, base).literals.get("protocols", ())
        if protocol not in protocols:
            raise BenchmarkError(f"datasets: {name}: protocol {protocol!r} is unknown: expected one of {', '.join(protocols)}")
        return {"of": base, "set": {"protocol": protocol}, "label": f"{plugins.component(floor, base).label} ({protocol})"}
    if name not in plugins.names(floor):
        named = sorted(config.get("variants", {}).get(floor, {}))
        known = ", ".join(plugins.names(floor) + named)
        raise BenchmarkError(f"{floor}: {name!r} is unknown: expected one of {known}, or a new file {floor}/{name}.py")
    return {"of": name}


def _check_keyword(part: plugins.Component, keyword: str, value: object, where: str) -> None:
    if keyword == "seed":
        raise BenchmarkError(f"{where}: seeds are set by the key 'seeds' for all methods alike")
    if keyword not in part.keywords:
        known = ", ".join(key for key in part.keywords if key != "seed") or "none"
        raise BenchmarkError(f"{where}: {part.floor}/{part.name}.py has no keyword {keyword!r}: expected one of {known}")
    if not _is_plain(value):
        raise BenchmarkError(
            f"{where}: found {value!r}, expected text, a number, true, false, null or a list of such; quote what is a text"
        )
    default = part.keywords[keyword]
    if keyword in TEXTS and (default is ... or (default is None and value is not None)) and not isinstance(value, str):
        raise BenchmarkError(f"{where}: found {value!r}, expected a text; put a number in quotes")
    if default is ... or default is None:
        return
    numbers = (int, float)
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(default, bool) and isinstance(value, bool)
    elif isinstance(default, numbers):
        fits = isinstance(value, int if isinstance(default, int) else numbers)
    else:
        fits = isinstance(value, (list, tuple) if isinstance(default, (list, tuple)) else type(default))
    if not fits:
        raise BenchmarkError(f"{where}: found {value!r}, expected a value like the default {default!r}{_advice_on_number(value, default)}")


def _advice_on_number(value: object, default: object) -> str:
    """YAML takes 1e-4, without a point, for a text."""
    without_point = isinstance(default, float) and isinstance(value, str) and re.fullmatch(r"([+-]?\d+)[eE]([+-]?\d+)", value)
    return f"; to YAML this is a text: write {without_point[1]}.0e{int(without_point[2]):+d}" if without_point else ""


def _is_plain(value: object) -> bool:
    """Whether a value travels to a job as JSON and back: YAML has dates, bytes and infinities too."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))


def grid(config: dict) -> list[tuple[str, str]]:
    """The pairs (data set, features) of a configuration, in its order."""
    pairs = []
    for dataset in config["datasets"]:
        base = variant("datasets", dataset, config).component.name
        fitting = [name for name in config["features"] if _fits(variant("features", name, config), dataset, base)]
        if not fitting:
            raise BenchmarkError(f"features: none of {', '.join(config['features'])} is for data set {dataset}")
        pairs += [(dataset, name) for name in fitting]
    return pairs


def _fits(features: Variant, dataset: str, base: str) -> bool:
    return features.datasets is None or dataset in features.datasets or base in features.datasets


def runs(config: dict) -> list[Run]:
    """Every run that a configuration asks for, in the order of its lists; a method without randomness runs once, as seed 0.

    Raises BenchmarkError for anything in the configuration that names what does not exist or cannot be read.
    """
    unknown = [name for name in config["controls"] if name not in CONTROLS]
    if unknown:
        raise BenchmarkError(f"controls: {unknown[0]!r} is unknown: expected one of {', '.join(CONTROLS)}")
    clash = [name for name in config["methods"] if name in CONTROLS]
    if clash:
        raise BenchmarkError(f"methods: {clash[0]!r} is a control: list it under controls")
    for floor in plugins.WORK:
        for name in config[floor]:
            variant_sources(floor, name, config)  # raises here what Snakemake would take for a job that there is none for
    for dataset, features in grid(config):
        _need_images(dataset, features, config)
        for name in config["methods"]:
            consumed(dataset, features, name, config)
            only = variant("methods", name, config).datasets
            if only and dataset not in only:
                raise BenchmarkError(f"methods: {name} is for {', '.join(only)} alone, not for {dataset}")
    return [
        Run(dataset, features, name, bits, seed)
        for dataset, features in grid(config)
        for name in config["methods"]
        for bits, seed in bits_and_seeds(name, config)
    ]


def _need_images(dataset: str, features: str, config: dict) -> None:
    """Raise BenchmarkError if a data set is prepared without images, and what runs on it reads them."""
    if variant("datasets", dataset, config).keywords.get("images") is not False:
        return
    asked = [variant("features", features, config), *(variant("methods", name, config) for name in config["methods"])]
    for found in asked:
        if "images" in found.component.consumes:
            raise BenchmarkError(
                f"{found.component.floor}: {found.name} reads images, and data set {dataset} has none (`images: false`): "
                "set `images: true` for it, or leave them out"
            )


def with_numbers(config: dict) -> dict:
    """The configuration with whole numbers where `snakemake --config 'bits=[16, 32]'` gives their text."""
    listed = {key: config[key] for key in ("bits", "seeds", "timed") if isinstance(config.get(key), list)}
    return config | {key: [_whole(item) for item in items] for key, items in listed.items()}


def _whole(item: object) -> object:
    """12 for "12" and for 12.0, which the schema takes for whole and a path would not; anything else as it is."""
    whole = isinstance(item, float) and item.is_integer()
    return int(item) if whole or (isinstance(item, str) and item.isdecimal()) else item


def with_trials(config: dict) -> dict:
    """The configuration with each method that has `trials` replaced by one variant a trial, NAME.trial1 and so on.

    What a variant departs in goes before what a trial sets: a row without the adversary stays one. Raises BenchmarkError as `runs`.
    """
    trials = config.get("trials", {})
    for name in trials:
        _component_of("methods", name, "trials")
    methods, entries = [], {}
    for name in config["methods"]:
        found = variant("methods", name, config)
        part = found.component
        settings = [trial | found.settings for trial in trials.get(part.name, [])]
        labels = [f"{found.label}, trial {place}" for place in range(1, len(settings) + 1)]
        made = {
            f"{name}.trial{place}": {"of": part.name, "set": setting, "label": label, "note": found.note}
            for place, (setting, label) in enumerate(zip(settings, labels, strict=True), 1)
        }
        methods += list(made) or [name]
        entries |= made
    variants = config["variants"] | {"methods": config["variants"].get("methods", {}) | entries}
    return config | {"methods": methods, "variants": variants}


def consumed(dataset: str, features: str, name: str, config: dict) -> list[str]:
    """What a training job reads: what its method's arguments name, the split, and the descriptions of both."""
    place = {"dataset": dataset, "features": features}
    files = {"images": f"{DATASET}/images.npy", "features": f"{FEATURES}/features.npy", "neighbours": f"{FEATURES}/neighbours.npy"}
    files["codes"] = files["features"]  # for the number of images; the file itself is the user's
    part = variant("methods", name, config).component
    unknown = [argument for argument in part.consumes if argument not in files]
    if unknown:
        raise BenchmarkError(f"methods/{part.name}.py asks for {unknown[0]!r}: a method may consume {', '.join(files)}")
    if "sample" in part.literals and "neighbours" in part.consumes:
        raise BenchmarkError(f"methods/{part.name}.py has `sample` and asks for neighbours, which are of all training images: drop one")
    always = [f"{DATASET}/split.npz", *described_by(part).values()]
    return [pattern.format(**place) for pattern in [*(files[argument] for argument in part.consumes), *always]]


def described_by(part: plugins.Component) -> dict[str, str]:
    """The descriptions of what a method's runs are made of, by name: places with {dataset} and {features}."""
    return {name: path for name, path in DESCRIPTIONS.items() if name != "neighbours" or name in part.consumes}


def encoder(features: str, name: str, config: dict) -> tuple[str, str]:
    """What sees the images in the runs of a method, and the file of its weights: its own encoder, or what made the features it reads.

    Empty for codes that were made elsewhere; no file for what is not trained, or trained from scratch.
    """
    seen = variant("methods", name, config)
    of = seen.keywords.get("encoder", "features")
    if reads_features(name, config):
        seen = variant("features", features, config)
        of = seen.component.name
    elif of == "features":
        return "", ""
    return of, seen.keywords.get(WEIGHTS) or encoder_weights(seen.keywords) or seen.keywords.get("path") or ""


def encoder_weights(keywords: dict) -> str:
    """The file that a method's encoder is loaded from, the official one where none is named; empty for what is no ImageNet network."""
    parts = [plugins.component("features", name) for name in plugins.names("features")]
    official = {part.literals["network"]: part.keywords[WEIGHTS] for part in parts if "network" in part.literals}
    network = keywords.get("encoder")
    return (keywords.get(WEIGHTS) or official[network]) if network in official else ""


def reads_features(name: str, config: dict) -> bool:
    """Whether a method makes its codes of the features that it is given: not of images, by an encoder of its own, or of a file of codes."""
    seen = variant("methods", name, config)
    return seen.keywords.get("encoder", "features") == "features" and "features" in seen.component.consumes


def scored_folders(config: dict) -> list[tuple[str, str, str]]:
    """(data set, features, variant or control) of every scoring job: one job scores all bits and seeds of a variant."""
    names = [*config["controls"], *config["methods"]]
    return [(dataset, features, name) for dataset, features in grid(config) for name in names]


def scored_inputs(dataset: str, features: str, name: str, config: dict) -> list[str]:
    """What one scoring job reads: the codes of all runs of a variant, or for a control the features themselves."""
    if name in CONTROLS:
        return [FEATURES.format(dataset=dataset, features=features) + "/features.npy"]
    return [Run(dataset, features, name, bits, seed).folder + "/codes.npz" for bits, seed in bits_and_seeds(name, config)]


def bits_and_seeds(name: str, config: dict) -> list[tuple[int, int]]:
    """(bits, seed) of every run of a variant; a method without randomness runs once, as seed 0, a control once without bits."""
    if name in CONTROLS:
        return [(0, 0)]
    seeds = config["seeds"] if variant("methods", name, config).stochastic else [0]
    return [(bits, seed) for bits in config["bits"] for seed in seeds]


def outcomes(config: dict) -> list[str]:
    """Every file that `collect` reads."""
    read = {"dataset", "features"}.union(*(described_by(variant("methods", name, config).component) for name in config["methods"]))
    described = [path.format(dataset=d, features=f) for d, f in grid(config) for name, path in DESCRIPTIONS.items() if name in read]
    made = [f"{run.folder}/run.json" for run in runs(config)]
    scores = [SCORES.format(dataset=d, features=f, variant=v) for d, f, v in scored_folders(config)]
    scored = [f"{folder}/{file}" for folder in scores for file in ("metrics.csv", "score.json", "histograms.npz")]
    return list(dict.fromkeys(described + made + scored))


def check_citations(config: dict) -> None:
    """Raise BenchmarkError where a plugin cites what report/references.bib has no entry of: now, not once all is trained."""
    entries = re.findall(r"^@\w+\{\s*([^,\s]+)", (ROOT / "report/references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    for floor in ("datasets", "features", "methods"):
        for part in (variant(floor, name, config).component for name in config[floor]):
            cited = part.literals.get("citation")
            if cited and cited not in entries:
                where = f"{floor}/{part.name}.py cites {cited!r}"
                raise BenchmarkError(f"{where}, of which report/references.bib has no entry: add one, or set citation to None")


def uses_gpu(floor: str, name: str, config: dict) -> int:
    """1 if a method or extractor works on a GPU where there is one, else 0: what its job asks for, and its place before shorter jobs."""
    return int(variant(floor, name, config).component.literals.get("uses_gpu", False))


def submission(dataset: str, features: str, name: str, config: dict) -> str | None:
    """Name of what a cluster gets as one job: all runs of a method that needs no GPU, and their scoring. None: a job of its own."""
    alone = name in CONTROLS or uses_gpu("methods", name, config)
    return None if alone else f"{dataset}.{features}.{name}"


def user_files(floor: str, name: str, config: dict, bits: object = "", seed: object = "") -> list[str]:
    """Files and folders below the data folder that a variant's settings name, there or not. A job depends on what they hold, not on
    where they lie, so that moving the data folder makes nothing anew; weights are known by their digest already."""
    keywords = variant(floor, name, config).keywords
    named = [keywords[keyword] for keyword in USER_FILES if isinstance(keywords.get(keyword), str)]
    paths = [user_file(re.sub(r"\.mat:.*", ".mat", path), bits, seed, config) for path in named]  # a variable may follow
    return list(dict.fromkeys(map(str, paths)))


def user_file(path: str, bits: object, seed: object, config: dict | None = None) -> Path:
    """A file below the data folder; {bits} and {seed} in `path` stand for those of the run."""
    return data_folder(config) / path.replace("{bits}", str(bits)).replace("{seed}", str(seed))


def data_folder(config: dict | None = None) -> Path:
    """The user's data folder: BGAN_BENCH_DATA where it is set, else the key `data`, else `data`."""
    return Path(os.environ.get(DATA_VARIABLE) or (config or {}).get("data", "data"))


def job_environment(config: dict, cores: int | None) -> dict[str, str]:
    """Environment variables of every job: the programs, the data folder, and when the command began, on how many cores.

    `python` is the one that plans, and the floors win over installed packages of their names. The data folder is no parameter of a
    job, so that moving it makes nothing anew.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(paths),
        DATA_VARIABLE: str(data_folder(config)),
        "BGAN_BENCH_STARTED": os.environ.get("BGAN_BENCH_STARTED") or str(time.time()),
        "BGAN_BENCH_CORES": str(cores or 1),
    }


def settings_text(floor: str, name: str, config: dict) -> str:
    """Plugin and keywords of a variant as JSON: how parameters travel to a job, beside its path."""
    found = variant(floor, name, config)
    keywords = {key: value for key, value in found.keywords.items() if key != "seed"}
    validation = {"validation": True} if found.validation else {}
    return json.dumps({"of": found.component.name, "set": keywords} | validation, sort_keys=True)


def settings_given(floor: str, name: str, text: str | None) -> dict:
    """What `settings_text` wrote, as a job has it, or a user at a terminal; without a text, of the plugin that `name` stands for.

    Raises BenchmarkError for what is no such text, and for keywords as `variant` does.
    """
    if text is None:
        return json.loads(settings_text(floor, name, {}))
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"--settings is no JSON: {one_line(error)}") from None
    if not isinstance(given, dict) or not isinstance(given.get("of"), str) or not isinstance(given.get("set", {}), dict):
        raise BenchmarkError(f'--settings: found {text}, expected {{"of": "PLUGIN", "set": {{"KEYWORD": VALUE}}}}')
    return json.loads(settings_text(floor, name, {"variants": {floor: {name: given}}}))


def plan_text(config: dict) -> str:
    """The whole resolved configuration as JSON, and the files that it is from: what `collect` and `report` hold the results against."""
    keys = ("configfiles", "datasets", "features", "methods", "controls", "bits", "seeds", "variants", "trials", "tried", "timed")
    return json.dumps({key: config[key] for key in keys if key in config}, sort_keys=True)
