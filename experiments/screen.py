"""What a command prints on the screen: a header, one live line, failures, a closing summary.

Snakemake's own output is in its log. With `--verbose` it is on the screen too.
"""

from __future__ import annotations

import contextlib
import csv
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from experiments import durations, resources
from experiments.job_logs import Ending, ending, last_lines, memory_params
from experiments.resources import Needs
from harness.plan import Plan, Run
from harness.progress import duration

REFRESH = 0.5  # seconds between two states of the live line of a terminal
INTERVAL = 30.0  # seconds between two lines where the output is not a terminal
PRINTED_FAILURES = 10
KILL_SECONDS = 1.0  # between an interrupt and the end of jobs that ignore it
PRINTED_BEST = 3  # places whose best method the summary states

# Lines of Snakemake that describe its own work.
HIDDEN_MESSAGES = (
    *("Building DAG of jobs", "Using shell: ", "Group jobs: ", "Conda environments: "),
    *("Singularity containers: ", "Config file ", "Workflow has started", "Provided "),
    *("Exiting because a job execution failed", "WorkflowError:\nAt least one job did not"),
    *("Terminating processes on user request", "Shutting down, ", "Complete log", "Elapsed time"),
    *("Select jobs to execute", "Execute ", "Removing output files of failed job"),
    *("RuleException:\nCalledProcessError", "Assuming unrestricted shared filesystem"),
)
HIDDEN_EVENTS = ("job_info", "job_error", "group_info", "group_error", "shellcmd", "run_info")


class Screen(logging.Handler):
    """Prints what a command does, from the events that Snakemake logs.

    Parameters
    ----------
    plan : Plan
    logger : logging.Logger
        That of Snakemake.
    stream : text file, optional
        Where the lines are printed; default: the standard error.
    progress : bool
        Whether to print the live line.
    silent : bool
        Whether to print failures only.
    """

    def __init__(
        self,
        plan: Plan,
        logger: logging.Logger,
        stream: TextIO | None = None,
        *,
        progress: bool = True,
        silent: bool = False,
    ):
        super().__init__()
        self.progress, self.silent = progress and not silent, silent
        self.plan = plan
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.logger = logger
        self.interrupted = False
        self.finished: Counter[str] = Counter()  # jobs by rule
        self.failures: dict[str, tuple[str, Ending]] = {}  # log -> name and ending of its job
        self._jobs: Counter[str] = Counter()  # to do, by rule
        self._running: dict[int, tuple[str, dict, Path, float]] = {}
        self._durations = durations.Estimate(plan)
        self._parallel = 1
        self._started = time.monotonic()
        self._shown = ""  # the live line
        self._stopped = threading.Event()

    # ----------------------------------------------------------------- events

    def start(self, jobs: Iterable, parallel: int, machine: str, needs: Needs) -> None:
        """Print the header, and follow the jobs from now on.

        Parameters
        ----------
        jobs : iterable of Snakemake's jobs
            Those that run.
        parallel : int
            How many run at the same time, at most.
        machine : str
            What they run on.
        needs : Needs
            Disk and memory that they need.
        """
        jobs = [job for job in jobs if job.rule.name != "all"]
        self._jobs = Counter(job.rule.name for job in jobs)
        self._parallel = parallel
        self._started = time.monotonic()
        runs = [_run(job.wildcards) for job in jobs if job.rule.name == "encode"]
        timed = self.plan.timed_runs if self._jobs["timing"] else ()
        self._durations.expect(runs, timed)
        if not self.silent:
            self._print(*self._header(machine, needs))
        self.logger.addHandler(self)
        if self.progress:
            threading.Thread(target=self._refresh, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Handle one event of Snakemake."""
        event = event_name(record)
        if event == "job_info":
            log = Path(record.log[0]) if record.log else Path()
            wildcards = dict(record.wildcards or {})
            started = time.monotonic()
            self._running[record.jobid] = (record.rule_name, wildcards, log, started)
        elif event == "job_finished":
            self._finish(record.job_id)
        elif event == "job_error" and not self.interrupted:
            # Snakemake indents the error messages of jobs that ran in a group.
            self._fail(record.jobid, in_group=getattr(record, "indent", False))

    def _finish(self, jobid: int) -> None:
        if jobid not in self._running:
            return
        rule, wildcards, log, started = self._running.pop(jobid)
        self.finished[rule] += 1
        self.failures.pop(log.as_posix(), None)  # of an earlier attempt
        if rule == "encode":
            self._durations.measured(_run(wildcards), time.monotonic() - started)

    def _fail(self, jobid: int, in_group: bool) -> None:
        if jobid not in self._running:
            return

        rule, wildcards, log, _ = self._running.pop(jobid)
        params = ()
        if rule == "encode":
            params = memory_params(self.plan, wildcards["variant"])
            self._durations.drop(_run(wildcards))

        ended = ending(log, params) if log.is_file() else Ending("", "")
        if not ended.status:
            if in_group:  # the others of the group end with the one that failed
                return
            ended = Ending("failed", "the job ended without a message; see Snakemake's log")

        title = _title(rule, wildcards)
        known = {_cause(*failure) for failure in self.failures.values()}
        self.failures[log.as_posix()] = (title, ended)
        if len(self.failures) > PRINTED_FAILURES + 1:
            return

        message = f"{ended.message}{_log_note(log, ended)}"
        if _cause(title, ended) in known:
            message = "the same error"
        if len(self.failures) <= PRINTED_FAILURES:
            self._print(f"failed: {title}: {message}")
        else:
            self._print("more jobs failed: the summary at the end counts them")

    # -------------------------------------------------------------- interrupt

    def catch_interrupts(self) -> None:
        """End the jobs of this machine soon after Ctrl-C, and note that the command was stopped."""
        stop_running = signal.getsignal(signal.SIGTERM)  # Snakemake's: lets running jobs end

        def interrupt(number, frame):
            self.interrupted = True
            threading.Thread(target=_end_jobs, daemon=True).start()
            raise KeyboardInterrupt

        def terminate(number, frame):
            self.interrupted = True
            if callable(stop_running):
                stop_running(number, frame)

        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # in the background of a shell
            signal.signal(signal.SIGINT, interrupt)

        signal.signal(signal.SIGTERM, terminate)

    # ---------------------------------------------------------------- closing

    def succeed(self) -> None:
        """Print the outputs, their paths, and the next commands."""
        self._stop()
        if self.silent:
            return
        took = duration(time.monotonic() - self._started)
        if self.finished["partial"]:
            self._print(f"tables of finished runs: {self.plan.partial_root}/report/index.html")
            return
        if not self.finished["report"]:
            self._print(f"done: {_count(sum(self.finished.values()), 'job')}, in {took}")
            return

        self._print(f"done: {_count(len(self.plan.runs), 'run')}, in {took}")
        root = self.plan.root
        self._print(*best(self.plan))
        results = f" --results {root}" if self.plan.name else ""
        self._print(
            f"report: {root}/report/index.html",
            f"tables: {root}/report/tables/ (LaTeX, CSV)   figures: {root}/report/figures/",
            f"next: python -m experiments publish NAME map.tex{results}",
        )

    def fail(self, log: Iterable[str]) -> None:
        """Print what failed, and how to continue.

        Parameters
        ----------
        log : iterable of str
            Snakemake's log files.
        """
        self._stop()
        done = sum(self.finished.values())
        total = sum(self._jobs.values())
        failed = len(self.failures)
        self._print(f"{failed:,} of {total:,} jobs failed, {done:,} are done:")
        self._print(*self._grouped_failures())
        if not failed:
            self._print(f"  see {' '.join(log)}")

        self._print(f"next: correct the cause, then rerun {_command()}: finished results stay")

    def make_partial_tables(self, plan_file: Path) -> None:
        """Write the tables and the page of the runs that are done."""
        root = self.plan.partial_root
        commands = (
            ["experiments", "partial", "--plan", str(plan_file)],
            ["report", "--partial", "--results", str(root)],
        )
        for command in commands:
            done = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.DEVNULL)
            if done.returncode:
                return

        self._print(f"tables of finished runs: {root}/report/index.html")

    def stop_interrupted(self) -> None:
        """Print that the command was interrupted, and that the same command continues."""
        self._stop()
        done, total = self.finished["encode"], self._jobs["encode"]
        self._print(f"interrupted: {done:,} of {total:,} runs are done. To continue: {_command()}")

    def _grouped_failures(self) -> Iterator[str]:
        """Yield one line for each method and message."""
        groups = defaultdict(list)
        for log, (title, ended) in self.failures.items():
            groups[_cause(title, ended)].append(log)
        shown = list(groups.items())
        for (name, message), logs in shown[:PRINTED_FAILURES]:
            yield f"  {name}, {_count(len(logs), 'job')}: {message} (log: {logs[0]})"
        if len(shown) > PRINTED_FAILURES:
            yield f"  and {len(shown) - PRINTED_FAILURES:,} more: see the last lines of logs/"

    # ------------------------------------------------------------------ lines

    def _header(self, machine: str, needs: Needs) -> list[str]:
        name = f"experiment {self.plan.name}" if self.plan.name else "default experiment"
        runs, total = self._jobs["encode"], len(self.plan.runs)
        jobs = _count(sum(self._jobs.values()), "job")
        work = f"{runs:,} of {total:,} runs to do ({jobs}) on {machine}"
        expected, unknown = self._expected()
        if expected and unknown:
            expected += f" + {_count(unknown, 'run')} of unknown time"
        if not runs:
            expected = "no training"
        expected = expected or "the time is not known before the first runs"
        return [f"{name}: {work}", expected, resources.summary(needs, self._parallel)]

    def _expected(self) -> tuple[str, int]:
        """Return the time that the remaining jobs need, and the number of runs of unknown time.

        The time is empty if it is not known.
        """
        now = time.monotonic()
        running = {
            _run(wildcards): now - started
            for rule, wildcards, _, started in self._running.values()
            if rule == "encode"
        }
        seconds, unknown = self._durations.left(self._parallel, running)
        if not seconds:
            return "", unknown

        jobs = self._jobs - self.finished
        others = jobs.total() - jobs["encode"]
        seconds += durations.START_SECONDS * others / self._parallel
        return f"about {duration(seconds)}", unknown

    def status_line(self) -> str:
        """Return the live line: done, running with their rate, time left."""
        done, total = self.finished["encode"], self._jobs["encode"]
        parts = [f"{done:,}/{total:,} runs"]
        if not total or done == total:
            parts = [f"{sum(self.finished.values()):,}/{sum(self._jobs.values()):,} jobs"]

        if self.failures:
            parts.append(f"{len(self.failures):,} failed")

        expected, unknown = self._expected()
        if done < total and expected:
            parts.append(f"{expected} left" + (f" ({unknown:,} unknown)" if unknown else ""))

        running = list(self._running.values())
        if running:
            rule, wildcards, log, _ = min(running, key=lambda job: job[3])
            more = f" + {len(running) - 1} more" if len(running) > 1 else ""
            parts.append(f"running: {_title(rule, wildcards)}{more}{_rate(log)}")

        return ", ".join(parts)

    def _refresh(self) -> None:
        wait = REFRESH if self.terminal else INTERVAL
        while not self._stopped.wait(wait):
            with self.lock:
                if self.terminal:
                    self._draw(self.status_line())
                else:
                    self._write(self.status_line() + "\n")

    def _stop(self) -> None:
        self._stopped.set()
        with self.lock:
            self._draw("")
        self.logger.removeHandler(self)

    def erase(self) -> None:
        """Remove the live line, so that a message of Snakemake stands alone."""
        with self.lock:
            self._draw("")

    def _print(self, *lines: str) -> None:
        with self.lock:
            self._draw("")
            for line in lines:
                self._write(_printable(line) + "\n")

    def _draw(self, line: str) -> None:
        """Replace the live line of a terminal."""
        if not self.terminal or (not line and not self._shown):
            return
        width = shutil.get_terminal_size().columns - 3  # a terminal appends ^C
        self._shown = _printable(line)[:width]
        self._write(f"\r\x1b[K{self._shown}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal is closed, and the work continues
            self.stream.write(text)
            self.stream.flush()


class Filter(logging.Filter):
    """Hides from the screen what Snakemake reports of its own work.

    `screen` is set when the workflow starts. From then on only warnings and errors are shown.
    """

    screen: Screen | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is shown."""
        if event_name(record) in HIDDEN_EVENTS or str(record.msg).startswith(HIDDEN_MESSAGES):
            return False
        if self.screen is None:
            return event_name(record) not in ("workflow_started", "resources_info")
        if record.levelno <= logging.INFO:
            return False
        self.screen.erase()
        return True


def event_name(record: logging.LogRecord) -> str:
    """Return the name of the event that Snakemake gave to a record, or empty."""
    return str(getattr(getattr(record, "event", None), "value", "") or "")


def best(plan: Plan) -> list[str]:
    """Return a line for each of the first places: the method with the highest mAP."""
    path = plan.root / "metrics.csv"
    values = defaultdict(list)
    with contextlib.suppress(OSError, ValueError, KeyError), open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] == "map" and row["variant"] in plan.methods:
                key = (row["dataset"], row["features"], int(row["bits"]), row["variant"])
                values[key].append(float(row["value"]))

    lines = []
    for place in plan.places[:PRINTED_BEST]:
        scored = {
            key: sum(maps) / len(maps)
            for key, maps in values.items()
            if key[:2] == (place.dataset, place.features)
        }
        if scored:
            bits = max(key[2] for key in scored)
            longest = {key: value for key, value in scored.items() if key[2] == bits}
            first = max(longest, key=longest.get)
            label = plan.methods[first[3]].label
            where = f"{place.dataset}, {place.features}, {bits} bits"
            lines.append(f"highest mAP on {where}: {label}, {longest[first]:.3f}")

    return lines


def _run(wildcards) -> Run:
    values = dict(wildcards.items())
    return Run(
        values["dataset"],
        values["features"],
        values["variant"],
        int(values["bits"]),
        int(values["seed"]),
    )


def _title(rule: str, wildcards: dict) -> str:
    """Return `itq, 32 bits, seed 1` of a run; `score itq` of another job."""
    if rule == "encode":
        return f"{wildcards['variant']}, {wildcards['bits']} bits, seed {wildcards['seed']}"
    names = [wildcards[key] for key in ("dataset", "features", "variant") if key in wildcards]
    return " ".join([rule, *names[-1:]])


def _rate(log: Path) -> str:
    """Return the last progress line of a job, without its name and the values of its loss."""
    lines = []
    with contextlib.suppress(OSError):
        lines = last_lines(log)
    _, separator, progress = lines[-1].partition(": ") if lines else ("", "", "")
    progress = progress.strip().partition("  ")[0]
    return f" ({progress})" if separator and "/s" in progress else ""


def _cause(title: str, ended: Ending) -> tuple[str, str]:
    """Return the method of a job and its message, without the file of its traceback."""
    return title.partition(",")[0], ended.message.partition(" (traceback: ")[0]


def _log_note(log: Path, ended: Ending) -> str:
    return "" if "(traceback: " in ended.message else f" (log: {log})"


def _printable(line: str) -> str:
    """Return a line without control characters: a name or a message may contain them."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in line
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _command() -> str:
    return f"`{shlex.join(['snakemake', *sys.argv[1:]])}`"


def _end_jobs() -> None:
    """End all processes that this one started, in turn with SIGTERM and SIGKILL."""
    import psutil  # Snakemake depends on it

    processes = psutil.Process(os.getpid()).children(recursive=True)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()

    _, alive = psutil.wait_procs(processes, timeout=KILL_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
