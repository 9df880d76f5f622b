"""The plan of an experiment: resolved and checked once, immutable. No other code knows a path.

Standard library only.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from harness import plugins, storage
from harness.errors import BenchmarkError, did_you_mean
from harness.schemas import COLLECTED_TABLES
from harness.user_data import CACHE
from harness.variants import (
    CONTROLS,
    FEATURES,
    Catalogue,
    Variant,
    control_bits,
    plain_label,
)

RESULTS = Path("results")
EXPERIMENTS = RESULTS / "experiments"
PUBLISHED = RESULTS / "published"
LOGS = Path("logs")
EXPERIMENT_LIST = EXPERIMENTS / "index.html"
TUNED_FOLDER = Path("config/tuned")  # DATASET.json: parameters chosen on validation labels
DEFAULT_CONFIG = Path("config/config.yaml")
MAX_NAME = 100  # characters: names are joined in names of files, which have 255


@dataclass(frozen=True, order=True)
class Place:
    """A data set and the features of its images; knows where their arrays are."""

    dataset: str
    features: str

    @cached_property
    def dataset_folder(self) -> Path:
        return CACHE / "datasets" / self.dataset

    @cached_property
    def dataset_record(self) -> Path:
        return self.dataset_folder / "dataset.json"

    @cached_property
    def images(self) -> Path:
        return self.dataset_folder / "images.npy"

    @cached_property
    def labels(self) -> Path:
        return self.dataset_folder / "labels.npy"

    @cached_property
    def split(self) -> Path:
        return self.dataset_folder / "split.npz"

    @cached_property
    def image_names(self) -> Path:
        return self.dataset_folder / "names.json"

    @cached_property
    def features_folder(self) -> Path:
        return CACHE / "features" / self.dataset / self.features

    @cached_property
    def features_record(self) -> Path:
        return self.features_folder / "features.json"

    @cached_property
    def features_array(self) -> Path:
        return self.features_folder / "features.npy"

    @cached_property
    def neighbours_record(self) -> Path:
        return self.features_folder / "neighbours.json"

    @cached_property
    def neighbours_array(self) -> Path:
        return self.features_folder / "neighbours.npy"

    @cached_property
    def views_record(self) -> Path:
        return self.features_folder / "views.json"

    @cached_property
    def views_array(self) -> Path:
        return self.features_folder / "views.npy"


# One object for each place, since it builds each of its paths only once.
place_of = functools.cache(Place)


@dataclass(frozen=True, order=True)
class Run:
    """One training and encoding job: one method variant, one code length and one seed."""

    dataset: str
    features: str
    variant: str
    bits: int
    seed: int

    @property
    def place(self) -> Place:
        return place_of(self.dataset, self.features)

    @property
    def name(self) -> str:
        """`DATASET/FEATURES/VARIANT/12bit/seed0`."""
        return f"{self.dataset}/{self.features}/{self.variant}/{self.bits}bit/seed{self.seed}"

    @property
    def folder(self) -> Path:
        return self._path("")

    @property
    def codes(self) -> Path:
        return self._path("codes.npz")

    @property
    def record(self) -> Path:
        return self._path("run.json")

    @property
    def extras(self) -> Path:
        return self._path("extras.npz")

    def _path(self, name: str) -> Path:
        # In one step: plans of thousands of runs have hundreds of thousands of paths.
        return Path(f"{RESULTS}/runs/{self.name}/{name}")

    @property
    def log(self) -> Path:
        return LOGS / "runs" / f"{self.name}.log"


@dataclass(frozen=True, order=True)
class Score:
    """The scores of all runs of one variant, or of one control, in one experiment."""

    root: Path
    dataset: str
    features: str
    variant: str

    @property
    def place(self) -> Place:
        return place_of(self.dataset, self.features)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.dataset, self.features, self.variant

    @property
    def folder(self) -> Path:
        return self.root / "scores" / self.dataset / self.features / self.variant

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def record(self) -> Path:
        return self.folder / "score.json"

    @property
    def histograms(self) -> Path:
        return self.folder / "histograms.npz"


class Row(NamedTuple):
    """An entry of the key `methods`: the code lengths at which it runs and is timed."""

    name: str
    bits: tuple[int, ...]
    timed: tuple[int, ...]


class Job(NamedTuple):
    """A job of the workflow: its rule, and the values of the rule's wildcards in their order."""

    rule: str
    key: tuple = ()


class Input(NamedTuple):
    """A file that a job reads, and the job that writes it.

    Where `decides` is False, the job only waits for the file, and its content decides nothing.
    """

    path: Path
    producer: Job
    decides: bool = True


@dataclass(frozen=True)
class Plan:
    """Everything that an experiment runs, resolved and checked. Create it with `Plan.load`.

    Parameters
    ----------
    name : str
        Of the experiment; empty for the default one.
    datasets, features, methods : mapping of str to Variant
        In the order of the configuration; trials replace the method that has them.
    controls : tuple of str
    bits, seeds, timed : tuple of int
    places : tuple of Place
    runs : tuple of Run
    rankings : tuple of str
        Rankings of the methods besides that by Hamming distance, of `schemas.RANKINGS`.
    omitted : tuple of str
        Listed methods that do not run, since none of their own code lengths is among `bits`.
    configfiles : tuple of str
        As given on the command line.
    data : str
        The data folder of the configuration.
    config : dict
        The configuration that `load` received.
    trials, tried : dict
        The trials of each plugin or row; what was chosen on validation labels, by data set.
    """

    name: str
    datasets: Mapping[str, Variant]
    features: Mapping[str, Variant]
    methods: Mapping[str, Variant]
    controls: tuple[str, ...]
    bits: tuple[int, ...]
    seeds: tuple[int, ...]
    timed: tuple[int, ...]
    places: tuple[Place, ...]
    runs: tuple[Run, ...]
    omitted: tuple[str, ...] = ()
    rankings: tuple[str, ...] = ()
    configfiles: tuple[str, ...] = ()
    data: str = "data"
    config: dict = field(default_factory=dict, repr=False)
    trials: dict = field(default_factory=dict, repr=False)
    tried: dict = field(default_factory=dict, repr=False)

    # ---------------------------------------------------------------- loading

    @classmethod
    def load(
        cls,
        config: dict,
        configfiles: Sequence[str] = (),
        validate: Callable[[dict], object] | None = None,
    ) -> Plan:
        """Resolve and check a configuration.

        Parameters
        ----------
        config : dict
        configfiles : sequence of str
            The files given with `--configfile`. They name the experiment unless the key `name`
            does.
        validate : callable, optional
            Called with the configuration. Raises for a key or a type that the schema forbids.

        Raises
        ------
        BenchmarkError
            For anything in the configuration that names what does not exist or cannot be read.
        """
        config = _with_whole_numbers(copy.deepcopy(config))
        if validate is not None:
            validate(config)

        tuned = _tuned(config)
        catalogue = Catalogue(_merged_variants(tuned, config.get("variants") or {}))
        rows = _rows(config)
        _check_controls(config, rows)
        _check_timed(config)

        resolved = {}
        for stage in ("datasets", "features"):
            resolved[stage] = {name: catalogue.resolve(stage, name) for name in config[stage]}
        resolved["methods"] = _methods(rows, config.get("trials") or {}, catalogue)
        variants = {stage: MappingProxyType(named) for stage, named in resolved.items()}
        places = _places(variants["datasets"], variants["features"])
        for place in places:
            _check_images(place, variants)
            _check_views(place, variants)
            for method in variants["methods"].values():
                _check_method(method, variants["datasets"][place.dataset])

        return cls(
            name=_experiment_name(config, configfiles),
            **variants,
            controls=tuple(config["controls"]),
            bits=tuple(config["bits"]),
            seeds=tuple(config["seeds"]),
            timed=_timed(config, variants["methods"]),
            places=tuple(places),
            runs=tuple(_runs(places, variants["methods"], config)),
            omitted=tuple(row.name for row in rows if not row.bits),
            rankings=tuple(sorted(config.get("rankings") or ())),
            configfiles=tuple(configfiles),
            data=config.get("data") or "data",
            config=config,
            trials=config.get("trials") or {},
            tried={name: chosen["tried"] for name, chosen in tuned.items()}
            | (config.get("tried") or {}),
        )

    def save(self) -> Path:
        """Write the plan to a file named by its content, and return the path."""
        saved = {"config": self.config, "configfiles": list(self.configfiles)}
        path = CACHE / "plans" / f"{_plan_digest(saved)}.json"
        if not path.is_file():
            storage.write_json(path, saved)
        return path

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        """Load the plan that `save` wrote. Raise BenchmarkError for any other file."""
        saved = storage.read_json(path)
        if Path(path).stem != _plan_digest(saved):
            raise BenchmarkError(
                f"--plan {path} is not a plan, or was changed: use a file of {CACHE}/plans, which "
                "snakemake writes"
            )
        return cls.load(saved["config"], saved["configfiles"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what the plan runs and of how tables show it, wherever its data are."""
        rows = {}
        for stage in ("datasets", "features", "methods"):
            rows[stage] = [_described(variant) for variant in getattr(self, stage).values()]

        optional = ("tables", "figures", "rankings")
        shown = {key: self.config[key] for key in optional if self.config.get(key)}
        content = (
            rows
            | shown
            | {
                "controls": self.controls,
                "bits": self.bits,
                "seeds": self.seeds,
                "timed": self.timed,
                "trials": self.trials,
                "tried": self.tried,
                "configfiles": self.configfiles,
            }
        )
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    # ------------------------------------------------------------------ paths

    @property
    def root(self) -> Path:
        """Folder of the experiment's tables, scores and report."""
        return EXPERIMENTS / self.name if self.name else RESULTS

    @property
    def partial_root(self) -> Path:
        """Folder of the tables and the report of the runs that are done so far."""
        return self.root / "partial"

    @property
    def collected(self) -> list[Path]:
        """The files that `collect` writes."""
        return [self.root / name for name in (*COLLECTED_TABLES, "experiment.json")]

    def score(self, place: Place, variant: str, root: Path | None = None) -> Score:
        return Score(root or self.root, place.dataset, place.features, variant)

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """Every scoring job: one scores all code lengths and seeds of a variant or control."""
        names = [*self.controls, *self.methods]
        return tuple(self.score(place, name) for place in self.places for name in names)

    @cached_property
    def timed_runs(self) -> tuple[Run, ...]:
        """The runs that `timing` repeats: the first seed at each timed code length."""
        timed = [run for run in self.runs if run.bits in self.methods[run.variant].timed]
        first = {(run.place, run.variant, run.bits): run for run in reversed(timed)}
        return tuple(run for run in timed if first[run.place, run.variant, run.bits] == run)

    @cached_property
    def _runs_by_score(self) -> dict[tuple[str, str, str], list[Run]]:
        groups: dict[tuple[str, str, str], list[Run]] = {}
        for run in self.runs:
            groups.setdefault((run.dataset, run.features, run.variant), []).append(run)
        return groups

    def runs_of(self, score: Score) -> list[Run]:
        """Return the runs that one scoring job scores; none for a control."""
        return self._runs_by_score.get(score.key, [])

    def scored(self, score: Score) -> list[tuple[int, int]]:
        """Return bits and seed of all that one scoring job scores. The seed of a control is 0."""
        if score.variant not in CONTROLS:
            return [(run.bits, run.seed) for run in self.runs_of(score)]
        lengths = {control_bits(score.variant, bits) for bits in self.bits}
        return [(bits, 0) for bits in sorted(lengths)]

    # ------------------------------------------------------------------- jobs

    def jobs(self) -> Iterator[Job]:
        """Yield every job in an order in which each comes after those that it depends on."""
        yield from (Job("dataset", (name,)) for name in self.datasets)
        for place in self.places:
            yield Job("features", (place.dataset, place.features))
            for array in plugins.TRAINING_ARRAYS:
                if any(array in method.consumes for method in self.methods.values()):
                    yield Job(array, (place.dataset, place.features))

        yield from (encode_job(run) for run in self.runs)
        yield from (Job("score", score.key) for score in self.scores)
        yield Job("collect")
        if self.timed:
            yield Job("timing")

        yield Job("report")

    def inputs(self, job: Job) -> list[Input]:
        """Return the files of the workflow that a job reads."""
        return getattr(self, f"_inputs_of_{job.rule}")(*job.key)

    def outputs(self, job: Job) -> list[Path]:
        """Return the files that a job writes, its record last."""
        return getattr(self, f"_outputs_of_{job.rule}")(*job.key)

    def record(self, job: Job) -> Path:
        """Return the JSON file that states what the outputs of a job are made of."""
        return self.outputs(job)[-1]

    def _inputs_of_dataset(self, dataset: str) -> list[Input]:
        return []

    def _outputs_of_dataset(self, dataset: str) -> list[Path]:
        place = place_of(dataset, "")
        return [place.images, place.labels, place.split, place.image_names, place.dataset_record]

    def _inputs_of_features(self, dataset: str, features: str) -> list[Input]:
        place = place_of(dataset, features)
        return _from(dataset_job(place), place.images, place.image_names, place.dataset_record)

    def _outputs_of_features(self, dataset: str, features: str) -> list[Path]:
        place = place_of(dataset, features)
        return [place.features_array, place.features_record]

    def _inputs_of_neighbours(self, dataset: str, features: str) -> list[Input]:
        place = place_of(dataset, features)
        return [
            *_from(dataset_job(place), place.split, place.dataset_record),
            *_from(features_job(place), place.features_array, place.features_record),
        ]

    def _outputs_of_neighbours(self, dataset: str, features: str) -> list[Path]:
        place = place_of(dataset, features)
        return [place.neighbours_array, place.neighbours_record]

    def _inputs_of_views(self, dataset: str, features: str) -> list[Input]:
        place = place_of(dataset, features)
        return _from(
            dataset_job(place), place.images, place.split, place.image_names, place.dataset_record
        )

    def _outputs_of_views(self, dataset: str, features: str) -> list[Path]:
        place = place_of(dataset, features)
        return [place.views_array, place.views_record]

    def _inputs_of_encode(
        self, dataset: str, features: str, variant: str, bits: int, seed: int
    ) -> list[Input]:
        """Labels are no input: every method is unsupervised."""
        place, consumes = place_of(dataset, features), self.methods[variant].consumes
        inputs = _from(dataset_job(place), place.split, place.dataset_record)
        if "images" in consumes:
            inputs += _from(dataset_job(place), place.images)

        if "features" in consumes or "codes" in consumes:  # codes: for the number of images
            inputs += _from(features_job(place), place.features_array, place.features_record)

        if "neighbours" in consumes:
            inputs += _from(neighbours_job(place), place.neighbours_array, place.neighbours_record)

        if "views" in consumes:
            inputs += _from(views_job(place), place.views_array, place.views_record)

        return inputs

    def _outputs_of_encode(
        self, dataset: str, features: str, variant: str, bits: int, seed: int
    ) -> list[Path]:
        run = Run(dataset, features, variant, bits, seed)
        return [run.codes, run.extras, run.record]

    def _inputs_of_score(self, dataset: str, features: str, variant: str) -> list[Input]:
        place = place_of(dataset, features)
        inputs = _from(dataset_job(place), place.labels, place.split, place.dataset_record)
        inputs += _from(features_job(place), place.features_array, place.features_record)
        if variant in CONTROLS:
            return inputs

        runs = self.runs_of(self.score(place, variant))
        return inputs + [
            Input(path, encode_job(run)) for run in runs for path in (run.codes, run.record)
        ]

    def _outputs_of_score(self, dataset: str, features: str, variant: str) -> list[Path]:
        score = self.score(place_of(dataset, features), variant)
        return [score.metrics, score.histograms, score.record]

    def _inputs_of_collect(self) -> list[Input]:
        place_records = [
            Input(self.record(job), job)
            for job in self.jobs()
            if job.rule in ("dataset", "features", *plugins.TRAINING_ARRAYS)
        ]
        runs = [Input(run.record, encode_job(run)) for run in self.runs]
        scores = [
            Input(path, Job("score", score.key))
            for score in self.scores
            for path in (score.metrics, score.histograms, score.record)
        ]
        return place_records + runs + scores

    def _outputs_of_collect(self) -> list[Path]:
        return self.collected

    def _inputs_of_timing(self) -> list[Input]:
        """Every run and table too, so that nothing else runs while it measures."""
        timed = [Input(run.record, encode_job(run)) for run in self.timed_runs]
        waited_for = [Input(path, Job("collect"), decides=False) for path in self.collected]
        return timed + waited_for + self._arrays()

    def _outputs_of_timing(self) -> list[Path]:
        return [self.root / "timing.csv", self.root / "timing.json"]

    def _inputs_of_report(self) -> list[Input]:
        inputs = _from(Job("collect"), *self.collected)
        if self.timed:
            inputs += _from(Job("timing"), *self._outputs_of_timing())
        inputs += [Input(score.histograms, Job("score", score.key)) for score in self.scores]
        inputs += [Input(run.extras, encode_job(run)) for run in self.runs]
        images = [Place(dataset, "").images for dataset in self.datasets]
        jobs = [Job("dataset", (dataset,)) for dataset in self.datasets]
        return inputs + [Input(path, job) for path, job in zip(images, jobs, strict=True)]

    def _outputs_of_report(self) -> list[Path]:
        folder = self.root / "report"
        return [
            folder / "index.html",
            folder / "tables",
            folder / "figures",
            folder / "report.json",
        ]

    def _arrays(self) -> list[Input]:
        inputs = []
        for place in self.places:
            inputs += _from(dataset_job(place), place.images, place.split, place.dataset_record)
            inputs += _from(features_job(place), place.features_array, place.features_record)
        return list(dict.fromkeys(inputs))

    # ------------------------------------------------------------------- rows

    def encoder_and_weights(self, features: str, method: str) -> tuple[str, str]:
        """Return what sees the images in the runs of a method, and the file of its weights.

        The encoder is the method's own, or the extractor of the features that it reads; both are
        empty for codes from files. The file is empty for an encoder without pretrained weights.
        """
        variant = self.methods[method]
        if not variant.reads_features:
            if variant.encoder == FEATURES:
                return "", ""
            return variant.encoder, variant.pretrained_weights

        extractor = self.features[features]
        files = [extractor.pretrained_weights, *extractor.user_files, ""]
        return extractor.plugin.name, next(filter(None, files), "")

    def submission(self, run: Run | Score) -> str | None:
        """Name of the group that a cluster gets as one job: all runs of a method that needs no GPU.

        None where a job is submitted on its own.
        """
        if run.variant in CONTROLS or self.methods[run.variant].uses_gpu:
            return None
        return f"{run.dataset}.{run.features}.{run.variant}"


def job_of(rule: str, wildcards: Mapping[str, str]) -> Job:
    """Return a job by its rule and Snakemake's wildcards of it."""
    numbers = ("bits", "seed")
    key = [int(value) if name in numbers else value for name, value in wildcards.items()]
    return Job(rule, tuple(key))


def dataset_job(place: Place) -> Job:
    return Job("dataset", (place.dataset,))


def features_job(place: Place) -> Job:
    return Job("features", (place.dataset, place.features))


def neighbours_job(place: Place) -> Job:
    return Job("neighbours", (place.dataset, place.features))


def views_job(place: Place) -> Job:
    return Job("views", (place.dataset, place.features))


def encode_job(run: Run) -> Job:
    return Job("encode", (run.dataset, run.features, run.variant, run.bits, run.seed))


def _from(producer: Job, *paths: Path) -> list[Input]:
    return [Input(path, producer) for path in paths]


def _plan_digest(saved: dict) -> str:
    return hashlib.sha256(json.dumps(saved, sort_keys=True).encode()).hexdigest()[:32]


def _described(variant: Variant) -> dict:
    """Return the fields of a variant that results or tables depend on."""
    fields = {name: value for name, value in vars(variant).items() if name != "plugin"}
    literals = {name: variant.plugin.member(name) for name in ("label", "citation", "fidelity")}
    literals |= {"tier": variant.tier} if variant.stage == "methods" else {}
    return fields | {"plugin": variant.plugin.name, "params": variant.params, "literals": literals}


def _experiment_name(config: dict, configfiles: Iterable[str]) -> str:
    given = [Path(path) for path in configfiles if Path(path) != DEFAULT_CONFIG]
    name = config.get("name") or "+".join(path.stem for path in given)
    if name == EXPERIMENT_LIST.name:
        raise BenchmarkError(
            f"the experiment would be named {name!r}, as the list {EXPERIMENT_LIST} is: set the "
            "key `name` to another name"
        )
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
        raise BenchmarkError(
            f"the experiment would be named {name!r} after its configuration files: expected "
            "letters, digits and _ . + - only. Rename the file, or set the key `name`"
        )
    if len(name) > MAX_NAME:
        raise BenchmarkError(
            f"the experiment would be named {name[:20]!r}... of {len(name)} characters after its "
            f"configuration files: expected at most {MAX_NAME}. Set the key `name`"
        )

    return name


def _with_whole_numbers(config: dict) -> dict:
    """Convert the texts that `snakemake --config 'bits=[16, 32]'` gives to whole numbers."""
    config = config | _whole_lists(config, ("bits", "seeds", "timed"))
    if isinstance(config.get("methods"), list):
        config["methods"] = [
            entry | _whole_lists(entry, ("bits", "timed")) if isinstance(entry, dict) else entry
            for entry in config["methods"]
        ]
    return config


def _whole_lists(entry: dict, keys: Iterable[str]) -> dict[str, list]:
    """Return the lists of these keys, their texts converted to whole numbers."""
    lists = {}
    for key in keys:
        if isinstance(entry.get(key), list):
            lists[key] = [_whole_number(item) for item in entry[key]]
    return lists


def _whole_number(item: object) -> object:
    """Return 12 for "12" and for 12.0, which a path does not allow; else the item."""
    if isinstance(item, str) and re.fullmatch("0|-?[1-9][0-9]*", item):
        return int(item)
    return int(item) if isinstance(item, float) and item.is_integer() else item


def _tuned(config: dict) -> dict[str, dict]:
    """Return {data set: configuration with its chosen parameters}."""
    catalogue = Catalogue(config.get("variants") or {})
    configurations = {}
    for name in config["datasets"]:
        variant = catalogue.resolve("datasets", name)
        dataset = variant.base if variant.validation else name
        path = plugins.ROOT / TUNED_FOLDER / f"{dataset}.json"
        if path.is_file():
            chosen = storage.read_json(path)
            _check_chosen(chosen, path)
            configurations[dataset] = {
                "variants": chosen.get("variants") or {},
                "tried": (chosen.get("tried") or {}).get(dataset, {}),
            }

    return configurations


def _check_chosen(chosen: dict, path: Path) -> None:
    for tried in (chosen.get("tried") or {}).values():
        if "metric" not in tried:
            raise BenchmarkError(
                f"{path.relative_to(plugins.ROOT)} has no key 'metric': an earlier version wrote "
                "the file. Rerun `python -m experiments choose`, or delete the file"
            )


def _merged_variants(tuned: dict[str, dict], variants: dict) -> dict:
    """Return the tuned variants, updated with the variants of the configuration."""
    stages: dict[str, dict] = {"datasets": {}, "features": {}, "methods": {}}
    for chosen in [*(entry["variants"] for entry in tuned.values()), variants]:
        for stage, entries in chosen.items():
            stages[stage] |= entries or {}
    return stages


def _rows(config: dict) -> list[Row]:
    """The entries of the key `methods`, their code lengths limited to those of the experiment."""
    rows = []
    for entry in config["methods"]:
        own = entry if isinstance(entry, Mapping) else {"name": entry}
        bits = [length for length in config["bits"] if length in own.get("bits", config["bits"])]
        timed = {*(config.get("timed") or ()), *own.get("timed", ())}
        rows.append(Row(own["name"], tuple(bits), tuple(x for x in bits if x in timed)))
    names = [row.name for row in rows]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise BenchmarkError(
            f"methods: found {repeated[0]!r} more than once: join its entries, or remove one"
        )
    return rows


def _methods(
    rows: Sequence[Row], trials: Mapping[str, list[dict]], catalogue: Catalogue
) -> dict[str, Variant]:
    """Return the methods that run. A method with trials is replaced by one variant per trial.

    A key of `trials` is an entry of `methods`, or a plugin: its trials are those of all entries of
    this plugin that have no trials of their own.
    """
    row_names = {row.name for row in rows}
    for name in trials:
        if name in row_names:  # of one row, which may be a variant
            continue
        try:
            plugins.read_plugin("methods", name)
        except BenchmarkError as error:
            raise BenchmarkError(f"trials: {error}") from None

    methods = {}
    for row in rows:
        base = catalogue.resolve("methods", row.name)
        trials_of_row = trials.get(row.name) or trials.get(base.plugin.name) or []
        names = _add_trials(base, trials_of_row, catalogue) or [row.name]
        for name in names if row.bits else ():
            variant = catalogue.resolve("methods", name)
            methods[name] = dataclasses.replace(variant, bits=row.bits, timed=row.timed)
    return methods


def _add_trials(base: Variant, trials: Iterable[dict], catalogue: Catalogue) -> list[str]:
    """Define a variant for each trial of `base`, and return the names of the new variants.

    The overrides of `base` take precedence over those of a trial. So all trials of a variant
    without the adversarial loss are without it.
    """
    names = []
    for number, overrides in enumerate(trials, 1):
        entry = {
            "of": base.plugin.name,
            "set": overrides | base.overrides,
            "label": f"{plain_label(base.label)}, trial {number}",
            "note": base.note,
            "fitted_on": base.fitted_on,
            "base": base.name,
            "trial": number,
        }
        names.append(f"{base.name}.trial{number}")
        catalogue.add("methods", names[-1], entry)
    return names


def _timed(config: dict, methods: Mapping[str, Variant]) -> tuple[int, ...]:
    """The code lengths at which some method is timed."""
    timed = dict.fromkeys(config.get("timed") or ())
    for method in methods.values():
        timed |= dict.fromkeys(method.timed)
    return tuple(timed)


def _check_controls(config: dict, rows: Iterable[Row]) -> None:
    for name in config["controls"]:
        if name not in CONTROLS:
            raise BenchmarkError(
                f"controls: {name!r} is unknown{did_you_mean(name, list(CONTROLS))}: "
                f"expected one of {', '.join(CONTROLS)}"
            )
    for row in rows:
        if row.name in CONTROLS:
            raise BenchmarkError(f"methods: {row.name!r} is a control: list it under controls")


def _check_timed(config: dict) -> None:
    for length in config.get("timed") or ():
        if length not in config["bits"]:
            listed = ", ".join(map(str, config["bits"]))
            raise BenchmarkError(
                f"timed: {length} is not among bits: {listed}. Add it to bits, or remove it from "
                "timed"
            )


def _places(datasets: Mapping[str, Variant], features: Mapping[str, Variant]) -> list[Place]:
    places: list[Place] = []
    for dataset in datasets.values():
        fitting = [name for name, variant in features.items() if variant.fits(dataset)]
        if not fitting:
            raise BenchmarkError(
                f"features: none of {', '.join(features)} may be used on data set {dataset.name}: "
                "add features that may, or remove the data set"
            )
        places += [Place(dataset.name, name) for name in fitting]

    return places


def _check_images(place: Place, variants: Mapping[str, Mapping[str, Variant]]) -> None:
    """Raise BenchmarkError if a data set is prepared without images, and a job on it reads them."""
    if variants["datasets"][place.dataset].params.get("images") is not False:
        return
    for variant in [variants["features"][place.features], *variants["methods"].values()]:
        if "images" in variant.plugin.consumes:
            raise BenchmarkError(
                f"{variant.stage}: {variant.name} reads images, and data set {place.dataset} has "
                "none (`images: false`): set `images: true` for it, or remove one of the two"
            )


def _check_views(place: Place, variants: Mapping[str, Mapping[str, Variant]]) -> None:
    """Raise BenchmarkError if a method reads views of the training images, and there are none."""
    reading = [name for name, method in variants["methods"].items() if "views" in method.consumes]
    if not reading:
        return
    try:
        variants["features"][place.features].check_views()
    except BenchmarkError as error:
        raise BenchmarkError(f"methods: {reading[0]} reads views: {error}") from None


def _check_method(method: Variant, dataset: Variant) -> None:
    """Raise BenchmarkError for a method that a data set does not allow, or that reads too much."""
    plugin = method.plugin
    allowed = ("images", "features", *plugins.TRAINING_ARRAYS, "codes")
    unknown = [argument for argument in plugin.consumes if argument not in allowed]
    if unknown:
        raise BenchmarkError(
            f"methods/{plugin.name}.py asks for {unknown[0]!r}: "
            f"a method may consume {', '.join(allowed)}"
        )
    whole = [array for array in plugins.TRAINING_ARRAYS if array in plugin.consumes]
    if plugin.member("sample") and whole:
        raise BenchmarkError(
            f"methods/{plugin.name}.py declares `sample` and consumes {whole[0]}, which are "
            "of all training images: remove one of the two"
        )
    if plugin.member("sample") and plugin.member("pooled"):
        raise BenchmarkError(
            f"methods/{plugin.name}.py declares `sample` and `pooled`, for which the rows of all "
            "views are needed: remove one of the two"
        )
    alone = set(plugin.consumes) == {"features"}
    if method.fitted_on and not (alone or (plugin.member("pooled") and method.reads_features)):
        raise BenchmarkError(
            f"variants: methods: {method.name}: fitted_on is {method.fitted_on!r}, expected a "
            "method that reads features alone, or declares `pooled` and has no encoder of its "
            f"own; found one that reads {', '.join(plugin.consumes)}: remove `fitted_on`"
        )
    if not method.fits(dataset):
        raise BenchmarkError(
            f"methods: {method.name} may be used on {', '.join(method.datasets or ())} only, "
            f"not on {dataset.name}"
        )


def _runs(places: list[Place], methods: Mapping[str, Variant], config: dict) -> Iterator[Run]:
    pairs = {name: _bits_and_seeds(method, config["seeds"]) for name, method in methods.items()}
    for place in places:
        for name in methods:
            for bits, seed in pairs[name]:
                yield Run(place.dataset, place.features, name, bits, seed)


def _bits_and_seeds(method: Variant, seeds: Iterable[int]) -> list[tuple[int, int]]:
    """(bits, seed) of every run of a method; one without randomness runs once, as seed 0."""
    chosen = list(seeds) if method.stochastic else [0]
    return [(length, seed) for length in method.bits for seed in chosen]


def citation_keys() -> set[str]:
    """Return the keys of the entries in report/references.bib."""
    text = (plugins.ROOT / "report/references.bib").read_text(encoding="utf-8")
    return set(re.findall(r"^@\w+\{\s*([^,\s]+)", text, re.MULTILINE))


def check_citations(plan: Plan) -> None:
    """Raise BenchmarkError if a plugin cites a key that report/references.bib does not have."""
    entries = citation_keys()
    variants = [*plan.datasets.values(), *plan.features.values(), *plan.methods.values()]
    for variant in variants:
        cited = variant.plugin.member("citation")
        if cited and cited not in entries:
            raise BenchmarkError(
                f"{variant.stage}/{variant.plugin.name}.py cites {cited!r}, which is not in "
                "report/references.bib: add the entry, or set citation to None"
            )


def fields_of(run: Run) -> dict:
    """Return the fields of a run as a dictionary."""
    return dict(vars(run))  # `dataclasses.asdict` copies each value, which takes ten times as long
