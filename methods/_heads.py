"""Blocks of heads on features: scaling, codes, batches, schedules, curves, and cosines of pairs.

A head is a small network on the features of a frozen one. Its default setting follows one rule for
all methods: features scaled by "unit", Adam at its authors' rate of 1e-3, which falls to 0 along a
cosine, 30 epochs, no weight decay, and the batch of the method's authors. Exceptions are stated in
the class. Rates and weight decay of the authors belong to the activations of VGG-16, which are
larger by two orders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import methods._training as training
from harness.progress import Progress
from methods._base import Hasher

SCALINGS = ("unit", "standard", "none")
OPTIMISERS = ("adam", "sgd")  # of a head without a parameter epsilon
SCHEDULES = (*training.SCHEDULES, "steps")
DROP = 0.1  # factor of the rate at each drop of the schedule "steps"
ENCODED_ROWS = 1024  # at a time


class Scaling(nn.Module):
    """Features (m, d) as a head receives them.

    Parameters
    ----------
    features : ndarray of float32, shape (n, d)
        Of the training images.
    rule : {"unit", "standard", "none"}
        "unit": the mean of the training rows is subtracted, and each row is divided by its norm.
        "standard": the mean is subtracted, and the difference is divided by the standard deviation
        over all rows and dimensions. "none": the features themselves.
    """

    def __init__(self, features: np.ndarray, rule: str):
        super().__init__()
        self.rule = rule
        mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)  # (d,)
        self.register_buffer("mean", torch.from_numpy(mean))
        deviation = 1.0
        if rule == "standard":
            deviation = float(np.sqrt(np.square(features - mean).mean(dtype=np.float64)))
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(self, features: Tensor) -> Tensor:
        if self.rule == "none":
            return features
        if self.rule == "unit":
            return functional.normalize(features - self.mean)
        return (features - self.mean) / self.deviation


class FeatureHead(Hasher):
    """A network on scaled features, whose outputs are thresholded.

    A method stores n_bits and scaling. Its `fit` trains `head_` on the rows of `_scaled`.
    """

    scaling_: Scaling
    head_: nn.Module

    def _scaled(self, features: np.ndarray) -> Tensor:
        """Set the scaling of the training features (n, d), and return them scaled."""
        self.scaling_ = Scaling(features, self.scaling)
        return self.scaling_(torch.tensor(features))

    def project(self, features: np.ndarray) -> np.ndarray:
        """Return the outputs of the head, float32 (m, n_bits), in the mode of evaluation."""
        self.head_.eval()
        with torch.no_grad():
            blocks = torch.tensor(features).split(ENCODED_ROWS)
            return torch.cat([self.head_(self.scaling_(block)) for block in blocks]).numpy()

    def encode(self, features: np.ndarray) -> np.ndarray:
        """Return the codes, bool (m, n_bits)."""
        return self.project(features) >= 0


def learning_rate_at(
    step: int, steps: int, peak: float, schedule: str, drops: Sequence[float] = ()
) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    step, steps : int
        Number of the step from 0, and of all steps.
    peak : float
        The rate of the first step.
    schedule : {"cosine", "constant", "steps"}
        "steps" falls to a tenth at each of the `drops`. For the others, see `_training`.
    drops : sequence of float
        Shares of the training.
    """
    if schedule != "steps":
        return training.learning_rate_at(step, steps, peak, schedule)
    return peak * DROP ** sum(step >= drop * steps for drop in drops)


class Steps:
    """The steps of a training: batches, learning rates, progress and curves.

    An incomplete last batch of an epoch is dropped.

    Parameters
    ----------
    hasher : Hasher
        With n_bits, seed, batch, epochs, learning_rate and schedule.
    n : int
        Number of training rows.
    optimiser : Optimizer
    drops : sequence of float
        See `learning_rate_at`.
    """

    def __init__(
        self,
        hasher: Hasher,
        n: int,
        optimiser: torch.optim.Optimizer,
        drops: Sequence[float] = (),
    ):
        self.hasher, self.n, self.optimiser, self.drops = hasher, n, optimiser, drops
        self.per_epoch = n // hasher.batch
        self.total = self.per_epoch * hasher.epochs
        self.history: list[Tensor] = []
        self.names: list[str] = []

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the rows of every batch, after the learning rate of its step has been set."""
        hasher = self.hasher
        name = type(hasher).__name__
        self.progress = Progress(f"{name} {hasher.n_bits} bits", total=self.total, unit="batches")
        order = training.batches(self.n, hasher.batch, hasher.epochs, hasher.seed)
        for step, (_, rows) in enumerate(order):
            rate = learning_rate_at(
                step, self.total, hasher.learning_rate, hasher.schedule, self.drops
            )
            training.set_learning_rate([self.optimiser], rate)
            yield torch.from_numpy(rows)

    def record(self, **losses: Tensor) -> None:
        """Store the losses of a step; at the end of an epoch, ensure that they are finite."""
        self.names = list(losses)
        self.history.append(torch.stack([loss.detach() for loss in losses.values()]))
        self.progress.advance(**losses)
        if len(self.history) % self.per_epoch == 0:
            training.check_finite(losses, len(self.history) // self.per_epoch - 1)

    def curves(self) -> dict[str, np.ndarray]:
        """Return the mean losses of every epoch, and their names, for `extras_`."""
        history = torch.stack(self.history)  # (steps, losses)
        epochs = history.unflatten(0, (self.hasher.epochs, self.per_epoch)).mean(1)
        return {"curves": epochs.numpy(), "curve_names": np.array(self.names)}


def halves(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Return the halves of a batch, whose rows are compared pair by pair."""
    if len(batch) % 2:
        raise ValueError(
            f"batch is {len(batch)}: expected an even number, since its halves are compared"
        )
    return batch[: len(batch) // 2], batch[len(batch) // 2 :]


def pair_cosines(batch: Tensor) -> Tensor:
    """Return the cosines of row i and row i + B / 2 of a batch (B, d), shape (B / 2,)."""
    return functional.cosine_similarity(*halves(batch))


def cosine_difference(codes: Tensor, inputs: Tensor) -> Tensor:
    """Return the mean squared difference of the pairs' cosines, of codes and of features."""
    return functional.mse_loss(pair_cosines(codes), pair_cosines(inputs))
