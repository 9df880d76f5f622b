"""Networks of the deep methods: encoder for small images, generator, discriminator, and the activations that stand in for sign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from harness import imagenet
from harness.user_data import CACHE, data_folder

PRETRAINED = {
    "vgg19": 4096,
    "squeezenet1_1": 512,
}  # networks that can be trained further, and the width of what their last layer sees
ENCODERS = ("conv", "features", *PRETRAINED)
PRECISIONS = ("float32", "bfloat16")


class Encoder(nn.Module):
    """A trunk, and a linear layer from what it sees to the representation z (m, n_bits); with `noisy`, one more to a log-variance."""

    def __init__(self, trunk: nn.Module, n_hidden: int, n_bits: int, noisy: bool = False):
        super().__init__()
        self.trunk = trunk
        self.code = nn.Linear(n_hidden, n_bits)
        self.log_variance = nn.Linear(n_hidden, n_bits) if noisy else None

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        hidden = self.trunk(inputs)
        return self.code(hidden), self.log_variance(hidden) if self.log_variance else None


def trunk_of(encoder: str, features: np.ndarray, *pretrained) -> tuple[nn.Module, int]:
    """The trunk of one of ENCODERS, and the width of what it gives; `pretrained` are the arguments of Pretrained after its name."""
    if encoder == "conv":
        return convolutional_trunk()
    if encoder == "features":
        return feature_trunk(features)
    return Pretrained(encoder, *pretrained), PRETRAINED[encoder]


def convolutional_trunk(width: int = 32) -> tuple[nn.Module, int]:
    """Trunk for small images (m, 3, h, w) in -1..1, trained from scratch, and the width of what it gives."""
    layers = (
        *_convolution(3, width, stride=1),
        *_convolution(width, 2 * width, stride=2),
        *_convolution(2 * width, 4 * width, stride=2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * width, 8 * width),
        nn.ReLU(),
    )
    return nn.Sequential(*layers), 8 * width


def feature_trunk(features: np.ndarray, n_hidden: int = 1024) -> tuple[nn.Module, int]:
    """Trunk on feature vectors (m, d) of a frozen network, less the mean of `features` (n, d) and over the deviation of all that is left,
    and the width of what it gives."""
    mean = features.mean(axis=0)  # (d,)
    scale = float(np.sqrt(np.square(features - mean).mean()))
    return nn.Sequential(
        Standardise(torch.from_numpy(mean), scale), nn.Linear(len(mean), n_hidden), nn.ReLU()
    ), n_hidden


class Pretrained(nn.Module):
    """What the last layer of an ImageNet network sees, (m, width), of images (m, 3, h, w) uint8: all layers can be trained further.

    Images are resized on the device, batch by batch, to size x size pixels and normalised by imagenet.Preprocessing.
    In training mode VGG's dropout is on, after fc6 and fc7. precision: of the network's products alone, "float32" or "bfloat16" (its
    parameters stay float32). weights: the file below the data folder, None for the official one; sha256: digest of a file that is not
    official; weights_sha256: what it was found to be. Raises BenchmarkError as imagenet.load.
    """

    def __init__(
        self, name: str, weights: str | None, sha256: str | None, size: int, precision: str
    ):
        super().__init__()
        path = data_folder() / (weights or imagenet.official_path(name))
        network, self.weights_sha256 = imagenet.load(name, path, Path(CACHE, "weights"), sha256)
        self.network = network.train()
        self.preprocessing = imagenet.Preprocessing(size, size)
        self.reduced_precision = precision == "bfloat16"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        prepared = self.preprocessing(images)  # (m, 3, size, size)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.reduced_precision):
            return self.network.penultimate(prepared).float()


class Standardise(nn.Module):
    """(x - mean) / scale, with both kept among the network's state."""

    def __init__(self, mean: torch.Tensor, scale: float):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (features - self.mean) / self.scale


def _convolution(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Generator(nn.Module):
    """Codes (m, n_bits) to images (m, 3, size, size) in 0..1: a linear layer, three deconvolutions that double the side, one 1 x 1.

    Source: BGAN's released code, with its layers, batch normalisation and ELU; `width` scales its 256, 256, 128 and 32 channels.
    """

    def __init__(self, n_bits: int, size: int, width: float):
        super().__init__()
        first, second, third = (_channels(count, width) for count in (256, 128, 32))
        self.start = (first, size // 8, size // 8)
        self.project = nn.Sequential(
            nn.Linear(n_bits, first * (size // 8) ** 2),
            nn.BatchNorm1d(first * (size // 8) ** 2),
            nn.ELU(),
        )
        self.layers = nn.Sequential(
            *_deconvolution(first, first),
            *_deconvolution(first, second),
            *_deconvolution(second, third),
            nn.Conv2d(third, 3, 1),
            nn.Sigmoid(),
        )

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.layers(self.project(codes).unflatten(1, self.start))


def _deconvolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    layer = nn.ConvTranspose2d(
        inputs, outputs, 5, stride=2, padding=2, output_padding=1, bias=False
    )
    return layer, nn.BatchNorm2d(outputs), nn.ELU()


class Discriminator(nn.Module):
    """Images (m, 3, size, size) in 0..1 to logits (m,) that they are real, and features l(x) (m, 1024 * width).

    Source: BGAN's released code, with its layers, batch normalisation and ELU; `width` scales its channels.
    """

    def __init__(self, size: int, width: float):
        super().__init__()
        first, second, third, features = (_channels(count, width) for count in (32, 128, 256, 1024))
        self.layers = nn.Sequential(
            *_strided(3, first, stride=1),
            *_strided(first, second, stride=2),
            *_strided(second, third, stride=2),
            *_strided(third, third, stride=2),
            nn.Flatten(),
            nn.Linear(third * (size // 8) ** 2, features),
            nn.BatchNorm1d(features),
            nn.ELU(),
        )
        self.logit = nn.Linear(features, 1)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.layers(images)
        return self.logit(features).squeeze(1), features


def _strided(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 5, stride, padding=2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ELU(),
    )


def _channels(count: int, width: float) -> int:
    return max(4, round(count * width))


def tanh(representation: torch.Tensor, beta: float) -> torch.Tensor:
    """tanh(beta z), which tends to sign(z) as beta grows."""
    return torch.tanh(beta * representation)


def app(representation: torch.Tensor, beta: float) -> torch.Tensor:
    """max(-1, min(1, beta z)), the piecewise linear approximation of sign(z)."""
    return torch.clamp(beta * representation, -1.0, 1.0)


def straight_through(representation: torch.Tensor, beta: float = 1.0) -> torch.Tensor:
    """sign(z), with sign(0) = 1, whose gradient is taken to be that of z (Bengio, Leonard & Courville, 2013)."""
    binary = torch.where(representation >= 0, 1.0, -1.0)
    return representation + (binary - representation).detach()


def relaxed(representation: torch.Tensor, beta: float) -> torch.Tensor:
    """z itself: trained without any sign, thresholded afterwards, in two steps."""
    return representation


ACTIVATIONS = {"tanh": tanh, "app": app, "ste": straight_through, "two-step": relaxed}
