"""Features from a file."""

from pathlib import Path

import numpy as np

from features._base import Extractor
from harness.errors import BenchmarkError, one_line
from harness.storage import digest

LISTED = 5  # images without a row that an error names


class File(Extractor):
    """An array in a `.npy` file: float16, float32 or float64, shape (n, d), a row for each image.

    Parameters
    ----------
    path : str
        The file below the data folder.
    names : str or None
        Text file below the data folder with the name of the image of each row, one in a line, as in
        `cache/datasets/NAME/names.json`. Rows may then be in any order, and of more images. None if
        the rows are in the order of the data set.
    """

    label, block = "Feature file", 8192
    file_params = ("path", "names")

    def __init__(self, *, path, names=None):
        self.path, self.names = path, names

    def check(self, data):
        array = _array(data / self.path)
        if array.ndim != 2 or array.dtype not in (np.float16, np.float32, np.float64):
            raise BenchmarkError(
                f"{self.path} holds {array.dtype} of shape {array.shape}, "
                "expected float16, 32 or 64 of shape (n, d)"
            )
        if self.names and len(lines := _lines(data / self.names)) != len(array):
            raise BenchmarkError(
                f"{self.names} has {len(lines):,} lines, expected {len(array):,}, "
                f"one for each row of {self.path}"
            )

    def open(self, data, n):
        self.check(data)
        self._file = data / self.path
        self.facts_ = {"file_sha256": digest(self._file)}
        if self.names:
            self.facts_["names_sha256"] = digest(data / self.names)
            self._row = self._rows_by_name(_lines(data / self.names), n)
            return
        found = len(_array(self._file))
        if found != n:
            raise BenchmarkError(
                f"{self.path} has {found:,} rows, expected one for each of the {n:,} images in "
                "their order; `names` matches rows by name"
            )
        self._row = np.arange(n)

    def extract(self, rows):
        return _array(self._file)[self._row[rows]].astype(np.float32)

    def _rows_by_name(self, lines: list[str], n: int) -> np.ndarray:
        """Return the row of each of the n images in the file, (n,) int64."""
        if len(self.image_names) != n:
            raise BenchmarkError(
                f"{self.names} cannot be used: the images of this data set have no names; "
                "leave `names` out"
            )
        row = {name: index for index, name in enumerate(lines)}
        if len(row) < len(lines):
            twice = next(name for index, name in enumerate(lines) if row[name] != index)
            raise BenchmarkError(f"{self.names} names {twice!r} twice, expected every image once")

        missing = [name for name in self.image_names if name not in row]
        if missing:
            listed = ", ".join(missing[:LISTED]) + (", ..." if missing[LISTED:] else "")
            raise BenchmarkError(
                f"{self.names} lacks {len(missing):,} of the {n:,} images: {listed}; "
                f"expected names like {lines[0]!r} for all"
            )
        return np.array([row[name] for name in self.image_names])


def _array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise BenchmarkError(
            f"feature file {path} is missing: put it there, or change `path` or the data folder"
        ) from None
    except Exception as error:  # NumPy raises errors of many kinds for damaged headers
        raise BenchmarkError(f"{path} is no .npy array of numbers ({one_line(error)})") from None
    if not isinstance(array, np.ndarray):
        raise BenchmarkError(
            f"{path} is an archive of {', '.join(array.files)}, expected one array in .npy"
        )
    return array


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise BenchmarkError(f"{path} is missing: put it there, or change `names`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error}): expected a file name a line"
        ) from None
