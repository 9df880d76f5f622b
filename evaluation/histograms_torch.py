"""The histograms by torch, for a GPU: the same integers as the compiled loops. Imported only where used: torch is slow to come."""

from __future__ import annotations

import numpy as np
import torch

from evaluation.relevance import Relevance, parts
from harness.errors import BenchmarkError

PAIRS = 2**24  # pairs of codes that are counted at a time: with what it takes to find a counter, about 40 bytes each bound the memory
EXACT = 2048  # up to which float16 holds every integer, and twice as far every even one


def by_level(query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance, levels: int, device: str) -> np.ndarray:
    """Items at each distance that share 0, 1, ... labels with a query, the last level all from there on: int64 (Q, bits + 1, levels).

    Codes are packed uint8 (Q, ceil(bits / 8)) and (N, ceil(bits / 8)). The product of two codes of +1 and -1 is bits - 2 * distance.
    Raises BenchmarkError where torch does not have the device.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BenchmarkError(f"torch {torch.__version__} has no device {device!r}: install a build for your GPU, or ask for device='cpu'")
    dtype = _dtype(bits, device)
    queries, database = (_signs(codes, bits, dtype, device) for codes in (query_codes, database_codes))
    members = torch.from_numpy(relevance.members).to(device)
    counts = np.empty((len(query_codes), bits + 1, levels), np.int64)
    for part in parts(len(query_codes)):
        of_groups = torch.from_numpy(np.minimum(relevance.shared(part), levels - 1).astype(np.int64)).to(device)  # (C, G)
        counts[part] = _count(queries[part], database, bits, of_groups, members, levels).cpu().numpy()
    return counts


def _dtype(bits: int, device: str) -> torch.dtype:
    """float16, which a GPU multiplies fastest, where every sum on the way to a product, in whatever order, is an integer that it holds."""
    return torch.float16 if device.startswith("cuda") and bits <= EXACT else torch.float32


def _signs(packed: np.ndarray, bits: int, dtype: torch.dtype, device: str) -> torch.Tensor:
    """(n, bits): +1 and -1. The bytes are what travels to the device."""
    codes = torch.from_numpy(packed).to(device)
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)
    signs = torch.empty((len(codes), bits), dtype=dtype, device=device)
    step = max(1, PAIRS // (8 * codes.shape[1]))
    for start in range(0, len(codes), step):
        unpacked = (codes[start : start + step, :, None] >> places) & 1  # (c, width, 8), the first bit of a byte being its highest
        signs[start : start + step] = unpacked.flatten(1)[:, :bits].to(dtype) * 2 - 1
    return signs


def _count(
    queries: torch.Tensor, database: torch.Tensor, bits: int, level: torch.Tensor, members: torch.Tensor, levels: int
) -> torch.Tensor:
    """int64 (C, bits + 1, levels) of the C queries of a part."""
    size = (bits + 1) * levels
    first = torch.arange(len(queries), device=queries.device)[:, None] * size  # counters of a query follow those of the one before
    counts = torch.zeros(len(queries) * size, dtype=torch.int64, device=queries.device)
    step = max(1, PAIRS // len(queries))
    for start in range(0, len(database), step):
        products = queries @ database[start : start + step].T  # (C, n)
        distances = (bits - products).to(torch.int64) >> 1
        counters = first + distances * levels + level[:, members[start : start + step]]
        counts += torch.bincount(counters.flatten(), minlength=len(counts))
    return counts.view(len(queries), bits + 1, levels)
