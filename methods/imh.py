"""Inductive manifold hashing."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from methods._anchors import AnchorGraph, kmeans_centres
from methods._base import Hasher

PERPLEXITY = 10
LEAST_AXES = 20  # principal axes that the anchors are given on, unless there are more bits


class IMH(Hasher):
    """t-SNE of k-means centres, extended to any row as a weighted mean over the centres near it.

    Rows are scaled to unit length and not centred. A zero row stays zero.

    Source: Shen, Shen, Shi, van den Hengel & Tang, CVPR 2013, the variant IMH-tSNE, and the
    authors' code.

    Differs from the paper: t-SNE is that of scikit-learn, whose kernel has n_bits - 1 degrees of
    freedom where the authors' has one, and which may change with its version; an anchor that is
    near no training row is removed; at most `sample` training images, a random subset.

    Parameters
    ----------
    n_anchors : int, default 400
        Centres of k-means, m in the paper.
    kmeans_iterations : int, default 10
        Maximum number of iterations of k-means.
    n_nearest : int, default 5
        Anchors that a row is connected with.
    """

    label, citation, uses_gpu = "IMH", "shen2013inductive", False
    sample = 200_000
    tier, fidelity = "features", "C"
    search_space = {"n_anchors": (200, 400, 800), "n_nearest": (3, 5, 10)}

    def __init__(self, n_bits, *, seed=0, n_anchors=400, kmeans_iterations=10, n_nearest=5):
        self.n_bits = n_bits
        self.seed = seed
        self.n_anchors = n_anchors
        self.kmeans_iterations = kmeans_iterations
        self.n_nearest = n_nearest

    def fit(self, features):
        unit = unit_rows(features)
        anchors = kmeans_centres(unit, self.n_anchors, self.kmeans_iterations, self.seed)
        self.graph_ = AnchorGraph.fit(unit, anchors, self.n_nearest)
        anchors = self.graph_.anchors  # those near some row, (m, d)

        axes = min(max(LEAST_AXES, self.n_bits), *anchors.shape)
        projected = PCA(axes, svd_solver="full").fit_transform(anchors)
        # The approximation of Barnes and Hut is for at most three dimensions.
        tsne = TSNE(
            self.n_bits,
            perplexity=PERPLEXITY,
            init="random",
            method="exact",
            random_state=self.seed,
        )
        embedded = tsne.fit_transform(projected).astype(np.float64)
        self.map_ = embedded - embedded.mean(axis=0)  # (m, n_bits)
        return self

    def project(self, features):
        return self.graph_.weights(unit_rows(features)) @ self.map_  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0


def unit_rows(features):
    """Return the rows scaled to length 1, float32 as given."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths == 0, 1, lengths)
