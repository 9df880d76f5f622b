"""Variants: a plugin with its own name and the parameters that a configuration overrides.

Standard library only.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace

from harness import plugins
from harness.errors import BenchmarkError, did_you_mean

STAGES = ("datasets", "features", "methods")
DEFAULT_SUFFIX = " (default)"  # of the label of a row that has a tuned version
FEATURES = "features"  # the encoder of a method that sees no images
VALIDATION_SUFFIX = "-validation"
TUNED_ON = ".tuned-"  # in the name of a row, between its method and a data set
METRICS = ("centred-cosine", "cosine", "l2")  # of neighbour lists, the default first
# Rankings by features, which are no hash codes. The quantised ones are the reference lines.
CONTROLS = {
    "exact-cosine": "Exact cosine",
    "exact-l2": "Exact Euclidean",
    "int8": "Int8 features",
    "pq": "Product quantisation",
}
QUANTISERS = ("int8", "pq")
PRODUCT_QUANTISER = "pq"  # has a value for each code length; other controls have 0 bits

STAGES_OF_KEY = {
    "neighbours": ("features",),
    "datasets": ("features", "methods"),
    **dict.fromkeys(("base", "tuned", "tuned_on", "fitted_on"), ("methods",)),
    **dict.fromkeys(("settings", "trials", "labels_used"), ("methods",)),
}


@dataclass(frozen=True)
class Variant:
    """One row of a table, one data set or one kind of features: a plugin and its parameters.

    Parameters
    ----------
    stage : {"datasets", "features", "methods"}
    name : str
        Name in configurations, paths and results.
    plugin : plugins.Plugin
    overrides : dict
        The parameters that the configuration sets.
    label, note : str
        Name in tables; a sentence for captions.
    datasets : tuple of str or None
        The data sets that the variant is restricted to.
    neighbours : str
        Of features: the metric of the neighbour lists.
    fitted_on : str
        Of methods: "views" if `fit` gets the views of the training images, each as a row of
        features; empty if it gets the training images.
    base : str
        The variant that this one is a trial, a tuned version or the validation part of; else
        `name`.
    trial : int or None
        Number of the trial of `base`, from 1.
    tuned : str
        Whose chosen parameters the variant has: "own" for those of `base`, the name of another
        method for those of that method; empty if no parameters were chosen.
    tuned_on : str
        The data set on whose validation part they were chosen.
    origin : {"released", "default", "trial", "tuned"}
        Where the parameters of a method come from.
    trials, labels_used : int
        How many settings were tried, and how many labels chose one of them.
    protocol : str
        Of data sets: the protocol, where `name` states it.
    validation : bool
        Of data sets: whether queries and database both come from the training part of `base`.
    bits, timed : tuple of int
        Of methods in a plan: the code lengths of its runs, and those at which it is timed.
    """

    stage: str
    name: str
    plugin: plugins.Plugin
    overrides: dict
    label: str
    note: str = ""
    datasets: tuple[str, ...] | None = None
    neighbours: str = METRICS[0]
    fitted_on: str = ""
    base: str = ""
    trial: int | None = None
    tuned: str = ""
    tuned_on: str = ""
    origin: str = "default"
    trials: int = 0
    labels_used: int = 0
    protocol: str = ""
    validation: bool = False
    bits: tuple[int, ...] = ()
    timed: tuple[int, ...] = ()

    @property
    def params(self) -> dict:
        """Every parameter with its value, without the seed: defaults, then overrides."""
        resolved = self.plugin.defaults | self.overrides
        return {name: value for name, value in resolved.items() if name != "seed"}

    @property
    def seeded(self) -> bool:
        """Whether the plugin takes a seed."""
        return "seed" in self.plugin.defaults

    @property
    def stochastic(self) -> bool:
        """Whether seeds differ: the plugin takes one, and files of codes have it in their names."""
        files = self.user_files
        return self.seeded and (not files or any("{seed}" in path for path in files))

    @property
    def user_files(self) -> list[str]:
        """Files and folders below the data folder that the parameters name, weights excluded."""
        return [path for param in self.plugin.file_params if (path := self.params[param])]

    @property
    def weights(self) -> str | None:
        """File of pretrained weights below the data folder; None for the official one or none."""
        return self.params.get(self.plugin.member("weights_param"))

    @property
    def weights_digest(self) -> str | None:
        """SHA-256 of a file of weights that is not the official one."""
        return self.params.get(self.plugin.member("digest_param"))

    @property
    def consumes(self) -> tuple[str, ...]:
        """Names of the arrays that a method reads."""
        return (*self.plugin.consumes, *filter(None, [self.fitted_on]))

    def check_views(self) -> None:
        """Raise BenchmarkError if features cannot be computed from augmented images."""
        if "rows" in self.plugin.consumes:
            raise BenchmarkError(
                f"features: {self.name} reads rows from a file, so there are no views of the "
                "training images: use features that are computed from images, or remove the "
                "methods that read views"
            )
        if self.plugin.member("augmentation") is None:
            raise BenchmarkError(
                f"features/{self.plugin.name}.py declares no `augmentation`, so there are no views "
                f"of the training images: set it to one of {', '.join(plugins.AUGMENTATIONS)} in "
                "the class, or remove the methods that read views"
            )

    @property
    def uses_gpu(self) -> bool:
        return bool(self.plugin.member("uses_gpu"))

    @property
    def encoder(self) -> str:
        """The network through which a method sees the images; "features" if it has none."""
        return self.params.get(self.plugin.member("encoder_param"), FEATURES)

    @property
    def reads_features(self) -> bool:
        """Whether codes are computed from the given features, not from images or from a file."""
        return self.encoder == FEATURES and "features" in self.plugin.consumes

    @property
    def entry(self) -> dict:
        """Plugin, resolved parameters and their origin: what a job needs to know of the variant."""
        entry = {"of": self.plugin.name, "set": self.params}
        optional = {
            "validation": self.validation,
            "fitted_on": self.fitted_on,
            "settings": self.origin if self.origin != "default" else "",
            "trials": self.trials,
            "labels_used": self.labels_used,
        }
        return entry | {key: value for key, value in optional.items() if value}

    @property
    def pretrained_weights(self) -> str:
        """File of the ImageNet weights of an extractor, or of the encoder of a method.

        It is the one that the variant names, else the official one. Empty without an ImageNet
        network.
        """
        source = plugins.ROOT / "harness/imagenet.py"
        official = plugins.constant(source, "OFFICIAL")
        network = self.plugin.member("network") or self.encoder
        if network in official:
            folder = plugins.constant(source, "PACKAGES").get(network, "weights")
            return self.weights or f"{folder}/{official[network]}"
        return (self.weights or "") if self.plugin.member("network") else ""

    @property
    def tier(self) -> str:
        """What decides the codes of a method besides the given features, of `plugins.TIERS`."""
        tier = self.plugin.member("tier")
        if tier == "features" and self.fitted_on:
            return self.fitted_on
        return "images" if tier == "encoder" and not self.pretrained_weights else tier

    @property
    def uses(self) -> dict[str, object]:
        """What a row of a method uses: the columns `schemas.USES` of runs.csv, and of run.json."""
        return {
            "tier": self.tier,
            "fidelity": self.plugin.member("fidelity"),
            "settings": self.origin,
            "trials": self.trials,
            "labels_used": self.labels_used,
        }

    @property
    def entry_text(self) -> str:
        """`entry` as JSON, the value of a job's option `--entry`."""
        return json.dumps(self.entry, sort_keys=True)

    def fits(self, dataset: Variant) -> bool:
        """Return whether the variant may be used on a data set: by its name or its plugin's."""
        allowed = self.datasets
        return (
            allowed is None
            or dataset.name in allowed
            or (self.stage == "features" and dataset.plugin.name in allowed)
        )


def control_bits(control: str, bits: int) -> int:
    """Return the bits of the scores of a control at a code length: 0 if it has one for all."""
    return bits if control == PRODUCT_QUANTISER else 0


class Catalogue:
    """The variants that a configuration defines, and those that plugins imply.

    Parameters
    ----------
    entries : dict
        {stage: {name: entry}}, as the key `variants` of a configuration.
    """

    def __init__(self, entries: dict | None = None):
        self._entries = {stage: dict((entries or {}).get(stage) or {}) for stage in STAGES}
        self._resolved: dict[tuple[str, str], Variant] = {}

    def resolve(self, stage: str, name: str) -> Variant:
        """Return the variant of a name.

        A name is that of an entry, of a plugin, `DATASET-PROTOCOL` or `DATASET-validation`.

        Raises
        ------
        BenchmarkError
            For an unknown name, an unknown or missing parameter, or one of the wrong type.
        """
        if (stage, name) not in self._resolved:
            self._resolved[stage, name] = self._resolve(stage, name)
        return self._resolved[stage, name]

    def add(self, stage: str, name: str, entry: dict) -> None:
        """Define one more variant."""
        self._entries[stage][name] = entry

    def _resolve(self, stage: str, name: str) -> Variant:
        entry = self._entries[stage].get(name)
        if entry is not None:
            return self._from_entry(stage, name, entry)
        if stage == "datasets" and name.endswith(VALIDATION_SUFFIX):
            return self._validation_part(name)
        if name in plugins.names(stage):
            return self._from_entry(stage, name, {"of": name})
        if stage == "datasets" and (implied := self._protocol_of(name)):
            return implied

        raise self._unknown(stage, name)

    def _from_entry(self, stage: str, name: str, entry: dict) -> Variant:
        where = f"variants: {stage}: {name}"
        self._check_entry(stage, entry, where)

        try:
            plugin = plugins.read_plugin(stage, entry["of"])
        except BenchmarkError as error:
            raise BenchmarkError(f"{where}: {error}") from None

        overrides = entry.get("set") or {}
        for param, value in overrides.items():
            check_param(plugin, param, value, f"{where}: set: {param}")

        _check_required(plugin, overrides, where)

        restricted = entry.get("datasets")
        return Variant(
            stage,
            name,
            plugin,
            overrides,
            label=entry.get("label") or plugin.label,
            note=entry.get("note") or "",
            datasets=tuple(restricted) if restricted else None,
            neighbours=entry.get("neighbours") or METRICS[0],
            fitted_on=entry.get("fitted_on") or "",
            base=entry.get("base") or name,
            trial=entry.get("trial"),
            tuned=entry.get("tuned") or "",
            tuned_on=entry.get("tuned_on") or "",
            origin=_origin(entry),
            trials=entry.get("trials") or 0,
            labels_used=entry.get("labels_used") or 0,
            validation=bool(entry.get("validation")),
        )

    def _check_entry(self, stage: str, entry: dict, where: str) -> None:
        for key, stages in STAGES_OF_KEY.items():
            if entry.get(key) and stage not in stages:
                raise BenchmarkError(
                    f"{where}: {key} is a key of {' and '.join(stages)} only: remove it"
                )

        other = self._entries[stage].get(entry["of"])
        if (
            other
            and entry["of"] not in plugins.names(stage)
            and other["of"] in plugins.names(stage)
        ):
            given = ", ".join(
                f"{key}: {json.dumps(value)}" for key, value in (other.get("set") or {}).items()
            )
            raise BenchmarkError(
                f"{where}: {entry['of']!r} is a variant itself: start from "
                f"{{of: {other['of']}, set: {{{given}}}}} and add your own parameters"
            )

    def _validation_part(self, name: str) -> Variant:
        whole = self.resolve("datasets", name.removesuffix(VALIDATION_SUFFIX))
        label = f"{whole.label}, validation"
        return replace(whole, name=name, label=label, base=whole.name, validation=True)

    def _protocol_of(self, name: str) -> Variant | None:
        base, _, protocol = name.partition("-")
        if not protocol or base not in plugins.names("datasets"):
            return None

        plugin = plugins.read_plugin("datasets", base)
        protocols = plugin.member("protocols")
        if plugins.PROTOCOL not in plugin.defaults or protocol not in protocols:
            raise BenchmarkError(
                f"datasets: {name}: protocol {protocol!r} is unknown: "
                f"expected one of {', '.join(protocols)}"
            )

        overrides = {plugins.PROTOCOL: protocol}
        label = f"{plugin.label} ({protocol})"
        return Variant("datasets", name, plugin, overrides, label, base=base, protocol=protocol)

    def _unknown(self, stage: str, name: str) -> BenchmarkError:
        method, tuned, dataset = name.partition(TUNED_ON)
        if tuned and stage == "methods":
            return BenchmarkError(
                f"methods: {name!r} is unknown: config/tuned/{dataset}.json has no parameters that "
                f"were chosen for {method}. docs/howto/tune.md describes how to choose them"
            )
        known = [*plugins.names(stage), *sorted(self._entries[stage])]
        return BenchmarkError(
            f"{stage}: {name!r} is unknown{did_you_mean(name, known)}: "
            f"expected one of {', '.join(plugins.names(stage))}, a name in config/variants.yaml, "
            f"or a new file {stage}/{name}.py"
        )


def _origin(entry: dict) -> str:
    """Return where the parameters of an entry come from."""
    if entry.get("tuned"):
        return "tuned"
    return "trial" if entry.get("trial") else entry.get("settings") or "default"


def plain_label(label: str) -> str:
    """Return the label of a method without the words for its default parameters."""
    return label.removesuffix(DEFAULT_SUFFIX)


def variant_of_text(stage: str, name: str, text: str | None) -> Variant:
    """Return the variant that a job's option `--entry` describes; without one, that of `name`.

    Raises
    ------
    BenchmarkError
        For a text that is not a JSON object {"of": ..., "set": {...}}, and as `Catalogue.resolve`.
    """
    if text is None:
        return Catalogue().resolve(stage, name)

    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"--entry is not valid JSON: {' '.join(str(error).split())}") from None

    well_formed = (
        isinstance(entry, dict)
        and isinstance(entry.get("of"), str)
        and isinstance(entry.get("set", {}), dict)
    )
    if not well_formed:
        raise BenchmarkError(
            f'--entry: found {text}, expected {{"of": "PLUGIN", "set": {{"PARAMETER": VALUE}}}}'
        )

    return Catalogue({stage: {name: entry}}).resolve(stage, name)


def check_param(plugin: plugins.Plugin, param: str, value: object, where: str) -> None:
    """Raise BenchmarkError for an unknown parameter, or a value of another type."""
    if param == "seed":
        raise BenchmarkError(f"{where}: seeds are set by the key 'seeds', the same for all methods")
    if param not in plugin.defaults:
        known = [name for name in plugin.defaults if name != "seed"]
        raise BenchmarkError(
            f"{where}: {plugin.stage}/{plugin.name}.py has no parameter {param!r}"
            f"{did_you_mean(param, known)}: expected one of {', '.join(known) or 'none'}"
        )
    if not _is_json(value):
        raise BenchmarkError(
            f"{where}: found {value!r}, expected a text, a number, true, false, null or a list of "
            "such values; put texts in quotes"
        )

    default = plugin.defaults[param]
    if default is ... or default is None:
        optional = default is None and value is None
        if param in plugin.text_params and not optional and not isinstance(value, str):
            raise BenchmarkError(
                f"{where}: found {value!r}, expected a text; put a number in quotes"
            )
        return
    if not _same_type(value, default):
        raise BenchmarkError(
            f"{where}: found {value!r}, expected a value like the default {default!r}"
            f"{_advice_on_number(value, default)}"
        )


def _check_required(plugin: plugins.Plugin, overrides: dict, where: str) -> None:
    missing = [name for name, value in (plugin.defaults | overrides).items() if value is ...]
    if missing:
        raise BenchmarkError(
            f"{where}: {', '.join(missing)} must be set, as in "
            f"{{of: {plugin.name}, set: {{{missing[0]}: ...}}}}"
        )


def _same_type(value: object, default: object) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, int):
        return isinstance(value, int)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    if isinstance(default, (list, tuple)):
        return isinstance(value, (list, tuple))

    return isinstance(value, type(default))


def _advice_on_number(value: object, default: object) -> str:
    """Return how to write a number such as 1e-4, which YAML reads as a text without the point."""
    if not (isinstance(default, float) and isinstance(value, str)):
        return ""
    parts = re.fullmatch(r"([+-]?\d+)[eE]([+-]?\d+)", value)
    if parts is None:
        return ""
    return f"; YAML reads this as a text: write {parts[1]}.0e{int(parts[2]):+d}"


def _is_json(value: object) -> bool:
    """Return whether JSON represents the value: YAML has dates, bytes and infinities too."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (bool, int, str))
