"""Pixel intensities, for data sets of small images."""

import numpy as np

from features._base import Extractor


class Pixels(Extractor):
    """Pixel intensities in 0..1, flattened row by row: d = h * w * 3."""

    label = "Pixels"

    def extract(self, images):
        return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
