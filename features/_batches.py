"""Work on small batches of images in parallel."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from features._base import BLOCK

CPU_BATCH = 4  # images of a thread at a time: four threads of VGG-19 stay within 2 GiB


def in_batches(
    function: Callable[[Tensor], Tensor], images: np.ndarray, device: torch.device, threads: int
) -> np.ndarray:
    """Return what a function computes of images, batch by batch.

    A GPU works on a whole block at a time, a CPU on small batches in parallel. The same rows form
    a batch whatever `threads` is.

    Parameters
    ----------
    function : callable
        Takes a batch of images, uint8 (m, 3, h, w), and returns a tensor (m, d).
    images : ndarray of uint8, shape (n, h, w, 3)
    device : torch.device
    threads : int
        Batches at a time on a CPU.

    Returns
    -------
    ndarray of float32, shape (n, d)
    """
    size = CPU_BATCH if device.type == "cpu" else BLOCK

    def work(start: int) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.tensor(images[start : start + size]).to(device)  # (m, h, w, 3)
            return function(batch.permute(0, 3, 1, 2)).float().cpu().numpy()

    with ThreadPoolExecutor(threads if device.type == "cpu" else 1) as pool:
        return np.concatenate(list(pool.map(work, range(0, len(images), size))))
