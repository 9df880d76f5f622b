"""AGH, DGH and SGH against dense graphs, closed forms and brute force."""

import itertools

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.optimize import minimize
from scipy.sparse import csr_array

from methods import dgh, sgh
from methods._anchors import AnchorGraph, spectral_map
from methods.agh import AGH, second_thresholds
from methods.dgh import DGH
from methods.imh import IMH
from methods.sgh import SGH


@pytest.fixture(scope="module")
def features():
    generator = np.random.default_rng(0)
    return (generator.normal(size=(400, 12)) * np.linspace(3, 0.5, 12) + 2).astype(np.float32)


@pytest.fixture(scope="module")
def weights(features):
    """Z of the graph of 400 rows through 40 of them, (400, 40)."""
    return AnchorGraph.fit(features, features[:40].astype(np.float64), 3).weights(features)


def similarities(weights):
    """Return S = Z Lambda^-1 Z', dense."""
    dense = weights.toarray()
    return dense / dense.sum(axis=0) @ dense.T


class TestAnchorGraph:
    def test_weights_are_a_gaussian_of_the_distances_to_the_nearest_anchors(self, features):
        anchors = features[:40].astype(np.float64)
        graph = AnchorGraph.fit(features, anchors, 3)
        distances = np.sqrt(np.square(features[:, None] - anchors).sum(axis=2))
        third = np.sort(distances, axis=1)[:, 2]
        assert graph.bandwidth == pytest.approx(third.mean())
        expected = np.exp(-((distances / third.mean()) ** 2)) * (distances <= third[:, None])
        expected /= expected.sum(axis=1, keepdims=True)
        assert graph.weights(features).toarray() == pytest.approx(expected)

    def test_a_row_far_from_all_anchors_has_weights_too(self):
        graph = AnchorGraph(np.array([[0.0], [1.0]]), 2, bandwidth=0.01)
        assert graph.weights(np.array([[1000.0]])).toarray().tolist() == [[0, 1]]

    def test_a_bandwidth_of_zero_is_the_limit_of_small_ones(self):
        graph = AnchorGraph(np.array([[0.0], [1.0]]), 2, bandwidth=0.0)
        weights = graph.weights(np.array([[0.25], [0.5]])).toarray()
        assert weights.tolist() == [[1, 0], [0.5, 0.5]]

    def test_an_anchor_near_no_row_is_removed(self, features):
        anchors = np.vstack([features[:40], np.full((1, 12), 1e3)])
        graph = AnchorGraph.fit(features, anchors, 3)
        assert (graph.anchors == features[:40]).all()

    def test_more_nearest_anchors_than_anchors_is_an_error(self, features):
        with pytest.raises(ValueError, match="n_nearest is 41: expected 1 to 40"):
            AnchorGraph.fit(features, features[:40], 41)

    def test_the_map_gives_eigenvectors_of_the_graph(self, weights):
        embedded = weights @ spectral_map(weights, 6)
        graph = similarities(weights)
        assert graph.sum(axis=1) == pytest.approx(np.ones(400)), "1 is an eigenvalue"
        expected = eigh(graph)[0][::-1][1:7]
        assert expected[0] < 0.999, "the graph is connected"
        assert embedded.T @ embedded == pytest.approx(np.eye(6), abs=1e-10)
        assert graph @ embedded == pytest.approx(embedded * expected, abs=1e-10)
        assert embedded.sum(axis=0) == pytest.approx(np.zeros(6), abs=1e-10)

    def test_components_of_the_graph_give_no_bit(self):
        """Two components of two anchors each: the eigenvalue 1 is double; two others are left."""
        weights = csr_array(np.kron(np.eye(2), [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]))
        assert spectral_map(weights, 2).shape == (4, 2)
        with pytest.raises(ValueError, match=r"3 eigenvectors .* found 2 on 4 anchors"):
            spectral_map(weights, 3)


class TestAGH:
    def test_with_all_rows_as_anchors_one_layer_is_the_spectrum_of_the_full_graph(self, features):
        few = features[:60]
        hasher = AGH(4, layers=1, n_anchors=60, n_nearest=60).fit(few)
        squared = np.square(few[:, None].astype(np.float64) - few).sum(axis=2)
        kernel = np.exp(-squared / np.sqrt(squared.max(axis=1)).mean() ** 2)
        kernel /= kernel.sum(axis=1, keepdims=True)
        vectors = eigh(kernel / kernel.sum(axis=0) @ kernel.T)[1][:, ::-1][:, 1:5]
        cosines = np.abs((hasher.project(few) / np.sqrt(60) * vectors).sum(axis=0))
        assert cosines == pytest.approx(np.ones(4), abs=1e-4), "k-means rounds anchors to float32"

    def test_thresholds_minimise_the_cut_among_balanced_codes(self, weights):
        """The values of the second layer sum to 0, and b'(I - S) b is the least for them."""
        embedded = weights @ spectral_map(weights, 3) * 20
        laplacian = np.eye(400) - similarities(weights)
        for y, upper, lower in zip(embedded.T, *second_thresholds(weights, embedded), strict=True):

            def values(thresholds, y=y):
                return np.where(y >= 0, y - thresholds[0], thresholds[1] - y)

            def cut(thresholds, values=values):
                return values(thresholds) @ laplacian @ values(thresholds)

            balanced = {
                "type": "eq",
                "fun": lambda thresholds, values=values: values(thresholds).sum(),
            }
            expected = minimize(cut, [0.0, 0.0], constraints=balanced, options={"ftol": 1e-12})
            assert values([upper, lower]).sum() == pytest.approx(0, abs=1e-9)
            assert [upper, lower] == pytest.approx(expected.x, abs=1e-4)

    def test_thresholds_of_six_rows_by_hand(self):
        """Lambda = (3, 3), a = (3, 1), g = (3, 5), so s1 = 14/3, s2 = 4 - 10/3, s3 = 4."""
        pair = np.ones((2, 1))
        weights = csr_array(np.kron([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]], pair))
        y = np.array([[1.0], [1.0], [1.0], [1.0], [-2.0], [-2.0]])
        upper, lower = second_thresholds(weights, y)
        # t+ = (2 s3 + n2 (-1)) / n = (8 - 2) / 6, t- = (n1 (-1) - 2 s3) / n = (-4 - 8) / 6
        assert upper == pytest.approx([1.0])
        assert lower == pytest.approx([-2.0])

    def test_the_second_layer_divides_each_sign(self, features):
        hasher = AGH(8, n_anchors=60, n_nearest=3).fit(features)
        first, second = np.split(hasher.project(features), 2, axis=1)
        inner = np.where(first >= 0, first < hasher.upper_, first > hasher.lower_)
        assert ((second < 0) == inner).all()
        assert (hasher.encode(features) == (np.hstack([first, second]) >= 0)).all()

    def test_odd_bits_need_one_layer(self, features):
        with pytest.raises(ValueError, match="even number of bits: found 7"):
            AGH(7, n_anchors=40).fit(features)
        assert AGH(7, n_anchors=40, layers=1).fit(features).encode(features).shape == (400, 7)


class TestDGH:
    def test_the_codes_never_lower_their_value(self, weights):
        factor = weights.multiply(weights.sum(axis=0) ** -0.5).tocsr()
        generator = np.random.default_rng(3)
        codes = generator.choice([-1.0, 1.0], (400, 5))
        attraction = generator.normal(size=(400, 5))

        def value(codes):
            return np.trace(codes.T @ similarities(weights) @ codes) + (codes * attraction).sum()

        steps = [value(dgh.smoother_codes(factor, codes, attraction, count)) for count in range(9)]
        assert (np.diff(steps) >= 0).all()
        assert steps[-1] > steps[0]

    def test_one_bit_of_ten_rows_lies_between_its_start_and_the_best_code(self, features):
        few = features[:10]
        weights = AnchorGraph.fit(few, few[:4].astype(np.float64), 2).weights(few)
        factor = weights.multiply(weights.sum(axis=0) ** -0.5).tocsr()
        attraction = np.random.default_rng(0).normal(size=10)

        def values(codes):
            """Values of codes, one a row of 10."""
            return ((codes @ similarities(weights)) * codes).sum(axis=1) + codes @ attraction

        every = np.array(list(itertools.product([-1.0, 1.0], repeat=10)))
        start = np.sign(attraction)[:, None]
        found = dgh.smoother_codes(factor, start, attraction[:, None], 300)
        assert values(start.T) - 1e-9 <= values(found.T) <= values(every).max() + 1e-9

    @pytest.mark.parametrize("independent", [5, 3])
    def test_relaxed_codes_are_balanced_uncorrelated_and_nearest(self, independent):
        generator = np.random.default_rng(0)
        codes = generator.choice([-1.0, 1.0], (50, 5))
        codes[:, independent:] = codes[:, :1]
        relaxed = dgh.nearest_relaxation(codes, generator)
        assert relaxed.T @ relaxed == pytest.approx(50 * np.eye(5), abs=1e-9)
        assert relaxed.sum(axis=0) == pytest.approx(np.zeros(5), abs=1e-9)
        singular = np.linalg.svd(codes - codes.mean(axis=0), compute_uv=False)
        assert (codes * relaxed).sum() == pytest.approx(np.sqrt(50) * singular.sum())

    def test_the_value_of_the_codes_at_a_row_is_the_mean_of_similar_rows(self, features):
        hasher = DGH(6, n_anchors=60, iterations=1, code_iterations=1).fit(features)
        weights = hasher.graph_.weights(features)
        relaxed = 20 * weights @ spectral_map(weights, 6)
        graph = similarities(weights)
        codes = np.sign(2 * graph @ np.sign(relaxed) + 0.1 * relaxed)
        assert hasher.project(features) == pytest.approx(graph @ codes, abs=1e-9)

    def test_more_iterations_never_lower_the_objective(self, features):
        hashers = [DGH(6, n_anchors=60, iterations=count).fit(features) for count in range(5)]
        values = [hasher.objective_ for hasher in hashers]
        assert (np.diff(values) >= -1e-9).all()
        assert values[-1] > values[0]


class TestSGH:
    def test_similarities_of_unit_rows_are_the_chord_of_an_exponential(self):
        u = np.linspace(-1, 1, 2001)
        rows = np.column_stack([u, np.sqrt(1 - u**2)])
        p, _ = sgh.similarity_factors(np.array([[1.0, 0.0]]))
        _, q = sgh.similarity_factors(rows)
        excess = (p @ q.T)[0] - (2 * np.exp(u - 1) - 1)
        assert excess[[0, -1]] == pytest.approx([0, 0], abs=1e-12)
        assert excess.max() == pytest.approx(0.4103, abs=1e-4)
        assert u[excess.argmax()] == pytest.approx(0.161, abs=1e-3)
        assert excess.min() == pytest.approx(0, abs=1e-12)

    def test_one_bit_is_the_top_eigenvector_of_the_dense_problem(self, features):
        hasher = SGH(1, n_bases=40).fit(features)
        unit = features - features.mean(axis=0, dtype=np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        squared = np.square(unit[:, None] - hasher.bases_).sum(axis=2)
        kernel = np.exp(-squared / (2 * squared.mean()))
        kernel -= kernel.mean(axis=0)
        p, q = sgh.similarity_factors(unit)
        fitted = kernel.T @ (p @ q.T) @ kernel
        top = eigh((fitted + fitted.T) / 2, kernel.T @ kernel + 1e-6 * np.eye(40))[1][:, -1]
        agreement = (hasher.encode(features)[:, 0] == (kernel @ top >= 0)).mean()
        assert agreement in (0, 1)

    def test_the_scale_and_the_origin_of_the_features_change_nothing(self, features):
        moved = features * np.float32(4) + np.float32(8)
        codes = SGH(8, n_bases=40).fit(moved).encode(moved)
        assert (codes == SGH(8, n_bases=40).fit(features).encode(features)).mean() > 0.999

    def test_codes_fit_the_similarities_better_than_random_ones(self, features):
        unit = features - features.mean(axis=0, dtype=np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        p, q = sgh.similarity_factors(unit)
        codes = np.where(SGH(6, n_bases=40).fit(features).encode(features), 1.0, -1.0)
        random = np.random.default_rng(0).choice([-1.0, 1.0], codes.shape)
        errors = [np.linalg.norm(6 * p @ q.T - bits @ bits.T) for bits in (codes, random)]
        assert errors[0] < errors[1]

    def test_a_row_at_the_mean_has_a_code(self, features):
        hasher = SGH(4, n_bases=40).fit(features)
        mean = hasher.mean_[None]
        assert np.isfinite(hasher.project(mean)).all()

    def test_more_bases_than_images_is_an_error(self, features):
        with pytest.raises(ValueError, match=r"300 bases need .* found 200"):
            SGH(4).fit(features[:200])


@pytest.fixture(scope="module")
def imh(features):
    return IMH(4, n_anchors=40, n_nearest=1).fit(features)


class TestIMH:
    def test_an_anchor_has_its_own_embedding(self, imh):
        assert imh.project(imh.graph_.anchors) == pytest.approx(imh.map_)
        assert imh.map_.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-6)

    def test_near_anchors_have_near_embeddings(self, imh):
        """The 5 nearest anchors share more of the 5 nearest embeddings than twice by chance."""

        def nearest(rows):
            distances = np.square(rows[:, None] - rows).sum(axis=2) + np.diag([np.inf] * len(rows))
            return np.argsort(distances, axis=1)[:, :5]

        pairs = zip(nearest(imh.graph_.anchors), nearest(imh.map_), strict=True)
        shared = [len(set(first) & set(second)) for first, second in pairs]
        assert np.mean(shared) > 2 * 5 * 5 / 39

    def test_the_length_of_a_row_changes_nothing(self, imh, features):
        lengths = np.float32(2) ** np.arange(-4, 4).repeat(50)[:, None]
        assert (imh.encode(features * lengths) == imh.encode(features)).all()

    def test_a_zero_row_has_a_code(self, imh):
        assert np.isfinite(imh.project(np.zeros((1, 12), np.float32))).all()
