"""The contract of a method, and what the linear methods share."""

from __future__ import annotations

import numpy as np

BLOCK = 8192  # rows at a time


class Hasher:
    """Learns a map from images to binary codes without labels.

    label: name in tables; citation: key in report/references.bib, None for a control; uses_gpu: whether a GPU serves it.

    `__init__(self, n_bits, *, seed=0, ...)` only stores; its keywords and their defaults are the method's settings. A method
    without randomness leaves `seed` out, and then runs once. `fit` and `encode` declare by the names of their arguments what they
    consume: `features` (n, d) float32, `images` (n, h, w, 3) uint8, and in `fit` alone `neighbours` (n, 64) int32, ranked nearest
    training images, each image itself first. Arguments are read only. Learned state ends in `_`; a
    dict `extras_` of arrays (curves, pictures) is kept beside the codes.
    """

    label: str
    citation: str | None = None
    uses_gpu: bool = False

    def fit(self, features: np.ndarray) -> Hasher:
        """Learn from the training rows; returns self."""
        raise NotImplementedError

    def encode(self, features: np.ndarray) -> np.ndarray:
        """Codes of m rows, each on its own: bool (m, n_bits), True where the value that is thresholded is >= 0."""
        raise NotImplementedError


def principal_axes(features: np.ndarray, n_axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and leading eigenvectors (d, n_axes) of the covariance, float64, largest eigenvalue first.

    An eigenvector's sign is arbitrary: here its largest entry by magnitude is positive. Raises ValueError if n_axes > d.
    """
    from scipy.linalg import eigh

    n, d = features.shape
    if n_axes > d:
        raise ValueError(f"{n_axes} bits need at least as many feature dimensions, found {d}: ask for fewer bits or other features")
    mean = features.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((d, d))
    for start in range(0, n, BLOCK):
        centred = features[start : start + BLOCK] - mean  # (rows, d)
        scatter += centred.T @ centred
    axes = eigh(scatter, subset_by_index=(d - n_axes, d - 1))[1][:, ::-1]
    peaks = axes[np.abs(axes).argmax(axis=0), np.arange(n_axes)]
    return mean, axes * np.where(peaks < 0, -1.0, 1.0)
