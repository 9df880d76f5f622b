"""Similarity distribution calibration with its contrastive loss."""

import torch
from torch import nn

import methods._heads as heads
import methods._training as training
from methods._heads import FeatureHead
from methods._views import Pairs, contrastive_loss
from methods.sdc import DROPS, beta_quantiles, calibration_loss, quantisation_loss

CHOICES = {
    "scaling": heads.SCALINGS,
    "optimiser": heads.OPTIMISERS,
    "schedule": heads.SCHEDULES,
}


class SDCContrastive(FeatureHead):
    """`SDC` on two views of each image, which are also recognised among those of other images.

    Source: Ng et al., BMVC 2023, with its supplement, and the authors' code,
    github.com/kamwoh/sdc at 9981beb.

    Differs from the paper: as `SDC`; two views are drawn from a finite pool of views, which were
    computed before, for each batch. By default, features are scaled, and learning rate, schedule
    and epochs are those of `_heads`; a parameter has the authors' value of each.

    Sensitivity: a change of 1e-7 in the initial weights of the last layer changes 4 % of the bits
    on digits, and 1 % on CIFAR-10 with SqueezeNet (32 bits, one seed).

    Parameters
    ----------
    n_bits : int
    seed : int
    scaling : {"unit", "standard", "none"}
        Of the features; see `Scaling`. The authors' is "none".
    n_hidden : int or None
        Width of the hidden layer; None for that of the features.
    concentration : float
        Both parameters of the Beta distribution.
    weight_quantisation : float
        Of 1 - cos(v, sign v) over the outputs v.
    weight_contrastive, temperature : float
        Of the contrastive loss of the outputs.
    optimiser : {"adam", "sgd"}
    learning_rate, weight_decay : float
        The authors' learning rate is 1e-4.
    schedule : {"cosine", "constant", "steps"}
        The authors' is "steps": a tenth after 80 % of the epochs.
    batch : int
        Images, of each of which the head sees two views. An even number.
    epochs : int
        The authors' is 100.
    """

    label, citation = "SDC head, contrastive, pool of 4 views (default)", "ng2023unsupervised"
    uses_gpu = False
    tier, fidelity = "views", "C"
    search_space = {
        "scaling": ("unit", "standard"),
        "concentration": (3.0, 5.0, 8.0),
        "weight_contrastive": (0.1, 0.3, 1.0),
        "temperature": (0.2, 0.3, 0.5),
        "learning_rate": (0.0001, 0.0003, 0.001),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        scaling="unit",
        n_hidden: int | None = None,
        concentration=5.0,
        weight_quantisation=1.0,
        weight_contrastive=1.0,
        temperature=0.3,
        optimiser="adam",
        learning_rate=1e-3,
        weight_decay=1e-5,
        schedule="cosine",
        batch=64,
        epochs=30,
    ):
        self.n_bits, self.seed = n_bits, seed
        self.scaling, self.n_hidden = scaling, n_hidden
        self.concentration, self.weight_quantisation = concentration, weight_quantisation
        self.weight_contrastive, self.temperature = weight_contrastive, temperature
        self.optimiser, self.learning_rate = optimiser, learning_rate
        self.weight_decay, self.schedule = weight_decay, schedule
        self.batch, self.epochs = batch, epochs

    def fit(self, features, views):
        training.check_choices(self, CHOICES)
        n, d = self._scaled(features).shape
        n_hidden = self.n_hidden or d
        with training.initialised_by(self.seed, "head"):
            self.head_ = nn.Sequential(
                nn.Linear(d, n_hidden),
                nn.GELU(),
                nn.Linear(n_hidden, self.n_bits),
                nn.BatchNorm1d(self.n_bits),
            )
        optimiser = training.optimiser_of(
            self.head_, self.optimiser, self.learning_rate, weight_decay=self.weight_decay
        )
        targets = beta_quantiles(self.batch, self.concentration)

        steps = heads.Steps(self, n, optimiser, DROPS)
        for pair in Pairs(views, self.scaling_, self.seed).of(steps):
            inputs = side_by_side(*pair)  # (2 B, d)
            outputs = self.head_(inputs)  # v, (2 B, n_bits)
            calibration = calibration_loss(outputs, inputs, targets)
            quantisation = quantisation_loss(outputs)
            contrast = contrastive_loss(*apart(outputs), self.temperature)
            optimiser.zero_grad()
            loss = calibration + self.weight_quantisation * quantisation
            (loss + self.weight_contrastive * contrast).backward()
            optimiser.step()
            steps.record(calibration=calibration, quantisation=quantisation, contrast=contrast)
        self.extras_ = steps.curves()
        return self


def side_by_side(first, second):
    """Return two views (B, d) as a batch (2 B, d) whose halves are compared within each view.

    Row i and row i + B are two images of one view.
    """
    halves = zip(heads.halves(first), heads.halves(second), strict=True)
    return torch.cat([torch.cat(half) for half in halves])


def apart(batch):
    """Return the two views (B, L) of a batch (2 B, L) of `side_by_side`."""
    quarters = batch.chunk(4)
    return torch.cat(quarters[::2]), torch.cat(quarters[1::2])
