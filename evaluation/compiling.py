"""Compile loops with Numba's public interface, and count the bits of a word."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import numba
import numpy as np


def compiled(signature: str) -> Callable[[Callable], Callable]:
    """Return a decorator that compiles a function to machine code without the global lock.

    The machine code is cached beside the source file or, if that folder is read-only, in Numba's
    folder below the home directory. If both are read-only, every process compiles again.

    Parameters
    ----------
    signature : str
        Types of the result and the arguments, as Numba writes them.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(signature, nogil=True, cache=True)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
        _warn_uncached()
        return numba.njit(signature, nogil=True)(function)

    return decorate


@functools.cache
def _warn_uncached() -> None:
    """Warn once in a process."""
    warnings.warn(
        "the compiled loops cannot be cached: found no writable folder, so every process compiles "
        "them again. Set the environment variable NUMBA_CACHE_DIR to a writable folder.",
        RuntimeWarning,
        stacklevel=2,
    )


@numba.njit
def popcount(word):
    """Return the number of one bits of a uint64 word. LLVM compiles this to one instruction."""
    pairs = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    low, high = np.uint64(0x3333333333333333), np.uint64(2)
    nibbles = (pairs & low) + ((pairs >> high) & low)
    octets = (nibbles + (nibbles >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (octets * np.uint64(0x0101010101010101)) >> np.uint64(56)
