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
CYCLES = 4  # an image, the cut-off of the prefilter
PREFILTER_BORDER, BORDER = 5, 32  # pixels mirrored at each edge
SMALLEST = 32  # pixels a side: mirroring needs as many as the border has


class GIST(Extractor):
    """Responses of 32 Gabor filters (4 scales, 8 orientations), means over a 4 x 4 grid: d = 512.

    The mean of R, G and B is resized to side x side pixels, bilinear and antialiased, whatever the
    aspect of the image is, and nothing is cropped. Intensities are stretched to 0..255, then
    whitened and divided by the local contrast.

    Source: Oliva & Torralba, IJCV 2001, section 3, with the filters and the prefilter of the
    authors' program LMgist.

    Differs from the program: filtering is in float32 throughout. An image of one colour gives
    zeros, where the program divides by zero. Published GIST tables seldom state `side`.

    Parameters
    ----------
    side : int
        Pixels, a multiple of 4 from 32.
    """

    label, citation, uses_gpu = "GIST", "oliva2001modeling", True

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
        """Return (m, 512) float32: filter by filter, fine scales first, each grid row by row.

        images: (m, 3, h, w).
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
        """Return the logarithm without low frequencies, divided by its local deviation.

        grey and the result: (m, side, side).
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
    """Return images (m, n + 2 border, n + 2 border) with the pixels of each edge in reverse.

    The outermost pixel is repeated too. images: (m, n, n) with n >= border.
    """
    images = torch.cat([images[:, :border].flip(1), images, images[:, -border:].flip(1)], dim=1)
    return torch.cat([images[:, :, :border].flip(2), images, images[:, :, -border:].flip(2)], dim=2)


def frequencies(side: int) -> tuple[Tensor, Tensor]:
    """Return vertical and horizontal frequencies, float64 (side, side), as torch.fft.fft2 has them.

    The unit is cycles per image.
    """
    cycles = torch.fft.fftfreq(side, 1 / side, dtype=torch.float64)
    return torch.meshgrid(cycles, cycles, indexing="ij")


def prefilter(side: int) -> Tensor:
    """Return the Gaussian low-pass, float32 (side, side): 1/2 at CYCLES cycles per image."""
    down, across = frequencies(side)
    return torch.exp(-(down**2 + across**2) * math.log(2) / CYCLES**2).float()


def gabor_filters(side: int) -> Tensor:
    """Return the transfer functions of the filters, float32 (32, side, side).

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
