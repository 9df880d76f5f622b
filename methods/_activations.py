"""Activations: from representations z (m, n_bits) to the codes that the losses see."""

from __future__ import annotations

import torch
from torch import Tensor


def tanh(representation: Tensor, beta: float) -> Tensor:
    """Return tanh(beta z), which tends to sign(z) as beta grows."""
    return torch.tanh(beta * representation)


def app(representation: Tensor, beta: float) -> Tensor:
    """Return max(-1, min(1, beta z)), the piecewise linear approximation of sign(z)."""
    return torch.clamp(beta * representation, -1.0, 1.0)


def straight_through(representation: Tensor, beta: float = 1.0) -> Tensor:
    """Return sign(z), with sign(0) = 1, whose gradient is taken to be that of z.

    References: Bengio, Leonard & Courville, arXiv 1308.3432, 2013.
    """
    binary = torch.where(representation >= 0, 1.0, -1.0)
    return representation + (binary - representation).detach()


def relaxed(representation: Tensor, beta: float) -> Tensor:
    """Return z itself, which is thresholded after training."""
    return representation


ACTIVATIONS = {"tanh": tanh, "app": app, "ste": straight_through, "two-step": relaxed}
