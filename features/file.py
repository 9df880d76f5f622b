"""Features that another program computed."""

from pathlib import Path

import numpy as np

from features._base import Extractor
from harness.errors import BenchmarkError, reading
from harness.storage import digest
from harness.user_data import user_path

TYPES = (np.float16, np.float32, np.float64)
EXPECTED, ADVICE = "a .npy array of numbers", "Save the features with numpy.save."
IF_MISSING = "Put it there, or change `path` or the data folder."


class File(Extractor):
    """An array (n, d) of float16, float32 or float64 in a `.npy` file, with a row for each image.

    Parameters
    ----------
    path : str
        The file, absolute or below the data folder.
    names : str, optional
        A text file that names the image of each row, one a line, as in
        `cache/datasets/NAME/names.json`. Rows may then be in any order, and there may be rows of
        other images. By default, rows are in the order of the data set.
    """

    label, block = "Feature file", 8192
    file_params = ("path", "names")

    def __init__(self, *, path, names=None):
        self.path, self.names = path, names

    def check(self, data: Path) -> None:
        """See Extractor.check. Reads the whole file: a job would find NaN only while it runs."""
        array = self._array(data)
        for start in range(0, len(array), self.block):
            block = array[start : start + self.block]
            self._finite(block, np.arange(start, start + len(block)))

    def check_rows(self, data: Path, n: int) -> None:
        """See Extractor.check_rows."""
        rows, columns = self._array(data).shape
        if self.names or rows == n:
            return
        hint = "it looks transposed: save its transpose" if columns == n else "save all rows"
        raise BenchmarkError(
            f"{self.path} has {rows:,} rows, expected one for each of the {n:,} images in their "
            f"order; {hint}, or set `names`, which matches rows by name"
        )

    def open(self, data: Path, n: int) -> None:
        """See Extractor.open."""
        self.check_rows(data, n)
        self._file = user_path(data, self.path)
        self.facts_ = {"file_sha256": digest(self._file)}
        if not self.names:
            self._row = np.arange(n)
            return

        names = user_path(data, self.names)
        self.facts_["names_sha256"] = digest(names)
        self._row = self.match_names(_lines(names), self.names)

    def extract(self, rows: slice) -> np.ndarray:  # type: ignore[override]  # reads no images
        """See Extractor.extract."""
        return self._finite(_load(self._file)[self._row[rows]], self._row[rows])

    def _array(self, data: Path) -> np.ndarray:
        """Return the array, memory-mapped, with the type, shape and names that are expected."""
        array = _load(user_path(data, self.path))
        if array.ndim != 2 or array.dtype not in TYPES:
            raise BenchmarkError(
                f"{self.path} holds {array.dtype} of shape {array.shape}, expected float16, 32 or "
                "64 of shape (n, d)"
            )
        if self.names and len(lines := _lines(user_path(data, self.names))) != len(array):
            raise BenchmarkError(
                f"{self.names} has {len(lines):,} lines, expected {len(array):,}, one for each row "
                f"of {self.path}"
            )

        return array

    def _finite(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return rows of the file as float32. Raise BenchmarkError for NaN and infinity."""
        with np.errstate(over="ignore"):
            single = block.astype(np.float32)

        finite = np.isfinite(single)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise BenchmarkError(
                f"{self.path}: row {rows[row]}, column {column} is {block[row, column]}, "
                "expected a finite number of float32. Compute or remove the features of this image"
            )

        return single


def _load(path: Path) -> np.ndarray:
    """Return the array of a .npy file, memory-mapped."""
    with reading(path, EXPECTED, ADVICE, IF_MISSING):
        array = np.load(path, mmap_mode="r", allow_pickle=False)

    if not isinstance(array, np.ndarray):
        array.close()
        raise BenchmarkError(
            f"{path} is an archive of {', '.join(array.files)}, expected one array in .npy. "
            f"{ADVICE}"
        )

    return array


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file."""
    expected = "a text file in UTF-8 with a file name a line"
    with reading(path, expected, "Convert it.", "Put it there, or change `names`."):
        return path.read_text(encoding="utf-8").splitlines()
