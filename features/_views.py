"""Views: augmented copies of the training images.

The names of the augmentations, and what they do in words, are in `harness.plugins.AUGMENTATIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

VIEWS = 4  # of each training image, besides the image itself
SEED = 20210513  # of all views: they are the same for all methods and seeds
SHIFT = 1 / 16  # of a side
AREA, ASPECT = (0.5, 1.0), (3 / 4, 4 / 3)  # of a crop
FLIP, JITTER, GREY = 0.5, 0.7, 0.2  # probabilities
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.4, 0.4, 0.4, 0.1
INTENSITY = 0.1


class AugmentedImages:
    """The views of training images as rows, which are computed when they are read.

    Row ``v * n_train + i`` is view v of training image i. It depends on the image, on v and on i,
    and not on the rows that are read with it.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3)
    train : ndarray of int64, shape (n_train,)
        Indices of the training images.
    augmentation : {"photographs", "shifts"}
    """

    def __init__(self, images: np.ndarray, train: np.ndarray, augmentation: str):
        self.images, self.train = images, train
        self.augmented = AUGMENTED[augmentation]

    def __len__(self) -> int:
        return VIEWS * len(self.train)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return a block of rows, uint8 (m, h, w, 3)."""
        return np.stack([self._view(row) for row in range(*rows.indices(len(self)))])

    def _view(self, row: int) -> np.ndarray:
        view, index = divmod(row, len(self.train))
        generator = np.random.default_rng([SEED, view, index])
        return self.augmented(self.images[self.train[index]], generator)


def photograph(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return an augmented photograph.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w, 3)
    generator : Generator

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        A crop of the image, perhaps flipped, with other colours or grey.
    """
    height, width = image.shape[:2]
    box = crop_box(height, width, generator)
    view = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box)
    if generator.random() < FLIP:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if generator.random() < JITTER:
        view = jittered(view, generator)
    if generator.random() < GREY:
        view = view.convert("L").convert("RGB")
    return np.asarray(view)


def crop_box(
    height: int, width: int, generator: np.random.Generator
) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a random crop, in pixels and their fractions.

    The area is uniform, and the logarithm of the aspect ratio too. A side that is longer than that
    of the image is cut to it.
    """
    area = generator.uniform(*AREA) * height * width
    aspect = math.exp(generator.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
    across, down = min(math.sqrt(area * aspect), width), min(math.sqrt(area / aspect), height)
    left, top = generator.uniform(0, width - across), generator.uniform(0, height - down)
    return left, top, left + across, top + down


def jittered(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return an RGB image with other brightness, contrast, saturation and hue, in this order."""
    for enhance, strength in (
        (ImageEnhance.Brightness, BRIGHTNESS),
        (ImageEnhance.Contrast, CONTRAST),
        (ImageEnhance.Color, SATURATION),
    ):
        image = enhance(image).enhance(generator.uniform(1 - strength, 1 + strength))

    channels = np.array(image.convert("HSV"))  # the hue is an angle: 256 values are a turn
    channels[..., 0] += np.uint8(round(generator.uniform(-HUE, HUE) * 256) % 256)
    return Image.fromarray(channels, "HSV").convert("RGB")


def shifted(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a shifted image of another intensity, uint8 (h, w, 3), for small images."""
    height, width = image.shape[:2]
    border = math.ceil(SHIFT * max(height, width))
    padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode="edge")
    left = border + generator.uniform(-SHIFT, SHIFT) * width
    top = border + generator.uniform(-SHIFT, SHIFT) * height
    box = left, top, left + width, top + height
    view = Image.fromarray(padded).resize((width, height), Image.Resampling.BILINEAR, box)
    factor = generator.uniform(1 - INTENSITY, 1 + INTENSITY)
    return (np.asarray(view) * factor).round().clip(0, 255).astype(np.uint8)


AUGMENTED: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "photographs": photograph,
    "shifts": shifted,
}
