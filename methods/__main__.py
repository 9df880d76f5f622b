"""`python -m methods`: train one method on the training images of one data set, and encode all images. Labels are no argument."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy: codes must not depend on how many cores are free

import argparse
import contextlib
import gc
import mmap
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from harness import gpus, provenance, records, sealing, storage
from harness.errors import BenchmarkError, one_line, raised_by
from harness.identity import sources
from harness.plan import Run
from harness.plugins import Component, checked_facts, imported_modules, load_class
from harness.user_data import CACHE, data_folder, user_file
from harness.variants import Variant, variant_of_text
from methods import _checks, _runtime


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m methods", description=__doc__)
    for name in ("dataset", "features", "variant"):
        parser.add_argument(name, help=f"name of the {name} in the results")
    parser.add_argument("bits", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument(
        "--settings",
        default=None,
        help='JSON {"of": plugin, "set": parameters}; default: the plugin VARIANT',
    )
    parser.add_argument(
        "--output",
        help="folder to write instead of the run's own; nothing is kept of a training that is killed",
    )
    parser.add_argument(
        "--traceback",
        default=None,
        help="where the traceback of a method that raises goes; default: the terminal",
    )
    arguments = parser.parse_args()
    gc.disable()  # importing torch, and leaving a process that did, would collect garbage for a second in every run
    try:
        run = Run(
            arguments.dataset, arguments.features, arguments.variant, arguments.bits, arguments.seed
        )
        variant = variant_of_text("methods", run.variant, arguments.settings)
        train_and_encode(run, variant, arguments.traceback, arguments.output, seal=True)
    except BenchmarkError as error:
        sys.exit(f"methods: {one_line(error)}")
    gc.freeze()


def train_and_encode(
    run: Run,
    variant: Variant,
    traceback_file: str | None,
    output: str | None = None,
    *,
    seal: bool = False,
) -> None:
    """Write codes.npz, extras.npz and run.json into the run's folder or `output`: all or none.

    A folder that cannot be written is found before the work. extras.npz is empty if the method has
    no extras. seal: make labels unreadable for this process, for good.
    """
    arrays = records.place_digests(run.place, *records.consumed_arrays(variant))
    made_of = records.of_run(run, variant, arrays, data_folder())
    checkpoint = None if output else CACHE / "checkpoints" / f"{records.digest_of(made_of)}.pt"
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(storage.new_folder(output or run.folder))
        # Before the job is sealed, since the locks of GPUs are then out of reach.
        leased = gpus.lease() if variant.uses_gpu else None
        writable = [path.parent for path in (folder, Path(traceback_file or folder))]
        sealed = seal and stack.enter_context(sealing.sealed_job(run, variant, writable))
        hasher, codes, coded, measured = learned(variant, run, checkpoint, traceback_file, sealed)
        np.savez(folder / run.codes.name, codes=codes, bits=np.int64(run.bits))
        np.savez(folder / run.extras.name, **getattr(hasher, "extras_", {}))
        facts = describe(hasher, codes[coded]) | measured
        facts |= checked_facts(variant.plugin, getattr(hasher, "facts_", {}), facts)
        codes_digest = storage.digest(folder / run.codes.name)
        records.write(
            folder / run.record.name, made_of, **facts, codes_sha256=codes_digest, sealed=sealed
        )
    if leased and str(getattr(hasher, "device_", "cpu")) == "cpu":
        print(
            f"GPU {leased} is there, but torch cannot use it: trained on the CPU",
            file=sys.stderr,
        )
    if checkpoint:
        checkpoint.unlink(missing_ok=True)


def learned(
    variant: Variant,
    run: Run,
    checkpoint: Path | None,
    traceback_file: str | None,
    sealed: bool,
) -> tuple:
    """Return the fitted method, and what `learn` returns.

    Raises BenchmarkError for whatever the method raises, and if all codes are the same.
    """
    part = variant.plugin
    file, memory_params = f"methods/{part.name}.py", part.member("memory_params")
    with raised_by(file, traceback_file, memory_params), sealing.explained(file, sealed):
        hasher = build(part, run, variant.params)
        records.check_sources("methods", part.name)
        gc.enable()
        hasher.checkpoint = checkpoint
        again = {"sources": records.source_digests("methods", part.name), "params": variant.params}
        repetition = _checks.Repetition(
            partial(build, part, run, variant.params),
            CACHE / "repeated" / records.digest_of(again),
        )
        codes, coded, measured = learn(hasher, part, run, repetition)
    if (codes[coded] == codes[coded][0]).all():
        raise BenchmarkError(
            f"methods/{part.name}.py collapsed: all {len(codes[coded]):,} items have the same code; see its settings"
        )
    return hasher, codes, coded, measured


def build(part: Component, run: Run, params: dict):
    """Return the method's object, with the run's seed where it takes one, and the global generators seeded."""
    method = load_class(part)
    seed = run.seed if "seed" in part.keywords else None
    return _runtime.build(method, run.bits, params, seed, torch=uses_torch(part))


def uses_torch(part: Component) -> bool:
    """Whether a method has imported torch, or a source of it does so later."""
    imported = {
        module.partition(".")[0]
        for path in sources("methods", part.name)
        for module in imported_modules(path)
    }
    return "torch" in imported | sys.modules.keys()


def learn(
    hasher, part: Component, run: Run, repetition: _checks.Repetition
) -> tuple[np.ndarray, slice | np.ndarray, dict]:
    """Fit on the training rows and encode every row: packed codes uint8 (n, ceil(bits / 8)), the rows that have one, what was measured.

    Codes from the user's files may leave out rows that are neither queries nor database, and do not tell the time that they took.
    Files are opened anew for every block of rows, since all pages touched through a mapping count as memory while it is open.
    """
    place, bits = run.place, run.bits
    arrays = {
        "images": (place.images, place.dataset_record),
        "features": (place.features_array, place.features_record),
        "neighbours": (place.neighbours_array, place.neighbours_record),
    }
    split = storage.unchanged(place.split, place.dataset_record)
    train = _runtime.training_rows(
        np.load(split, allow_pickle=False)["train"], part.member("sample"), run.seed
    )
    coded = slice(None)
    opened = {
        name: partial(_opened, storage.unchanged(*arrays[name]))
        for name in part.consumes
        if name != "codes"
    }
    if "codes" in part.consumes:
        from harness import (
            imported_codes as imported,
        )  # here, since other methods need no reader of archives

        named = [path for name in part.file_params if (path := getattr(hasher, name))]
        paths = [user_file(path, bits, run.seed, data_folder()) for path in named]
        places = [np.load(split, allow_pickle=False)[name] for name in ("query", "database")]
        given, coded = imported.of_images(paths, len(_opened(place.features_array)), *places, bits)
        opened["codes"] = lambda: given
    fitted_on = _runtime.training_arrays(hasher.fit, opened, train)
    started = time.perf_counter()
    hasher.fit(**fitted_on)
    fitted = time.perf_counter()
    codes, ones, encoding = encoded(
        hasher, {name: opened[name] for name in _runtime.arguments(hasher.encode)}, bits, part.name
    )
    seconds = (
        {"fit_seconds": fitted - started, "encode_seconds": encoding}
        if "codes" not in opened
        else {}
    )
    if "codes" not in opened:
        _checks.check_rows(hasher, opened, codes, bits, part.name)
        _checks.check_precision(hasher, opened, codes, bits, part.name)
        on_gpu = str(getattr(hasher, "device_", "cpu")) != "cpu"  # sums are in no fixed order there
        if fitted - started < _checks.QUICK_SECONDS and not on_gpu:
            _checks.check_repeats(repetition, fitted_on, opened, codes, bits, part.name)
    n = len(codes[coded])
    return (
        codes,
        coded,
        seconds
        | {"fitted_rows": len(train), "bit_balance": float(np.minimum(ones, n - ones).mean() / n)},
    )


def encoded(
    hasher, opened: dict[str, Callable[[], np.ndarray]], bits: int, name: str
) -> tuple[np.ndarray, np.ndarray, float]:
    """Packed codes uint8 (n, ceil(bits / 8)) of every row of the arrays that the method reads, how many have each bit on, (bits,), and
    the seconds that `encode` took; reading the files is in none of them."""
    ones, seconds = np.zeros(bits, np.int64), 0.0

    def encode(**rows: np.ndarray) -> np.ndarray:
        nonlocal ones, seconds
        for array in rows.values():
            _read_pages(array)

        started = time.perf_counter()
        block = hasher.encode(**rows)
        seconds += time.perf_counter() - started

        ones += checked(block, len(next(iter(rows.values()))), bits, name).sum(axis=0)
        return block

    codes = _runtime.encode(encode, opened, bits)
    return codes, ones, seconds


def _read_pages(rows: np.ndarray) -> None:
    """Read every page of rows in a mapped file: after a long training the system may have dropped them."""
    rows.reshape(-1).view(np.uint8)[:: mmap.PAGESIZE].max()


def _opened(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def checked(codes: np.ndarray, rows: int, bits: int, name: str) -> np.ndarray:
    """The codes, if they are bool (rows, bits); else BenchmarkError."""
    kind = f"{codes.dtype} {codes.shape}" if isinstance(codes, np.ndarray) else type(codes).__name__
    if kind != f"bool {(rows, bits)}":
        raise BenchmarkError(
            f"methods/{name}.py: encode returned {kind}, expected bool {(rows, bits)}, as `values >= 0` gives"
        )
    return codes


def describe(hasher, codes: np.ndarray) -> dict:
    """Return what a record states of a run besides what it is made of."""
    device = str(getattr(hasher, "device_", "cpu"))
    return {
        "device": provenance.device_name(device),
        "repeats": provenance.repeatability(device),
        "threads": 1,
        "items": len(codes),
        "distinct_codes": distinct(codes),
    }


def distinct(codes: np.ndarray) -> int:
    """How many packed codes (n, bytes) differ, by sorting them as words of 64 bits."""
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), np.uint8)
    padded[:, : codes.shape[1]] = codes
    words = padded.view(np.uint64).T  # (W, n)
    words = words[:, np.lexsort(words)]
    return 1 + int((words[:, 1:] != words[:, :-1]).any(axis=0).sum())


if __name__ == "__main__":
    main()
