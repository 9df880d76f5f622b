"""GreedyHash in its unsupervised form."""

from torch import nn

import methods._heads as heads
import methods._training as training
from methods._activations import straight_through
from methods._heads import FeatureHead

CHOICES = {
    "scaling": heads.SCALINGS,
    "optimiser": heads.OPTIMISERS,
    "schedule": training.SCHEDULES,
}


class GreedyHash(FeatureHead):
    """A linear layer whose signs are trained with the gradient of the identity.

    The cosines of pairs of codes are those of their features, and outputs are drawn to -1 and 1.

    Source: Su, Zhang, Han & Tian, NeurIPS 2018, section 4.2, and the authors' unsupervised code,
    github.com/ssppp/GreedyHash at e5089b2.

    Differs from the paper: sign(0) is 1; the frozen network has no dropout; an incomplete last
    batch is dropped; the weights are those after the last epoch, where the authors keep the best
    ones on the test queries. By default, features are scaled, and optimiser, schedule, weight decay
    and epochs are those of `_heads`; a parameter has the authors' value of each.

    Sensitivity: a change of 1e-7 in the initial weights of the last layer changes no bit
    (digits, 32 bits, one seed).

    Parameters
    ----------
    n_bits : int
    seed : int
    scaling : {"unit", "standard", "none"}
        Of the features; see `Scaling`. The authors' is "none".
    weight_cubic : float
        Of the mean of ``abs(abs(h) - 1) ** 3`` over the outputs h.
    optimiser : {"adam", "sgd"}
        The authors' is "sgd", with a momentum of 0.9.
    learning_rate, weight_decay : float
        The authors' are 1e-4 and 5e-4.
    schedule : {"cosine", "constant"}
        The authors' is "constant".
    batch : int
        An even number.
    epochs : int
        The authors' are 60, and 300 for 16 bits.
    """

    label, citation, uses_gpu = "GreedyHash head (default)", "su2018greedy", False
    tier, fidelity = "features", "C"
    search_space = {
        "scaling": ("unit", "standard"),
        "weight_cubic": (0.01, 0.1, 1.0),
        "learning_rate": (0.0001, 0.0003, 0.001, 0.003),
        "weight_decay": (0.0, 0.0005),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        scaling="unit",
        weight_cubic=0.1,
        optimiser="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule="cosine",
        batch=32,
        epochs=30,
    ):
        self.n_bits, self.seed = n_bits, seed
        self.scaling, self.weight_cubic = scaling, weight_cubic
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

        steps = heads.Steps(self, len(inputs), optimiser)
        for rows in steps:
            outputs = self.head_(inputs[rows])  # (B, n_bits)
            pairs = heads.cosine_difference(straight_through(outputs), inputs[rows])
            cubic = cubic_loss(outputs)
            optimiser.zero_grad()
            (pairs + self.weight_cubic * cubic).backward()
            optimiser.step()
            steps.record(pairs=pairs, cubic=cubic)
        self.extras_ = steps.curves()
        return self


def cubic_loss(outputs):
    """Return the mean of | |h| - 1 |^3."""
    return (outputs.abs() - 1).abs().pow(3).mean()
