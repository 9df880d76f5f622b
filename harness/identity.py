"""Digests of source files by their meaning, and the lists of source files that decide a result.

A source file is identified by a canonical walk of its syntax tree. The walk leaves out what cannot
change a result: docstrings, comments, layout, annotations, imports of the core, and the members of
a class that only describe it. It gives the same text under every supported version of Python.
Standard library only.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness import plugins, storage
from harness.errors import BenchmarkError

# Increase this with every change of the walk: digests of different walks are not comparable.
WALK_VERSION = 1

# Digests that earlier commands computed: a walk over all sources takes half a second.
KNOWN_DIGESTS = Path("cache/source_digests.json")
MOST_KNOWN = 2_000  # digests that are saved; a project has a few hundred sources
SHA256, DIGEST = r"[0-9a-f]{64}", r"ast\d+:[0-9a-f]{64}"

# The core, and the top-level modules that it consisted of before. A name stays here after its
# module has moved or gone, so that the digest of an earlier source does not change.
CORE = frozenset(
    {
        *("harness", "errors", "plugins", "experiments", "preflight", "provenance", "gpus"),
        *("storage", "progress", "downloads", "networks", "codes"),
    }
)

# Modules of the core that decide results: they are sources of whatever imports them.
DECISIVE_MODULES = ("harness.imagenet", "harness.imported_codes", "harness.schemas")

# Stages whose modules are sources of whatever imports them in another stage.
LIBRARIES = {"experiments": ("evaluation",)}

# Fields of syntax nodes that no result depends on, or that differ between versions of Python.
IGNORED_FIELDS = ("annotation", "returns", "type_comment", "kind", "ctx", "type_params")

# Names whose import affects annotations alone.
ANNOTATION_IMPORTS = {"typing": "TYPE_CHECKING", "__future__": "annotations"}


def source_digest(path: Path) -> str:
    """Return the digest of a source file.

    Parameters
    ----------
    path : Path
        A Python file, identified by its syntax tree, or any other file, identified by its bytes.

    Returns
    -------
    str
        ``ast1:`` (with the version of the walk) or ``bytes:``, and a SHA-256 in hexadecimal.

    Raises
    ------
    BenchmarkError
        If the file cannot be read or parsed.
    """
    path = Path(path).absolute()
    try:
        status = path.stat()
        return _digest_of(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise BenchmarkError(f"{_name(path)} cannot be read: {error.strerror}") from None


@functools.cache
def _digest_of(path: Path, modified: int, size: int) -> str:
    content = path.read_bytes()
    if path.suffix != ".py":
        return "bytes:" + hashlib.sha256(content).hexdigest()
    sha256 = hashlib.sha256(content).hexdigest()
    known = _known_digests()
    if sha256 not in known:
        text = plugins.decoded(content, _name(path))
        known[sha256] = _computed[sha256] = _digest_of_text(text, _name(path))
    return known[sha256]


_computed: dict[str, str] = {}  # {SHA-256 of a file: digest}, by this process


@functools.cache  # read once per process
def _known_digests() -> dict[str, str]:
    """Return {SHA-256 of a file: digest}, as computed by earlier commands with the same walk."""
    try:
        stored = storage.read_json(KNOWN_DIGESTS) if KNOWN_DIGESTS.is_file() else {}
    except BenchmarkError:  # digests that the cache lacks are computed
        return {}

    if stored.get("walk") != _digest_of_walk() or not isinstance(stored.get("digests"), dict):
        return {}
    return {
        sha256: digest
        for sha256, digest in stored["digests"].items()
        if re.fullmatch(SHA256, sha256) and re.fullmatch(DIGEST, str(digest))
    }


def _digest_of_walk() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def save_digests() -> None:
    """Save the digests of this process for the next command, which need not walk the same sources.

    Two processes that save at the same moment may disturb each other. What is not saved is
    computed again.
    """
    if not _computed:
        return
    saved = _known_digests() if len(_known_digests()) <= MOST_KNOWN else _computed
    with contextlib.suppress(BenchmarkError):
        storage.write_json(KNOWN_DIGESTS, {"walk": _digest_of_walk(), "digests": saved})


def text_digest(text: str) -> str:
    """Return the digest of Python source text, equal to that of a file with this text.

    Parameters
    ----------
    text : str
        Source text, for example the output of ``git show``.

    Returns
    -------
    str
        ``ast1:`` (with the version of the walk) and a SHA-256 in hexadecimal.

    Raises
    ------
    BenchmarkError
        If the text cannot be parsed.
    """
    return _digest_of_text(text, "source text")


def _digest_of_text(text: str, shown: str) -> str:
    tree = plugins.parsed(text, shown)
    try:
        walked = canonical_text(tree)
    except ValueError as error:
        raise BenchmarkError(f"{shown}: a constant cannot be written: {error}") from None
    return f"ast{WALK_VERSION}:" + hashlib.sha256(walked.encode("ascii")).hexdigest()


def digests(paths: Iterable[str | Path]) -> dict[str, str]:
    """Return the digest of each file.

    Parameters
    ----------
    paths : iterable of str or Path
        Files of the project.

    Returns
    -------
    dict of str to str
        Path relative to the project's root (with ``/``) to `source_digest`, sorted by path.
    """
    digests = {_name(path): source_digest(path) for path in map(Path, paths)}
    return dict(sorted(digests.items()))


def _name(path: Path) -> str:
    """Return the path relative to the project's root; a file outside it keeps its path."""
    for candidate in (path, path.resolve()):
        if candidate.is_relative_to(plugins.ROOT):
            return candidate.relative_to(plugins.ROOT).as_posix()
    return path.as_posix()


# The canonical walk:
#
#   x: int = f(1)    ->    Assign(targets=[Name(id=str:'x';),];value=Call(func=...;args=[...];);)
#
# Every field has its name and every text is quoted, so two different trees never give one text.
# Recursion would fail on deep expressions. Instead, a stack holds what is still to be written, the
# next item last: finished text (str), a syntax node or a list of nodes.
def canonical_text(tree: ast.AST) -> str:
    """Return the meaning of a syntax tree as ASCII text.

    Parameters
    ----------
    tree : ast.AST
        A module, as `ast.parse` returns it.

    Returns
    -------
    str
        The text of which `text_digest` is the SHA-256.

    Raises
    ------
    ValueError
        If an integer constant has more digits than Python writes.
    """
    written, pending = [], [(tree, False)]
    while pending:
        item, in_class = pending.pop()
        if isinstance(item, str):
            written.append(item)
            continue
        if isinstance(item, list):
            parts = _list_parts(item)
        else:
            parts = _node_parts(item, in_class)
            in_class = _class_scope(item, in_class)
        pending.extend((part, in_class) for part in reversed(parts))

    return "".join(written)


def _class_scope(node: ast.AST, in_class: bool) -> bool:
    """Return whether the statements directly below a node belong to the body of a class."""
    if isinstance(node, ast.ClassDef):
        return True
    return in_class and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def _list_parts(items: list) -> list:
    parts = ["["]
    for item in items:
        # None has a position here: no key in {**more}, no default of a keyword-only argument.
        parts += [_scalar(item) if _is_scalar(item) else item, ","]
    return [*parts, "]"]


def _node_parts(node: ast.AST, in_class: bool) -> list:
    if isinstance(node, ast.Constant):
        return [f"Constant({_scalar(node.value)})"]

    kind, parts = type(node).__name__, []
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.JoinedStr):
        fields = {"values": _joined(node.values)}

    if isinstance(node, ast.AnnAssign) and not _class_scope(node, in_class):
        kind, fields = "Assign", {"targets": [node.target], "value": node.value}

    for name, field in fields.items():
        value = field
        if isinstance(field, list):
            value = list(_statements(field, _class_scope(node, in_class)))
        if name in IGNORED_FIELDS or value is None or value == []:
            continue
        parts += [f"{name}=", _scalar(value) if _is_scalar(value) else value, ";"]

    return [f"{kind}(", *parts, ")"]


def _is_scalar(value: object) -> bool:
    return not isinstance(value, (ast.AST, list))


def _scalar(value: object) -> str:
    return f"{type(value).__name__}:{value!a}"


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """Return the parts of an f-string, whose texts Python versions divide in different ways."""
    parts: list[ast.expr] = []
    text = ""
    for value in values:
        if isinstance(value, ast.Constant):
            text += str(value.value)
            continue
        if text:
            parts.append(ast.Constant(text))
        parts.append(value)
        text = ""

    return [*parts, ast.Constant(text)] if text else parts


def _statements(items: list, in_class: bool) -> Iterator[object]:
    """Yield the items of a list without the statements that no result depends on."""
    pending = list(reversed(items))
    while pending:
        item = pending.pop()
        if isinstance(item, ast.If) and _is_type_checking(item.test):
            pending.extend(reversed(item.orelse))
        elif isinstance(item, (ast.Import, ast.ImportFrom)):
            names = _counted_names(item)
            if names == item.names:
                yield item
            elif names:
                yield type(item)(**dict(ast.iter_fields(item)) | {"names": names})
            elif renamed := _renamed(item):
                yield ast.ImportFrom(module=None, names=renamed, level=0)
        elif not _is_ignored(item, in_class):
            yield item


def _is_type_checking(test: ast.expr) -> bool:
    if isinstance(test, ast.Attribute) and isinstance(test.value, ast.Name):
        return (test.value.id, test.attr) == ("typing", "TYPE_CHECKING")
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _counted_names(statement: ast.Import | ast.ImportFrom) -> list[ast.alias]:
    """Return the names of an import that are not from the core and not for annotations alone."""
    if isinstance(statement, ast.Import):
        return [alias for alias in statement.names if not _in_core(alias.name)]
    if statement.level:
        return statement.names
    if _in_core(statement.module):
        return []
    ignored = ANNOTATION_IMPORTS.get(statement.module or "")
    return [alias for alias in statement.names if alias.name != ignored]


def _renamed(statement: ast.Import | ast.ImportFrom) -> list[ast.alias]:
    """Return the original names of the core that an import renames."""
    if not isinstance(statement, ast.ImportFrom) or not _in_core(statement.module):
        return []
    return [alias for alias in statement.names if alias.asname not in (None, alias.name)]


def _in_core(module: str | None) -> bool:
    return (module or "").partition(".")[0] in CORE


def _is_ignored(item: object, in_class: bool) -> bool:
    """Return whether a statement is `pass`, a docstring or description, or annotates no field."""
    if in_class and isinstance(item, (ast.Assign, ast.AnnAssign)) and _describes(item):
        return True
    if isinstance(item, ast.AnnAssign):
        return item.value is None and not in_class
    if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
        return isinstance(item.value.value, str)
    return isinstance(item, ast.Pass)


def _describes(item: ast.Assign | ast.AnnAssign) -> bool:
    """Whether a statement gives values to `plugins.DESCRIPTIVE` alone, written as literals."""
    targets = item.targets if isinstance(item, ast.Assign) else [item.target]
    for target in targets:
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        if not all(isinstance(name, ast.Name) and name.id in plugins.DESCRIPTIVE for name in names):
            return False
    return item.value is None or plugins.is_literal(item.value)


def sources(stage: str, name: str) -> list[Path]:
    """Return the files whose meaning decides the result of a plugin or job.

    These are its own file and what it imports, directly or not, from its stage and the `LIBRARIES`
    of its stage, from `DECISIVE_MODULES` and from the user's modules beside the stages.
    ``_runtime.py`` of the stage is always one of them, ``harness/imported_codes.py`` for a method
    that consumes ``codes``, and ``methods/_pool.py`` for one that consumes ``views``.
    Other core modules store, describe and show progress: a change there must not cost a week of
    training.

    Parameters
    ----------
    stage : str
        Folder of the stage: ``datasets``, ``features``, ``methods``, ``evaluation``,
        ``experiments`` or ``report``.
    name : str
        Name of the file in this folder, without ``.py``.

    Returns
    -------
    list of Path
        Absolute paths, sorted.

    Raises
    ------
    BenchmarkError
        If one of the files cannot be parsed.
    """
    pending, paths = [plugins.ROOT / stage / f"{name}.py", *_implied_sources(stage, name)], set()
    while pending:
        path = pending.pop()
        if path not in paths:
            paths.add(path)
            pending += _imported_files(path, stage)
    return sorted(paths)


def _implied_sources(stage: str, name: str) -> list[Path]:
    """Return the sources that a plugin does not import: the job's command calls them for it."""
    runtime = plugins.ROOT / stage / "_runtime.py"
    files = [runtime] if runtime.is_file() else []
    if stage == "methods" and name in plugins.names(stage):
        consumed = plugins.read_plugin(stage, name).consumes
        files += [plugins.ROOT / "harness/imported_codes.py"] if "codes" in consumed else []
        files += [plugins.ROOT / "methods/_pool.py"] if "views" in consumed else []
    return files


def _imported_files(path: Path, stage: str) -> list[Path]:
    """Return the files that decide results of a stage, among those that a file imports."""
    if path.is_relative_to(plugins.ROOT / "harness"):
        return []  # of the core, only the imported module itself decides

    included = {stage, *LIBRARIES.get(stage, ())}
    excluded = {"", *CORE, *plugins.PACKAGES} - included

    files = []
    for module in plugins.imported_modules(path):
        parts = module.split(".")
        if module in DECISIVE_MODULES:
            files.append(plugins.ROOT.joinpath(*parts).with_suffix(".py"))
        if parts[0] in excluded:
            continue
        # Every import from a stage runs the stage's __init__, but few need it.
        shortest = 2 if parts[0] in included and len(parts) > 1 else 1
        for length in range(shortest, len(parts) + 1):
            module_path = plugins.ROOT.joinpath(*parts[:length])
            files += [module_path.with_suffix(".py"), module_path / "__init__.py"]

    return [file for file in files if file.is_file()]


# Keys that only group the facts below them. The name of a fact is more informative.
GROUPS = ("sources", "keywords", "params", "settings", "set", "run", "inputs", "files", "sha256")


def difference(recorded: Mapping, expected: Mapping) -> str:
    """Return in one phrase the first difference between two nested dictionaries of facts.

    Parameters
    ----------
    recorded, expected : dict
        Facts that a result was made with, and those of the present. A key whose value is None
        counts as absent. Lists and tuples with equal items are equal.

    Returns
    -------
    str
        For example ``methods/itq.py changed`` or ``iterations was 50, now 49``; empty if the
        facts are equal. Expected keys come first, in their order.
    """
    if recorded == expected:  # of thousands of results, almost all
        return ""
    phrase = _difference(_plain(recorded), _plain(expected), ())
    return " ".join(phrase.split())  # a key may be the path of a user file


def _plain(fact: Any) -> Any:
    """Return a fact without keys whose value is None, and with lists for tuples."""
    if isinstance(fact, Mapping):
        return {key: _plain(value) for key, value in fact.items() if value is not None}
    return [_plain(item) for item in fact] if isinstance(fact, (list, tuple)) else fact


def _difference(recorded: dict, expected: dict, path: tuple[str, ...]) -> str:
    for key in {**expected, **recorded}:
        before, now = recorded.get(key), expected.get(key)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            return _difference(before, now, (*path, key))
        return _phrase((*path, str(key)), before, now)
    return ""


def _phrase(path: tuple[str, ...], before: object, now: object) -> str:
    """Return the difference of one fact in words."""
    groups = [key for key in path[:-1] if key not in GROUPS]
    fact = "content" if path[-1] == "sha256" and groups else path[-1]
    name = ": ".join([*groups, fact])

    kinds = _digest_kind(before), _digest_kind(now)
    if "sources" in path[:-1] and before is None:
        return f"{name} is a new source"
    if "sources" in path[:-1] and now is None:
        return f"{name} is no longer a source"
    if before is None and (isinstance(now, dict) or kinds[1]):
        return f"the record has no {name}"
    if all(kinds) and kinds[0] != kinds[1]:
        return f"{name} was recorded with a digest {kinds[0]}, now {kinds[1]}"
    if all(kinds):
        return f"{name} changed"

    texts = _short(before), _short(now)
    if texts[0] == texts[1]:
        texts = repr(before), repr(now)

    return f"{name} was {texts[0]}, now {texts[1]}"


def _digest_kind(value: object) -> str:
    """Return the kind of a digest: ``ast1``, ``bytes``, ``sha256`` without a prefix, or empty."""
    if not isinstance(value, str):
        return ""
    kind, _, digest = value.rpartition(":")
    is_digest = len(digest) == 64 and set(digest) <= set("0123456789abcdef")
    return (kind or "sha256") if is_digest else ""


def _short(value: object) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 40 else text[:12] + "..."
