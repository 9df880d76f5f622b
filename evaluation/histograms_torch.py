"""The histograms by torch, for a GPU: the same integers as the compiled loops. Imported only where used: torch is slow to come."""

from __future__ import annotations

import numpy as np
import torch

from evaluation.relevance import Relevance, parts
from experiments import BenchmarkError

PAIRS = 2**26  # pairs of codes whose counters are found at a time: at 8 bytes each, what bounds the memory


def by_level(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    bits: int,
    relevance: Relevance,
    levels: int,
    device: str,
) -> np.ndarray:
    """Items at each distance of each query by the level of their group, int64 (Q, bits + 1, levels).

    Codes are packed uint8 (Q, ceil(bits / 8)) and (N, ceil(bits / 8)). A group's level is the number of labels that it shares with a query,
    up to the last one. The product of two codes of +1 and -1
    is bits - 2 * distance, and up to 2,048 exact in float16, which the GPU multiplies fastest; the CPU takes float32.
    Raises BenchmarkError where torch does not have the device.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BenchmarkError(f"torch {torch.__version__} has no device {device!r}: install a build for your GPU, or ask for device='cpu'")
    dtype = torch.float16 if device.startswith("cuda") else torch.float32
    queries, database = (_signs(codes, bits, dtype, device) for codes in (query_codes, database_codes))
    members = torch.from_numpy(relevance.members).to(device)
    counts = np.empty((len(query_codes), bits + 1, levels), np.int64)
    for part in parts(len(query_codes)):
        of_groups = torch.from_numpy(np.minimum(relevance.shared(part), levels - 1).astype(np.int64)).to(device)  # (C, G)
        counts[part] = _count(queries[part], database, bits, of_groups, members, levels).cpu().numpy()
    return counts


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
