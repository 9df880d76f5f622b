"""Read codes that another program computed, from the files that people store them in.

Nothing is unpickled. h5py and torch are imported only for files that need them.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import BenchmarkError, reading
from harness.user_data import file_and_array

BITS, SIGNS = "0 and 1", "-1 and +1"
LONGEST = 1024  # bits of a code: config/schema.yaml allows no more

# MATLAB's class of an array, and the type of its values in NumPy. MATLAB stores a double array of
# small integers as bytes, so the type of the stored values does not tell the class.
MATLAB_CLASSES = {
    "double": np.float64,
    "single": np.float32,
    "logical": bool,
    **{name: np.dtype(name) for name in ("int8", "int16", "int32", "int64")},
    **{name: np.dtype(name) for name in ("uint8", "uint16", "uint32", "uint64")},
}
SPARSE = "sparse"
COMPRESSED_ELEMENT = 15  # miCOMPRESSED in the MAT-file format
NUMBER_TYPES = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13)  # miINT8 to miUINT64
DENSE_ELEMENTS = 4  # of a variable: flags, shape, name, values
SPARSE_ELEMENTS = 6  # row indices and starts of columns before the values
COMPLEX = 0x0800  # flag of a variable with imaginary parts, in one more element
# Bytes of a variable in addition to 16 for each number: header, and columns of a sparse one.
SLACK = 2**16
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
HDF5_OFFSETS = (0, 512, 1024, 2048)  # MATLAB writes a header of 512 bytes before the signature
SAVE_AS_NPY = "Save the codes with numpy.save."


def of_images(
    files: Sequence[Path],
    items: int,
    query: np.ndarray,
    database: np.ndarray,
    bits: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of the images of a data set.

    Parameters
    ----------
    files : sequence of Path
        One file with a code of every image, or two files, of the queries and of the database.
    items : int
        Number of images.
    query, database : ndarray of int
        Indices of the queries and of the database among the images.
    bits : int, optional
        Length of the codes. See `read`.

    Returns
    -------
    codes : ndarray of bool, shape (items, bits)
        Zeros for an image that is in neither file.
    rows : ndarray of int
        Indices of the images that have a code.

    Raises
    ------
    BenchmarkError
        See `whole` and `apart`.
    """
    if len(files) == 1:
        return whole(files[0], items, bits), np.arange(items)

    given = np.concatenate(apart(files[0], files[1], (len(query), len(database)), bits))
    rows = np.concatenate([query, database])
    codes = np.zeros((items, given.shape[1]), bool)
    codes[rows] = given
    return codes, rows


def whole(path: Path, items: int, bits: int | None = None) -> np.ndarray:
    """Return the codes of every image of a data set, in its order: bool (items, bits).

    See `read`.
    """
    return read(path, items, bits, "one for each image of the data set in its order")[0]


def apart(
    queries: Path, database: Path, rows: tuple[int, int], bits: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of the queries and of the database, each in the order of the split.

    Parameters
    ----------
    queries, database : Path
    rows : tuple of int
        Number of queries and of database items.
    bits : int, optional
        Length of the codes. See `read`.

    Returns
    -------
    tuple of ndarray of bool, shapes (Q, bits) and (N, bits)

    Raises
    ------
    BenchmarkError
        If one file has 0 and 1 and the other -1 and +1, if the lengths differ, and as `read`.
    """
    arrays = [
        _array(queries, rows[0], "one for each query"),
        _array(database, rows[1], "one for each database item"),
    ]
    same_width = arrays[0].shape[1] == arrays[1].shape[1]
    if bits and same_width and all(_is_packed(array, bits) for array in arrays):
        # Together, so that both files are unpacked in one order of bits.
        codes = _unpacked(np.concatenate(arrays), bits, f"{queries} and {database}")
        return _checked(codes[: rows[0]], bits, queries), _checked(codes[rows[0] :], bits, database)

    one, one_kind = _read(arrays[0], bits, queries)
    other, other_kind = _read(arrays[1], bits, database)
    if one_kind != other_kind:
        raise BenchmarkError(
            f"{queries} holds {one_kind}, {database} {other_kind}: expected one convention. "
            "Save both files in the same one"
        )
    if one.shape[1] != other.shape[1]:
        raise BenchmarkError(
            f"{queries} has {one.shape[1]} bits, {database} {other.shape[1]}: expected equal "
            "lengths. Save both files with the same method"
        )

    return one, other


def read(path: Path, rows: int, bits: int | None, what: str) -> tuple[np.ndarray, str]:
    """Return the codes in a file.

    Parameters
    ----------
    path : Path
        A file of NumPy (.npy, .npz), MATLAB (.mat), HDF5 (.h5, .hdf5) or PyTorch (.pt, .pth).
        ``FILE:NAME`` selects one of several arrays.
    rows : int
        Expected number of rows.
    bits : int or None
        Length of the codes. By default, that of the file.
    what : str
        What the rows are, for the error message.

    Returns
    -------
    codes : ndarray of bool, shape (rows, bits)
    kind : str
        `BITS` or `SIGNS`: the values in the file.

    Raises
    ------
    BenchmarkError
        If the file has another type, value or shape, and if all codes are equal.

    Notes
    -----
    The array has a row for each item. Its values are booleans, 0 and 1, or -1 and +1, with a
    column for each bit, or uint8 bytes of 8 bits each. Either end of a byte may come first, and
    the bits beyond the last one are 0. +1 is 1.
    """
    return _read(_array(path, rows, what), bits, path)


def _array(path: Path, rows: int, what: str) -> np.ndarray:
    """Return the array in a file, with the expected number of rows."""
    array = _loaded(path, rows)
    if array.ndim != 2 or not array.shape[1] or array.dtype.kind not in "biuf":
        raise BenchmarkError(
            f"{path} holds {array.dtype} of shape {array.shape}, expected one row an item, of "
            f"numbers or booleans. {SAVE_AS_NPY}"
        )
    if len(array) != rows:
        transposed = array.shape[1] == rows
        hint = "; it looks transposed: save its transpose" if transposed else ""
        raise BenchmarkError(f"{path} has {len(array):,} rows, expected {rows:,}, {what}{hint}")

    return array


def _loaded(path: Path, rows: int) -> np.ndarray:
    """Return the array that a path or FILE:NAME stands for, as it is in the file."""
    file_name, name = file_and_array(str(path))
    file = Path(file_name)
    if not file.is_file():
        raise BenchmarkError(
            f"codes file {file} is missing: expected a file of codes. Put it there or change the "
            "path"
        )

    reader = READERS.get(file.suffix.lower(), _numpy)
    if _is_hdf5(file):
        reader = _hdf5

    return reader(file, name, rows)


# ---------------------------------------------------------------- values


def _read(array: np.ndarray, bits: int | None, path: Path) -> tuple[np.ndarray, str]:
    """Return the bits of an array, and the kind of its values."""
    if _is_packed(array, bits):
        codes, kind = _unpacked(array, bits, path), BITS
    else:
        codes, kind = _columns(array, path)
    return _checked(codes, bits, path), kind


def _is_packed(array: np.ndarray, bits: int | None) -> bool:
    """Return whether each byte of an array holds 8 bits."""
    if array.dtype != np.uint8:
        return False
    return array.shape[1] != bits if bits else bool((array > 1).any())


def _checked(codes: np.ndarray, bits: int | None, path: Path) -> np.ndarray:
    """Return the codes themselves if they have the expected length and are not all equal."""
    if bits and codes.shape[1] != bits:
        raise BenchmarkError(
            f"{path} has codes of {codes.shape[1]} bits, expected {bits}. Change the number of "
            "bits, or the file"
        )
    if len(codes) > 1 and (codes == codes[0]).all():
        raise BenchmarkError(
            f"{path}: all {len(codes):,} codes are the same, expected codes that differ. Check the "
            "program that wrote them"
        )

    return codes


def _columns(array: np.ndarray, path: Path) -> tuple[np.ndarray, str]:
    """Return the bits of an array with a column for each bit, and the kind of its values."""
    if array.dtype == bool:
        return array, BITS

    zero, negative = array == 0, array == -1
    strange = ~(zero | negative | (array == 1))
    if strange.any():
        row, column = np.argwhere(strange)[0]
        raise BenchmarkError(
            f"{path}: row {row}, column {column} is {array[row, column]}, expected 0 and 1, or "
            "-1 and +1; threshold real values before saving, as `values >= 0`"
        )
    if zero.any() and negative.any():
        row, column = np.argwhere(zero)[0]
        raise BenchmarkError(
            f"{path} has {zero.sum():,} zeros among -1 and +1, the first in row {row}, column "
            f"{column}: the sign of 0 is no bit; save `values >= 0`"
        )

    return array == 1, SIGNS if negative.any() else BITS


def _unpacked(array: np.ndarray, bits: int | None, path: Path | str) -> np.ndarray:
    """Return the bits of packed bytes, in whichever order leaves none beyond the last bit."""
    bits = bits or 8 * array.shape[1]
    width = -(-bits // 8)
    if array.shape[1] != width:
        raise BenchmarkError(
            f"{path} has {array.shape[1]} columns of uint8; {bits} bits are {bits} columns, or "
            f"{width} packed bytes"
        )

    for order in ("big", "little"):  # numpy.packbits, and compactbit of MATLAB toolboxes
        unpacked = np.unpackbits(array, axis=1, bitorder=order).astype(bool)
        if not unpacked[:, bits:].any():
            return unpacked[:, :bits]

    raise BenchmarkError(
        f"{path}: ones beyond the {bits} bits, at both ends of the last byte: expected zeros. "
        "Check the number of bits"
    )


# ---------------------------------------------------------------- NumPy


def _numpy(path: Path, name: str, rows: int) -> np.ndarray:
    """Return the array of a .npy file, or one of a .npz archive."""
    if zipfile.is_zipfile(path):
        return _archive(path, name, rows)
    with reading(path, "a .npy array of numbers or booleans", SAVE_AS_NPY):
        # Mapped: a header can claim more than the file holds.
        return np.asarray(_without_pickle_advice(path))


def _without_pickle_advice(path: Path) -> np.ndarray:
    """Map a .npy file. NumPy advises to unpickle a file that is not one, which is unsafe."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "pickle" in str(error):
            raise ValueError("not in NumPy's format, or with Python objects") from None
        raise


def _archive(path: Path, name: str, rows: int) -> np.ndarray:
    """Return an array of a .npz archive."""
    with (
        reading(path, "a .npz archive of arrays", SAVE_AS_NPY),
        np.load(path, allow_pickle=False) as archive,
    ):
        name = _chosen(path, name, archive.files)
        size = archive.zip.getinfo(f"{name}.npy").file_size
        if size > rows * LONGEST * 8 + SLACK:
            raise BenchmarkError(
                f"{path}: {name} has {size:,} bytes, expected at most {rows:,} rows of "
                f"{LONGEST:,} bits"
            )
        return archive[name]


# ---------------------------------------------------------------- MATLAB


def _matlab(path: Path, name: str, rows: int) -> np.ndarray:
    """Return a variable of a MATLAB file up to version 7."""
    from scipy.io import loadmat, whosmat

    expected, advice = "a MATLAB file", f"Save it again with `save`. {SAVE_AS_NPY}"
    variables: dict[str, tuple] = {}
    with reading(path, expected, advice):
        for position, (key, shape, kind) in enumerate(whosmat(path)):
            # SciPy reads the first of two variables with the same name.
            variables.setdefault(key, (position, shape, kind))

    name = _chosen(path, name, variables)
    position, shape, kind = variables[name]
    _check_matlab(path, name, shape, kind, rows)
    with reading(path, expected, advice):
        elements = SPARSE_ELEMENTS if kind == SPARSE else DENSE_ELEMENTS
        _check_elements(path, position, elements, SLACK + 16 * math.prod(shape))
        key = loadmat(path, variable_names=[name], mat_dtype=True)[name]
        return _dense(key) if kind == SPARSE else key.astype(MATLAB_CLASSES[kind])


def _check_matlab(path: Path, name: str, shape: tuple, kind: str, rows: int) -> None:
    """Raise BenchmarkError for a variable that is not an array of numbers, or is too large."""
    if kind != SPARSE and kind not in MATLAB_CLASSES:
        raise BenchmarkError(
            f"{path}: {name} is a {kind}, expected an array of numbers or booleans. {SAVE_AS_NPY}"
        )
    _check_size(path, name, shape, rows)


def _check_size(path: Path, name: str, shape: tuple, rows: int) -> None:
    """Raise BenchmarkError for an array that is too large: a small file can unfold to gigabytes."""
    if math.prod(shape) > rows * LONGEST:
        raise BenchmarkError(
            f"{path} holds {name} of shape {shape}, expected at most {rows:,} rows of "
            f"{LONGEST:,} bits"
        )


def _dense(matrix: Any) -> np.ndarray:
    """Return a sparse matrix as an array.

    The indices of a damaged file may lead out of the array, which no function of SciPy checks.
    """
    matrix = matrix.tocsc() if matrix.format == "coo" else matrix
    matrix.check_format(full_check=True)
    dense = matrix.toarray()
    return dense if dense.dtype == bool else dense.astype(np.float64, casting="safe")


def _check_elements(path: Path, position: int, expected: int, most: int) -> None:
    """Raise ValueError for a damaged variable of a MATLAB file.

    SciPy trusts the number of elements and the type of each, and a wrong one ends the process. A
    compressed variable may unfold to more than the `most` bytes that its shape takes.
    """
    content, order = _variable(path, position, most)
    if not content:
        return
    if len(content) > most:
        raise ValueError(f"a variable unfolds to more than the {most:,} bytes that its shape takes")

    (flags,) = struct.unpack_from(f"{order}I", content, 8)
    count = sum(1 for _ in _elements(content, order))
    if flags & COMPLEX or count != expected:
        raise ValueError(f"{count} elements and flags {flags:#x}, expected {expected} real ones")


def _elements(content: bytes, order: str) -> Iterator[int]:
    """Yield the type of each element of a variable. Raise ValueError for an impossible one."""
    start = 0
    while start < len(content):
        word, size = struct.unpack_from(f"{order}II", content, start)
        start += 8
        if word >> 16:  # a short element: its size, its type, and up to four bytes of data
            word, size, data = word & 0xFFFF, word >> 16, 4
        else:
            data = len(content) - start
            start += -(-size // 8) * 8
        if word not in NUMBER_TYPES or size > data:
            raise ValueError(f"an element has type {word} and {size:,} bytes")
        yield word


def _variable(path: Path, position: int, most: int) -> tuple[bytes, str]:
    """Return the elements of a variable, and the byte order; no elements for MATLAB 4.

    At most `most` bytes and one more are read.
    """
    with open(path, "rb") as file:
        header = file.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:])
        if order is None or 0 in header[:4]:  # MATLAB 4 has no elements
            return b"", "<"
        for _ in range(position + 1):
            kind, size = struct.unpack(f"{order}II", file.read(8))
            start = file.tell()
            file.seek(size, 1)
        file.seek(start)
        content = file.read(min(size, most + 1))

    if kind != COMPRESSED_ELEMENT:
        return content, order

    return zlib.decompressobj().decompress(content, most + 9)[8:], order


# ---------------------------------------------------------------- HDF5


def _is_hdf5(path: Path) -> bool:
    """Return whether a file has the signature of HDF5, as MATLAB 7.3 files do."""
    with open(path, "rb") as file:
        beginning = file.read(HDF5_OFFSETS[-1] + len(HDF5_SIGNATURE))
    return any(beginning.startswith(HDF5_SIGNATURE, offset) for offset in HDF5_OFFSETS)


def _hdf5(path: Path, name: str, rows: int) -> np.ndarray:
    """Return an array of an HDF5 file, of MATLAB 7.3 or of any other program."""
    try:
        import h5py
    except ImportError:
        raise BenchmarkError(
            f"{path} is an HDF5 file (MATLAB 7.3 writes them): expected the package h5py. Run "
            "`pip install h5py`, or save the codes with numpy.save or `save(..., '-v7')`"
        ) from None

    with reading(path, "an HDF5 file", SAVE_AS_NPY), h5py.File(path, "r") as file:
        arrays: dict[str, Any] = {}

        def collect(key: str, item: Any) -> None:
            if not key.startswith("#"):  # MATLAB's own groups, #refs# and #subsystem#
                arrays[key] = item

        file.visititems(collect)
        sparse = {key for key, item in arrays.items() if "MATLAB_sparse" in item.attrs}
        inside = tuple(f"{key}/" for key in sparse)
        names = [
            key
            for key, item in arrays.items()
            if key in sparse or (isinstance(item, h5py.Dataset) and not key.startswith(inside))
        ]
        name = _chosen(path, name, names)
        read_item = _sparse_of_hdf5 if name in sparse else _dense_of_hdf5
        return read_item(path, arrays[name], rows)


def _dense_of_hdf5(path: Path, dataset: Any, rows: int) -> np.ndarray:
    """Return a data set of an HDF5 file. MATLAB writes the columns of an array first."""
    _check_own_bytes(path, dataset)
    if dataset.dtype.kind not in "biuf":
        raise BenchmarkError(
            f"{path}: {dataset.name} holds {dataset.dtype}, expected an array of numbers or "
            f"booleans. {SAVE_AS_NPY}"
        )

    _check_size(path, dataset.name, dataset.shape, rows)

    kind = dataset.attrs.get("MATLAB_class")
    if kind is None:
        return dataset[()]

    kind = np.bytes_(kind).decode("ascii", "replace")
    _check_matlab(path, dataset.name, dataset.shape, kind, rows)
    return dataset[()].T.astype(MATLAB_CLASSES[kind])


def _sparse_of_hdf5(path: Path, group: Any, rows: int) -> np.ndarray:
    """Return a sparse matrix of MATLAB 7.3: `data`, row indices `ir`, starts of columns `jc`."""
    from scipy.sparse import csc_matrix

    starts = group["jc"]
    shape = (int(group.attrs["MATLAB_sparse"]), len(starts) - 1)
    _check_size(path, group.name, shape, rows)

    arrays = []
    for name in ("data", "ir", "jc"):
        if name not in group:  # MATLAB omits both arrays of an empty matrix
            arrays.append(np.zeros(0))
            continue
        _check_own_bytes(path, group[name])
        _check_size(path, f"{group.name}/{name}", group[name].shape, rows + 1)
        arrays.append(group[name][()])

    values, indices, starts = arrays
    matrix = csc_matrix((values, indices.astype(np.int64), starts.astype(np.int64)), shape=shape)
    return _dense(matrix)


def _check_own_bytes(path: Path, dataset: Any) -> None:
    """Raise BenchmarkError for an array whose bytes are in other files, which its file names."""
    if dataset.is_virtual or dataset.external:
        raise BenchmarkError(
            f"{path}: {dataset.name} is stored in other files, expected one file. {SAVE_AS_NPY}"
        )


# ---------------------------------------------------------------- PyTorch


def _torch(path: Path, name: str, rows: int) -> np.ndarray:
    """Return a tensor that torch.save wrote, alone or in a dictionary."""
    import torch

    expected = "a file of tensors that torch.save wrote"
    with reading(path, expected, SAVE_AS_NPY):
        tensor = torch.load(path, map_location="cpu", weights_only=True)

    if isinstance(tensor, Mapping):
        tensors = {str(key): value for key, value in tensor.items() if torch.is_tensor(value)}
        tensor = tensors[_chosen(path, name, tensors)]

    if not torch.is_tensor(tensor) or tensor.layout != torch.strided or tensor.is_quantized:
        raise BenchmarkError(
            f"{path} holds {type(tensor).__name__}, expected a dense tensor. {SAVE_AS_NPY}"
        )

    _check_size(path, name or "a tensor", tuple(tensor.shape), rows)
    with reading(path, expected, SAVE_AS_NPY):
        # NumPy has no bfloat16.
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy(force=True)


# ---------------------------------------------------------------- names


def _chosen(path: Path, name: str, names: Sequence[str] | Mapping[str, object]) -> str:
    """Return the name of the array to read: the given one, or that of the only array."""
    names = list(names)
    if not names:
        raise BenchmarkError(f"{path} has no array, expected one of codes. {SAVE_AS_NPY}")
    if not name and len(names) == 1:
        return names[0]
    if not name:
        raise BenchmarkError(
            f"{path} has the variables {', '.join(names)}: name one, as {path}:{names[0]}"
        )
    if name not in names:
        raise BenchmarkError(f"{path} has no variable {name!r}: expected one of {', '.join(names)}")

    return name


READERS: dict[str, Callable[[Path, str, int], np.ndarray]] = {
    ".mat": _matlab,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".pt": _torch,
    ".pth": _torch,
}
