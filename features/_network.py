"""Features of ImageNet networks: what the last layer sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from features._base import Extractor
from features._batches import device, in_batches, resized
from harness import imagenet
from harness.errors import BenchmarkError
from harness.provenance import device_name
from harness.user_data import CACHE


class NetworkExtractor(Extractor):
    """Images are resized to resize x resize pixels, bilinear and antialiased, whatever their aspect; of these the central crop x crop
    are kept; RGB in 0..1 minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225).

    network: a name of imagenet.NETWORKS; weights: the file below the data folder, downloaded if it is the official one and not there;
    sha256: digest of a file that is not the official one.
    """

    network: str

    def __init__(self, *, weights: str, sha256: str | None, resize: int, crop: int):
        self.weights, self.sha256, self.resize, self.crop = weights, sha256, resize, crop

    def check(self, data):
        imagenet.checked_file(*self._file(data))

    def open(self, data, n):
        if not 0 < self.crop <= self.resize:
            raise BenchmarkError(
                f"crop is {self.crop}, expected 1 to {self.resize}, the value of resize"
            )
        loaded, digest = imagenet.load(*self._file(data))
        self._device = device()
        self._network = loaded.to(self._device)
        self._mean, self._deviation = (
            torch.tensor(values, device=self._device).view(3, 1, 1)
            for values in (imagenet.MEAN, imagenet.DEVIATION)
        )
        self.facts_ = {
            "weights_sha256": digest,
            "preprocessing": {
                "resize": [self.resize, self.resize],
                "interpolation": "bilinear, antialiased",
                "crop": [self.crop, self.crop],
                "channels": "RGB in 0..1",
                "mean": imagenet.MEAN,
                "deviation": imagenet.DEVIATION,
            },
            "device": device_name(str(self._device)),
        }

    def _file(self, data: Path) -> tuple[str, Path, Path, str | None]:
        """The network, the user's file, where a download goes, and the digest: what networks.py wants to know."""
        return self.network, data / self.weights, Path(CACHE) / "weights", self.sha256

    def penultimate(self, images: np.ndarray) -> np.ndarray:
        """What the network's last layer sees, (m, d) float32. images: (m, h, w, 3) uint8."""
        return in_batches(
            lambda batch: self._network.penultimate(self.prepared(batch)),
            images,
            self._device,
            self.threads,
        )

    def prepared(self, images: Tensor) -> Tensor:
        """What the network is given, (m, 3, crop, crop) float32. images: (m, 3, h, w) uint8."""
        start = (self.resize - self.crop) // 2
        kept = slice(start, start + self.crop)
        return (resized(images, self.resize)[:, :, kept, kept] / 255 - self._mean) / self._deviation
