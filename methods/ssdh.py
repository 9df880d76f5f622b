"""Semantic structure-based unsupervised deep hashing."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import methods._heads as heads
import methods._training as training
from methods._heads import FeatureHead

CHOICES = {
    "scaling": heads.SCALINGS,
    "optimiser": training.OPTIMISERS,
    "schedule": training.SCHEDULES,
}
WIDTH, BINS = 0.01, 200  # of the histogram of cosine distances, from 0 to 2
ROWS = 1000  # of the matrix of distances at a time


class SSDH(FeatureHead):
    """A linear layer that separates pairs of clearly small and clearly large cosine distance.

    A distance is small or large if it is two deviations from the most frequent one. The deviations
    of smaller and of larger distances differ: each is that of one half of a Gaussian distribution.

    Source: Yang, Deng, Liu, Liu & Tao, IJCAI 2018, and the authors' code, github.com/yangerkun/SSDH
    at 49d1938.

    Differs from the paper: a linear layer is trained on frozen features, instead of all layers of
    VGG; the histogram of distances reaches 2 instead of 1, since centred features have negative
    cosines, and the pairs of an image with itself are no part of it; at most `sample` training
    images, a random subset. By default, features are scaled, and epsilon, schedule and epochs are
    those of `_heads`; a parameter has the authors' value of each.

    Sensitivity: a change of 1e-7 in the initial weights of the last layer changes no bit
    (digits, 32 bits, one seed).

    Parameters
    ----------
    n_bits : int
    seed : int
    scaling : {"unit", "standard", "none"}
        Of the features; see `Scaling`. The authors' is "none".
    left, right : float
        Numbers of deviations at which a distance is small, and large.
    optimiser : {"adam", "adam-tensorflow", "sgd"}
        The authors' is "adam-tensorflow".
    learning_rate, epsilon : float
        The authors' epsilon is 1.
    schedule : {"cosine", "constant"}
        The authors' is "constant".
    batch : int
    epochs : int
        The authors' is 10.
    """

    label, citation, uses_gpu = "SSDH head (default)", "yang2018semantic", False
    sample = 100_000
    tier, fidelity = "features", "C"
    search_space = {
        "scaling": ("unit", "standard"),
        "left": (1.0, 1.5, 2.0, 2.5),
        "right": (1.0, 1.5, 2.0, 2.5),
        "learning_rate": (0.0001, 0.0003, 0.001),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        scaling="unit",
        left=2.0,
        right=2.0,
        optimiser="adam",
        learning_rate=1e-3,
        epsilon=1e-8,
        schedule="cosine",
        batch=24,
        epochs=30,
    ):
        self.n_bits, self.seed = n_bits, seed
        self.scaling, self.left, self.right = scaling, left, right
        self.optimiser, self.learning_rate, self.epsilon = optimiser, learning_rate, epsilon
        self.schedule, self.batch, self.epochs = schedule, batch, epochs

    def fit(self, features):
        training.check_choices(self, CHOICES)
        inputs = self._scaled(features)  # (n, d)
        unit = functional.normalize(inputs)
        small, large = thresholds(distance_histogram(unit), self.left, self.right)

        with training.initialised_by(self.seed, "head"):
            self.head_ = nn.Linear(features.shape[1], self.n_bits)
        optimiser = training.optimiser_of(
            self.head_, self.optimiser, self.learning_rate, self.epsilon
        )
        steps = heads.Steps(self, len(inputs), optimiser)
        for rows in steps:
            codes = torch.tanh(self.head_(inputs[rows]))  # z, (B, n_bits)
            loss = structure_loss(codes, semantic_structure(unit[rows], small, large))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps.record(structure=loss)
        self.extras_ = steps.curves()
        return self


def distance_histogram(unit):
    """Return the numbers of ordered pairs of different rows in `BINS` bins of cosine distance.

    unit: rows of norm 1, (n, d).
    """
    counts = np.zeros(BINS, np.int64)
    for start in range(0, len(unit), ROWS):
        distances = 1 - unit[start : start + ROWS] @ unit.T  # (rows, n)
        bins = (distances / WIDTH).long().clamp_(0, BINS - 1)
        counts += torch.bincount(bins.flatten(), minlength=BINS).numpy()
    counts[0] -= len(unit)  # each row with itself
    return counts


def thresholds(counts, left, right):
    """Return the distances below which a pair is similar, and above which it is dissimilar.

    Each side of the fullest bin, mirrored at its centre m, is taken for a Gaussian distribution
    with a deviation of its own: m - left s_l and m + right s_r.
    """
    centres = (np.arange(BINS) + 0.5) * WIDTH
    mode = counts.argmax()
    deviations = []
    for side in (slice(0, mode), slice(mode + 1, BINS)):
        squares = np.square(centres[side] - centres[mode])
        mirrored = 2 * counts[side].sum() + counts[mode]
        deviations.append(np.sqrt(2 * (counts[side] * squares).sum() / mirrored))
    return (
        float(centres[mode] - left * deviations[0]),
        float(centres[mode] + right * deviations[1]),
    )


def semantic_structure(unit, small, large):
    """Return S (B, B): 1 for pairs of distance below `small`, -1 above `large`, else 0."""
    distances = 1 - unit @ unit.T
    return (distances < small).float() - (distances > large).float()


def structure_loss(codes, structure):
    """Return the mean over all pairs of |S| (z_i . z_j / L - S)^2. codes: (B, L)."""
    products = codes @ codes.T / codes.shape[1]
    return (structure.abs() * (products - structure).square()).mean()
