"""K-nearest-neighbours hashing."""

import numpy as np

from methods._base import Hasher
from methods._blocks import by_blocks, squared_distances
from methods._pca import principal_axes
from methods._rotations import itq_rotation, random_rotation

DISTANCES = 2**24  # computed at a time, 128 MiB


class KNNH(Hasher):
    """Iterative quantization of training rows that are replaced by the mean of their neighbours.

    Source: He, Wang & Cheng, CVPR 2019, and the authors' code.

    Differs from the paper: all rows are smoothed at once, where the authors' code smooths in place
    and so depends on the order of the rows; the database is encoded like the queries, where the
    authors' code gives it the codes learned from smoothed rows; at most `sample` training images,
    a random subset.

    Parameters
    ----------
    n_neighbours : int, default 20
        Number of neighbours. 0 leaves the rows as they are, which is ITQ.
    iterations : int, default 1001
        Iterations of ITQ.
    """

    label, citation, uses_gpu = "KNNH", "he2019knearest", False
    sample = 60_000
    tier, fidelity = "features", "C"
    search_space = {"n_neighbours": (5, 10, 20, 50, 100)}

    def __init__(self, n_bits, *, seed=0, n_neighbours=20, iterations=1001):
        self.n_bits = n_bits
        self.seed = seed
        self.n_neighbours = n_neighbours
        self.iterations = iterations

    def fit(self, features):
        self.mean_, axes = principal_axes(features, self.n_bits)
        projected = by_blocks(lambda rows: (rows - self.mean_) @ axes, features)  # (n, n_bits)
        smoothed = neighbour_means(projected, self.n_neighbours)
        start = random_rotation(self.n_bits, self.seed)
        self.projection_ = axes @ itq_rotation(smoothed, start, self.iterations)  # (d, n_bits)
        return self

    def project(self, features):
        return (features - self.mean_) @ self.projection_  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0


def neighbour_means(rows, count):
    """Return the mean of the `count` nearest other rows of each row, shape (n, L) as `rows`.

    Raises
    ------
    ValueError
        If there are not `count` other rows.
    """
    n = len(rows)
    if count == 0:
        return rows
    if count >= n:
        raise ValueError(
            f"{count} neighbours need more than {count} training images: found {n}. "
            "Lower the parameter n_neighbours."
        )

    means = np.empty_like(rows)
    step = max(1, DISTANCES // n)
    for start in range(0, n, step):
        block = np.arange(start, min(start + step, n))
        distances = squared_distances(rows[block], rows)  # (block, n)
        distances[np.arange(len(block)), block] = np.inf  # a row is no neighbour of itself
        neighbours = np.argpartition(distances, count - 1, axis=1)[:, :count]
        means[block] = rows[neighbours].mean(axis=1)

    return means
