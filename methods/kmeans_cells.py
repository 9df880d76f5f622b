"""The control that shows what smoothing alone is worth."""

from methods._anchors import kmeans_centres
from methods._base import Hasher
from methods._blocks import squared_distances
from methods._pca import principal_axes
from methods._rotations import itq_rotation, random_rotation


class KMeansCells(Hasher):
    """Each image has the ITQ code of the centre of its k-means cell.

    All images of a cell share one code, which does not order the neighbours inside the cell. A
    method that scores no more than this control may owe its score to smoothing alone.

    Source: none, a control.

    Differs from the paper: there is none.

    Parameters
    ----------
    n_cells : int, default 100
        Number of cells, fixed beforehand and never tuned.
    kmeans_iterations : int, default 100
        Maximum number of iterations of k-means.
    iterations : int, default 50
        Iterations of ITQ.
    """

    label, citation, uses_gpu = "k-means cells", None, False
    sample = 200_000
    tier, fidelity = "features", None

    def __init__(self, n_bits, *, seed=0, n_cells=100, kmeans_iterations=100, iterations=50):
        self.n_bits = n_bits
        self.seed = seed
        self.n_cells = n_cells
        self.kmeans_iterations = kmeans_iterations
        self.iterations = iterations

    def fit(self, features):
        mean, axes = principal_axes(features, self.n_bits)
        projected = (features - mean) @ axes  # (n, n_bits)
        start = random_rotation(self.n_bits, self.seed)
        projection = axes @ itq_rotation(projected, start, self.iterations)  # (d, n_bits)
        self.centres_ = kmeans_centres(
            features, self.n_cells, self.kmeans_iterations, self.seed
        )  # (cells, d)
        self.values_ = (self.centres_ - mean) @ projection  # (cells, n_bits)
        return self

    def project(self, features):
        nearest = squared_distances(features, self.centres_).argmin(axis=1)
        return self.values_[nearest]  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0
