"""The contract of an extractor, and the check of the features that it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from harness.errors import BenchmarkError

BLOCK = 64  # images at a time


class Extractor:
    """Features of images, row by row.

    The keywords of ``__init__`` are the parameters of the extractor, and their defaults stand
    nowhere else. No keyword may have the name of a member of this class. An extractor without
    parameters needs no ``__init__``.

    Attributes
    ----------
    label : str
        Name in tables.
    citation : str or None
        Key in report/references.bib.
    uses_gpu : bool
        Whether the extractor can run on a GPU.
    file_params : tuple of str
        Keywords that name user files below the data folder. Their content is part of the identity
        of the features.
    network : str or None
        Name of the ImageNet network of harness/imagenet.py that computes the features.
    weights_param, digest_param : str or None
        Keywords that name the file of its weights below the data folder (None for the official
        file), and the SHA-256 of a file that is not the official one.
    block : int
        Rows at a time. A job that resumes after an interruption divides the rows equally.
    threads : int
        Set by the job: how many batches may run at a time. No row depends on it.
    image_names : sequence of str
        Set by the job: file names of the images, one for each row; empty where images are not
        files of their own.
    facts_ : mapping of str to object
        Set by `open`: values for features.json, as the preprocessing and the digests of files.
    """

    # Literals: they are read from the source of a class without importing it.
    label: str
    citation: str | None = None
    uses_gpu: bool = False
    file_params: tuple[str, ...] = ()
    network: str | None = None
    weights_param: str | None = None
    digest_param: str | None = None

    block: int = BLOCK

    # Set on an object.
    threads: int = 1
    image_names: Sequence[str] = ()
    facts_: Mapping[str, object] = MappingProxyType({})

    def check(self, data: Path) -> None:
        """Look for what `open` will read, downloads included, before any work starts.

        Raises
        ------
        BenchmarkError
            If a file is missing or damaged.
        """

    def open(self, data: Path, n: int) -> None:
        """Read what the extractor needs, once, before the first block.

        Parameters
        ----------
        data : Path
            The user's data folder, which is only read.
        n : int
            Number of images.

        Raises
        ------
        BenchmarkError
            If a file is missing or damaged, or a parameter is invalid.
        """

    def extract(self, images: np.ndarray) -> np.ndarray:
        """Return the features of a block of images, each row from its own image.

        Parameters
        ----------
        images : ndarray of uint8, shape (m, h, w, 3)
            An extractor that reads its rows from elsewhere names its argument ``rows`` instead,
            a slice of the rows of the data set.

        Returns
        -------
        ndarray of float32, shape (m, d)
        """
        raise NotImplementedError


def opened(path: Path) -> np.ndarray:
    """Return an array in a file, memory-mapped for reading."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def check_block(block: np.ndarray, rows: slice, dimensions: int | None, name: str) -> None:
    """Verify the features of a block of rows.

    Parameters
    ----------
    block : ndarray
    rows : slice
        The rows of the block.
    dimensions : int or None
        Dimensions of the blocks before; None for the first.
    name : str
        Name of the plugin file.

    Raises
    ------
    BenchmarkError
        If the block is not float32 (rows, dimensions), or not finite.
    """
    m = rows.stop - rows.start
    if (
        block.dtype != np.float32
        or block.ndim != 2
        or block.shape != (m, dimensions or block.shape[1])
    ):
        raise BenchmarkError(
            f"features/{name}.py gave {block.dtype} {block.shape} for {m} images, "
            f"expected float32 ({m}, {dimensions or 'd'})"
        )

    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        raise BenchmarkError(
            f"{name}: row {rows.start + int(np.argmin(finite))} holds NaN or infinity, "
            "expected finite features"
        )
