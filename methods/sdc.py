"""Similarity distribution calibration."""

import torch
from scipy.stats import beta
from torch import nn
from torch.nn import functional

import methods._heads as heads
import methods._training as training
from methods._heads import FeatureHead

CHOICES = {
    "scaling": heads.SCALINGS,
    "optimiser": heads.OPTIMISERS,
    "schedule": heads.SCHEDULES,
}
DROPS = (0.8,)  # of the schedule "steps", as the authors'


class SDC(FeatureHead):
    """Codes whose cosines have a Beta distribution, in the order of those of the features.

    The head has a hidden layer and batch normalisation.

    Source: Ng et al., BMVC 2023, with its supplement, and the authors' code,
    github.com/kamwoh/sdc at 9981beb.

    Differs from the paper: the contrastive loss, which needs two views of each image, is left out,
    as by the code's default; the hidden layer is as wide as the features, as in the code, instead
    of 4096. By default, features are scaled, and learning rate, schedule and epochs are those of
    `_heads`; a parameter has the authors' value of each.

    Sensitivity: a change of 1e-7 in the initial weights of the last layer changes 0.003 % of the
    bits (digits, 32 bits, one seed).

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
    optimiser : {"adam", "sgd"}
    learning_rate, weight_decay : float
        The authors' learning rate is 1e-4.
    schedule : {"cosine", "constant", "steps"}
        The authors' is "steps": a tenth after 80 % of the epochs.
    batch : int
        An even number.
    epochs : int
        The authors' is 100.
    """

    label, citation, uses_gpu = "SDC head (default)", "ng2023unsupervised", False
    tier, fidelity = "features", "C"
    search_space = {
        "scaling": ("unit", "standard"),
        "concentration": (3.0, 5.0, 8.0),
        "weight_quantisation": (0.1, 1.0, 10.0),
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
        self.optimiser, self.learning_rate = optimiser, learning_rate
        self.weight_decay, self.schedule = weight_decay, schedule
        self.batch, self.epochs = batch, epochs

    def fit(self, features):
        training.check_choices(self, CHOICES)
        inputs = self._scaled(features)  # (n, d)
        d = features.shape[1]
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
        targets = beta_quantiles(self.batch // 2, self.concentration)

        steps = heads.Steps(self, len(inputs), optimiser, DROPS)
        for rows in steps:
            outputs = self.head_(inputs[rows])  # v, (B, n_bits)
            calibration = calibration_loss(outputs, inputs[rows], targets)
            quantisation = quantisation_loss(outputs)
            optimiser.zero_grad()
            (calibration + self.weight_quantisation * quantisation).backward()
            optimiser.step()
            steps.record(calibration=calibration, quantisation=quantisation)
        self.extras_ = steps.curves()
        return self


def beta_quantiles(count, concentration):
    """Return the targets in ascending order, shape (count,), in -1..1.

    They are the quantiles (2 i - 1) / (2 count) of a symmetric Beta distribution on -1..1.
    """
    shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    quantiles = beta.ppf(shares.numpy(), concentration, concentration)
    return torch.from_numpy(2 * quantiles - 1).float()


def calibration_loss(outputs, inputs, targets):
    """Return the mean absolute difference of the pairs' cosines and their targets.

    The pair of inputs with the smallest cosine has the smallest target. Equal cosines are ordered
    by their rows.
    """
    order = heads.pair_cosines(inputs).argsort(stable=True)
    return functional.l1_loss(heads.pair_cosines(outputs)[order], targets)


def quantisation_loss(outputs):
    """Return the mean of 1 - cos(v, sign v)."""
    signs = torch.where(outputs >= 0, 1.0, -1.0).to(outputs.dtype)
    return 1 - functional.cosine_similarity(outputs, signs).mean()
