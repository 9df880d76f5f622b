"""The contract of an extractor, and the check of its feature rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from harness.errors import BenchmarkError

BLOCK = 64  # images at a time
MAX_NAMES = 5  # images without a row that an error lists; it counts them all


def match_names(paths: Sequence[str], lines: Sequence[str], shown: str) -> np.ndarray:
    """Return the index of each image in a list of file names.

    Parameters
    ----------
    paths : sequence of str
        Paths of the image files of a data set; empty if images are not files of their own.
    lines : sequence of str
        The list: paths in any order, and of more images.
    shown : str
        How an error names the list.

    Returns
    -------
    ndarray of int64, shape (len(paths),)

    Raises
    ------
    BenchmarkError
        If the images have no names, an image is missing in the list, or twice in it.
    """
    if not len(paths):
        raise BenchmarkError(
            f"{shown} cannot be used: the images of this data set have no names; leave `names` out"
        )

    index = {name: number for number, name in enumerate(lines)}
    if len(index) < len(lines):
        twice = next(name for number, name in enumerate(lines) if index[name] != number)
        raise BenchmarkError(f"{shown} names {twice!r} twice, expected every image once")

    missing = [path for path in paths if path not in index]
    if missing:
        named = ", ".join(missing[:MAX_NAMES]) + (", ..." if missing[MAX_NAMES:] else "")
        like = f"; expected names like {lines[0]!r} for all" if lines else ""
        raise BenchmarkError(
            f"{shown} lacks {len(missing):,} of the {len(paths):,} images: {named}{like}"
        )

    return np.array([index[path] for path in paths])


class Extractor:
    """Contract: class attributes, `extract`, and `open` if there is something to read.

    The keywords of `__init__` are the parameters of the extractor, and their defaults stand nowhere
    else. No keyword may have the name of a member of this class. An extractor without parameters
    has no `__init__`.

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
    augmentation : {"photographs", "shifts"} or None
        How views are made, for methods that read views: see `harness.plugins.AUGMENTATIONS`. None
        for an extractor that has no views. No code may depend on it.
    weights_param, digest_param : str or None
        Keywords that name the file of its weights below the data folder (None for the official
        file), and the SHA-256 of a file that is not the official one.
    block : int
        Rows at a time. A job that resumes after an interruption divides the rows equally.
    threads : int
        Set by the job: how many batches may run at a time. No row depends on it.
    grey : bool
        Set by the job: whether the three channels of each image are equal.
    image_names : sequence of str
        Set by the job: file names of the images without folders, which may name the classes.
        Empty if images are not files of their own.
    match_names : callable
        Set by the job: `match_names` for the data set, with its folders.
    facts_ : mapping of str to object
        Set by `open`: values for features.json, as the preprocessing and the digests of files.
    """

    # Literals: they are read from the source of a class without importing it.
    label: str
    citation: str | None = None
    uses_gpu: bool = False
    file_params: tuple[str, ...] = ()
    network: str | None = None
    augmentation: str | None = None
    weights_param: str | None = None
    digest_param: str | None = None

    block: int = BLOCK

    # Set on an object.
    threads: int = 1
    grey: bool = False
    image_names: Sequence[str] = ()
    match_names: Callable[[Sequence[str], str], np.ndarray]
    facts_: Mapping[str, object] = MappingProxyType({})

    def check(self, data: Path) -> None:
        """Look for what `open` will read, downloads included, before any work starts.

        Raises
        ------
        BenchmarkError
            If a file is missing or damaged.
        """

    def check_rows(self, data: Path, n: int) -> None:
        """Raise BenchmarkError if a file does not have the rows of a data set of n images.

        It is called before any work of the experiment, after `check`.
        """

    def open(self, data: Path, n: int) -> None:
        """Read what the extractor needs, once, before the first block.

        Parameters
        ----------
        data : Path
            The user's data folder, which is only read.
        n : int
            Number of images of the data set.

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
