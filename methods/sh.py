"""Spectral hashing."""

import numpy as np

from methods._base import Hasher
from methods._pca import principal_axes


class SH(Hasher):
    """Signs of the smoothest Laplacian eigenfunctions along the principal axes.

    The data are taken as uniformly distributed along each axis.

    Source: Weiss, Torralba & Fergus, NIPS 2008, section 3, and the authors' code, where every
    eigenfunction but the constant varies along one axis only.

    Differs from the paper: at most `sample` training images, a random subset.
    """

    label, citation, uses_gpu = "SH", "weiss2008spectral", False
    sample = 200_000
    tier, fidelity = "features", "C"

    def __init__(self, n_bits):
        self.n_bits = n_bits

    def fit(self, features):
        self.mean_, self.axes_ = principal_axes(features, min(self.n_bits, features.shape[1]))
        projected = (features - self.mean_) @ self.axes_  # (n, axes)
        self.low_ = projected.min(axis=0)
        ranges = projected.max(axis=0) - self.low_  # (axes,)

        # Candidates: cosines along each axis, none along one on which all images coincide.
        tried = np.ceil((self.n_bits + 1) * ranges / ranges.max()).astype(int) - 1
        modes = np.maximum(tried, 0)  # (axes,)
        axis = np.repeat(np.arange(len(ranges)), modes)
        mode = np.concatenate([np.arange(1, count + 1) for count in modes])
        frequency = mode * np.pi / ranges[axis]

        # Eigenvalues grow with the squared frequency.
        smoothest = np.argsort(frequency**2, kind="stable")[: self.n_bits]
        self.axis_, self.frequency_ = axis[smoothest], frequency[smoothest]  # (n_bits,) each
        return self

    def project(self, features):
        along = ((features - self.mean_) @ self.axes_ - self.low_)[:, self.axis_]  # (m, n_bits)
        return np.sin(along * self.frequency_ + np.pi / 2)

    def encode(self, features):
        return self.project(features) >= 0
