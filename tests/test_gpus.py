"""Jobs on simulated devices: each leases one of its own, and a job that is killed releases it."""

import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from builders import Copy

from harness import determinism, gpus, provenance
from harness.errors import BenchmarkError
from harness.plugins import ROOT

JOB = """
import sys, time, os
from pathlib import Path
from harness import gpus
gpus.DEVICES = Path(sys.argv[1])
print(gpus.lease(), os.environ.get("CUDA_VISIBLE_DEVICES"), gpus.lease(), flush=True)
if "fork" in sys.argv:
    os.fork()
time.sleep(60)
"""


class Machine:
    """Three simulated devices, beside files of the driver that are none; starts jobs.

    nvidia-smi lists them as in `listed`. The UUIDs are new, since leases hold on the whole
    machine, and other tests may run at the same time.
    """

    def __init__(self, folder):
        self.folder, self.jobs = folder, []
        (folder / "dev").mkdir()
        for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm"):
            (folder / "dev" / name).touch()
        self.devices = [f"GPU-{uuid.uuid4()}" for _ in range(3)]
        self.list_devices(
            f"GPU {index}: NVIDIA A100-SXM4-40GB (UUID: {device})"
            for index, device in enumerate(self.devices)
        )

    def list_devices(self, lines):
        program = self.folder / "bin/nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        listed = "\n".join(lines)
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{listed}\nEND\n")
        program.chmod(0o755)

    def start(self, visible=None, *options, **variables):
        hidden = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID")
        environment = {key: value for key, value in os.environ.items() if key not in hidden}
        environment |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        environment |= {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"} | variables
        messages = self.folder / f"messages-{len(self.jobs)}"
        job = subprocess.Popen(
            [sys.executable, "-c", JOB, self.folder / "dev", *options],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=messages.open("w"),
            text=True,
            start_new_session=True,
        )
        job.messages = messages
        self.jobs.append(job)
        return job

    def leased(self, *arguments, **variables):
        return leased(self.start(*arguments, **variables))

    def end(self):
        for job in self.jobs:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
            job.stdout.close()


@pytest.fixture
def machine(tmp_path):
    simulated = Machine(tmp_path)
    yield simulated
    simulated.end()


def leased(job):
    """The device of a job: its lease, what CUDA will see, and what a second call returns."""
    lease, visible, again = job.stdout.readline().split()
    assert lease == visible == again
    return lease


def waits(job):
    """Whether a job announces that it waits, rather than print a lease."""
    while not job.messages.read_text():
        if select.select([job.stdout], [], [], 0.05)[0]:
            return False
    return "waiting for a GPU" in job.messages.read_text()


def test_jobs_have_devices_of_their_own_and_a_killed_one_releases_it(machine):
    jobs = [machine.start() for _ in range(3)]
    devices = [leased(job) for job in jobs]
    assert sorted(devices) == sorted(machine.devices)
    waiting = machine.start()
    assert waits(waiting)
    os.kill(jobs[1].pid, signal.SIGKILL)
    assert leased(waiting) == devices[1]
    messages = waiting.messages.read_text()
    assert messages.count("waiting for a GPU") == 1
    assert all(device in messages for device in devices)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("0", "{uuid}"),
        ("{uuid}", "0"),
        ("0", "00"),
        ("0", "{prefix}"),
        ("0,{uuid}", "00,0"),
    ],
)
def test_one_device_under_two_names_has_one_lease(machine, first, second):
    names = {"uuid": machine.devices[0], "prefix": machine.devices[0][:16]}
    assert machine.leased(first.format(**names)) == machine.devices[0]
    assert waits(machine.start(second.format(**names)))


@pytest.mark.parametrize(
    "variables",
    [{"SLURM_JOB_ID": "7"}, {"TMPDIR": "OTHER"}, {"HOME": "OTHER"}, {"XDG_RUNTIME_DIR": "OTHER"}],
)
def test_a_lease_holds_for_jobs_of_another_environment(machine, tmp_path, variables):
    variables = {name: value.replace("OTHER", str(tmp_path)) for name, value in variables.items()}
    assert machine.leased("1") == machine.devices[1]
    assert waits(machine.start("1", **variables))


def test_a_lease_is_no_file_that_could_be_deleted(machine, tmp_path):
    job = machine.start("1", TMPDIR=str(tmp_path), HOME=str(tmp_path))
    assert leased(job) == machine.devices[1]
    opened = [os.readlink(path) for path in Path(f"/proc/{job.pid}/fd").iterdir()]
    assert not [path for path in opened if path.startswith("/") and "gpu" in Path(path).name]
    assert sum(path.startswith("socket:") for path in opened) == 1


def test_slurm_numbers_the_devices_of_each_job_from_0(machine):
    assert machine.leased("0", SLURM_JOB_ID="7") == machine.devices[0]
    # The cgroup of the second job shows nvidia-smi the second device alone.
    machine.list_devices([f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {machine.devices[1]})"])
    assert machine.leased("0", SLURM_JOB_ID="8") == machine.devices[1]


def test_a_forked_child_does_not_hold_the_lease_of_its_job(machine):
    job = machine.start("1", "fork")
    assert leased(job) == machine.devices[1]
    time.sleep(0.5)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    os.killpg(job.pid, 0)  # the child is running
    assert machine.leased("1") == machine.devices[1]


@pytest.mark.parametrize(
    ("visible", "indices"),
    [("2", [2]), ("1, 2", [1, 2]), ("1,-1,2", [1]), ("1,9,2", [1]), ("1,GPU-unknown,2", [1])],
)
def test_only_the_visible_devices_are_leased(machine, visible, indices):
    devices = {machine.devices[index] for index in indices}
    assert {machine.leased(visible) for _ in indices} == devices
    assert waits(machine.start(visible))


def test_each_part_of_a_divided_device_is_leased(machine):
    parts = [f"MIG-{uuid.uuid4()}" for _ in range(2)]
    machine.list_devices(
        [
            f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {machine.devices[0]})",
            f"  MIG 3g.20gb     Device  0: (UUID: {parts[0]})",
            f"  MIG 3g.20gb     Device  1: (UUID: {parts[1]})",
            f"GPU 1: NVIDIA A100-SXM4-40GB (UUID: {machine.devices[1]})",
        ]
    )
    assert machine.leased("0") == parts[0]
    assert waits(machine.start(machine.devices[0]))
    assert {machine.leased() for _ in range(2)} == {parts[1], machine.devices[1]}


@pytest.mark.parametrize("visible", ["", "-1", "NoDevFiles", "9"])
def test_hidden_devices_are_none(machine, visible):
    assert machine.start(visible).stdout.readline().split()[0] == "None"


def test_a_job_that_does_not_wait_continues_without_a_device(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(gpus, "DEVICES", tmp_path / "dev")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert machine.leased("1") == machine.devices[1]
    assert gpus.lease(wait=False) is None


def test_a_driver_without_nvidia_smi_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.setattr(gpus, "NVIDIA_SMI", (str(tmp_path / "missing"), "-L"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(BenchmarkError, match=r"missing -L` failed .* set CUDA_VISIBLE_DEVICES="):
        gpus.lease()


def test_a_machine_without_devices_has_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert not provenance.gpu_present()
    assert gpus.lease() is None
    (tmp_path / "nvidia0").touch()
    assert provenance.gpu_present()


def test_a_job_takes_its_device_before_it_imports_torch_and_chooses_algorithms(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def job(text, lease='os._exit("torch" in sys.modules or 7)'):
        program = f"""
import os, runpy, sys, types
import harness
from harness import gpus
gpus.lease = lambda: {lease}
harness.determinism = types.SimpleNamespace(use_deterministic_algorithms=lambda: os._exit(9))
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
    assert job("methods digits pixels bgan 8 0", lease="'a device'") == 9
    assert job("features extract digits squeezenet1_1_pool", lease="'a device'") == 9


DETERMINISTIC = """
import os, sys
from harness import determinism, gpus, provenance
determinism.use_deterministic_algorithms()
import torch
print(
    torch.are_deterministic_algorithms_enabled(),
    os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    provenance.repeatability("cuda"),
    provenance.repeatability("cpu"),
    sep=",",
)
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", "True,:4096:8,bit for bit,bit for bit"),
        ("0", "False,None,within tolerance,bit for bit"),
        ("", "False,None,within tolerance,bit for bit"),
    ],
)
def test_deterministic_algorithms_are_used_if_the_variable_is_set(value, expected):
    environment = {k: v for k, v in os.environ.items() if k != "CUBLAS_WORKSPACE_CONFIG"}
    environment |= {determinism.DETERMINISTIC_VARIABLE: value, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DETERMINISTIC]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_another_value_of_the_variable_is_refused(monkeypatch):
    monkeypatch.setenv(determinism.DETERMINISTIC_VARIABLE, "yes")
    with pytest.raises(BenchmarkError, match=r"BGAN_BENCH_DETERMINISTIC: found 'yes', expected 1"):
        determinism.use_deterministic_algorithms()


ON_GPU = '''
import json
import os
import time
from pathlib import Path

import numpy as np

from methods._base import Hasher


class OnGpu(Hasher):
    """Writes when it ran on which device.

    Source: this test.   Differs from the paper: nothing.
    """

    label, citation, uses_gpu = "On a GPU", None, True

    def __init__(self, n_bits, *, seed=0):
        self.n_bits, self.seed = n_bits, seed

    def fit(self, features):
        started = time.time()
        (Path("cache/checkpoints") / f"started.{os.getpid()}").touch()
        stop = started + 60
        while len(list(Path("cache/checkpoints").glob("started.*"))) < 2 and time.time() < stop:
            time.sleep(0.1)  # two start at once, if at different speeds
        time.sleep(1.5)
        with open("cache/checkpoints/taken.txt", "a") as file:
            entry = [os.environ["CUDA_VISIBLE_DEVICES"], started, time.time()]
            file.write(json.dumps(entry) + "\\n")
        return self

    def encode(self, features):
        return features[:, : self.n_bits] > 0.3
'''


def test_two_gpus_are_used_at_a_time_and_cpu_methods_run_meanwhile(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    copy = Copy(tmp_path / "bgan-bench")
    copy.replace("harness/gpus.py", 'Path("/dev")', f'Path("{machine.folder}/dev")')
    copy.write("methods/on_gpu.py", ON_GPU)
    copy.write(
        "tiny.yaml", "methods: [on_gpu, chance]\nbits: [24]\nseeds: [0, 1, 2, 3]\ncontrols: []\n"
    )
    copy.run("--resources", "gpu=2", "--until", "encode", cores="3")
    taken = [
        json.loads(line)
        for line in (copy.folder / "cache/checkpoints/taken.txt").read_text().splitlines()
    ]
    assert len(taken) >= 4  # the first training of a method may be repeated
    starts = [start for _, start, _ in taken]
    together = [sum(start <= at < end for _, start, end in taken) for at in starts]
    assert max(together) == 2, "two at a time, and both at once"
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
