"""Contrastive information bottleneck hashing."""

import torch
from torch import nn
from torch.nn import functional

import methods._heads as heads
import methods._training as training
from methods._activations import straight_through
from methods._heads import FeatureHead
from methods._views import Pairs, contrastive_loss

CHOICES = {
    "scaling": heads.SCALINGS,
    "optimiser": heads.OPTIMISERS,
    "schedule": training.SCHEDULES,
}


class CIBHash(FeatureHead):
    """Codes by which two views of an image are recognised among those of other images.

    A head with one hidden layer gives the probability of each bit. The probabilities of two views
    are drawn to each other, which keeps what differs between views out of the codes.

    Source: Qiu et al., IJCAI 2021, and the authors' code, github.com/qiuzx2/CIBHash at e976ace.

    Differs from the paper: two views are drawn from a finite pool of views, which were computed
    before, for each batch; the frozen network has no dropout; sign(0) is 1; an incomplete last
    batch is dropped; the weights are those after the last epoch. By default, features are scaled,
    and schedule and epochs are those of `_heads`; a parameter has the authors' value of each.

    Sensitivity: a change of 1e-7 in the initial weights of the last layer changes 5 % of the bits
    on digits, and 12 % on CIFAR-10 with SqueezeNet (32 bits, one seed): the loss sees binary codes.

    Parameters
    ----------
    n_bits : int
    seed : int
    scaling : {"unit", "standard", "none"}
        Of the features; see `Scaling`. The authors' is "none".
    n_hidden : int
    temperature : float
        Of the contrastive loss.
    weight_bottleneck : float
        Of the divergence between the probabilities of two views.
    optimiser : {"adam", "sgd"}
    learning_rate, weight_decay : float
    schedule : {"cosine", "constant"}
        The authors' is "constant".
    batch : int
        Images, of each of which the head sees two views.
    epochs : int
        The authors' are 60, and 80 for 16 bits.
    """

    label, citation, uses_gpu = (
        "CIBHash head, pool of 4 views (default)",
        "qiu2021unsupervised",
        False,
    )
    tier, fidelity = "views", "C"
    search_space = {
        "scaling": ("unit", "standard"),
        "temperature": (0.1, 0.2, 0.3, 0.5),
        "weight_bottleneck": (0.0, 0.001, 0.01),
        "learning_rate": (0.0001, 0.0003, 0.001),
        "epochs": (30, 60),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        scaling="unit",
        n_hidden=1024,
        temperature=0.3,
        weight_bottleneck=0.001,
        optimiser="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule="cosine",
        batch=64,
        epochs=30,
    ):
        self.n_bits, self.seed = n_bits, seed
        self.scaling, self.n_hidden = scaling, n_hidden
        self.temperature, self.weight_bottleneck = temperature, weight_bottleneck
        self.optimiser, self.learning_rate = optimiser, learning_rate
        self.weight_decay, self.schedule = weight_decay, schedule
        self.batch, self.epochs = batch, epochs

    def fit(self, features, views):
        training.check_choices(self, CHOICES)
        n, d = self._scaled(features).shape
        with training.initialised_by(self.seed, "head"):
            self.head_ = nn.Sequential(
                nn.Linear(d, self.n_hidden), nn.ReLU(), nn.Linear(self.n_hidden, self.n_bits)
            )
        optimiser = training.optimiser_of(
            self.head_, self.optimiser, self.learning_rate, weight_decay=self.weight_decay
        )

        steps = heads.Steps(self, n, optimiser)
        for pair in Pairs(views, self.scaling_, self.seed).of(steps):
            logits = [self.head_(view) for view in pair]  # of the probabilities, (B, n_bits)
            codes = [binary(of_view) for of_view in logits]
            contrast = contrastive_loss(*codes, self.temperature)
            bottleneck = bottleneck_loss(*logits)
            optimiser.zero_grad()
            (contrast + self.weight_bottleneck * bottleneck).backward()
            optimiser.step()
            steps.record(contrast=contrast, bottleneck=bottleneck)
        self.extras_ = steps.curves()
        return self


def binary(logits):
    """Return the signs of p - 1/2, where p are the probabilities of logits.

    Their gradient is taken to be that of p.
    """
    return straight_through(torch.sigmoid(logits) - 0.5)


def bottleneck_loss(first, second):
    """Return half the symmetric divergence of bits with these logits (B, L).

    KL(p || q) is summed over the bits and averaged over the batch. Its gradient is with respect to
    p alone.
    """
    return (bernoulli_divergence(first, second) + bernoulli_divergence(second, first)) / 2


def bernoulli_divergence(logits, others):
    """Return KL(p || q) of bits with the logits (B, L), with q fixed."""
    others = others.detach()
    on = functional.logsigmoid(logits) - functional.logsigmoid(others)
    off = functional.logsigmoid(-logits) - functional.logsigmoid(-others)
    share = torch.sigmoid(logits)
    return (share * on + (1 - share) * off).sum(dim=1).mean()
