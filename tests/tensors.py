"""Random batches, and gradients against finite differences."""

import numpy as np
import torch


def check_gradient(function, *tensors):
    """Compare the gradient of a function of float64 tensors with finite differences."""
    inputs = [
        torch.as_tensor(tensor, dtype=torch.float64).clone().requires_grad_() for tensor in tensors
    ]
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-6)


def random_batch(rows, columns, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns)))
