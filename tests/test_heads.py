"""Heads on features against hand-worked batches, brute force, SciPy and finite differences."""

import itertools

import numpy as np
import pytest
import torch
from scipy.linalg import solve
from scipy.spatial.distance import pdist
from scipy.stats import beta
from tensors import check_gradient, random_batch
from torch.nn import functional

from methods import _heads as heads
from methods import _training as training
from methods import mls3rduh, sdc, ssdh, tbh
from methods._activations import straight_through
from methods.bihalf import BiHalf, balanced_sign
from methods.greedyhash import GreedyHash, cubic_loss


@pytest.fixture(scope="module")
def features():
    """Three clusters of 40 rows each, with a mean far from 0."""
    generator = np.random.default_rng(5)
    centres = generator.normal(size=(3, 10)) * 2 + 4
    return (np.repeat(centres, 40, axis=0) + generator.normal(size=(120, 10))).astype(np.float32)


# Scaling, schedules and pairs


def test_unit_scaling_is_centred_rows_of_norm_one(features):
    scaled = heads.Scaling(features, "unit")(torch.tensor(features)).numpy()
    centred = features - features.mean(axis=0, dtype=np.float64)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    assert scaled == pytest.approx(expected, abs=1e-6)


def test_standard_scaling_has_mean_zero_and_deviation_one(features):
    scaled = heads.Scaling(features, "standard")(torch.tensor(features)).numpy()
    assert scaled.mean(axis=0) == pytest.approx(np.zeros(10), abs=1e-5)
    assert np.square(scaled).mean() == pytest.approx(1, rel=1e-5)


def test_without_scaling_features_are_unchanged(features):
    rows = torch.tensor(features)
    assert torch.equal(heads.Scaling(features, "none")(rows), rows)


def test_a_row_at_the_mean_stays_finite():
    rows = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0]], np.float32)
    scaled = heads.Scaling(rows, "unit")(torch.tensor(rows))
    assert scaled.tolist() == [[-1, 0], [1, 0], [0, 0]]


def test_the_rate_falls_to_a_tenth_at_each_drop():
    rates = [heads.learning_rate_at(step, 10, 2.0, "steps", (0.4, 0.8)) for step in range(10)]
    assert rates == pytest.approx([2.0] * 4 + [0.2] * 4 + [0.02] * 2)


def test_the_cosine_of_pairs_compares_the_halves_of_a_batch():
    batch = torch.tensor([[1.0, 0.0], [1.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
    assert heads.pair_cosines(batch).tolist() == pytest.approx([1, np.sqrt(0.5)])


def test_an_odd_batch_is_an_error(features):
    with pytest.raises(ValueError, match="batch is 33: expected an even number"):
        BiHalf(4, batch=33).fit(features)


def test_the_cosine_difference_is_zero_for_equal_cosines_only():
    inputs = random_batch(6, 5)
    assert float(heads.cosine_difference(-3 * inputs, inputs)) == pytest.approx(0)
    assert float(heads.cosine_difference(random_batch(6, 5, seed=1), inputs)) > 0.01


def test_the_gradient_of_the_cosine_difference():
    inputs = random_batch(6, 5)
    check_gradient(lambda codes: heads.cosine_difference(codes, inputs), random_batch(6, 3, seed=1))


HEADS = {
    BiHalf: {},
    GreedyHash: {},
    sdc.SDC: {"n_hidden": 16},
    ssdh.SSDH: {},
    mls3rduh.MLS3RDUH: {},
    tbh.TBH: {"n_hidden": 16, "n_latent": 8},
}


@pytest.mark.parametrize("head", HEADS)
def test_every_choice_of_every_head_changes_the_codes(head, features):
    settings = HEADS[head] | {"batch": 40, "epochs": 5, "learning_rate": 0.01}
    changes = [
        {"scaling": "standard"},
        {"scaling": "none"},
        {"optimiser": "sgd"},
        {"schedule": "constant"},
        {"seed": 1},
    ]
    outputs = [head(6, **settings | change).fit(features).project(features) for change in changes]
    usual = head(6, **settings).fit(features).project(features)
    for change, changed in zip(changes, outputs, strict=True):
        assert np.abs(changed - usual).max() > 1e-4, change


@pytest.mark.parametrize("head", HEADS)
def test_an_unknown_scaling_is_an_error(head, features):
    with pytest.raises(ValueError, match=r"scaling is 'l2': expected one of unit, standard, none"):
        head(6, scaling="l2").fit(features)


# Bi-half


def test_bihalf_on_a_hand_worked_batch():
    """4 x 2: the two largest outputs of each column are on; gamma / (N L) is 6 / 8."""
    outputs = torch.tensor([[3.0, -1.0], [2.0, -2.0], [1.0, 0.5], [-4.0, 4.0]], requires_grad=True)
    codes = balanced_sign(outputs, 6.0)
    assert codes.tolist() == [[1, -1], [1, -1], [-1, 1], [-1, 1]]

    incoming = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 2.0]])
    codes.backward(incoming)
    pull = [[2.0, 0.0], [1.0, -1.0], [2.0, -0.5], [-3.0, 3.0]]  # U - B
    assert outputs.grad.tolist() == (incoming + 0.75 * torch.tensor(pull)).tolist()


def test_bihalf_with_ties_and_an_odd_batch():
    outputs = torch.tensor([[0.0], [0.0], [0.0], [-1.0], [0.0]])
    assert balanced_sign(outputs, 0.0).flatten().tolist() == [1, 1, -1, -1, -1]


@pytest.mark.parametrize("seed", range(5))
def test_bihalf_is_the_nearest_balanced_assignment(seed):
    """The optimal transport: among all 20 balanced columns of 6 signs, the nearest one."""
    outputs = random_batch(6, 3, seed)
    balanced = [signs for signs in itertools.product((-1.0, 1.0), repeat=6) if sum(signs) == 0]
    candidates = torch.tensor(balanced, dtype=torch.float64)  # (20, 6)
    nearest = [candidates[torch.cdist(column[None], candidates).argmin()] for column in outputs.T]
    assert torch.equal(balanced_sign(outputs, 1.0), torch.stack(nearest, dim=1))


def test_bihalf_trains_bits_that_are_balanced(features):
    hasher = BiHalf(6, epochs=100).fit(features)
    share = hasher.encode(features).mean(axis=0)
    assert np.abs(share - 0.5).max() < 0.2
    curve = hasher.extras_["curves"][:, 0]
    assert curve[-1] < curve[0]


# GreedyHash


def test_the_cubic_loss_is_its_formula():
    outputs = torch.tensor([[0.5, -3.0], [1.0, 0.0]])
    assert float(cubic_loss(outputs)) == pytest.approx((0.125 + 8 + 0 + 1) / 4)


def test_the_gradient_of_the_cubic_loss():
    check_gradient(cubic_loss, random_batch(4, 3))


def test_greedyhash_passes_the_gradient_of_the_codes_to_the_outputs():
    """Two pairs of two bits by hand: the pair loss, and its gradient through the signs."""
    outputs = torch.tensor([[0.2, 3.0], [-1.0, 0.1], [0.7, 0.4], [2.0, 5.0]], requires_grad=True)
    inputs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 2.0]])  # cosines 1 and 1
    loss = heads.cosine_difference(straight_through(outputs), inputs)
    assert loss.item() == pytest.approx(0.5)  # codes (1, 1) and (1, 1), (-1, 1) and (1, 1): 1, 0
    loss.backward()
    # With cosine c of a and b, the gradient in a is (b / |b| - c a / |a|) / |a|: here b / 2 for the
    # second pair, times 2 (0 - 1) / 2 = -1. For the first pair it is 0.
    expected = [[0.0, 0.0], [-0.5, -0.5], [0.0, 0.0], [0.5, -0.5]]
    assert outputs.grad.numpy() == pytest.approx(np.array(expected), abs=1e-6)


def test_the_cubic_loss_draws_outputs_to_the_corners(features):
    def distance(weight):
        rates = {"learning_rate": 0.01, "epochs": 100}
        hasher = GreedyHash(6, weight_cubic=weight, **rates).fit(features)
        outputs = hasher.project(features)
        return np.abs(np.abs(outputs) - 1).mean()

    assert distance(10.0) < 0.8 * distance(0.0)


# SDC


def test_sdc_targets_are_quantiles_of_a_beta_distribution_on_minus_one_to_one():
    targets = sdc.beta_quantiles(8, 5.0).numpy()
    shares = beta.cdf((targets + 1) / 2, 5, 5)
    assert shares == pytest.approx((2 * np.arange(1, 9) - 1) / 16, abs=1e-6)


def test_sdc_targets_of_a_uniform_distribution():
    assert sdc.beta_quantiles(4, 1.0).tolist() == pytest.approx([-0.75, -0.25, 0.25, 0.75])


def test_the_calibration_loss_on_a_hand_worked_batch():
    """Cosines of inputs 1, 0; of outputs -1, 0.6: the second pair has the smaller target."""
    inputs = torch.tensor([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    outputs = torch.tensor([[1.0, 0.0], [5.0, 0.0], [-3.0, 0.0], [3.0, 4.0]])
    loss = sdc.calibration_loss(outputs, inputs, torch.tensor([-0.5, 0.5]))
    assert loss.item() == pytest.approx((abs(0.6 + 0.5) + abs(-1 - 0.5)) / 2)


def test_the_calibration_loss_depends_on_the_order_of_the_cosines_only():
    inputs, outputs = random_batch(8, 3), random_batch(8, 5, seed=1)
    first = functional.normalize(inputs[:4])
    order = heads.pair_cosines(inputs).argsort().argsort()
    angles = (3 - order.double()) / 4  # decreasing in the cosine, unequal otherwise
    across = functional.normalize(inputs[4:] - heads.pair_cosines(inputs)[:, None] * first)
    moved = torch.cat([first, angles.cos()[:, None] * first + angles.sin()[:, None] * across])
    targets = sdc.beta_quantiles(4, 5.0).double()
    assert sdc.calibration_loss(outputs, moved, targets) == pytest.approx(
        sdc.calibration_loss(outputs, inputs, targets)
    )


def test_the_calibration_loss_is_zero_at_its_targets():
    outputs = random_batch(10, 4)
    targets = heads.pair_cosines(outputs).sort().values
    assert sdc.calibration_loss(outputs, outputs, targets) == pytest.approx(0)


def test_the_losses_of_sdc_have_their_gradients():
    inputs, targets = random_batch(8, 5), sdc.beta_quantiles(4, 5.0).double()
    check_gradient(
        lambda outputs: sdc.calibration_loss(outputs, inputs, targets), random_batch(8, 3, seed=1)
    )
    check_gradient(sdc.quantisation_loss, random_batch(8, 3, seed=2))


def test_the_quantisation_loss_of_sdc_is_zero_at_corners_of_any_size():
    assert sdc.quantisation_loss(torch.tensor([[2.0, -2.0], [0.1, 0.1]])) == pytest.approx(
        0, abs=1e-6
    )


def test_sdc_gives_its_codes_the_distribution():
    features = random_batch(200, 10).float().numpy()
    settings = {"epochs": 60, "batch": 40, "learning_rate": 0.01, "weight_quantisation": 0.0}
    hasher = sdc.SDC(16, **settings).fit(features)
    first, last = hasher.extras_["curves"][[0, -1], 0]
    assert last < 0.6 * first


# SSDH


def drawn_counts(left, right, mode=0.805, pairs=400_000):
    """Histogram of distances with two half Gaussians of equal height at their mode."""
    generator = np.random.default_rng(4)
    draws = np.abs(generator.normal(size=pairs))
    smaller = generator.random(pairs) < left / (left + right)
    distances = mode + np.where(smaller, -left * draws, right * draws)
    return np.histogram(distances, bins=ssdh.BINS, range=(0, 2))[0]


@pytest.mark.parametrize(("left", "right"), [(0.1, 0.05), (0.08, 0.2)])
def test_ssdh_finds_the_thresholds_of_two_half_gaussians(left, right):
    small, large = ssdh.thresholds(drawn_counts(left, right), 2.0, 3.0)
    assert small == pytest.approx(0.805 - 2 * left, abs=0.04)
    assert large == pytest.approx(0.805 + 3 * right, abs=0.04)


def test_ssdh_thresholds_by_hand():
    """Mode 0.505; one pair 0.02 below, two 0.01 above: mirrored variances 2/6 0.02^2 and so on."""
    counts = np.zeros(ssdh.BINS, np.int64)
    counts[[48, 50, 51]] = 1, 4, 2
    small, large = ssdh.thresholds(counts, 1.0, 1.0)
    assert small == pytest.approx(0.505 - 0.02 * np.sqrt(2 / 6))
    assert large == pytest.approx(0.505 + 0.01 * np.sqrt(4 / 8))


def test_the_histogram_is_of_all_pairs_of_different_rows(features, monkeypatch):
    monkeypatch.setattr(ssdh, "ROWS", 50)
    unit = functional.normalize(torch.tensor(features) - 4)
    counts = ssdh.distance_histogram(unit)
    expected = np.histogram(pdist(unit, "cosine"), bins=ssdh.BINS, range=(0, 2))[0]
    assert counts.sum() == 120 * 119
    assert np.abs(np.cumsum(counts) - 2 * np.cumsum(expected)).max() <= 8, "rounding at the edges"


def test_the_structure_loss_is_zero_at_corners_with_the_right_signs():
    """Two groups far apart, and one row between them whose pairs do not count."""
    unit = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    structure = ssdh.semantic_structure(unit, 0.5, 1.5)
    assert structure.tolist() == [[1, 1, -1, 0], [1, 1, -1, 0], [-1, -1, 1, 0], [0, 0, 0, 1]]
    codes = torch.tensor([[1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    assert ssdh.structure_loss(codes, structure) == 0
    assert ssdh.structure_loss(-codes[[0, 2, 1, 3]], structure) == pytest.approx(4 * 4 / 16)


def test_the_gradient_of_the_structure_loss():
    structure = torch.from_numpy(np.random.default_rng(1).choice([-1.0, 0.0, 1.0], (5, 5)))
    check_gradient(lambda codes: ssdh.structure_loss(codes, structure), random_batch(5, 3))


# MLS3RDUH


def five_nodes():
    """A graph of two triangles with a common node."""
    graph = np.zeros((5, 5))
    edges = {(0, 1): 0.9, (0, 2): 0.5, (1, 2): 0.7, (2, 3): 0.4, (2, 4): 0.8, (3, 4): 0.6}
    for (row, column), weight in edges.items():
        graph[row, column] = graph[column, row] = weight
    return graph


def test_manifold_similarities_solve_the_linear_system_of_the_paper():
    graph = five_nodes()
    degrees = np.diag(graph.sum(axis=1) ** -0.5)
    system = np.eye(5) - 0.99 * degrees @ graph @ degrees
    expected = solve(system, 0.01 * np.eye(5))
    found = mls3rduh.manifold_similarities(graph)
    assert found == pytest.approx(expected)
    assert (found >= 0).all()


def test_without_diffusion_every_row_is_similar_to_itself_only(monkeypatch):
    monkeypatch.setattr(mls3rduh, "DIFFUSION", 1e-12)
    assert mls3rduh.manifold_similarities(five_nodes()) == pytest.approx(np.eye(5), abs=1e-9)


def transcribed_similarities(cosines, n_cosine, n_manifold):
    """The steps of MLS3RDUH, row by row, for rows that all have mutual neighbours."""
    n = len(cosines)
    others = cosines - 2 * np.eye(n)
    near = [set(np.argsort(row)[-n_cosine:]) for row in others]
    graph = np.zeros((n, n))
    for i, j in itertools.permutations(range(n), 2):
        if j in near[i] and i in near[j]:
            graph[i, j] = cosines[i, j]
    scale = np.diag(graph.sum(axis=1) ** -0.5)
    manifold = solve(np.eye(n) - 0.99 * scale @ graph @ scale, 0.01 * np.eye(n))
    found = cosines.copy()
    for value in (0, 1):  # a pair that is 1 in one direction stays 1
        for i in range(n):
            near_manifold = set(np.argsort(manifold[i])[-n_manifold:])
            for j in near[i]:
                if (j in near_manifold) == value:
                    found[i, j] = found[j, i] = value
    return found


@pytest.mark.parametrize(("n_cosine", "n_manifold"), [(6, 9), (4, 4), (10, 5)])
def test_reconstructed_similarities_are_their_definition(n_cosine, n_manifold, monkeypatch):
    monkeypatch.setattr(mls3rduh, "ROWS", 7)
    inputs = torch.from_numpy(np.random.default_rng(3).random((40, 4)))
    cosines = mls3rduh.positive_cosines(inputs)
    expected = transcribed_similarities(cosines.copy(), n_cosine, n_manifold)
    found = mls3rduh.reconstructed(cosines, n_cosine, n_manifold)
    assert found == pytest.approx(expected)
    assert {0.0, 1.0} <= set(found.flatten())


def test_a_row_without_mutual_neighbours_has_its_cosines():
    """Row 3 is nearest to row 2, whose nearest row is 1: no edge of the graph reaches row 3."""
    angles = np.array([0.0, 0.1, 0.3, 1.3])
    cosines = np.cos(angles[:, None] - angles)
    found = mls3rduh.reconstructed(cosines.copy(), 1, 2)
    assert found[3] == pytest.approx(cosines[3])
    assert found[0, 1] == 1


def test_negative_cosines_count_as_zero():
    inputs = torch.tensor([[1.0, 0.0], [-2.0, 0.0], [1.0, 1.0]])
    expected = [[1, 0, 0.5**0.5], [0, 1, 0], [0.5**0.5, 0, 1]]
    assert mls3rduh.positive_cosines(inputs) == pytest.approx(np.array(expected))


def test_the_log_cosh_loss_is_its_formula_with_its_gradient():
    codes, targets = random_batch(4, 3), random_batch(4, 4, seed=1)
    expected = np.log(np.cosh(codes.numpy() @ codes.numpy().T / 3 - targets.numpy())).mean()
    assert mls3rduh.log_cosh_loss(codes, targets).item() == pytest.approx(expected)
    assert torch.isfinite(mls3rduh.log_cosh_loss(1000 * codes, targets))
    check_gradient(lambda batch: mls3rduh.log_cosh_loss(batch, targets), codes)


# TBH


def test_tbh_codes_have_the_gradient_of_the_logistic_function():
    logits = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    codes = tbh.binary_codes(logits)
    assert codes.tolist() == [0, 1, 1]
    (codes * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    probabilities = 1 / (1 + np.exp([1.0, 0.0, -2.0]))
    expected = np.array([1, 2, 3]) * probabilities * (1 - probabilities)
    assert logits.grad.numpy() == pytest.approx(expected)


def test_tbh_connects_codes_by_their_hamming_distance():
    codes = np.random.default_rng(0).integers(0, 2, (7, 9))
    distances = (codes[:, None] != codes).sum(axis=2)
    similarities = (1 - distances / 9) ** 1.4
    degrees = similarities.sum(axis=1)
    graph = tbh.code_graph(torch.from_numpy(codes).double())
    assert graph.numpy() == pytest.approx(similarities / np.sqrt(np.outer(degrees, degrees)))
    assert np.linalg.eigvalsh(graph.numpy()).max() == pytest.approx(1, abs=1e-7)


def test_tbh_averages_the_batch_if_all_codes_are_equal():
    graph = tbh.code_graph(torch.ones(5, 4, dtype=torch.float64))
    assert graph.numpy() == pytest.approx(np.full((5, 5), 1 / 5))


def test_tbh_with_opposite_codes_has_finite_gradients():
    logits = torch.tensor([[0.3, -0.2, 0.9], [-0.3, 0.2, -0.9]], requires_grad=True)
    tbh.code_graph(tbh.binary_codes(logits)).square().sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_the_gradient_of_the_graph_of_tbh():
    check_gradient(tbh.code_graph, torch.rand(4, 6, generator=torch.Generator().manual_seed(0)))


def test_the_loss_of_a_critic_is_its_formula_with_its_gradient():
    critic = torch.nn.Linear(3, 1).double()
    real, generated = random_batch(5, 3), random_batch(5, 3, seed=1)

    def loss(generated):
        return tbh.critic_loss(critic, real, generated)

    probabilities = [torch.sigmoid(critic(rows)).detach().numpy() for rows in (real, generated)]
    expected = -np.log(probabilities[0]).mean() - np.log(1 - probabilities[1]).mean()
    assert loss(generated).item() == pytest.approx(expected)
    check_gradient(loss, generated)


def test_the_critics_of_tbh_minimise_what_the_autoencoder_maximises(features):
    """After one step of gradient descent from equal weights, by two separate objectives."""
    settings = {"batch": 120, "epochs": 1, "optimiser": "sgd", "schedule": "constant"}
    hasher = tbh.TBH(4, n_hidden=8, n_latent=6, learning_rate=0.01, **settings)
    untrained = tbh.TBH(4, n_hidden=8, n_latent=6)
    untrained.scaling_ = heads.Scaling(features, "unit")
    untrained._build(features.shape[1])
    hasher.fit(features)

    rows = next(training.batches(120, 120, 1, seed=0))[1]
    inputs = untrained.scaling_(torch.tensor(features))[rows]
    codes, averaged, rebuilt = untrained.autoencoder_(inputs)
    noise = training.stream(0, "noise", torch.device("cpu"))
    adversarial = untrained._adversarial(codes, averaged, noise)
    reconstruction = (rebuilt - inputs).square().sum() / 2
    objectives = {
        "critics_": adversarial,
        "autoencoder_": reconstruction - adversarial,
    }
    for name, objective in objectives.items():
        parameters = list(getattr(untrained, name).parameters())
        gradients = torch.autograd.grad(objective, parameters, retain_graph=True)
        trained = getattr(hasher, name).parameters()
        for before, gradient, after in zip(parameters, gradients, trained, strict=True):
            torch.testing.assert_close(after, before - 0.01 * gradient)


def test_tbh_rebuilds_better_with_training(features):
    settings = {"n_hidden": 32, "n_latent": 16, "batch": 60, "learning_rate": 0.01}
    hasher = tbh.TBH(8, epochs=100, **settings).fit(features)
    reconstruction = hasher.extras_["curves"][:, 0]
    assert reconstruction[-1] < 0.7 * reconstruction[0]
