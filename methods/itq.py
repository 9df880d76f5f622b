"""Iterative quantization."""

from methods._base import Hasher
from methods._pca import principal_axes
from methods._rotations import itq_rotation, random_rotation


class ITQ(Hasher):
    """PCA, then the rotation closest to binary codes.

    Source: Gong & Lazebnik, CVPR 2011, section 2.2.

    Differs from the paper: at most `sample` training images, a random subset.
    """

    label, citation, uses_gpu = "ITQ", "gong2011iterative", False
    sample = 200_000
    tier, fidelity = "features", "C"
    search_space = {"iterations": (10, 25, 50, 100, 200)}

    def __init__(self, n_bits, *, seed=0, iterations=50):
        self.n_bits = n_bits
        self.seed = seed
        self.iterations = iterations

    def fit(self, features):
        self.mean_, axes = principal_axes(features, self.n_bits)
        projected = (features - self.mean_) @ axes  # (n, n_bits), V in the paper
        start = random_rotation(self.n_bits, self.seed)
        self.projection_ = axes @ itq_rotation(projected, start, self.iterations)  # (d, n_bits)
        return self

    def project(self, features):
        return (features - self.mean_) @ self.projection_  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0
