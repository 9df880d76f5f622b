"""What the file of a method, a data set or an extractor says: read as source text, never imported. Standard library only."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BenchmarkError, one_line

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("datasets", "features", "methods", "evaluation", "experiments", "report")
# Top-level packages of the project. All other modules beside them belong to the user.
PACKAGES = ("harness", *STAGES, "benchmarks", "tests")

# Attributes of a plugin's class that are read from its source: their types, and these in words.
DECLARED: dict[str, tuple] = {
    "label": (str, "a text"),
    "citation": ((str, type(None)), "a text or None"),
    "uses_gpu": (bool, "True or False"),
    "needs_files": (bool, "True or False"),
    "sample": (int, "a whole number"),
    "protocols": (tuple, "a tuple of texts"),
    "reads": (tuple, "a tuple of texts"),
}
WORK = {
    "datasets": ("load",),
    "features": ("extract",),
    "methods": ("fit", "encode"),
}  # functions of a plugin's class


@dataclass(frozen=True)
class Component:
    """The one public class of a plugin file: what its source says, without importing it.

    literals: class attributes; keywords: those of `__init__` with their defaults; consumes: names of the arguments of its work.
    """

    floor: str
    name: str
    class_name: str
    literals: dict = field(repr=False)
    keywords: dict = field(repr=False)
    consumes: tuple[str, ...]

    @property
    def label(self) -> str:
        return self.literals["label"]


def _path(floor: str, name: str) -> Path:
    return ROOT / floor / f"{name}.py"


def names(floor: str) -> list[str]:
    """Names of the plugin files of a floor: the folder listing is the catalogue."""
    return sorted(
        path.stem for path in (ROOT / floor).glob("*.py") if not path.stem.startswith("_")
    )


def component(floor: str, name: str) -> Component:
    """Read one plugin's class, its literal attributes and the keywords of its `__init__` from the source.

    Raises BenchmarkError if there is no such file, if it cannot be parsed, or if it has not exactly one public class.
    """
    path = _path(floor, name)
    if name not in names(floor):
        raise BenchmarkError(
            f"{name!r} is unknown: expected one of {', '.join(names(floor))}, or a new file {floor}/{name}.py"
        )
    return _parse(floor, name, path.stat().st_mtime_ns)


@functools.cache
def _parse(floor: str, name: str, modified: int) -> Component:
    path = _path(floor, name)
    shown = path.relative_to(ROOT)
    classes = [
        node
        for node in _tree(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    if len(classes) != 1:
        found = ", ".join(node.name for node in classes) or "none"
        advice = ": begin the names of the others with _" if classes else ""
        raise BenchmarkError(f"{shown} must define exactly one public class; found {found}{advice}")
    body = classes[0].body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    missing = [name for name in ("__init__", *WORK[floor]) if name not in functions]
    if missing:
        raise BenchmarkError(
            f"{shown}: class {classes[0].name} needs a function {missing[0]}; see {floor}/_base.py"
        )
    return Component(
        floor=floor,
        name=name,
        class_name=classes[0].name,
        literals=_declared(body, f"{shown}: class {classes[0].name}"),
        keywords=_keywords(functions["__init__"], shown),
        consumes=tuple(
            sorted({name for work in WORK[floor] for name in _arguments(functions[work], shown)})
        ),
    )


def _tree(path: Path) -> ast.Module:
    shown = path.relative_to(ROOT).as_posix()
    try:
        content = path.read_bytes()
    except OSError as error:  # a folder
        raise BenchmarkError(
            f"{shown}: {one_line(error)}: expected Python source in UTF-8"
        ) from None
    return parsed(decoded(content, shown), shown)


def decoded(content: bytes, shown: str) -> str:
    """Return the text of a source file. Raise BenchmarkError, which names the file as `shown`, if it is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BenchmarkError(
            f"{shown}: {one_line(error)}: expected Python source in UTF-8"
        ) from None


def parsed(text: str, shown: str) -> ast.Module:
    """Return the syntax tree of source text. Raise BenchmarkError, which names the file as `shown`, if it cannot be parsed."""
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


def _declared(body: list[ast.stmt], where: str) -> dict:
    """Class attributes with a literal value; BenchmarkError where one that is read from the source is not of its type, or is no literal."""
    values: dict[str, object] = {}
    for node in body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                values |= _literals(target, node.value)
    for name, (kinds, words) in DECLARED.items():
        if (name in values or name == "label") and not isinstance(values.get(name), kinds):
            raise BenchmarkError(
                f"{where}: {name} must be {words}, written out: it is read without importing the file"
            )
    return {name: value for name, value in values.items() if value is not ...}


def _literals(target: ast.expr, value: ast.expr) -> dict:
    """What an assignment gives each name, Ellipsis where that is no literal: `a = 1`, `a: int = 1` and `a, b = 1, 2` alike."""
    if (
        isinstance(target, ast.Tuple)
        and isinstance(value, ast.Tuple)
        and len(target.elts) == len(value.elts)
    ):
        return {
            name: item
            for pair in zip(target.elts, value.elts, strict=True)
            for name, item in _literals(*pair).items()
        }
    if not isinstance(target, ast.Name):
        return {}
    try:
        return {target.id: ast.literal_eval(value)}
    except ValueError:
        return {target.id: ...}


def _arguments(function: ast.FunctionDef, shown: Path) -> list[str]:
    """Names of the arguments of a function of the class's work, which say what it consumes."""
    _check_named(function, shown)
    if function.args.kwonlyargs:
        first = function.args.kwonlyargs[0].arg
        raise BenchmarkError(
            f"{shown}: remove the * before {first} in {function.name}: settings are keywords of __init__"
        )
    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args][1:]]
    if function.name == "encode" and "neighbours" in names:
        raise BenchmarkError(
            f"{shown}: encode asks for 'neighbours', which are of the training images: fit alone may consume them"
        )
    return names


def _check_named(function: ast.FunctionDef, shown: Path) -> None:
    """Raise BenchmarkError for *args and **kwargs, whose names say nothing."""
    for stars, argument in (("*", function.args.vararg), ("**", function.args.kwarg)):
        if argument:
            expected = f"expected every argument by its name, as in {shown.parent}/_base.py"
            raise BenchmarkError(
                f"{shown}: {function.name} takes {stars}{argument.arg}, {expected}"
            )


def _keywords(function: ast.FunctionDef, shown: Path) -> dict:
    """Keyword-only arguments with their literal defaults; one without a default is required and reads as Ellipsis.

    Raises BenchmarkError for arguments before them other than `self` and, for a method, the length of its codes.
    """
    _check_named(function, shown)
    unnamed = [*function.args.posonlyargs, *function.args.args][
        2 if shown.parent.name == "methods" else 1 :
    ]
    if unnamed:
        raise BenchmarkError(
            f"{shown}: write * before {unnamed[0].arg} in {function.name}: settings are keywords alone"
        )
    keywords = {}
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        try:
            keywords[argument.arg] = ... if default is None else ast.literal_eval(default)
        except ValueError:
            raise BenchmarkError(
                f"{shown}: the default of {argument.arg} must be a literal value"
            ) from None
    return keywords


def relative(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def imported_modules(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, at any depth.

    `from a import b` names both `a` and `a.b`; `from . import b` the package of the file, from the project's folder, and `b` there.
    """
    return _imported_modules(path, path.stat().st_mtime_ns)


@functools.cache
def _imported_modules(path: Path, modified: int) -> set[str]:
    modules = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*package, *filter(None, [node.module])])
            modules |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return modules
