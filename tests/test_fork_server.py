"""Jobs that a server forks: each behaves as the same command without a server."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from builders import loaded

from experiments import launching
from harness import fork_server
from harness.plan import Job, Plan
from harness.plugins import ROOT

MODULES = "wave,json"  # the first one is imported by nothing else here
ENDINGS = {
    "success": "print('done')",
    "status": "sys.exit(7)",
    "message": "sys.exit('methods: found 3 rows')",
    "exception": "raise ValueError('found 3 rows')",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "segmentation fault": "os.kill(os.getpid(), signal.SIGSEGV)",
    "interrupt": "raise KeyboardInterrupt",
    "exit without clean-up": "os._exit(4)",
    "registered": "import atexit; atexit.register(print, 'last')",
}
SERVER = """
import os, sys
from harness import fork_server

fork_server.start(sys.argv[1:])
print(os.environ[fork_server.VARIABLE], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Write a module, and return the command that runs it through a server, or without one."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")

    def command(body, *arguments, server=True):
        (tmp_path / "work.py").write_text(f"import json, os, signal, sys, time\n{body}\n")
        client = ["harness.fork_server", MODULES] if server else []
        return [sys.executable, "-m", *client, "work", *arguments]

    return command


@contextlib.contextmanager
def parent_of(modules, monkeypatch, folder=ROOT):
    """A process that has started a server in a folder, as Snakemake does."""
    command = [sys.executable, "-c", SERVER, modules]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **streams, text=True, cwd=folder) as parent:
        monkeypatch.setenv(fork_server.VARIABLE, parent.stdout.readline().strip())
        yield parent
        parent.kill()


@pytest.fixture
def server(job, monkeypatch):
    with parent_of(MODULES, monkeypatch) as parent:
        yield parent


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def last_line(text):
    return text.splitlines()[-1:]


def wait_until(condition):
    """Wait for a condition, without a limit."""
    while not condition():
        time.sleep(0.02)


def alive(process):
    """Return whether a process exists and has not ended."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


FORKED = "'wave' in sys.modules"  # in a job of the server, not in one of its own interpreter


def test_a_job_has_the_imports_of_the_server(job, server):
    assert run(job(f"print({FORKED})")).stdout == "True\n"
    assert run(job(f"print({FORKED})", server=False)).stdout == "False\n"


@pytest.mark.parametrize("body", ENDINGS.values(), ids=ENDINGS)
def test_a_job_ends_as_it_would_without_a_server(body, job, server):
    body = f"print({FORKED}, flush=True)\n{body}"
    forked, direct = run(job(body)), run(job(body, server=False))
    assert forked.returncode == direct.returncode
    assert forked.stdout == direct.stdout.replace("False", "True")
    assert last_line(forked.stderr) == last_line(direct.stderr)


def test_a_job_has_the_context_of_its_client(job, server, tmp_path):
    facts = "[sys.argv[1:], os.getcwd(), os.environ['MINE'], sys.stdin.read()]"
    body = f"print(json.dumps({facts}), len(os.listdir('/proc/self/task')), {FORKED})"
    environment = os.environ | {"MINE": "größer \udcff"}
    options = {"input": "typed", "cwd": tmp_path, "env": environment}
    expected = [["--entry", "{}"], str(tmp_path), "größer \udcff", "typed"]
    done = run(job(body, "--entry", "{}"), **options)
    assert done.stdout == f"{json.dumps(expected)} 1 True\n"


def test_jobs_run_at_the_same_time(job, server, tmp_path):
    wait = "while not os.path.exists(sys.argv[2]): time.sleep(0.01)"
    body = f"assert {FORKED}\nopen(sys.argv[1], 'w').close()\n{wait}"
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    with subprocess.Popen(job(body, first, second)) as waiting:
        assert run(job(body, second, first)).returncode == 0
        assert waiting.wait() == 0


LONG = f"""
assert {FORKED}
import subprocess
child = subprocess.Popen(["sleep", "600"])
with open(sys.argv[1] + ".part", "w") as file:
    print(os.getpid(), child.pid, file=file)
os.rename(sys.argv[1] + ".part", sys.argv[1])
child.wait()
"""


def started(command, path):
    """Start a long job, and return its client and the processes of the job."""
    client = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_until(path.exists)
    return client, [int(number) for number in path.read_text().split()]


def test_a_job_ends_with_its_client(job, server, tmp_path):
    client, processes = started(job(LONG, str(tmp_path / "started")), tmp_path / "started")
    with client:
        client.kill()
        wait_until(lambda: not any(map(alive, processes)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_client_reaches_the_job(number, job, server, tmp_path):
    client, processes = started(job(LONG, str(tmp_path / "started")), tmp_path / "started")
    with client:
        client.send_signal(number)
        error = client.communicate()[1]
        assert client.returncode == -number
        assert last_line(error) == ["KeyboardInterrupt"] * (number == signal.SIGINT)
        wait_until(lambda: not any(map(alive, processes)))


def test_a_job_ends_with_a_server_that_is_killed(job, server, tmp_path):
    client, processes = started(job(LONG, str(tmp_path / "started")), tmp_path / "started")
    with client:
        kill_server(server)
        wait_until(lambda: not alive(processes[0]))
        os.kill(processes[1], signal.SIGKILL)  # the child of a job may outlive it
        error = client.communicate()[1]
        assert client.returncode == 1
        assert "Rerun the command" in error


def kill_server(parent):
    shutil.rmtree(os.environ[fork_server.VARIABLE])  # which it cannot do itself
    children = run(["pgrep", "-P", str(parent.pid)]).stdout.split()
    os.kill(int(children[0]), signal.SIGKILL)


@pytest.mark.parametrize("stale", [False, True], ids=["none", "killed"])
def test_a_job_needs_no_server(stale, job, server, monkeypatch):
    if stale:
        kill_server(server)
    else:
        monkeypatch.delenv(fork_server.VARIABLE)
    assert run(job(f"print({FORKED})")).stdout == "False\n"


def test_a_server_ends_with_its_parent_and_its_jobs(job, server, tmp_path):
    folder = os.environ[fork_server.VARIABLE]
    children = run(["pgrep", "-P", str(server.pid)]).stdout.split()
    body = f"open('{tmp_path}/started', 'w').close()\nsys.stdin.read()\nprint({FORKED})"
    with subprocess.Popen(
        job(body), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        wait_until((tmp_path / "started").exists)
        server.kill()
        wait_until(lambda: not os.path.exists(folder))
        assert alive(children[0])
        assert client.communicate("go on")[0] == "True\n"
    wait_until(lambda: not alive(children[0]))


def test_a_sealed_job_gets_no_other_one(job, server):
    def confine():
        ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, as harness/sealing.py does

    assert run(job(f"print({FORKED})"), preexec_fn=confine).stdout == "False\n"


TRAINING = """
import runpy, sys
print("torch" in sys.modules, flush=True)
runpy.run_module("methods", run_name="__main__", alter_sys=True)
"""


def test_training_has_the_same_codes_and_is_sealed(finished, tmp_path, monkeypatch):
    (tmp_path / "work.py").write_text(TRAINING)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{finished}")
    modules = launching.slow_modules("greedyhash")
    assert modules == "torch,torch._dynamo"

    entry = '{"of": "greedyhash", "set": {"epochs": 1}}'
    arguments = ["work", "digits", "pixels", "greedyhash", "8", "0", "--entry", entry]
    records = []
    with parent_of(modules, monkeypatch, finished):
        for client in ([], ["harness.fork_server", modules]):
            output = tmp_path / f"run{len(records)}"
            job = [sys.executable, "-m", *client, *arguments, "--output", str(output)]
            done = run(job, check=True, cwd=finished)
            assert done.stdout.startswith(f"{bool(client)}\n")
            records.append(json.loads((output / "run.json").read_text()))

    direct, forked = records
    for key in ("made_of", "codes_sha256", "sealed", "versions", "threads", "dirty"):
        assert forked[key] == direct[key], key


def planned(*methods):
    return Plan.load(loaded(methods=list(methods), seeds=[0, 1, 2], bits=[32]))


def test_methods_with_slow_imports_have_a_server(monkeypatch):
    started = []
    monkeypatch.delenv(fork_server.VARIABLE, raising=False)
    monkeypatch.setattr(fork_server, "available", lambda: True)
    monkeypatch.setattr(fork_server, "start", started.extend)
    plan = planned("lsh", "agh", "bgan", "bihalf")
    assert launching.command(plan, "lsh") == "methods"
    assert launching.command(plan, "agh") == "harness.fork_server sklearn.cluster methods"
    assert launching.command(plan, "bgan") == "harness.fork_server torch,torch._dynamo methods"

    jobs = [
        Job("encode", ("digits", "pixels", name, 32, seed))
        for name, seed in (
            *(("lsh", seed) for seed in range(3)),
            ("agh", 0),
            *(("bgan", seed) for seed in range(2)),
            ("bihalf", 0),
        )
    ]
    launching.start_servers(plan, jobs)
    assert started == ["torch,torch._dynamo"]
    monkeypatch.setenv(fork_server.VARIABLE, "")
    launching.start_servers(plan, jobs)
    assert started == ["torch,torch._dynamo"]


def test_a_job_on_a_gpu_has_no_server(monkeypatch):
    monkeypatch.setattr(launching.provenance, "gpu_present", lambda: True)
    assert launching.command(planned("bgan"), "bgan") == "methods"
