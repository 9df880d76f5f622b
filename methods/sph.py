"""Spherical hashing."""

import numpy as np

from methods._base import Hasher
from methods._blocks import squared_distances

OVERLAP_MEAN, OVERLAP_DEVIATION = 0.10, 0.15  # tolerances, as shares of the expected overlap


class SpH(Hasher):
    """Insides of hyperspheres: half of the training rows in each, a quarter in any two.

    `facts_` has the number of iterations, and whether the overlaps met their tolerances.

    Source: Heo, Lee, He, Chang & Yoon, CVPR 2012, and the authors' code.

    Differs from the paper: codes are ranked by the Hamming distance, which the authors divide by
    the number of common ones; a radius lies midway between the two rows in the middle, where the
    authors take the first of them, so that rounding moves no training row; the authors' code has no
    maximum number of iterations; at most `sample` training images, a random subset.

    Parameters
    ----------
    iterations : int, default 200
        Maximum number of moves of the centres.
    """

    label, citation, uses_gpu = "SpH", "heo2012spherical", False
    sample = 200_000
    tier, fidelity = "features", "A"

    def __init__(self, n_bits, *, seed=0, iterations=200):
        self.n_bits = n_bits
        self.seed = seed
        self.iterations = iterations

    def fit(self, features):
        n = len(features)
        if n < 5:
            raise ValueError(f"centres are means of 5 training images: found {n} images")

        expected = n / 4  # rows in two spheres, if the two are independent
        generator = np.random.default_rng(self.seed)
        starts = [generator.choice(n, 5, replace=False) for _ in range(self.n_bits)]
        centres = np.stack([features[rows].mean(axis=0, dtype=np.float64) for rows in starts])
        _, overlaps = halving_spheres(features, centres)
        converged, iteration = False, 0
        while not converged and iteration < self.iterations:
            centres = repelled_centres(centres, overlaps, expected)
            radii, overlaps = halving_spheres(features, centres)
            converged = are_independent(overlaps, expected)
            iteration += 1

        self.centres_, self.radii_ = centres, radii  # (n_bits, d), (n_bits,)
        self.facts_ = {"iterations": iteration, "converged": converged}
        return self

    def project(self, features):
        return self.radii_ - np.sqrt(squared_distances(features, self.centres_))  # (m, n_bits)

    def encode(self, features):
        return self.project(features) >= 0


def halving_spheres(features, centres):
    """Return the radii (L,) that halve the rows, and the numbers of rows in two spheres (L, L)."""
    half = len(features) // 2
    distances = np.sqrt(squared_distances(features, centres))  # (n, L)
    middle = np.partition(distances, (half - 1, half), axis=0)[half - 1 : half + 1]
    radii = middle.mean(axis=0)
    inside = (distances <= radii).astype(np.float64)
    return radii, inside.T @ inside


def repelled_centres(centres, overlaps, expected):
    """Return the centres (L, d) after one step: those that share too many rows move apart."""
    forces = 0.5 * (overlaps - expected) / expected  # f_ij, (L, L)
    np.fill_diagonal(forces, 0.0)
    moves = forces.sum(axis=1)[:, None] * centres - forces @ centres  # sum_j f_ij (c_i - c_j)
    return centres + moves / len(centres)


def are_independent(overlaps, expected):
    """Return whether the overlaps of all pairs of spheres are near the expected one."""
    pairs = overlaps[np.triu_indices(len(overlaps), 1)]
    if len(pairs) == 0:
        return True
    error = np.abs(pairs - expected).mean()
    return bool(error <= OVERLAP_MEAN * expected and pairs.std() <= OVERLAP_DEVIATION * expected)
