"""Names in the code are nouns of the field, and expressions are not nested."""

import ast
import functools
import re

import pytest

from harness.plugins import PACKAGES, ROOT

FILES = sorted(
    path for folder in PACKAGES if folder != "tests" for path in (ROOT / folder).rglob("*.py")
)

# Words that describe the history of a value, or metaphors, instead of nouns.
FORBIDDEN_WORDS = {
    *("found", "kept", "said", "told", "made", "lacking", "alike", "asked"),
    *("floor", "floors", "ground", "grounds"),
    # One thing has one word: `params`, `overrides` or `defaults`, and `plugin`.
    *("settings", "keyword", "keywords", "component", "components"),
}
RECORD_KEYS = {"made_of"}  # a key of every record on disk, and variables with its value

PARTICIPLE = re.compile("[A-Z]*[^E]ED|KEPT|FOUND|MADE|SMALLER|LARGER")
ADJECTIVES = {"PUBLISHED", "PRETRAINED"}

COMPREHENSIONS = ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def names_of(target):
    """Yield the names and attributes that an assignment target binds, with their nodes."""
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node


def bound_names(tree):
    """Yield every name that the code binds: variables, attributes, arguments, definitions."""
    yield from names_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg, node
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler) and node.name:
            yield node.name, node
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node


def words_of(name):
    """Return the words of snake_case, UPPER_CASE and CamelCase in lower case."""
    separated = name if name.isupper() else re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word for word in separated.lower().split("_") if word]


def forbidden_names(tree):
    for name, node in bound_names(tree):
        if set(words_of(name)) & FORBIDDEN_WORDS and not any(key in name for key in RECORD_KEYS):
            yield f"{node.lineno}: {name}"


def bindings(tree):
    """Yield (name, expression) for each variable, loop and argument; of an argument, its type."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            yield from _pairs(node.targets[0], node.value)
        elif isinstance(node, ast.AnnAssign):
            yield from _pairs(node.target, node.annotation)
        elif isinstance(node, ast.For | ast.comprehension):
            yield from _pairs(node.target, node.iter)
        elif isinstance(node, ast.arg) and node.annotation is not None:
            yield node, node.arg, node.annotation


def _pairs(target, value):
    both_tuples = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
    if both_tuples and len(target.elts) == len(value.elts):
        for item, its_value in zip(target.elts, value.elts, strict=True):
            yield from _pairs(item, its_value)
        return
    for name, node in names_of(target):
        yield node, name, value


def identifiers(expression):
    for node in ast.walk(expression):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def misnamed_places(tree):
    """Variables named `place` that are no `harness.plan.Place`."""
    for node, name, value in bindings(tree):
        words = {word for used in identifiers(value) for word in words_of(used)}
        if name in ("place", "places") and not words & {"place", "places"}:
            yield f"{node.lineno}: {name}"


def misnamed_plugins(tree):
    """Variables with a `harness.plugins.Plugin` that have another name."""
    for node, name, value in bindings(tree):
        is_type = isinstance(node, ast.arg) and "Plugin" in identifiers(value)
        is_attribute = isinstance(value, ast.Attribute) and value.attr == "plugin"
        is_read = isinstance(value, ast.Call) and "read_plugin" in identifiers(value.func)
        if name != "plugin" and (is_type or is_attribute or is_read):
            yield f"{node.lineno}: {name}"


def participles(tree):
    """Constants that are one participle and no text; a text may be the state of a result."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for _, name, value in _pairs(node.targets[0], node.value):
                is_text = isinstance(value, ast.JoinedStr)
                is_text |= isinstance(value, ast.Constant) and isinstance(value.value, str)
                if PARTICIPLE.fullmatch(name) and name not in ADJECTIVES and not is_text:
                    yield f"{node.lineno}: {name}"


def nested(tree):
    """Comprehensions inside others, and conditional expressions inside others or in an `if`."""
    for node in ast.walk(tree):
        conditions = []
        if isinstance(node, COMPREHENSIONS):
            if len(node.generators) > 2 or _contains(node, COMPREHENSIONS):
                yield f"{node.lineno}: nested comprehension"
            conditions = [item for generator in node.generators for item in generator.ifs]
        elif isinstance(node, ast.If | ast.While):
            conditions = [node.test]
        elif isinstance(node, ast.IfExp):
            conditions = [node.test, node.body, node.orelse]
        if any(isinstance(item, ast.IfExp) or _contains(item, ast.IfExp) for item in conditions):
            yield f"{node.lineno}: nested conditional expression"


def _contains(node, kinds):
    return any(isinstance(inner, kinds) for inner in ast.walk(node) if inner is not node)


CHECKS = [forbidden_names, misnamed_places, misnamed_plugins, participles, nested]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_file_has_a_violation(check):
    violations = []
    for path in FILES:
        violations += [f"{path.relative_to(ROOT)}:{line}" for line in check(tree_of(path))]
    assert not violations, "\n".join(["", *violations])


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (forbidden_names, "found = 1"),
        (forbidden_names, "for kept, rest in pairs: pass"),
        (forbidden_names, "def f(*, keywords): pass"),
        (forbidden_names, "self.said = 1"),
        (forbidden_names, "class TextComponent: pass"),
        (forbidden_names, "FLOOR_FILES = []"),
        (forbidden_names, "[told for told in lines]"),
        (forbidden_names, "import numpy as ground"),
        (misnamed_places, "place = [run.dataset, run.features]"),
        (misnamed_places, "for place, bits in enumerate(lengths): pass"),
        (misnamed_places, "place, bits = index, run.bits"),
        (misnamed_plugins, "part = variant.plugin"),
        (misnamed_plugins, "def build(part: plugins.Plugin): pass"),
        (misnamed_plugins, "method = plugins.read_plugin('methods', name)"),
        (participles, "GATHERED = 4096"),
        (nested, "[[x for x in row] for row in rows]"),
        (nested, "[x for x in rows if any(y for y in x)]"),
        (nested, "[x for a in b for c in a for x in c]"),
        (nested, "a if b else c if d else e"),
        (nested, "if (a if b else c) > d: pass"),
        (nested, "[x for x in y if (a if x else b)]"),
    ],
)
def test_each_check_reports_a_violation(check, source):
    assert list(check(ast.parse(source)))


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (forbidden_names, "made_of = record['made_of']\nnumpy.floor(x)\nfoundation = 1"),
        (forbidden_names, "except_ = None\ntry: pass\nexcept FileNotFoundError: pass"),
        (misnamed_places, "place, bits = run.place, run.bits\nfor place in plan.places: pass"),
        (misnamed_places, "def f(place: Place): pass\nplaces: list[Place] = []"),
        (misnamed_plugins, "plugin = variant.plugin\nname = variant.plugin.name"),
        (participles, "TUNED = 'tuned'\nTIMED_FACTS = ()"),
        (nested, "[x for row in rows for x in row]\nif a: b = c if d else e"),
    ],
)
def test_plain_code_has_no_violation(check, source):
    assert not list(check(ast.parse(source)))
