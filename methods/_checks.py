"""Checks that every run makes of its method. No source of a result: codes do not depend on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import BenchmarkError
from methods import _runtime

LIMIT = 0.001  # share of bits that rounding may change
FEWEST, MOST = 32, 512  # rows that are encoded again: one in a hundred, within these limits
SUSPECT_ROWS = 4096  # rows that decide if more than LIMIT of the few bits differ
BATCH = 64  # rows that are encoded again at a time
PERTURBATION = 4 * float(np.finfo(np.float32).eps)  # relative to each feature
QUICK_SECONDS = 2.0  # of a training that is repeated


@dataclass(frozen=True)
class Repetition:
    """How to repeat a training, once for each method and its parameters.

    build: returns the method before `fit`; done: a file that exists once it was repeated.
    """

    build: Callable[[], object]
    done: Path


def check_rows(hasher, opened: _runtime.Opened, codes: np.ndarray, bits: int, name: str) -> None:
    """Raise BenchmarkError if rows get other codes in other batches.

    Parameters
    ----------
    hasher : Hasher
        Fitted.
    opened : dict
        Opens each array that `encode` reads.
    codes : ndarray of shape (n, bytes), uint8
        Packed codes of all rows.
    bits : int
    name : str
        File of the method, without ``.py``.
    """
    n = len(codes)
    for count in (min(max(FEWEST, n // 100), MOST), SUSPECT_ROWS):
        share = differing_share(hasher, opened, codes, bits, count)
        if share <= LIMIT:
            return

    raise BenchmarkError(
        f"methods/{name}.py: the code of a row depends on the batch that it is encoded in: "
        f"{share:.1%} of the bits differ in other batches, expected at most {LIMIT:.1%}. Compute "
        "means, medians and the like in `fit`. Values that are 0 up to rounding have random "
        "signs: use fewer bits if the features have too few dimensions"
    )


def check_precision(
    hasher, opened: _runtime.Opened, codes: np.ndarray, bits: int, name: str
) -> None:
    """Raise BenchmarkError if bits are the signs of rounding errors.

    Principal components beyond the rank of the features are 0 up to rounding. Changes of the
    features as small as rounding then change their bits. Codes that differ although the features
    have the rank, for example of values equal to a threshold, are no such case.

    Parameters are those of `check_rows`.
    """
    if "features" not in _runtime.arguments(hasher.encode):
        return
    generator, n = np.random.default_rng(0), len(codes)
    rows = np.sort(generator.choice(n, min(MOST, n), replace=False))
    # A batch at a time: rows far apart make the system map much of the file.
    batches = np.split(rows, range(BATCH, len(rows), BATCH))
    arrays = {}
    for argument in _runtime.arguments(hasher.encode):
        parts = [_runtime.rows_of(opened[argument], batch) for batch in batches]
        arrays[argument] = np.concatenate(parts)
    features = arrays["features"]
    noise = generator.uniform(-PERTURBATION, PERTURBATION, features.shape)
    arrays["features"] = (features * (1 + noise)).astype(features.dtype)
    for array in arrays.values():
        _runtime.read_only(array)
    expected = np.unpackbits(codes[rows], axis=1, count=bits).astype(bool)
    share = np.mean(hasher.encode(**arrays) != expected)
    if share <= LIMIT:
        return
    rank = int(np.linalg.matrix_rank(features - features.mean(axis=0)))
    if rank < bits:
        raise BenchmarkError(
            f"methods/{name}.py: {share:.1%} of the bits are the signs of rounding errors, since "
            f"the features have {rank} independent dimensions and the codes {bits} bits. Use "
            f"features with more dimensions, or at most {rank} bits"
        )


def check_query_values(values: object, codes: np.ndarray, bits: int, name: str) -> None:
    """Raise BenchmarkError if real values are not those of which codes are the signs.

    Parameters
    ----------
    values : object
        What `project` returned for m rows.
    codes : ndarray of shape (m, bytes), uint8
        Packed codes of these rows.
    bits : int
    name : str
        File of the method, without ``.py``.
    """
    expected = np.unpackbits(codes, axis=1, count=bits).astype(bool)
    if not isinstance(values, np.ndarray) or values.shape != expected.shape:
        shape = getattr(values, "shape", type(values).__name__)
        raise BenchmarkError(
            f"methods/{name}.py: project returned {shape}, expected an array {expected.shape}"
        )
    if not np.isfinite(values.astype(np.float32)).all():
        raise BenchmarkError(
            f"methods/{name}.py: project returned values that are not finite as float32. Return "
            "finite values below 3e38"
        )
    share = np.mean((values >= 0) != expected)
    if share > LIMIT:
        raise BenchmarkError(
            f"methods/{name}.py: {share:.1%} of the bits are not those of project >= 0, expected "
            f"at most {LIMIT:.1%}. Return `self.project(...) >= 0` in encode"
        )


def check_repeats(
    repetition: Repetition,
    fitted_on: dict[str, np.ndarray],
    opened: _runtime.Opened,
    codes: np.ndarray,
    bits: int,
    name: str,
) -> None:
    """Raise BenchmarkError if a second training with the same seed gives other codes."""
    if repetition.done.exists():
        return

    hasher = repetition.build()
    hasher.fit(**fitted_on)
    share = differing_share(hasher, opened, codes, bits, MOST)
    if share > LIMIT:
        raise BenchmarkError(
            f"methods/{name}.py: a second training with the same seed gives other codes: "
            f"{share:.1%} of the bits differ, expected at most {LIMIT:.1%}. Draw all random "
            "numbers from generators that begin with `seed`"
        )

    repetition.done.parent.mkdir(parents=True, exist_ok=True)
    repetition.done.touch()


def differing_share(
    hasher, opened: _runtime.Opened, codes: np.ndarray, bits: int, count: int
) -> float:
    """Return the share of bits that differ when `count` random rows are encoded in other batches.

    The first batch is a single row, so that a statistic of the batch is that of the row.
    """
    n = len(codes)
    rows = np.sort(np.random.default_rng(0).choice(n, min(count, n), replace=False))
    batches = np.split(rows, range(1, len(rows), BATCH))

    differing = 0
    for batch in batches:
        arrays = {
            argument: _runtime.read_only(_runtime.rows_of(opened[argument], batch))
            for argument in _runtime.arguments(hasher.encode)
        }
        expected = np.unpackbits(codes[batch], axis=1, count=bits).astype(bool)
        differing += np.count_nonzero(hasher.encode(**arrays) != expected)

    return differing / (len(rows) * bits)
