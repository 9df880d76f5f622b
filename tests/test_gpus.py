"""Several jobs on pretended devices: each has one of its own, and a job that is killed leaves it to the next."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from builders import Copy

from harness import gpus, provenance
from harness.plugins import ROOT

JOB = """
import sys, time, os
from pathlib import Path
from harness import gpus
gpus.SYSTEM = Path(sys.argv[1])
print(gpus.lease(), os.environ.get("CUDA_VISIBLE_DEVICES"), gpus.lease(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def machine(tmp_path):
    """Starts jobs on a machine of three pretended devices, beside files of the driver that are none; ends them."""
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    jobs = []

    def start(visible=None, **variables):
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")
        }
        environment |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        environment |= variables | {"TMPDIR": str(tmp_path)}
        said = (tmp_path / f"said-{len(jobs)}").open("w")
        command = [sys.executable, "-c", JOB, tmp_path / "dev"]
        jobs.append(
            subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=said, text=True
            )
        )
        said.close()
        return jobs[-1]

    yield start
    for job in jobs:
        job.kill()
        job.wait()
        job.stdout.close()


def taken(job):
    """The device of a job: what it was given, what CUDA will see, and what a second call gives."""
    given, visible, again = job.stdout.readline().split()
    assert given == visible == again
    return given


def test_jobs_have_devices_of_their_own_and_a_killed_one_leaves_it_to_the_next(machine, tmp_path):
    jobs = [machine() for _ in range(3)]
    devices = [taken(job) for job in jobs]
    assert sorted(devices) == ["0", "1", "2"]
    waiting = machine()
    time.sleep(1)
    os.kill(jobs[1].pid, signal.SIGKILL)
    assert taken(waiting) == devices[1]
    assert (tmp_path / "said-3").read_text() == "waiting for a GPU: other jobs have 0, 1, 2\n"


def test_each_job_of_slurm_counts_its_devices_from_0(machine):
    assert [taken(machine("0", SLURM_JOB_ID=job)) for job in ("7", "8")] == ["0", "0"]


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        ("2", ["2"]),
        ("1, 2", ["1", "2"]),
        (
            "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,MIG-GPU-8932f937/1/0",
            ["GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-GPU-8932f937/1/0"],
        ),
        ("1,-1,2", ["1"]),
    ],
)
def test_what_slurm_or_the_user_allows_is_all_there_is(machine, visible, devices):
    assert sorted(taken(machine(visible)) for _ in devices) == devices


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles"])
def test_hidden_devices_are_none(machine, visible):
    assert machine(visible).stdout.readline().split()[0] == "None"


def test_a_job_that_is_not_patient_goes_on_without(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "names", lambda: ["7"])
    monkeypatch.setattr(gpus, "LOCKS", tmp_path)
    monkeypatch.setattr(gpus, "_held", [])
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert gpus.lease(patient=False) == "7"
    gpus._held, kept = [], gpus._held
    assert gpus.lease(patient=False) is None
    assert kept


def test_a_machine_without_devices_has_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "SYSTEM", tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert not provenance.gpu_present()
    assert gpus.lease() is None
    (tmp_path / "nvidia0").touch()
    assert provenance.gpu_present()


def test_a_job_takes_its_device_before_it_imports_torch(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def job(text):
        program = f"""
import runpy, sys
from harness import gpus
gpus.lease = lambda: sys.exit("torch" in sys.modules or 7)
sys.argv = {text.split()}
runpy.run_module(sys.argv[0], run_name="__main__")
"""
        return subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, check=False
        ).returncode

    for prepared in (
        "datasets digits",
        "features extract digits pixels",
        "features neighbours digits pixels",
    ):
        assert job(prepared) == 0
    assert job("methods digits pixels bgan 8 0") == 7
    assert job("features extract digits squeezenet1_1_pool") == 7


ON_GPU = '''
import json
import os
import time
from pathlib import Path

import numpy as np

from methods._base import Hasher


class OnGpu(Hasher):
    """Says when it ran on which device.

    Source: this test.   Differs from the paper: nothing.
    """

    label, citation, uses_gpu = "On a GPU", None, True

    def __init__(self, n_bits, *, seed=0):
        self.n_bits, self.seed = n_bits, seed

    def fit(self, features):
        started = time.time()
        (Path("cache/checkpoints") / f"started.{os.getpid()}").touch()
        while len(list(Path("cache/checkpoints").glob("started.*"))) < 2 and time.time() < started + 60:
            time.sleep(0.1)  # two start at once, if at different speeds
        time.sleep(1.5)
        with open("cache/checkpoints/taken.txt", "a") as file:
            file.write(json.dumps([os.environ["CUDA_VISIBLE_DEVICES"], started, time.time()]) + "\\n")
        return self

    def encode(self, features):
        return features[:, : self.n_bits] > 0.3
'''


def test_two_gpus_are_used_at_a_time_and_cpu_methods_run_meanwhile(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    copy = Copy(tmp_path / "bgan-bench")
    (copy.folder / "dev").mkdir()
    for place in range(4):
        (copy.folder / f"dev/nvidia{place}").touch()
    copy.replace("harness/gpus.py", 'Path("/dev")', 'Path("dev")')
    copy.replace("harness/gpus.py", "tempfile.gettempdir()", repr("dev"))
    copy.write("methods/on_gpu.py", ON_GPU)
    copy.write(
        "tiny.yaml", "methods: [on_gpu, chance]\nbits: [24]\nseeds: [0, 1, 2, 3]\ncontrols: []\n"
    )
    copy.run("--resources", "gpu=2", "--until", "encode", cores="3")
    taken = [
        json.loads(line)
        for line in (copy.folder / "cache/checkpoints/taken.txt").read_text().splitlines()
    ]
    assert len(taken) == 4
    together = [sum(start < other < end for _, other, _ in taken) for _, start, end in taken]
    assert max(together) == 1, "two at a time, and both at once"
    devices = {
        frozenset((one, other))
        for one, start, end in taken
        for other, begun, _ in taken
        if start < begun < end
    }
    assert all(len(pair) == 2 for pair in devices), "each its own"
    dates = [
        path.stat().st_mtime
        for path in copy.folder.glob("results/runs/digits/pixels/chance/24bit/*/run.json")
    ]
    assert min(dates) < max(end for _, _, end in taken), "the third core"
