"""What a command prints: header, live line, failures, closing summary; and after Ctrl-C."""

import contextlib
import logging
import os
import pty
import re
import select
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import PARITY, loaded, rows_of

from experiments import durations, job_logs
from experiments.resources import Needs
from experiments.screen import Screen
from harness.plan import Plan

LONG = "methods: [chance, bgan]\nbits: [8]\nseeds: [0, 1]\ncontrols: [exact-l2]\n"
COLUMNS = 80
RAISING = PARITY.replace("class Parity", "class Raising").replace(
    "return self\n", "raise ValueError('no luck')\n"
)


def printed(folder, *arguments, stop=None):
    """Run snakemake on a terminal; Ctrl-C at the first output that has `stop`.

    Returns the exit status, the output, and the seconds from Ctrl-C to the end.
    """
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.environ["COLUMNS"] = str(COLUMNS)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in the background of a shell
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        os.execv(sys.executable, command)
    output, stopped = b"", None
    with contextlib.suppress(OSError):  # the terminal is closed
        while True:
            if select.select([terminal], [], [], 0.1)[0]:
                output += os.read(terminal, 65536)
            if stop and stopped is None and stop in output:
                os.write(terminal, b"\x03")
                stopped = time.monotonic()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(terminal)
    return status, output.decode(), time.monotonic() - (stopped or 0)


def job_processes(folder):
    """Command lines of the processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def test_after_ctrl_c_the_prompt_returns_and_the_same_command_continues(copy):
    copy.write("long.yaml", LONG)
    status, output, seconds = printed(
        copy.folder, "--configfile", "long.yaml", stop=b"running: bgan"
    )
    assert status == 1
    assert job_processes(copy.folder) == []
    assert seconds < 30, "the trainings take longer"
    last = output.strip().splitlines()[-1]
    assert "interrupted: 0 of 2 runs are done" in last
    assert "snakemake --cores 2 --configfile long.yaml" in last
    assert "Traceback" not in output
    # Scoring would take minutes on a large data set.
    assert not (copy.folder / "results/experiments/long/partial").exists()

    copy.run("--nolock", "partial", config="long.yaml")
    rows = rows_of(copy.folder / "results/experiments/long/partial/runs.csv")
    assert {row["status"] for row in rows if row["variant"] == "chance"} == {"done"}
    assert "failed" not in {row["status"] for row in rows}


def test_a_terminal_has_one_live_line(copy):
    copy.write("more.yaml", "methods: [chance, itq]\nbits: [8, 12]\nseeds: [2]\ncontrols: []\n")
    status, output, _ = printed(copy.folder, "--configfile", "more.yaml")
    assert status == 0
    assert "\r\x1b[K" in output
    lines = [line.rpartition("\x1b[K")[2] for line in output.split("\r\n")]
    lines = [line for line in lines if line.strip()]
    assert len(lines) < 15, output
    states = re.findall(r"\x1b\[K(\d+/\d+ (?:runs|jobs)[^\r\n]*)", output)
    assert states
    assert max(map(len, states)) < COLUMNS
    text = "\n".join(lines)
    assert "experiment more: 4 of 4 runs to do" in text
    assert "results/experiments/more/report/index.html" in text
    assert re.search(r"highest mAP on digits, pixels, 12 bits: ITQ, 0\.\d", text)


def test_many_failures_are_a_short_list(copy):
    copy.write("methods/raising.py", RAISING)
    copy.replace("experiments/screen.py", "PRINTED_FAILURES = 10", "PRINTED_FAILURES = 2")
    copy.write("more.yaml", "methods: [raising]\nbits: [8, 9, 10]\nseeds: [0]\ncontrols: []\n")
    done = copy.snakemake(config="more.yaml")
    assert done.returncode == 1
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) < 20
    assert sum(line.startswith("failed: raising") for line in lines) == 2
    line = RAISING.splitlines().index("        raise ValueError('no luck')") + 1
    (summary,) = [text for text in lines if "raising, 3 jobs" in text]
    assert f"raised ValueError at methods/raising.py:{line}: no luck" in summary
    assert "Traceback" not in done.stderr
    assert "rule encode:" not in done.stderr
    (log,) = sorted((copy.folder / ".snakemake/log").glob("*.log"), key=os.path.getmtime)[-1:]
    assert "rule encode:" in log.read_text(), "Snakemake's own output is in its log"


def test_verbose_shows_what_snakemake_prints(copy):
    copy.write("more.yaml", "methods: [chance]\nbits: [9]\nseeds: [0]\ncontrols: []\n")
    target = "results/runs/digits/pixels/chance/9bit/seed0/codes.npz"
    assert "rule encode:" in copy.run("--verbose", target, config="more.yaml")


def test_quiet_commands_print_less(copy):
    """`--quiet` leaves out progress, `--quiet all` everything but failures."""
    copy.write("more.yaml", "methods: [chance]\nbits: [9, 10]\nseeds: [0]\ncontrols: []\n")
    target = "results/runs/digits/pixels/chance/{}bit/seed0/codes.npz"
    printed = copy.run(target.format(9), "--quiet", config="more.yaml")
    assert "done: 1 job" in printed
    printed = copy.run(target.format(10), "--quiet", "all", config="more.yaml")
    assert "to do" not in printed
    assert "done" not in printed


ENDINGS = {
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "killed (signal 9), probably out of memory"),
    "quiet": ("os._exit(7)", "exit status 7 and no message"),
    "leaving": ("raise SystemExit(3)", "raised SystemExit at methods/leaving.py:"),
    "stopped": ("os.kill(os.getpid(), signal.SIGTERM)", "interrupted (signal 15)"),
}


def test_jobs_that_end_in_other_ways_have_one_line_each(copy):
    for name, (body, _) in ENDINGS.items():
        text = PARITY.replace("class Parity", f"class {name.title()}")
        text = text.replace("return self\n", f"import os, signal\n        {body}\n")
        copy.write(f"methods/{name}.py", text)
    copy.write("ends.yaml", f"methods: {[*ENDINGS]}\nbits: [8]\nseeds: [0]\ncontrols: []\n")
    done = copy.snakemake(config="ends.yaml")
    assert done.returncode == 1
    rows = rows_of(copy.folder / "results/experiments/ends/partial/runs.csv")
    statuses = {row["variant"]: row["status"] for row in rows}
    assert statuses == dict.fromkeys(ENDINGS, "failed") | {"stopped": "interrupted"}
    for row in rows:
        message = ENDINGS[row["variant"]][1]
        assert message in row["message"]
        assert message in done.stderr


class TestEndings:
    @pytest.mark.parametrize(
        ("text", "status", "message"),
        [
            ("methods: no luck\n", "failed", "no luck"),
            ("methods: no luck\nexit status 1\n", "failed", "no luck"),
            ("a line\nexit status 2\n", "failed", "exit status 2 and no message"),
            ("exit status 139\n", "failed", "signal 11"),
            ("exit status 137\n", "failed", "lower batch"),
            ("bgan: 3/10\nexit status 143\n", "interrupted", "bgan: 3/10"),
            ("bgan: 3/10\n", "", "bgan: 3/10"),
            ("\n\n", "", ""),
            ("", "", ""),
        ],
    )
    def test_of_a_log(self, tmp_path, text, status, message):
        (tmp_path / "a.log").write_text(text)
        ended = job_logs.ending(tmp_path / "a.log", ["batch"])
        assert ended.status == status
        assert message in ended.message

    def test_of_a_long_log_with_bytes_that_are_no_text(self, tmp_path):
        (tmp_path / "a.log").write_bytes(b"\xff\n" * 100_000 + b"methods: caf\xe9\n")
        assert job_logs.ending(tmp_path / "a.log").status == "failed"


class TestEstimate:
    def test_the_mean_of_a_variant_counts_for_its_other_runs(self, monkeypatch):
        plan = Plan.load(loaded(methods=["itq", "lsh"], bits=[8, 16], seeds=[0, 1], controls=[]))
        monkeypatch.setattr(durations, "recorded_seconds", lambda plan: {})
        monkeypatch.setattr(durations, "published_seconds", dict)
        estimate = durations.Estimate(plan)
        estimate.expect(plan.runs)
        assert estimate.left(2) == (0, 8)
        estimate.measured(plan.runs[0], 10)
        assert plan.runs[0].variant == "itq"
        assert estimate.left(1) == (30, 4)
        assert estimate.left(2) == (15, 4)
        estimate.measured(plan.runs[-1], 2)
        assert estimate.left(100) == ((30 + 6) / 6, 0)
        assert estimate.left(1, {plan.runs[1]: 4, plan.runs[2]: 40}) == (36 - 4 - 10, 0)
        estimate.drop(plan.runs[1])
        assert estimate.left(1) == (26, 0)


class Output:
    """Collects what is printed."""

    def __init__(self, terminal):
        self.text, self.terminal = "", terminal

    def isatty(self):
        return self.terminal

    def write(self, text):
        self.text += text

    def flush(self):
        pass


class TestEvents:
    def test_a_silent_screen_prints_failures_only(self, screen):
        screen.silent = True
        screen.start([], 1, "1 core", Needs(0, (), 0, ""))
        screen.succeed()
        assert screen.stream.text == ""
        Path("a.log").write_text("methods: no luck\nexit status 1\n")
        self.emit(screen, "job_info")
        self.emit(screen, "job_error")
        assert "no luck" in screen.stream.text

    @pytest.fixture
    def screen(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        plan = Plan.load(loaded(methods=["itq"], bits=[8], seeds=[0], controls=[]))
        return Screen(plan, logging.getLogger("test"), Output(terminal=False))

    def emit(self, screen, event, **facts):
        """Send an event of the only run, as Snakemake does."""
        names = ("dataset", "features", "variant", "bits", "seed")
        values = ("digits", "pixels", "itq", "8", "0")
        job = {"jobid": 1, "job_id": 1, "rule_name": "encode", "log": ["a.log"]}
        job["wildcards"] = dict(zip(names, values, strict=True))
        screen.emit(SimpleNamespace(event=SimpleNamespace(value=event), **(job | facts)))

    def test_control_characters_of_a_message_do_not_reach_the_terminal(self, screen):
        Path("a.log").write_text("methods: \x1b[31mred\x07\nexit status 1\n")
        self.emit(screen, "job_info")
        self.emit(screen, "job_error")
        assert "failed: itq, 8 bits, seed 0: " in screen.stream.text
        assert not set(screen.stream.text) & {"\x1b", "\x07"}

    def test_a_later_attempt_that_ends_well_is_no_failure(self, screen):
        Path("a.log").write_text("methods: no luck\nexit status 1\n")
        self.emit(screen, "job_info")
        self.emit(screen, "job_error")
        assert len(screen.failures) == 1
        self.emit(screen, "job_info")
        self.emit(screen, "job_finished")
        assert screen.failures == {}
        assert screen.finished == {"encode": 1}

    def test_a_job_of_a_group_that_did_not_fail_itself_is_no_failure(self, screen):
        Path("a.log").write_text("itq: 3/50 iterations\n")
        self.emit(screen, "job_info")
        self.emit(screen, "job_error", indent=True)
        assert screen.failures == {}

    def test_the_rate_of_a_running_job_is_that_of_its_log(self, screen):
        Path("a.log").write_text("itq 8 bits: 3/50 iterations, 12.5/s, 4 s left  loss 0.1\n")
        self.emit(screen, "job_info")
        line = screen.status_line()
        assert "running: itq, 8 bits, seed 0 (3/50 iterations, 12.5/s, 4 s left)" in line

    def test_the_same_error_is_printed_once(self, screen):
        for log in ("a.log", "b.log"):
            Path(log).write_text("methods: no luck\nexit status 1\n")
            self.emit(screen, "job_info", log=[log])
            self.emit(screen, "job_error")
        assert screen.stream.text.splitlines() == [
            "failed: itq, 8 bits, seed 0: no luck (log: a.log)",
            "failed: itq, 8 bits, seed 0: the same error",
        ]
