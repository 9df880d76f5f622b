"""K-means hashing."""

import numpy as np

from methods._base import Hasher
from methods._blocks import by_blocks, squared_distances
from methods._pca import principal_axes

STEPS = 100  # at most, of one centre in one iteration
TOLERANCE = 1e-6  # a centre stands still if it moves by less than this share of the scale


class KMH(Hasher):
    """Nearest centres of k-means, whose Euclidean distances fit the Hamming distances of codes.

    The principal axes are divided into subspaces of the same size and of balanced variances. Each
    subspace has one centre for every code of `bits_per_subspace` bits.

    Source: He, Wen & Sun, CVPR 2013, and the authors' code.

    Differs from the paper: a centre moves by majorisation steps to a minimum of the authors'
    function, where their code has a quasi-Newton method; the axes of least variance are left out
    where the subspaces do not divide them evenly; at most `sample` training images, a random
    subset.

    Parameters
    ----------
    bits_per_subspace : int, default 4
        Bits of one subspace, b in the paper. It divides the number of bits.
    weight_affinity : float, default 10.0
        Weight of the error of the distances between centres, lambda in the paper.
    iterations : int, default 50
        Assignments of the rows to their nearest centres.
    """

    label, citation, uses_gpu = "KMH", "he2013kmeans", False
    sample = 100_000
    tier, fidelity = "features", "C"
    search_space = {"bits_per_subspace": (2, 4), "weight_affinity": (0.1, 1.0, 10.0, 100.0)}

    def __init__(self, n_bits, *, bits_per_subspace=4, weight_affinity=10.0, iterations=50):
        self.n_bits = n_bits
        self.bits_per_subspace = bits_per_subspace
        self.weight_affinity = weight_affinity
        self.iterations = iterations

    def fit(self, features):
        d = features.shape[1]
        if self.n_bits % self.bits_per_subspace:
            raise ValueError(
                f"subspaces of {self.bits_per_subspace} bits need a multiple of as many: found "
                f"{self.n_bits} bits. Change the parameter bits_per_subspace."
            )

        n_subspaces = self.n_bits // self.bits_per_subspace
        width = d // n_subspaces
        if width < self.bits_per_subspace:
            raise ValueError(
                f"{self.n_bits} bits need at least as many feature dimensions, found {d}: ask for "
                "fewer bits or other features"
            )

        self.mean_, axes = principal_axes(features, n_subspaces * width)
        projected = by_blocks(lambda rows: (rows - self.mean_) @ axes, features)
        groups = balanced_groups(projected.var(axis=0), n_subspaces)  # (n_subspaces, width)
        self.axes_ = [axes[:, group] for group in groups]  # (d, width) each
        self.centres_ = [
            affinity_kmeans(
                projected[:, group], self.bits_per_subspace, self.weight_affinity, self.iterations
            )
            for group in groups
        ]  # (2^b, width) each
        return self

    def encode(self, features):
        corners = corner_codes(self.bits_per_subspace) > 0  # (2^b, b)
        codes = []
        for axes, centres in zip(self.axes_, self.centres_, strict=True):
            distances = squared_distances((features - self.mean_) @ axes, centres)
            codes.append(corners[distances.argmin(axis=1)])
        return np.concatenate(codes, axis=1)


def corner_codes(bits):
    """Return all codes of so many bits as corners of a cube, -1 or 1, shape (2^bits, bits)."""
    return 2.0 * (np.arange(2**bits)[:, None] >> np.arange(bits) & 1) - 1


def balanced_groups(variances, n_groups):
    """Return groups of principal axes (n_groups, width) with balanced products of variances.

    The axes are given out in the order of their variances, each to the group of the smallest sum
    of logarithms that has room for it.
    """
    width = len(variances) // n_groups
    logarithms = np.log(variances + 1e-20)
    shares = logarithms - logarithms.min() + 1  # positive
    sums = np.zeros(n_groups)
    groups = [[] for _ in range(n_groups)]
    for axis, share in enumerate(shares):
        smallest = int(sums.argmin())
        groups[smallest].append(axis)
        sums[smallest] += share
        if len(groups[smallest]) == width:
            sums[smallest] = np.inf

    return np.array(groups)


def affinity_kmeans(rows, bits, weight, iterations):
    """Return the centres (2^bits, width) of k-means that keep the distances of their codes.

    Parameters
    ----------
    rows : ndarray of shape (n, width)
        Centred training rows on principal axes, the axis of largest variance first.
    bits : int
        Bits of a code.
    weight : float
        Weight of the affinity error, lambda in the paper. 0 gives plain k-means.
    iterations : int
        Assignments of the rows to their nearest centres.
    """
    corners = corner_codes(bits)  # (k, bits)
    scale = np.abs(rows[:, :bits]).mean()  # s
    centres = np.zeros((len(corners), rows.shape[1]))
    centres[:, :bits] = scale * corners
    hamming = (corners[:, None] != corners).sum(axis=2)  # (k, k)
    targets = 2 * scale * np.sqrt(hamming)  # d_h: the distances of the corners
    for _ in range(iterations):
        nearest = squared_distances(rows, centres).argmin(axis=1)
        counts = np.bincount(nearest, minlength=len(centres))
        members = (nearest[:, None] == np.arange(len(centres))).astype(np.float64)
        sums = members.T @ rows  # (k, width)
        for index in np.flatnonzero(counts):  # the objective does not depend on empty cells
            move_centre(index, centres, counts, sums, targets, weight, scale)

    return centres


def move_centre(index, centres, counts, sums, targets, weight, scale):
    """Move one centre c in place to a minimum of its share of the objective.

    (n_c |c|^2 - 2 c.S) / n + 2 lambda n_c / n^2 sum_i n_i (|c - c_i| - d_i)^2, the others fixed.
    -d |c - c_i| is at most -d (c - c_i).u_i, with u_i the present direction of c - c_i. What is
    then left is quadratic in c, and each step goes to its minimum.
    """
    others = np.arange(len(centres)) != index
    fixed, distances = centres[others], targets[index, others]
    shares = 2 * weight * counts[others] / counts.sum()  # 2 lambda n_i / n
    pull = sums[index] / counts[index] + shares @ fixed
    for _ in range(STEPS):
        offsets = centres[index] - fixed  # (k - 1, width)
        lengths = np.maximum(np.linalg.norm(offsets, axis=1), np.finfo(np.float64).tiny)
        target = (pull + (shares * distances / lengths) @ offsets) / (1 + shares.sum())
        moved = np.linalg.norm(target - centres[index])
        centres[index] = target
        if moved <= TOLERANCE * scale:
            break
