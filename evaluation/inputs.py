"""Codes and labels as users have them, converted to the arrays that the metrics read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import EvaluationError


def packed_codes(
    query_codes: ArrayLike, database_codes: ArrayLike, bits: int | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the codes of queries and database, packed, and their length.

    Parameters
    ----------
    query_codes, database_codes : array_like, shape (Q, bits) and (N, bits)
        bool, 0 and 1, or -1 and +1 in any type; or uint8 (Q, bytes) and (N, bytes) of 8 bits each.
        PyTorch tensors are accepted.
    bits : int, optional
        Length of packed codes, by default 8 for each byte.

    Returns
    -------
    queries, database : ndarray of uint8, shape (Q, ceil(bits / 8)) and (N, ceil(bits / 8))
    bits : int

    Raises
    ------
    EvaluationError
        If an array has other values or another shape, or the lengths differ.
    """
    arrays = [_matrix(query_codes, "query codes"), _matrix(database_codes, "database codes")]
    if _are_packed(arrays, bits):
        length = bits or 8 * arrays[0].shape[1]
        for which, array in zip(("query", "database"), arrays, strict=True):
            _check_bytes(array, length, which)
        queries, database = _in_order_of_numpy(arrays, length)
        return queries, database, length

    queries = _bits(arrays[0], "query codes")
    database = _bits(arrays[1], "database codes")
    length = queries.shape[1]
    if database.shape[1] != length:
        raise EvaluationError(
            f"query codes have {length} bits, database codes {database.shape[1]}: "
            "expected the same number"
        )
    if not length:
        raise EvaluationError("codes have 0 bits: expected at least 1")
    if bits not in (None, length):
        raise EvaluationError(f"codes have {length} bits, expected {bits}. Change `bits`")
    return np.packbits(queries, axis=1), np.packbits(database, axis=1), length


def label_array(values: ArrayLike, name: str) -> np.ndarray:
    """Return labels as integers (n,) or as bool (n, classes).

    Parameters
    ----------
    values : array_like, shape (n,) or (n, classes)
        Class numbers, or 0 and 1 for each class. Whole numbers of any type are accepted.
    name : str
        Of the labels, for messages.

    Raises
    ------
    EvaluationError
        If the values are no array, or no such labels.
    """
    labels = as_array(values, name)
    if labels.ndim == 1 and labels.dtype.kind == "f" and _is_whole(labels):
        return labels.astype(np.int64)
    if labels.ndim != 2 or labels.dtype.kind not in "iuf" or not labels.shape[1]:
        return labels  # Relevance validates it
    if ((labels != 0) & (labels != 1)).any():
        raise EvaluationError(
            f"{name} are {labels.dtype} {labels.shape} with other values than 0 and 1: expected "
            "integers (n,), or 0 and 1 for each class (n, classes). Flatten a column of class "
            "numbers: labels.ravel()"
        )
    return labels == 1


def without(
    ignored: int, codes: np.ndarray, labels: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes and labels without the items of one label, and the indices of the others.

    Raises
    ------
    EvaluationError
        If the labels are not class numbers (n,).
    """
    if labels.ndim != 1:
        raise EvaluationError(
            f"ignore_label: {name} are {labels.shape}, expected class numbers (n,). Items without "
            "a class have a row of zeros, and are relevant to no query"
        )
    indices = np.flatnonzero(labels != ignored)
    return codes[indices], labels[indices], indices


def as_array(values: Any, name: str) -> np.ndarray:
    """Return an array, also of a PyTorch tensor on a GPU or with a gradient.

    Raises
    ------
    EvaluationError
        If the values are no array.
    """
    if hasattr(values, "detach") and hasattr(values, "cpu"):  # a tensor, without importing torch
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # a type that NumPy does not have
            values = values.float()
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{name} are not an array: {error}") from None


def _matrix(values: ArrayLike, name: str) -> np.ndarray:
    array = as_array(values, name)
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise EvaluationError(
            f"{name} are {array.dtype} {array.shape}: expected bool (n, bits), for instance "
            "`projections >= 0`"
        )
    return array


def _are_packed(arrays: list[np.ndarray], bits: int | None) -> bool:
    """Return whether each byte of two arrays holds 8 bits."""
    if any(array.dtype != np.uint8 for array in arrays):
        return False
    if bits is not None:
        return any(array.shape[1] != bits for array in arrays)
    return any(bool((array > 1).any()) for array in arrays)


def _check_bytes(array: np.ndarray, bits: int, which: str) -> None:
    width = -(-bits // 8)
    if array.shape[1] != width:
        raise EvaluationError(
            f"{which} codes have {array.shape[1]} columns of uint8: expected {bits} for {bits} "
            f"bits, or {width} packed bytes. Set `bits`"
        )


def _in_order_of_numpy(arrays: list[np.ndarray], bits: int) -> list[np.ndarray]:
    """Return packed bytes with the first bit of a byte highest, as `numpy.packbits` has it.

    The other order is recognised by zeros at the other end of the last byte.
    """
    padding = -bits % 8
    last = [array[:, -1] for array in arrays]
    if not any((column & 2**padding - 1).any() for column in last):
        return arrays
    if any((column >> 8 - padding).any() for column in last):
        raise EvaluationError(
            f"codes have ones beyond the {bits} bits: expected zeros there. Change `bits`"
        )
    unpacked = [np.unpackbits(array, axis=1, bitorder="little") for array in arrays]
    return [np.packbits(array, axis=1) for array in unpacked]


def _bits(array: np.ndarray, name: str) -> np.ndarray:
    """Return codes of one column for each bit as bool."""
    if array.dtype == bool:
        return array
    zero, negative = array == 0, array == -1
    strange = ~(zero | negative | (array == 1))
    if strange.any():
        raise EvaluationError(
            f"{name} are {array.dtype} {array.shape} with the value {array[strange][0]}: expected "
            "bool, 0 and 1, or -1 and +1, for instance `projections >= 0`"
        )
    if zero.any() and negative.any():
        raise EvaluationError(
            f"{name} have {zero.sum():,} zeros among -1 and +1: the sign of 0 is no bit. Use "
            "`projections >= 0`"
        )
    codes: np.ndarray = array == 1
    return codes


def _is_whole(labels: np.ndarray) -> bool:
    return bool(np.isfinite(labels).all() and (labels == np.floor(labels)).all())
