"""Iterative quantization."""

import numpy as np

from methods._base import Hasher
from methods._pca import principal_axes


class ITQ(Hasher):
    """PCA, then the rotation closest to binary codes.

    Source: Gong & Lazebnik, CVPR 2011, section 2.2.   Differs from the paper: of more training images than
    `sample`, so many are drawn.
    """

    label, citation, uses_gpu = "ITQ", "gong2011iterative", False
    sample = 200_000

    def __init__(self, n_bits, *, seed=0, iterations=50):
        self.n_bits = n_bits
        self.seed = seed
        self.iterations = iterations

    def fit(self, features):
        self.mean_, axes = principal_axes(features, self.n_bits)
        projected = (features - self.mean_) @ axes  # (n, n_bits), V in the paper
        gaussian = np.random.default_rng(self.seed).standard_normal((self.n_bits, self.n_bits))
        rotation = np.linalg.svd(gaussian)[0]
        for _ in range(self.iterations):
            codes = np.where(
                projected @ rotation >= 0, 1.0, -1.0
            )  # B = sgn(V R), eq. (3) with R fixed
            left, _, right = np.linalg.svd(codes.T @ projected)  # S Omega S^'T in the paper
            rotation = (left @ right).T  # R = S^ S^T, eq. (3) with B fixed
        self.projection_ = axes @ rotation  # (d, n_bits)
        return self

    def encode(self, features):
        return (features - self.mean_) @ self.projection_ >= 0
