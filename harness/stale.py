"""Whether each result is current: the inputs in its record, compared with the present ones.

The comparison decides what a command recomputes. Times of files do not: sources may be newer or
older than results, and `.snakemake/` may be lost. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import identity, records, schemas, storage
from harness.errors import BenchmarkError, one_line
from harness.plan import Job, Place, Plan, Run
from harness.user_data import CACHE, data_folder, file_digest, save_digests
from harness.variants import CONTROLS, STAGES

MISSING = "is missing"
FORCED = "is rerun by an option of the command"
DATA_RULES = ("dataset", "features", "neighbours", "views")  # what runs read
STAMP = CACHE / "stamp"
STAMP_DELAY = 10_000_000  # nanoseconds, more than the resolution of times of files
DIGEST_KEYS = {  # of records: the keys that state digests of outputs, by rule
    "dataset": ("sha256", "split_sha256"),
    "encode": ("codes_sha256",),
    **dict.fromkeys(
        ("features", "neighbours", "views", "score", "collect", "timing", "report"), ("sha256",)
    ),
}


class State:
    """The present state of every result of a plan, computed on demand and only once.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.data = data_folder(plan.data)
        self._forced: Callable[[Job], bool] = lambda job: False
        self._problems: dict[Job, str] = {}
        self._derived: set[Job] = set()  # out of date because of an input alone
        self._digests: dict[tuple, dict[str, str]] = {}
        self._files: dict[Path, tuple[dict, str]] = {}  # records, with the digest of their bytes

    def problem(self, job: Job) -> str:
        """Return why the outputs of a job are not current; empty if they are.

        Raises
        ------
        BenchmarkError
            For a record of another format, and for an array of the cache that was damaged.
        """
        if job not in self._problems:
            self._problems[job] = self._problem(job)
        return self._problems[job]

    def check(self) -> None:
        """Compare every result of the plan.

        Raises
        ------
        BenchmarkError
            As `problem`, and for a source that cannot be parsed.
        """
        for stage in STAGES:
            for variant in getattr(self.plan, stage).values():
                records.source_digests(stage, variant.plugin.name)
        for job in self.plan.jobs():
            self.problem(job)
        save_digests()
        identity.save_digests()

    def force(self, forced: Callable[[Job], bool]) -> None:
        """Take jobs with current outputs as out of date, and with them all that depend on them.

        Parameters
        ----------
        forced : callable
            Whether an option of the command reruns a job.
        """
        self._forced = forced
        self._problems.clear()
        self._derived.clear()

    def reasons(self) -> list[str]:
        """Return why existing results are recomputed, a line per reason, frequent ones first."""
        counts = Counter((job.rule, problem) for job, problem in self._changed_jobs())
        return [
            f"{count:,} {rule} {'job' if count == 1 else 'jobs'} ({problem})"
            for (rule, problem), count in counts.most_common()
        ]

    def advice(self) -> str:
        """Return how finished runs need not be repeated; empty if there are no such runs.

        A run depends on the content of its data, which is known once the data are recomputed. It
        may stay the same, for example if a parameter was added to a data set.
        """
        data = [job for job, _ in self._changed_jobs() if job.rule in DATA_RULES]
        finished = [
            job for job in self._derived if job.rule == "encode" and self.plan.record(job).is_file()
        ]
        if not data or not finished:
            return ""

        targets = [str(self.plan.record(job)) for job in data]
        command = shlex.join(["snakemake", *targets, *sys.argv[1:]])
        return (
            f"{len(finished):,} finished runs depend on this. If the data stay the same, none has "
            f"to be repeated: stop, and first run `{command}`"
        )

    def _changed_jobs(self) -> Iterator[tuple[Job, str]]:
        """Yield the jobs with existing results that something of their own makes out of date."""
        for job, problem in self._problems.items():
            if problem and problem not in (MISSING, FORCED) and job not in self._derived:
                yield job, problem

    def write_stamp(self) -> None:
        """Write the file that makes Snakemake rerun what is out of date. Times of files do not.

        A job that is out of date has it as an input that is newer than its record, with another
        content for every command. Its time is not the present: another command may be writing
        outputs at this moment.

        Raises
        ------
        BenchmarkError
            If the file cannot be written.
        """
        written = [0]
        for job, problem in self._problems.items():
            if problem:
                with contextlib.suppress(FileNotFoundError):
                    written.append(self.plan.record(job).stat().st_mtime_ns)
        with storage.new_file(STAMP) as temporary:
            temporary.write_text(f"{os.getpid()} {os.urandom(8).hex()}\n")
            os.utime(temporary, ns=(max(written) + STAMP_DELAY,) * 2)

    def settle_times(self) -> None:
        """Set the times of results that lie in the future to now.

        Snakemake fails a job, and deletes its outputs, if they are older than one of its inputs.
        """
        now = time.time()
        for job in self.plan.jobs():
            for path in self.plan.outputs(job):
                with contextlib.suppress(OSError):  # missing, or not writable
                    if path.stat().st_mtime > now:
                        os.utime(path, (now, now))

    def record(self, path: Path) -> dict:
        """Return a record. Raise BenchmarkError as `records.read`."""
        return self._read(path)[0]

    def made_of(self, job: Job) -> dict:
        """Return what the outputs of a job would be made of now. Its inputs must be current."""
        return getattr(self, f"_made_of_{job.rule}")(*job.key)

    # ------------------------------------------------------------- comparison

    def _problem(self, job: Job) -> str:
        producers = dict.fromkeys(file.producer for file in self.plan.inputs(job) if file.decides)
        for producer in producers:
            if problem := self.problem(producer):
                self._derived.add(job)
                return f"{self.plan.record(producer)}: {problem}"

        outputs = self.plan.outputs(job)
        if not all(path.exists() for path in outputs):
            return MISSING
        if self._forced(job):
            return FORCED

        path = outputs[-1]
        try:
            record = self.record(path)
        except records.FormatError:
            raise
        except BenchmarkError as error:
            return str(error)

        recorded = record.get("made_of")
        if not isinstance(recorded, dict):
            return f"{path} does not state what it is made of"
        if not set(DIGEST_KEYS.get(job.rule, ())) <= record.keys():
            return f"{path} does not state the digests of its files"

        expected = self.made_of(job)
        _ignore_unknown_files(recorded, expected)
        return identity.difference(recorded, expected) or self._changed(job, outputs)

    def _changed(self, job: Job, outputs: list[Path]) -> str:
        """Return which output is not the file that the record describes. Only newer ones are read.

        A file that was replaced by one with an older time is newer by the time of its last change,
        which no program can set.
        """
        record = outputs[-1]
        digests = _recorded_digests(self.record(record))
        written = record.stat()
        paths = {path: digests.get(path.name) for path in outputs}
        if job.rule == "report":  # its folders of tables and figures
            paths = {record.parent / name: digest for name, digest in digests.items()}

        for path, expected in paths.items():
            if not path.exists():
                return f"{path} {MISSING}"
            if expected is None or _is_older(path.stat(), written):
                continue
            if file_digest(path) == expected:
                continue
            if job.rule in ("dataset", *records.ARRAYS):
                os.utime(path)  # so that it is newer than its record
                storage.unchanged(path, record)  # raises: recomputing would discard every run
            return f"{path} is not the file that {record.name} describes"

        return ""

    def _read(self, path: Path) -> tuple[dict, str]:
        if path not in self._files:
            try:
                content = path.read_bytes()
                record = json.loads(content)
            except (OSError, ValueError, RecursionError) as error:
                raise BenchmarkError(
                    f"{path} cannot be read ({one_line(error)}): delete it and rerun the command"
                ) from None
            if not isinstance(record, dict):
                raise BenchmarkError(
                    f"{path} is not a JSON object: delete it and rerun the command"
                )
            records.checked_format(record, path)
            self._files[path] = record, hashlib.sha256(content).hexdigest()

        return self._files[path]

    # ------------------------------------------ `made_of` of the record that each job would write

    def _place_digests(self, place: Place, *arrays: str) -> dict[str, str]:
        if (place, arrays) not in self._digests:
            self._digests[place, arrays] = records.place_digests(place, *arrays)
        return self._digests[place, arrays]

    def _made_of_dataset(self, dataset: str) -> dict:
        return records.of_dataset(self.plan.datasets[dataset], self.data)

    def _made_of_features(self, dataset: str, features: str) -> dict:
        digests = self._place_digests(Place(dataset, features))
        return records.of_features(self.plan.features[features], digests, self.data)

    def _made_of_neighbours(self, dataset: str, features: str) -> dict:
        digests = self._place_digests(Place(dataset, features), "features")
        return records.of_neighbours(self.plan.features[features].neighbours, digests)

    def _made_of_views(self, dataset: str, features: str) -> dict:
        digests = self._place_digests(Place(dataset, features))
        return records.of_views(self.plan.features[features], digests, self.data)

    def _made_of_encode(
        self, dataset: str, features: str, variant: str, bits: int, seed: int
    ) -> dict:
        run, method = Run(dataset, features, variant, bits, seed), self.plan.methods[variant]
        digests = self._place_digests(run.place, *records.consumed_arrays(method))
        return records.of_run(run, method, digests, self.data)

    def _made_of_score(self, dataset: str, features: str, variant: str) -> dict:
        score = self.plan.score(Place(dataset, features), variant)
        runs = {
            schemas.run_part(run.bits, run.seed): self.record(run.record)
            for run in self.plan.runs_of(score)
        }
        codes = {part: record["codes_sha256"] for part, record in runs.items()}
        plugin = self.plan.datasets[dataset].plugin.name
        digests = self._place_digests(score.place, "features")
        if variant not in CONTROLS:
            optional = records.of_rankings(self.plan.rankings, runs)
        else:
            optional = {"bits": [bits for bits, _ in self.plan.scored(score) if bits]}
        return records.of_scores(codes, plugin, digests, optional)

    def _made_of_collect(self) -> dict:
        read = [
            file.path for file in self.plan.inputs(Job("collect")) if file.path.suffix == ".json"
        ]
        return records.of_tables(self.plan, {path.as_posix(): self._read(path)[1] for path in read})

    def _made_of_timing(self) -> dict:
        runs = {
            run.name: records.digest_of(self.record(run.record)["made_of"])
            for run in self.plan.timed_runs
        }
        return records.of_timing(self.plan, runs)

    def _made_of_report(self) -> dict:
        paths = [self.plan.record(Job(rule)) for rule in ("collect", "timing")]
        read = paths if self.plan.timed else paths[:1]
        return records.of_report({path.name: self._read(path)[1] for path in read})


def _is_older(status: os.stat_result, written: os.stat_result) -> bool:
    """Return whether a file was neither modified nor replaced after its record was written."""
    modified = status.st_mtime_ns > written.st_mtime_ns
    return not modified and status.st_ctime_ns <= written.st_ctime_ns


def _ignore_unknown_files(recorded: dict, expected: dict) -> None:
    """Compare only user files that exist both then and now: of a missing one nothing is known."""
    if "files" in expected and isinstance(recorded.get("files"), dict):
        present = expected["files"]
        expected["files"] = {
            path: present.get(path, then) for path, then in recorded["files"].items()
        }


def _recorded_digests(record: dict) -> dict[str, str]:
    """Return {file name: SHA-256} of the outputs that a record describes."""
    digests = record.get("sha256", {})
    if isinstance(digests, str):
        digests = {f"{name}.npy": digests for name in records.ARRAYS}
    return digests | {"codes.npz": record["codes_sha256"]} if "codes_sha256" in record else digests
