"""The contract of a method."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class Hasher:
    """Learns a map from images to binary codes without labels.

    label: name in tables; citation: key in report/references.bib, None for a control; uses_gpu: whether a GPU serves it; sample: where
    the method is as good for it, how many of the training rows `fit` is given at most, drawn with the seed (run.json: fitted_rows).

    `__init__(self, n_bits, *, seed=0, ...)` only stores; its keywords and their defaults are the method's settings. A method
    without randomness leaves `seed` out, and then runs once. `fit` and `encode` declare by the names of their arguments what they
    consume: `features` (n, d) float32, `images` (n, h, w, 3) uint8, and in `fit` alone `neighbours` (n, min(64, n)) int32, ranked
    nearest training images, each image itself first; in `encode` alone `codes` (n, n_bits) bool, from the file `path` of a user.
    Arguments are read only. Learned state ends in `_`; a dict `extras_` of arrays (curves, pictures) is kept beside the codes, and a dict
    `facts_` in run.json: saturated, the share of units past the slope of their activation at the end of training, where it has one;
    weights_sha256, of the file that a pretrained network came from. `checkpoint` is where long training may keep its state, set by the
    workflow.
    """

    label: str
    citation: str | None = None
    uses_gpu: bool = False
    checkpoint: Path | None = None

    def fit(self, features: np.ndarray) -> Hasher:
        """Learn from the training rows; returns self."""
        raise NotImplementedError

    def encode(self, features: np.ndarray) -> np.ndarray:
        """Codes of m rows, each on its own: bool (m, n_bits), True where the value that is thresholded is >= 0."""
        raise NotImplementedError
