"""How the file of a plugin is read without importing it, and which files decide its results."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from harness import identity, plugins, user_data
from harness.errors import BenchmarkError
from harness.plugins import ROOT
from harness.variants import Catalogue


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Return a function that writes the plugin mine.py and methods/_part.py to another project."""
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    for stage in plugins.WORK:
        (tmp_path / stage).mkdir()
    (tmp_path / "methods/_part.py").write_text("ONE = 1\n")

    def write(imports, attributes, stage="methods"):
        functions = "".join(
            f"    def {name}(self):\n        pass\n\n"
            for name in ("__init__", *plugins.WORK[stage])
        )
        (tmp_path / stage / "mine.py").write_text(
            f"{imports}\n\nclass Mine:\n    {attributes}\n\n{functions}"
        )

    return write


def test_attributes_of_a_plugin_are_read_with_annotations_and_without(plugin):
    plugin(
        "", "label: str = 'Mine'\n    uses_gpu: bool = True\n    sample: int\n    device_ = None"
    )
    assert plugins.read_plugin("methods", "mine").literals == {
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
        ("label = 'Mine'; file_params = ['path']", "file_params must be a tuple of texts"),
        ("label = 'Mine'; memory_params = (1,)", "memory_params must be a tuple of texts"),
        ("label = 'Mine'; uses_gpu = bool(1)", "uses_gpu must be True or False"),
        ("label = 'Mine'; sample = 1e5", "sample must be a whole number or None"),
        ("label = 'Mine'; search_space = [1]", "search_space must be a dictionary of tuples"),
    ],
)
def test_declared_attributes_are_checked(plugin, attributes, message):
    plugin("", attributes)
    with pytest.raises(
        BenchmarkError,
        match=rf"^methods/mine.py: class Mine: {message}, "
        r"written as a literal: it is read without importing",
    ):
        plugins.read_plugin("methods", "mine")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("tier = 'labels'", "tier is 'labels': expected one of 'features', 'views', 'images'"),
        ("fidelity = 'D'", "fidelity is 'D': expected one of 'A', 'B', 'C', None"),
        ("search_space = {'rate': (1, 2)}", "search_space names 'rate', which is not a parameter"),
    ],
)
def test_what_a_method_states_of_itself_has_known_values(plugin, attributes, message):
    plugin("", f"label = 'Mine'; {attributes}")
    with pytest.raises(BenchmarkError, match=f"^methods/mine.py: class Mine: {message}"):
        plugins.read_plugin("methods", "mine")


@pytest.mark.parametrize("values", ["()", "[3]", "3"])
def test_a_search_space_has_tuples_of_values(plugin, values):
    plugin("", f"label = 'Mine'; search_space = {{'width': {values}}}")
    path = plugins.ROOT / "methods/mine.py"
    path.write_text(path.read_text().replace("__init__(self)", "__init__(self, n, *, width=3)"))
    with pytest.raises(BenchmarkError, match=r"search_space: width: found .*, expected a tuple"):
        plugins.read_plugin("methods", "mine")


@pytest.mark.parametrize(
    ("stage", "old", "new", "message"),
    [
        (
            "methods",
            "__init__(self)",
            "__init__(self, n_bits, seed=0, width=1)",
            "write \\* before seed in __init__: parameters",
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
            "remove the \\* before epochs in fit: parameters are keyword arguments",
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
            "encode consumes 'neighbours', which are of the training",
        ),
        (
            "methods",
            "encode(self)",
            "encode(self, features, views)",
            "encode consumes 'views', which are of the training",
        ),
        (
            "methods",
            "class Mine:",
            "class Other:\n    pass\n\nclass Mine:",
            "one public class: found Other, Mine. Begin the names",
        ),
    ],
)
def test_error_for_a_plugin_of_another_form(plugin, stage, old, new, message):
    plugin("", "label = 'Mine'", stage)
    path = plugins.ROOT / stage / "mine.py"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BenchmarkError, match=rf"^{stage}/mine.py.*{message}"):
        plugins.read_plugin(stage, "mine")


CONTRACTS = {"datasets": "Dataset", "features": "Extractor", "methods": "Hasher"}


@pytest.mark.parametrize("stage", CONTRACTS)
def test_the_members_that_are_read_from_sources_are_those_of_the_contract(stage):
    contract = getattr(importlib.import_module(f"{stage}._base"), CONTRACTS[stage])
    public = {*vars(contract), *contract.__annotations__}
    known = {*plugins.MEMBERS[stage], *plugins.ATTRIBUTES[stage], *plugins.WORK[stage]}
    assert {name for name in public if not name.startswith("_")} == known
    for name, (_, default) in plugins.MEMBERS[stage].items():
        assert name == "label" or getattr(contract, name) == default, name


def edited(stage, old, new):
    path = plugins.ROOT / stage / "mine.py"
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("stage", CONTRACTS)
def test_a_parameter_with_the_name_of_a_contract_member_is_an_error(plugin, stage):
    reserved = [*plugins.MEMBERS[stage], *plugins.ATTRIBUTES[stage], *plugins.WORK[stage]]
    positional = "self, n_bits" if stage == "methods" else "self"
    for name in reserved:
        plugin("", "label = 'Mine'", stage)
        edited(stage, "__init__(self)", f"__init__({positional}, *, {name}=1)")
        with pytest.raises(
            BenchmarkError, match=rf"^{stage}/mine.py.* parameter '{name}' .*rename"
        ):
            plugins.read_plugin(stage, "mine")


INNOCENT = ["path", "database_path", "names", "images", "sha256", "weights", "encoder"]


@pytest.mark.parametrize("stage", ["features", "methods"])
def test_a_parameter_has_a_role_only_if_the_class_declares_it(plugin, stage):
    """A number of a newcomer may be called `path`, and no file of that name is looked for."""
    arguments = ", ".join(f"{name}=3" for name in INNOCENT)
    positional = "self, n_bits" if stage == "methods" else "self"
    plugin("", "label = 'Mine'", stage)
    edited(stage, "__init__(self)", f"__init__({positional}, *, seed=0, {arguments})")
    entry = {"of": "mine", "set": dict.fromkeys(INNOCENT, 4)}
    variant = Catalogue({stage: {"mine": entry}}).resolve(stage, "mine")
    assert user_data.read_paths(variant) == []
    assert (variant.user_files, variant.weights, variant.weights_digest) == ([], None, None)
    assert (variant.encoder, variant.stochastic) == ("features", True)


def test_declared_parameters_name_files_weights_and_the_encoder(plugin):
    attributes = [
        "label, file_params, memory_params = 'Mine', ('one', 'two'), ('three',)",
        "weights_param, digest_param, encoder_param = 'four', 'five', 'six'",
    ]
    plugin("", "\n    ".join(attributes))
    params = "one='{seed}.npy', two=None, three=3, four='w.pth', five='00', six='vgg16'"
    edited("methods", "__init__(self)", f"__init__(self, n_bits, *, seed=0, {params})")
    variant = Catalogue().resolve("methods", "mine")
    assert user_data.read_paths(variant, seed=7) == ["7.npy"]
    assert (variant.weights, variant.weights_digest, variant.encoder) == ("w.pth", "00", "vgg16")
    assert variant.plugin.member("memory_params") == ("three",)


def test_a_fact_with_the_name_of_one_of_the_record_is_an_error(plugin):
    plugin("", "label = 'Mine'")
    found = plugins.read_plugin("methods", "mine")
    assert plugins.checked_facts(found, {"saturated": 0.5}, {"device": "cpu"}) == {"saturated": 0.5}
    with pytest.raises(BenchmarkError, match=r"^methods/mine.py: facts_ holds 'device', .*rename"):
        plugins.checked_facts(found, {"device": "mine"}, {"device": "cpu"})


def test_facts_are_what_a_record_can_have(plugin):
    plugin("", "label = 'Mine'")
    found = plugins.read_plugin("methods", "mine")
    assert plugins.checked_facts(found, {"mean": (1, 2)}, {}) == {"mean": [1, 2]}
    with pytest.raises(
        BenchmarkError, match=r"facts_ holds a value that JSON cannot have .*float32"
    ):
        plugins.checked_facts(found, {"loss": np.float32(1)}, {})


@pytest.mark.parametrize("name", plugins.PARAM_MEMBERS)
def test_a_role_of_a_parameter_that_does_not_exist_is_an_error(plugin, name):
    value = "('paht',)" if name.endswith("params") else "'paht'"
    plugin("", f"label, {name} = 'Mine', {value}")
    with pytest.raises(BenchmarkError, match=rf"{name} names 'paht', which is not a parameter of"):
        plugins.read_plugin("methods", "mine")


def test_protocols_need_a_parameter(plugin):
    plugin("", "label, protocols = 'Mine', ('a', 'b')", "datasets")
    with pytest.raises(
        BenchmarkError, match=r"several protocols: expected the parameter 'protocol'"
    ):
        plugins.read_plugin("datasets", "mine")


@pytest.mark.parametrize(
    ("imports", "base"),
    [
        ("from methods._part import Part", "Part"),
        ("from ._part import Part as Base", "Base"),
        ("from own.parts import Part", "Part"),
    ],
)
def test_inherited_members_and_functions_count(plugin, imports, base):
    """Those of the class come first; a base may inherit from another module."""
    for file in ("methods/_part.py", "own/parts.py"):
        Path(plugins.ROOT / file).parent.mkdir(exist_ok=True)
        Path(plugins.ROOT / file).write_text(
            "from methods._deep import Deep\n\nclass Part(Deep):\n"
            "    label, sample = 'Part', 5\n    def fit(self, images): pass\n"
        )
    (plugins.ROOT / "methods/_deep.py").write_text(
        "class Deep:\n    uses_gpu, sample = True, 4\n"
        "    def __init__(self, n_bits, *, width=2): pass\n"
        "    def encode(self, features): pass\n"
    )
    (plugins.ROOT / "methods/mine.py").write_text(
        f"{imports}\n\nclass Mine({base}):\n    label = 'Mine'\n"
    )
    found = plugins.read_plugin("methods", "mine")
    assert (found.label, found.member("sample"), found.member("uses_gpu")) == ("Mine", 5, True)
    assert (found.defaults, found.consumes) == ({"width": 2}, ("features", "images"))


@pytest.mark.parametrize("stage", ["datasets", "features"])
def test_an_empty_init_may_be_left_out_but_not_the_work(plugin, stage):
    plugin("", "label = 'Mine'", stage)
    edited(stage, "    def __init__(self):\n        pass\n", "")
    assert plugins.read_plugin(stage, "mine").defaults == {}
    edited(stage, "def ", "def _")
    with pytest.raises(BenchmarkError, match=f"needs a function {plugins.WORK[stage][0]}"):
        plugins.read_plugin(stage, "mine")


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
        plugins.read_plugin("methods", "mine")


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


@pytest.mark.parametrize("stage", [*plugins.WORK, "evaluation", "experiments", "report"])
def test_sources_of_the_project_are_of_one_stage_and_decisive_modules(stage):
    """A change of any other file recomputes nothing."""
    decisive = {f"{module.replace('.', '/')}.py" for module in identity.DECISIVE_MODULES}
    stages = (stage, *identity.LIBRARIES.get(stage, ()))
    files = [path for folder in stages for path in (ROOT / folder).rglob("*.py")]
    expected = decisive | set(plugins.relative(files))
    for path in (ROOT / stage).glob("*.py"):
        assert set(plugins.relative(identity.sources(stage, path.stem))) <= expected


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
    assert "experiments/timing.py" in found("timing")
    assert not any(
        "__main__" in path for job in ("scoring", "collect", "timing") for path in found(job)
    )


def test_sources_are_the_file_its_imports_from_the_stage_and_the_networks():
    def names(method):
        return [path.name for path in identity.sources("methods", method)]

    assert names("itq") == ["_base.py", "_pca.py", "_rotations.py", "_runtime.py", "itq.py"]
    assert names("bgan") == [
        "imagenet.py",
        "_activations.py",
        "_base.py",
        "_heads.py",
        "_neighbourhood.py",
        "_nets.py",
        "_runtime.py",
        "_training.py",
        "bgan.py",
    ]


@pytest.mark.parametrize("name", plugins.names("methods"))
def test_a_method_of_the_literature_states_how_it_was_verified(name):
    plugin = plugins.read_plugin("methods", name)
    assert (plugin.member("fidelity") is None) == (plugin.member("citation") is None)
