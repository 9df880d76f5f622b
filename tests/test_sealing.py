"""Sealed training: labels and scores are out of reach of a method, and of what it starts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import Copy

from harness import sealing
from harness.errors import BenchmarkError
from harness.plan import Run
from harness.plugins import ROOT
from harness.variants import Catalogue

METHOD = '''from methods._base import Hasher


class Cheat(Hasher):
    """Use what it should not see.

    Source: this test.   Differs from the paper: nothing.
    """

    label, citation, uses_gpu = "Cheat", None, False

    def __init__(self, n_bits):
        self.n_bits = n_bits

    def fit(self, features):
{body}
        return self

    def encode(self, features):
        return features[:, : self.n_bits] >= 0.3
'''
LOOP = """import numba


@numba.njit(cache=True)
def increased(number):
    return number + 1
"""
# What setuptools writes for `pip install -e`, as a file that Python executes when it starts.
EDITABLE = """
import importlib.util, sys

MAPPING = {{"editable_package": {0!r}}}


class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in MAPPING:
            init = MAPPING[name] + "/__init__.py"
            return importlib.util.spec_from_file_location(name, init)


sys.meta_path.append(Finder)
"""
LABELS = "cache/datasets/digits/labels.npy"
# Statements of `fit`, and the path that the one-line message names.
CHEATS = {
    "by path": (f"import numpy; numpy.load('{LABELS}')", LABELS),
    "through /proc": (f"import os; open('/proc/self/cwd/{LABELS}')", f"/proc/self/cwd/{LABELS}"),
    "by names": ("open('cache/datasets/digits/names.json')", "cache/datasets/digits/names.json"),
    "by scores": ("open('results/scores/digits.csv')", "results/scores/digits.csv"),
    "by published records": ("open('results/published/map.csv')", "results/published/map.csv"),
    "by the user's files": ("open('data/photos/list.txt')", "data/photos/list.txt"),
    "by the folders of classes": ("import os; os.listdir('data/photos')", "data/photos"),
    "by scikit-learn": (
        "from sklearn.datasets import load_digits; load_digits()",
        "sklearn/datasets/data/",
    ),
    "by moving them": (f"import os; os.rename('{LABELS}', 'cache/checkpoints/mine.npy')", LABELS),
    "by a link in the project": ("open('linked/list.txt')", "linked/list.txt"),
    "with an error of its own": (
        f"""try:
            open('{LABELS}')
        except OSError as error:
            raise RuntimeError('no labels') from error""",
        LABELS,
    ),
}
# Statements of `fit` that try all of them.
ATTEMPTS = """from harness import sealing
        for name, (statements, path) in CHEATS.items():
            try:
                exec(statements.replace(" " * 8, ""))
            except (OSError, RuntimeError) as error:
                denied = sealing._denied(error)
            else:
                raise AssertionError(name)
            assert path in denied and "hidden from training jobs" in denied, (name, denied)"""
# Statements of `fit` that fail by themselves if they do not find what they expect.
HONEST = {
    "a child": f"import subprocess; assert subprocess.run(['cat', '{LABELS}']).returncode == 1",
    "a fork": f"""import os
        if os.fork() == 0:
            try:
                open('{LABELS}')
            except PermissionError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 7""",
    # Labels are not in the process: neither in a frame of the caller nor in any other object.
    "the frames of the callers": """import gc, sys, numpy as np
        frame, arrays = sys._getframe(), [x for x in gc.get_objects() if isinstance(x, np.ndarray)]
        while frame := frame.f_back:
            arrays += [x for x in frame.f_locals.values() if isinstance(x, np.ndarray)]
        assert not [x for x in arrays if x.shape in ((1797,), (1797, 10))], 'labels'""",
    "temporary files": """import tempfile
        with tempfile.NamedTemporaryFile() as file:
            file.write(b'1'), file.flush()
            assert open(file.name).read() == '1'""",
    "packages, own modules": "import mymodule, scipy.cluster, sklearn.cluster, torch",
    "an editable package": "import editable_package.part",
    "loops that Numba compiles": "import mymodule; assert mymodule.increased(1) == 2",
}
needs_landlock = pytest.mark.skipif(
    subprocess.run(
        [sys.executable, "-c", "from harness import sealing as s; assert s.restrict([])"],
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
    ).returncode
    != 0,
    reason="this kernel has no Landlock",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with the prepared digits, and with files that tell labels."""
    folder = tmp_path_factory.mktemp("sealing") / "bgan-bench"
    Copy(folder)
    for arguments in (("datasets", "digits"), ("features", "extract", "digits", "pixels")):
        done = command(folder, *arguments)
        assert done.returncode == 0, done.stderr
    for name in ("results/scores/digits.csv", "results/published/map.csv", "data/photos/list.txt"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("a.png 1\n")
    (folder / "linked").symlink_to("data/photos")
    (folder / "mymodule.py").write_text(LOOP)
    (folder / "sitecustomize.py").write_text(EDITABLE.format(str(folder.parent / "source")))
    (folder.parent / "source").mkdir()
    (folder.parent / "source/part.py").touch()
    (folder.parent / "source/__init__.py").touch()
    return folder


def command(folder, *arguments, **variables):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("BGAN_BENCH")
    }
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(folder)} | variables,
    )


def train(folder, body):
    """Train a method with these statements in `fit`."""
    (folder / "methods/cheat.py").write_text(METHOD.replace("{body}", f"        {body}"))
    shutil.rmtree(folder / "results/runs", ignore_errors=True)
    return command(folder, "methods", "digits", "pixels", "cheat", "8", "0")


def record(folder):
    path = folder / "results/runs/digits/pixels/cheat/8bit/seed0/run.json"
    return json.loads(path.read_text())


@needs_landlock
def test_what_a_method_should_not_see_is_one_line(project):
    body, path = CHEATS["with an error of its own"]
    done = train(project, body)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"methods/cheat.py opened {path}, which is hidden from training jobs" in done.stderr
    assert not (project / "results/runs/digits/pixels/cheat/8bit/seed0").exists()


@needs_landlock
def test_what_a_method_should_not_see_is_out_of_its_reach(project):
    """Each attempt is refused, and the error that it gets names the path."""
    done = train(project, ATTEMPTS.replace("CHEATS", repr(CHEATS)))
    assert done.returncode == 0, done.stderr
    assert np.load(project / LABELS).shape == (1797,)


@needs_landlock
def test_what_it_starts_is_sealed_and_the_rest_works(project):
    done = train(project, "\n        ".join(HONEST.values()))
    assert done.returncode == 0, done.stderr
    assert record(project)["sealed"] is True
    assert "sealed" not in json.dumps(record(project)["made_of"])


def test_without_landlock_a_run_states_that_it_was_not_sealed(project):
    text = (project / "harness/sealing.py").read_text()
    (project / "harness/sealing.py").write_text(text.replace("= 444,", "= 4444,"))
    done = train(project, f"open('{LABELS}')")
    (project / "harness/sealing.py").write_text(text)
    assert done.returncode == 0, done.stderr
    assert record(project)["sealed"] is False


@needs_landlock
def test_a_file_that_it_writes_is_refused_with_a_way_out(project):
    done = train(project, "open('loss.csv', 'w')")
    assert "methods/cheat.py could not open loss.csv: " in done.stderr
    assert "`extras_`" in done.stderr


def test_an_output_folder_in_that_of_the_project_is_refused_with_a_way_out(project):
    arguments = ("methods", "digits", "pixels", "itq", "8", "0", "--output")
    done = command(project, *arguments, "out")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("as in --output NEW/NAME\n")
    assert command(project, *arguments, "NEW/NAME").returncode == 0
    assert (project / "NEW/NAME/codes.npz").is_file()


class TestTemporaryFolders:
    """The folder of a job that was killed is removed by a later one."""

    @pytest.fixture
    def system(self, tmp_path, monkeypatch):
        """The temporary folder of the system, in which all is old."""
        monkeypatch.setattr(sealing.tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(sealing, "ABANDONED_SECONDS", 0)
        return tmp_path

    def test_of_a_killed_job_are_removed(self, system):
        abandoned = system / f"{sealing.TEMPORARY}killed"
        abandoned.mkdir()
        (abandoned / "file").touch()
        with sealing._temporary_folder() as folder:
            assert sorted(system.iterdir()) == [Path(folder)]
        assert not list(system.iterdir())

    def test_of_jobs_at_work_stay(self, system):
        with sealing._temporary_folder() as first, sealing._temporary_folder() as second:
            assert sorted(system.iterdir()) == sorted([Path(first), Path(second)])

    def test_of_others_and_new_ones_stay(self, system, monkeypatch):
        other = system / "other"
        other.mkdir()
        (system / f"{sealing.TEMPORARY}link").symlink_to(other)
        monkeypatch.setattr(sealing, "ABANDONED_SECONDS", 60)
        (system / f"{sealing.TEMPORARY}new").mkdir()
        with sealing._temporary_folder():
            assert len(list(system.iterdir())) == 4


def test_the_user_file_of_a_parameter_and_its_weights_can_be_read():
    variant = Catalogue().resolve("methods", "itq")
    named = Catalogue({"methods": {"mine": {"of": "imported", "set": {"path": "mine-{bits}.npy"}}}})
    run = Run("digits", "pixels", "itq", 8, 0)
    paths = sealing.read_files(run, named.resolve("methods", "mine"))
    assert "mine-8.npy" in {path.name for path in paths}
    assert "labels.npy" not in {path.name for path in sealing.read_files(run, variant)}


def test_a_folder_to_write_that_contains_the_hidden_ones_is_refused():
    with pytest.raises(BenchmarkError, match=r"cannot write directly into .* --output"):
        sealing.check_contents(ROOT)
