"""Fuzzing of every reader of user files: no input ends a process, hangs, or writes a file.

A worker process takes the readers one after the other. If an input ends it, the failure is
recorded and another worker continues, so that one finding does not hide the others.
BGAN_BENCH_FUZZ is the number of seconds for each reader, as in `make fuzz`, and
BGAN_BENCH_FUZZ_SEED the first seed.
"""

import json
import os
import subprocess
import sys

from fuzz_readers import READERS

from harness.plugins import ROOT

SECONDS = float(os.environ.get("BGAN_BENCH_FUZZ", "0.1"))
SEED = int(os.environ.get("BGAN_BENCH_FUZZ_SEED", "0"))
WORKERS = 6 if SECONDS > 1 else 1  # for each reader, at most


def work(folder, seed, readers):
    """Return the lines that a worker prints, and what ended it before it was done."""
    command = [sys.executable, "-m", "fuzz_readers", folder, str(seed), str(SECONDS)]
    modules = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    variables = {"PYTHONPATH": modules, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = os.environ | variables
    with open(folder / "counts.jsonl", "w+") as output:
        done = subprocess.run(
            [*command, *readers],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
        output.seek(0)
        lines = [json.loads(line) for line in output]
    return lines, f"exit {done.returncode}: {done.stderr[-3000:]}" if done.returncode else ""


def test_no_input_ends_a_reader(tmp_path):
    remaining, inputs, failures, seed = list(READERS), {}, [], SEED
    attempts = dict.fromkeys(READERS, 0)
    while remaining:
        lines, failure = work(tmp_path, seed, remaining)
        for line in lines:
            if "inputs" in line:
                inputs[line["reader"]] = inputs.get(line["reader"], 0) + line["inputs"]
                remaining.remove(line["reader"])
        if failure:
            reader = remaining[0]
            failures.append(f"{reader}, seed {seed}: {failure}")
            attempts[reader] += 1
            seed += 1_000_000  # another worker continues with other inputs
            if attempts[reader] == WORKERS:
                remaining.remove(reader)
    total = sum(inputs.values())
    print(f"{total:,} inputs of {len(inputs)} readers, {len(failures)} failures: {inputs}")
    assert not failures, "\n\n".join(failures)
    assert len(inputs) == len(READERS)
