"""What decides the codes of every method: seeds, training rows, blocks and the packing of bits.

This file is a source of every run: a change of its meaning makes all runs stale. Command line,
files, checks, records and timing belong in __main__.py, which no run depends on.
"""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Callable

import numpy as np

BLOCK = 8192  # images encoded at a time
READ_ROWS = 512  # rows read at a time: far apart, each makes the system map 64 KiB

# Functions that open the file of an array, by the name of the array. A file is opened again for
# every block: all pages that were read count as memory of the process while a memory map is open.
Opened = dict[str, Callable[[], np.ndarray]]


def build(method: type, bits: int, params: dict, seed: int | None, *, torch: bool):
    """Return the object of a method, with the global generators seeded.

    Parameters
    ----------
    method : type
        Class of the method.
    bits : int
        Code length.
    params : dict
        Keyword arguments of the class, except its seed.
    seed : int or None
        Seed of the run. None if the method takes no seed: the generators then begin with 0.
    torch : bool
        Whether the generators of torch are seeded too, which imports it.
    """
    seed_generators(0 if seed is None else seed, torch=torch)
    if seed is None:
        return method(bits, **params)
    return method(bits, **params, seed=seed)


def seed_generators(seed: int, *, torch: bool) -> None:
    """Seed the global generators: the next run repeats whatever a method draws from them."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 -- a method may draw from the global generator
    if torch:
        # By name, since an import statement would count for the methods that do without torch.
        importlib.import_module("torch").manual_seed(seed)


def training_rows(train: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """Return the training rows that a method is fitted on, sorted: all, or a sample of `limit`."""
    if limit is None or len(train) <= limit:
        return train
    return np.sort(np.random.default_rng(seed).choice(train, limit, replace=False))


def training_arrays(fit: Callable, opened: Opened, train: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arguments of `fit`: rows `train` of each array, but the whole neighbour lists."""
    arrays = {}
    for name in arguments(fit):
        whole = name == "neighbours"
        arrays[name] = read_only(opened[name]() if whole else rows_of(opened[name], train))
    return arrays


def rows_of(opened: Callable[[], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return rows of an array in a file, in memory."""
    array = np.empty((len(rows), *opened().shape[1:]), opened().dtype)
    for start in range(0, len(rows), READ_ROWS):
        array[start : start + READ_ROWS] = opened()[rows[start : start + READ_ROWS]]
    return array


def encode(encode_block: Callable[..., np.ndarray], opened: Opened, bits: int) -> np.ndarray:
    """Return the packed codes of every row, uint8 (n, ceil(bits / 8)), the first bit highest.

    opened: {name: function that opens the array}; a memory map is opened again for every block.
    encode_block: takes m rows of each array by its name and returns their bits, bool (m, bits).
    """
    n = len(next(iter(opened.values()))())
    codes = np.empty((n, -(-bits // 8)), np.uint8)
    for start in range(0, n, BLOCK):
        block = slice(start, start + BLOCK)
        rows = {name: read_only(array()[block]) for name, array in opened.items()}
        codes[block] = np.packbits(encode_block(**rows), axis=1)
    return codes


def arguments(function: Callable) -> list[str]:
    """Return the names of a function's arguments, which declare the arrays that it reads."""
    return list(inspect.signature(function).parameters)


def read_only(array: np.ndarray) -> np.ndarray:
    """Return the array itself, protected from a method that would change its arguments."""
    array.flags.writeable = False
    return array
