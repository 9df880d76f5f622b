"""Images as tensors on the device, and work over small batches of them in parallel."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from features._base import BLOCK

CPU_BATCH = 4  # images a thread works on at a time: four threads of VGG-19 stay within 2 GiB


def device() -> torch.device:
    """The GPU where there is one. On the CPU every batch takes one thread, so that no row depends on how many cores are free."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(1)
    return torch.device("cpu")


def in_batches(
    function: Callable[[Tensor], Tensor], images: np.ndarray, place: torch.device, threads: int
) -> np.ndarray:
    """`function` of the images as uint8 (m, 3, h, w), a whole block at a time on a GPU, else small batches in parallel.

    images: (n, h, w, 3) uint8; returns what `function` gave, (n, d), as float32. Batches are cut at the same rows for any `threads`.
    """
    size = CPU_BATCH if place.type == "cpu" else BLOCK

    def work(start: int) -> np.ndarray:
        with torch.inference_mode():
            batch = (
                torch.tensor(images[start : start + size]).to(place).permute(0, 3, 1, 2)
            )  # (m, 3, h, w)
            return function(batch).float().cpu().numpy()

    with ThreadPoolExecutor(threads if place.type == "cpu" else 1) as pool:
        return np.concatenate(list(pool.map(work, range(0, len(images), size))))


def resized(images: Tensor, side: int) -> Tensor:
    """(m, c, side, side) float32 in the range of `images` (m, c, h, w): bilinear, antialiased where it reduces, as Pillow does it."""
    images = images.float()
    if images.shape[2:] == (side, side):
        return images
    return interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
