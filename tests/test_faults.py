"""SIGKILL at any moment, full disks, damaged files, a lost GPU: the next command recovers.

No invalid result is accepted.
"""

import contextlib
import csv
import errno
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Copy

import methods.__main__ as training
from evaluation import score
from harness import provenance
from harness.errors import BenchmarkError, raised_by
from harness.plan import Run
from harness.plugins import ROOT
from harness.variants import Catalogue
from methods._training import Checkpoint

JOBS = ("datasets", "features", "methods", "evaluation", "experiments", "report")
KINDS = {"line": 4, "group": 3, "snakemake": 2, "job": 2}  # what is killed, and how often
VARYING = ("fit_seconds", "encode_seconds", "peak_memory_mib", "date")  # columns of runs.csv
TABLES = "results/experiments/faults"
CACHED = ("cache/repeated/", "cache/query_neighbours/")  # written before the output
CONFIG = """
methods: [chance, itq, bgan-brief]
bits: BITS
seeds: SEEDS
controls: []
variants:
  methods:
    bgan-brief: {of: bgan, set: {epochs: 1, betas: [1.0], width: 0.03125}}
"""
# Python imports this at the start of every job. It counts the executed lines of the files that
# write results. It kills the whole workflow, as a power failure would, before one of them.
SITE = """
import atexit, os, signal, sys

command, at, passed = sys.orig_argv, int(os.environ.get("FAULT_LINE", 0)), 0
job = command[command.index("-m") + 1] if "-m" in command else ""
shared = (
    "harness/storage.py",
    "harness/records.py",
    "experiments/scoring.py",
    "experiments/collect.py",
    "experiments/statistics.py",
)
files = (f"{job}/__main__.py", f"{job}/_training.py", *shared)
watched = {os.path.join(os.getcwd(), name) for name in files}


def line(frame, event, argument):
    global passed
    if event == "line":
        passed += 1
        if passed == at:
            os.killpg(0, signal.SIGKILL)
    return line


if job in os.environ.get("FAULT_JOBS", "").split():
    sys.settrace(lambda frame, *_: line if frame.f_code.co_filename in watched else None)
    if not at:  # opened now, since a training job is sealed later
        counts = open(os.path.join(os.environ["FAULT_COUNTS"], f"{job}.{os.getpid()}"), "w")
        atexit.register(lambda: print(passed, file=counts, flush=True))
"""


class Victim(Copy):
    """A copy of the project that is killed, up to `target`.

    Trainings save checkpoints five times a second instead of every minute.
    """

    def __init__(self, folder: Path, target: str, bits: list[int], seeds: list[int]):
        super().__init__(folder)
        self.target = target
        self.write("faults.yaml", CONFIG.replace("BITS", str(bits)).replace("SEEDS", str(seeds)))
        self.replace("methods/_training.py", "interval = 60.0", "interval = 0.2")
        (folder / "site").mkdir()
        self.write("site/sitecustomize.py", SITE)
        (folder / "counts").mkdir()
        self.groups = []

    def start(self, *arguments, jobs=(), line=0):
        """Start Snakemake in a process group; `jobs` count lines or kill everything at one."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("BGAN_BENCH", "SNAKEMAKE"))
        }
        environment |= {
            "PYTHONPATH": str(self.folder / "site"),
            "FAULT_JOBS": " ".join(jobs),
            "FAULT_LINE": str(line),
        }
        environment |= {"FAULT_COUNTS": str(self.folder / "counts")}
        if jobs:  # Python starts in each of them
            environment["BGAN_BENCH_FORK_SERVERS"] = ""
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--cores",
            "2",
            self.target,
            *arguments,
            "--configfile",
            "faults.yaml",
        ]
        with open(
            self.folder / "output.txt", "w"
        ) as output:  # no pipe: a job that is left behind would hold it open
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.groups.append(process.pid)
        return process

    def finish(self, *arguments, **options):
        """Run to the end and return the output."""
        assert self.start(*arguments, **options).wait() == 0, (
            self.folder / "output.txt"
        ).read_text()
        return (self.folder / "output.txt").read_text()

    def lines(self):
        """How many lines the longest job of each kind passed."""
        found = {}
        for path in (self.folder / "counts").iterdir():
            job = path.name.partition(".")[0]
            found[job] = max(found.get(job, 0), int(path.read_text() or 0))
        return found

    def pending(self):
        """The kinds of jobs that have not all ended, in their order."""
        ends = {
            "datasets": "cache/datasets/digits/dataset.json",
            "features": "cache/features/digits/pixels/neighbours.json",
        }
        ends |= {
            "methods": "results/runs/digits/pixels/bgan-brief/12bit/seed0/run.json",
            "evaluation": f"{TABLES}/scores/digits/pixels/bgan-brief/score.json",
        }
        ends |= {"experiments": f"{TABLES}/experiment.json"}
        ends |= {"report": f"{TABLES}/report/report.json"} if self.target == "all" else {}
        return [job for job, path in ends.items() if not (self.folder / path).is_file()]

    def begin_again(self):
        for name in ("results", "cache", "logs", ".snakemake"):
            shutil.rmtree(self.folder / name)

    def wait_for_jobs_left_behind(self):
        deadline = time.monotonic() + 600
        while any(members(group) for group in self.groups):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def results(self):
        """Everything that does not depend on interruptions, without times, memory and dates."""
        patterns = (
            "results/**/codes.npz",
            "results/**/histograms.npz",
            "results/**/metrics.csv",
            f"{TABLES}/*.csv",
            "cache/**/*.np[yz]",
        )
        found = {
            path
            for pattern in patterns
            for path in self.folder.glob(pattern)
            if "partial" not in path.parts
        }
        report = self.folder / TABLES / "report"
        shown = [path for path in report.glob("*/*.*") if path.suffix in (".tex", ".svg", ".csv")]
        found |= {path for path in shown if not re.match("time|costs|efficiency", path.name)}
        bytes_of = {path.relative_to(self.folder).as_posix(): without_date(path) for path in found}
        bytes_of[f"{TABLES}/runs.csv"] = without_times(self.folder / TABLES / "runs.csv")
        return bytes_of | {
            path.name: without_numbers(path.read_text()) for path in report.glob("index.html")
        }


def members(group):
    """(process, command line) of every living process of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append((int(folder.name), (folder / "cmdline").read_text()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def without_date(path):
    """Return the bytes of a file without the date of collection, which captions state."""
    written = path.read_bytes()
    return (
        re.sub(rb"\b20\d\d-\d\d-\d\d\b", b"DATE", written)
        if path.suffix in (".tex", ".svg")
        else written
    )


def test_a_caption_is_the_same_on_both_sides_of_midnight(tmp_path):
    for name, caption in (
        ("a.tex", "0.512 Commit 0123456789ab, 2026-11-24."),
        ("b.tex", "0.512 Commit 0123456789ab, 2026-11-25."),
    ):
        (tmp_path / name).write_text(caption)
    assert (
        without_date(tmp_path / "a.tex")
        == without_date(tmp_path / "b.tex")
        == b"0.512 Commit 0123456789ab, DATE."
    )


def without_times(path):
    with open(path, newline="") as file:
        return [
            {key: value for key, value in row.items() if key not in VARYING}
            for row in csv.DictReader(file)
        ]


def without_numbers(page):
    """Return the text of the page without figures; its numbers are compared as tables."""
    text = re.sub(
        r"<svg.*?</svg>|<[^>]*>[^<>]*the harness[^<]*", "", page, flags=re.DOTALL | re.IGNORECASE
    )
    return re.sub(r"[-+\d.e]+", "#", text)


def kill(victim, kind, generator, lines):
    """Start the workflow and send SIGKILL to some of it at a random moment.

    Return whether it was killed before it was done.
    """
    if kind == "line":  # as often below a hundred lines as above, since the short jobs pass few
        job = generator.choice([job for job in victim.pending() if job in lines][:2])
        return (
            victim.start(
                "--nolock", jobs=[job], line=round(lines[job] ** generator.random())
            ).wait()
            == -signal.SIGKILL
        )
    process = victim.start("--nolock")
    while process.poll() is None and not jobs_of(process.pid):
        time.sleep(0.02)
    time.sleep(generator.uniform(0, 1))
    if process.poll() is not None:
        return False
    if kind == "group":
        os.killpg(process.pid, signal.SIGKILL)
    elif kind == "snakemake":
        process.kill()
    else:
        kill_one(generator, jobs_of(process.pid))
        with contextlib.suppress(
            subprocess.TimeoutExpired
        ):  # it may or may not reach its partial report
            return process.wait(timeout=generator.uniform(0, 5)) != 0
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait() != 0


def kill_one(generator, running):
    with contextlib.suppress(ProcessLookupError, IndexError):
        os.kill(generator.choice(running), signal.SIGKILL)


def jobs_of(group):
    return sorted(
        process
        for process, command in members(group)
        if any(f"\0{job}\0" in command for job in JOBS)  # also those of a fork server
    )


def kills(victim, undisturbed, seed, count, kinds):
    """Kill `count` times; compare every completed workflow with one that nobody killed."""
    generator, lines, done = random.Random(seed), undisturbed.lines(), []
    while len(done) < count:
        if not victim.pending():
            finish_and_compare(victim, undisturbed, seed)
            victim.begin_again()
        (kind,) = generator.choices(list(kinds), kinds.values())
        if kill(victim, kind, generator, lines):
            done.append(kind)
    finish_and_compare(victim, undisturbed, seed)
    print(
        f"seed {seed}: {len(done)} kills, "
        f"{', '.join(f'{done.count(kind)} {kind}' for kind in kinds)}",
        flush=True,
    )


def finish_and_compare(victim, undisturbed, seed):
    victim.wait_for_jobs_left_behind()
    victim.finish("--nolock")
    found, expected = victim.results(), undisturbed.results()
    if victim.target == "collect":
        expected = {
            name: content
            for name, content in expected.items()
            if not re.match(f"index.html|{TABLES}/report", name)
        }
    assert sorted(found) == sorted(expected), f"seed {seed}"
    assert not [name for name in found if found[name] != expected[name]], f"seed {seed}"
    left = [path for path in victim.folder.rglob("*.part*") if "partial" not in path.parts]
    assert not left, f"seed {seed}"


def test_three_kills_and_the_results_are_the_same(tmp_path):
    undisturbed, victim = (
        Victim(tmp_path / name, "collect", bits=[12], seeds=[0])
        for name in ("undisturbed", "victim")
    )
    undisturbed.finish(jobs=JOBS)
    process = victim.start()
    while process.poll() is None and not jobs_of(process.pid):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGSTOP)  # it could end before the second one looks for a lock
    second = victim.snakemake(config="faults.yaml")
    assert second.returncode != 0, "two workflows in one folder"
    assert "Directory cannot be locked" in second.stdout + second.stderr
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    second = victim.snakemake(config="faults.yaml")
    assert "It can be removed with the --unlock argument" in " ".join(
        (second.stdout + second.stderr).split()
    )
    victim.run("--unlock", config="faults.yaml")
    kills(victim, undisturbed, 1, 2, {"line": 2, "group": 2, "snakemake": 1})


@pytest.mark.faults
def test_two_hundred_kills_and_the_results_are_the_same(request, tmp_path):
    """Chains of 25 kills, every fourth up to the report. FAULTS_SEED repeats a failed chain."""
    if request.config.getoption("markexpr") != "faults":
        pytest.skip("200 kills take half an hour: make test-faults")
    undisturbed = Victim(tmp_path / "undisturbed", "all", bits=[8, 12], seeds=[0, 1])
    undisturbed.finish(jobs=JOBS)
    first = int(os.environ.get("FAULTS_SEED", random.randrange(2**31)))
    for seed in range(first, first + 8):
        victim = Victim(
            tmp_path / str(seed), "collect" if seed % 4 else "all", bits=[8, 12], seeds=[0, 1]
        )
        kills(victim, undisturbed, seed, 25, KINDS)


@pytest.fixture(scope="module")
def prepared(build_once):
    """A folder in which data set, features and neighbour lists are ready."""

    def prepare(folder):
        folder.mkdir()
        for job in (
            ["datasets", "digits"],
            ["features", "extract", "digits", "pixels"],
            ["features", "neighbours", "digits", "pixels"],
        ):
            done = command(folder, *job)
            assert done.returncode == 0, done.stderr

    return build_once("prepared", prepare)


@pytest.fixture
def project(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "project")
    return tmp_path / "project"


def command(folder, *arguments, **options):
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("BGAN_BENCH")
    } | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        **options,
    )


ITQ = ("methods", "digits", "pixels", "itq", "64", "0")
WRITERS = {
    "cache/datasets/digits": ("datasets", "digits"),
    "cache/checkpoints/[0-9a-f]{64}.npy": ("features", "extract", "digits", "pixels"),
    "cache/features/digits/pixels/neighbours.npy": ("features", "neighbours", "digits", "pixels"),
    "results/runs/digits/pixels/itq/64bit/seed0": ITQ,
    "results/scores/digits/pixels/exact-l2": (
        "evaluation",
        "score",
        "digits",
        "pixels",
        "exact-l2",
        "--runs",
        "0:0",
    ),
}


def one_line(done, job, message):
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert re.match(f"{job}: {message}", done.stderr), done.stderr


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("written", WRITERS)
def test_a_full_disk_is_one_line_and_leaves_what_was_there(project, written):
    """A file with a size limit replaces a full disk: both are an error of the same write."""
    if written.startswith("results/scores"):
        assert command(project, *WRITERS[written]).returncode == 0, "its loops are compiled"
    before = files(project)
    done = command(
        project,
        *WRITERS[written],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
    )
    one_line(
        done,
        WRITERS[written][0],
        f"cannot write {written} .*expected a folder that can be written, on a disk with space",
    )
    after = files(project)
    assert before.items() <= after.items()
    assert all(name.startswith(CACHED) for name in after.keys() - before.keys())


@pytest.fixture
def mounted(project, mounted_at):
    """A function that mounts a file system below the folder."""
    return lambda name, options: mounted_at(project / name, options)


@pytest.fixture
def mounted_at():
    """A function that mounts a file system at a path."""
    mounts = []

    def mount(path, options):
        path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", path],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounts.append(path)

    yield mount
    for path in mounts:
        subprocess.run(["umount", path], check=True)


def test_features_on_a_disk_that_is_really_full(project, mounted):
    """They are written through a memory map: on a full disk, SIGBUS would kill the process."""
    mounted("cache/checkpoints", "size=64k")
    done = command(project, "features", "extract", "digits", "pixels")
    one_line(
        done,
        "features",
        "cannot write cache/checkpoints/[0-9a-f]{64}.npy .*No space left on device",
    )


@pytest.mark.parametrize(
    ("options", "reason"), [("size=8k", "No space left on device"), ("ro", "Read-only file system")]
)
def test_a_run_whose_disk_is_full_or_read_only(project, mounted, options, reason):
    mounted("results", options)
    one_line(
        command(project, *ITQ),
        "methods",
        f"cannot write results/runs/digits/pixels/itq/64bit/seed0 .*{reason}",
    )
    assert not files(project / "results")


def test_a_cache_on_two_file_systems(project, mounted):
    """Features are written below cache/checkpoints and moved."""
    shutil.rmtree(project / "cache/features")
    mounted("cache/checkpoints", "size=8m")
    done = command(project, "features", "extract", "digits", "pixels")
    assert done.returncode == 0, done.stderr
    assert (project / "cache/features/digits/pixels/features.npy").is_file()
    assert not files(project / "cache/checkpoints")
    assert not list(project.rglob("*.part*"))


@pytest.mark.parametrize(
    ("linked", "job"),
    [
        ("cache/features/digits/pixels", ("features", "extract", "digits", "pixels")),
        ("cache/datasets/digits", ("datasets", "digits")),
        ("results/runs/digits/pixels/itq/64bit/seed0", ITQ),
        ("results/runs", ITQ),
    ],
)
def test_a_folder_that_is_a_link_stays_one(project, linked, job):
    """A user moves results to a larger disk, and leaves a link."""
    large = project / "mounted" / "large disk"
    large.mkdir(parents=True)
    (project / linked).parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(project / linked, ignore_errors=True)
    (project / linked).symlink_to(large)
    done = command(project, *job)
    assert done.returncode == 0, done.stderr
    assert (project / linked).is_symlink()
    assert (project / linked).resolve() == large.resolve()
    assert files(large)
    assert not [path for path in project.rglob("*.part*") if path.name != "partial"]


def test_a_full_disk_of_logs_fails_no_job(copy, mounted_at):
    shutil.rmtree(copy.folder / "logs")
    mounted_at(copy.folder / "logs", "size=16k")
    (copy.folder / "logs/full").write_bytes(bytes(12 * 1024))
    copy.write("more.yaml", "methods: [chance]\nbits: [9]\nseeds: [0]\ncontrols: []\n")
    done = copy.snakemake("collect", config="more.yaml")
    assert done.returncode == 0, done.stderr
    assert (copy.folder / "results/experiments/more/metrics.csv").is_file()


def test_a_read_only_folder_is_reported_before_the_training(prepared, project, monkeypatch):
    shutil.rmtree(project / "results", ignore_errors=True)
    (project / "results").touch()
    monkeypatch.chdir(project)
    monkeypatch.setattr(training, "learn", lambda *arguments: pytest.fail("it trained"))
    with pytest.raises(
        BenchmarkError, match="cannot write results/runs/digits/pixels/itq/8bit/seed0"
    ):
        training.train_and_encode(
            Run("digits", "pixels", "itq", 8, 0), Catalogue().resolve("methods", "itq"), None
        )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory.\nTried"),
            "OutOfMemoryError: CUDA out of memory. Tried; too little memory: lower batch or",
        ),
        (
            MemoryError("no 3 GiB"),
            "MemoryError: no 3 GiB; too little memory: "
            "lower batch or image_size or width or encoder_size$",
        ),
        (
            torch.AcceleratorError("CUDA error: unknown"),
            "AcceleratorError: CUDA error: unknown; the GPU failed: rerun the command",
        ),
        (
            RuntimeError("CUDA error: device-side assert"),
            "the GPU failed: rerun the command, which resumes this job from its checkpoint$",
        ),
        (ValueError("no luck"), "bgan.py raised ValueError: no luck$"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_gpu_that_is_too_small_or_lost(project, monkeypatch, capsys, error, message):
    monkeypatch.chdir(project)

    def fit(*arguments):
        raise error

    monkeypatch.setattr(training, "learn", fit)
    with pytest.raises(BenchmarkError, match=message):
        training.train_and_encode(
            Run("digits", "pixels", "bgan", 8, 0), Catalogue().resolve("methods", "bgan"), None
        )
    assert not files(project / "results")


def test_an_array_that_is_larger_than_the_machine_has_no_advice_on_other_jobs():
    with (
        pytest.raises(BenchmarkError, match="larger than the memory of the machine") as raised,
        raised_by("methods/itq.py", None),
    ):
        np.empty((2**24, 2**24))
    assert "fewer jobs" not in str(raised.value)


def test_a_gpu_that_torch_cannot_use_is_reported(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    monkeypatch.setattr(training.gpus, "lease", lambda: "3")
    codes = np.arange(1797)[:, None] % 2 == np.arange(8) % 2
    outputs = training.Outputs(np.packbits(codes, axis=1), slice(None), {}, {})
    monkeypatch.setattr(training, "learn", lambda *arguments: outputs)
    training.train_and_encode(
        Run("digits", "pixels", "bgan", 8, 0), Catalogue().resolve("methods", "bgan"), None
    )
    assert "GPU 3 is there, but torch cannot use it: trained on the CPU" in capsys.readouterr().err


def test_a_collapse_is_reported_and_no_curves_are_saved(project, monkeypatch):
    monkeypatch.chdir(project)
    outputs = training.Outputs(np.zeros((1797, 1), np.uint8), slice(None), {}, {})
    monkeypatch.setattr(training, "learn", lambda *arguments: outputs)
    with pytest.raises(
        BenchmarkError,
        match=r"bgan\.py collapsed: all 1,797 items have the same code. Change its parameters$",
    ):
        training.train_and_encode(
            Run("digits", "pixels", "bgan", 8, 0), Catalogue().resolve("methods", "bgan"), None
        )


@pytest.mark.parametrize("name", ["images.npy", "features.npy", "neighbours.npy", "split.npz"])
def test_a_changed_byte_of_the_cache_is_detected_before_use(project, name):
    (path,) = project.glob(f"cache/**/{name}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    done = command(project, "methods", "digits", "pixels", "bgan", "8", "0")
    one_line(
        done,
        "methods",
        f"{path.relative_to(project)} was changed after it was written.*"
        f"Delete it and rerun the command with {path.relative_to(project)}",
    )


class TestCheckpoints:
    def parts(self):
        torch.manual_seed(0)
        layer = torch.nn.Linear(50, 50)
        return [layer, torch.optim.SGD(layer.parameters(), 0.1)]

    def checkpoint_of(self, folder, monkeypatch, device="cpu"):
        monkeypatch.setattr(Checkpoint, "interval", 0.0)
        noise = torch.Generator()
        Checkpoint(folder / "state.pt", self.parts(), noise).save([torch.zeros(3)], left=1)
        return Checkpoint(folder / "state.pt", self.parts(), noise)

    def test_a_changed_byte_is_detected_and_training_restarts(self, tmp_path, monkeypatch):
        checkpoint = self.checkpoint_of(tmp_path, monkeypatch)
        whole = (tmp_path / "state.pt").read_bytes()
        assert len(checkpoint.resume()) == 1
        seen = []
        for position in range(0, len(whole), 97):
            (tmp_path / "state.pt").write_bytes(
                whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
            )
            seen.append(self.found(checkpoint))
            assert (tmp_path / "state.pt").exists() != seen[-1]
        assert sum(seen) > 0.9 * len(seen), "what is left is padding of the zip"

    def found(self, checkpoint):
        """Whether a damaged state is refused; one that is not holds what it held."""
        try:
            checkpoint.resume()
        except BenchmarkError as error:
            return "state.pt was damaged" in str(error)
        layer, other = checkpoint.parts[0], self.parts()[0]
        return (
            False
            if torch.equal(layer.weight, other.weight)
            else pytest.fail("other weights were taken")
        )

    def test_half_a_checkpoint_is_detected(self, tmp_path, monkeypatch):
        checkpoint = self.checkpoint_of(tmp_path, monkeypatch)
        whole = (tmp_path / "state.pt").read_bytes()
        for length in (0, 10, len(whole) // 2, len(whole) - 1):
            (tmp_path / "state.pt").write_bytes(whole[:length])
            with pytest.raises(
                BenchmarkError,
                match=r"state.pt was damaged .* and is removed: "
                r"the same command trains from the beginning",
            ):
                checkpoint.resume()
            assert not (tmp_path / "state.pt").exists()

    @pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "I/O error")])
    def test_an_unreadable_checkpoint_is_not_deleted(self, tmp_path, monkeypatch, error):
        checkpoint = self.checkpoint_of(tmp_path, monkeypatch)

        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr(torch, "load", fail)
        with pytest.raises(type(error)):
            checkpoint.resume()
        assert (tmp_path / "state.pt").exists()

    def test_training_does_not_resume_on_another_device(self, tmp_path, monkeypatch):
        checkpoint = self.checkpoint_of(tmp_path, monkeypatch)
        state = torch.load(tmp_path / "state.pt", weights_only=True)
        torch.save(state | {"device": "cuda"}, tmp_path / "state.pt")
        with pytest.raises(
            BenchmarkError,
            match=r"training began on cuda and this is cpu: "
            r"run it where it began, or delete .*state.pt",
        ):
            checkpoint.resume()


class TestRepeating:
    """`repeats` in run.json is correct; a test of the whole workflow repeats BGAN on a CPU."""

    def codes(self, folder, method, params):
        entry = json.dumps({"of": method, "set": params})
        done = command(folder, "methods", "digits", "pixels", method, "12", "0", "--entry", entry)
        assert done.returncode == 0, done.stderr
        run = folder / f"results/runs/digits/pixels/{method}/12bit/seed0"
        return json.loads((run / "run.json").read_text())["repeats"], np.load(run / "codes.npz")[
            "codes"
        ]

    def test_on_a_cpu_bit_for_bit(self, project):
        (one, codes), (other, again) = (
            self.codes(project, "itq", {"iterations": 50}) for _ in range(2)
        )
        assert one == other == "bit for bit"
        assert np.array_equal(codes, again)

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_on_a_gpu_within_tolerance(self, project):
        labels = np.load(project / "cache/datasets/digits/labels.npy")
        split = np.load(project / "cache/datasets/digits/split.npz")
        found = []
        for _ in range(2):
            repeats, packed = self.codes(project, "bgan", {})
            codes = np.unpackbits(packed, axis=1, count=12).astype(bool)
            rows = split["query"], split["database"]
            found.append(
                score(
                    *(codes[part] for part in rows),
                    *(labels[part] for part in rows),
                    metrics=["map"],
                )["map"]
            )
        assert repeats == "within tolerance"
        assert found[0] == pytest.approx(found[1], abs=provenance.GPU_TOLERANCE)
