"""List and describe methods, data sets, experiments, ...: what each needs, and what is missing."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from experiments import publish, search_spaces
from experiments.clean import DEFAULT_EXPERIMENT
from harness import configuration, plugins, storage
from harness.errors import BenchmarkError, did_you_mean, one_line
from harness.plan import DEFAULT_CONFIG, Place, Plan
from harness.user_data import data_folder, file_and_array, user_file
from harness.variants import STAGES, Catalogue, Variant

VARIANTS = Path("config/variants.yaml")
# Files of config/. The data set and the trials of tuning-finals.yaml are in a file of the user.
NO_EXPERIMENTS = ("config.yaml", "variants.yaml", "schema.yaml", "tuning-finals.yaml")
NOTHING = "-"
COLUMNS = "NAME", "LABEL", "NEEDS", "STATE"
COLUMNS_OF_KIND = {
    "experiments": ("NAME", "CONTENT", "RUNS", "FILES"),
    "published": ("NAME", "CONTENT", "CODE LENGTHS", "SOURCES"),
}
Rows = list[tuple[str, ...]]


def lines(kinds: Iterable[str]) -> list[str]:
    """Return a table for each kind, with one line per entry below the column names.

    Parameters
    ----------
    kinds : iterable of str
        Keys of `KINDS`. If there are several, the name of the kind is above each table.
    """
    kinds = list(kinds)
    printed = []
    for kind in kinds:
        if len(kinds) > 1:
            printed += [*([""] if printed else []), f"{kind}:"]
        printed += _aligned([COLUMNS_OF_KIND.get(kind, COLUMNS), *KINDS[kind]()])
    return printed


def description(name: str) -> list[str]:
    """Return the description of a method, data set, features, experiment or published folder.

    Raises
    ------
    BenchmarkError
        If nothing has this name.
    """
    catalogue = _catalogue()
    variants = [_resolved(catalogue, stage, name) for stage in STAGES]
    descriptions = [_described_variant(variant) for variant in variants if variant]
    if name in _experiments():
        descriptions.append(_described_experiment(name))
    if (publish.PUBLISHED / name).is_dir():
        descriptions.append(_described_folder(publish.PUBLISHED / name))
    if not descriptions:
        known = [row[0] for kind in KINDS.values() for row in kind()]
        raise BenchmarkError(
            f"{name!r} is unknown{did_you_mean(name, known)}: `python -m experiments list` prints "
            "all names"
        )
    first, *others = descriptions
    return first + [line for lines in others for line in ("", *lines)]


# ------------------------------------------------------------------------------- lists


def _plugins_of(stage: str) -> Callable[[], Rows]:
    def rows() -> Rows:
        catalogue = Catalogue()
        return [_plugin_row(stage, name, catalogue) for name in plugins.names(stage)]

    return rows


def _plugin_row(stage: str, name: str, catalogue: Catalogue) -> tuple[str, ...]:
    plugin = plugins.read_plugin(stage, name)
    missing = [param for param, default in plugin.defaults.items() if default is ...]
    if missing:
        return name, plugin.label, f"{', '.join(missing)} (set in a variant)", NOTHING
    variant = catalogue.resolve(stage, name)
    return name, plugin.label, _needs(variant), _state(variant)


def _protocols() -> Rows:
    catalogue, rows = Catalogue(), []
    for name in plugins.names("datasets"):
        plugin = plugins.read_plugin("datasets", name)
        protocols = plugin.member("protocols")
        for protocol in protocols if len(protocols) > 1 else ():
            variant = catalogue.resolve("datasets", f"{name}-{protocol}")
            default = " (default)" if protocol == protocols[0] else ""
            row = f"{name}-{protocol}", f"{variant.label}{default}", _needs(variant)
            rows.append((*row, _state(variant)))
    return rows


def _variants() -> Rows:
    catalogue = _catalogue()
    entries = configuration.merged(VARIANTS)["variants"]
    rows = []
    for stage in STAGES:
        for name in entries.get(stage) or {}:
            variant = catalogue.resolve(stage, name)
            row = name, variant.label, f"{stage}/{variant.plugin.name}.py; {_needs(variant)}"
            rows.append((*row, _state(variant)))
    return rows


def _experiment_rows() -> Rows:
    rows = []
    for name, path in _experiments().items():
        try:
            plan = _plan(path)
        except BenchmarkError as error:  # one that cannot be used must not hide the others
            rows.append((name, "", "", one_line(error)))
            continue
        places = ", ".join(f"{place.dataset}/{place.features}" for place in plan.places)
        done = sum(run.record.is_file() for run in plan.runs)
        missing = _missing(plan)
        state = f"missing: {', '.join(missing)}" if missing else "ready"
        title = f"{len(plan.methods)} methods on {places}"
        rows.append((name, title, f"{done:,} of {len(plan.runs):,} runs done", state))
    return rows


def _published() -> Rows:
    rows = []
    for folder in publish.folders():
        experiment = storage.read_json(folder / publish.EXPERIMENT)
        grid = ", ".join("/".join(names) for names in experiment["grid"])
        title = f"{len(experiment['methods'])} methods on {grid}"
        lengths = ", ".join(map(str, experiment["bits"]))
        state = "out of date" if publish.outdated(folder) else "up to date"
        rows.append((folder.name, title, f"{lengths} bits", state))
    return rows


KINDS: dict[str, Callable[[], Rows]] = {
    **{stage: _plugins_of(stage) for stage in ("methods", "datasets", "features")},
    "protocols": _protocols,
    "variants": _variants,
    "experiments": _experiment_rows,
    "published": _published,
}


def _aligned(rows: Rows) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padded = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return lines


# ------------------------------------------------------------------------------- needs


def _needs(variant: Variant) -> str:
    """What a variant reads: arrays of the workflow, and files below the data folder."""
    arrays = variant.consumes if variant.stage == "methods" else ()
    needs = [*arrays, *_files(variant)]
    if variant.uses_gpu:
        needs.append("GPU (optional)")
    return ", ".join(needs) or "nothing"


def _files(variant: Variant) -> list[str]:
    """The user's files that a variant reads; of a data set, the places where they may be."""
    weights = variant.pretrained_weights if variant.stage != "datasets" else ""
    reads = variant.plugin.member("reads") or ()
    alternatives = [" or ".join(reads)] if reads else []
    files = [file_and_array(path)[0] for path in variant.user_files]
    return [*files, *filter(None, [weights]), *alternatives]


def _state(variant: Variant) -> str:
    """Return whether a variant can be used: what it needs is prepared, present or missing."""
    if _is_prepared(variant):
        return "prepared"
    files, absent = _files(variant), missing_files(variant)
    if absent:
        return "missing" if absent == files else f"missing: {', '.join(absent)}"
    return "present" if files else "ready"


def _is_prepared(variant: Variant) -> bool:
    return variant.stage == "datasets" and Place(variant.name, "").dataset_record.is_file()


def missing_files(variant: Variant) -> list[str]:
    """Return the files that a variant needs and does not find; none for a prepared data set."""
    if _is_prepared(variant):
        return []
    return [names for names in _files(variant) if not _is_present(names)]


def _is_present(names: str) -> bool:
    """Whether a file exists, or one of several alternatives; {bits} and {seed} fit any number.

    Weights may be in an installed package instead of the data folder.
    """
    data = data_folder()
    for name in names.split(" or "):
        if name.startswith(_package_folders()):
            package = importlib.util.find_spec(name.partition("/")[0])
            if package is None or package.origin is None:
                return False
            return (Path(package.origin).parent.parent / name).exists()
        path = user_file(name, "*", "*", data)
        if "{" in name:
            if path.parent.is_dir() and any(path.parent.glob(path.name)):
                return True
        elif path.exists():
            return True
    return False


def _package_folders() -> tuple[str, ...]:
    folders = plugins.constant(plugins.ROOT / "harness/imagenet.py", "PACKAGES").values()
    return tuple(f"{folder}/" for folder in folders)


def _missing(plan: Plan) -> list[str]:
    """The files that the data sets, features and methods of a plan need and do not find."""
    variants = [*plan.datasets.values(), *plan.features.values(), *plan.methods.values()]
    return list(dict.fromkeys(names for variant in variants for names in missing_files(variant)))


# ------------------------------------------------------------------------ descriptions


def _catalogue() -> Catalogue:
    return Catalogue(configuration.merged(DEFAULT_CONFIG, VARIANTS)["variants"])


def _resolved(catalogue: Catalogue, stage: str, name: str) -> Variant | None:
    try:
        return catalogue.resolve(stage, name)
    except BenchmarkError:
        if name in plugins.names(stage):  # a parameter must be set, or its source is wrong
            plugin = plugins.read_plugin(stage, name)
            return Variant(stage, name, plugin, {}, label=plugin.label)
        return None


def _described_variant(variant: Variant) -> list[str]:
    plugin = variant.plugin
    path = plugins.ROOT / plugin.stage / f"{plugin.name}.py"
    tree = plugins.parsed(plugins.decoded(path.read_bytes(), path.name), path.name)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    text = next(ast.get_docstring(node) for node in classes if node.name == plugin.class_name)
    lines = [f"{variant.name}: {variant.label} ({plugin.stage}/{plugin.name}.py)", ""]
    lines += (text or "").splitlines()
    if variant.note:
        lines += ["", f"Note: {variant.note}"]
    lines += ["", "Parameters, * set by this variant:"]
    for name, value in variant.params.items():
        mark = "*" if name in variant.overrides else " "
        shown = "must be set" if value is ... else json.dumps(value)
        lines.append(f" {mark} {name}: {shown}")
    if not variant.params:
        lines.append("   none")
    return [*lines, "", f"Needs: {_needs(variant)}", f"State: {_state(variant)}"]


def _described_experiment(name: str) -> list[str]:
    path = _experiments()[name]
    plan = _plan(path)
    comment = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    option = f" --configfile {path}" if plan.name else ""
    done = sum(run.record.is_file() for run in plan.runs)
    missing = _missing(plan)
    return [
        f"{name}: {path}",
        "",
        *comment,
        "",
        f"Data sets: {', '.join(plan.datasets)}",
        f"Features:  {', '.join(plan.features)}",
        f"Methods:   {', '.join(plan.methods)}",
        f"Bits:      {', '.join(map(str, plan.bits))}",
        f"Seeds:     {', '.join(map(str, plan.seeds))}",
        f"Runs:      {done:,} of {len(plan.runs):,} done",
        f"Missing:   {', '.join(missing) or 'nothing'}",
        f"Results:   {plan.root}",
        f"Command:   snakemake --cores all{option}",
    ]


def _described_folder(folder: Path) -> list[str]:
    reasons = publish.outdated(folder)
    shown = sorted(path.name for path in folder.iterdir() if path.suffix in (".tex", ".svg"))
    return [
        f"{folder.name}: {folder}",
        "",
        f"Shows:   {', '.join(shown)}",
        f"State:   {'out of date' if reasons else 'up to date'}",
        *(f"  {reason}" for reason in reasons),
        f"Compare: python -m experiments compare CODES --with {folder.name}",
    ]


def _experiments() -> dict[str, Path]:
    """{name: file} of the configurations; the default one first."""
    paths = sorted(DEFAULT_CONFIG.parent.glob("*.yaml"))
    others = {path.stem: path for path in paths if path.name not in NO_EXPERIMENTS}
    return {DEFAULT_EXPERIMENT: DEFAULT_CONFIG} | others


def _plan(path: Path) -> Plan:
    if path == DEFAULT_CONFIG:
        return Plan.load(configuration.merged(DEFAULT_CONFIG, VARIANTS))

    config = configuration.merged(DEFAULT_CONFIG, VARIANTS, path)
    return Plan.load(search_spaces.with_drawn_trials(config), [str(path)])
