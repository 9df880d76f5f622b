"""PCA hashing."""

from methods._base import Hasher
from methods._pca import principal_axes


class PCAH(Hasher):
    """Signs of the leading principal components.

    Source: Wang, Kumar & Chang, CVPR 2010, the unsupervised case of section 3.

    Differs from the paper: at most `sample` training images, a random subset.
    """

    label, citation, uses_gpu = "PCAH", "wang2010semi", False
    sample = 200_000
    tier, fidelity = "features", "C"

    def __init__(self, n_bits):
        self.n_bits = n_bits

    def fit(self, features):
        self.mean_, self.axes_ = principal_axes(features, self.n_bits)
        return self

    def project(self, features):
        return (features - self.mean_) @ self.axes_  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0
