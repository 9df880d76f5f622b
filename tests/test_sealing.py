"""Sealed training: labels and scores are out of reach of a method, and of what it starts."""

import json
import os
import shutil
import subprocess
import sys

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
}
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
    (folder / "mymodule.py").touch()
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
@pytest.mark.parametrize(("body", "path"), CHEATS.values(), ids=CHEATS)
def test_what_a_method_should_not_see_is_out_of_its_reach(project, body, path):
    done = train(project, body)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "methods/cheat.py opened " in done.stderr
    assert path in done.stderr
    assert "hidden from training jobs" in done.stderr
    assert not (project / "results/runs/digits/pixels/cheat/8bit/seed0").exists()
    assert np.load(project / LABELS).shape == (1797,)


@needs_landlock
@pytest.mark.parametrize("body", HONEST.values(), ids=HONEST)
def test_what_it_starts_is_sealed_and_the_rest_works(project, body):
    done = train(project, body)
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


def test_the_user_file_of_a_parameter_and_its_weights_can_be_read():
    variant = Catalogue().resolve("methods", "itq")
    named = Catalogue({"methods": {"mine": {"of": "imported", "set": {"path": "mine-{bits}.npy"}}}})
    run = Run("digits", "pixels", "itq", 8, 0)
    paths = sealing.read_files(run, named.resolve("methods", "mine"))
    assert "mine-8.npy" in {path.name for path in paths}
    assert "labels.npy" not in {path.name for path in sealing.read_files(run, variant)}


def test_a_folder_to_write_that_contains_the_hidden_ones_is_refused():
    with pytest.raises(BenchmarkError, match="hidden from training jobs"):
        sealing.check_contents(ROOT)
