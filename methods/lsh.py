"""Locality-sensitive hashing by random hyperplanes."""

import numpy as np

from methods._base import Hasher


class LSH(Hasher):
    """Signs of Gaussian random projections.

    Two codes agree in a bit with probability 1 - angle / pi.

    Source: Charikar, STOC 2002, section 3.

    Differs from the paper: the training mean is subtracted first, since features that are all
    positive lie on one side of most hyperplanes. It is the mean of at most `sample` training
    images, a random subset.
    """

    label, citation, uses_gpu = "LSH", "charikar2002similarity", False
    sample = 200_000
    tier, fidelity = "features", "C"

    def __init__(self, n_bits, *, seed=0):
        self.n_bits = n_bits
        self.seed = seed

    def fit(self, features):
        self.mean_ = features.mean(axis=0, dtype=np.float64)  # (d,)
        self.projection_ = np.random.default_rng(self.seed).standard_normal(
            (features.shape[1], self.n_bits)
        )  # (d, n_bits)
        return self

    def project(self, features):
        return (features - self.mean_) @ self.projection_  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0
