"""Compact binary descriptors by quantisation and even distribution, on features."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from methods._base import Hasher
from methods._training import check_choices, check_finite, initialised_by, stream_seed
from progress import Progress

CHOICES = {"threshold": ("global", "per-bit")}
REPORTED = 500  # steps between two values of the curves
START = 50.0  # length of a training feature, so that outputs begin with a standard deviation of 0.5, what they are cut at


class DeepBit(Hasher):
    """One linear layer on frozen features, trained so that its outputs are near 0 or 1, and so that every bit is on half the time.

    Source: Lin et al., CVPR 2016, section 3, and the authors' code, github.com/kevinlin311tw/cvpr16-deepbit: optimiser, schedule,
    batch, dropout and the one threshold at the mean of all outputs.
    Differs from the paper: no second stage, which holds together the codes of an image and of its rotations, since features of rotated
    images are not given. True gradients: the released layers' add up to zero. The step function of the even distribution is flat, so
    its gradient is taken to be that of the output. The released losses are both divided by the batch, and one of them already is a
    mean over it: with true gradients and equal weights every bit then ends up off. weight_even undoes that division. Features are
    centred and scaled as a whole, since theirs were of one network. threshold: "global", as released, or "per-bit", the mean of each.
    """

    label, citation, uses_gpu = "DeepBit-style, no rotation", "lin2016learning", False

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        weight_quantisation=1.0,
        weight_even=32.0,
        iterations=50000,
        step=25000,
        learning_rate=0.001,
        momentum=0.9,
        weight_decay=0.0005,
        batch=32,
        dropout=0.5,
        threshold="global",
    ):
        self.n_bits, self.seed = n_bits, seed
        self.weight_quantisation, self.weight_even = weight_quantisation, weight_even
        self.iterations, self.step, self.batch = iterations, step, batch
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.dropout, self.threshold = dropout, threshold

    def fit(self, features):
        check_choices(self, CHOICES)
        torch.set_num_threads(1)
        self.mean_ = features.mean(axis=0, dtype=np.float64).astype(np.float32)  # (d,)
        centred = torch.from_numpy(features - self.mean_)
        self.scale_ = START / float(centred.square().sum(dim=1).mean().sqrt())
        generator = np.random.default_rng(stream_seed(self.seed, "batches"))
        with initialised_by(self.seed, "layer"):
            layer = nn.Linear(features.shape[1], self.n_bits)
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
            curves = self._train(layer, centred * self.scale_, generator)
        self.extras_ = {"curves": curves, "curve_names": np.array(["quantisation", "even distribution"])}
        self.layer_ = layer.requires_grad_(False).double()
        outputs = self._outputs(features)
        self.threshold_ = outputs.mean(dim=0) if self.threshold == "per-bit" else outputs.mean()
        return self

    def encode(self, features):
        return (self._outputs(features) - self.threshold_).numpy() >= 0

    def _outputs(self, features):
        """The layer's outputs (m, n_bits), without the ReLU that they have in training."""
        return self.layer_(torch.from_numpy(features - self.mean_).double() * self.scale_)

    def _train(self, layer, inputs, generator):
        """Stochastic gradient descent on inputs (n, d); returns both losses, float32 (points, 2), each the mean of REPORTED steps."""
        groups = [{"params": [layer.weight]}, {"params": [layer.bias], "lr": 2 * self.learning_rate}]
        optimiser = torch.optim.SGD(groups, self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, self.step, gamma=0.1)
        progress = Progress(f"deepbit {self.n_bits} bits", total=self.iterations, unit="batches")
        history = []
        for _ in range(self.iterations):
            rows = torch.from_numpy(generator.integers(len(inputs), size=self.batch))
            outputs = functional.relu(layer(functional.dropout(inputs[rows], self.dropout)))  # (batch, n_bits)
            losses = {"quantisation": quantisation_loss(outputs), "even": even_loss(outputs)}
            (self.weight_quantisation * losses["quantisation"] + self.weight_even * losses["even"]).backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            history.append(torch.stack(list(losses.values())).detach())
            progress.advance(**losses)
            if len(history) % REPORTED == 0:
                check_finite(losses, epoch=len(history) * self.batch // len(inputs))
        points = torch.stack(history).split(REPORTED)
        return torch.stack([point.mean(dim=0) for point in points]).numpy()


def quantisation_loss(outputs: torch.Tensor) -> torch.Tensor:
    """Half the sum over bits of (1[f > 0.5] - f)^2, mean over the batch. outputs (batch, L)."""
    return ((outputs > 0.5).float() - outputs).square().sum() / (2 * len(outputs))


def even_loss(outputs: torch.Tensor) -> torch.Tensor:
    """Half the sum over bits of (mean of 1[f > 0.5] - 0.5)^2, over the batch's size, its gradient that of f. outputs (batch, L)."""
    on = outputs + ((outputs > 0.5).float() - outputs).detach()
    return (on.mean(dim=0) - 0.5).square().sum() / (2 * len(outputs))
