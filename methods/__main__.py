"""`python -m methods`: train one method on one data set, without labels, and encode all images."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy: codes must not depend on how many cores are free

import argparse
import contextlib
import gc
import importlib
import mmap
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from harness import gpus, provenance, records, schemas, sealing, storage
from harness.errors import BenchmarkError, one_line, raised_by
from harness.identity import sources
from harness.plan import Run
from harness.plugins import Plugin, checked_facts, imported_modules, load_class
from harness.user_data import CACHE, data_folder, user_file
from harness.variants import Variant, variant_of_text
from methods import _checks, _pool, _runtime


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m methods", description=__doc__)
    for name in ("dataset", "features", "variant"):
        parser.add_argument(name, help=f"name of the {name} in the results")

    parser.add_argument("bits", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument(
        "--entry",
        default=None,
        help='JSON {"of": plugin, "set": parameters}; default: the plugin VARIANT',
    )
    parser.add_argument(
        "--output",
        help="folder to write instead of the run's own; a killed training stores nothing there",
    )
    parser.add_argument(
        "--traceback",
        default=None,
        help="where the traceback of a method that raises goes; default: the terminal",
    )
    arguments = parser.parse_args()
    gc.disable()  # collecting garbage while torch is imported costs a second in every run
    try:
        run = Run(
            arguments.dataset, arguments.features, arguments.variant, arguments.bits, arguments.seed
        )
        variant = variant_of_text("methods", run.variant, arguments.entry)
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

    A folder that cannot be written is found before the work. extras.npz has the extras of the
    method and its real-valued queries, if there are any. seal: make labels unreadable for this
    process, for good.
    """
    arrays = records.place_digests(run.place, *records.consumed_arrays(variant))
    made_of = records.of_run(run, variant, arrays, data_folder())
    checkpoint = None if output else CACHE / "checkpoints" / f"{records.digest_of(made_of)}.pt"
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(storage.new_folder(output or run.folder))
        # Before the job is sealed, since the locks of GPUs are then out of reach.
        leased = gpus.lease() if variant.uses_gpu else None
        if leased:
            from harness import determinism  # imports torch

            determinism.use_deterministic_algorithms()
        writable = [path.parent for path in (folder, Path(traceback_file or folder))]
        sealed = seal and stack.enter_context(sealing.sealed_job(run, variant, writable))
        hasher, outputs = learned(variant, run, checkpoint, traceback_file, sealed)
        codes, coded, measured = outputs.codes, outputs.coded, outputs.measured
        np.savez(folder / run.codes.name, codes=codes, bits=np.int64(run.bits))
        np.savez(folder / run.extras.name, **outputs.extras)
        facts = describe(hasher, codes[coded]) | measured | variant.uses
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
) -> tuple[object, Outputs]:
    """Return the fitted method, and what `learn` returns.

    Raises BenchmarkError for whatever the method raises, and if all codes are the same.
    """
    plugin = variant.plugin
    file, memory_params = f"methods/{plugin.name}.py", plugin.member("memory_params")
    with raised_by(file, traceback_file, memory_params), sealing.explained(file, sealed):
        hasher = build(plugin, run, variant.params)
        records.check_sources("methods", plugin.name)
        gc.enable()
        hasher.checkpoint = checkpoint
        sources_of_method = records.source_digests("methods", plugin.name)
        key = records.digest_of({"sources": sources_of_method, "params": variant.params})
        rebuild = partial(build, plugin, run, variant.params)
        repetition = _checks.Repetition(rebuild, CACHE / "repeated" / key)
        outputs = learn(hasher, variant, run, repetition)

    codes = outputs.codes[outputs.coded]
    if (codes == codes[0]).all():
        raise BenchmarkError(
            f"methods/{plugin.name}.py collapsed: all {len(codes):,} items have the same code. "
            "Change its parameters"
        )

    return hasher, outputs


def build(plugin: Plugin, run: Run, params: dict):
    """Return the method's object, built with the run's seed if it takes one.

    The global random generators are seeded too.
    """
    method = load_class(plugin)
    seed = run.seed if "seed" in plugin.defaults else None
    torch = uses_torch(plugin)
    if torch:  # else the first optimiser imports it, and `fit` would be a second slower
        importlib.import_module("torch._dynamo")
    return _runtime.build(method, run.bits, params, seed, torch=torch)


def uses_torch(plugin: Plugin) -> bool:
    """Return True if torch is imported already, or a source file of the method can import it."""
    imported = {
        module.partition(".")[0]
        for path in sources("methods", plugin.name)
        for module in imported_modules(path)
    }
    return "torch" in imported | sys.modules.keys()


@dataclass(frozen=True)
class Outputs:
    """What a fitted method gives.

    Attributes
    ----------
    codes : ndarray of uint8, shape (n, ceil(bits / 8))
        Packed.
    coded : slice or ndarray
        The rows that have a code.
    extras : dict of str to ndarray
        The arrays of extras.npz.
    measured : dict
        Facts for the record of the run.
    """

    codes: np.ndarray
    coded: slice | np.ndarray
    extras: dict[str, np.ndarray]
    measured: dict


def learn(hasher, variant: Variant, run: Run, repetition: _checks.Repetition) -> Outputs:
    """Fit on the training rows and encode every row.

    Imported codes may omit rows that are neither queries nor database, and have no times.
    Files are opened again for every block of rows: all pages that were read through a memory map
    count as memory while it is open.
    """
    place, bits, plugin = run.place, run.bits, variant.plugin
    arrays = {
        "images": (place.images, place.dataset_record),
        "features": (place.features_array, place.features_record),
        "neighbours": (place.neighbours_array, place.neighbours_record),
        "views": (place.views_array, place.views_record),
    }
    split = storage.unchanged(place.split, place.dataset_record)
    with np.load(split, allow_pickle=False) as indices:
        query, database, train = (indices[name] for name in ("query", "database", "train"))

    coded = slice(None)
    opened = {}
    for name in variant.consumes:
        if name != "codes":
            opened[name] = partial(_opened, storage.unchanged(*arrays[name]))

    if "codes" in plugin.consumes:
        from harness import imported_codes  # here: other methods need no readers of archives

        file_names = [path for name in plugin.file_params if (path := getattr(hasher, name))]
        paths = [user_file(path, bits, run.seed, data_folder()) for path in file_names]
        n = len(_opened(place.features_array))
        imported, coded = imported_codes.of_images(paths, n, query, database, bits)
        opened["codes"] = lambda: imported

    fitted_on = training_arrays(hasher, variant, run, opened, train)
    started = time.perf_counter()
    hasher.fit(**fitted_on)
    fit_seconds = time.perf_counter() - started

    encoder_inputs = {name: opened[name] for name in _runtime.arguments(hasher.encode)}
    codes, ones, encode_seconds = encoded(hasher, encoder_inputs, bits, plugin.name)

    measured = {}
    if "codes" not in opened:
        measured = {"fit_seconds": fit_seconds, "encode_seconds": encode_seconds}
        _checks.check_rows(hasher, opened, codes, bits, plugin.name)
        _checks.check_precision(hasher, opened, codes, bits, plugin.name)
        # On a GPU, sums have no fixed order.
        on_gpu = str(getattr(hasher, "device_", "cpu")) != "cpu"
        if fit_seconds < _checks.QUICK_SECONDS and not on_gpu:
            _checks.check_repeats(repetition, fitted_on, opened, codes, bits, plugin.name)

    n = len(codes[coded])
    rows = _runtime.training_rows(train, plugin.member("sample"), run.seed)
    measured["fitted_rows"] = len(fitted_on["features"] if variant.fitted_on else rows)
    measured["bit_balance"] = float(np.minimum(ones, n - ones).mean() / n)

    extras = dict(getattr(hasher, "extras_", {}))
    if hasattr(hasher, "project"):
        values = query_values(hasher, opened, codes, query, bits, plugin.name)
        _check_extras(extras, plugin.name)
        extras[schemas.QUERY_VALUES] = values
        measured["query_values_sha256"] = storage.bytes_digest(values.tobytes())

    return Outputs(codes, coded, extras, measured)


def query_values(
    hasher, opened: _runtime.Opened, codes: np.ndarray, query: np.ndarray, bits: int, name: str
) -> np.ndarray:
    """Return the real values of the queries before the threshold, float32 (Q, bits).

    Parameters
    ----------
    hasher : Hasher
        Fitted, with `project`.
    opened : dict
        Opens each array that the method reads.
    codes : ndarray of uint8, shape (n, ceil(bits / 8))
        Packed codes of all rows.
    query : ndarray of int64, shape (Q,)
        Indices of the queries.
    bits : int
    name : str
        File of the method, without ``.py``.
    """
    blocks = []
    for start in range(0, len(query), _runtime.BLOCK):
        rows = query[start : start + _runtime.BLOCK]
        arrays = {
            argument: _runtime.read_only(_runtime.rows_of(opened[argument], rows))
            for argument in _runtime.arguments(hasher.project)
        }
        values = hasher.project(**arrays)
        _checks.check_query_values(values, codes[rows], bits, name)
        blocks.append(values.astype(np.float32))

    return np.concatenate(blocks)


def _check_extras(extras: dict[str, np.ndarray], name: str) -> None:
    """Raise BenchmarkError if a method has an array with the name of the real-valued queries."""
    if schemas.QUERY_VALUES in extras:
        raise BenchmarkError(
            f"methods/{name}.py: extras_ holds {schemas.QUERY_VALUES!r}, which the job writes "
            "itself for a method with project: rename the array"
        )


def training_arrays(
    hasher, variant: Variant, run: Run, opened: _runtime.Opened, train: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the arguments of `fit`."""
    sample = variant.plugin.member("sample")
    if variant.fitted_on:
        return _pool.pooled_arrays(hasher.fit, opened, train, sample, run.seed)

    if "views" in variant.consumes:
        return _pool.training_arrays(hasher.fit, opened, train)

    rows = _runtime.training_rows(train, sample, run.seed)
    return _runtime.training_arrays(hasher.fit, opened, rows)


def encoded(
    hasher, opened: dict[str, Callable[[], np.ndarray]], bits: int, name: str
) -> tuple[np.ndarray, np.ndarray, float]:
    """Encode every row of the arrays that the method reads.

    Returns
    -------
    codes : ndarray of uint8, shape (n, ceil(bits / 8))
        Packed.
    ones : ndarray of int64, shape (bits,)
        How many codes have each bit set.
    seconds : float
        The time of `encode`, without the time of reading the files.
    """
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
    """Read every page of mapped rows, which the system may have dropped in a long training."""
    rows.reshape(-1).view(np.uint8)[:: mmap.PAGESIZE].max()


def _opened(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def checked(codes: np.ndarray, rows: int, bits: int, name: str) -> np.ndarray:
    """Return the codes, if they are bool (rows, bits); else BenchmarkError."""
    kind = f"{codes.dtype} {codes.shape}" if isinstance(codes, np.ndarray) else type(codes).__name__
    if kind != f"bool {(rows, bits)}":
        raise BenchmarkError(
            f"methods/{name}.py: encode returned {kind}, expected bool {(rows, bits)}. "
            "Return `values >= 0`"
        )
    return codes


def describe(hasher, codes: np.ndarray) -> dict:
    """Return the facts of a run that its record states besides the inputs."""
    device = str(getattr(hasher, "device_", "cpu"))
    return {
        "device": provenance.device_name(device),
        "repeats": provenance.repeatability(device),
        "threads": 1,
        "items": len(codes),
        "distinct_codes": distinct(codes),
    }


def distinct(codes: np.ndarray) -> int:
    """Return how many packed codes (n, bytes) differ, by sorting them as words of 64 bits."""
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), np.uint8)
    padded[:, : codes.shape[1]] = codes
    words = padded.view(np.uint64).T  # (W, n)
    words = words[:, np.lexsort(words)]
    return 1 + int((words[:, 1:] != words[:, :-1]).any(axis=0).sum())


if __name__ == "__main__":
    main()
