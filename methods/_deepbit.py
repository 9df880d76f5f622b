"""What the DeepBit-style methods share: one linear layer on frozen features, its losses, and how it is trained and cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from harness.progress import Progress
from methods._base import Hasher
from methods._training import check_choices, check_finite, initialised_by, stream_seed

CHOICES = {"threshold": ("global", "per-bit")}
REPORTED = 500  # steps between two values of the curves
START = 50.0  # length of a training feature, so that outputs begin with a standard deviation of 0.5, what they are cut at


class Stage(NamedTuple):
    """Batches, how many until the learning rate falls to a tenth, the rate, and the size of a batch."""

    iterations: int
    step: int
    learning_rate: float
    batch: int


class OneLayer(Hasher):
    """One linear layer on features (n, d), trained so that its outputs are near 0 or 1, and so that every bit is on half the time.

    A method stores n_bits, seed, weight_quantisation, weight_even, momentum, weight_decay, dropout and threshold.
    """

    def _first_stage(self, features: np.ndarray, stage: Stage) -> None:
        """Train a new layer for quantisation and even distribution alone, on batches of the training features drawn at random."""
        check_choices(self, CHOICES)
        torch.set_num_threads(1)
        self.mean_ = features.mean(axis=0, dtype=np.float64).astype(np.float32)  # (d,)
        centred = torch.from_numpy(features - self.mean_)
        self.scale_ = START / float(centred.square().sum(dim=1).mean().sqrt())
        inputs = centred * self.scale_
        generator = np.random.default_rng(stream_seed(self.seed, "batches"))

        def losses(step: int) -> dict[str, torch.Tensor]:
            rows = torch.from_numpy(generator.integers(len(inputs), size=stage.batch))
            outputs = self._trained_outputs(inputs[rows])  # (batch, n_bits)
            return {
                "quantisation": quantisation_loss(outputs),
                "even distribution": even_loss(outputs),
            }

        with initialised_by(self.seed, "layer"):
            self.layer_ = nn.Linear(features.shape[1], self.n_bits)
            nn.init.normal_(self.layer_.weight, std=0.01)
            nn.init.zeros_(self.layer_.bias)
            weights = {
                "quantisation": self.weight_quantisation,
                "even distribution": self.weight_even,
            }
            curves = self._descend(losses, weights, stage, len(inputs))
        self.extras_ = {"curves": curves, "curve_names": np.array(list(weights))}

    def _trained_outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (batch, n_bits) as they are in training: after dropout, with a ReLU. inputs: centred and scaled, (batch, d)."""
        return functional.relu(self.layer_(functional.dropout(inputs, self.dropout)))

    def _descend(
        self,
        losses: Callable[[int], dict[str, torch.Tensor]],
        weights: dict[str, float],
        stage: Stage,
        n: int,
    ) -> np.ndarray:
        """Stochastic gradient descent of the layer on the sum of a step's losses times their weights; an epoch has n items.

        Returns the losses, float32 (points, losses), each point the mean of REPORTED steps.
        """
        rate = stage.learning_rate
        groups = [{"params": [self.layer_.weight]}, {"params": [self.layer_.bias], "lr": 2 * rate}]
        optimiser = torch.optim.SGD(
            groups, rate, momentum=self.momentum, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, stage.step, gamma=0.1)
        progress = Progress(f"deepbit {self.n_bits} bits", total=stage.iterations, unit="batches")
        history = []
        for step in range(stage.iterations):
            found = losses(step)
            sum(weights[name] * loss for name, loss in found.items()).backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            history.append(torch.stack(list(found.values())).detach())
            progress.advance(**found)
            if len(history) % REPORTED == 0:
                check_finite(found, epoch=len(history) * stage.batch // n)
        return torch.stack(
            [points.mean(dim=0) for points in torch.stack(history).split(REPORTED)]
        ).numpy()

    def _cut(self, features: np.ndarray) -> None:
        """Fix the threshold, on the training features."""
        self.layer_ = self.layer_.requires_grad_(False).double()
        outputs = self._outputs(features)
        self.threshold_ = outputs.mean(dim=0) if self.threshold == "per-bit" else outputs.mean()

    def _codes(self, features: np.ndarray) -> np.ndarray:
        return (self._outputs(features) - self.threshold_).numpy() >= 0

    def _outputs(self, features: np.ndarray) -> torch.Tensor:
        """The layer's outputs (m, n_bits), without the ReLU that they have in training."""
        return self.layer_(torch.from_numpy(features - self.mean_).double() * self.scale_)


def quantisation_loss(outputs: torch.Tensor) -> torch.Tensor:
    """Half the sum over bits of (1[f > 0.5] - f)^2, mean over the batch. outputs (batch, L)."""
    return ((outputs > 0.5).float() - outputs).square().sum() / (2 * len(outputs))


def even_loss(outputs: torch.Tensor) -> torch.Tensor:
    """Half the sum over bits of (mean of 1[f > 0.5] - 0.5)^2, over the batch's size, its gradient that of f. outputs (batch, L)."""
    on = outputs + ((outputs > 0.5).float() - outputs).detach()
    return (on.mean(dim=0) - 0.5).square().sum() / (2 * len(outputs))


def rotation_loss(
    outputs: torch.Tensor, rotated: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Half the mean over the batch of w |f_rotated - f|^2. outputs, rotated (batch, L), weights (batch,)."""
    return (weights * (rotated - outputs).square().sum(dim=1)).sum() / (2 * len(outputs))
