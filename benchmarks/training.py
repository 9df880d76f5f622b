"""Images per second that BGAN trains on and encodes, for each of its encoders, and what share of the device's matrix products that is.

    python -m benchmarks.training
    python -m benchmarks.training --encoders vgg19 --batch 128

Images, features and weights are random, since speed does not depend on them. On the CPU one thread, as in training, and its own seconds.
On a GPU, VGG-19 and SqueezeNet are timed in bfloat16 too, and beside it the released way: float32 without TF32, 40 images a batch.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # as `python -m methods` does

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness import imagenet, provenance, storage
from harness.user_data import DATA_VARIABLE
from methods._nets import PRETRAINED
from methods.bgan import BGAN

SIZES = {
    "conv": 32,
    "features": 32,
    "squeezenet1_1": 128,
    "vgg19": 224,
}  # pixels a side that the encoder sees
CPU_BATCHES = {"vgg19": 8}  # where 40 images would take minutes
WARMED = 1  # steps before the clock starts
TIMED = {"cuda": 40, "cpu": 4}  # steps
PEAK = {
    "cuda": ("bfloat16", 8192),
    "cpu": ("float32", 2048),
}  # of products of matrices, and their side


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoders", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument(
        "--batch", type=int, help="images a batch; default: 40, and 8 of VGG-19 on a CPU"
    )
    parser.add_argument(
        "--batches",
        type=int,
        help="training steps that are timed; default: 40 on a GPU, 4 on a CPU",
    )
    arguments = parser.parse_args()
    place = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    print(
        f"{torch.cuda.get_device_name() if place == 'cuda' else provenance.processor() + ', one thread'}, torch {torch.__version__}"
    )
    peak = matrix_peak(place)
    print(f"products of matrices: {peak / 1e12:.3g} TFLOP/s in {PEAK[place][0]}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ[DATA_VARIABLE] = folder
        for encoder in arguments.encoders:
            batch = arguments.batch or (CPU_BATCHES.get(encoder, 40) if place == "cpu" else 40)
            batches = arguments.batches or TIMED[place]
            report(encoder, batch, batches, peak)
            if place == "cuda" and encoder in PRETRAINED:
                report(encoder, batch, batches, peak, precision="bfloat16")
                report(encoder, 40, batches, peak, exact=True)
    if place == "cpu":
        print("no GPU here: bfloat16 and the released way, float32 without TF32, were not timed")


def report(
    encoder: str,
    batch: int,
    batches: int,
    peak: float,
    precision: str = "float32",
    exact: bool = False,
) -> None:
    """One line: images per second in training and in encoding; share of the device's peak that an encoder's products take in training."""
    trained, encoded = speed(encoder, batch, batches, precision, exact)
    way = precision + (" without TF32" if exact else "")
    line = f"{encoder}, {SIZES[encoder]} px, {batch} a batch, {way}: {trained:.4g} images/s in training, {encoded:.4g} encoded"
    if encoder in PRETRAINED:
        line += f"; {trained * flops(encoder, SIZES[encoder]) / peak:.0%} of the peak in training"
    print(line, flush=True)


def speed(
    encoder: str, batch: int, batches: int, precision: str, exact: bool
) -> tuple[float, float]:
    """Images per second of training steps, after WARMED ones, and of encoding."""
    n = batch * (batches + WARMED)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    features = generator.standard_normal((n, 4096), dtype=np.float32)
    neighbours = ((np.arange(n)[:, None] + np.arange(4)) % n).astype(np.int32)
    keywords = (
        {"encoder_size": SIZES[encoder], "precision": precision, **random_weights(encoder)}
        if encoder in PRETRAINED
        else {}
    )
    hasher = BGAN(32, encoder=encoder, batch=batch, epochs=1, k1=2, k2=3, **keywords)
    ends, step = [], hasher._step

    def timed(*arguments):
        if exact:
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32 = False
        curves = step(*arguments)
        ends.append(now())
        return curves

    hasher._step = timed
    hasher.fit(images, features, neighbours)
    seen = (
        2 * batch if hasher.device_.type == "cpu" else n
    )  # a GPU has done a few before the clock has moved
    hasher.encode(images[:seen], features[:seen])
    started = now()
    hasher.encode(images[:seen], features[:seen])
    encoded = now() - started
    torch.backends.cudnn.allow_tf32 = True
    return batch * batches / (ends[-1] - ends[WARMED - 1]), seen / encoded


def random_weights(encoder: str) -> dict[str, str]:
    """Keywords that name a file of random weights below the data folder, written once."""
    path = Path(os.environ[DATA_VARIABLE], f"{encoder}.pth")
    if not path.is_file():
        torch.save(imagenet.NETWORKS[encoder]().state_dict(), path)
    return {"weights": path.name, "sha256": storage.digest(path)}


def now() -> float:
    """Seconds: of the clock on a GPU, when it is done; on a CPU those of this process' one thread, which other work disturbs less."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def matrix_peak(place: str) -> float:
    """Floating-point operations per second of products of large square matrices, the best of five times."""
    kind, side = PEAK[place]
    matrix = torch.randn(side, side, device=place, dtype=getattr(torch, kind))
    seconds = []
    for _ in range(6):
        started = now()
        matrix @ matrix
        seconds.append(now() - started)
    return 2 * side**3 / min(seconds[1:])


def flops(name: str, size: int) -> int:
    """Floating-point operations of an encoder's products for one image, forward and backward."""
    with torch.device("meta"):
        network, image = imagenet.NETWORKS[name](), torch.empty(1, 3, size, size)
        with FlopCounterMode(display=False) as counter:
            network.penultimate(image).sum().backward()
    return counter.get_total_flops()


if __name__ == "__main__":
    main()
