"""Isotropic hashing."""

import numpy as np
from scipy.linalg import eigh

from methods._base import Hasher
from methods._blocks import by_blocks
from methods._pca import principal_axes
from methods._rotations import random_rotation


class IsoH(Hasher):
    """PCA, then a rotation after which all bits have the same variance.

    The rotation is not unique: it depends on the random one that the iteration starts from.

    Source: Kong & Li, NIPS 2012, the algorithm "lift and projection", and the authors' code.

    Differs from the paper: at most `sample` training images, a random subset.

    Parameters
    ----------
    iterations : int, default 25
        Steps of "lift and projection".
    """

    label, citation, uses_gpu = "IsoH", "kong2012isotropic", False
    sample = 200_000
    # Level A is of the iteration that finds the rotation.
    tier, fidelity = "features", "A"

    def __init__(self, n_bits, *, seed=0, iterations=25):
        self.n_bits = n_bits
        self.seed = seed
        self.iterations = iterations

    def fit(self, features):
        self.mean_, axes = principal_axes(features, self.n_bits)
        projected = by_blocks(lambda rows: (rows - self.mean_) @ axes, features)  # (n, n_bits)
        variances = projected.var(axis=0)  # the diagonal of Lambda, largest first
        rotation = isotropic_rotation(variances, self.iterations, self.seed)
        self.projection_ = axes @ rotation.T  # (d, n_bits), V Q'
        return self

    def project(self, features):
        return (features - self.mean_) @ self.projection_  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0


def isotropic_rotation(variances, iterations, seed):
    """Return an orthogonal matrix Q for which the diagonal of Q Lambda Q' is nearly constant.

    Parameters
    ----------
    variances : ndarray of shape (n_bits,)
        The diagonal of Lambda, in descending order.
    iterations : int
        Alternating projections between the matrices with a constant diagonal and those with
        the eigenvalues Lambda.
    seed : int
        Seed of the random rotation that the iteration starts from.

    Returns
    -------
    ndarray of shape (n_bits, n_bits)
    """
    rotation = random_rotation(len(variances), seed).T  # V Q' is then the start of PCA-RR
    for _ in range(iterations):
        lifted = (rotation * variances) @ rotation.T  # Z = Q Lambda Q'
        np.fill_diagonal(lifted, variances.mean())  # T: the nearest matrix of constant diagonal
        # The nearest matrix with eigenvalues Lambda has the eigenvectors of T in the same order.
        rotation = eigh(lifted)[1][:, ::-1]
    return rotation
