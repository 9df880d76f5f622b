"""Measure the memory and the speed of the extractors on synthetic images and random weights.

    python -m benchmarks.features memory squeezenet1_1_pool    # 2,000 and 200,000 images
    python -m benchmarks.features memory vgg19_fc7 --threads 4
    python -m benchmarks.features rate                         # of every extractor

Speed and memory do not depend on the content of images and weights. `rate` measures images per
second with one thread and with all, or on a GPU. `memory` reads all images and writes all rows with
the function of the workflow, each figure in a process of its own. The extractor processes only the
first blocks, and their rows are repeated, since 200,000 images take hours to days on a CPU.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import results
from features.__main__ import write_features
from features._base import BLOCK, Extractor, opened
from harness import imagenet, plugins, provenance, storage
from harness.user_data import CACHE

EXTRACTORS = [name for name in plugins.names("features") if name != "file"]
PROCESSED_BLOCKS = 3  # that an extractor processes when memory is measured
FEW_IMAGES = 2_000  # for comparison


class FirstBlocks(Extractor):
    """An extractor that processes the first blocks only, and then repeats the rows of the last."""

    def __init__(self, extractor: Extractor):
        self.extractor, self.rows = extractor, []

    def extract(self, images):
        images.max()  # reads all of them, as the extractor does
        if len(self.rows) < PROCESSED_BLOCKS:
            self.rows.append(self.extractor.extract(images))
        return self.rows[-1][: len(images)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    for name, job in (("memory", memory), ("rate", rate), ("extract", extract)):
        command = commands.add_parser(
            name, help="one figure of memory; started by `memory`" if job is extract else None
        )
        command.set_defaults(job=job)
        command.add_argument("extractors", nargs="*", default=EXTRACTORS, metavar="EXTRACTOR")
        command.add_argument("--images", type=int, default=64 if job is rate else 200_000)
        command.add_argument("--side", type=int, default=256, help="pixels")
        command.add_argument("--threads", type=int, default=os.cpu_count())

    arguments = parser.parse_args()
    Path(CACHE).mkdir(exist_ok=True)
    arguments.job(arguments)


def built(name: str, folder: Path, threads: int) -> tuple[Extractor, plugins.Plugin]:
    """Return an opened extractor and its plugin; a network gets random weights in `folder`."""
    plugin = plugins.read_plugin("features", name)
    params = {}
    if "weights" in plugin.defaults:
        file = folder / f"{name}.pth"
        torch.save(imagenet.NETWORKS[plugin.member("network")]().state_dict(), file)
        params = {"weights": file.name, "sha256": storage.digest(file)}

    extractor = plugins.load_class(plugin)(**params)
    extractor.threads = threads
    extractor.open(folder, BLOCK)
    return extractor, plugin


def memory(arguments: argparse.Namespace) -> None:
    """Print the peak memory for a few images and for many."""
    side, threads = arguments.side, arguments.threads
    print(f"{provenance.processor()}, {threads} threads, images of {side} x {side}")
    for name in arguments.extractors:
        for n in (FEW_IMAGES, arguments.images):
            command = [sys.executable, "-m", "benchmarks.features", "extract", name]
            command += ["--images", str(n), "--side", str(side), "--threads", str(threads)]
            started = time.perf_counter()
            subprocess.run(command, check=True)
            print(f"    in {time.perf_counter() - started:.0f} s", flush=True)


def extract(arguments: argparse.Namespace) -> None:
    """Extract features of synthetic images and print the peak memory of this process."""
    (name,) = arguments.extractors
    n, shape = arguments.images, (arguments.images, arguments.side, arguments.side, 3)
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        folder = Path(temporary)
        images = folder / "images.npy"
        # A sparse file: it takes no space on the disk.
        np.lib.format.open_memmap(images, mode="w+", dtype=np.uint8, shape=shape).flush()
        extractor, plugin = built(name, folder, arguments.threads)
        output = folder / "features.npy"
        blocks = FirstBlocks(extractor)
        dimensions = write_features(output, blocks, plugin, lambda: opened(images), (n,))

    peak = results.mebibytes(provenance.peak_memory_mib())
    problem = f"{name}: {n:,} images of {arguments.side} pixels, {dimensions:,} dimensions"
    results.save("features", problem, {"peak": peak})


def rate(arguments: argparse.Namespace) -> None:
    """Print the images per second of each extractor, after a first small block."""
    n, side = arguments.images, arguments.side
    images = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    print(f"{provenance.processor()}, {n} images of {side} x {side}")
    for name in arguments.extractors:
        rates = {}
        for threads in sorted({1, arguments.threads}):
            with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
                extractor, _ = built(name, Path(temporary), threads)
                device = getattr(extractor, "facts_", {}).get("device", "cpu")
                if device == "cpu":
                    device = f"{threads} thread{'s' * (threads > 1)}"
                extractor.extract(images[:4])

                started = time.perf_counter()
                extractor.extract(images)
                seconds = time.perf_counter() - started
                rates[f"on {device}"] = f"{n / seconds:.1f} /s"
        results.save("features", f"{name}: {n} images of {side} pixels", rates)


if __name__ == "__main__":
    main()
