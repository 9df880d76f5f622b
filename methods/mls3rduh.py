"""Hashing by reconstructed local similarity on a manifold."""

import numpy as np
import torch
from scipy.linalg import inv
from torch import nn
from torch.nn import functional

import methods._heads as heads
import methods._training as training
from methods._heads import FeatureHead

CHOICES = {
    "scaling": heads.SCALINGS,
    "optimiser": heads.OPTIMISERS,
    "schedule": training.SCHEDULES,
}
DIFFUSION = 0.99  # alpha in the paper
ROWS = 1000  # of a matrix of all pairs at a time


class MLS3RDUH(FeatureHead):
    """A linear layer that reproduces cosines, corrected by similarities on a manifold.

    A near neighbour by cosine becomes a similar one if it is also near by diffusion on the graph
    of mutual neighbours, and else a dissimilar one.

    Source: Tu, Mao & Wei, IJCAI 2020, and the authors' code, github.com/rongchengtu1/MLS3RDUH at
    5c9a99f.

    Differs from the paper: a linear layer is trained on frozen features, without dropout, instead
    of all layers of the network; cosines below 0, which the features of the authors do not have,
    count as 0; an incomplete last batch is dropped; at most `sample` training images, a random
    subset, since the matrix of all pairs is inverted. By default, features are scaled, and
    optimiser, schedule, weight decay and epochs are those of `_heads`; a parameter has the authors'
    value of each.

    Sensitivity: a change of 1e-7 in the initial weights of the last layer changes no bit
    (digits, 32 bits, one seed).

    Parameters
    ----------
    n_bits : int
    seed : int
    scaling : {"unit", "standard", "none"}
        Of the features; see `Scaling`. The authors' is "none".
    share_cosine, share_manifold : float
        Shares of the training rows that are near by cosine, and on the manifold. The second is the
        code's, where the paper has 0.06.
    optimiser : {"adam", "sgd"}
        The authors' is "sgd", without momentum.
    learning_rate, weight_decay : float
        The authors' are 0.04 and 1e-5.
    schedule : {"cosine", "constant"}
        The authors' is "constant".
    batch : int
    epochs : int
        The authors' is 150.
    """

    label, citation, uses_gpu = "MLS3RDUH head (default)", "tu2020mls3rduh", False
    sample = 10_000
    tier, fidelity = "features", "C"
    search_space = {
        "scaling": ("unit", "standard"),
        "share_cosine": (0.03, 0.06, 0.12),
        "share_manifold": (0.06, 0.09, 0.18),
        "learning_rate": (0.0001, 0.0003, 0.001, 0.003),
        "weight_decay": (0.0, 0.00001),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        scaling="unit",
        share_cosine=0.06,
        share_manifold=0.09,
        optimiser="adam",
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule="cosine",
        batch=128,
        epochs=30,
    ):
        self.n_bits, self.seed = n_bits, seed
        self.scaling = scaling
        self.share_cosine, self.share_manifold = share_cosine, share_manifold
        self.optimiser, self.learning_rate = optimiser, learning_rate
        self.weight_decay, self.schedule = weight_decay, schedule
        self.batch, self.epochs = batch, epochs

    def fit(self, features):
        training.check_choices(self, CHOICES)
        inputs = self._scaled(features)  # (n, d)
        n_cosine = max(1, int(len(inputs) * self.share_cosine))
        n_manifold = max(1, int(len(inputs) * self.share_manifold))
        cosines = positive_cosines(inputs)
        similarities = torch.from_numpy(reconstructed(cosines, n_cosine, n_manifold))  # (n, n)

        with training.initialised_by(self.seed, "head"):
            self.head_ = nn.Linear(features.shape[1], self.n_bits)
        optimiser = training.optimiser_of(
            self.head_,
            self.optimiser,
            self.learning_rate,
            weight_decay=self.weight_decay,
            momentum=0.0,
        )
        steps = heads.Steps(self, len(inputs), optimiser)
        for rows in steps:
            codes = torch.tanh(self.head_(inputs[rows]))  # h, (B, n_bits)
            targets = 2 * similarities[rows[:, None], rows] - 1  # S, (B, B)
            loss = log_cosh_loss(codes, targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps.record(similarity=loss)
        self.extras_ = steps.curves()
        return self


def positive_cosines(inputs):
    """Return max(0, cosine) of all pairs of rows, float32 (n, n)."""
    unit = functional.normalize(inputs)
    return (unit @ unit.T).clamp_(0, 1).numpy()


def reconstructed(cosines, n_cosine, n_manifold):
    """Return similarities in 0..1, float32 (n, n), which overwrite the cosines.

    A pair that is near by cosine, in one of the two directions, is 1 if it is near on the manifold
    too, and else 0. The other pairs, and those of rows without mutual neighbours, have their
    cosine. A pair that is 1 in one direction and 0 in the other is 1.
    """
    np.fill_diagonal(cosines, 0)
    near = nearest(cosines, n_cosine)
    graph = np.where(near & near.T, cosines, 0)  # A
    connected = graph.any(axis=1)
    near &= connected[:, None] & connected

    manifold = manifold_similarities(graph)
    trusted = near & nearest(manifold, n_manifold) & (manifold > 0)
    near &= ~trusted
    cosines[near | near.T] = 0
    cosines[trusted | trusted.T] = 1
    np.fill_diagonal(cosines, 1)
    return cosines


def nearest(similarities, count):
    """Return a mask of the `count` largest values of each row, bool (n, n)."""
    mask = np.zeros(similarities.shape, bool)
    for start in range(0, len(mask), ROWS):
        block = slice(start, start + ROWS)
        columns = np.argpartition(similarities[block], -count, axis=1)[:, -count:]
        np.put_along_axis(mask[block], columns, True, axis=1)
    return mask


def manifold_similarities(graph):
    """Return (1 - alpha) (I - alpha D^-1/2 A D^-1/2)^-1, (n, n), in the precision of the graph.

    The eigenvalues of the inverted matrix are in 0.01..1.99, so float32 is precise enough.

    graph: A (n, n), symmetric, not negative, with a diagonal of 0. It is overwritten.
    """
    degrees = graph.sum(axis=1)  # the diagonal of D
    roots = np.sqrt(np.where(degrees > 0, degrees, 1))
    graph /= -roots[:, None] / DIFFUSION
    graph /= roots
    np.fill_diagonal(graph, 1)
    inverse = inv(graph, overwrite_a=True, check_finite=False)
    inverse *= 1 - DIFFUSION
    return inverse


def log_cosh_loss(codes, targets):
    """Return the mean over all pairs of log cosh(h_i . h_j / L - S_ij). codes: (B, L)."""
    difference = (codes @ codes.T / codes.shape[1] - targets).abs()
    # log cosh x = |x| + log(1 + exp(-2 |x|)) - log 2, which does not overflow.
    return (difference + functional.softplus(-2 * difference) - np.log(2)).mean()
