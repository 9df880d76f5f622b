"""Scalable graph hashing."""

import numpy as np
from scipy.linalg import eigh

from methods._base import Hasher
from methods._blocks import BLOCK, by_blocks, squared_distances

RHO = 2.0  # width of the similarities: the transformation below is for this one
RIDGE = 1e-6


class SGH(Hasher):
    """Kernel hyperplanes whose codes fit the similarities of all pairs of rows, never written out.

    Rows are centred on the training mean and scaled to unit length, since the similarities are
    factorised for unit rows only. A row at the mean stays zero.

    Source: Jiang & Li, IJCAI 2015, and the authors' code.

    Differs from the paper: at most `sample` training images, a random subset.

    Parameters
    ----------
    n_bases : int, default 300
        Training rows that the kernel compares a row with, m in the paper.
    """

    label, citation, uses_gpu = "SGH", "jiang2015scalable", False
    sample = 200_000
    tier, fidelity = "features", "A"
    search_space = {"n_bases": (100, 300, 600)}

    def __init__(self, n_bits, *, seed=0, n_bases=300):
        self.n_bits = n_bits
        self.seed = seed
        self.n_bases = n_bases

    def fit(self, features):
        n = len(features)
        if self.n_bases > n:
            raise ValueError(
                f"{self.n_bases} bases need as many training images: found {n}. "
                "Lower the parameter n_bases."
            )

        bases_stream, order_stream = np.random.default_rng(self.seed).spawn(2)
        self.mean_ = features.mean(axis=0, dtype=np.float64)  # (d,)
        drawn = np.sort(bases_stream.choice(n, self.n_bases, replace=False))
        self.bases_ = self._unit(features[drawn])  # (m, d)

        squared = by_blocks(self._squared_distances, features)  # (n, m)
        self.delta_ = squared.mean()
        kernel = np.exp(-squared / (2 * self.delta_))
        self.kernel_mean_ = kernel.mean(axis=0)  # (m,)
        kernel -= self.kernel_mean_

        left, right = 0.0, 0.0
        for start in range(0, n, BLOCK):
            block = slice(start, start + BLOCK)
            p, q = similarity_factors(self._unit(features[block]))
            left = left + kernel[block].T @ p
            right = right + kernel[block].T @ q

        similarity = self.n_bits * left @ right.T  # L K' P Q' K, (m, m)
        order = order_stream.permutation(self.n_bits)
        self.map_ = sequential_projections(kernel, similarity, order)  # (m, n_bits)
        return self

    def _unit(self, features):
        """Return rows centred on the training mean, of length 1."""
        centred = features - self.mean_
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        return centred / np.where(lengths == 0, 1.0, lengths)

    def _squared_distances(self, features):
        return squared_distances(self._unit(features), self.bases_)

    def project(self, features):
        kernel = np.exp(-self._squared_distances(features) / (2 * self.delta_))
        return (kernel - self.kernel_mean_) @ self.map_  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0


def similarity_factors(unit):
    """Return P and Q, (n, d + 2) each, with P Q' nearly 2 exp(-||x - y||^2 / rho) - 1.

    The exponential of u = 2 x.y / rho in [-1, 1] is replaced by its chord, sinh(1) u + cosh(1).
    """
    damping = np.exp(-np.square(unit).sum(axis=1, keepdims=True) / RHO)  # e^{-|x|^2 / rho}
    alpha = np.sqrt(2 * (np.e - 1 / np.e) / RHO)
    beta = np.sqrt(np.e + 1 / np.e)
    shared = [alpha * damping * unit, beta * damping]
    ones = np.ones_like(damping)
    return np.concatenate([*shared, ones], axis=1), np.concatenate([*shared, -ones], axis=1)


def sequential_projections(kernel, similarity, order):
    """Return projections W (m, L), learned bit by bit, then each once more in a given order.

    Parameters
    ----------
    kernel : ndarray of shape (n, m)
        Centred kernel of the training rows with the bases, K.
    similarity : ndarray of shape (m, m)
        L K' S K: what the codes of the bits still have to fit.
    order : ndarray of shape (L,)
        The order of the second pass.
    """
    residual = (similarity + similarity.T) / 2  # A
    m, n_bits = len(residual), len(order)
    covariance = kernel.T @ kernel + RIDGE * np.eye(m)  # G
    projections = np.empty((m, n_bits))
    fitted = np.zeros((m, n_bits))  # v = K' sgn(K w) of each bit, 0 before its first turn
    for bit in [*range(n_bits), *order]:
        residual += np.outer(fitted[:, bit], fitted[:, bit])
        top = eigh(residual, covariance, subset_by_index=(m - 1, m - 1))[1][:, 0]
        projections[:, bit] = top
        fitted[:, bit] = kernel.T @ np.where(kernel @ top >= 0, 1.0, -1.0)
        residual -= np.outer(fitted[:, bit], fitted[:, bit])

    return projections
