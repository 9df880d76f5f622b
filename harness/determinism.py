"""Deterministic algorithms of torch on a GPU, which the user asks for by a variable."""

from __future__ import annotations

import os

import torch

from harness.errors import BenchmarkError

DETERMINISTIC_VARIABLE = "BGAN_BENCH_DETERMINISTIC"


def use_deterministic_algorithms() -> None:
    """Let torch add numbers in a fixed order on a GPU, if BGAN_BENCH_DETERMINISTIC is 1.

    Call it before CUDA starts: cuBLAS reads its variable once. An operation without a deterministic
    form then raises RuntimeError, which names it.

    Raises
    ------
    BenchmarkError
        If the variable has another value than 0, 1 or none.
    """
    value = os.environ.get(DETERMINISTIC_VARIABLE, "")
    if value not in ("", "0", "1"):
        raise BenchmarkError(f"{DETERMINISTIC_VARIABLE}: found {value!r}, expected 1 or 0")
    if value == "1":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
