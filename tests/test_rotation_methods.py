"""PCA-RR, IsoH, KNNH and the control of k-means cells against ITQ and their definitions."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from methods import knnh
from methods.isoh import IsoH
from methods.itq import ITQ
from methods.kmeans_cells import KMeansCells
from methods.knnh import KNNH
from methods.pca_rr import PCARR

BITS = 8


@pytest.fixture(scope="module")
def features():
    generator = np.random.default_rng(0)
    return (generator.normal(size=(500, 20)) * np.linspace(3, 0.5, 20) + 2).astype(np.float32)


def leading_variances(features):
    """Return the largest eigenvalues of the covariance, the largest first."""
    covariance = np.cov(features.T.astype(np.float64), bias=True)
    return np.linalg.eigvalsh(covariance)[::-1][:BITS]


def test_pca_rr_is_itq_without_iterations(features):
    codes = PCARR(BITS, seed=3).fit(features).encode(features)
    assert (codes == ITQ(BITS, seed=3, iterations=0).fit(features).encode(features)).all()


@pytest.mark.parametrize("method", [PCARR, IsoH])
def test_a_rotation_keeps_the_mean_and_the_total_variance(features, method):
    hasher = method(BITS).fit(features)
    projected = hasher.project(features)
    assert hasher.projection_.T @ hasher.projection_ == pytest.approx(np.eye(BITS), abs=1e-10)
    assert projected.mean(axis=0) == pytest.approx(np.zeros(BITS), abs=1e-6)
    total = leading_variances(features).sum()
    assert projected.var(axis=0).sum() == pytest.approx(total, rel=1e-9)


def test_isoh_without_iterations_is_pca_rr(features):
    codes = IsoH(BITS, seed=3, iterations=0).fit(features).encode(features)
    assert (codes == PCARR(BITS, seed=3).fit(features).encode(features)).all()


@pytest.mark.parametrize("seed", range(3))
def test_isoh_gives_all_bits_the_same_variance(features, seed):
    variances = IsoH(BITS, seed=seed).fit(features).project(features).var(axis=0)
    mean = leading_variances(features).mean()
    assert variances == pytest.approx(np.full(BITS, mean), rel=1e-4)


def test_isoh_of_one_bit_is_the_first_axis(features):
    assert IsoH(1).fit(features).project(features).var() == pytest.approx(
        leading_variances(features)[0], rel=1e-6
    )


def test_knnh_without_neighbours_is_itq(features):
    codes = KNNH(BITS, n_neighbours=0, iterations=50).fit(features).encode(features)
    assert (codes == ITQ(BITS).fit(features).encode(features)).all()


def test_knnh_with_all_others_as_neighbours_is_itq(features):
    """The mean of all others is -x / (n - 1), and ITQ's rotation is the same for x and -c x."""
    everything = len(features) - 1
    codes = KNNH(BITS, n_neighbours=everything, iterations=50).fit(features).encode(features)
    assert (codes == ITQ(BITS).fit(features).encode(features)).all()


@pytest.mark.parametrize("distances", [1, 5000, 2**24])
def test_neighbour_means_are_those_of_scikit_learn(features, distances, monkeypatch):
    monkeypatch.setattr(knnh, "DISTANCES", distances)
    rows = features[:200].astype(np.float64)
    neighbours = NearestNeighbors(n_neighbors=7).fit(rows).kneighbors(return_distance=False)
    assert knnh.neighbour_means(rows, 7) == pytest.approx(rows[neighbours].mean(axis=1))


def test_more_neighbours_than_images_is_an_error(features):
    with pytest.raises(ValueError, match=r"20 neighbours need more than 20 .* found 20"):
        KNNH(BITS).fit(features[:20])


def test_cells_of_one_image_each_are_itq(features):
    few = features[:100]
    codes = KMeansCells(BITS, n_cells=100).fit(few).encode(few)
    assert (codes == ITQ(BITS).fit(few).encode(few)).all()


def test_all_images_of_a_cell_have_the_code_of_its_centre(features):
    hasher = KMeansCells(BITS, n_cells=10).fit(features)
    codes = hasher.encode(features)
    distances = np.square(features[:, None] - hasher.centres_).sum(axis=2)
    centres = ITQ(BITS).fit(features).encode(hasher.centres_)
    assert (codes == centres[distances.argmin(axis=1)]).all()


def test_more_cells_than_images_is_an_error(features):
    with pytest.raises(ValueError, match=r"100 centres of k-means .* found 99"):
        KMeansCells(BITS).fit(features[:99])
