"""SpH and KMH, whose bits come from distances to centres, against their definitions."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.cluster import KMeans

from methods import kmh, sph
from methods.kmh import KMH
from methods.sph import SpH


@pytest.fixture(scope="module")
def features():
    """Positive multiples of 1/64: sums with whole numbers are exact in float32."""
    generator = np.random.default_rng(0)
    values = np.abs(generator.normal(size=(600, 16)) * np.linspace(3, 0.5, 16) + 2)
    return (np.round(values * 64) / 64).astype(np.float32)


class TestSpH:
    def test_spheres_halve_the_training_rows_and_overlap_in_quarters(self, features):
        hasher = SpH(16).fit(features)
        codes = hasher.encode(features).astype(int)
        assert hasher.facts_["converged"]
        assert (codes.sum(axis=0) == 300).all()
        overlaps = (codes.T @ codes)[np.triu_indices(16, 1)]
        assert np.abs(overlaps - 150).mean() <= 15
        assert overlaps.std() <= 22.5

    def test_of_an_odd_number_of_rows_the_smaller_half_is_inside(self, features):
        codes = SpH(4).fit(features[:301]).encode(features[:301])
        assert (codes.sum(axis=0) == 150).all()

    def test_two_centres_and_four_rows_on_a_line(self):
        rows, centres = np.array([[0.0], [1], [2], [3]]), np.array([[0.0], [3]])
        radii, overlaps = sph.halving_spheres(rows, centres)
        assert radii.tolist() == [1.5, 1.5]
        assert overlaps.tolist() == [[2, 0], [0, 2]]
        # No row is in both where one is expected: each moves 1/2 x 1/2 of the way to the other.
        assert sph.repelled_centres(centres, overlaps, 1.0).tolist() == [[0.75], [2.25]]

    def test_a_shift_of_all_features_changes_nothing(self, features):
        shifted = features + np.float32(1024)
        codes = SpH(12, seed=2).fit(shifted).encode(shifted)
        assert (codes == SpH(12, seed=2).fit(features).encode(features)).all()

    def test_the_iteration_is_limited_and_the_record_states_it(self, features):
        facts = SpH(16, iterations=1).fit(features).facts_
        assert facts == {"iterations": 1, "converged": False}

    def test_one_bit_has_no_pairs(self, features):
        hasher = SpH(1).fit(features)
        assert hasher.encode(features).sum() == 300
        assert hasher.facts_["converged"]

    def test_too_few_rows_are_an_error(self, features):
        with pytest.raises(ValueError, match="5 training images: found 4"):
            SpH(4).fit(features[:4])


def objective(rows, centres, bits, weight):
    """Quantization error and affinity error of the paper, by definition."""
    distances = np.square(rows[:, None] - centres).sum(axis=2)
    counts = np.bincount(distances.argmin(axis=1), minlength=len(centres)) / len(rows)
    corners = np.array([[code >> bit & 1 for bit in range(bits)] for code in range(2**bits)])
    hamming = np.abs(corners[:, None] - corners).sum(axis=2)
    between = np.linalg.norm(centres[:, None] - centres, axis=2)
    errors = (between - 2 * np.abs(rows[:, :bits]).mean() * np.sqrt(hamming)) ** 2
    return distances.min(axis=1).mean() + weight * counts @ errors @ counts


@pytest.fixture(scope="module")
def rows(features):
    """Centred rows on their principal axes, (600, 16) float64."""
    centred = features - features.mean(axis=0, dtype=np.float64)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2].T


class TestKMH:
    def test_without_affinity_it_is_k_means(self, rows):
        scale = np.abs(rows[:, :2]).mean()
        start = np.zeros((4, 16))
        start[:, :2] = scale * kmh.corner_codes(2)
        expected = KMeans(4, init=start, n_init=1, max_iter=300, tol=0.0).fit(rows)
        assert kmh.affinity_kmeans(rows, 2, 0.0, 300) == pytest.approx(
            expected.cluster_centers_, abs=1e-8
        )

    def test_a_large_weight_keeps_the_distances_of_the_codes(self, rows):
        centres = kmh.affinity_kmeans(rows, 2, 1e6, 3)
        side = 2 * np.abs(rows[:, :2]).mean()
        lengths = np.linalg.norm(centres[:, None] - centres, axis=2)[0]
        assert lengths == pytest.approx([0, side, side, side * np.sqrt(2)], rel=1e-3)

    @pytest.mark.parametrize("weight", [0.0, 10.0])
    def test_the_objective_never_increases(self, rows, weight):
        values = [
            objective(rows, kmh.affinity_kmeans(rows, 3, weight, iterations), 3, weight)
            for iterations in range(6)
        ]
        assert (np.diff(values) <= 1e-12).all()
        assert values[-1] < values[0]

    def test_a_centre_moves_to_the_minimum_that_scipy_finds(self, rows):
        generator = np.random.default_rng(1)
        centres = generator.normal(size=(4, 16))
        counts = np.array([100, 150, 200, 150])
        sums = counts[:, None] * generator.normal(size=(4, 16))
        targets = np.array([[0, 2, 2, 3], [2, 0, 3, 2], [2, 3, 0, 2], [3, 2, 2, 0.0]])

        def cost(centre):
            errors = np.linalg.norm(centres[1:] - centre, axis=1) - targets[0, 1:]
            affinity = 2 * 10.0 * counts[0] / 600**2 * (counts[1:] @ errors**2)
            return (counts[0] * centre @ centre - 2 * sums[0] @ centre) / 600 + affinity

        expected = minimize(cost, centres[0], method="BFGS", options={"gtol": 1e-8})
        kmh.move_centre(0, centres, counts, sums, targets, 10.0, 1.0)
        assert cost(centres[0]) == pytest.approx(expected.fun, abs=1e-6)

    def test_axes_are_divided_by_the_products_of_variances(self):
        """Logarithms 4, 3, 2, 1: the second group takes 3 and 2; the last axis fits the first."""
        groups = kmh.balanced_groups(np.exp([3.0, 2.0, 1.0, 0.0]), 2)
        assert groups.tolist() == [[0, 3], [1, 2]]

    def test_codes_are_the_corners_of_the_nearest_centres(self, features):
        hasher = KMH(8, iterations=5).fit(features)
        codes = hasher.encode(features)
        centred = features - hasher.mean_
        for subspace in range(2):
            rows = centred @ hasher.axes_[subspace]
            nearest = (
                np.square(rows[:, None] - hasher.centres_[subspace]).sum(axis=2).argmin(axis=1)
            )
            numbers = codes[:, 4 * subspace : 4 * subspace + 4] @ [1, 2, 4, 8]
            assert (numbers == nearest).all()

    def test_axes_that_do_not_fit_are_left_out(self, features):
        hasher = KMH(12, iterations=1).fit(features)
        assert [axes.shape for axes in hasher.axes_] == [(16, 5)] * 3

    def test_bits_that_subspaces_do_not_divide_are_an_error(self, features):
        with pytest.raises(ValueError, match=r"subspaces of 4 bits .* found 10 bits"):
            KMH(10).fit(features)

    def test_more_bits_than_dimensions_is_an_error(self, features):
        with pytest.raises(ValueError, match=r"20 bits need at least .* found 16"):
            KMH(20).fit(features)
