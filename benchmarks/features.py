"""Memory and rate of the extractors, on images and weights that are made up: what they cost does not depend on what they hold.

    python -m benchmarks.features memory squeezenet1_1_pool   # 200,000 images of 256 x 256: peak memory, and for 2,000
    python -m benchmarks.features memory vgg19_fc7 --threads 4
    python -m benchmarks.features rate                              # images a second of every extractor, on one thread and on all, or a GPU

For memory, all images are read and all rows written, by the same function as the workflow's; but the extractor works on the first blocks
alone, whose rows stand for all others', since 200,000 images take a CPU hours to days. Each figure is of a process of its own.
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

from features.__main__ import write_features
from features._base import BLOCK, Extractor
from harness import imagenet, plugins, provenance, storage
from harness.user_data import CACHE

EXTRACTORS = [name for name in plugins.names("features") if name != "file"]
WORKED_ON = 3  # blocks that a network really sees, when memory is measured
FEW = 2_000  # images to compare with


class FirstBlocks(Extractor):
    """Another extractor's rows of the first blocks, again and again."""

    def __init__(self, extractor: Extractor):
        self.extractor, self.kept = extractor, []

    def extract(self, images):
        images.max()  # all are read, as by the extractor
        if len(self.kept) < WORKED_ON:
            self.kept.append(self.extractor.extract(images))
        return self.kept[-1][: len(images)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    for name, job in (("memory", memory), ("rate", rate), ("extract", extract)):
        command = commands.add_parser(
            name, help="one figure of memory, as `memory` starts it" if job is extract else None
        )
        command.set_defaults(job=job)
        command.add_argument("extractors", nargs="*", default=EXTRACTORS, metavar="EXTRACTOR")
        command.add_argument("--images", type=int, default=64 if job is rate else 200_000)
        command.add_argument("--side", type=int, default=256, help="pixels")
        command.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    Path(CACHE).mkdir(exist_ok=True)
    arguments.job(arguments)


def built(name: str, folder: Path, threads: int) -> tuple[Extractor, plugins.Component]:
    """An extractor ready for work, a network with random weights from a file in `folder`."""
    part = plugins.component("features", name)
    keywords = {}
    if "weights" in part.keywords:
        file = folder / f"{name}.pth"
        torch.save(imagenet.NETWORKS[part.member("network")]().state_dict(), file)
        keywords = {"weights": file.name, "sha256": storage.digest(file)}
    extractor = plugins.load_class(part)(**keywords)
    extractor.threads = threads
    extractor.open(folder, BLOCK)
    return extractor, part


def memory(arguments: argparse.Namespace) -> None:
    """Print the peak memory for a few images and for many."""
    print(
        f"{provenance.processor()}, {arguments.threads} threads, images of {arguments.side} x {arguments.side}"
    )
    for name in arguments.extractors:
        for n in (FEW, arguments.images):
            command = [
                sys.executable,
                "-m",
                "benchmarks.features",
                "extract",
                name,
                "--images",
                str(n),
            ]
            command += ["--side", str(arguments.side), "--threads", str(arguments.threads)]
            started = time.perf_counter()
            subprocess.run(command, check=True)
            print(f"    in {time.perf_counter() - started:.0f} s", flush=True)


def extract(arguments: argparse.Namespace) -> None:
    """Extract made-up images and print the peak memory of this process."""
    (name,) = arguments.extractors
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        folder, shape = Path(temporary), (arguments.images, arguments.side, arguments.side, 3)
        np.lib.format.open_memmap(
            folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape
        ).flush()  # a file of holes
        extractor, part = built(name, folder, arguments.threads)
        dimensions = write_features(
            folder / "features.npy",
            FirstBlocks(extractor),
            part,
            folder / "images.npy",
            arguments.images,
        )
    print(
        f"{name}: {arguments.images:,} images, {dimensions:,} dimensions: peak {provenance.peak_memory_mib():,.0f} MiB",
        flush=True,
    )


def rate(arguments: argparse.Namespace) -> None:
    """Print images a second of each extractor, the first block of work not counted."""
    images = (
        np.random.default_rng(0)
        .integers(0, 256, (arguments.images, arguments.side, arguments.side, 3))
        .astype(np.uint8)
    )
    print(
        f"{provenance.processor()}, {arguments.images} images of {arguments.side} x {arguments.side}"
    )
    for name in arguments.extractors:
        rates = []
        for threads in sorted({1, arguments.threads}):
            with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
                extractor, _ = built(name, Path(temporary), threads)
                place = getattr(extractor, "facts_", {}).get("device", "cpu")
                if place == "cpu":
                    place = f"{threads} thread{'s' * (threads > 1)}"
                extractor.extract(images[:4])
                started = time.perf_counter()
                extractor.extract(images)
                rates.append(f"{len(images) / (time.perf_counter() - started):10.1f} /s on {place}")
        print(f"{name:20}{'  '.join(rates)}", flush=True)


if __name__ == "__main__":
    main()
