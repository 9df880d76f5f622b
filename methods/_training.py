"""Blocks of the training loops: random streams, batches, optimisers, schedules, checkpoints."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harness import storage
from harness.errors import BenchmarkError, one_line

OPTIMISERS = ("adam", "adam-tensorflow", "sgd")
SCHEDULES = ("constant", "cosine")


def stream_seed(seed: int, name: str) -> int:
    """Return the seed of one named random stream of a run.

    Streams are independent: one that is not used changes nothing in the others.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7])


@contextlib.contextmanager
def initialised_by(seed: int, name: str) -> Iterator[None]:
    """Draw weights of networks and zeros of dropout in this block from a stream of their own."""
    with torch.random.fork_rng(devices=[]):
        number = stream_seed(seed, name)
        torch.default_generator.manual_seed(number)
        # torch.manual_seed would queue a call, with its traceback, where no device is in use yet:
        # of a stream a step that is 4 % of the time, and memory that grows.
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(number)
        yield


def stream(seed: int, name: str, device: torch.device) -> torch.Generator:
    """Return a random stream of its own, on the device."""
    return torch.Generator(device).manual_seed(stream_seed(seed, name))


class Checkpoint:
    """The state of a training job, saved every minute, from which an interrupted job resumes.

    On the CPU a resumed job gives the same codes, bit for bit, as an uninterrupted one.

    Parameters
    ----------
    path : Path or None
        The file; None to save nothing.
    parts : list
        Networks and optimisers.
    noise : Generator
        The random stream that training draws from.
    """

    interval = 60.0  # seconds

    def __init__(self, path: Path | None, parts: list, noise: torch.Generator):
        self.path, self.parts, self.noise = path, parts, noise
        self._saved = time.monotonic()

    def resume(self) -> list[Tensor]:
        """Restore the parts, and return the curves of the finished batches.

        The list is empty if nothing was saved.
        """
        if self.path is None or not self.path.is_file():
            return []

        saved = self._read()
        if saved["device"] != self.noise.device.type:
            raise BenchmarkError(
                f"training began on {saved['device']} and this is {self.noise.device.type}: "
                f"run it where it began, or delete {self.path} to begin again"
            )

        for part, state in zip(self.parts, saved["parts"], strict=True):
            part.load_state_dict(state)

        self.noise.set_state(saved["noise"].cpu())
        return list(saved["history"].to(self.noise.device))

    def _read(self) -> dict:
        """Return what was saved; delete a damaged file.

        torch.load verifies no checksum, so a damaged file would lead to other codes.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                damaged = archive.testzip()
            if damaged is None:  # `load_state_dict` moves the state to the device
                return torch.load(self.path, weights_only=True, map_location="cpu")
        except MemoryError:
            raise
        except Exception as error:  # zipfile and torch raise many kinds of error on damaged bytes
            # EINVAL is a damaged offset. Any other OSError is of the disk, not of the content.
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            damaged = one_line(error)

        self.path.unlink()
        raise BenchmarkError(
            f"{self.path} was damaged ({damaged}) and is removed: "
            "the same command trains from the beginning"
        )

    def save(self, history: list[Tensor], left: int) -> None:
        """Save the present state if a minute has passed.

        Parameters
        ----------
        history : list of Tensor
            Curves of every batch so far.
        left : int
            Batches to come. Without any, nothing is saved: a resumed job makes at least one batch,
            from which it gets the names of the curves.
        """
        if self.path is None or not left or time.monotonic() - self._saved < self.interval:
            return

        state = {
            "parts": [part.state_dict() for part in self.parts],
            "noise": self.noise.get_state(),
            "history": torch.stack(history),
            "device": self.noise.device.type,
        }
        with storage.new_file(self.path) as temporary:
            torch.save(state, temporary)

        self._saved = time.monotonic()


def check_choices(hasher: object, choices: dict[str, tuple[str, ...]]) -> None:
    """Raise ValueError for a parameter whose value is none of its choices."""
    for name, known in choices.items():
        if getattr(hasher, name) not in known:
            raise ValueError(
                f"{name} is {getattr(hasher, name)!r}: expected one of {', '.join(known)}"
            )


def to_tensor(array: np.ndarray, device: torch.device) -> Tensor:
    """Return an array as a tensor on the device, or in memory if a GPU lacks twice the room.

    Parameters
    ----------
    array : ndarray
        Features (m, d), or uint8 images (m, h, w, 3), which become (m, 3, h, w) channels-last.
    device : torch.device
    """
    if device.type == "cuda" and 2 * array.nbytes > torch.cuda.mem_get_info(device)[0]:
        device = torch.device("cpu")
    tensor = torch.tensor(array, device=device)
    return tensor.permute(0, 3, 1, 2) if array.ndim == 4 else tensor


def rows_of(tensor: Tensor, rows: np.ndarray, device: torch.device) -> Tensor:
    """Return rows of a tensor on the device.

    A batch of a tensor in memory is copied while a GPU still works on the last one.
    """
    return to_device(tensor[to_device(torch.from_numpy(rows), tensor.device)], device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device; the copy does not wait for the work of the device."""
    if tensor.device.type == device.type:
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def batches(n: int, size: int, epochs: int, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (epoch, rows) of every batch, shuffled again in each epoch.

    An incomplete last batch is dropped. Raises ValueError if n < size.
    """
    if n < size:
        raise ValueError(
            f"a batch of {size} is larger than the {n} training images; choose a smaller one"
        )

    generator = np.random.default_rng(stream_seed(seed, "batches"))
    for epoch in range(epochs):
        order = generator.permutation(n)
        for start in range(0, n - size + 1, size):
            yield epoch, order[start : start + size]


def learning_rate_at(step: int, steps: int, peak: float, schedule: str) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    step, steps : int
        Number of the step from 0, and of all steps.
    peak : float
        The rate of the first step.
    schedule : {"constant", "cosine"}
        "cosine" falls to 0 along half a cosine (Loshchilov & Hutter, ICLR 2017, one cycle).
    """
    if schedule == "constant":
        return peak
    return peak * (1 + math.cos(math.pi * step / steps)) / 2


def set_learning_rate(optimisers: list[torch.optim.Optimizer], rate: float) -> None:
    """Set the learning rate of all parameters."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate


def optimiser_of(
    network: nn.Module,
    name: str,
    learning_rate: float,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
) -> torch.optim.Optimizer:
    """Return one of `OPTIMISERS` for all parameters of a network.

    They are Adam as in PyTorch or in TensorFlow, with an epsilon, and gradient descent with a
    momentum.
    """
    parameters = list(network.parameters())
    if name == "sgd":
        return torch.optim.SGD(parameters, learning_rate, momentum, weight_decay=weight_decay)
    if name == "adam-tensorflow":
        return TensorFlowAdam(parameters, learning_rate, epsilon, weight_decay)
    return torch.optim.Adam(
        parameters, learning_rate, eps=epsilon, weight_decay=weight_decay, fused=True
    )


class TensorFlowAdam(torch.optim.Adam):
    """Adam with epsilon added to the second moment before its bias is corrected.

    This is TensorFlow's "epsilon hat". Early steps with a large epsilon are smaller.

    Source: tf.compat.v1.train.AdamOptimizer; Kingma & Ba, ICLR 2015, end of section 2.
    """

    def __init__(
        self,
        parameters: list[nn.Parameter],
        learning_rate: float,
        epsilon: float,
        weight_decay: float,
    ):
        self.epsilon = epsilon
        groups = [{"params": parameters, "taken": 0}]
        super().__init__(groups, learning_rate, weight_decay=weight_decay, fused=True)

    def step(self, closure=None):
        for group in self.param_groups:
            group["taken"] += 1  # part of the state that a checkpoint saves
            group["eps"] = self.epsilon / math.sqrt(1 - group["betas"][1] ** group["taken"])
        return super().step(closure)


def check_finite(losses: dict[str, Tensor], epoch: int) -> None:
    """Raise FloatingPointError, naming the loss, if training has diverged."""
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise FloatingPointError(
                f"the {name} loss is {float(value)} in epoch {epoch + 1}: lower the learning rate"
            )
