"""Bi-half networks."""

import torch
from torch import nn

import methods._heads as heads
import methods._training as training
from methods._heads import FeatureHead

CHOICES = {
    "scaling": heads.SCALINGS,
    "optimiser": heads.OPTIMISERS,
    "schedule": heads.SCHEDULES,
}
DROPS = 0.4, 0.8  # of the schedule "steps": the authors' 120 and 240 of 300 epochs


class BiHalf(FeatureHead):
    """A linear layer whose bits are on for half of each batch.

    The cosines of pairs of codes are those of their features.

    Source: Li & van Gemert, AAAI 2021, and the authors' code for CIFAR-10,
    github.com/liyunqianggyn/Deep-Unsupervised-Image-Hashing at 1cd671a.

    Differs from the paper: gamma is the code's 6 instead of the paper's 3; the frozen network has
    no dropout; an incomplete last batch is dropped. By default, features are scaled, and optimiser,
    schedule, weight decay and epochs are those of `_heads`; a parameter has the authors' value of
    each.

    Sensitivity: a change of 1e-7 in the initial weights of the last layer changes no bit
    (digits, 32 bits, one seed).

    Parameters
    ----------
    n_bits : int
    seed : int
    scaling : {"unit", "standard", "none"}
        Of the features; see `Scaling`. The authors' is "none".
    gamma : float
        Weight of the pull of outputs towards their codes, in the gradient only.
    optimiser : {"adam", "sgd"}
        The authors' is "sgd", with a momentum of 0.9.
    learning_rate, weight_decay : float
        The authors' are 1e-4 and 5e-4.
    schedule : {"cosine", "constant", "steps"}
        The authors' is "steps": a tenth after 40 % and after 80 % of the epochs.
    batch : int
        An even number.
    epochs : int
        The authors' is 300.
    """

    label, citation, uses_gpu = "Bi-half head (default)", "li2021deep", False
    tier, fidelity = "features", "C"
    search_space = {
        "scaling": ("unit", "standard"),
        "gamma": (1.0, 3.0, 6.0, 12.0),
        "learning_rate": (0.0001, 0.0003, 0.001, 0.003),
        "weight_decay": (0.0, 0.0005),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        scaling="unit",
        gamma=6.0,
        optimiser="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule="cosine",
        batch=32,
        epochs=30,
    ):
        self.n_bits, self.seed = n_bits, seed
        self.scaling, self.gamma = scaling, gamma
        self.optimiser, self.learning_rate = optimiser, learning_rate
        self.weight_decay, self.schedule = weight_decay, schedule
        self.batch, self.epochs = batch, epochs

    def fit(self, features):
        training.check_choices(self, CHOICES)
        inputs = self._scaled(features)  # (n, d)
        with training.initialised_by(self.seed, "head"):
            self.head_ = nn.Linear(features.shape[1], self.n_bits)
        optimiser = training.optimiser_of(
            self.head_, self.optimiser, self.learning_rate, weight_decay=self.weight_decay
        )

        steps = heads.Steps(self, len(inputs), optimiser, DROPS)
        for rows in steps:
            codes = balanced_sign(self.head_(inputs[rows]), self.gamma)  # (B, n_bits)
            loss = heads.cosine_difference(codes, inputs[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps.record(pairs=loss)
        self.extras_ = steps.curves()
        return self


def balanced_sign(outputs, gamma):
    """Return 1 for the larger half of each column of U (N, L), and -1 for the others: the codes B.

    The gradient with respect to U is that of B, plus gamma (U - B) / (N L). Equal values are
    ordered by their rows.
    """
    return _BalancedSign.apply(outputs, gamma)


class _BalancedSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, outputs, gamma):
        order = outputs.argsort(dim=0, descending=True, stable=True)
        codes = torch.full_like(outputs, -1.0).scatter_(0, order[: len(outputs) // 2], 1.0)
        ctx.save_for_backward(outputs, codes)
        ctx.gamma = gamma
        return codes

    @staticmethod
    def backward(ctx, gradient):
        outputs, codes = ctx.saved_tensors
        return gradient + ctx.gamma * (outputs - codes) / outputs.numel(), None
