"""What training loops share: the device, separate random streams, batches, and the check that losses stay finite."""

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
from torch import nn

from harness import storage
from harness.errors import BenchmarkError, one_line

OPTIMISERS = ("adam", "adam-tensorflow", "sgd")


def stream_seed(seed: int, name: str) -> int:
    """The seed of one named random stream of a run: streams are independent, so that unused ones change nothing in the others."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7])


@contextlib.contextmanager
def initialised_by(seed: int, name: str) -> Iterator[None]:
    """Networks built in this block draw their weights from their own stream, and dropout its zeros."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, name))
        yield


def stream(seed: int, name: str, place: torch.device) -> torch.Generator:
    """A random stream of its own, on the device."""
    return torch.Generator(place).manual_seed(stream_seed(seed, name))


class Checkpoint:
    """The state of a training job, kept beside its place every minute, so that a job that was killed goes on where it was.

    path: where it is kept, or None to keep nothing; parts: networks and optimisers; noise: the random stream that training draws from.
    On the CPU a job that goes on gives the same codes, bit for bit, as one that was never killed.
    """

    interval = 60.0  # seconds

    def __init__(self, path: Path | None, parts: list, noise: torch.Generator):
        self.path, self.parts, self.noise = path, parts, noise
        self._saved = time.monotonic()

    def resume(self) -> list[torch.Tensor]:
        """Restore the parts, and return the curves of the batches that are done: none where nothing was kept."""
        if self.path is None or not self.path.is_file():
            return []
        kept = self._read()
        if kept["device"] != self.noise.device.type:
            raise BenchmarkError(
                f"training began on {kept['device']} and this is {self.noise.device.type}: run it where it began, "
                f"or delete {self.path} to begin again"
            )
        for part, state in zip(self.parts, kept["parts"], strict=True):
            part.load_state_dict(state)
        self.noise.set_state(kept["noise"].cpu())
        return list(kept["history"].to(self.noise.device))

    def _read(self) -> dict:
        """What was kept. torch.load checks no checksum, so a damaged file would train on to other codes: it is removed instead."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                damaged = archive.testzip()
            if damaged is None:
                return torch.load(
                    self.path, weights_only=True, map_location="cpu"
                )  # the parts move what they take
        except MemoryError:
            raise
        except Exception as error:  # whatever the two raise for damaged bytes: one that leads to no place in the file is EINVAL
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            damaged = one_line(error)
        self.path.unlink()
        raise BenchmarkError(
            f"{self.path} was damaged ({damaged}) and is removed: the same command trains from the beginning"
        )

    def keep(self, history: list[torch.Tensor], left: int) -> None:
        """Keep the present state if a minute has passed; `history` has the curves of every batch so far.

        left: batches to come. With none nothing is kept, so that a job that goes on makes one batch at least, whose curves it names.
        """
        if self.path is None or not left or time.monotonic() - self._saved < self.interval:
            return
        state = {
            "parts": [part.state_dict() for part in self.parts],
            "noise": self.noise.get_state(),
            "history": torch.stack(history),
        }
        state["device"] = self.noise.device.type
        with storage.new_file(self.path) as temporary:
            torch.save(state, temporary)
        self._saved = time.monotonic()


def check_choices(hasher: object, choices: dict[str, tuple[str, ...]]) -> None:
    """Raise ValueError for a keyword whose value is none of its choices."""
    for name, known in choices.items():
        if getattr(hasher, name) not in known:
            raise ValueError(
                f"{name} is {getattr(hasher, name)!r}: expected one of {', '.join(known)}"
            )


def to_tensor(array: np.ndarray, place: torch.device) -> torch.Tensor:
    """Features (m, d) as they are, uint8 images (m, h, w, 3) as (m, 3, h, w), channels last; in memory if a GPU lacks twice the room."""
    if place.type == "cuda" and 2 * array.nbytes > torch.cuda.mem_get_info(place)[0]:
        place = torch.device("cpu")
    tensor = torch.tensor(array, device=place)
    return tensor.permute(0, 3, 1, 2) if array.ndim == 4 else tensor


def rows_of(kept: torch.Tensor, rows: np.ndarray, place: torch.device) -> torch.Tensor:
    """Rows of a tensor on the device; where it is kept in memory, a batch is copied while the device still works on the last."""
    return to_device(kept[to_device(torch.from_numpy(rows), kept.device)], place)


def to_device(tensor: torch.Tensor, place: torch.device) -> torch.Tensor:
    """The tensor on the device; the copy does not wait for what the device still works on."""
    if tensor.device.type == place.type:
        return tensor
    return tensor.pin_memory().to(place, non_blocking=True)


def batches(n: int, size: int, epochs: int, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """(epoch, rows) of every batch, newly shuffled each epoch; an incomplete last batch is dropped. Raises ValueError if n < size."""
    if n < size:
        raise ValueError(
            f"a batch of {size} is larger than the {n} training images; choose a smaller one"
        )
    generator = np.random.default_rng(stream_seed(seed, "batches"))
    for epoch in range(epochs):
        order = generator.permutation(n)
        for start in range(0, n - size + 1, size):
            yield epoch, order[start : start + size]


def optimiser_of(
    network: nn.Module, name: str, learning_rate: float, epsilon: float
) -> torch.optim.Optimizer:
    """Adam, as here or as in TensorFlow, or stochastic gradient descent with momentum 0.9, for all parameters of a network."""
    if name == "sgd":
        return torch.optim.SGD(network.parameters(), learning_rate, momentum=0.9)
    if name == "adam-tensorflow":
        return TensorFlowAdam(network, learning_rate, epsilon)
    return torch.optim.Adam(network.parameters(), learning_rate, eps=epsilon, fused=True)


class TensorFlowAdam(torch.optim.Adam):
    """Adam with epsilon added to the second moment before its bias is corrected, TensorFlow's "epsilon hat".

    Source: tf.compat.v1.train.AdamOptimizer; Kingma & Ba, ICLR 2015, end of section 2. Early steps with a large epsilon are smaller.
    """

    def __init__(self, network: nn.Module, learning_rate: float, epsilon: float):
        self.epsilon = epsilon
        super().__init__(
            [{"params": list(network.parameters()), "taken": 0}], learning_rate, fused=True
        )

    def step(self, closure=None):
        for group in self.param_groups:
            group["taken"] += 1  # a checkpoint keeps it
            group["eps"] = self.epsilon / math.sqrt(1 - group["betas"][1] ** group["taken"])
        return super().step(closure)


def accumulate(objective: torch.Tensor, networks: list[nn.Module]) -> None:
    """Add the gradient of `objective` to the parameters of `networks` and of nothing else."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    gradients = torch.autograd.grad(objective, parameters, retain_graph=True, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def check_finite(losses: dict[str, torch.Tensor], epoch: int) -> None:
    """Raise FloatingPointError, naming the loss, when training has diverged."""
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise FloatingPointError(
                f"the {name} loss is {float(value)} in epoch {epoch + 1}: lower the learning rate"
            )
