"""Blocks of heads that compare two views of each image.

The views are a finite pool: the features of a few augmented copies of each training image, which
were computed before the training. The papers draw new copies for each batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import methods._training as training
from methods._heads import Scaling, Steps

FEWEST = 2  # views that can be compared


class Pairs:
    """Two different views of each row of a batch, drawn with equal probability.

    Parameters
    ----------
    views : ndarray of float32, shape (m, n, d)
    scaling : Scaling
    seed : int
        Of the run.
    """

    def __init__(self, views: np.ndarray, scaling: Scaling, seed: int):
        if len(views) < FEWEST:
            raise ValueError(
                f"views has {len(views)} views of each image: expected at least {FEWEST}"
            )
        self.views, self.scaling = views, scaling
        self.generator = np.random.default_rng(training.stream_seed(seed, "views"))

    def of(self, steps: Steps) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield two scaled views, float32 (B, d) each, of the rows of every step."""
        m = len(self.views)
        for rows in steps:
            first = self.generator.integers(m, size=len(rows))
            second = (first + self.generator.integers(1, m, size=len(rows))) % m
            yield self._scaled(first, rows), self._scaled(second, rows)

    def _scaled(self, chosen: np.ndarray, rows: Tensor) -> Tensor:
        return self.scaling(torch.from_numpy(self.views[chosen, rows.numpy()]))


def contrastive_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the normalised cross entropy of pairs, NT-Xent.

    Each of the 2 B rows has to tell the other view of its image from the 2 B - 2 other rows, by
    cosines divided by the temperature.

    Parameters
    ----------
    first, second : Tensor of shape (B, L)
        Two views of the same images.
    temperature : float

    References
    ----------
    Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020,
    equation (1).
    """
    rows = functional.normalize(torch.cat([first, second]))  # (2 B, L)
    logits = rows @ rows.T / temperature
    itself = torch.eye(len(rows), dtype=torch.bool)
    partner = torch.arange(len(rows)).roll(len(first))
    return functional.cross_entropy(logits.masked_fill(itself, -torch.inf), partner)
