"""DeepBit's losses against their formulas, its rotations against Pillow's, and its second stage."""

import numpy as np
import pytest
import torch
from builders import loaded
from PIL import Image

from features.squeezenet1_1_pool import SqueezeNet11Pool
from harness import imagenet
from harness.errors import BenchmarkError
from harness.storage import digest
from harness.user_data import DATA_VARIABLE
from harness.variants import Catalogue
from methods._deepbit import Stage, even_loss, quantisation_loss, rotation_loss
from methods.deepbit import DeepBit
from methods.deepbit_rotation import ANGLES, NEARNESS, DeepBitRotation, rotated


def features_of(n=500, d=20):
    generator = np.random.default_rng(0)
    return (generator.normal(size=(n, d)) * np.linspace(3, 0.5, d) + 2).astype(np.float32)


def test_the_losses_are_their_formulas():
    outputs = np.random.default_rng(0).uniform(0, 1.5, (6, 5)).astype(np.float32)
    on = (outputs > 0.5).astype(float)
    assert float(quantisation_loss(torch.from_numpy(outputs))) == pytest.approx(
        ((on - outputs) ** 2).sum() / 12
    )
    assert float(even_loss(torch.from_numpy(outputs))) == pytest.approx(
        ((on.mean(axis=0) - 0.5) ** 2).sum() / 12
    )


def test_the_even_distribution_has_a_gradient():
    outputs = torch.tensor([[0.9, 0.1], [0.8, 0.2]], requires_grad=True)
    even_loss(outputs).backward()
    assert outputs.grad.sign().tolist() == [[1, -1], [1, -1]]


def test_the_rotation_loss_is_its_formula_with_its_own_gradient():
    """By hand: 0.5 * (1 + 4) and 2 * 0.25, over twice the batch of two.

    The gradient is w (f_rotated - f) over the batch.
    """
    outputs = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    turned = torch.tensor([[2.0, 2.0], [0.5, 0.0]], requires_grad=True)
    loss = rotation_loss(outputs, turned, torch.tensor([0.5, 2.0]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx((0.5 * 5 + 2 * 0.25) / 4)
    assert turned.grad.tolist() == [[0.25, 0.5], [0.0, -0.5]]


def test_angles_weigh_what_is_published():
    assert dict(zip(ANGLES, np.round(NEARNESS, 3), strict=True)) == {
        -10: 0.135,
        -5: 0.607,
        0: 1.0,
        5: 0.607,
        10: 0.135,
    }


@pytest.mark.parametrize("angle", [-10, 5])
def test_images_are_rotated_as_pillow_does(angle):
    coarse = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    images = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC))
            for image in coarse
        ]
    )
    for image, found in zip(images, rotated(images, angle), strict=True):
        expected = np.asarray(
            Image.fromarray(image).rotate(angle, Image.Resampling.BILINEAR)
        ).astype(int)
        assert np.abs(found - expected)[4:-4, 4:-4].max() <= 1  # Pillow cuts where SciPy rounds
    assert (rotated(images, angle)[:, 0, 0] == 0).all(), "the corners are black"


def test_codes_are_cut_at_one_threshold_or_at_one_a_bit():
    features = features_of()
    codes = {}
    for threshold in ("global", "per-bit"):
        hasher = DeepBit(8, threshold=threshold, iterations=500, step=250).fit(features)
        codes[threshold] = hasher.encode(features)
        outputs = (
            features - hasher.mean_
        ) * hasher.scale_ @ hasher.layer_.weight.T.numpy() + hasher.layer_.bias.numpy()
        cut = outputs.mean(axis=0) if threshold == "per-bit" else outputs.mean()
        assert (codes[threshold] == (outputs >= cut)).mean() > 0.999  # in single precision
    assert (codes["global"] != codes["per-bit"]).any()
    with pytest.raises(ValueError, match="threshold is 'median': expected one of global, per-bit"):
        DeepBit(8, threshold="median").fit(features)


def test_weight_decay_is_of_the_weights_and_not_of_the_bias():
    hasher = DeepBit(4, weight_decay=0.5)
    hasher.layer_ = torch.nn.Linear(3, 4)
    weight, bias = (parameter.detach().clone() for parameter in hasher.layer_.parameters())
    hasher._descend(
        lambda step: {"nothing": 0 * hasher.layer_(torch.ones(2, 3)).sum()},
        {"nothing": 1.0},
        Stage(iterations=1, step=1, learning_rate=0.1, batch=2),
        n=2,
    )
    assert torch.equal(hasher.layer_.bias, bias)
    assert torch.allclose(hasher.layer_.weight, 0.95 * weight)


def test_gradients_that_cancel_leave_a_random_projection():
    """The row deepbit-released: weight decay scales all outputs, and the threshold with them."""
    entry = Catalogue(loaded()["variants"]).resolve("methods", "deepbit-released").overrides
    features = features_of()
    codes = DeepBit(8, **entry).fit(features).encode(features)
    trained = DeepBit(8, **entry | {"iterations": 500, "step": 250}).fit(features)
    outputs = (features - features.mean(axis=0)) @ trained.layer_.weight.numpy().T
    assert (trained.encode(features) == codes).mean() > 0.999
    assert (codes == (outputs >= outputs.mean())).mean() > 0.999


@pytest.mark.parametrize("change", [{"start": 10.0}, {"relu": False}], ids=str)
def test_start_and_relu_change_the_codes(change):
    features, quick = features_of(), {"iterations": 500, "step": 250}
    codes = [DeepBit(8, **quick | given).fit(features).encode(features) for given in ({}, change)]
    assert (codes[0] != codes[1]).any()


@pytest.fixture(scope="module")
def images():
    from sklearn.datasets import load_digits

    grey = (load_digits().images[:60] * (255 / 16)).round().astype(np.uint8)
    return (
        np.repeat(grey[..., None], 3, axis=3).repeat(4, axis=1).repeat(4, axis=2)
    )  # (60, 32, 32, 3)


@pytest.fixture(scope="module")
def given(tmp_path_factory, images):
    """Keywords that name random weights, and the features that the extractor makes with them."""
    torch.manual_seed(0)
    network = imagenet.NETWORKS["squeezenet1_1"]()
    for parameter in network.parameters():
        torch.nn.init.kaiming_normal_(parameter) if parameter.ndim > 1 else torch.nn.init.zeros_(
            parameter
        )
    path = tmp_path_factory.mktemp("data") / "random.pth"
    torch.save(network.state_dict(), path)
    weights = {"weights": path.name, "sha256": digest(path)}
    extractor = SqueezeNet11Pool(resize=32, crop=32, **weights)
    extractor.open(path.parent, len(images))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATA_VARIABLE, str(path.parent))
        yield {"encoder": "squeezenet1_1", "encoder_size": 32} | weights, extractor.extract(images)


QUICK = {"iterations": (200, 200), "step": (100, 100)}


def rotation_of(given, images, **params):
    weights, features = given
    return DeepBitRotation(8, **QUICK | weights | params).fit(images, features)


def test_the_second_stage_holds_an_image_and_its_rotations_together(given, images):
    turned = np.concatenate([rotated(images, angle) for angle in ANGLES])
    distance = {}
    for weight in (0.0, 0.5):
        hasher = rotation_of(given, images, weight_rotation=weight)
        seen = hasher._outputs(hasher._seen_by(hasher._trunk(), turned)).unflatten(
            0, (len(ANGLES), len(images))
        )  # (5, n, 8)
        distance[weight] = float((seen - seen[2]).square().sum() / seen.var())
    assert distance[0.5] < 0.9 * distance[0.0]


def test_the_first_stage_is_the_method_without_rotation(given, images):
    weights, features = given
    still = rotation_of(given, images, learning_rate=(0.001, 0.0))
    alone = DeepBit(8, iterations=200, step=100).fit(features)
    assert (still.encode(features) == alone.encode(features)).all()
    assert still.facts_ == {"weights_sha256": weights["sha256"]}


def test_every_image_goes_through_the_network_once_an_angle(given, images, monkeypatch):
    seen = []
    monkeypatch.setattr(
        DeepBitRotation,
        "_seen_by",
        lambda self, trunk, block, old=DeepBitRotation._seen_by: (
            seen.append(len(block)) or old(self, trunk, block)
        ),
    )
    rotation_of(given, images)
    assert sum(seen) == 4 * len(images) + 32, (
        "the last to see that the features given are the network's"
    )


def test_a_wrong_threshold_is_reported_before_any_rotation(given, images):
    with pytest.raises(ValueError, match="threshold is 'median': expected one of global, per-bit"):
        rotation_of((given[0], None), images, threshold="median")


@pytest.mark.parametrize("other", ["pixels", "another size"])
def test_features_of_another_network_are_an_error(given, images, other):
    weights, features = given
    seen = images.reshape(len(images), -1).astype(np.float32) if other == "pixels" else features
    message = (
        r"the features given are not those of squeezenet1_1 with these weights at 48 pixels: "
        r".* or run deepbit"
    )
    with pytest.raises(BenchmarkError, match=message):
        DeepBitRotation(8, **QUICK | weights | {"encoder_size": 48}).fit(images, seen)
