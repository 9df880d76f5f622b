"""Digests of sources: what changes them, what does not, and which files a result depends on."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness import identity, plugins
from harness.errors import BenchmarkError
from harness.identity import difference, digests, source_digest, sources, text_digest
from harness.plugins import ROOT

PROGRAM = '''
"""A program with most statements."""
import json
import numpy as np
from experiments import CACHE

WIDTH, NAMES = 3, ("a", "b")


@dataclass
class Point:
    """A point."""

    x: float
    y: float = 0.5
    n = 2


def mean(values, *, axis=0, **more):
    """Return the mean."""
    from harness.storage import digest
    total = 0
    for value in values:
        if value is None:
            continue
        total += value * 2 ** -1
    else:
        total = total or 1
    try:
        return f"{total:>{WIDTH}.2f} of {values!r}" + "mm"
    except (ValueError, TypeError) as error:
        raise RuntimeError(b"no") from error
    finally:
        del total


async def work(point):
    match point:
        case Point(x=0) | None:
            return lambda a, b=1: a @ b
        case {"k": [first, *rest], **others} if rest:
            yield {**others, "first": first}
    async with point as opened:
        return [y for x in opened if x for y in x if not y]
'''

SNIPPETS = {
    "assignment": "x = 1",
    "function": "def f(a, *, b=None):\n    return a + b",
    "class": "class C:\n    x: int\n    y: int = 2\n    z = 3",
    "text": "x = f'a{b!r:>{w}}c' 'd'",
    "constants": "x = [None, True, 1, 1.0, 1j, 'ä', b'\\x00', ...]",
    "program": PROGRAM,
}

# A failure here means that the walk has changed. Increase WALK_VERSION, then replace the digests.
KNOWN = {
    "assignment": "ast1:7d3bd72f70b3c8d55eaa1f4f2ccecc81f2c7e26004cf51067096fdcee9b0053a",
    "function": "ast1:2dadb3442d299eca8989e008d4e7b92591993aa26bdbafdef9ba3c16a359263a",
    "class": "ast1:0d4dd941053470530d5cfd91fab272ceb6595801b50119e46be1cb6a01e4d842",
    "text": "ast1:f61ca5347bf7298f8300df117a03eae33134bec08608ef63ba8e7d12d49078b0",
    "constants": "ast1:172c44a3670600742f46fb5f4cd2049be9d2ae80d7b9671659f4277ec5f50646",
    "program": "ast1:5c09a25ce12b827e60cb4c976b96e309fccdb0791fb09efffd243229e3407250",
}

TYPE_CHECKING = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray
"""

# Texts whose syntax trees differ between versions of Python.
DIVERSE = [
    "x = f''",
    "x = f'{a:}' f'' 'b' f'{c=}'",
    "x = f'{a!r:{b!s}}' ''",
    "x = f'{a:{{}}}{{}}'",
    "x = f'''{a = !s:>{w}}\n{b:%H:%M}\\N{DEGREE SIGN}'''",
    "def f(): pass",
    "x = {**a, 'b': 1}; y = lambda: (yield)",
    "x = -0.0, 1e400, 0x10, 1_000, 'a' 'b', u'c', r'\\d'",
]


def project_files():
    """Every Python file of the project itself."""
    folders = [ROOT / name for name in plugins.PACKAGES]
    nested = [path for folder in folders for path in folder.rglob("*.py")]
    return sorted([*ROOT.glob("*.py"), *nested])


FILES = project_files()


def test_the_walk_has_a_version():
    found = {name: text_digest(text) for name, text in SNIPPETS.items()}
    assert found == KNOWN
    assert all(digest.startswith(f"ast{identity.WALK_VERSION}:") for digest in found.values())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('    """Return the mean."""\n', ""),
        ('"""A program with most statements."""', '"""Another text."""'),
        ('    """A point."""\n', '    """A point."""\n    "And another text."\n'),
        ("WIDTH, NAMES", "# A comment.\n\n\nWIDTH,  NAMES"),
        ("total = 0\n", "total = (0)  # a comment\n"),
        ("            continue\n", "            pass\n            continue\n"),
        ("(values, *, axis=0, **more)", "(values: list, *, axis: int = 0, **more: str) -> str"),
        ("total = 0\n", "total: int = 0\n"),
        ("total = 0\n", "count: int\n    total = 0\n"),
        ("x: float\n", "x: 'int'\n"),
        ("from experiments import CACHE\n", ""),
        ("from experiments import CACHE\n", "from harness.plan import CACHE, Plan\n"),
        ("import json\n", "import json, storage, harness.identity\n"),
        ("import json\n", "from __future__ import annotations\nimport json\n"),
        ("    from harness.storage import digest\n", "    from harness.provenance import digest\n"),
        ("    from harness.storage import digest\n", ""),
        ("import json\n", TYPE_CHECKING + "import json\n"),
        ("WIDTH, NAMES", "if typing.TYPE_CHECKING:\n    import a\nelse:\n    pass\nWIDTH, NAMES"),
        ('b"no"', 'b"n" b"o"'),
        ("\n", "\r\n"),
    ],
)
def test_what_no_result_depends_on_changes_no_digest(old, new):
    assert old in PROGRAM
    edited = PROGRAM.replace(old, new) if old == "\n" else PROGRAM.replace(old, new, 1)
    assert edited != PROGRAM
    assert text_digest(edited) == text_digest(PROGRAM)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WIDTH, NAMES = 3", "WIDTH, NAMES = 4"),
        ("WIDTH, NAMES = 3", "WIDTH, NAMES = 3.0"),
        ("WIDTH, NAMES = 3", "WIDTH, NAMES = True"),
        ("WIDTH, NAMES", "NAMES, WIDTH"),
        ('"a"', '"ä"'),
        ('"a"', 'b"a"'),
        ('("a", "b")', '["a", "b"]'),
        ('("a", "b")', '("a" "b",)'),
        ("y: float = 0.5", "y = 0.5"),
        ("y: float = 0.5", "y: float"),
        ("    x: float\n", ""),
        ("    x: float\n    y: float = 0.5", "    y: float = 0.5\n    x: float"),
        ("axis=0", "axis=1"),
        ("axis=0", "axis"),
        ("axis=0", "dim=0"),
        ("**more", "more=None"),
        ("total += value * 2", "total += value / 2"),
        ("total += value * 2", "total -= value * 2"),
        ("total += value * 2", "total += 2 * value"),
        ("2 ** -1", "(2 ** 1)"),
        ("value is None", "value is not None"),
        ("continue", "break"),
        ("total = total or 1", "total = total and 1"),
        (">{WIDTH}.2f", ">{WIDTH}.3f"),
        ("{values!r}", "{values!s}"),
        ("{values!r}", "{values}"),
        ('"mm"', '"m"'),
        ("(ValueError, TypeError)", "(TypeError, ValueError)"),
        ("from error", "from None"),
        ("Point(x=0)", "Point(y=0)"),
        ("| None", "| True"),
        ("*rest", "rest"),
        ("{**others,", "{None: others,"),
        ("a @ b", "a.T @ b"),
        ("if not y", "if y"),
        ("async with", "with"),
        ("import numpy as np", "import numpy"),
        ("import numpy as np", "from . import storage"),
        ("import json\nimport numpy as np", "import numpy as np\nimport json"),
        ("@dataclass\n", ""),
        ("WIDTH, NAMES", "if not TYPE_CHECKING:\n    import torch\nWIDTH, NAMES"),
        ("WIDTH, NAMES", "if TYPE_CHECKING:\n    pass\nelse:\n    import torch\nWIDTH, NAMES"),
        ("WIDTH, NAMES", "f'not {a} docstring'\nWIDTH, NAMES"),
    ],
)
def test_what_a_result_may_depend_on_changes_the_digest(old, new):
    assert old in PROGRAM
    assert text_digest(PROGRAM.replace(old, new, 1)) != text_digest(PROGRAM)


def test_a_name_of_the_core_counts_where_an_import_renames_it():
    """The other lines of the program do not have it. The module may still move."""
    program = "from networks import {} as load\nload()\n"
    one = text_digest(program.format("trained"))
    assert one != text_digest(program.format("untrained"))
    assert one != text_digest("from networks import load\nload()\n")
    assert one == text_digest(program.format("trained").replace("networks", "harness.networks"))


def test_reordered_statements_have_another_digest():
    assert text_digest("a = 1\nb = 2") != text_digest("b = 2\na = 1")
    assert text_digest("def f():\n    g()\nh()") != text_digest("def f():\n    g()\n    h()")


def test_an_annotation_counts_only_in_the_body_of_a_class():
    outside = "def f():\n    class C:\n        def g(self):\n            {}\n            return x"
    assert text_digest(outside.format("x: int = 1")) == text_digest(outside.format("x = 1"))
    inside = "class C:\n    if True:\n        {}\n    y = 1"
    assert text_digest(inside.format("x: int = 1")) == text_digest(inside.format("x: str = 1"))
    assert text_digest(inside.format("x: int = 1")) != text_digest(inside.format("x = 1"))
    assert text_digest(inside.format("x: int")) != text_digest(inside.format("pass"))


def test_every_module_of_the_core_is_known_to_the_walk():
    assert "harness" in identity.CORE
    for module in identity.DECISIVE_MODULES:
        assert ROOT.joinpath(*module.split(".")).with_suffix(".py").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_layout_and_comments_of_the_project_do_not_count(path):
    assert text_digest(ast.unparse(ast.parse(path.read_text()))) == source_digest(path)


def describes(item):
    """Whether a statement of a class gives a value to a member that only describes it."""
    return isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "search_space"


@given(st.sampled_from(FILES), st.integers(0, 10**6))
def test_every_number_of_the_project_counts(path, choice):
    tree = ast.parse(path.read_text())
    for node in [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]:
        node.body = [item for item in node.body if not describes(item)] or [ast.Pass()]
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    numbers = [node for node in constants if type(node.value) in (int, float)]
    if not numbers:
        return
    numbers[choice % len(numbers)].value += 1
    assert text_digest(ast.unparse(tree)) != source_digest(path)


TEXTS = st.text(st.sampled_from("a'\"\\()[],;=:ä\n"), max_size=4)
NUMBERS = st.one_of(st.integers(0, 3), st.booleans(), st.none())
LEAVES = st.one_of(
    st.builds(ast.Constant, st.one_of(TEXTS, TEXTS.map(str.encode), NUMBERS)),
    st.builds(ast.Name, st.sampled_from(["a", "b"])),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(ast.BinOp, inner, st.sampled_from([ast.Add(), ast.Sub()]), inner),
        st.builds(ast.Tuple, st.lists(inner, max_size=2)),
        st.builds(ast.Call, inner, st.lists(inner, max_size=2), st.just([])),
        st.builds(
            lambda keys, value: ast.Dict(keys, [value] * len(keys)),
            st.lists(st.one_of(st.none(), inner), max_size=2),
            inner,
        ),
    ),
    max_leaves=4,
)


@given(TREES, TREES)
def test_different_expressions_have_different_texts(one, other):
    equal = ast.dump(one) == ast.dump(other)
    assert (identity.canonical_text(one) == identity.canonical_text(other)) == equal


def interpreters():
    """Other supported versions of Python on this machine, by version."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [shutil.which(f"python3.{minor}") for minor in (11, 12, 13)]
    candidates += sorted(root.glob("versions/3.1[123].*/bin/python"))
    found = {}
    for candidate in filter(None, candidates):
        program = "import sys; print(sys.version.split()[0])"
        done = subprocess.run([candidate, "-c", program], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.startswith(("3.11.", "3.12.", "3.13.")):
            found.setdefault(done.stdout.strip(), str(candidate))
    return found


ALL_DIGESTS = """
import json, sys
from harness.identity import digests, text_digest
files, texts = json.load(sys.stdin)
print(json.dumps([digests(files), [text_digest(text) for text in texts]]))
"""


def test_digests_are_equal_under_all_versions_of_python():
    """Standard library only: the other interpreters have no packages."""
    found = interpreters()
    if len({version.rpartition(".")[0] for version in found}) < 2:
        pytest.skip(f"needs two of Python 3.11, 3.12 and 3.13, found {', '.join(found) or 'none'}")
    texts = [*SNIPPETS.values(), *DIVERSE]
    expected = [digests(FILES), [text_digest(text) for text in texts]]
    for version, interpreter in found.items():
        done = subprocess.run(
            [interpreter, "-s", "-c", ALL_DIGESTS],
            input=json.dumps([list(map(str, FILES)), texts]),
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{version}: {done.stderr}"
        assert json.loads(done.stdout) == expected, version


def test_a_file_has_the_digest_of_its_text(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(PROGRAM)
    assert source_digest(path) == text_digest(PROGRAM)
    path.write_text(PROGRAM.replace("2 **", "3 **"))
    os.utime(path, ns=(0, 0))
    assert source_digest(path) != text_digest(PROGRAM)


def test_another_file_has_the_digest_of_its_bytes(tmp_path):
    path = tmp_path / "tables.yaml"
    path.write_text("a: 1\n")
    before = source_digest(path)
    assert before.startswith("bytes:")
    path.write_text("a: 1 # a comment\n")
    assert source_digest(path) != before


def test_digests_are_by_path_from_the_root():
    paths = [ROOT / "methods/itq.py", ROOT / "features/pixels.py", "harness/imported_codes.py"]
    found = digests(paths[:2])
    assert list(found) == ["features/pixels.py", "methods/itq.py"]
    assert found["methods/itq.py"] == source_digest(ROOT / "methods/itq.py")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x = 1\ndef\n", r"a\.py, line 2: "),
        (b"x = '\xff'\n", r"a\.py: 'utf-8' codec can't decode byte"),
        (b"x = 1 \x00", r"a\.py.*null bytes"),
        (b"x = 0x" + b"f" * 6000, r"a\.py: a constant cannot be written: "),
        (b"x = " + b"a(" * 5000, r"a\.py"),
        (b"x = a" + b".b" * 200_000, r"a\.py: an expression is nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_walked_is_one_line(tmp_path, content, message):
    (tmp_path / "a.py").write_bytes(content)
    with pytest.raises(BenchmarkError, match=message) as raised:
        source_digest(tmp_path / "a.py")
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(BenchmarkError, match=r"gone\.py cannot be read: No such file"):
        source_digest(tmp_path / "gone.py")


def test_deep_expressions_have_a_digest():
    text = "x = " + " + ".join(["1"] * 2000)
    assert text_digest(text) != text_digest(text + " + 1")


def all_plugins():
    return [(stage, name) for stage in plugins.WORK for name in plugins.names(stage)]


def sources_of(stage, name):
    return plugins.relative(sources(stage, name))


def dependants(file):
    """Names of the plugins that have a file among their sources."""
    return {f"{stage}/{name}" for stage, name in all_plugins() if file in sources_of(stage, name)}


def test_what_a_stage_does_for_all_its_plugins_is_a_source_of_each():
    for stage in plugins.WORK:
        expected = {f"{stage}/{name}" for name in plugins.names(stage)}
        assert dependants(f"{stage}/_runtime.py") == expected
    assert "features/_runtime.py" in sources_of("features", "_neighbours")
    assert "datasets/_images.py" in sources_of("datasets", "digits")
    assert "datasets/_base.py" in sources_of("datasets", "digits")


def test_the_core_counts_where_it_decides_results():
    assert dependants("harness/imported_codes.py") == {"methods/imported"}
    extractors = [plugins.read_plugin("features", name) for name in plugins.names("features")]
    networks = {f"features/{part.name}" for part in extractors if "network" in part.literals}
    assert len(networks) == 6
    assert dependants("harness/imagenet.py") == networks | {
        "features/gist",
        "methods/bgan",
        "methods/deepbit_rotation",
    }


def test_what_only_stores_and_describes_is_no_source():
    every = {file for stage, name in all_plugins() for file in sources_of(stage, name)}
    assert not {file for file in every if file.startswith(("evaluation/", "report/"))}
    assert not {file for file in every if file.endswith("__main__.py")}
    assert {file for file in every if file.startswith("harness/")} == {
        "harness/imagenet.py",
        "harness/imported_codes.py",
    }


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("methods/_runtime.py", "BLOCK = 8192", "BLOCK = 4096"),
        ("methods/_pca.py", "import numpy as np", "import numpy as np\n\n_EDITED = 1"),
        ("features/_runtime.py", "features[train]", "features[train[::-1]]"),
        ("datasets/_runtime.py", "if validation", "if not validation"),
        ("harness/imported_codes.py", "LONGEST = 1024", "LONGEST = 512"),
        ("harness/imagenet.py", "0.485", "0.486"),
        ("harness/storage.py", "hexdigest()", "digest().hex()"),
        ("methods/__main__.py", "gc.freeze()", "gc.collect()"),
    ],
)
def test_an_edit_changes_the_digests_of_its_dependants_alone(
    tmp_path,
    monkeypatch,
    file,
    old,
    new,
):
    expected = dependants(file)
    for stage in plugins.WORK:
        shutil.copytree(ROOT / stage, tmp_path / stage)
    shutil.copytree(ROOT / "harness", tmp_path / "harness")
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    before = {plugin: digests(sources(*plugin)) for plugin in all_plugins()}

    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    after = {plugin: digests(sources(*plugin)) for plugin in all_plugins()}
    assert {"/".join(plugin) for plugin in before if before[plugin] != after[plugin]} == expected


def test_a_core_module_that_counts_brings_no_other(tmp_path, monkeypatch):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods/mine.py").write_text(
        "from harness import imagenet\nfrom harness.plan import Plan"
    )
    (tmp_path / "harness").mkdir()
    for name in ("harness/imagenet.py", "harness/__init__.py", "harness/plan.py"):
        (tmp_path / name).write_text(
            "from harness import imported_codes, storage\nimport methods._part, own"
        )
    for name in ("harness/imported_codes.py", "harness/storage.py", "methods/_part.py", "own.py"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    monkeypatch.setattr(plugins, "names", lambda stage: [])
    assert sources_of("methods", "mine") == ["harness/imagenet.py", "methods/mine.py"]


SHA = ["3f2a" * 16, "77bc" * 16]
ITERATIONS = [{"keywords": {"iterations": count}} for count in (50, 49)]
OWN = {"sources": {"own.py": f"ast1:{SHA[0]}"}}
FEATURES = [{"features": {"sha256": digest}} for digest in SHA]


@pytest.mark.parametrize(
    ("recorded", "expected", "reason"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"a": 1, "b": {"c": (1, 2)}}, ""),
        ({"a": 1}, {"a": 1, "b": None}, ""),
        ({"set": {"a": None}}, {"set": {}}, ""),
        (*ITERATIONS, "iterations was 50, now 49"),
        ({"keywords": {"older": 1}}, {"keywords": {}}, "older was 1, now not set"),
        ({"keywords": {}}, {"keywords": {"newer": 1}}, "newer was not set, now 1"),
        ({"keywords": {"k": "1"}}, {"keywords": {"k": 1}}, "k was '1', now 1"),
        ({"metric": "cosine"}, {"metric": "l2"}, "metric was cosine, now l2"),
        (
            {"sources": {"methods/itq.py": f"ast1:{SHA[0]}"}},
            {"sources": {"methods/itq.py": f"ast1:{SHA[1]}"}},
            "methods/itq.py changed",
        ),
        (
            {"sources": {"methods/itq.py": SHA[0]}},
            {"sources": {"methods/itq.py": f"ast1:{SHA[0]}"}},
            "methods/itq.py was recorded with a digest sha256, now ast1",
        ),
        ({"sources": {}}, OWN, "own.py is a new source"),
        (OWN, {"sources": {}}, "own.py is no longer a source"),
        ({}, OWN, "the record has no sources"),
        ({}, {"images_sha256": SHA[0]}, "the record has no images_sha256"),
        (
            {"dataset": {"sha256": {"images.npy": SHA[0]}}},
            {"dataset": {"sha256": {"images.npy": SHA[1]}}},
            "dataset: images.npy changed",
        ),
        (*FEATURES, "features: content changed"),
        (
            {"features": {"settings": {"set": {"resize": 224}}}},
            {"features": {"settings": {"set": {"resize": 256}}}},
            "features: resize was 224, now 256",
        ),
        ({"b": 1, "a": 1}, {"a": 2, "b": 2}, "a was 1, now 2"),
    ],
)
def test_the_first_difference_is_a_reason(recorded, expected, reason):
    assert difference(recorded, expected) == reason


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
    ),
    max_leaves=6,
)
FACTS = st.dictionaries(st.text(max_size=2), JSON, max_size=3)


@given(FACTS, FACTS)
@example({}, {"\n": []})
def test_equal_facts_alone_have_no_difference(one, other):
    assert difference(one, one) == ""
    assert bool(difference(one, other)) == bool(difference(other, one))
    assert "\n" not in difference(one, other)


PLAIN_METHOD = "class Mine:\n    label = 'Mine'\n\n    def fit(self):\n        return self\n"


@pytest.mark.parametrize(
    "members",
    [
        "tier = 'images'",
        "tier, fidelity = 'features', 'A'",
        "fidelity: str | None = None",
        "search_space: dict | None = None",
        "search_space = {'width': (1, 2)}",
    ],
)
def test_members_that_only_describe_a_class_change_no_digest(members):
    described = PLAIN_METHOD.replace("\n\n", f"\n    {members}\n\n", 1)
    assert identity.text_digest(described) == identity.text_digest(PLAIN_METHOD)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("label = 'Mine'", "label = 'Mine'\n    sample = 3"),
        ("label = 'Mine'", "label = 'Mine'\n    tier, sample = 'images', 3"),
        ("label = 'Mine'", "label = 'Mine'\n    tier = computed()"),
        ("label = 'Mine'", "label = 'Mine'\n    tier.value = 3"),
        ("return self", "tier = 3\n        return self"),
        ("class Mine", "tier = 3\nclass Mine"),
    ],
)
def test_any_other_assignment_changes_the_digest(old, new):
    assert identity.text_digest(PLAIN_METHOD.replace(old, new)) != identity.text_digest(
        PLAIN_METHOD
    )


SAVING = """
import json
import sys
from harness import identity

walks = []
walk = identity.canonical_text
identity.canonical_text = lambda tree: walks.append(None) or walk(tree)
print(json.dumps(identity.digests(sys.argv[1:])), len(walks))
identity.save_digests()
"""


def digests_in(folder, *paths):
    """What a process in a folder finds: the digests, and how many files it walked."""
    command = [sys.executable, "-c", SAVING, *map(str, paths)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    digests, _, walks = done.stdout.decode().rpartition(" ")
    return json.loads(digests), int(walks)


def test_a_source_is_walked_by_one_command_and_again_after_a_change(tmp_path):
    sources = [tmp_path / "one.py", tmp_path / "two.py"]
    for number, path in enumerate(sources):
        path.write_text(f"value = {number}\n")
    first, walks = digests_in(tmp_path, *sources)
    assert walks == 2
    assert digests_in(tmp_path, *sources) == (first, 0)

    sources[0].write_text("value = 0  # the same meaning\n")
    assert digests_in(tmp_path, *sources) == (first, 1)
    sources[0].write_text("value = 3\n")
    changed, walks = digests_in(tmp_path, *sources)
    assert walks == 1
    assert changed[str(sources[0])] != first[str(sources[0])]
    assert changed == {str(path): identity.source_digest(path) for path in sources}


@pytest.mark.parametrize("damage", ["{", '{"walk": 1}', "[]", "another walk", "another value"])
def test_saved_digests_that_do_not_fit_are_computed_again(tmp_path, damage):
    source = tmp_path / "one.py"
    source.write_text("value = 1\n")
    expected, _ = digests_in(tmp_path, source)
    saved = tmp_path / identity.KNOWN_DIGESTS
    stored = json.loads(saved.read_text())
    if damage == "another walk":
        damage = json.dumps(stored | {"walk": "0" * 64})
    elif damage == "another value":
        damage = json.dumps(stored | {"digests": dict.fromkeys(stored["digests"], "ast1:")})
    saved.write_text(damage)
    assert digests_in(tmp_path, source) == (expected, 1)


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "one.py").write_text("value = 1\n")
    (tmp_path / "cache").write_text("no folder")
    _, walks = digests_in(tmp_path, tmp_path / "one.py")
    assert walks == 1
