"""Networks of the deep methods: encoders, and BGAN's generator and discriminator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harness import imagenet
from harness.user_data import CACHE, data_folder

# Networks that can be trained further, and the width of the input of their last layer.
PRETRAINED = {"vgg19": 4096, "squeezenet1_1": 512, "efficientnet_lite0": 1280}
ENCODERS = ("conv", "features", *PRETRAINED)
PRECISIONS = ("float32", "bfloat16")
BATCH_NORMS = ("released", "hidden")
RELEASED_EPSILON = 1e-3  # of the released code's batch normalisation


class Encoder(nn.Module):
    """A trunk, and a linear layer from its output to the representation z.

    Parameters
    ----------
    trunk : Module
    n_hidden : int
        Width of the trunk's output.
    n_bits : int
    noisy : bool
        Whether a second linear layer gives a log-variance.
    """

    def __init__(self, trunk: nn.Module, n_hidden: int, n_bits: int, noisy: bool = False):
        super().__init__()
        self.trunk = trunk
        self.code = nn.Linear(n_hidden, n_bits)
        self.log_variance = nn.Linear(n_hidden, n_bits) if noisy else None

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return z (m, n_bits), and a log-variance of the same shape or None."""
        hidden = self.trunk(inputs)  # (m, n_hidden)
        log_variance = None if self.log_variance is None else self.log_variance(hidden)
        return self.code(hidden), log_variance


def trunk_of(encoder: str, features: np.ndarray, *pretrained) -> tuple[nn.Module, int]:
    """Return the trunk of one of `ENCODERS`, and the width of its output.

    Parameters
    ----------
    encoder : str
    features : ndarray of float32, shape (n, d)
        Of the training images; only "features" depends on them.
    *pretrained
        Arguments of `Pretrained` after its name.
    """
    if encoder == "conv":
        return convolutional_trunk()
    if encoder == "features":
        return feature_trunk(features)
    return Pretrained(encoder, *pretrained), PRETRAINED[encoder]


def convolutional_trunk(width: int = 32) -> tuple[nn.Module, int]:
    """Return a trunk for small images (m, 3, h, w) in -1..1, and the width of its output."""
    layers = (
        *_encoder_convolution(3, width, stride=1),  # (m, width, h, w)
        *_encoder_convolution(width, 2 * width, stride=2),  # (m, 2 width, h / 2, w / 2)
        *_encoder_convolution(2 * width, 4 * width, stride=2),  # (m, 4 width, h / 4, w / 4)
        nn.AdaptiveAvgPool2d(2),  # (m, 4 width, 2, 2)
        nn.Flatten(),
        nn.Linear(16 * width, 8 * width),
        nn.ReLU(),
    )
    return nn.Sequential(*layers), 8 * width


def _encoder_convolution(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()


def feature_trunk(features: np.ndarray, n_hidden: int = 1024) -> tuple[nn.Module, int]:
    """Return a trunk on feature vectors (m, d) of a frozen network, and the width of its output.

    The mean of `features` (n, d) is subtracted first, and the difference is divided by the
    standard deviation over all dimensions.
    """
    mean = features.mean(axis=0)  # (d,)
    scale = float(np.sqrt(np.square(features - mean).mean()))
    standardise = Standardise(torch.from_numpy(mean), scale)
    return nn.Sequential(standardise, nn.Linear(len(mean), n_hidden), nn.ReLU()), n_hidden


class Pretrained(nn.Module):
    """An ImageNet network without its last layer, all of whose layers can be trained further.

    Images (m, 3, h, w) uint8 are resized to size x size pixels and normalised on the device, batch
    by batch. In training mode VGG's dropout after fc6 and fc7 is on.

    Parameters
    ----------
    name : str
        Of imagenet.NETWORKS.
    weights : str or None
        File below the data folder; None for the official one.
    sha256 : str or None
        Digest of a file that is not the official one.
    size : int
        Side length in pixels.
    precision : {"float32", "bfloat16"}
        Of the products of the network; its parameters stay float32.

    Attributes
    ----------
    weights_sha256 : str
        Digest of the file.

    Raises
    ------
    BenchmarkError
        As imagenet.load.
    """

    def __init__(
        self, name: str, weights: str | None, sha256: str | None, size: int, precision: str
    ):
        super().__init__()
        path = data_folder() / (weights or imagenet.official_path(name))
        network, self.weights_sha256 = imagenet.load(name, path, Path(CACHE, "weights"), sha256)
        self.network = network.train()
        self.preprocessing = imagenet.Preprocessing(size, size, name)
        self.reduced_precision = precision == "bfloat16"

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 (m, width)."""
        prepared = self.preprocessing(images)  # (m, 3, size, size)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.reduced_precision):
            return self.network.penultimate(prepared).float()


class Standardise(nn.Module):
    """(x - mean) / scale, with both in the state of the network."""

    def __init__(self, mean: Tensor, scale: float):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.scale


# Generator and discriminator at width 1 for images of 64 pixels and 32 bits, with batch
# normalisation "released": N marks a normalised layer. Parameters: weights, bias, scale and shift.
#
#   generator                      output          parameters
#   linear          ELU            256 x 8 x 8        540,672
#   deconvolution 5 N ELU, x 2     256 x 16 x 16    1,639,168
#   deconvolution 5 N ELU, x 2     128 x 32 x 32      819,584
#   deconvolution 5 N ELU, x 2      32 x 64 x 64      102,496
#   deconvolution 1 N sigmoid        3 x 64 x 64          105    sum  3,102,025
#
#   discriminator
#   convolution 5   N ELU           32 x 64 x 64        2,496
#   convolution 5   N ELU, / 2     128 x 32 x 32      102,784
#   convolution 5   N ELU, / 2     256 x 16 x 16      819,968
#   convolution 5   N ELU, / 2     256 x 8 x 8      1,639,168
#   linear          ELU            1024            16,778,240
#   linear          sigmoid           1                 1,025    sum 19,343,681


class Generator(nn.Module):
    """Codes (m, n_bits) to images (m, 3, size, size) in 0..1, with the released layers.

    Source: BGAN's released code. Its deconvolution of 1 x 1 is a convolution.

    Parameters
    ----------
    n_bits : int
    size : int
        Side length in pixels, a multiple of 8.
    width : float
        Factor of the released 256, 256, 128 and 32 channels.
    batch_norm : {"released", "hidden"}
        "released": on every deconvolution, the last one included, and not on the linear layer.
        "hidden": on every hidden layer, the linear one included, and not on the last one.
    """

    def __init__(self, n_bits: int, size: int, width: float, batch_norm: str):
        super().__init__()
        released = batch_norm == "released"
        first, second, third = (_channels(count, width) for count in (256, 128, 32))
        self.start = (first, size // 8, size // 8)
        n_hidden = first * (size // 8) ** 2
        self.project = nn.Sequential(
            nn.Linear(n_bits, n_hidden),
            nn.Identity() if released else nn.BatchNorm1d(n_hidden),
            nn.ELU(),
        )
        self.layers = nn.Sequential(
            *_deconvolution(first, first, released),  # (m, first, size / 4, size / 4)
            *_deconvolution(first, second, released),  # (m, second, size / 2, size / 2)
            *_deconvolution(second, third, released),  # (m, third, size, size)
            nn.Conv2d(third, 3, 1),
            _batch_norm(3, released) if released else nn.Identity(),
            nn.Sigmoid(),
        )

    def forward(self, codes: Tensor) -> Tensor:
        hidden = self.project(codes).unflatten(1, self.start)  # (m, first, size / 8, size / 8)
        return self.layers(hidden)


def _deconvolution(inputs: int, outputs: int, released: bool) -> tuple[nn.Module, ...]:
    layer = nn.ConvTranspose2d(
        inputs, outputs, 5, stride=2, padding=2, output_padding=1, bias=released
    )
    return layer, _batch_norm(outputs, released), nn.ELU()


class Discriminator(nn.Module):
    """Images (m, 3, size, size) in 0..1 to logits that they are real, with the released layers.

    Source: BGAN's released code.

    Parameters
    ----------
    size : int
        Side length in pixels, a multiple of 8.
    width : float
        Factor of the released channels.
    batch_norm : {"released", "hidden"}
        "released": on convolutions only. "hidden": on the hidden linear layer l(x) too.
    """

    def __init__(self, size: int, width: float, batch_norm: str):
        super().__init__()
        released = batch_norm == "released"
        first, second, third, features = (_channels(count, width) for count in (32, 128, 256, 1024))
        self.layers = nn.Sequential(
            *_convolution(3, first, 1, released),  # (m, first, size, size)
            *_convolution(first, second, 2, released),  # (m, second, size / 2, size / 2)
            *_convolution(second, third, 2, released),  # (m, third, size / 4, size / 4)
            *_convolution(third, third, 2, released),  # (m, third, size / 8, size / 8)
            nn.Flatten(),
            nn.Linear(third * (size // 8) ** 2, features),
            nn.Identity() if released else nn.BatchNorm1d(features),
            nn.ELU(),
        )
        self.logit = nn.Linear(features, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (m,), and the features l(x) (m, 1024 * width)."""
        features = self.layers(images)
        return self.logit(features).squeeze(1), features


def _convolution(inputs: int, outputs: int, stride: int, released: bool) -> tuple[nn.Module, ...]:
    layer = nn.Conv2d(inputs, outputs, 5, stride, padding=2, bias=released)
    return layer, _batch_norm(outputs, released), nn.ELU()


def _batch_norm(channels: int, released: bool) -> nn.Module:
    # The momentum of the running statistics decides nothing but the pictures.
    return nn.BatchNorm2d(channels, eps=RELEASED_EPSILON) if released else nn.BatchNorm2d(channels)


def _channels(count: int, width: float) -> int:
    return max(4, round(count * width))
