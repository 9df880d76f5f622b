"""Codes that were made elsewhere: from the files that people keep them in to booleans. Never unpickles; NumPy and SciPy."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.errors import BenchmarkError, one_line

BITS, SIGNS = "0 and 1", "-1 and +1"
LONGEST = 1024  # bits of a code: config/schema.yaml allows no more

NUMBERS = {
    "double",
    "single",
    "sparse",
    "logical",
    *(f"{sign}int{size}" for sign in ("", "u") for size in (8, 16, 32, 64)),
}
COMPRESSED = 15  # miCOMPRESSED in the MAT-file format
SLACK = (
    2**16
)  # bytes of a variable beside 16 for each of its numbers: its header, and the columns of a sparse one


def of_images(
    files: Sequence[Path],
    items: int,
    query: np.ndarray,
    database: np.ndarray,
    bits: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a data set's images, bool (items, bits), and the indices of the images that have one.

    `files` is one file of every image, or two, of the queries and of the database, whose places among the images `query` and `database`
    are; an image of neither has no code, and zeros here. See `whole` and `apart`.
    """
    if len(files) == 1:
        return whole(files[0], items, bits), np.arange(items)
    given = np.concatenate(apart(files[0], files[1], (len(query), len(database)), bits))
    rows = np.concatenate([query, database])
    codes = np.zeros((items, given.shape[1]), bool)
    codes[rows] = given
    return codes, rows


def whole(path: Path, items: int, bits: int | None = None) -> np.ndarray:
    """Codes of every image of a data set, in its order: bool (items, bits). See `read`."""
    return read(path, items, bits, "one for each image of the data set in its order")[0]


def apart(
    queries: Path, database: Path, rows: tuple[int, int], bits: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the queries and of the database, each in the order of the split: bool (Q, bits) and (N, bits). See `read`.

    Raises BenchmarkError also where one file holds 0 and 1, the other -1 and +1, and where their lengths differ.
    """
    arrays = [
        _array(queries, rows[0], "one for each query"),
        _array(database, rows[1], "one for each database item"),
    ]
    if (
        bits
        and all(_packed(array, bits) for array in arrays)
        and arrays[0].shape[1] == arrays[1].shape[1]
    ):
        both = _unpacked(
            np.concatenate(arrays), bits, f"{queries} and {database}"
        )  # so that few queries do not decide on another order
        return _checked(both[: rows[0]], bits, queries), _checked(both[rows[0] :], bits, database)
    (one, one_kind), (other, other_kind) = (
        _read(array, bits, path) for array, path in zip(arrays, (queries, database), strict=True)
    )
    if one_kind != other_kind:
        raise BenchmarkError(
            f"{queries} holds {one_kind}, {database} {other_kind}: two conventions; save both alike"
        )
    if one.shape[1] != other.shape[1]:
        raise BenchmarkError(
            f"{queries} has {one.shape[1]} bits, {database} {other.shape[1]}: expected the same"
        )
    return one, other


def read(path: Path, rows: int, bits: int | None, what: str) -> tuple[np.ndarray, str]:
    """Codes bool (rows, bits) of a `.npy` or `.mat` file, and the kind of its values; `FILE.mat:NAME` names one of several variables.

    The array has a row an item: booleans, 0 and 1, -1 and +1, with one column a bit, or uint8 bytes of 8 bits each, packed either end
    first, with zeros beyond the last bit. +1 is 1. `bits` None takes the length from the file.
    Raises BenchmarkError for any other file, type, value or shape, and where all codes are the same.
    """
    return _read(_array(path, rows, what), bits, path)


def _array(path: Path, rows: int, what: str) -> np.ndarray:
    array = _matlab(path, rows) if path.suffix == ".mat" or ".mat:" in path.name else _numpy(path)
    if array.ndim != 2 or not array.shape[1] or array.dtype.kind not in "biuf":
        raise BenchmarkError(
            f"{path} holds {array.dtype} of shape {array.shape}, expected one row an item, of numbers or booleans"
        )
    if len(array) != rows:
        hint = "; it looks transposed: save its transpose" if array.shape[1] == rows else ""
        raise BenchmarkError(f"{path} has {len(array):,} rows, expected {rows:,}, {what}{hint}")
    return array


def _read(array: np.ndarray, bits: int | None, path: Path) -> tuple[np.ndarray, str]:
    codes, kind = (
        (_unpacked(array, bits, path), BITS) if _packed(array, bits) else _columns(array, path)
    )
    return _checked(codes, bits, path), kind


def _packed(array: np.ndarray, bits: int | None) -> bool:
    return array.dtype == np.uint8 and (array.shape[1] != bits if bits else bool((array > 1).any()))


def _checked(codes: np.ndarray, bits: int | None, path: Path) -> np.ndarray:
    if bits and codes.shape[1] != bits:
        raise BenchmarkError(f"{path} has codes of {codes.shape[1]} bits, expected {bits}")
    if len(codes) > 1 and (codes == codes[0]).all():
        raise BenchmarkError(f"{path}: all {len(codes):,} codes are the same")
    return codes


def _columns(array: np.ndarray, path: Path) -> tuple[np.ndarray, str]:
    if array.dtype == bool:
        return array, BITS
    zero, negative = array == 0, array == -1
    strange = ~(zero | negative | (array == 1))
    if strange.any():
        row, column = np.argwhere(strange)[0]
        found = f"{path}: row {row}, column {column} is {array[row, column]}"
        raise BenchmarkError(
            f"{found}, expected 0 and 1, or -1 and +1; threshold real values before saving, as `values >= 0`"
        )
    if zero.any() and negative.any():
        row, column = np.argwhere(zero)[0]
        raise BenchmarkError(
            f"{path} has {zero.sum():,} zeros among -1 and +1, the first in row {row}, column {column}: the sign of 0 is no bit; "
            "save `values >= 0`"
        )
    return array == 1, SIGNS if negative.any() else BITS


def _unpacked(array: np.ndarray, bits: int | None, path: Path | str) -> np.ndarray:
    bits = bits or 8 * array.shape[1]
    if array.shape[1] != -(-bits // 8):
        raise BenchmarkError(
            f"{path} has {array.shape[1]} columns of uint8; {bits} bits are {bits} columns, or {-(-bits // 8)} packed bytes"
        )
    for order in (
        "big",
        "little",
    ):  # of bits in a byte: numpy.packbits, and compactbit of MATLAB toolboxes
        unpacked = np.unpackbits(array, axis=1, bitorder=order).astype(bool)
        if not unpacked[:, bits:].any():
            return unpacked[:, :bits]
    raise BenchmarkError(
        f"{path}: ones beyond the {bits} bits, at both ends of the last byte: expected zeros there"
    )


def _numpy(path: Path) -> np.ndarray:
    try:
        found = np.load(
            path, mmap_mode="r", allow_pickle=False
        )  # mapped: a header can claim more than the file holds
    except FileNotFoundError:
        raise _missing(path) from None
    except Exception as error:  # NumPy raises errors of many kinds for damaged headers
        why = (
            "" if "pickle" in str(error) else f" ({one_line(error)})"
        )  # for a text, too, NumPy advises to unpickle
        raise BenchmarkError(
            f"{path} is no .npy array of numbers or booleans{why}: write it with numpy.save"
        ) from None
    if not isinstance(found, np.ndarray):
        raise BenchmarkError(
            f"{path} is an archive of {', '.join(found.files)}, expected one array in .npy, or .mat"
        )
    return np.asarray(found)


def _matlab(path: Path, rows: int) -> np.ndarray:  # noqa: C901
    from scipy.io import loadmat, whosmat
    from scipy.sparse import issparse

    folder, (stem, _, name) = path.parent, path.name.partition(".mat:")
    file = folder / (stem + ".mat") if name else path
    if not file.is_file():
        raise _missing(file)
    try:
        variables: dict[str, tuple] = {}
        for place, (found, shape, kind) in enumerate(whosmat(file)):
            variables.setdefault(
                found, (place, shape, kind)
            )  # of two with one name, SciPy reads the first
        if not name and len(variables) != 1:
            raise BenchmarkError(
                f"{file} has the variables {', '.join(variables) or 'none'}: name one, as {file}:{[*variables, 'B'][0]}"
            )
        name = name or next(iter(variables))
        if name not in variables:
            raise BenchmarkError(
                f"{file} has no variable {name!r}: expected one of {', '.join(variables)}"
            )
        place, shape, kind = variables[name]
        if kind not in NUMBERS:
            raise BenchmarkError(
                f"{file}: {name} is a {kind}, expected an array of numbers or booleans"
            )
        if math.prod(shape) > rows * LONGEST:  # a few compressed bytes can unfold to gigabytes
            raise BenchmarkError(
                f"{file} holds {name} of shape {shape}, expected at most {rows:,} rows of {LONGEST:,} bits"
            )
        if _unfolds(file, place, SLACK + 16 * math.prod(shape)):
            raise BenchmarkError(
                f"{file}: {name} unfolds to more than {shape} numbers take: damaged, or no such codes"
            )
        found = loadmat(file, variable_names=[name])[name]
    except BenchmarkError:
        raise
    except NotImplementedError:
        raise BenchmarkError(
            f"{file} is of MATLAB 7.3 (HDF5): save it with `save(..., '-v7')`, or as .npy"
        ) from None
    except (
        Exception
    ) as error:  # SciPy raises errors of many kinds for damaged files, a plain Exception among them
        raise BenchmarkError(f"{file} is no MATLAB file ({one_line(error)})") from None
    return found.toarray() if issparse(found) else found


def _unfolds(file: Path, place: int, most: int) -> bool:
    """Whether the variable at `place` of a MATLAB file is compressed, and more than `most` bytes long, whatever its header claims."""
    with open(file, "rb") as opened:
        header = opened.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:])
        if order is None or 0 in header[:4]:  # MATLAB 4 compresses nothing
            return False
        for _ in range(place + 1):
            kind, size = struct.unpack(f"{order}II", opened.read(8))
            content = opened.read(size)
    return kind == COMPRESSED and len(zlib.decompressobj().decompress(content, most + 1)) > most


def _missing(path: Path) -> BenchmarkError:
    return BenchmarkError(f"codes file {path} is missing: put it there, or name another")
