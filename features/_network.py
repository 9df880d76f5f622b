"""Features of ImageNet networks: the input of their last layer."""

from __future__ import annotations

from pathlib import Path

from features._base import Extractor
from features._batches import in_batches
from harness import imagenet
from harness.errors import BenchmarkError
from harness.provenance import device_name
from harness.user_data import CACHE


class NetworkExtractor(Extractor):
    """The input of the last layer of an ImageNet network.

    Images are resized to resize x resize pixels, bilinear and antialiased, whatever their aspect
    is. By default nothing is cropped. RGB in 0..1 is normalised by the mean and the deviation that
    the weights expect: minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225), if the class
    of the extractor does not state others.

    Parameters
    ----------
    weights : str or None
        File of the weights below the data folder. None for the official file, which is downloaded
        if it is missing.
    sha256 : str or None
        Digest of a file that is not the official one.
    resize, crop : int
        Side length in pixels after resizing, and of the central part that remains.
    """

    uses_gpu, weights_param, digest_param = True, "weights", "sha256"
    augmentation = "photographs"

    def __init__(self, *, weights=None, sha256=None, resize=224, crop=224):
        self.weights, self.sha256 = weights, sha256
        self.resize, self.crop = resize, crop

    def check(self, data):
        imagenet.checked_file(*self._file(data))

    def open(self, data, n):
        if not 0 < self.crop <= self.resize:
            raise BenchmarkError(
                f"crop is {self.crop}, expected 1 to {self.resize}, the value of resize"
            )

        network, digest = imagenet.load(*self._file(data))
        self._device = imagenet.device()
        self._network = network.to(self._device)
        self.prepared = imagenet.Preprocessing(self.resize, self.crop, self.network).to(
            self._device
        )
        mean, deviation = imagenet.normalisation(self.network)
        self.facts_ = {
            "weights_sha256": digest,
            "preprocessing": {
                "resize": [self.resize, self.resize],
                "interpolation": "bilinear, antialiased",
                "crop": [self.crop, self.crop],
                "channels": "RGB in 0..1",
                "mean": mean,
                "deviation": deviation,
            },
            "device": device_name(str(self._device)),
        }

    def extract(self, images):
        """See Extractor.extract."""
        return in_batches(
            lambda batch: self._network.penultimate(self.prepared(batch)),
            images,
            self._device,
            self.threads,
        )

    def _file(self, data: Path) -> tuple[str, Path, Path, str | None]:
        """Return the arguments of imagenet.load: network, file, folder of downloads and digest."""
        path = data / (self.weights or imagenet.official_path(self.network))
        return self.network, path, Path(CACHE, "weights"), self.sha256
