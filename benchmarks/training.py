"""Measure the images per second that BGAN trains on and encodes, for each of its encoders.

    python -m benchmarks.training
    python -m benchmarks.training --encoders vgg19 --batch 128

For pretrained encoders it prints the share of the device's peak, measured by matrix products.
Images, features and weights are random, since speed does not depend on them. On the CPU one thread
is used, as in training, and its processor time is measured. On a GPU, VGG-19 and SqueezeNet are
also timed in bfloat16 and in the released way: float32 without TF32, 40 images per batch.
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

from benchmarks import results
from harness import imagenet, provenance, storage
from harness.user_data import DATA_VARIABLE
from methods._nets import PRETRAINED
from methods.bgan import BGAN

# Side in pixels of the images that the encoder receives.
SIZES = {"conv": 32, "features": 32, "squeezenet1_1": 128, "vgg19": 224}
CPU_BATCHES = {"vgg19": 8}  # where 40 images would take minutes
WARM_UP_STEPS = 1  # before the clock starts
TIMED_STEPS = {"cuda": 40, "cpu": 4}
PEAK = {"cuda": ("bfloat16", 8192), "cpu": ("float32", 2048)}  # of matrix products, and their side


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoders", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument(
        "--batch", type=int, help="images per batch; default: 40, and 8 for VGG-19 on a CPU"
    )
    parser.add_argument(
        "--batches",
        type=int,
        help="training steps that are timed; default: 40 on a GPU, 4 on a CPU",
    )
    arguments = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    name = f"{provenance.processor()}, one thread"
    if device == "cuda":
        name = torch.cuda.get_device_name()

    print(f"{name}, torch {torch.__version__}")
    peak = matrix_peak(device)
    print(f"matrix products: {peak / 1e12:.3g} TFLOP/s in {PEAK[device][0]}")

    with tempfile.TemporaryDirectory() as folder:
        os.environ[DATA_VARIABLE] = folder
        for encoder in arguments.encoders:
            batch = arguments.batch or default_batch(encoder, device)
            batches = arguments.batches or TIMED_STEPS[device]
            report(encoder, batch, batches, peak)
            if device == "cuda" and encoder in PRETRAINED:
                report(encoder, batch, batches, peak, precision="bfloat16")
                report(encoder, 40, batches, peak, exact=True)

    if device == "cpu":
        print("found no GPU: bfloat16 and the released way, float32 without TF32, were not timed")


def default_batch(encoder: str, device: str) -> int:
    return CPU_BATCHES.get(encoder, 40) if device == "cpu" else 40


def report(
    encoder: str,
    batch: int,
    batches: int,
    peak: float,
    precision: str = "float32",
    exact: bool = False,
) -> None:
    """Print the images per second, and the share of the peak that training reaches."""
    trained, encoded = speed(encoder, batch, batches, precision, exact)
    way = precision + (" without TF32" if exact else "")
    figures = {"trained": f"{trained:.4g} images/s", "encoded": f"{encoded:.4g} images/s"}
    if encoder in PRETRAINED:
        share = trained * flops(encoder, SIZES[encoder]) / peak
        figures["share of the peak in training"] = f"{share:.0%}"

    results.save("training", f"{encoder}, {SIZES[encoder]} px, {batch} per batch, {way}", figures)


def speed(
    encoder: str, batch: int, batches: int, precision: str = "float32", exact: bool = False
) -> tuple[float, float]:
    """Return the images per second of training, after WARM_UP_STEPS, and of encoding.

    exact: without TF32, as the released code.
    """
    n = batch * (batches + WARM_UP_STEPS)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    features = generator.standard_normal((n, 4096), dtype=np.float32)
    neighbours = ((np.arange(n)[:, None] + np.arange(4)) % n).astype(np.int32)
    params = {}
    if encoder in PRETRAINED:
        params = {"encoder_size": SIZES[encoder], "precision": precision}
        params |= random_weights(encoder)

    hasher = BGAN(32, encoder=encoder, batch=batch, epochs=1, betas=(1.0,), k1=2, k2=3, **params)

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

    # A GPU encodes a few images before the clock has moved.
    count = 2 * batch if hasher.device_.type == "cpu" else n
    hasher.encode(images[:count], features[:count])
    started = now()
    hasher.encode(images[:count], features[:count])
    encoding = now() - started
    torch.backends.cudnn.allow_tf32 = True
    return batch * batches / (ends[-1] - ends[WARM_UP_STEPS - 1]), count / encoding


def random_weights(encoder: str) -> dict[str, str]:
    """Return the parameters that name a file of random weights, which is written once."""
    path = Path(os.environ[DATA_VARIABLE], f"{encoder}.pth")
    if not path.is_file():
        torch.save(imagenet.NETWORKS[encoder]().state_dict(), path)
    return {"weights": path.name, "sha256": storage.digest(path)}


def now() -> float:
    """Return the time in seconds, once the GPU is idle.

    On a CPU it is the processor time of this process, which other processes affect less.
    """
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def matrix_peak(device: str) -> float:
    """Return the FLOP/s of products of large square matrices, the best of five."""
    kind, side = PEAK[device]
    matrix = torch.randn(side, side, device=device, dtype=getattr(torch, kind))
    seconds = []
    for _ in range(6):
        started = now()
        matrix @ matrix
        seconds.append(now() - started)
    return 2 * side**3 / min(seconds[1:])


def flops(name: str, size: int) -> int:
    """Return the FLOPs of an encoder's products for one image, forward and backward."""
    with torch.device("meta"):
        network, image = imagenet.NETWORKS[name](), torch.empty(1, 3, size, size)
        with FlopCounterMode(display=False) as counter:
            network.penultimate(image).sum().backward()
    return counter.get_total_flops()


if __name__ == "__main__":
    main()
