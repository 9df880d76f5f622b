"""Run what needs a GPU: tests, repeatability, throughput of the encoders, a cell of each method.

    make gpu                                     # all pieces that are missing in gpu.json
    python -m benchmarks.gpu --only cell-bgan    # one piece, again
    TINY=1 make gpu                              # small sizes, on the CPU, in a minute

A piece takes less than 8 minutes on an A100 or faster, and its figures are saved at once, so a
killed command resumes with the next piece. Figures of another device, other versions or other
sources are discarded. Images and weights of the throughput are random; cells are on the digits.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import results, training
from datasets.digits import Digits
from evaluation import score
from features._neighbours import nearest
from harness import determinism, identity, plugins, provenance, records, storage
from harness.errors import BenchmarkError
from harness.user_data import CACHE, DATA_VARIABLE
from harness.variants import Catalogue
from methods import _runtime
from methods._nets import PRETRAINED, Pretrained

OUTPUT = Path(__file__).with_name("gpu.json")
TINY_OUTPUT = CACHE / "gpu.json"
BITS = 32
TINY_TRAINING = 200  # images
TINY_SIZES = {"conv": 32, "features": 32, "squeezenet1_1": 24}  # VGG-19 has 0.5 GB of weights
# Parameters of cells. The first encoder that is pretrained has random weights.
PARAMS = {"deepbit_rotation": {"encoder": "squeezenet1_1", "encoder_size": 64}}
TINY_PARAMS = {
    "bgan": {"epochs": 1, "betas": (1.0,)},
    "deepbit_rotation": {
        **{"encoder": "squeezenet1_1", "encoder_size": 24},
        **{"iterations": (20, 5), "step": (10, 3)},
    },
}

Figures = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tiny = bool(os.environ.get("TINY"))
    work = pieces(tiny)
    parser.add_argument("--only", choices=work, metavar="PIECE", help=f"one of {', '.join(work)}")
    parser.add_argument(
        "--output", type=Path, default=TINY_OUTPUT if tiny else OUTPUT, help="default: %(default)s"
    )
    arguments = parser.parse_args()
    if tiny:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        torch.set_num_threads(1)
    elif not torch.cuda.is_available():
        sys.exit("gpu: found no GPU. `TINY=1 make gpu` runs small sizes on the CPU")

    try:
        determinism.use_deterministic_algorithms()
        print_table(run(work, arguments.only, arguments.output))
    except BenchmarkError as error:
        sys.exit(f"gpu: {error}")


def pieces(tiny: bool) -> dict[str, Callable[[], Figures]]:
    """Return the function of each piece of work, by its name."""
    catalogue = Catalogue()
    variants = [catalogue.resolve("methods", name) for name in gpu_methods()]
    sizes = TINY_SIZES if tiny else training.SIZES
    return {
        "tests": gpu_tests,
        "repeat": lambda: repeat(tiny),
        "repeat-deterministic": repeat_deterministic,
        **{f"encoder-{name}": lambda n=name: throughput(n, tiny) for name in sizes},
        **{f"cell-{variant.name}": lambda v=variant: cell(v.name, tiny) for variant in variants},
    }


def gpu_methods() -> list[str]:
    """Return the names of the methods that can run on a GPU."""
    names = plugins.names("methods")
    return [name for name in names if plugins.read_plugin("methods", name).member("uses_gpu")]


def run(work: dict[str, Callable[[], Figures]], only: str | None, output: Path) -> dict:
    """Run the pieces without figures in `output`, or one piece again, and save each at once."""
    machine = described()
    stored = storage.read_json(output) if output.is_file() else {}
    same = all(stored.get(name) == value for name, value in machine.items())
    figures = stored["pieces"] if same else {}
    for name in [only] if only else [name for name in work if name not in figures]:
        print(f"{name} ...", flush=True)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            os.environ[DATA_VARIABLE] = folder  # of random weights
            figures[name] = work[name]()
        figures[name]["seconds"] = time.perf_counter() - started
        if torch.cuda.is_available():
            figures[name]["gpu_memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
        figures[name]["measured"] = results.measured() | {"machine": machine["device"]}
        storage.write_json(output, machine | {"pieces": figures})

    return machine | {"pieces": {name: figures[name] for name in work if name in figures}}


def described() -> Figures:
    """Return what figures depend on: the device, versions of packages, and sources."""
    files = [
        path for name in ("methods", "benchmarks") for path in plugins.ROOT.glob(f"{name}/*.py")
    ]
    sources = identity.digests([*files, plugins.ROOT / "harness/imagenet.py"])
    gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if gpu else provenance.processor(),
        "versions": provenance.versions() | {"cuda": torch.version.cuda if gpu else None},
        "sources": records.digest_of(sources),
    }


def gpu_tests() -> Figures:
    """Run the tests that need a GPU."""
    files = [path for path in Path("tests").glob("*.py") if "mark.gpu" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *map(str, sorted(files))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BenchmarkError(f"tests that need a GPU failed:\n{done.stdout[-2000:]}")
    counts = re.findall(r"(\d+) (passed|skipped)", done.stdout.splitlines()[-1])
    return {word: int(count) for count, word in counts}


def repeat(tiny: bool) -> Figures:
    """Train BGAN twice with one seed: the share of bits that differ, and both values of mAP."""
    problem = Problem(tiny)
    params = TINY_PARAMS["bgan"] if tiny else {}
    first, second = (problem.codes("bgan", params) for _ in range(2))
    return {
        "differing_bits": float((first != second).mean()),
        "map": [problem.map(first), problem.map(second)],
    }


def repeat_deterministic() -> Figures:
    """Return the figures of `repeat` with deterministic algorithms, which need a new process."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "gpu.json")
        command = [sys.executable, "-m", "benchmarks.gpu", "--only", "repeat"]
        environment = os.environ | {determinism.DETERMINISTIC_VARIABLE: "1"}
        done = subprocess.run(
            [*command, "--output", str(output)], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise BenchmarkError(f"deterministic training failed:\n{done.stderr[-2000:]}")
        figures = storage.read_json(output)["pieces"]["repeat"]
    return {name: figures[name] for name in ("differing_bits", "map", "seconds")}


def throughput(encoder: str, tiny: bool) -> Figures:
    """Return images per second and TFLOP/s of an encoder, and the peak of matrix products."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if tiny:
        training.PEAK["cpu"] = ("float32", 64)
        training.SIZES |= TINY_SIZES

    peak, batches = training.matrix_peak(device), 1 if tiny else training.TIMED_STEPS[device]
    modes = {"float32": {"batch": 8 if tiny else 40}}
    if device == "cuda" and encoder in PRETRAINED:
        modes["bfloat16"] = {"batch": 128, "precision": "bfloat16"}
        modes["released"] = {"batch": 40, "exact": True}

    figures = {"peak_tflops": peak / 1e12, "peak_of": training.PEAK[device][0]}
    for mode, options in modes.items():
        trained, encoded = training.speed(encoder, batches=batches, **options)
        figures |= {f"{mode}_trained_per_second": trained, f"{mode}_encoded_per_second": encoded}
        if encoder in PRETRAINED:
            speed = trained * training.flops(encoder, training.SIZES[encoder])
            figures |= {f"{mode}_tflops": speed / 1e12, f"{mode}_share_of_peak": speed / peak}

    return figures


def cell(name: str, tiny: bool) -> Figures:
    """Train one method once on the digits."""
    problem = Problem(tiny)
    params = dict((TINY_PARAMS if tiny else PARAMS).get(name, {}))
    started = time.perf_counter()
    codes = problem.codes(name, params)
    return {"map": problem.map(codes), "train_and_encode_seconds": time.perf_counter() - started}


class Problem:
    """The digits, with as many training images as the size of the run allows."""

    def __init__(self, tiny: bool):
        self.collection = Digits().load(Path(), Path())
        self.images = self.collection.images  # (n, 8, 8, 3)
        self.train = self.collection.train[: TINY_TRAINING if tiny else None]

    def codes(self, name: str, params: dict) -> np.ndarray:
        """Return codes bool (n, BITS) of a method that is trained with seed 0."""
        features = self.images.reshape(len(self.images), -1).astype(np.float32) / 255
        if params.get("encoder") in PRETRAINED:
            params = params | training.random_weights(params["encoder"])
            features = features_of(self.images, params)

        arrays = {"images": self.images, "features": features}
        fitted_on = {key: array[self.train] for key, array in arrays.items()}
        fitted_on["neighbours"] = nearest(fitted_on["features"])

        method = plugins.load_class(plugins.read_plugin("methods", name))
        hasher = _runtime.build(method, BITS, params, 0, torch=True)
        hasher.fit(**{key: fitted_on[key] for key in _runtime.arguments(hasher.fit)})
        return hasher.encode(**{key: arrays[key] for key in _runtime.arguments(hasher.encode)})

    def map(self, codes: np.ndarray) -> float:
        """Return the mean average precision of the queries."""
        labels, rows = self.collection.labels, (self.collection.query, self.collection.database)
        arrays = [codes[part] for part in rows] + [labels[part] for part in rows]
        return score(*arrays, metrics=["map"])["map"]


@torch.no_grad()
def features_of(images: np.ndarray, params: dict) -> np.ndarray:
    """Return features float32 (n, d) of images by the pretrained network that `params` name."""
    keys = ("encoder", "weights", "sha256", "encoder_size")
    network = Pretrained(*(params[key] for key in keys), "float32").eval()
    blocks = torch.tensor(images).permute(0, 3, 1, 2).split(64)  # (m, 3, h, w)
    return torch.cat([network(block) for block in blocks]).numpy()


def print_table(stored: dict) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in stored["versions"].items())
    print(f"{stored['device']}; {versions}")
    for piece, figures in stored["pieces"].items():
        for name, value in figures.items():
            if name == "measured":
                continue
            print(f"{piece:<24}{name:<30}{results.text(value)}")


if __name__ == "__main__":
    main()
