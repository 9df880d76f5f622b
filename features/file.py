"""Features that somebody computed elsewhere."""

from pathlib import Path

import numpy as np

from experiments import BenchmarkError
from features._base import Extractor, blocks


class File(Extractor):
    """An array (n, d) of float16, float32 or float64 in a `.npy` file, one row an image in the data set's own order."""

    label = "Feature file"

    def __init__(self, *, path):
        self.path = path

    def extract(self, images, data):
        array = self._open(Path(data) / self.path)
        if array.ndim != 2 or array.dtype not in (np.float16, np.float32, np.float64):
            raise BenchmarkError(f"{self.path} holds {array.dtype} of shape {array.shape}, expected float16, 32 or 64 of shape (n, d)")
        if len(array) != len(images):
            raise BenchmarkError(f"{self.path} has {len(array):,} rows, expected one for each of the {len(images):,} images")
        for rows in blocks(len(array)):
            yield array[rows].astype(np.float32)

    def _open(self, path: Path) -> np.ndarray:
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise BenchmarkError(f"feature file {path} is missing: put it there, or change `path` or the data folder") from None
        except (ValueError, OSError, EOFError) as error:
            raise BenchmarkError(f"{path} is not a .npy array of numbers ({error})") from None
