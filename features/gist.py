"""GIST: the energy of each orientation and scale in each part of an image, without training."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from features._base import Extractor
from features._batches import in_batches
from harness.errors import BenchmarkError
from harness.imagenet import device, resized
from harness.provenance import device_name

SCALES, ORIENTATIONS, PARTS = 4, 8, 4  # d = 4 x 8 x 4 x 4 = 512
CYCLES = 4  # per image: cut-off of the prefilter
PREFILTER_BORDER, BORDER = 5, 32  # pixels mirrored at each edge
SMALLEST = 32  # side length in pixels: mirroring needs as many as the border has


class GIST(Extractor):
    """Responses of 32 Gabor filters, averaged over a grid of 4 x 4: d = 512.

    The filters have 4 scales of 8 orientations. The image is the mean of R, G and B, resized to
    side x side pixels, bilinear and antialiased. Its aspect ratio changes, and nothing is cropped.
    Intensities are stretched to 0..255, then whitened and divided by the local contrast.

    Parameters
    ----------
    side : int
        Side length in pixels, a multiple of 4 from 32. Published GIST tables seldom state it.

    Notes
    -----
    The filters and the prefilter are those of the authors' program LMgist. Differs from the
    program: filtering in float32 throughout. An image of one colour has no structure and gives
    zeros, where the program divides by zero.

    References
    ----------
    Oliva & Torralba, Modeling the Shape of the Scene, IJCV 2001, section 3.
    """

    label, citation, uses_gpu = "GIST", "oliva2001modeling", True
    augmentation = "photographs"

    def __init__(self, *, side=256):
        self.side = side

    def open(self, data, n):
        if self.side < SMALLEST or self.side % PARTS:
            raise BenchmarkError(
                f"gist: side is {self.side}, expected a multiple of {PARTS} from {SMALLEST}"
            )

        self._device = device()
        self._prefilter = prefilter(self.side + 2 * PREFILTER_BORDER).to(self._device)
        self._gabors = gabor_filters(self.side + 2 * BORDER).to(self._device)
        self.facts_ = {
            "preprocessing": {
                "resize": [self.side, self.side],
                "interpolation": "bilinear, antialiased",
                "crop": None,
                "channels": "mean of R, G and B, stretched to 0..255 in each image",
            },
            "device": device_name(str(self._device)),
        }

    def extract(self, images: np.ndarray) -> np.ndarray:
        """See Extractor.extract."""
        return in_batches(self._gist, images, self._device, self.threads)

    def _gist(self, images: Tensor) -> Tensor:
        """Return (m, 512) float32. images: (m, 3, h, w).

        Filter by filter, fine scales first, each with the parts of its grid row by row.
        """
        grey = resized(images.float().mean(dim=1, keepdim=True), self.side)[:, 0]  # (m, side, side)
        lowest, highest = grey.amin(dim=(1, 2), keepdim=True), grey.amax(dim=(1, 2), keepdim=True)
        stretched = 255 * (grey - lowest) / (highest - lowest).clamp(min=1e-6)
        spectrum = torch.fft.fft2(
            mirrored(self._whitened(stretched), BORDER)
        )  # (m, side + 64, side + 64)
        parts = []
        for gabor in self._gabors:
            response = torch.fft.ifft2(spectrum * gabor).abs()[:, BORDER:-BORDER, BORDER:-BORDER]
            parts.append(adaptive_avg_pool2d(response, PARTS).flatten(1))  # (m, 16)

        return torch.cat(parts, dim=1)

    def _whitened(self, grey: Tensor) -> Tensor:
        """Return the logarithm without its low frequencies, divided by its local deviation.

        grey: (m, side, side).
        """
        logarithm = mirrored(torch.log1p(grey), PREFILTER_BORDER)
        high = logarithm - self._smooth(logarithm)
        deviation = self._smooth(high.square()).abs().sqrt()
        return (high / (0.2 + deviation))[
            :, PREFILTER_BORDER:-PREFILTER_BORDER, PREFILTER_BORDER:-PREFILTER_BORDER
        ]

    def _smooth(self, images: Tensor) -> Tensor:
        return torch.fft.ifft2(torch.fft.fft2(images) * self._prefilter).real


def mirrored(images: Tensor, border: int) -> Tensor:
    """Return images with the pixels of each edge repeated in reverse, the outermost included.

    Parameters
    ----------
    images : Tensor, shape (m, n, n)
    border : int
        At most n.

    Returns
    -------
    Tensor, shape (m, n + 2 border, n + 2 border)
    """
    images = torch.cat([images[:, :border].flip(1), images, images[:, -border:].flip(1)], dim=1)
    return torch.cat([images[:, :, :border].flip(2), images, images[:, :, -border:].flip(2)], dim=2)


def frequencies(side: int) -> tuple[Tensor, Tensor]:
    """Return vertical and horizontal frequencies, in the layout of torch.fft.fft2.

    Both are (side, side) float64, in cycles per image.
    """
    cycles = torch.fft.fftfreq(side, 1 / side, dtype=torch.float64)
    return torch.meshgrid(cycles, cycles, indexing="ij")


def prefilter(side: int) -> Tensor:
    """Return the Gaussian low-pass, (side, side) float32: 1/2 at CYCLES cycles per image."""
    down, across = frequencies(side)
    return torch.exp(-(down**2 + across**2) * math.log(2) / CYCLES**2).float()


def gabor_filters(side: int) -> Tensor:
    """Return the transfer functions of the filters, (32, side, side) float32.

    They are polar Gaussians about 0.3 / 1.85^scale cycles per pixel and one of 8 directions.
    """
    down, across = frequencies(side)
    radius, angle = torch.hypot(down, across), torch.atan2(down, across)
    filters = []
    for scale in range(SCALES):
        centre = 0.3 / 1.85**scale * side
        for orientation in range(ORIENTATIONS):
            turned = angle + math.pi * orientation / ORIENTATIONS
            turned = torch.where(turned > math.pi, turned - 2 * math.pi, turned)
            sharpness = 16 * ORIENTATIONS**2 / 32**2
            filters.append(
                torch.exp(-3.5 * (radius / centre - 1) ** 2 - 2 * math.pi * sharpness * turned**2)
            )

    return torch.stack(filters).float()
