"""Kill -9 at any moment, full disks, damaged files, a lost GPU: the next command finishes the rest, and nothing wrong is accepted."""

import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_workflow import Copy

JOBS = ("datasets", "features", "methods", "evaluation", "report")
KINDS = {"line": 4, "group": 3, "snakemake": 2, "job": 1}  # what is killed, and how often; after a job alone a partial report is drawn
VARYING = ("fit_seconds", "encode_seconds", "peak_memory_mib", "date")  # columns of runs.csv
CONFIG = """
methods: [chance, itq, bgan-brief]
bits: [8, 12]
seeds: SEEDS
controls: []
variants:
  methods:
    bgan-brief: {of: bgan, set: {epochs: 1, width: 0.03125}}
"""
# Python reads this at the start of every job. It counts the lines that the job passes of the files that write results, and kills the
# whole workflow, as a power cut would, before one of them.
SITE = """
import atexit, os, signal, sys

command, at, passed = sys.orig_argv, int(os.environ.get("FAULT_LINE", 0)), 0
job = command[command.index("-m") + 1] if "-m" in command else ""
files = ("storage.py", *(f"{job}/{name}.py" for name in ("__main__", "_training", "scoring", "collecting", "statistics")))
watched = {os.path.join(os.getcwd(), name) for name in files}


def line(frame, event, argument):
    global passed
    if event == "line":
        passed += 1
        if passed == at:
            os.killpg(0, signal.SIGKILL)
    return line


def count():
    with open(os.path.join(os.environ["FAULT_COUNTS"], f"{job}.{os.getpid()}"), "w") as file:
        file.write(str(passed))


if job in os.environ.get("FAULT_JOBS", "").split():
    sys.settrace(lambda frame, event, argument: line if frame.f_code.co_filename in watched else None)
    if not at:
        atexit.register(count)
"""


class Victim(Copy):
    """A copy of the project that is killed, up to `target`. Trainings keep their state five times a second instead of every minute."""

    def __init__(self, folder: Path, target: str, seeds: list[int]):
        super().__init__(folder)
        self.target = target
        self.write("faults.yaml", CONFIG.replace("SEEDS", str(seeds)))
        self.replace("methods/_training.py", "interval = 60.0", "interval = 0.2")
        (folder / "site").mkdir()
        self.write("site/sitecustomize.py", SITE)
        (folder / "counts").mkdir()
        self.groups = []

    def start(self, *arguments, jobs=(), line=0):
        """Snakemake in a process group of its own; `jobs` count their lines, or stop everything at one."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("BGAN_BENCH", "SNAKEMAKE"))}
        environment |= {"PYTHONPATH": str(self.folder / "site"), "FAULT_JOBS": " ".join(jobs), "FAULT_LINE": str(line)}
        environment |= {"FAULT_COUNTS": str(self.folder / "counts")}
        command = [sys.executable, "-m", "snakemake", "--cores", "2", self.target, *arguments, "--configfile", "faults.yaml"]
        with open(self.folder / "output.txt", "w") as output:  # no pipe: a job that is left behind would hold it open
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output, start_new_session=True)
        self.groups.append(process.pid)
        return process

    def finish(self, *arguments, **options):
        """Run to the end, and return what was said."""
        assert self.start(*arguments, **options).wait() == 0, (self.folder / "output.txt").read_text()
        return (self.folder / "output.txt").read_text()

    def lines(self):
        """How many lines the longest job of each kind passed."""
        found = {}
        for path in (self.folder / "counts").iterdir():
            job = path.name.partition(".")[0]
            found[job] = max(found.get(job, 0), int(path.read_text()))
        return found

    def pending(self):
        """The kinds of jobs that have not all ended, in their order."""
        ends = {"datasets": "cache/datasets/digits/dataset.json", "features": "cache/features/digits/pixels/neighbours.json"}
        ends |= {"methods": "results/runs/digits/pixels/bgan-brief/12bit/seed0/run.json", "evaluation": "results/experiment.json"}
        return [job for job in JOBS if not (self.folder / ends.get(job, "results/report/index.html")).is_file()]

    def wait_for_jobs_left_behind(self):
        deadline = time.monotonic() + 120
        while any(members(group) for group in self.groups):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def results(self):
        """Everything that is to be the same however often it was interrupted, without times, memory and dates."""
        kept = ("results/**/codes.npz", "results/**/histograms.npz", "results/**/metrics.csv", "results/*.csv", "cache/**/*.np[yz]")
        found = {path for pattern in kept for path in self.folder.glob(pattern) if "partial" not in path.parts}
        report = self.folder / "results/report"
        found |= {path for path in report.glob("*/*.*") if path.suffix in (".tex", ".svg") and not re.match("time|resources", path.name)}
        bytes_of = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}
        bytes_of["results/runs.csv"] = without_times(self.folder / "results/runs.csv")
        return bytes_of | {path.name: without_numbers(path.read_text()) for path in report.glob("index.html")}


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


def without_times(path):
    with open(path, newline="") as file:
        return [{key: value for key, value in row.items() if key not in VARYING} for row in csv.DictReader(file)]


def without_numbers(page):
    """The page's text. Its numbers are those of the tables, which are compared as files; figures and the harness are left out."""
    text = re.sub(r"<svg.*?</svg>|<[^>]*>[^<>]*the harness cost[^<]*", "", page, flags=re.DOTALL | re.IGNORECASE)
    return re.sub(r"[-+\d.e]+", "#", text)


def kill(victim, kind, generator, lines):
    """Start the workflow and kill some of it with SIGKILL at a random moment: whether it came to that before it was done."""
    if kind == "line":
        job = generator.choice([job for job in victim.pending() if job in lines][:2] or ["evaluation"])
        return victim.start("--nolock", jobs=[job], line=generator.randint(1, lines[job])).wait() == -signal.SIGKILL
    process = victim.start("--nolock")
    while process.poll() is None and not jobs_of(process.pid):
        time.sleep(0.02)
    time.sleep(generator.uniform(0, 2))
    if process.poll() is not None:
        return False
    if kind == "group":
        os.killpg(process.pid, signal.SIGKILL)
    elif kind == "snakemake":
        process.kill()
    else:
        running = jobs_of(process.pid)
        if running:
            os.kill(generator.choice(running), signal.SIGKILL)
    return process.wait() != 0


def jobs_of(group):
    return sorted(process for process, command in members(group) if any(f"-m\0{job}\0" in command for job in JOBS))


def kills(victim, seed, count, kinds, lines):
    """Up to `count` kills one after another, then the rest of the work. Returns how many there were."""
    generator, done = random.Random(seed), []
    for _ in range(count):
        (kind,) = generator.choices(list(kinds), kinds.values())
        if kill(victim, kind, generator, lines):
            done.append(kind)
    victim.wait_for_jobs_left_behind()
    victim.finish("--nolock")
    assert "Nothing to be done" in victim.finish("--nolock", "--dry-run")
    print(f"seed {seed}: {len(done)} kills, {', '.join(f'{done.count(kind)} {kind}' for kind in kinds)}", flush=True)
    return len(done)


def compare(victim, undisturbed, seed):
    found, expected = victim.results(), undisturbed.results()
    if victim.target == "collect":
        expected = {name: content for name, content in expected.items() if not re.match("index.html|results/report", name)}
    assert sorted(found) == sorted(expected), f"seed {seed}"
    assert not [name for name in found if found[name] != expected[name]], f"seed {seed}"
    left = [path for path in victim.folder.rglob("*.part*") if "partial" not in path.parts]
    assert not left, f"seed {seed}"


def test_ten_kills_and_the_results_are_the_same(tmp_path):
    undisturbed, victim = (Victim(tmp_path / name, "collect", seeds=[0]) for name in ("undisturbed", "victim"))
    undisturbed.finish(jobs=JOBS)
    process = victim.start()
    while process.poll() is None and not jobs_of(process.pid):
        time.sleep(0.02)
    second = victim.snakemake(config="faults.yaml")
    assert second.returncode != 0, "two workflows in one folder"
    assert "Directory cannot be locked" in second.stdout + second.stderr
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    second = victim.snakemake(config="faults.yaml")
    assert "It can be removed with the --unlock argument" in " ".join((second.stdout + second.stderr).split())
    victim.run("--unlock", config="faults.yaml")
    assert kills(victim, 1, 9, {"line": 2, "group": 2, "snakemake": 1}, undisturbed.lines()) == 9
    compare(victim, undisturbed, 1)


@pytest.mark.faults
def test_two_hundred_kills_and_the_results_are_the_same(request, tmp_path):
    """Chains of forty kills each, every fourth up to the report. FAULTS_SEED repeats a chain that failed."""
    if request.config.getoption("markexpr") != "faults":
        pytest.skip("200 kills take half an hour: make test-faults")
    undisturbed = Victim(tmp_path / "undisturbed", "all", seeds=[0, 1])
    undisturbed.finish(jobs=JOBS)
    first, total = int(os.environ.get("FAULTS_SEED", random.randrange(2**31))), 0
    for chain in range(100):
        victim = Victim(tmp_path / str(chain), "collect" if chain % 4 else "all", seeds=[0, 1])
        total += kills(victim, first + chain, min(40, 200 - total), KINDS, undisturbed.lines())
        compare(victim, undisturbed, first + chain)
        if total >= 200:
            break
    assert total == 200
