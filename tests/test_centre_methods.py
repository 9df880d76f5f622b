"""SpH and KMH, whose bits come from distances to centres, against their definitions."""

import numpy as np
import pytest

from methods import sph
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


@pytest.fixture(scope="module")
def rows(features):
    """Centred rows on their principal axes, (600, 16) float64."""
    centred = features - features.mean(axis=0, dtype=np.float64)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2].T
