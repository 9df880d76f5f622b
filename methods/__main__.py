"""`python -m methods`: train one method on the training images of one data set, and encode all images. Labels are no argument."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy: codes must not depend on how many cores are free

import argparse
import gc
import hashlib
import importlib
import inspect
import json
import sys
import time
import traceback
from pathlib import Path

import numpy as np

import gpus
import provenance
import storage
from experiments import (
    CACHE,
    DATASET,
    FEATURES,
    IDENTITY,
    BenchmarkError,
    Component,
    Run,
    component,
    described_by,
    one_line,
    sources,
    user_file,
)

BLOCK = 8192  # images encoded at a time
SMALLER = ("batch", "image_size", "width")  # keywords of deep methods that memory grows with


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m methods", description=__doc__)
    for name in ("dataset", "features", "variant"):
        parser.add_argument(name, help=f"name of the {name} in the results")
    parser.add_argument("bits", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--settings", default=None, help='JSON {"of": plugin, "set": keywords}; default: the plugin VARIANT as it is')
    parser.add_argument("--traceback", default=None, help="where the traceback of a method that raises goes; default: the terminal")
    arguments = parser.parse_args()
    gc.disable()  # importing torch, and leaving a process that did, would collect garbage for a second in every run
    try:
        run = Run(arguments.dataset, arguments.features, arguments.variant, arguments.bits, arguments.seed)
        settings = json.loads(arguments.settings or json.dumps({"of": run.variant, "set": {}}))
        train_and_encode(run, settings, arguments.traceback)
    except BenchmarkError as error:
        sys.exit(f"methods: {one_line(error)}")
    gc.freeze()


def train_and_encode(run: Run, settings: dict, traceback_file: str | None) -> None:
    """Write codes.npz and run.json, and extras.npz where the method keeps any, into the run's folder: all or none.

    A folder that cannot be written is found before the work.
    """
    dataset, features = (Path(pattern.format(**vars(run))) for pattern in (DATASET, FEATURES))
    part = component("methods", settings["of"])
    with storage.new_folder(run.folder) as folder:
        hasher, codes, rows, seconds = learned(part, run, settings, dataset, features, traceback_file)
        np.savez(folder / "codes.npz", codes=np.packbits(codes, axis=1), bits=np.int64(run.bits))
        if hasattr(hasher, "extras_"):
            np.savez(folder / "extras.npz", **hasher.extras_)
        facts = describe(run, part, settings["set"], hasher, codes[rows], dataset, features)
        storage.write_json(folder / "run.json", facts | seconds | {"codes_sha256": storage.digest(folder / "codes.npz")})
    hasher.checkpoint.unlink(missing_ok=True)


def learned(part: Component, run: Run, settings: dict, dataset: Path, features: Path, traceback_file: str | None) -> tuple:
    """The fitted method and what `learn` returns; BenchmarkError for whatever it raises, and where all codes are the same."""
    if part.literals.get("uses_gpu"):
        gpus.lease()
    try:
        hasher = build(part, run, settings["set"])
        gc.enable()
        hasher.checkpoint = checkpoint(run, part, settings, dataset, features)
        codes, rows, seconds = learn(hasher, part, run, dataset, features)
    except BenchmarkError:
        raise
    except Exception as error:  # whatever a method raises is its author's to read, on one line
        where = _keep_traceback(traceback_file)
        advice = provenance.device_advice(error, [name for name in SMALLER if name in part.keywords])
        said = f"{type(error).__name__}: {one_line(error)}" + (f"; {advice}" if advice else "")
        raise BenchmarkError(f"methods/{part.name}.py raised {said}{where}") from None
    if (codes[rows] == codes[rows[0]]).all():
        raise BenchmarkError(
            f"methods/{part.name}.py collapsed: all {len(rows):,} items have the same code; see its curves, and its settings"
        )
    return hasher, codes, rows, seconds


def checkpoint(run: Run, part: Component, settings: dict, dataset: Path, features: Path) -> Path:
    """Where training keeps its state: a name made of all that the run is made of, so that it never goes on from another's."""
    made_of = [vars(run), settings, identity(part, dataset, features)]
    return Path(CACHE, "checkpoints", hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest() + ".pt")


def identity(part: Component, dataset: Path, features: Path) -> dict:
    """Digests of the sources, the data set, the features and, where the method reads them, the neighbour lists that a run is made of."""
    place = {"dataset": dataset.name, "features": features.name}
    described = {name: storage.read_json(path.format(**place)) for name, path in described_by(part).items()}
    made_of = {name: {key: described[name].get(key) for key in IDENTITY[name]} for name in described}
    return {"sources": provenance.digests(sources("methods", part.name))} | made_of


def build(part: Component, run: Run, keywords: dict):
    """The method's object, with the run's seed where it takes one."""
    method = getattr(importlib.import_module(f"methods.{part.name}"), part.class_name)
    return method(run.bits, **keywords | ({"seed": run.seed} if "seed" in part.keywords else {}))


def learn(hasher, part: Component, run: Run, dataset: Path, features: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    """Fit on the training rows and encode every row: codes (n, bits) bool, the rows that have one, and seconds of both.

    Codes from the user's files may leave out rows that are neither queries nor database, and say nothing of the time that they took.
    """
    files = {"images": dataset / "images.npy", "features": features / "features.npy", "neighbours": features / "neighbours.npy"}
    recorded = {"images": dataset / "dataset.json", "features": features / "features.json", "neighbours": features / "neighbours.json"}
    split, bits = np.load(storage.unchanged(dataset / "split.npz", recorded["images"]), allow_pickle=False), run.bits
    consumed = {name: _opened(storage.unchanged(files[name], recorded[name])) for name in part.consumes if name != "codes"}
    if "codes" in part.consumes:
        import codes as imported  # here, since other methods need no reader of archives

        n = len(_opened(files["features"]))
        paths = [user_file(path, bits, run.seed) for path in (hasher.path, hasher.database_path) if path]
        consumed["codes"], rows = imported.of_images(paths, n, split["query"], split["database"], bits)
    fitted_on = {name: _read_only(array if name == "neighbours" else array[split["train"]]) for name, array in consumed.items()}
    started = time.perf_counter()
    hasher.fit(**{name: fitted_on[name] for name in _arguments(hasher.fit)})
    fitted = time.perf_counter()
    encoded = {name: consumed[name] for name in _arguments(hasher.encode)}
    n = len(next(iter(encoded.values())))
    codes = np.empty((n, bits), dtype=bool)
    for start in range(0, n, BLOCK):
        block = {name: _read_only(array[start : start + BLOCK]) for name, array in encoded.items()}
        codes[start : start + BLOCK] = checked(hasher.encode(**block), min(BLOCK, n - start), bits, part.name)
    if "codes" in part.consumes:
        return codes, rows, {}
    return codes, np.arange(n), {"fit_seconds": fitted - started, "encode_seconds": time.perf_counter() - fitted}


def _opened(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _arguments(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def checked(codes: np.ndarray, rows: int, bits: int, name: str) -> np.ndarray:
    """The codes, if they are bool (rows, bits); else BenchmarkError."""
    kind = f"{codes.dtype} {codes.shape}" if isinstance(codes, np.ndarray) else type(codes).__name__
    if kind != f"bool {(rows, bits)}":
        raise BenchmarkError(f"methods/{name}.py: encode returned {kind}, expected bool {(rows, bits)}, as `values >= 0` gives")
    return codes


def describe(run: Run, part: Component, keywords: dict, hasher, codes: np.ndarray, dataset: Path, features: Path) -> dict:
    """Everything that made the run, and what its codes look like."""
    device = getattr(hasher, "device_", "cpu")
    ones = codes.mean(axis=0)  # (bits,)
    return provenance.record(
        run=vars(run),
        method=part.name,
        keywords=keywords,
        **identity(part, dataset, features),
        device=provenance.device_name(str(device)),
        repeats=provenance.repeatability(str(device)),
        threads=1,
        items=len(codes),
        distinct_codes=distinct(codes),
        bit_balance=float(np.minimum(ones, 1 - ones).mean()),
        **getattr(hasher, "facts_", {}),
    )


def distinct(codes: np.ndarray) -> int:
    """How many codes differ, of bool (n, bits), by sorting them as words of 64 bits."""
    packed = np.zeros((len(codes), -(-codes.shape[1] // 64) * 8), np.uint8)
    packed[:, : -(-codes.shape[1] // 8)] = np.packbits(codes, axis=1)
    words = packed.view(np.uint64).T  # (W, n)
    words = words[:, np.lexsort(words)]
    return 1 + int((words[:, 1:] != words[:, :-1]).any(axis=0).sum())


def _keep_traceback(path: str | None) -> str:
    if path is None:
        traceback.print_exc()
        return ""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(traceback.format_exc(), encoding="utf-8")
    return f" (traceback: {path})"


if __name__ == "__main__":
    main()
