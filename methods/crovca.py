"""Cross-view code alignment."""

import itertools

import torch
from torch import nn
from torch.nn import functional

import methods._heads as heads
import methods._training as training
from methods._heads import FeatureHead
from methods._views import Pairs

CHOICES = {"scaling": heads.SCALINGS, "schedule": training.SCHEDULES}
START = 0.02  # standard deviation of the initial weights


class CroVCA(FeatureHead):
    """Bits of one view of an image that are predicted from the other view.

    The head has a hidden layer and batch normalisation. The coding rate of each batch is
    maximised, so that codes differ.

    Source: Moummad, Zaher, Goëau & Joly, arXiv 2510.27584 v3, and the authors' code,
    github.com/ilyassmoummad/cross-view-code-alignment at d025fc9 and 03a5bf8.

    Differs from the paper: two views are drawn from a finite pool of views, which were computed
    before, for each batch, and are less varied; the encoder is frozen throughout, as in the paper,
    while the command in the authors' README trains it from the second epoch; a target is on for a
    logit >= 0; codes are ranked by Hamming distance; float32 throughout; the cosine schedule ends
    at 0 instead of 1e-6; an incomplete last batch is dropped. By default, features are scaled, and
    weight decay and epochs are those of `_heads`; a parameter has the authors' value of each. With
    the default weight decay of 0, the optimiser AdamW is Adam.

    Sensitivity: a change of 1e-7 in the initial weights of the last layer changes 1 % of the bits
    on digits, and 7 % on CIFAR-10 with SqueezeNet (32 bits, one seed): the targets are binary.

    Parameters
    ----------
    n_bits : int
    seed : int
    scaling : {"unit", "standard", "none"}
        Of the features; see `Scaling`. The authors' is "none".
    weight_rate : float
        Of the coding rate.
    distortion : float
        Of the coding rate: the larger, the less it counts that codes differ.
    learning_rate, weight_decay : float
        Of AdamW. The authors' weight decay is 0.01.
    schedule : {"cosine", "constant"}
    batch : int
        Images, of each of which the head sees two views.
    epochs : int
        The authors' are 5.
    """

    label, citation, uses_gpu = "CroVCA head, pool of 4 views (default)", "moummad2026image", False
    tier, fidelity = "views", "C"
    search_space = {
        "scaling": ("unit", "standard"),
        "weight_rate": (0.03, 0.1, 0.3, 1.0),
        "distortion": (0.05, 0.2, 0.5),
        "learning_rate": (0.0001, 0.0003, 0.001, 0.003),
        "weight_decay": (0.0, 0.01),
        "epochs": (5, 30),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        scaling="unit",
        weight_rate=0.1,
        distortion=0.05,
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule="cosine",
        batch=256,
        epochs=30,
    ):
        self.n_bits, self.seed, self.scaling = n_bits, seed, scaling
        self.weight_rate, self.distortion = weight_rate, distortion
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.schedule, self.batch, self.epochs = schedule, batch, epochs

    def fit(self, features, views):
        training.check_choices(self, CHOICES)
        n, d = self._scaled(features).shape
        with training.initialised_by(self.seed, "head"):
            self.head_ = nn.Sequential(
                nn.Linear(d, d), nn.ReLU(), nn.Linear(d, self.n_bits), nn.BatchNorm1d(self.n_bits)
            )
            for layer in self.head_[0], self.head_[2]:
                nn.init.trunc_normal_(layer.weight, std=START)
                nn.init.zeros_(layer.bias)
        optimiser = torch.optim.AdamW(
            self.head_.parameters(), self.learning_rate, weight_decay=self.weight_decay, fused=True
        )

        steps = heads.Steps(self, n, optimiser)
        for pair in Pairs(views, self.scaling_, self.seed).of(steps):
            logits = [self.head_(view) for view in pair]  # each normalised alone, (B, n_bits)
            alignment = alignment_loss(logits)
            rates = [coding_rate(of_view, self.distortion) for of_view in logits]
            rate = torch.stack(rates).mean()
            optimiser.zero_grad()
            (alignment - self.weight_rate * rate).backward()
            optimiser.step()
            steps.record(alignment=alignment, rate=rate)
        self.extras_ = steps.curves()
        return self


def alignment_loss(logits):
    """Return the mean cross entropy of the bits of each view, given the logits of each other one.

    logits: of each view (B, L). The bits are fixed.
    """
    losses = [
        functional.binary_cross_entropy_with_logits(predicted, (other >= 0).to(other.dtype))
        for predicted, other in itertools.permutations(logits, 2)
    ]
    return torch.stack(losses).mean()


def coding_rate(logits, distortion):
    """Return (B + L) / (2 B L) log det(I + L / (B distortion) V^T V).

    The rows of V are those of the logits (B, L), divided by their norms.
    """
    batch, bits = logits.shape
    rows = functional.normalize(logits)  # V
    scatter = rows.T @ rows * (bits / (batch * distortion))  # (L, L)
    identity = torch.eye(bits, dtype=logits.dtype)
    # Half the logarithm of a determinant is that of the diagonal of a Cholesky factor.
    factor = torch.linalg.cholesky(identity + scatter)
    return factor.diagonal().log().sum() * (batch + bits) / (batch * bits)
