"""The pixels themselves, for small images."""

import numpy as np

from features._base import Extractor


class Pixels(Extractor):
    """Pixel intensities in 0..1, flattened row by row: d = h * w * 3.

    Of a data set that declares its images grey, one channel is taken: d = h * w.
    """

    label = "Pixels"
    augmentation = "shifts"

    def extract(self, images: np.ndarray) -> np.ndarray:
        """See Extractor.extract."""
        channels = images[..., :1] if self.grey else images
        return channels.reshape(len(images), -1).astype(np.float32) / np.float32(255)
