"""Orthogonal matrices, as the methods on principal axes use them."""

from __future__ import annotations

import numpy as np


def random_rotation(size: int, seed: int) -> np.ndarray:
    """Return a random orthogonal matrix (size, size): left singular vectors of a Gaussian one."""
    gaussian = np.random.default_rng(seed).standard_normal((size, size))
    return np.linalg.svd(gaussian)[0]


def itq_rotation(projected: np.ndarray, rotation: np.ndarray, iterations: int) -> np.ndarray:
    """Return the rotation of iterative quantization (Gong & Lazebnik, CVPR 2011, section 2.2).

    Parameters
    ----------
    projected : ndarray of shape (n, n_bits)
        Training rows on their principal axes, V in the paper.
    rotation : ndarray of shape (n_bits, n_bits)
        Where the iteration starts.
    iterations : int
        Number of iterations.

    Returns
    -------
    ndarray of shape (n_bits, n_bits)
    """
    for _ in range(iterations):
        # Eq. (3) with R fixed: B = sgn(V R), then with B fixed: R = S^ S^T, where the SVD of
        # B^T V is S Omega S^'T.
        codes = np.where(projected @ rotation >= 0, 1.0, -1.0)  # (n, n_bits)
        left, _, right = np.linalg.svd(codes.T @ projected)
        rotation = (left @ right).T
    return rotation
