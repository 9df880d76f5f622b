"""Untrusted configurations and files are read as data, rejected with one line, or both."""

import datetime
import json
import shutil
import string
import struct
import zlib

import jsonschema
import numpy as np
import pytest
import yaml
from builders import TINY, loaded, rows_of
from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from features.file import File
from harness import imported_codes, plugins
from harness.errors import BenchmarkError
from harness.plan import Plan
from harness.plugins import ROOT
from harness.records import FORMAT
from harness.stale import State
from harness.variants import Catalogue, variant_of_text

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
HOSTILE = (
    "$(touch HACKED) `touch HACKED` '; touch HACKED; \" && touch HACKED \n touch HACKED "
    "# {input} {{x}} {seeds} \\"
)
SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())


def test_nothing_in_a_configuration_reaches_a_shell(copy, tmp_path):
    data = copy.folder / HOSTILE.replace("/", "")
    data.mkdir()
    np.save(data / f"{HOSTILE}-8.npy", np.random.default_rng(0).random((1797, 8)) < 0.5)
    entry = {
        "of": "imported",
        "set": {"path": HOSTILE + "-{bits}.npy"},
        "label": HOSTILE,
        "note": HOSTILE,
    }
    config = {
        "data": str(data),
        "methods": ["chance", "mine"],
        "controls": [],
        "bits": [8],
        "seeds": [0],
    }
    copy.write("hostile.yaml", yaml.safe_dump(config | {"variants": {"methods": {"mine": entry}}}))
    copy.run("collect", config="hostile.yaml")
    assert not list(tmp_path.rglob("HACKED"))
    runs = {
        row["variant"]: row for row in rows_of(copy.folder / "results/experiments/hostile/runs.csv")
    }
    assert runs["mine"]["label"] == HOSTILE.replace("\n", " ")  # control characters are removed
    assert json.loads(runs["mine"]["keywords"])["path"] == HOSTILE + "-{bits}.npy"


@QUICK
@given(
    st.one_of(
        st.text(max_size=12),
        st.text("a.-_/\n $'é", max_size=6),
        st.text("ab", min_size=1).map(lambda name: name + "\n"),
    )
)
def test_a_name_is_a_word_to_a_shell_and_a_folder_to_a_path(name):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text()) | {
        "methods": [name],
        "variants": {},
    }
    try:
        jsonschema.validate(config, SCHEMA)
    except jsonschema.ValidationError:
        return
    assert set(name) <= set(string.ascii_lowercase + string.digits + "_.-")
    assert name[0].isalnum()
    assert ".." not in name
    assert "--" not in name


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.dates(),
        st.datetimes(),
        st.binary(max_size=3),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("stage", "of"),
    [
        ("methods", "bgan"),
        ("methods", "imported"),
        ("features", "file"),
        ("datasets", "image_folder"),
    ],
)
@QUICK
@given(data=st.data())
def test_overrides_are_planned_or_refused(stage, of, data, tmp_path, monkeypatch):
    params = [name for name in plugins.read_plugin(stage, of).defaults if name != "seed"]
    chosen = data.draw(
        st.dictionaries(st.one_of(st.sampled_from(params), st.text(max_size=3)), VALUES, max_size=3)
    )
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config |= {"variants": {stage: {"mine": {"of": of, "set": chosen}}}, stage: ["mine"]}
    try:
        jsonschema.validate(config, SCHEMA)
        plan = Plan.load(config)
    except (jsonschema.ValidationError, BenchmarkError):
        return
    variant = getattr(plan, stage)["mine"]
    assert variant_of_text(stage, "mine", variant.entry_text).entry_text == variant.entry_text
    monkeypatch.chdir(tmp_path)
    assert Plan.read(plan.save()) == plan


def test_the_error_for_a_yaml_date_advises_quotes():
    entry = {"of": "imported", "set": {"path": datetime.date(2024, 1, 1)}}
    with pytest.raises(
        BenchmarkError,
        match=r"path: found .*2024.*, expected a text, a number, true, false, null or a list",
    ):
        Catalogue({"methods": {"mine": entry}}).resolve("methods", "mine")


CODES = np.random.default_rng(0).random((20, 12)) < 0.5


class TestCodes:
    def read(self, path):
        try:
            found = imported_codes.whole(path, 20)
        except BenchmarkError:
            return
        assert found.dtype == bool
        assert len(found) == 20

    @QUICK
    @given(data=st.data())
    @pytest.mark.parametrize("suffix", [".npy", ".mat"])
    def test_whatever_the_bytes(self, suffix, data, tmp_path):
        whole = tmp_path / f"whole{suffix}"
        if not whole.exists():
            np.save(whole, CODES) if suffix == ".npy" else savemat(
                whole, {"B": CODES.astype(np.uint8)}, do_compression=True
            )
        (tmp_path / f"damaged{suffix}").write_bytes(data.draw(damaged(whole.read_bytes())))
        self.read(tmp_path / f"damaged{suffix}")

    @pytest.mark.filterwarnings("ignore:overflow encountered")
    @pytest.mark.parametrize(
        "shape", [(10**12, 64), (20, 10**13), (2**62, 2**62), (-1, 3), (20,) * 40], ids=str
    )
    @pytest.mark.parametrize(
        "read",
        [lambda path: imported_codes.whole(path, 20), lambda path: opened(path)],  # noqa: PLW0108
        ids=["codes", "features"],
    )
    def test_a_header_that_claims_a_huge_array_takes_no_memory(self, tmp_path, shape, read):
        with open(tmp_path / "huge.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": shape}
            )
            file.write(bytes(64))
        with pytest.raises(BenchmarkError, match=r"huge.npy is damaged or not"):
            read(tmp_path / "huge.npy")

    def test_a_matlab_variable_that_is_no_such_codes_is_refused_before_it_unfolds(self, tmp_path):
        savemat(tmp_path / "bomb.mat", {"B": np.zeros((5000, 5000), np.uint8)}, do_compression=True)
        assert (tmp_path / "bomb.mat").stat().st_size < 50_000
        with pytest.raises(
            BenchmarkError,
            match=r"bomb.mat holds B of shape \(5000, 5000\), "
            r"expected at most 20 rows of 1,024 bits",
        ):
            imported_codes.whole(tmp_path / "bomb.mat", 20)

    def test_a_matlab_variable_that_unfolds_beyond_what_its_header_claims_is_refused(
        self, tmp_path
    ):
        savemat(tmp_path / "whole.mat", {"A": CODES, "B": CODES.astype(float)}, do_compression=True)
        content = (tmp_path / "whole.mat").read_bytes()
        (_, size), start = struct.unpack("<II", content[128:136]), 136
        start += size + 8
        unfolded = zlib.decompress(content[start:])
        tag = struct.pack("<II", 9, CODES.size * 8)  # of the numbers, as float64
        longer = unfolded.replace(tag, struct.pack("<II", 9, 10**8)) + bytes(10**8)
        compressed = zlib.compress(longer)
        (tmp_path / "bomb.mat").write_bytes(
            content[: start - 8] + struct.pack("<II", 15, len(compressed)) + compressed
        )
        assert (imported_codes.whole(tmp_path / "bomb.mat:A", 20) == CODES).all()
        with pytest.raises(
            BenchmarkError, match=r"bomb.mat is damaged .*a variable unfolds to more than the"
        ):
            imported_codes.whole(tmp_path / "bomb.mat:B", 20)

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            ({"a": np.zeros(9)}, "struct"),
            (np.array([[np.zeros(9)]], object), "cell"),
            ("a", "char"),
        ],
    )
    def test_a_matlab_variable_of_no_numbers_is_refused_unread(self, tmp_path, value, kind):
        savemat(tmp_path / "codes.mat", {"B": value})
        with pytest.raises(
            BenchmarkError,
            match=f"codes.mat: B is a {kind}, expected an array of numbers or booleans",
        ):
            imported_codes.whole(tmp_path / "codes.mat", 1)

    def test_no_object_is_built(self, tmp_path):
        class Harmful:
            def __reduce__(self):
                return (tmp_path / "called").touch, ()

        np.save(tmp_path / "codes.npy", np.array([Harmful()], dtype=object))
        with pytest.raises(BenchmarkError, match=r"codes.npy is damaged or not a .npy array"):
            imported_codes.whole(tmp_path / "codes.npy", 1)
        with pytest.raises(BenchmarkError, match=r"codes.npy is damaged or not"):
            opened(tmp_path / "codes.npy")
        assert not (tmp_path / "called").exists()


def opened(path):
    extractor = File(path=path.name)
    extractor.open(path.parent, 20)
    return extractor.extract(slice(0, 20))


@QUICK
@given(data=st.data())
def test_a_feature_file_whatever_its_bytes(data, tmp_path):
    if not (tmp_path / "whole.npy").exists():
        np.save(tmp_path / "whole.npy", np.zeros((20, 3), np.float32))
    (tmp_path / "f.npy").write_bytes(data.draw(damaged((tmp_path / "whole.npy").read_bytes())))
    try:
        found = opened(tmp_path / "f.npy")
    except BenchmarkError:
        return
    assert found.shape[0] == 20
    assert found.dtype == np.float32


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
FACTS = ("format", "made_of", "sha256", "codes_sha256", "split_sha256", "sources", "runs")


@QUICK
@given(
    record=st.dictionaries(st.sampled_from(FACTS), JSON),
    name=st.sampled_from(["run", "dataset", "features", "score"]),
)
def test_no_record_of_anything_is_current(copy_of_records, record, name):
    """A record of anything is of a result that is recomputed, or it is refused."""
    plan, paths = copy_of_records
    content = paths[name].read_bytes()
    try:
        paths[name].write_text(json.dumps({"format": FORMAT} | record))
        state = State(plan)
        state.check()
        jobs = [job for job in plan.jobs() if state.problem(job)]
    except BenchmarkError:
        return
    finally:
        paths[name].write_bytes(content)
    assert jobs


@pytest.fixture
def copy_of_records(finished, tmp_path, monkeypatch):
    """The plan of a finished project, whose results are in the current folder, and records."""
    for folder in ("cache", "results"):
        shutil.copytree(finished / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    plan = Plan.load(loaded() | yaml.safe_load(TINY), ["tiny.yaml"])
    run, place, score = plan.runs[0], plan.places[0], plan.scores[0]
    return plan, {
        "run": run.record,
        "dataset": place.dataset_record,
        "features": place.features_record,
        "score": score.record,
    }
