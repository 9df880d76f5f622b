"""From a configuration to runs and paths, and what a wrong one is told."""

import json
import shutil
from pathlib import Path

import experiments
import pytest
from builders import loaded
from hypothesis import given
from hypothesis import strategies as st
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

import errors
import plugins
from errors import BenchmarkError
from harness import identity
from harness.plan import Run
from harness.user_data import DATA_VARIABLE
from plugins import ROOT

names = st.from_regex(r"\A[a-z0-9][a-z0-9_.-]{0,12}\Z")


@given(*[st.tuples(names, names, names, st.integers(1, 1024), st.integers(0, 2**32 - 1)) for _ in range(2)])
def test_two_runs_share_no_folder(one, other):
    assert (Run(*one).folder == Run(*other).folder) == (one == other)


def test_what_is_collected_is_of_every_kind_of_job_that_the_methods_need():
    found = experiments.outcomes(loaded(datasets=["digits"], methods=["itq"]))
    assert len(found) == len(set(found))
    assert [path for path in found if path.startswith("cache/")] == [
        experiments.DATASET.format(dataset="digits") + "/dataset.json",
        *(f"cache/features/digits/{name}/features.json" for name in loaded()["features"]),
    ]
    assert "cache/features/digits/pixels/neighbours.json" in experiments.outcomes(loaded(methods=["bgan"]))


def test_methods_without_randomness_run_once():
    runs = experiments.runs(loaded())
    assert sum(run.variant == "itq" for run in runs) == 5 * 3
    assert {run.seed for run in runs if run.variant == "pcah"} == {0}
    assert len(runs) == len(set(runs)) == (4 * 3 + 2) * 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["itk"]}, r"methods: 'itk' is unknown: expected one of bgan, .*, or a new file methods/itk.py"),
        ({"datasets": ["digit"]}, "datasets: 'digit' is unknown: expected one of cifar10, digits"),
        ({"datasets": ["cifar10-deepbits"]}, "protocol 'deepbits' is unknown: expected one of bgan"),
        ({"features": ["file"]}, r"features: file: path must be set, as in \{of: file, set: \{path: ...\}\}"),
        ({"features": ["googlenet-pca256"]}, "none of googlenet-pca256 is for data set digits"),
        ({"controls": ["exact"]}, "controls: 'exact' is unknown: expected one of exact-cosine, exact-l2"),
        ({"methods": ["exact-l2"]}, "'exact-l2' is a control: list it under controls"),
    ],
)
def test_unknown_names_are_told_what_is_known(changes, message):
    with pytest.raises(BenchmarkError, match=message):
        experiments.runs(loaded(**changes))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("itq", ("squeezenet1_1_pool", "weights/squeezenet1_1.pth")),
        ("bgan-features", ("squeezenet1_1_pool", "weights/squeezenet1_1.pth")),
        ("bgan-squeezenet1_1", ("squeezenet1_1", "weights/squeezenet1_1.pth")),
        ("bgan.vgg19", ("vgg19", "weights/vgg19-dcbb9e9d.pth")),
        ("official", ("vgg19", "weights/vgg19-dcbb9e9d.pth")),
        ("deepbit_rotation", ("vgg16", "weights/vgg16-397923af.pth")),
        ("bgan", ("conv", "")),
        ("mine", ("", "")),
    ],
)
def test_what_sees_the_images_is_the_methods_own_encoder_or_what_made_the_features(name, expected):
    config = loaded()
    config["variants"]["methods"]["mine"] = {"of": "imported", "set": {"path": "codes.npy"}}
    config["variants"]["methods"]["official"] = {"of": "bgan", "set": {"encoder": "vgg19"}}
    assert experiments.encoder("squeezenet1_1-128px", name, config) == expected


def test_the_encoder_of_features_from_a_file_is_that_file():
    assert experiments.encoder("googlenet-pca256", "itq", loaded()) == ("file", "features/cifar10-googlenet-pca256.npy")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"of": "itq", "set": {"iteration": 3}}, "methods/itq.py has no keyword 'iteration': expected one of iterations"),
        ({"of": "itq", "set": {"iterations": "3"}}, "found '3', expected a value like the default 50"),
        ({"of": "itq", "set": {"iterations": 3.5}}, "found 3.5, expected a value like the default 50"),
        ({"of": "itq", "set": {"iterations": True}}, "found True, expected a value like the default 50"),
        ({"of": "itq", "set": {"seed": 3}}, "seeds are set by the key 'seeds'"),
        ({"of": "itq", "set": {"iterations": None}}, "found None, expected a value like the default 50"),
        ({"of": "itk"}, "variants: methods: mine: 'itk' is unknown"),
        ({"of": "mine"}, "variants: methods: mine: 'mine' is unknown: expected one of bgan"),
        ({"of": "bgan-k10-k15"}, r"'bgan-k10-k15' is a variant itself: begin with \{of: bgan, set: \{k1: 10, k2: 15\}\}"),
        ({"of": "itq", "neighbours": "l2"}, "variants: methods: mine: neighbours is a key for features alone"),
        ({"of": "bgan", "set": {"learning_rate": "1e-4"}}, "found '1e-4', .*; to YAML this is a text: write 1.0e-4"),
        ({"of": "bgan", "set": {"betas": 1.0}}, "found 1.0, expected a value like the default"),
    ],
)
def test_wrong_variants_are_told_where_and_what(entry, message):
    config = loaded(methods=["mine"])
    config["variants"]["methods"]["mine"] = entry
    with pytest.raises(BenchmarkError, match=message):
        experiments.runs(config)


@pytest.mark.parametrize(
    ("floor", "of", "keyword", "value"),
    [
        ("methods", "imported", "path", 2024),
        ("methods", "imported", "path", None),
        ("methods", "imported", "database_path", ["a.npy"]),
        ("features", "file", "names", True),
        ("features", "vgg16_fc7", "sha256", 12),
        ("datasets", "image_list", "images", False),
    ],
)
def test_a_file_is_named_by_a_text(floor, of, keyword, value):
    config = {"variants": {floor: {"mine": {"of": of, "set": {"path": "a"} if of != "vgg16_fc7" else {}}}}}
    assert experiments.variant(floor, "mine", config)
    config["variants"][floor]["mine"]["set"][keyword] = value
    with pytest.raises(
        BenchmarkError, match=rf"variants: {floor}: mine: set: {keyword}: found .*, expected a text; put a number in quotes"
    ):
        experiments.variant(floor, "mine", config)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Writes the plugin mine.py, of methods or another floor, and methods/_part.py in a project of their own."""
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    for floor in plugins.WORK:
        (tmp_path / floor).mkdir()
    (tmp_path / "methods/_part.py").write_text("ONE = 1\n")

    def write(imports, attributes, floor="methods"):
        functions = "".join(f"    def {name}(self):\n        pass\n\n" for name in ("__init__", *plugins.WORK[floor]))
        (tmp_path / floor / "mine.py").write_text(f"{imports}\n\nclass Mine:\n    {attributes}\n\n{functions}")

    return write


def test_attributes_of_a_plugin_are_read_with_annotations_and_without(plugin):
    plugin("", "label: str = 'Mine'\n    uses_gpu: bool = True\n    sample: int\n    device_ = None")
    assert plugins.component("methods", "mine").literals == {"label": "Mine", "uses_gpu": True, "device_": None}


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
def test_what_a_class_declares_is_asked_for_before_any_work(plugin, attributes, message):
    plugin("", attributes)
    with pytest.raises(BenchmarkError, match=rf"^methods/mine.py: class Mine: {message}, written out: it is read without importing"):
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
        ("features", "__init__(self)", "__init__(self, side=256)", "write \\* before side in __init__"),
        ("datasets", "__init__(self)", "__init__(self, protocol='a', /, *, size=1)", "write \\* before protocol in __init__"),
        (
            "methods",
            "__init__(self)",
            "__init__(self, n_bits, *settings)",
            "__init__ takes \\*settings, expected every argument",
        ),
        ("methods", "__init__(self)", "__init__(self, n_bits, *, seed=0, **kw)", "__init__ takes \\*\\*kw, expected every argument by"),
        ("methods", "fit(self)", "fit(self, **kw)", "fit takes \\*\\*kw, expected every argument by its name, as in methods/_base.py"),
        ("methods", "encode(self)", "encode(self, *rows)", "encode takes \\*rows, expected every argument by its name"),
        (
            "methods",
            "fit(self)",
            "fit(self, features, *, epochs=3)",
            "remove the \\* before epochs in fit: settings are keywords",
        ),
        ("features", "extract(self)", "extract(self, *, images)", "remove the \\* before images in extract"),
        ("datasets", "load(self)", "load(self, data, cache, **kw)", "load takes \\*\\*kw, expected .*, as in datasets/_base.py"),
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
def test_a_plugin_of_another_form_is_told_what_to_write(plugin, floor, old, new, message):
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
def test_a_plugin_that_cannot_be_read_is_named(plugin, text, message):
    plugin("", "label = 'Mine'")
    for name in ("mine", "_part"):
        (plugins.ROOT / f"methods/{name}.py").write_bytes(text)
        with pytest.raises(BenchmarkError, match=rf"methods/{name}.py(, |: ){message}"):
            identity.sources("methods", name)
    with pytest.raises(BenchmarkError, match=r"methods/mine.py(, |: )"):
        plugins.component("methods", "mine")


def test_a_helper_that_cannot_be_read_is_named_before_any_work(tmp_path, monkeypatch):
    """Snakemake takes an input function that raises for one that has no job to offer, and plans the rest."""
    for floor in plugins.WORK:
        shutil.copytree(ROOT / floor, tmp_path / floor)
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    (tmp_path / "methods/_pca.py").write_text("def\n")
    assert experiments.runs(loaded(methods=["lsh"]))
    with pytest.raises(BenchmarkError, match=r"^methods/_pca.py, line 1: "):
        experiments.runs(loaded(methods=["itq"]))


@pytest.mark.parametrize(
    "imports", ["from methods import _part", "from methods._part import ONE", "from . import _part", "from ._part import ONE"]
)
def test_every_form_of_an_import_is_a_source(plugin, imports):
    plugin(imports, "label = 'Mine'")
    assert [path.name for path in identity.sources("methods", "mine")] == ["_part.py", "mine.py"]


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ("import own", ["own.py"]),
        ("from mylib import near", ["mylib/__init__.py", "mylib/deep/__init__.py", "mylib/deep/far.py", "mylib/near.py"]),
        ("import mylib.deep.far as far", ["mylib/__init__.py", "mylib/deep/__init__.py", "mylib/deep/far.py", "mylib/near.py"]),
        ("def later():\n    from plain.part import f", ["plain/part.py"]),
        ("from methods._more.part import ONE", ["methods/_more/part.py"]),
        ("import numpy, storage, features.pixels, tests.test_own", []),
    ],
)
def test_what_a_plugin_imports_of_ones_own_is_a_source(plugin, tmp_path, imports, expected):
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
    assert plugins.relative(identity.sources("methods", "mine")) == sorted(["methods/mine.py", *expected])


@pytest.mark.parametrize("floor", [*plugins.WORK, "evaluation", "report"])
def test_the_projects_own_sources_are_of_one_floor_and_what_decides_results(floor):
    """Results are kept when anything else changes."""
    for path in (ROOT / floor).glob("*.py"):
        found = plugins.relative(identity.sources(floor, path.stem))
        assert set(found) - {"networks.py", "codes.py"} <= {f"{floor}/{other.name}" for other in (ROOT / floor).glob("*.py")}


def test_a_sample_of_the_training_images_has_no_neighbour_lists(plugin, tmp_path):
    plugin("", "label, sample = 'Mine', 10")
    path = tmp_path / "methods/mine.py"
    path.write_text(path.read_text().replace("def fit(self)", "def fit(self, features, neighbours)"))
    with pytest.raises(BenchmarkError, match=r"methods/mine.py has `sample` and asks for neighbours, which are of all training images"):
        experiments.consumed("digits", "pixels", "mine", {})


def test_a_variant_is_its_methods_defaults_and_what_it_sets():
    config = loaded(methods=["mine"])
    config["variants"]["methods"]["mine"] = {"of": "itq", "set": {"iterations": 3}, "label": "ITQ, 3 rounds"}
    found = experiments.variant("methods", "mine", config)
    assert (found.label, found.keywords, found.stochastic) == ("ITQ, 3 rounds", {"seed": 0, "iterations": 3}, True)


def test_what_a_method_reads_is_what_its_arguments_name():
    config = loaded()
    read = {name: experiments.consumed("digits", "pixels", name, config) for name in ("itq", "bgan")}
    described = ["split.npz", "dataset.json", "features.json"]
    assert [Path(path).name for path in read["itq"]] == ["features.npy", *described]
    assert [Path(path).name for path in read["bgan"]] == ["features.npy", "images.npy", "neighbours.npy", *described, "neighbours.json"]


def test_sources_are_the_file_and_what_it_imports_from_its_floor_and_the_networks():
    def names(method):
        return [path.name for path in identity.sources("methods", method)]

    assert names("itq") == ["_base.py", "_pca.py", "_runtime.py", "itq.py"]
    assert names("bgan") == [
        "_base.py",
        "_neighbourhood.py",
        "_nets.py",
        "_runtime.py",
        "_training.py",
        "bgan.py",
        "networks.py",
    ]


def test_any_data_set_has_a_validation_protocol():
    found = experiments.variant("datasets", "cifar10-bgan-validation", loaded())
    assert (found.component.name, found.settings, found.validation) == ("cifar10", {"protocol": "bgan"}, True)
    assert json.loads(experiments.settings_text("datasets", "digits-validation", loaded())) == {
        "of": "digits",
        "set": {},
        "validation": True,
    }


def test_the_data_folder_is_an_option(monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert experiments.data_folder({"data": "here"}).as_posix() == "here"
    monkeypatch.setenv(DATA_VARIABLE, "/there")
    assert experiments.data_folder({"data": "here"}).as_posix() == "/there"


def test_labels_without_images_run_on_feature_files_alone():
    features = {"given": {"of": "file", "set": {"path": "x.npy"}}}
    asked = loaded(datasets=["labels"], features=["given"], methods=["itq"])
    asked["variants"] = {"datasets": {"labels": {"of": "nuswide", "set": {"images": False}}}, "features": features}
    assert experiments.runs(asked)
    for change in ({"methods": ["bgan"]}, {"features": ["pixels"]}):
        with pytest.raises(BenchmarkError, match=r"reads images, and data set labels has none \(`images: false`\)"):
            experiments.runs(asked | change)


def test_a_protocol_is_part_of_the_label():
    assert experiments.variant("datasets", "cifar10-54k", {}).label == "CIFAR-10 (54k)"
    assert experiments.variant("datasets", "cifar10-54k-validation", {}).label == "CIFAR-10 (54k), validation"


def test_the_users_files_are_those_that_settings_name(monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    named = {"mine": {"of": "file", "set": {"path": "f.npy", "names": "f.txt"}}}
    lists = {
        "listed": {"of": "image_list", "set": {"path": "lists", "images": "/there"}},
        "labels": {"of": "nuswide", "set": {"images": False}},
    }
    config = {"data": "here", "variants": {"features": named, "datasets": lists}}
    assert experiments.user_files("features", "mine", config) == ["here/f.npy", "here/f.txt"]
    assert experiments.user_files("features", "vgg19_fc7", config) == [], "weights are known by the digest in their name"
    assert experiments.user_files("datasets", "listed", config) == ["here/lists", "/there"]
    assert experiments.user_files("datasets", "labels", config) == []


def test_imported_codes_run_once_for_each_file_that_their_path_names(tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    config = loaded(methods=["mine", "once"], bits=[12, 24], seeds=[0, 1])
    config["variants"]["methods"] = {
        name: {"of": "imported", "set": {"path": path}} for name, path in (("mine", "mine-{bits}-{seed}.npy"), ("once", "once-{bits}.npy"))
    }
    runs = [(run.variant, run.bits, run.seed) for run in experiments.runs(config)]
    assert runs == [("mine", bits, seed) for bits in (12, 24) for seed in (0, 1)] + [("once", 12, 0), ("once", 24, 0)]
    assert experiments.user_files("methods", "mine", config, 24, 1) == [str(tmp_path / "mine-24-1.npy")]


def test_imported_codes_of_queries_and_of_the_database_are_both_inputs(tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    config = loaded(methods=["two", "one"], bits=[12], seeds=[0, 1])
    config["variants"]["methods"] = {
        "two": {"of": "imported", "set": {"path": "q.npy", "database_path": "d-{seed}.npy"}},
        "one": {"of": "imported", "set": {"path": "{bits}.mat:Bq", "database_path": "{bits}.mat:Bd"}},
    }
    assert [(run.variant, run.seed) for run in experiments.runs(config)] == [("two", 0), ("two", 1), ("one", 0)]
    assert experiments.user_files("methods", "two", config, 12, 1) == [str(tmp_path / "q.npy"), str(tmp_path / "d-1.npy")]
    assert experiments.user_files("methods", "one", config, 12, 0) == [str(tmp_path / "12.mat")]


def test_numbers_given_on_the_command_line_are_numbers():
    given = {"bits": ["16", "32"], "seeds": ["0"], "timed": [32], "methods": ["itq"], "controls": []}
    assert experiments.with_numbers(given) == given | {"bits": [16, 32], "seeds": [0]}
    assert repr(experiments.with_numbers({"bits": [12.0, 12.5]})) == "{'bits': [12, 12.5]}", "12.0 would be a folder of its own"
    assert experiments.with_numbers({"bits": ["many"], "seeds": 3}) == {"bits": ["many"], "seeds": 3}  # for the schema to refuse


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metods": ["itq"]}, "unknown key 'metods': expected one of bits, controls, data, datasets"),
        ({"methods": "itq"}, "methods: found 'itq', expected a list"),
        ({"methods": ["ITQ"]}, "methods: item 1: found 'ITQ', expected a name of lower-case letters and digits, joined by single - _ or ."),
        ({"methods": ["itq", "lsh", "itq"]}, "methods: found 'itq' more than once"),
        ({"bits": []}, "bits: found [], expected at least 1 item"),
        ({"bits": [12, 2000]}, "bits: item 2: found 2000, expected 1024 or less"),
        ({"bits": [0]}, "bits: item 1: found 0, expected 1 or more"),
        ({"bits": [12.5]}, "bits: item 1: found 12.5, expected a whole number"),
        ({"data": ""}, "data: found '', expected a text that is not empty"),
        ({"trials": {"itq": [{}]}}, "trials: itq: found [{}], expected at least 2 items"),
        ({"variants": {"itq": {}}}, "variants: unknown key 'itq': expected one of datasets, features, methods"),
        ({"variants": {"methods": {"x": {"set": {}}}}}, "variants: methods: x: 'of' is a required property"),
        ({"variants": {"methods": {"x": {"of": "itq", "set": [3]}}}}, "variants: methods: x: set: found [3], expected keys with values"),
        ({"variants": {"methods": {"x": {"of": "itq", "tuned": True}}}}, "variants: methods: x: tuned: found True, expected own or bgan"),
    ],
)
def test_what_the_schema_refuses_is_said_in_words(changes, message):
    with pytest.raises(WorkflowError) as refused:
        validate(loaded() | changes, str(ROOT / "config/schema.yaml"))
    assert errors.explain(refused.value).startswith(message)


def test_settings_that_travel_to_a_job_arrive_as_they_were():
    config = loaded()
    for floor in plugins.WORK:
        for name in [*config["variants"][floor], *config[floor]]:
            text = experiments.settings_text(floor, name, config)
            assert experiments.settings_given(floor, name, text) == json.loads(text), name
    assert experiments.settings_given("methods", "itq", None) == {"of": "itq", "set": {"iterations": 50}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "--settings is no JSON: Expecting property name"),
        ("[" * 100_000, "--settings is no JSON: "),
        ("[]", r'--settings: found \[\], expected {"of": "PLUGIN"'),
        ('{"set": {}}', "expected {"),
        ('{"of": "itq", "set": []}', "expected {"),
        ('{"of": "itk"}', "mine: 'itk' is unknown"),
        ('{"of": "itq", "set": {"iteration": 3}}', "methods/itq.py has no keyword 'iteration': expected one of iterations"),
        ('{"of": "itq", "set": {"iterations": "3"}}', "found '3', expected a value like the default 50"),
    ],
)
def test_settings_that_a_user_mistypes_are_told(text, message):
    with pytest.raises(BenchmarkError, match=message):
        experiments.settings_given("methods", "mine", text)
