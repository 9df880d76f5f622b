"""Read what the source of a method, data set or extractor declares, and load its class.

Planning reads source text and imports nothing. Only `load_class` imports the file of a plugin.
Standard library only.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import BenchmarkError, one_line

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("datasets", "features", "methods", "evaluation", "experiments", "report")
# Top-level packages of the project. All other modules beside them belong to the user.
PACKAGES = ("harness", *STAGES, "benchmarks", "tests")

# Functions that the class of a plugin must define, by stage. The names of their arguments declare
# what the plugin consumes.
WORK = {
    "datasets": ("load",),
    "features": ("extract",),
    "methods": ("fit", "encode"),
}

_TEXT = ((str,), "a text")
_OPTIONAL_TEXT = ((str, type(None)), "a text or None")
_TRUTH = ((bool,), "True or False")
_TEXTS = ((tuple,), "a tuple of texts")
_SPACE = ((dict, type(None)), "a dictionary of tuples")
_COMMON = {"label": (_TEXT, ""), "citation": (_OPTIONAL_TEXT, None), "file_params": (_TEXTS, ())}
_PRETRAINED = {
    "uses_gpu": (_TRUTH, False),
    "weights_param": (_OPTIONAL_TEXT, None),
    "digest_param": (_OPTIONAL_TEXT, None),
}

# Of a method, what decides its codes besides the given features, from the least to the most. A
# pretrained network is in the columns `encoder` and `weights` of every row.
TIERS = {
    "features": "the features of the training images only",
    "views": "the features of augmented views of the training images",
    "images": "the training images too",
    "encoder": "the training images, on which a pretrained encoder is trained further",
    "text": "words or captions, or a network trained with them",
    "unknown": "codes from files: it is not known",
}
# Of a method of the literature, how its implementation was verified; None for one of our own.
FIDELITY_LEVELS = {
    "A": "equals the authors' code numerically",
    "B": "reproduces a published figure under its protocol",
    "C": "passes oracles and tests of its definition only",
}
# Of an extractor, how views are made from an image: see `features/_views.py`.
AUGMENTATIONS = {
    "photographs": (
        "a random crop of 50 to 100 % of the area, resized to the size of the image, bilinear; a "
        "flip with probability 0.5; jitter of brightness, contrast, saturation and hue by 0.4, "
        "0.4, 0.4 and 0.1 with probability 0.7; grey with probability 0.2"
    ),
    "shifts": (
        "a random shift by at most a sixteenth of each side, bilinear, edges repeated; intensity "
        "times 0.9 to 1.1"
    ),
}
# Members that no code of the plugin may read: they are no part of the identity of its result. What
# an augmentation decides states it itself.
DESCRIPTIVE = ("tier", "fidelity", "pooled", "search_space", "augmentation")
_VALUES = {
    "tier": (*TIERS,),
    "fidelity": (*FIDELITY_LEVELS, None),
    "augmentation": (*AUGMENTATIONS, None),
}
# Arrays of the training images alone, which `encode` cannot consume.
TRAINING_ARRAYS = ("neighbours", "views")

# A function that a class may define.
OPTIONAL_WORK = {"datasets": (), "features": (), "methods": ("project",)}

# Members of the contracts that are read from the source of a class: by stage and name, the type
# and the default. `_base.py` of the stage explains each of them.
MEMBERS: dict[str, dict[str, tuple]] = {
    "datasets": _COMMON
    | {
        "one_channel": (_TRUTH, False),
        "protocols": (_TEXTS, ("default",)),
        "reads": (_TEXTS, ()),
        "needs_files": (_TRUTH, True),
    },
    "features": _COMMON
    | _PRETRAINED
    | {"network": (_OPTIONAL_TEXT, None), "augmentation": (_OPTIONAL_TEXT, None)},
    "methods": _COMMON
    | _PRETRAINED
    | {
        "sample": (((int, type(None)), "a whole number or None"), None),
        "encoder_param": (_OPTIONAL_TEXT, None),
        "memory_params": (_TEXTS, ()),
        "tier": (_TEXT, "features"),
        "fidelity": (_OPTIONAL_TEXT, None),
        "pooled": (_TRUTH, False),
        "search_space": (_SPACE, None),
    },
}

# Other members of the contracts, which jobs set or read on an object.
ATTRIBUTES = {
    "datasets": ("version",),
    "features": (
        *("block", "threads", "grey", "image_names", "match_names"),
        *("facts_", "check", "check_rows", "open"),
    ),
    "methods": ("checkpoint", "device_", "extras_", "facts_"),
}

# Members whose values are names of parameters of `__init__`.
PARAM_MEMBERS = ("file_params", "memory_params", "weights_param", "digest_param", "encoder_param")
PROTOCOL = "protocol"  # parameter of a data set that declares `protocols`


@dataclass(frozen=True)
class Plugin:
    """The one public class of a plugin file, read from its source.

    Parameters
    ----------
    stage, name : str
        Folder and name of the file.
    class_name : str
    literals : dict
        Class attributes with literal values, inherited ones included.
    defaults : dict
        Parameters of `__init__` with their default values, Ellipsis for a required one.
    consumes : tuple of str
        Names of the arguments of the functions in `WORK`.
    has_project : bool
        Whether a method has real values before the threshold.
    path : Path or None
        A file outside the folder of the stage.
    """

    stage: str
    name: str
    class_name: str
    literals: dict = field(repr=False)
    defaults: dict = field(repr=False)
    consumes: tuple[str, ...]
    has_project: bool = False
    path: Path | None = field(default=None, repr=False)

    def member(self, name: str) -> Any:
        """Return the value of one of `MEMBERS`; its default where the class does not set it."""
        default = MEMBERS[self.stage].get(name, (None, None))[1]
        return self.literals.get(name, default)

    @property
    def label(self) -> str:
        return self.literals["label"]

    @property
    def file_params(self) -> tuple[str, ...]:
        """Names of the parameters that name user files."""
        return self.member("file_params")

    @property
    def text_params(self) -> tuple[str, ...]:
        """Names of the parameters that are texts whatever their defaults are."""
        pretrained = self.member("weights_param"), self.member("digest_param")
        return (*self.file_params, *filter(None, pretrained))


def names(stage: str) -> list[str]:
    """Return the names of the plugin files of a stage: the folder listing is the catalogue."""
    return sorted(
        path.stem for path in (ROOT / stage).glob("*.py") if not path.stem.startswith("_")
    )


def load_class(plugin: Plugin) -> type:
    """Import the file of a plugin and return its class."""
    if plugin.path is None:
        module = importlib.import_module(f"{plugin.stage}.{plugin.name}")
        return getattr(module, plugin.class_name)

    # Under a name that no other module has: the file may be called as a package is.
    name = f"outside_{plugin.name}"
    specification = importlib.util.spec_from_file_location(name, plugin.path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return getattr(module, plugin.class_name)


def read_plugin(stage: str, name: str) -> Plugin:
    """Read the class of a plugin from its source.

    Attributes and functions that the class inherits from another class of the project count too.

    Raises
    ------
    BenchmarkError
        If there is no such file, it cannot be parsed, it has not exactly one public class, or the
        class does not follow the contract in `_base.py` of its stage.
    """
    path = ROOT / stage / f"{name}.py"
    if name not in names(stage):
        raise BenchmarkError(
            f"{name!r} is unknown: expected one of {', '.join(names(stage))}, "
            f"or a new file {stage}/{name}.py"
        )
    return _plugin_of(stage, path)


def plugin_of_file(stage: str, path: Path) -> Plugin:
    """Read the class of a plugin from a file that need not be in the folder of its stage.

    Raises
    ------
    BenchmarkError
        As `read_plugin`.
    """
    path = path.resolve()
    if not path.is_file() or path.suffix != ".py":
        raise BenchmarkError(f"{path} is missing or not a .py file: expected the file of a plugin")
    if path.parent == ROOT / stage:
        return read_plugin(stage, path.stem)
    return replace(_plugin_of(stage, path), path=path)


def _plugin_of(stage: str, path: Path) -> Plugin:
    lineage = list(_lineage(path, _public_class(path)))
    _, own = lineage[0]
    where = f"{_shown(path)}: class {own.name}"
    literals: dict[str, object] = {}
    functions: dict[str, tuple[ast.FunctionDef, Path]] = {}
    for file, node in reversed(lineage):
        literals |= _class_literals(node.body)
        functions |= {
            item.name: (item, file) for item in node.body if isinstance(item, ast.FunctionDef)
        }

    _check_members(stage, literals, where)
    _check_functions(stage, functions, where)
    defaults = _defaults(stage, *functions["__init__"]) if "__init__" in functions else {}
    consumed = [
        argument for work in WORK[stage] for argument in _arguments(stage, *functions[work])
    ]
    plugin = Plugin(
        stage=stage,
        name=path.stem,
        class_name=own.name,
        literals={key: value for key, value in literals.items() if value is not ...},
        defaults=defaults,
        consumes=tuple(sorted(set(consumed))),
        has_project="project" in functions,
    )
    _check_params(plugin, where)
    return plugin


def checked_facts(plugin: Plugin, facts: Mapping, record: Mapping) -> dict:
    """Return the `facts_` of an object as its record has them: lists instead of tuples.

    Raises
    ------
    BenchmarkError
        If a fact has the name of one that the record of the result has already, or a value that
        JSON cannot have.
    """
    clashes = sorted(facts.keys() & record.keys())
    if clashes:
        raise BenchmarkError(
            f"{plugin.stage}/{plugin.name}.py: facts_ holds {clashes[0]!r}, which every record "
            "has itself: rename the fact"
        )
    try:
        return {name: json.loads(json.dumps(value)) for name, value in facts.items()}
    except (TypeError, ValueError) as error:
        raise BenchmarkError(
            f"{plugin.stage}/{plugin.name}.py: facts_ holds a value that JSON cannot have "
            f"({error}). Convert NumPy values with float(), int() or .tolist()"
        ) from None


def _public_class(path: Path) -> ast.ClassDef:
    classes = [
        node
        for node in _tree(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    if len(classes) == 1:
        return classes[0]

    class_names = ", ".join(node.name for node in classes) or "none"
    advice = ". Begin the names of the others with _" if classes else ""
    raise BenchmarkError(
        f"{_shown(path)} must define exactly one public class: found {class_names}{advice}"
    )


def _lineage(path: Path, node: ast.ClassDef) -> Iterator[tuple[Path, ast.ClassDef]]:
    """Yield a class and the classes of the project that it inherits from, with their files.

    The contracts in `_base.py` are left out: they define what a plugin has to define itself.
    """
    yield path, node
    for base in node.bases:
        name = base.id if isinstance(base, ast.Name) else ""
        file, original = _origin(path, name)
        if file is None or file.name == "_base.py":
            continue
        for other in _tree(file).body:
            if isinstance(other, ast.ClassDef) and other.name == original and other is not node:
                yield from _lineage(file, other)


def _origin(path: Path, name: str) -> tuple[Path | None, str]:
    """Return the file of the project that defines a name used in `path`, and its name there."""
    for node in _tree(path).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            if name == (alias.asname or alias.name):
                file = ROOT.joinpath(*_module(node, path).split(".")).with_suffix(".py")
                return (file if file.is_file() else None), alias.name
    return path, name


def _module(node: ast.ImportFrom, path: Path) -> str:
    """Return the dotted name, from the project's folder, of the module of an import in `path`."""
    if node.level and not path.is_relative_to(ROOT):
        raise BenchmarkError(
            f"{_shown(path)}, line {node.lineno}: found a relative import outside of the project. "
            "Write the name of the module from the folder of the project, as methods._base"
        )
    package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
    return ".".join([*package, *filter(None, [node.module])])


def _check_members(stage: str, literals: dict, where: str) -> None:
    for name, ((types, words), _) in MEMBERS[stage].items():
        if name not in literals and name != "label":
            continue
        value = literals.get(name)
        texts = not isinstance(value, tuple) or all(isinstance(item, str) for item in value)
        if not isinstance(value, types) or not texts:
            raise BenchmarkError(
                f"{where}: {name} must be {words}, written as a literal: "
                "it is read without importing the file"
            )
        if value not in _VALUES.get(name, (value,)):
            expected = ", ".join(map(repr, _VALUES[name]))
            raise BenchmarkError(f"{where}: {name} is {value!r}: expected one of {expected}")


def _check_functions(stage: str, functions: dict, where: str) -> None:
    """Raise BenchmarkError for a missing function; a method takes the code length in __init__."""
    needed = ("__init__", *WORK[stage]) if stage == "methods" else WORK[stage]
    missing = [name for name in needed if name not in functions]
    if missing:
        raise BenchmarkError(f"{where} needs a function {missing[0]}; see {stage}/_base.py")


def _check_params(plugin: Plugin, where: str) -> None:
    """Raise BenchmarkError for a parameter whose name is reserved, or for a missing one."""
    contract = f"the contract in {plugin.stage}/_base.py"
    functions = WORK[plugin.stage] + OPTIONAL_WORK[plugin.stage]
    reserved = {*MEMBERS[plugin.stage], *ATTRIBUTES[plugin.stage], *functions}
    for param in plugin.defaults:
        if param in reserved:
            raise BenchmarkError(
                f"{where}: the parameter {param!r} of __init__ has the name of a member of "
                f"{contract}: rename the parameter"
            )

    for name in PARAM_MEMBERS:
        value = plugin.member(name) or ()
        for param in (value,) if isinstance(value, str) else value:
            if param not in plugin.defaults:
                raise BenchmarkError(
                    f"{where}: {name} names {param!r}, which is not a parameter of __init__: found "
                    f"the parameters {', '.join(plugin.defaults) or 'none'}"
                )
    _check_search_space(plugin, where)

    if "protocols" in plugin.literals and PROTOCOL not in plugin.defaults:
        raise BenchmarkError(
            f"{where} has several protocols: expected the parameter {PROTOCOL!r} of __init__"
        )


def _check_search_space(plugin: Plugin, where: str) -> None:
    """Raise BenchmarkError for an unknown parameter, or values that are not a tuple."""
    for param, values in (plugin.member("search_space") or {}).items():
        if param not in plugin.defaults:
            raise BenchmarkError(
                f"{where}: search_space names {param!r}, which is not a parameter of __init__"
            )
        if not isinstance(values, tuple) or not values:
            raise BenchmarkError(
                f"{where}: search_space: {param}: found {values!r}, expected a tuple of values"
            )


def _shown(path: Path) -> str:
    """How messages name a file: from the project's folder, if it is below it."""
    inside = path.is_relative_to(ROOT)
    return (path.relative_to(ROOT) if inside else path).as_posix()


def _tree(path: Path) -> ast.Module:
    shown = _shown(path)
    try:
        return _tree_of(path, path.stat().st_mtime_ns)
    except OSError as error:  # a folder
        raise BenchmarkError(
            f"{shown}: {one_line(error)}: expected Python source in UTF-8"
        ) from None


@functools.cache
def _tree_of(path: Path, modified: int) -> ast.Module:
    shown = _shown(path)
    return parsed(decoded(path.read_bytes(), shown), shown)


def decoded(content: bytes, shown: str) -> str:
    """Return the text of a source file.

    Raises
    ------
    BenchmarkError
        If the content is not UTF-8; the message names the file as `shown`.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BenchmarkError(
            f"{shown}: {one_line(error)}: expected Python source in UTF-8"
        ) from None


def parsed(text: str, shown: str) -> ast.Module:
    """Return the syntax tree of source text.

    Raises
    ------
    BenchmarkError
        If the text cannot be parsed; the message names the file as `shown`.
    """
    try:
        return ast.parse(text)
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise BenchmarkError(f"{shown}{line}: {error.msg}") from None
    except ValueError as error:  # null bytes
        raise BenchmarkError(
            f"{shown}: {one_line(error)}: expected Python source in UTF-8"
        ) from None
    except (RecursionError, MemoryError):
        raise BenchmarkError(
            f"{shown}: an expression is nested too deeply. Divide it into several statements."
        ) from None


def constant(path: Path, name: str) -> Any:
    """Return the literal value that a module of the project assigns to a name.

    Raises
    ------
    KeyError
        If the module assigns no literal to the name.
    """
    return _class_literals(_tree(path).body)[name]


def _class_literals(body: list[ast.stmt]) -> dict:
    """Return the values that statements assign to names; Ellipsis if one is not a literal."""
    values: dict[str, object] = {}
    for node in body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                values |= _literals(target, node.value)
    return values


def _literals(target: ast.expr, value: ast.expr) -> dict:
    """Return what an assignment gives each name, for `a = 1`, `a: int = 1` and `a, b = 1, 2`."""
    if (
        isinstance(target, ast.Tuple)
        and isinstance(value, ast.Tuple)
        and len(target.elts) == len(value.elts)
    ):
        values: dict[str, object] = {}
        for pair in zip(target.elts, value.elts, strict=True):
            values |= _literals(*pair)
        return values
    if not isinstance(target, ast.Name):
        return {}

    try:
        return {target.id: ast.literal_eval(value)}
    except ValueError:
        return {target.id: ...}


def is_literal(value: ast.expr) -> bool:
    """Return whether an expression is a literal value."""
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _arguments(stage: str, function: ast.FunctionDef, path: Path) -> list[str]:
    """Return the names of the arguments of a function in `WORK`, which declare what it consumes."""
    shown = _shown(path)
    _check_named(stage, function, shown)
    if function.args.kwonlyargs:
        first = function.args.kwonlyargs[0].arg
        raise BenchmarkError(
            f"{shown}: remove the * before {first} in {function.name}: "
            "parameters are keyword arguments of __init__"
        )

    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args][1:]]
    for name in TRAINING_ARRAYS:
        if function.name == "encode" and name in names:
            raise BenchmarkError(
                f"{shown}: encode consumes {name!r}, which are of the training images: "
                "only fit may consume them"
            )

    return names


def _check_named(stage: str, function: ast.FunctionDef, shown: str) -> None:
    """Raise BenchmarkError for *args and **kwargs, whose names declare nothing."""
    for stars, argument in (("*", function.args.vararg), ("**", function.args.kwarg)):
        if argument:
            raise BenchmarkError(
                f"{shown}: {function.name} takes {stars}{argument.arg}, "
                f"expected every argument by its name, as in {stage}/_base.py"
            )


def _defaults(stage: str, function: ast.FunctionDef, path: Path) -> dict:
    """Return keyword-only arguments with their literal defaults; Ellipsis if there is none.

    Raises BenchmarkError for positional arguments other than `self` and, for a method, the code
    length.
    """
    shown = _shown(path)
    _check_named(stage, function, shown)
    expected = 2 if stage == "methods" else 1
    positional = [*function.args.posonlyargs, *function.args.args]
    if positional[expected:]:
        raise BenchmarkError(
            f"{shown}: write * before {positional[expected].arg} in {function.name}: "
            "parameters are keyword-only"
        )

    defaults = {}
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        try:
            defaults[argument.arg] = ... if default is None else ast.literal_eval(default)
        except ValueError:
            raise BenchmarkError(
                f"{shown}: the default of {argument.arg} must be a literal value"
            ) from None

    return defaults


def relative(paths: list[Path]) -> list[str]:
    """Return the paths relative to the project's folder, with `/`."""
    return [path.relative_to(ROOT).as_posix() for path in paths]


def imported_modules(path: Path) -> set[str]:
    """Return the dotted names of the modules that a file imports, at any depth.

    `from a import b` names both `a` and `a.b`. `from . import b` names the package of the file,
    from the project's folder, and `b` in it.
    """
    return _imported_modules(path, path.stat().st_mtime_ns)


@functools.cache
def _imported_modules(path: Path, modified: int) -> set[str]:
    modules = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = _module(node, path)
            modules |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return modules
