"""What training loops share: the device, separate random streams, batches, and the check that losses stay finite."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import numpy as np
import torch


def device() -> torch.device:
    """The GPU where there is one. On the CPU one thread, so that codes never depend on how many cores are free."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(1)
    return torch.device("cpu")


def stream_seed(seed: int, name: str) -> int:
    """The seed of one named random stream of a run: streams are independent, so that unused ones change nothing in the others."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7])


@contextlib.contextmanager
def initialised_by(seed: int, name: str) -> Iterator[None]:
    """Networks built in this block draw their weights from their own stream."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, name))
        yield


def stream(seed: int, name: str, place: torch.device) -> torch.Generator:
    """A random stream of its own, on the device."""
    return torch.Generator(place).manual_seed(stream_seed(seed, name))


def check_choices(hasher: object, choices: dict[str, tuple[str, ...]]) -> None:
    """Raise ValueError for a keyword whose value is none of its choices."""
    for name, known in choices.items():
        if getattr(hasher, name) not in known:
            raise ValueError(f"{name} is {getattr(hasher, name)!r}: expected one of {', '.join(known)}")


def to_tensor(images: np.ndarray, place: torch.device) -> torch.Tensor:
    """Images (m, h, w, 3) uint8 as a uint8 tensor (m, 3, h, w) on the device."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(place)


def batches(n: int, size: int, epochs: int, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """(epoch, rows) of every batch, newly shuffled each epoch; an incomplete last batch is dropped. Raises ValueError if n < size."""
    if n < size:
        raise ValueError(f"a batch of {size} is larger than the {n} training images; choose a smaller one")
    generator = np.random.default_rng(stream_seed(seed, "batches"))
    for epoch in range(epochs):
        order = generator.permutation(n)
        for start in range(0, n - size + 1, size):
            yield epoch, order[start : start + size]


def check_finite(losses: dict[str, torch.Tensor], epoch: int) -> None:
    """Raise FloatingPointError, naming the loss, when training has diverged."""
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise FloatingPointError(f"the {name} loss is {float(value)} in epoch {epoch + 1}: lower the learning rate")
