"""Anchors, and graphs in which two rows are similar through the anchors near both."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array
from sklearn.cluster import KMeans

from methods._blocks import BLOCK, squared_distances

# Eigenvalues outside belong to no cut of the graph: 1 to its components, 0 to its null space.
SMALLEST, LARGEST = 1e-10, 1 - 1e-3


def kmeans_centres(features: np.ndarray, count: int, iterations: int, seed: int) -> np.ndarray:
    """Return the centres, float64 (count, d), of k-means from random training rows.

    Raises
    ------
    ValueError
        If there are fewer rows than centres.
    """
    if count > len(features):
        raise ValueError(
            f"{count} centres of k-means need as many training images: found {len(features)}. "
            "Lower their number."
        )
    kmeans = KMeans(count, init="random", n_init=1, max_iter=iterations, tol=0.0, random_state=seed)
    return kmeans.fit(features).cluster_centers_.astype(np.float64)


class AnchorGraph:
    """Weights of rows on their nearest anchors (Liu, Wang, Kumar & Chang, ICML 2011, eq. (3)).

    Parameters
    ----------
    anchors : ndarray of shape (m, d)
    n_nearest : int
        Number of anchors that a row has a weight on, s in the paper.
    bandwidth : float
        Width of the Gaussian kernel, sigma in the authors' code.
    """

    def __init__(self, anchors: np.ndarray, n_nearest: int, bandwidth: float):
        self.anchors = anchors
        self.n_nearest = n_nearest
        self.bandwidth = bandwidth

    @classmethod
    def fit(cls, features: np.ndarray, anchors: np.ndarray, n_nearest: int) -> AnchorGraph:
        """Return the graph of training rows, with the bandwidth of the authors' code.

        The bandwidth is the mean distance to the `n_nearest`-th anchor. An anchor that is among the
        nearest ones of no row is removed, since its weights could not be normalised.
        """
        if not 1 <= n_nearest <= len(anchors):
            raise ValueError(f"n_nearest is {n_nearest}: expected 1 to {len(anchors)}, the anchors")
        indices, squared = nearest_anchors(features, anchors, n_nearest)
        bandwidth = np.sqrt(squared.max(axis=1)).mean()
        return cls(anchors[np.unique(indices)], n_nearest, bandwidth)

    def weights(self, features: np.ndarray) -> csr_array:
        """Return Z, (n, m) with `n_nearest` entries a row, which are positive and sum to 1."""
        indices, squared = nearest_anchors(features, self.anchors, self.n_nearest)
        # Relative to the nearest anchor: the same weights, and no row underflows to 0 / 0.
        further = squared - squared.min(axis=1, keepdims=True)
        # Rows that all coincide with their anchors have a bandwidth of 0: the limit is then taken.
        width = max(self.bandwidth, np.finfo(np.float64).tiny ** 0.5)
        kernel = np.exp(-further / width**2)  # exp(-D^2 / sigma^2)
        kernel /= kernel.sum(axis=1, keepdims=True)
        starts = np.arange(len(indices) + 1) * self.n_nearest
        shape = (len(indices), len(self.anchors))
        return csr_array((kernel.ravel(), indices.ravel(), starts), shape=shape)


def nearest_anchors(
    features: np.ndarray, anchors: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the `count` nearest anchors, in no order, and squared distances."""
    indices = np.empty((len(features), count), np.int64)
    squared = np.empty((len(features), count))
    for start in range(0, len(features), BLOCK):
        block = slice(start, start + BLOCK)
        distances = squared_distances(features[block], anchors)  # (rows, m)
        indices[block] = np.argpartition(distances, count - 1, axis=1)[:, :count]
        squared[block] = np.take_along_axis(distances, indices[block], axis=1)
    return indices, squared


def spectral_map(weights: csr_array, count: int) -> np.ndarray:
    """Return W, (m, count), that maps weights Z to the smoothest non-constant eigenvectors Z W.

    The rows' similarities are S = Z Lambda^-1 Z', where Lambda has the column sums of Z. The
    columns of Z W are orthonormal eigenvectors of S (Liu et al., ICML 2011, eq. (6)).

    Raises
    ------
    ValueError
        If fewer than `count` eigenvalues lie between 0 and 0.999.
    """
    inverse_roots = weights.sum(axis=0) ** -0.5  # Lambda^-1/2, (m,)
    similarity = (weights.T @ weights).toarray()  # Z'Z, (m, m)
    eigenvalues, vectors = eigh(inverse_roots[:, None] * similarity * inverse_roots)  # of M
    usable = np.flatnonzero((eigenvalues > SMALLEST) & (eigenvalues < LARGEST))[::-1][:count]
    if len(usable) < count:
        raise ValueError(
            f"{count} eigenvectors of the anchor graph are needed: found {len(usable)} "
            f"on {len(eigenvalues)} anchors. Ask for more anchors or fewer bits."
        )

    vectors = vectors[:, usable]
    # An eigenvector's sign is arbitrary: its largest entry by magnitude is made positive.
    peaks = vectors[np.abs(vectors).argmax(axis=0), np.arange(count)]
    vectors = vectors * np.where(peaks < 0, -1.0, 1.0)
    return inverse_roots[:, None] * vectors * eigenvalues[usable] ** -0.5
