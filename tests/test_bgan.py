"""BGAN's losses against their formulas, its objectives against each other, and training that overfits."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from features._neighbours import nearest
from methods.bgan import BGAN, adversarial_loss, neighbourhood_loss


@pytest.fixture(scope="module")
def images():
    from sklearn.datasets import load_digits

    grey = (load_digits().images[:100] * (255 / 16)).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


@pytest.fixture(scope="module")
def neighbours(images):
    return nearest(images.reshape(len(images), -1).astype(np.float32))


SMALL = {"epochs": 5, "batch": 20, "k1": 5, "k2": 8}


def codes_of(images, neighbours, **keywords):
    return BGAN(16, **SMALL | keywords).fit(images, neighbours).encode(images)


def test_neighbourhood_loss_is_its_formula():
    generator = np.random.default_rng(0)
    codes, targets = generator.uniform(-1, 1, (5, 7)), generator.choice([-1.0, 1.0], (5, 5))
    expected = np.mean([0.5 * (codes[i] @ codes[j] / 7 - targets[i, j]) ** 2 for i in range(5) for j in range(5)])
    assert float(neighbourhood_loss(torch.from_numpy(codes), torch.from_numpy(targets))) == pytest.approx(expected)


def test_adversarial_loss_is_its_formula():
    real, generated = np.array([0.3, -1.2]), np.array([2.0, -0.4])
    probability = [1 / (1 + np.exp(-logits)) for logits in (real, generated)]
    expected = -np.mean(np.log(probability[0]) + np.log(1 - probability[1]))
    assert float(adversarial_loss(torch.from_numpy(real), torch.from_numpy(generated))) == pytest.approx(expected)


def test_the_adversary_never_reaches_the_encoder(images, neighbours):
    """{N, A} trains the encoder as {N} does and {A} not at all, bit for bit."""
    none = {"weight_pixel": 0.0, "weight_perceptual": 0.0}
    alone = codes_of(images, neighbours, **none, weight_adversarial=0.0)
    assert (codes_of(images, neighbours, **none, weight_adversarial=1.0) == alone).all()


def test_every_other_part_changes_the_codes(images, neighbours):
    whole = codes_of(images, neighbours)
    for weight in ("weight_neighbourhood", "weight_pixel", "weight_perceptual"):
        assert (codes_of(images, neighbours, **{weight: 0.0}) != whole).any(), weight


def test_it_can_overfit_a_hundred_images(images):
    """A neighbourhood of five random groups has nothing to do with the images: only learning them by heart reproduces it."""
    group = np.random.default_rng(0).permutation(100) % 5
    content = {"weight_pixel": 0.0, "weight_perceptual": 0.0, "weight_adversarial": 0.0}
    hasher = BGAN(16, **SMALL | content | {"epochs": 60, "k1": 19, "k2": 20})
    codes = hasher.fit(images, nearest(np.eye(5, dtype=np.float32)[group])).encode(images)
    distances = (codes[:, None] != codes[None]).sum(axis=2)
    pairs = np.triu_indices(100, 1)
    assert roc_auc_score((group[:, None] == group)[pairs], -distances[pairs]) > 0.99


def test_the_generator_learns_to_rebuild(images, neighbours):
    """With the pixel term alone it is an autoencoder."""
    others = {"weight_neighbourhood": 0.0, "weight_perceptual": 0.0, "weight_adversarial": 0.0}
    hasher = BGAN(32, **SMALL | others | {"epochs": 40, "width": 0.25}).fit(images, neighbours)
    pixel = hasher.extras_["losses"][:, hasher.extras_["loss_names"].tolist().index("pixel")]
    assert pixel[-1] < 0.5 * pixel[0]


def test_divergence_is_an_error_that_names_the_loss(images, neighbours):
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        BGAN(16, **SMALL | {"learning_rate": 1e30}).fit(images, neighbours)


def test_a_batch_larger_than_the_training_images_is_said(images, neighbours):
    with pytest.raises(ValueError, match="a batch of 101 is larger than the 100 training images"):
        BGAN(16, **SMALL | {"batch": 101}).fit(images, neighbours)


def test_global_random_state_is_untouched(images, neighbours):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    codes_of(images, neighbours, epochs=1)
    assert (torch.rand(3) == expected).all()
