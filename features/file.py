"""Features that somebody computed elsewhere."""

from pathlib import Path

import numpy as np

from experiments import BenchmarkError, one_line
from features._base import Extractor
from storage import digest


class File(Extractor):
    """An array (n, d) of float16, float32 or float64 in a `.npy` file, one row an image in the data set's own order."""

    label = "Feature file"

    def __init__(self, *, path):
        self.path = path

    def open(self, data, n):
        self._file = Path(data) / self.path
        array = self._array()
        if array.ndim != 2 or array.dtype not in (np.float16, np.float32, np.float64):
            raise BenchmarkError(f"{self.path} holds {array.dtype} of shape {array.shape}, expected float16, 32 or 64 of shape (n, d)")
        if len(array) != n:
            raise BenchmarkError(f"{self.path} has {len(array):,} rows, expected one for each of the {n:,} images")
        self.facts_ = {"file_sha256": digest(self._file)}

    def extract(self, rows):
        return self._array()[rows].astype(np.float32)

    def _array(self) -> np.ndarray:
        try:
            return np.load(self._file, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise BenchmarkError(f"feature file {self._file} is missing: put it there, or change `path` or the data folder") from None
        except Exception as error:  # NumPy raises errors of many kinds for damaged headers
            raise BenchmarkError(f"{self._file} is no .npy array of numbers ({one_line(error)})") from None
