"""The jobs `check` and `new-method`: what they report of methods that break the contract."""

import subprocess
import sys

import pytest

from experiments import contract
from experiments.new_method import new_method
from harness import plugins
from harness.errors import BenchmarkError
from harness.plugins import ROOT

VALID = '''"""A method."""

import numpy as np


class Mine:
    """Random projections.

    Source: none.   Differs from the paper: nothing.
    """

    label, citation, uses_gpu = "Mine", "charikar2002similarity", False

    def __init__(self, n_bits, *, seed=0):
        self.n_bits, self.seed = n_bits, seed

    def fit(self, features):
        self.mean_ = features.mean(axis=0)
        shape = features.shape[1], self.n_bits
        self.projection_ = np.random.default_rng(self.seed).standard_normal(shape)
        return self

    def project(self, features):
        return (features - self.mean_) @ self.projection_

    def encode(self, features):
        return (features - self.mean_) @ self.projection_ >= 0
'''
VALUES = "return (features - self.mean_) @ self.projection_\n"
CODES = "return (features - self.mean_) @ self.projection_ >= 0\n"
RANDOM_CODES = "return np.random.default_rng(0).random((len(features), 12)) > 0.5\n"
SIGNATURE = "def __init__(self, n_bits, *, "
SEARCHING = f"search_space = {{'k': (1, 2)}}\n\n    {SIGNATURE}k=3, "
GENERATOR = "np.random.default_rng(self.seed)"


@pytest.fixture(scope="module")
def digits():
    return contract.digits()


@pytest.fixture
def reasons(tmp_path, digits):
    """Return a function that checks a source text: {name of the clause: what is wrong}."""

    def of(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        case = contract.Case(plugins.plugin_of_file("methods", path), digits)
        return {
            clause.problem_of.__name__: reason
            for clause, reason in contract.results(case)
            if reason
        }

    return of


def test_a_valid_method_fulfils_every_clause(reasons):
    assert reasons(VALID) == {}


@pytest.mark.parametrize(
    ("old", "new", "clause", "reason"),
    [
        ("charikar2002similarity", "nobody2030", "_citation", "has no entry 'nobody2030'. Add it"),
        ("Source: none.", "", "_docstring", "has no `Source:`"),
        (SIGNATURE, SEARCHING, "_search_space", "k has (1, 2), without the default 3. Add it"),
        ("= n_bits, seed\n", "= n_bits, seed\n        self.a_ = 1\n", "_init_stores", "'a_'"),
        ("return self\n", "return None\n", "_fit", "fit returned NoneType, expected the object"),
        ("self.mean_ =", "features[0] = 0; self.mean_ =", "_fit", "ValueError: assignment dest"),
        (CODES, CODES.replace(" >= 0", ""), "_codes", "encode returned float64 (600, 12), expect"),
        (CODES, "return np.zeros((len(features), 12), bool)\n", "_differing", "the same code"),
        (GENERATOR, "np.random.mtrand._rand", "_repeats", "of the bits differ. Draw all random"),
        (GENERATOR, "np.random.default_rng(3)", "_seed_counts", "seed 1 gives the codes of seed 0"),
        (CODES, CODES.replace("self.mean_", "features.mean(0)"), "_rows_alone", "medians and the"),
        (VALUES, "return features\n", "_project", "project returned float32 (600, 64), expected"),
        (VALUES, "return [1.0]\n", "_project", "project returned list, expected floats"),
        (VALUES, VALUES.replace("\n", " + np.inf\n"), "_project", "that are not finite"),
        (VALUES, VALUES.replace("@", "@ -"), "_project", "encode differs from project >= 0"),
        ("project(self, features)", "project(self, images)", "_project", "takes ['images']"),
        (CODES, RANDOM_CODES, "_beats_chance", "mAP is 0.1"),
    ],
)  # fmt: skip
def test_each_broken_clause_is_named_with_its_reason(reasons, old, new, clause, reason):
    assert VALID.count(old)
    start = VALID.rindex(old) if old == CODES else VALID.index(old)
    text = VALID[:start] + VALID[start:].replace(old, new, 1)
    assert reason in reasons(text)[clause]


def test_a_control_need_not_beat_chance(reasons):
    control = VALID.replace('"charikar2002similarity"', "None")
    assert "_beats_chance" not in reasons(control.replace(CODES, RANDOM_CODES))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Another project, whose methods/ has the contract and one method."""
    folder = tmp_path / "project"
    (folder / "methods").mkdir(parents=True)
    for name in ("_base", "lsh"):
        text = (ROOT / f"methods/{name}.py").read_text()
        (folder / f"methods/{name}.py").write_text(text)
    monkeypatch.setattr(plugins, "ROOT", folder)
    return folder


def test_a_new_method_passes_the_contract(project, digits):
    path = new_method("my_method2")
    assert path == project / "methods/my_method2.py"
    plugin = plugins.read_plugin("methods", "my_method2")
    assert (plugin.class_name, plugin.label) == ("MyMethod2", "my method2")
    outside = project.with_name("my_method2.py")
    outside.write_bytes(path.read_bytes())
    case = contract.Case(plugins.plugin_of_file("methods", outside), digits)
    assert not [reason for _, reason in contract.results(case) if reason]
    assert hasattr(case.trained, "project")


@pytest.mark.parametrize("name", ["lsh", "Mine", "my-method", "1st", "class", "a/b", "_mine", ""])
def test_a_name_that_exists_or_that_no_module_can_have_is_refused(project, name):
    before = (project / "methods/lsh.py").read_bytes()
    with pytest.raises(
        BenchmarkError, match=r"^(methods/lsh.py exists|new-method: found the name)"
    ):
        new_method(name)
    assert (project / "methods/lsh.py").read_bytes() == before
    assert len(list(project.rglob("*"))) == 3


def checked(*arguments):
    command = [sys.executable, "-m", "experiments", "check", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_prints_a_line_for_each_clause(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(VALID.replace(CODES, CODES.replace("self.mean_", "features.mean(axis=0)")))
    done = checked(path)
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert len(lines) == 1 + len(contract.CHECKS)
    assert [line.split()[0] for line in lines[1:]].count("failed") == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imported"], "reads codes from files"),
        (["nothing"], "'nothing' is unknown"),
        (["nothing.py"], "nothing.py is missing"),
        (["lsh", "--set", "[1]"], "--set: found [1], expected a JSON object"),
        (["itq", "--set", '{"iteration": 1}'], "methods/itq.py has no parameter 'iteration' (did"),
    ],
)
def test_a_mistake_in_the_command_is_one_line(capsys, arguments, message):
    method, overrides = arguments[0], arguments[2] if arguments[1:] else "{}"
    with pytest.raises(BenchmarkError) as refused:
        contract.check(method, overrides)
    assert message in str(refused.value)


def test_a_relative_import_outside_of_the_project_is_an_error(tmp_path):
    path = tmp_path / "mine.py"
    text = VALID.replace("import numpy as np", "from ._base import Hasher")
    path.write_text(text.replace("class Mine", "class Mine(Hasher)"))
    with pytest.raises(BenchmarkError, match="line 3: found a relative import outside"):
        plugins.plugin_of_file("methods", path)
