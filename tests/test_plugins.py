"""How the file of a plugin is read without importing it, and which files decide its results."""

import pytest

from harness import identity, plugins
from harness.errors import BenchmarkError
from harness.plugins import ROOT


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Return a function that writes the plugin mine.py and methods/_part.py to another project."""
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    for floor in plugins.WORK:
        (tmp_path / floor).mkdir()
    (tmp_path / "methods/_part.py").write_text("ONE = 1\n")

    def write(imports, attributes, floor="methods"):
        functions = "".join(
            f"    def {name}(self):\n        pass\n\n"
            for name in ("__init__", *plugins.WORK[floor])
        )
        (tmp_path / floor / "mine.py").write_text(
            f"{imports}\n\nclass Mine:\n    {attributes}\n\n{functions}"
        )

    return write


def test_attributes_of_a_plugin_are_read_with_annotations_and_without(plugin):
    plugin(
        "", "label: str = 'Mine'\n    uses_gpu: bool = True\n    sample: int\n    device_ = None"
    )
    assert plugins.component("methods", "mine").literals == {
        "label": "Mine",
        "uses_gpu": True,
        "device_": None,
    }


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("citation = None", "label must be a text"),
        ("label = 3", "label must be a text"),
        ("label, citation = f'{1}', 'song2018binary'", "label must be a text"),
        ("label = 'Mine'; citation = 7", "citation must be a text or None"),
        ("label = 'Mine'; uses_gpu = bool(1)", "uses_gpu must be True or False"),
        ("label = 'Mine'; sample = 1e5", "sample must be a whole number"),
    ],
)
def test_declared_attributes_are_checked(plugin, attributes, message):
    plugin("", attributes)
    with pytest.raises(
        BenchmarkError,
        match=rf"^methods/mine.py: class Mine: {message}, written out: it is read without importing",
    ):
        plugins.component("methods", "mine")


@pytest.mark.parametrize(
    ("floor", "old", "new", "message"),
    [
        (
            "methods",
            "__init__(self)",
            "__init__(self, n_bits, seed=0, width=1)",
            "write \\* before seed in __init__: settings",
        ),
        (
            "features",
            "__init__(self)",
            "__init__(self, side=256)",
            "write \\* before side in __init__",
        ),
        (
            "datasets",
            "__init__(self)",
            "__init__(self, protocol='a', /, *, size=1)",
            "write \\* before protocol in __init__",
        ),
        (
            "methods",
            "__init__(self)",
            "__init__(self, n_bits, *settings)",
            "__init__ takes \\*settings, expected every argument",
        ),
        (
            "methods",
            "__init__(self)",
            "__init__(self, n_bits, *, seed=0, **kw)",
            "__init__ takes \\*\\*kw, expected every argument by",
        ),
        (
            "methods",
            "fit(self)",
            "fit(self, **kw)",
            "fit takes \\*\\*kw, expected every argument by its name, as in methods/_base.py",
        ),
        (
            "methods",
            "encode(self)",
            "encode(self, *rows)",
            "encode takes \\*rows, expected every argument by its name",
        ),
        (
            "methods",
            "fit(self)",
            "fit(self, features, *, epochs=3)",
            "remove the \\* before epochs in fit: settings are keywords",
        ),
        (
            "features",
            "extract(self)",
            "extract(self, *, images)",
            "remove the \\* before images in extract",
        ),
        (
            "datasets",
            "load(self)",
            "load(self, data, cache, **kw)",
            "load takes \\*\\*kw, expected .*, as in datasets/_base.py",
        ),
        (
            "methods",
            "encode(self)",
            "encode(self, features, neighbours)",
            "encode asks for 'neighbours', which are of the training",
        ),
        (
            "methods",
            "class Mine:",
            "class Other:\n    pass\n\nclass Mine:",
            "one public class; found Other, Mine: begin the names",
        ),
    ],
)
def test_error_for_a_plugin_of_another_form(plugin, floor, old, new, message):
    plugin("", "label = 'Mine'", floor)
    path = plugins.ROOT / floor / "mine.py"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BenchmarkError, match=rf"^{floor}/mine.py.*{message}"):
        plugins.component(floor, "mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"class Mine:\n  def fit(self)\n", "line 2: expected ':'"),
        (b"\xff", r"'utf-8' codec can't decode byte .*: expected Python source in UTF-8"),
        (b"\x00", "source code.* null bytes"),
    ],
)
def test_error_names_a_plugin_that_cannot_be_read(plugin, text, message):
    plugin("", "label = 'Mine'")
    for name in ("mine", "_part"):
        (plugins.ROOT / f"methods/{name}.py").write_bytes(text)
        with pytest.raises(BenchmarkError, match=rf"methods/{name}.py(, |: ){message}"):
            identity.sources("methods", name)
    with pytest.raises(BenchmarkError, match=r"methods/mine.py(, |: )"):
        plugins.component("methods", "mine")


@pytest.mark.parametrize(
    "imports",
    [
        "from methods import _part",
        "from methods._part import ONE",
        "from . import _part",
        "from ._part import ONE",
    ],
)
def test_every_form_of_an_import_is_a_source(plugin, imports):
    plugin(imports, "label = 'Mine'")
    assert [path.name for path in identity.sources("methods", "mine")] == ["_part.py", "mine.py"]


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ("import own", ["own.py"]),
        (
            "from mylib import near",
            ["mylib/__init__.py", "mylib/deep/__init__.py", "mylib/deep/far.py", "mylib/near.py"],
        ),
        (
            "import mylib.deep.far as far",
            ["mylib/__init__.py", "mylib/deep/__init__.py", "mylib/deep/far.py", "mylib/near.py"],
        ),
        ("def later():\n    from plain.part import f", ["plain/part.py"]),
        ("from methods._more.part import ONE", ["methods/_more/part.py"]),
        ("import numpy, storage, features.pixels, tests.test_own", []),
    ],
)
def test_imported_modules_of_the_user_are_sources(plugin, tmp_path, imports, expected):
    files = {
        "own.py": "import json, errors",
        "mylib/__init__.py": "",
        "mylib/near.py": "from .deep import far",
        "mylib/deep/__init__.py": "from .far import f",
        "mylib/deep/far.py": "from .. import near\nfrom methods import mine",
        "mylib/unused.py": "",
        "plain/part.py": "f = 1",
        "methods/_more/part.py": "ONE = 1",
        **dict.fromkeys(["errors.py", "storage.py", "features/pixels.py", "tests/test_own.py"], ""),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    plugin(imports, "label = 'Mine'")
    assert plugins.relative(identity.sources("methods", "mine")) == sorted(
        ["methods/mine.py", *expected]
    )


@pytest.mark.parametrize("floor", [*plugins.WORK, "evaluation", "experiments", "report"])
def test_sources_of_the_project_are_of_one_stage_and_decisive_modules(floor):
    """A change of any other file recomputes nothing."""
    decisive = {f"{module.replace('.', '/')}.py" for module in identity.DECISIVE_MODULES}
    stages = (floor, *identity.LIBRARIES.get(floor, ()))
    expected = decisive | set(
        plugins.relative([path for stage in stages for path in (ROOT / stage).rglob("*.py")])
    )
    for path in (ROOT / floor).glob("*.py"):
        assert set(plugins.relative(identity.sources(floor, path.stem))) <= expected


def test_scores_depend_on_the_library_and_tables_on_its_statistics():
    def found(job):
        return set(plugins.relative(identity.sources("experiments", job)))

    metrics = {
        "evaluation/__init__.py",
        "evaluation/metrics.py",
        "evaluation/presets.py",
        "evaluation/controls.py",
    }
    assert metrics | {"experiments/scoring.py", "harness/schemas.py"} <= found("scoring")
    assert {"experiments/statistics.py", "evaluation/significance.py"} <= found("collect")
    assert "evaluation/significance.py" not in found("scoring")
    assert "experiments/timing.py" in found("timing")
    assert not any(
        "__main__" in path for job in ("scoring", "collect", "timing") for path in found(job)
    )


def test_sources_are_the_file_its_imports_from_the_stage_and_the_networks():
    def names(method):
        return [path.name for path in identity.sources("methods", method)]

    assert names("itq") == ["_base.py", "_pca.py", "_runtime.py", "itq.py"]
    assert names("bgan") == [
        "imagenet.py",
        "_base.py",
        "_neighbourhood.py",
        "_nets.py",
        "_runtime.py",
        "_training.py",
        "bgan.py",
    ]
