"""Principal component analysis, as the linear methods use it."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

BLOCK = 8192  # rows at a time


def principal_axes(features: np.ndarray, n_axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of features and the leading eigenvectors of their covariance.

    Parameters
    ----------
    features : ndarray of float32, shape (n, d)
    n_axes : int

    Returns
    -------
    mean : ndarray of float64, shape (d,)
    axes : ndarray of float64, shape (d, n_axes)
        The largest eigenvalue first. The sign of an eigenvector is arbitrary: here its largest
        entry by magnitude is positive.

    Raises
    ------
    ValueError
        If n_axes > d.
    """
    n, d = features.shape
    if n_axes > d:
        raise ValueError(
            f"{n_axes} bits need at least as many feature dimensions, found {d}: "
            "ask for fewer bits or other features"
        )

    mean = features.mean(axis=0, dtype=np.float64)

    scatter = np.zeros((d, d))
    for start in range(0, n, BLOCK):
        centred = features[start : start + BLOCK] - mean  # (rows, d)
        scatter += centred.T @ centred

    axes = eigh(scatter, subset_by_index=(d - n_axes, d - 1))[1][:, ::-1]
    peaks = axes[np.abs(axes).argmax(axis=0), np.arange(n_axes)]
    return mean, axes * np.where(peaks < 0, -1.0, 1.0)
