"""`python -m methods`: train one method on the training images of one data set, and encode all images. Labels are no argument."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy: codes must not depend on how many cores are free

import argparse
import gc
import hashlib
import importlib
import json
import mmap
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import gpus
import provenance
import storage
from errors import raised_by
from experiments import (
    CACHE,
    DATASET,
    FEATURES,
    IDENTITY,
    BenchmarkError,
    Run,
    described_by,
    one_line,
    settings_given,
    user_file,
)
from harness.identity import digests, sources
from methods import _runtime
from plugins import Component, component, imported_modules

SMALLER = ("batch", "image_size", "width", "encoder_size")  # keywords of deep methods that memory grows with


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m methods", description=__doc__)
    for name in ("dataset", "features", "variant"):
        parser.add_argument(name, help=f"name of the {name} in the results")
    parser.add_argument("bits", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--settings", default=None, help='JSON {"of": plugin, "set": keywords}; default: the plugin VARIANT as it is')
    parser.add_argument("--output", help="folder to write instead of the run's own; nothing is kept of a training that is killed")
    parser.add_argument("--traceback", default=None, help="where the traceback of a method that raises goes; default: the terminal")
    arguments = parser.parse_args()
    gc.disable()  # importing torch, and leaving a process that did, would collect garbage for a second in every run
    try:
        run = Run(arguments.dataset, arguments.features, arguments.variant, arguments.bits, arguments.seed)
        settings = settings_given("methods", run.variant, arguments.settings)
        train_and_encode(run, settings, arguments.traceback, arguments.output)
    except BenchmarkError as error:
        sys.exit(f"methods: {one_line(error)}")
    gc.freeze()


def train_and_encode(run: Run, settings: dict, traceback_file: str | None, output: str | None = None) -> None:
    """Write codes.npz and run.json, and extras.npz where the method keeps any, into the run's folder or `output`: all or none.

    A folder that cannot be written is found before the work.
    """
    dataset, features = (Path(pattern.format(**vars(run))) for pattern in (DATASET, FEATURES))
    part = component("methods", settings["of"])
    kept = None if output else checkpoint(run, part, settings, dataset, features)
    with storage.new_folder(output or run.folder) as folder:
        hasher, codes, coded, measured = learned(part, run, settings["set"], kept, traceback_file)
        np.savez(folder / "codes.npz", codes=codes, bits=np.int64(run.bits))
        if hasattr(hasher, "extras_"):
            np.savez(folder / "extras.npz", **hasher.extras_)
        facts = describe(run, part, settings["set"], hasher, codes[coded], dataset, features)
        storage.write_json(folder / "run.json", facts | measured | {"codes_sha256": storage.digest(folder / "codes.npz")})
    if kept:
        kept.unlink(missing_ok=True)


def learned(part: Component, run: Run, keywords: dict, kept: Path | None, traceback_file: str | None) -> tuple:
    """The fitted method, and what `learn` gives; BenchmarkError for whatever it raises, and where all codes are the same."""
    leased = gpus.lease() if part.literals.get("uses_gpu") else None
    with raised_by(f"methods/{part.name}.py", traceback_file, [name for name in SMALLER if name in part.keywords]):
        hasher = build(part, run, keywords)
        gc.enable()
        hasher.checkpoint = kept
        codes, coded, measured = learn(hasher, part, run)
    if leased and str(getattr(hasher, "device_", "cpu")) == "cpu":
        print(f"GPU {leased} is there, but torch cannot use it: trained on the CPU", file=sys.stderr)
    if (codes[coded] == codes[coded][0]).all():
        raise BenchmarkError(f"methods/{part.name}.py collapsed: all {len(codes[coded]):,} items have the same code; see its settings")
    return hasher, codes, coded, measured


def checkpoint(run: Run, part: Component, settings: dict, dataset: Path, features: Path) -> Path:
    """Where training keeps its state: a name made of all that the run is made of, so that it never goes on from another's."""
    made_of = [vars(run), settings, identity(part, dataset, features)]
    return Path(CACHE, "checkpoints", hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest() + ".pt")


def identity(part: Component, dataset: Path, features: Path) -> dict:
    """Digests of the sources, the data set, the features and, where the method reads them, the neighbour lists that a run is made of."""
    place = {"dataset": dataset.name, "features": features.name}
    described = {name: storage.read_json(path.format(**place)) for name, path in described_by(part).items()}
    made_of = {name: {key: described[name].get(key) for key in IDENTITY[name]} for name in described}
    return {"sources": digests(sources("methods", part.name))} | made_of


def build(part: Component, run: Run, keywords: dict):
    """Return the method's object, with the run's seed where it takes one, and the global generators seeded."""
    method = getattr(importlib.import_module(f"methods.{part.name}"), part.class_name)
    seed = run.seed if "seed" in part.keywords else None
    return _runtime.build(method, run.bits, keywords, seed, torch=uses_torch(part))


def uses_torch(part: Component) -> bool:
    """Whether a method has imported torch, or a source of it does so later."""
    imported = {module.partition(".")[0] for path in sources("methods", part.name) for module in imported_modules(path)}
    return "torch" in imported | sys.modules.keys()


def learn(hasher, part: Component, run: Run) -> tuple[np.ndarray, slice | np.ndarray, dict]:
    """Fit on the training rows and encode every row: packed codes uint8 (n, ceil(bits / 8)), the rows that have one, what was measured.

    Codes from the user's files may leave out rows that are neither queries nor database, and do not tell the time that they took.
    Files are opened anew for every block of rows, since all pages touched through a mapping count as memory while it is open.
    """
    dataset, features = (Path(pattern.format(**vars(run))) for pattern in (DATASET, FEATURES))
    files = {"images": dataset / "images.npy", "features": features / "features.npy", "neighbours": features / "neighbours.npy"}
    recorded = {"images": dataset / "dataset.json", "features": features / "features.json", "neighbours": features / "neighbours.json"}
    split, bits = storage.unchanged(dataset / "split.npz", recorded["images"]), run.bits
    train = _runtime.training_rows(np.load(split, allow_pickle=False)["train"], part.literals.get("sample"), run.seed)
    coded = slice(None)
    opened = {name: partial(_opened, storage.unchanged(files[name], recorded[name])) for name in part.consumes if name != "codes"}
    if "codes" in part.consumes:
        import codes as imported  # here, since other methods need no reader of archives

        paths = [user_file(path, bits, run.seed) for path in (hasher.path, hasher.database_path) if path]
        places = [np.load(split, allow_pickle=False)[name] for name in ("query", "database")]
        given, coded = imported.of_images(paths, len(_opened(files["features"])), *places, bits)
        opened["codes"] = lambda: given
    fitted_on = _runtime.training_arrays(hasher.fit, opened, train)
    started = time.perf_counter()
    hasher.fit(**fitted_on)
    fitted = time.perf_counter()
    codes, ones, encoding = encoded(hasher, {name: opened[name] for name in _runtime.arguments(hasher.encode)}, bits, part.name)
    seconds = {"fit_seconds": fitted - started, "encode_seconds": encoding} if "codes" not in opened else {}
    n = len(codes[coded])
    return codes, coded, seconds | {"fitted_rows": len(train), "bit_balance": float(np.minimum(ones, n - ones).mean() / n)}


def encoded(hasher, opened: dict[str, Callable[[], np.ndarray]], bits: int, name: str) -> tuple[np.ndarray, np.ndarray, float]:
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
        raise BenchmarkError(f"methods/{name}.py: encode returned {kind}, expected bool {(rows, bits)}, as `values >= 0` gives")
    return codes


def describe(run: Run, part: Component, keywords: dict, hasher, codes: np.ndarray, dataset: Path, features: Path) -> dict:
    """Everything that made the run, and what its codes look like."""
    device = getattr(hasher, "device_", "cpu")
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
        **getattr(hasher, "facts_", {}),
    )


def distinct(codes: np.ndarray) -> int:
    """How many packed codes (n, bytes) differ, by sorting them as words of 64 bits."""
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), np.uint8)
    padded[:, : codes.shape[1]] = codes
    words = padded.view(np.uint64).T  # (W, n)
    words = words[:, np.lexsort(words)]
    return 1 + int((words[:, 1:] != words[:, :-1]).any(axis=0).sum())


if __name__ == "__main__":
    main()
