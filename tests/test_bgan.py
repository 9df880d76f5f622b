"""BGAN's losses against their formulas, its objectives, and training that overfits."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from features._neighbours import nearest
from harness import imagenet
from harness.errors import BenchmarkError
from harness.storage import digest
from harness.user_data import DATA_VARIABLE
from methods import _nets as nets
from methods._activations import ACTIVATIONS, app, straight_through
from methods._neighbourhood import similar_pairs
from methods._nets import PRETRAINED, Pretrained
from methods._training import Checkpoint, learning_rate_at, optimiser_of
from methods.bgan import BGAN, adversarial_loss, neighbourhood_loss, quantisation_loss


@pytest.fixture(scope="module")
def images():
    from sklearn.datasets import load_digits

    grey = (load_digits().images[:100] * (255 / 16)).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


@pytest.fixture(scope="module")
def neighbours(images):
    return nearest(images.reshape(len(images), -1).astype(np.float32))


SMALL = {"epochs": 5, "batch": 20, "k1": 5, "k2": 8}
ONE_EPOCH = {"epochs": 1, "betas": [1.0]}


NOTHING = {
    "weight_neighbourhood": 0.0,
    "weight_pixel": 0.0,
    "weight_perceptual": 0.0,
    "weight_adversarial": 0.0,
}


def flat(images):
    return images.reshape(len(images), -1).astype(np.float32) / 255


def fitted(images, neighbours, bits=16, **params):
    return BGAN(bits, **SMALL | params).fit(images, flat(images), neighbours)


def codes_of(images, neighbours, **params):
    return fitted(images, neighbours, **params).encode(images, flat(images))


@pytest.mark.parametrize("scaled", [True, False])
def test_neighbourhood_loss_is_its_formula(scaled):
    generator = np.random.default_rng(0)
    codes, targets = generator.uniform(-1, 1, (5, 7)), generator.choice([-1.0, 1.0], (5, 5))
    length = 7 if scaled else 1
    expected = np.mean(
        [
            0.5 * (codes[i] @ codes[j] / length - targets[i, j]) ** 2
            for i in range(5)
            for j in range(5)
        ]
    )
    assert float(
        neighbourhood_loss(torch.from_numpy(codes), torch.from_numpy(targets), scaled)
    ) == pytest.approx(expected)


def test_quantisation_loss_is_its_formula():
    codes = torch.tensor([[0.5, -0.2], [0.0, 1.0]])
    assert float(quantisation_loss(codes)) == pytest.approx((0.5**2 + 0.8**2 + 1 + 0) / 4)


def test_app_is_its_formula():
    values = torch.linspace(-2, 2, 9)
    assert app(values, 2.0).tolist() == [max(-1, min(1, 2 * value)) for value in values.tolist()]


def test_straight_through_is_sign_with_the_gradient_of_the_identity():
    values = torch.tensor([-0.3, 0.0, 2.0], requires_grad=True)
    codes = straight_through(values)
    (codes * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert codes.tolist() == [-1, 1, 1]
    assert values.grad.tolist() == [1, 2, 3]


def test_adversarial_loss_is_its_formula():
    real, generated = np.array([0.3, -1.2]), np.array([2.0, -0.4])
    probability = [1 / (1 + np.exp(-logits)) for logits in (real, generated)]
    expected = -np.mean(np.log(probability[0]) + np.log(1 - probability[1]))
    assert float(
        adversarial_loss(torch.from_numpy(real), torch.from_numpy(generated))
    ) == pytest.approx(expected)


def test_the_adversary_alone_leaves_the_encoder_untrained(images, neighbours):
    """{A} is the untrained encoder: without a generator, its random stream is the same."""
    assert (
        codes_of(images, neighbours, **NOTHING | {"weight_adversarial": 1.0})
        == codes_of(images, neighbours, **NOTHING)
    ).all()


def test_the_adversary_beside_the_neighbourhood_changes_nothing(images, neighbours):
    """{N, A} trains the encoder as {N} does, bit for bit."""
    alone = NOTHING | {"weight_neighbourhood": 10.0}
    assert (
        codes_of(images, neighbours, **alone | {"weight_adversarial": 1.0})
        == codes_of(images, neighbours, **alone)
    ).all()


@pytest.mark.parametrize("scaling", ["unit", "none"])
def test_the_scaling_of_features_changes_the_codes_of_a_head(images, neighbours, scaling):
    alone = NOTHING | {"weight_neighbourhood": 10.0, "encoder": "features"}
    standard = codes_of(images, neighbours, **alone)
    assert (codes_of(images, neighbours, **alone, scaling=scaling) != standard).any()


def test_a_scaling_that_changes_nothing_is_an_error(images, neighbours):
    with pytest.raises(ValueError, match="scaling is 'unit', which changes nothing"):
        fitted(images, neighbours, scaling="unit")


@pytest.mark.parametrize(
    "change",
    [
        {"weight_neighbourhood": 0.0},
        {"weight_pixel": 0.0},
        {"weight_perceptual": 0.0},
        {"weight_quantisation": 1.0},
        {"scale_by_length": False},
        {"second_step": False},
        {"ties": "index"},
        {"k1": 4},
        {"k2": 5},
        {"schedule": "constant"},
        {"batch_norm": "hidden"},
        {"activation": "app"},
        {"activation": "ste"},
        {"activation": "two-step"},
        {"betas": [1.0]},
        {"generator_input": "binary"},
        {"generator_input": "noisy"},
        {"discriminator_sees": "noise"},
        {"discriminator_sees": "both"},
        {"adversarial_to_encoder": True},
        {"encoder": "features"},
        {"optimiser": "sgd"},
        {"epsilon": 1.0},
        {"width": 0.25},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_other_choice_changes_the_codes(images, neighbours, whole, change):
    assert (codes_of(images, neighbours, **change) != whole).any()


# The parameters of the released generator and discriminator at 32 bits and 64 pixels, layer by
# layer: linear layers have weights and a bias, convolutions a scale and a shift too.
GENERATOR = [32 * 16384 + 16384, 25 * 256 * 256 + 768, 25 * 256 * 128 + 384]
GENERATOR += [25 * 128 * 32 + 96, 32 * 3 + 9]
DISCRIMINATOR = [25 * 3 * 32 + 96, 25 * 32 * 128 + 384, 25 * 128 * 256 + 768, 25 * 256 * 256 + 768]
DISCRIMINATOR += [16384 * 1024 + 1024, 1024 + 1]


def parameters_by_layer(network):
    """Parameters of each linear layer or convolution, with those of its normalisation."""
    counts = []
    for module in network.modules():
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            counts[-1] += own
        elif own:
            counts.append(own)
    return counts


def test_the_released_networks_have_their_published_parameters():
    with torch.device("meta"):
        generator = nets.Generator(32, 64, 1.0, "released")
        discriminator = nets.Discriminator(64, 1.0, "released")
    assert parameters_by_layer(generator) == GENERATOR
    assert parameters_by_layer(discriminator) == DISCRIMINATOR
    assert (sum(GENERATOR), sum(DISCRIMINATOR)) == (3_102_025, 19_343_681)


@pytest.mark.parametrize("batch_norm", nets.BATCH_NORMS)
def test_batch_normalisation_is_on_the_layers_stated(batch_norm):
    """Released: on every convolution, the generator's last one included, and on no linear layer."""
    released = batch_norm == "released"
    generator = nets.Generator(8, 16, 0.125, batch_norm)
    discriminator = nets.Discriminator(16, 0.125, batch_norm)
    for network in (generator, discriminator):
        kinds = [module for module in network.modules() if not list(module.children())]
        for layer, following in itertools.pairwise(kinds):
            normalised = isinstance(following, torch.nn.modules.batchnorm._BatchNorm)
            if isinstance(layer, torch.nn.Linear):
                assert normalised == (not released)
            elif isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
                last = layer.out_channels == 3
                assert normalised == (released or not last)
    if released:
        assert {module.eps for module in generator.modules() if hasattr(module, "eps")} == {1e-3}


def test_the_learning_rate_falls_along_half_a_cosine():
    rates = [learning_rate_at(step, 4, 2.0, "cosine") for step in range(4)]
    assert rates == pytest.approx([2.0, 1 + 0.5**0.5, 1.0, 1 - 0.5**0.5])
    assert {learning_rate_at(step, 4, 2.0, "constant") for step in range(4)} == {2.0}


def test_each_step_has_the_learning_rate_of_the_schedule(images, neighbours, monkeypatch):
    seen = []
    step = BGAN._step
    monkeypatch.setattr(
        BGAN,
        "_step",
        lambda self, *rest: (
            seen.append({group["lr"] for found in self.optimisers_ for group in found.param_groups})
            or step(self, *rest)
        ),
    )
    fitted(images, neighbours)
    assert seen == [{learning_rate_at(number, 25, 3e-4, "cosine")} for number in range(25)]


def test_views_as_rows_have_the_neighbours_and_pixels_of_their_images(
    images, neighbours, monkeypatch
):
    seen = []
    step = BGAN._step
    monkeypatch.setattr(
        BGAN, "_step", lambda self, *batch: seen.append(batch[:3]) or step(self, *batch)
    )
    params = SMALL | ONE_EPOCH | {"encoder": "features", "scaling": "none"}
    index = np.tile(np.arange(100), 3)  # three views of each image, marked by its index
    views = np.concatenate([flat(images), flat(images) / 2, flat(images) / 4])
    views[:, 0], views[:, 1] = index, np.repeat(np.arange(3), 100)
    BGAN(16, **params).fit(images, views, neighbours)

    similar = similar_pairs(neighbours, 5, 8).toarray()
    rows = torch.cat([inputs[:, :2] for inputs, _, _ in seen]).int().numpy()
    assert len(np.unique(rows, axis=0)) == 300
    for inputs, pixels, targets in seen:
        shown = inputs[:, 0].int().numpy()
        assert (pixels.permute(0, 2, 3, 1).numpy() == images[shown]).all()
        assert (targets.numpy() == similar[np.ix_(shown, shown)] * 2.0 - 1.0).all()


def objectives(hasher, inputs, pixels, targets, beta):
    """The objective of each network as its definition, from a forward pass of its own."""
    represented, _ = hasher._represent(inputs)
    codes = ACTIVATIONS[hasher.activation](represented, beta)
    content = adversary = of_discriminator = torch.zeros(())
    if hasher.generator_ is not None:
        rebuilt = hasher.generator_(codes)
        real = torch.nn.functional.interpolate(pixels.float(), (hasher.size_,) * 2) / 255
        content = hasher.weight_pixel * (rebuilt - real).square().mean()
    if hasher.discriminator_ is not None:
        (real_logits, real_features), (logits, features) = map(
            hasher.discriminator_, (real, rebuilt)
        )
        difference = (features - real_features.detach()).square().mean()
        content = content + hasher.weight_perceptual * difference
        if hasher.discriminator_sees != "reconstructions":
            sampled, _ = hasher.discriminator_(hasher.generator_(hasher._noise(len(codes))))
            noise = hasher.discriminator_sees == "noise"
            logits = sampled if noise else torch.cat([logits, sampled])
        adversary = -hasher.weight_adversarial * torch.log(torch.sigmoid(logits)).mean()
        if hasher.weight_adversarial:
            of_discriminator = adversarial_loss(real_logits, logits)
    of_encoder = hasher.weight_neighbourhood * neighbourhood_loss(codes, targets) + content
    if hasher.adversarial_to_encoder:
        of_encoder = of_encoder + adversary
    return [of_encoder, content + adversary, of_discriminator]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"adversarial_to_encoder": True},
        {"discriminator_sees": "noise"},
        {"discriminator_sees": "both", "adversarial_to_encoder": True},
        {"weight_adversarial": 0.0},
        {"weight_perceptual": 0.0, "weight_adversarial": 0.0},
        {"weight_pixel": 0.0, "weight_perceptual": 0.0},
        {"weight_neighbourhood": 0.0},
        {"weight_pixel": 0.0, "weight_perceptual": 0.0, "weight_adversarial": 0.0},
    ],
    ids=str,
)
def test_gradients_are_those_of_each_networks_objective(images, neighbours, params):
    """Although the graph is cut at the images and passed as seldom as possible."""
    hasher = fitted(images, neighbours, **ONE_EPOCH | params)
    for network in hasher.networks_:
        network.train()
    pixels = torch.from_numpy(images[:20]).permute(0, 3, 1, 2).contiguous()
    targets = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], (20, 20))).float()
    noise = hasher.noise_.get_state()
    hasher._differentiate(pixels, pixels, targets, 2.0)
    hasher.noise_.set_state(noise)
    wanted = objectives(hasher, pixels, pixels, targets, 2.0)
    for network, objective in zip(
        (hasher.encoder_, hasher.generator_, hasher.discriminator_), wanted, strict=True
    ):
        parameters = [] if network is None else list(network.parameters())
        if not objective.requires_grad:
            assert all(parameter.grad is None for parameter in parameters)
            continue
        expected = torch.autograd.grad(objective, parameters, retain_graph=True, allow_unused=True)
        for parameter, gradient in zip(parameters, expected, strict=True):
            found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            right = torch.zeros_like(parameter) if gradient is None else gradient
            assert torch.allclose(found, right, rtol=1e-3, atol=1e-6)


def test_no_network_is_built_that_no_loss_uses(images, neighbours):
    params = ONE_EPOCH | NOTHING
    alone = fitted(images, neighbours, **params | {"weight_neighbourhood": 1.0})
    rebuilding = fitted(images, neighbours, **params | {"weight_pixel": 1.0})
    assert (len(alone.networks_), len(rebuilding.networks_)) == (1, 2)
    assert "rebuilt" not in alone.extras_
    assert "rebuilt" in rebuilding.extras_


@pytest.fixture(scope="module")
def whole(images, neighbours):
    return codes_of(images, neighbours)


def test_the_error_for_an_unknown_choice_lists_the_choices(images, neighbours):
    with pytest.raises(
        ValueError, match="activation is 'relu': expected one of tanh, app, ste, two-step"
    ):
        fitted(images, neighbours, activation="relu")


def test_it_can_overfit_a_hundred_images(images):
    """Five random groups are independent of the images, so only overfitting reproduces them."""
    group = np.random.default_rng(0).permutation(100) % 5
    params = NOTHING | {"weight_neighbourhood": 10.0, "epochs": 60, "k1": 19, "k2": 20}
    codes = codes_of(images, nearest(np.eye(5, dtype=np.float32)[group]), **params)
    distances = (codes[:, None] != codes[None]).sum(axis=2)
    pairs = np.triu_indices(100, 1)
    assert roc_auc_score((group[:, None] == group)[pairs], -distances[pairs]) > 0.99


def test_the_generator_learns_to_rebuild(images, neighbours):
    """With the pixel term alone it is an autoencoder."""
    hasher = fitted(
        images, neighbours, 32, **NOTHING | {"weight_pixel": 1.0, "epochs": 40, "width": 0.25}
    )
    pixel = hasher.extras_["curves"][:, hasher.extras_["curve_names"].tolist().index("pixel")]
    assert pixel[-1] < 0.5 * pixel[0]


def test_divergence_is_an_error_that_names_the_loss(images, neighbours):
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        fitted(images, neighbours, learning_rate=1e30)


def test_a_batch_larger_than_the_training_images_is_reported(images, neighbours):
    with pytest.raises(ValueError, match="a batch of 101 is larger than the 100 training images"):
        fitted(images, neighbours, batch=101)


@pytest.mark.parametrize(
    "params",
    [{}, {"discriminator_sees": "both", "generator_input": "noisy"}, {"encoder": "vgg19"}],
    ids=str,
)
def test_a_resumed_training_gives_the_same_codes(
    images, neighbours, tmp_path, monkeypatch, small_vgg, params
):
    """Training stops at batch 13 of 25 of an epoch and is resumed by another object."""
    params = small_vgg | params
    expected = codes_of(images, neighbours, **params)
    monkeypatch.setattr(Checkpoint, "interval", 0.0)
    steps = []
    monkeypatch.setattr(
        BGAN,
        "_step",
        lambda self, *rest, step=BGAN._step: (
            steps.append(0) or (step(self, *rest) if len(steps) != 13 else 1 / 0)
        ),
    )
    hasher = BGAN(16, **SMALL | params)
    hasher.checkpoint = tmp_path / "state.pt"
    with pytest.raises(ZeroDivisionError):
        hasher.fit(images, flat(images), neighbours)
    again = BGAN(16, **SMALL | params)
    again.checkpoint = tmp_path / "state.pt"
    again.fit(images, flat(images), neighbours)
    assert len(steps) == 13 + 25 - 12
    assert (again.encode(images, flat(images)) == expected).all()
    assert again.extras_["curves"].shape[0] == SMALL["epochs"]


def test_training_that_was_killed_after_its_last_batch_resumes(
    images, neighbours, tmp_path, monkeypatch
):
    """Its codes were not yet written: a chain of random kills came upon it."""
    monkeypatch.setattr(Checkpoint, "interval", 0.0)
    found = []
    for _ in range(2):
        hasher = BGAN(16, **SMALL)
        hasher.checkpoint = tmp_path / "state.pt"
        hasher.fit(images, flat(images), neighbours)
        found.append(hasher.encode(images, flat(images)))
        assert hasher.extras_["curves"].shape[0] == SMALL["epochs"]
    assert (found[0] == found[1]).all()


class SmallVGG(torch.nn.Module):
    """A network with VGG's dropout after fc6 and fc7, in little."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3, stride=2),
            torch.nn.ReLU(inplace=True),
            torch.nn.AdaptiveAvgPool2d(3),
        )
        layers = (
            torch.nn.Linear(36, 24),
            torch.nn.ReLU(),
            torch.nn.Dropout(),
            torch.nn.Linear(24, 20),
            torch.nn.ReLU(),
            torch.nn.Dropout(),
        )
        self.classifier = torch.nn.Sequential(*layers, torch.nn.Linear(20, 10))

    def penultimate(self, images):
        return self.classifier[:-1](self.features(images).flatten(1))


@pytest.fixture
def small_vgg(tmp_path, monkeypatch):
    """Return parameters that name a file of weights in place of VGG-19.

    The tests of networks verify the official layout of VGG-19.
    """
    torch.manual_seed(0)
    torch.save(SmallVGG().state_dict(), tmp_path / "mine.pth")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    monkeypatch.setitem(imagenet.NETWORKS, "vgg19", SmallVGG)
    monkeypatch.setitem(PRETRAINED, "vgg19", 20)
    return {"weights": "mine.pth", "sha256": digest(tmp_path / "mine.pth"), "encoder_size": 16}


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_width_of_a_pretrained_encoder_is_what_its_last_layer_sees(name):
    with torch.device("meta"):
        assert imagenet.NETWORKS[name]().penultimate(torch.empty(1, 3, 64, 64)).shape == (
            1,
            PRETRAINED[name],
        )


def test_a_pretrained_encoder_is_given_images_as_its_weights_want_them(
    images, small_vgg, monkeypatch
):
    from PIL import Image

    monkeypatch.setattr(SmallVGG, "penultimate", lambda self, given: given)
    trunk = Pretrained("vgg19", small_vgg["weights"], small_vgg["sha256"], 20, "float32")
    found = trunk(torch.from_numpy(images[:5]).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for image, given in zip(images, found, strict=False):
        expected = (
            np.asarray(Image.fromarray(image).resize((20, 20), Image.Resampling.BILINEAR)) / 255
        )
        assert (
            np.abs(given * deviation + mean - expected).max() < 1 / 255
        )  # Pillow rounds to whole intensities, twice


def test_a_pretrained_encoder_begins_as_its_file_and_all_its_layers_are_trained(
    images, neighbours, small_vgg, tmp_path
):
    weights = torch.load(tmp_path / "mine.pth", weights_only=True)
    untrained, trained = (
        fitted(
            images, neighbours, encoder="vgg19", **small_vgg | {"learning_rate": rate}
        ).networks_[0]
        for rate in (0.0, 1e-3)
    )
    for name, value in weights.items():
        assert torch.equal(untrained.trunk.network.get_parameter(name), value)
        moved = not torch.equal(trained.trunk.network.get_parameter(name), value)
        assert moved == (not name.startswith("classifier.6")), (
            "the last layer is what the code layer replaces"
        )


def test_dropout_is_on_in_training_alone(images, neighbours, small_vgg):
    hasher = BGAN(16, encoder="vgg19", **SMALL | small_vgg)
    seen = []
    step = hasher._step
    hasher._step = lambda inputs, *rest: (
        seen.append([hasher._represent(inputs)[0] for _ in range(2)]) or step(inputs, *rest)
    )
    hasher.fit(images, flat(images), neighbours)
    assert all((first != second).any() for first, second in seen)
    assert (hasher.encode(images, flat(images)) == hasher.encode(images, flat(images))).all()
    assert hasher.facts_["weights_sha256"] == small_vgg["sha256"]


def test_bfloat16_is_of_products_alone(images, neighbours, small_vgg):
    found = {}
    for precision in ("float32", "bfloat16"):
        hasher = fitted(images, neighbours, encoder="vgg19", precision=precision, **small_vgg)
        assert {parameter.dtype for parameter in hasher.networks_[0].parameters()} == {
            torch.float32
        }
        found[precision] = (
            hasher.networks_[0].trunk(torch.from_numpy(images).permute(0, 3, 1, 2)).detach()
        )
        assert found[precision].dtype == torch.float32
    difference = (found["float32"] - found["bfloat16"]).abs().max() / found["float32"].abs().max()
    assert 1e-4 < float(difference) < 0.1, "eight bits of mantissa, not twenty-four"


def test_other_weights_than_stated_are_one_line(images, neighbours, small_vgg):
    with pytest.raises(
        BenchmarkError,
        match=f"weights .*mine.pth have SHA-256 {small_vgg['sha256']}, expected {'0' * 64}",
    ):
        fitted(images, neighbours, encoder="vgg19", **small_vgg | {"sha256": "0" * 64})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_images_that_do_not_fit_a_gpu_are_streamed_to_the_same_codes(
    images, neighbours, whole, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 0))
    assert (codes_of(images, neighbours) == whole).mean() > 0.99  # a GPU adds in no fixed order


@pytest.mark.parametrize(
    ("pixels", "params", "side"),
    [(28, {}, 32), (20, {}, 24), (8, {}, 8), (8, {"image_size": 64, "enlarge": True}, 64)],
)
def test_generated_images_have_a_side_that_can_be_doubled_three_times(
    images, neighbours, pixels, params, side
):
    resized = np.kron(images[:, :4, :4], np.ones((1, pixels // 4, pixels // 4, 1), np.uint8))
    hasher = BGAN(8, **SMALL | ONE_EPOCH | {"width": 0.02} | params).fit(
        resized, flat(resized), neighbours
    )
    assert {hasher.extras_[name].shape[1:] for name in ("originals", "rebuilt", "sampled")} == {
        (side, side, 3)
    }


def test_fewer_images_than_pictures_are_all_shown(images, neighbours):
    few = nearest(flat(images[:10]))
    hasher = BGAN(8, **ONE_EPOCH, batch=5, k1=2, k2=3).fit(images[:10], flat(images[:10]), few)
    assert len(hasher.extras_["rebuilt"]) == 10


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"epochs": 0}, "betas has 5 values and epochs is 0: expected at least one value, and an"),
        ({"epochs": 4}, "betas has 5 values and epochs is 4: expected at least one value, and an"),
        ({"betas": []}, "betas has 0 values and epochs is 5: expected at least one value, and an"),
        (
            {"adversarial_to_encoder": True, "discriminator_sees": "noise"},
            "adversarial_to_encoder changes nothing",
        ),
    ],
)
def test_parameters_without_effect_are_refused(images, neighbours, params, message):
    with pytest.raises(ValueError, match=message):
        fitted(images, neighbours, **params)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_only_an_activation_with_an_end_to_its_slope_saturates(images, neighbours, activation):
    hasher = fitted(images, neighbours, activation=activation, **ONE_EPOCH)
    assert (
        ("saturated" in hasher.facts_)
        == ("saturated" in hasher.extras_["curve_names"])
        == (activation in ("tanh", "app"))
    )


@pytest.mark.parametrize("epsilon", [1e-8, 1.0])
def test_adam_as_in_tensorflow_is_its_formula(epsilon):
    """Adam of tf.compat.v1: x -= rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)."""
    generator = np.random.default_rng(0)
    network = torch.nn.Linear(3, 2, bias=False)
    optimiser = optimiser_of(network, "adam-tensorflow", 0.1, epsilon)
    expected = network.weight.detach().numpy().astype(np.float64)
    m = v = 0.0
    for step in range(1, 30):
        gradient = generator.normal(size=(2, 3))
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        expected = expected - 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (
            np.sqrt(v) + epsilon
        )
        network.weight.grad = torch.from_numpy(gradient).float()
        optimiser.step()
        if step == 10:  # as from a checkpoint
            state = optimiser.state_dict()
            optimiser = optimiser_of(network, "adam-tensorflow", 0.1, epsilon)
            optimiser.load_state_dict(state)
    assert network.weight.detach().numpy() == pytest.approx(expected, rel=1e-5)


def test_global_random_state_is_untouched(images, neighbours):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    codes_of(images, neighbours, **ONE_EPOCH)
    assert (torch.rand(3) == expected).all()
