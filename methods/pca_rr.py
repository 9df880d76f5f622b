"""PCA hashing with a random rotation."""

from methods._base import Hasher
from methods._pca import principal_axes
from methods._rotations import random_rotation


class PCARR(Hasher):
    """PCA, then a random rotation: iterative quantization without any iteration.

    Source: Gong & Lazebnik, CVPR 2011, the baseline PCA-RR. Published again as "Hashing-Baseline",
    arXiv 2509.14427.

    Differs from the paper: at most `sample` training images, a random subset.
    """

    label, citation, uses_gpu = "PCA-RR", "gong2011iterative", False
    sample = 200_000
    tier, fidelity = "features", "C"

    def __init__(self, n_bits, *, seed=0):
        self.n_bits = n_bits
        self.seed = seed

    def fit(self, features):
        self.mean_, axes = principal_axes(features, self.n_bits)
        self.projection_ = axes @ random_rotation(self.n_bits, self.seed)  # (d, n_bits)
        return self

    def project(self, features):
        return (features - self.mean_) @ self.projection_  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0
