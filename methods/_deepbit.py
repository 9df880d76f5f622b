"""The layer of the DeepBit-style methods: its losses, its training and its threshold."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.progress import Progress
from methods._base import Hasher
from methods._training import check_choices, check_finite, initialised_by, stream_seed

CHOICES = {"threshold": ("global", "per-bit")}
CURVE_STEPS = 500  # steps of which a point of the curves is the mean


class Stage(NamedTuple):
    """A stage of training: batches, batches until the rate falls to a tenth, rate and batch."""

    iterations: int
    step: int
    learning_rate: float
    batch: int


class OneLayer(Hasher):
    """One linear layer on features, with outputs near 0 or 1 and bits on half the time.

    A method stores n_bits, seed, start, weight_quantisation, weight_even, momentum, weight_decay,
    dropout, relu and threshold.
    """

    def _first_stage(self, features: np.ndarray, stage: Stage) -> None:
        """Train a new layer for quantisation and even distribution, on random batches.

        features: (n, d) of the training images.
        """
        check_choices(self, CHOICES)
        torch.set_num_threads(1)
        self.mean_ = features.mean(axis=0, dtype=np.float64).astype(np.float32)  # (d,)
        centred = torch.from_numpy(features - self.mean_)  # (n, d)
        self.scale_ = self.start / float(centred.square().sum(dim=1).mean().sqrt())
        inputs = centred * self.scale_
        generator = np.random.default_rng(stream_seed(self.seed, "batches"))

        def losses(step: int) -> dict[str, Tensor]:
            rows = torch.from_numpy(generator.integers(len(inputs), size=stage.batch))
            outputs = self._trained_outputs(inputs[rows])  # (batch, n_bits)
            return {
                "quantisation": quantisation_loss(outputs),
                "even distribution": even_loss(outputs),
            }

        weights = {
            "quantisation": self.weight_quantisation,
            "even distribution": self.weight_even,
        }
        with initialised_by(self.seed, "layer"):
            self.layer_ = nn.Linear(features.shape[1], self.n_bits)
            nn.init.normal_(self.layer_.weight, std=0.01)
            nn.init.zeros_(self.layer_.bias)
            curves = self._descend(losses, weights, stage, len(inputs))

        self.extras_ = {"curves": curves, "curve_names": np.array(list(weights))}

    def _trained_outputs(self, inputs: Tensor) -> Tensor:
        """Return the outputs (batch, n_bits) in training, after dropout.

        inputs: centred and scaled, (batch, d).
        """
        outputs = self.layer_(functional.dropout(inputs, self.dropout))
        return functional.relu(outputs) if self.relu else outputs

    def _descend(
        self,
        losses: Callable[[int], dict[str, Tensor]],
        weights: dict[str, float],
        stage: Stage,
        n: int,
    ) -> np.ndarray:
        """Train the layer by stochastic gradient descent on the weighted sum of the losses.

        Parameters
        ----------
        losses : callable
            Takes the number of a step, and returns its losses.
        weights : dict
            Weight of each loss.
        stage : Stage
        n : int
            Items of an epoch.

        Returns
        -------
        ndarray of float32, shape (points, losses)
            The losses, each point the mean of CURVE_STEPS steps.
        """
        rate = stage.learning_rate
        groups = [
            {"params": [self.layer_.weight], "weight_decay": self.weight_decay},
            {"params": [self.layer_.bias], "lr": 2 * rate},  # without decay, as released
        ]
        optimiser = torch.optim.SGD(groups, rate, momentum=self.momentum)
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, stage.step, gamma=0.1)
        progress = Progress(f"deepbit {self.n_bits} bits", total=stage.iterations, unit="batches")

        history = []
        for step in range(stage.iterations):
            values = losses(step)
            sum(weights[name] * loss for name, loss in values.items()).backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()

            history.append(torch.stack(list(values.values())).detach())
            progress.advance(**values)
            if len(history) % CURVE_STEPS == 0:
                check_finite(values, epoch=len(history) * stage.batch // n)

        points = torch.stack(history).split(CURVE_STEPS)
        return torch.stack([point.mean(dim=0) for point in points]).numpy()

    def _fix_threshold(self, features: np.ndarray) -> None:
        """Set the threshold to the mean output of the training features (n, d)."""
        self.layer_ = self.layer_.requires_grad_(False).double()
        outputs = self._outputs(features)  # (n, n_bits)
        self.threshold_ = outputs.mean(dim=0) if self.threshold == "per-bit" else outputs.mean()

    def _codes(self, features: np.ndarray) -> np.ndarray:
        return (self._outputs(features) - self.threshold_).numpy() >= 0

    def _outputs(self, features: np.ndarray) -> Tensor:
        """Return the outputs (m, n_bits) in float64, without dropout and ReLU."""
        return self.layer_(torch.from_numpy(features - self.mean_).double() * self.scale_)


def quantisation_loss(outputs: Tensor) -> Tensor:
    """Return half the sum over bits of (1[f > 0.5] - f)^2, mean over the batch.

    outputs: (batch, L).
    """
    return ((outputs > 0.5).float() - outputs).square().sum() / (2 * len(outputs))


def even_loss(outputs: Tensor) -> Tensor:
    """Return half the sum over bits of (mean of 1[f > 0.5] - 0.5)^2, divided by the batch.

    The gradient of the step function is taken to be that of f. outputs: (batch, L).
    """
    on = outputs + ((outputs > 0.5).float() - outputs).detach()
    return (on.mean(dim=0) - 0.5).square().sum() / (2 * len(outputs))


def rotation_loss(outputs: Tensor, rotated: Tensor, weights: Tensor) -> Tensor:
    """Return half the mean over the batch of w |f_rotated - f|^2.

    outputs, rotated: (batch, L); weights: (batch,).
    """
    return (weights * (rotated - outputs).square().sum(dim=1)).sum() / (2 * len(outputs))
