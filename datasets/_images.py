"""Images of many sizes in files: each becomes one square of a single memory-mapped array."""

from __future__ import annotations

import io
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from datasets._files import Files
from harness.errors import BenchmarkError, reading
from harness.progress import Progress

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 50_000_000  # of one image: a small file can unfold to gigabytes
MAX_NAMES = 5  # damaged or missing files that an error lists; it counts them all
ROWS = 64  # images that a thread takes at a time
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
IMAGE_TEXT = f"an image ({', '.join(FORMATS)})"
ADVICE = "Replace it, or set `leave_out_unreadable: true`."


@dataclass(frozen=True)
class ImageFiles:
    """Image files that read like an array (n, size, size, 3) uint8.

    A file is decoded when its row is read. The short side is resized to `size` pixels (Pillow's
    bilinear filter, antialiased) and the central square is used, as RGB. Of channels with 16 bits,
    the high byte is used. Rotation tags are ignored.

    Parameters
    ----------
    files : Files
    names : tuple of str
    size : int
        Side length in pixels.
    grey : bool
        Whether colours are converted to grey, which all three channels then hold.
    """

    files: Files
    names: tuple[str, ...]
    size: int
    grey: bool = False

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __post_init__(self):
        if self.size < 1:
            raise BenchmarkError(f"size is {self.size}, expected pixels of a side, 1 or more")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.names), self.size, self.size, 3)

    @property
    def rule(self) -> str:
        """What was done to the images, for the rules of a protocol."""
        rule = (
            f"images: short side resized to {self.size} pixels (bilinear, antialiased), central "
            "square kept"
        )
        return f"{rule}, as grey" if self.grey else rule

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> np.ndarray:
        """Return an image, (size, size, 3) uint8. Raise BenchmarkError for a damaged file."""
        name = self.names[row]
        content = self.files.read(name)
        with reading(self.files.shown(name), IMAGE_TEXT, ADVICE):
            return decode(content, self.size, self.grey)


def decode(content: bytes, size: int, grey: bool = False) -> np.ndarray:
    """Return the central square of an encoded image, (size, size, 3) uint8.

    Pillow raises errors of many types for bytes that are not a complete image.
    """
    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("its first bytes are of no such format") from None

    with opened as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"{width:,} x {height:,} pixels, expected at most {MAX_PIXELS:,} in all"
            )
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        eight_bits = _eight_bits(image)
        if grey:
            eight_bits = eight_bits.convert("L")
        # One step for both sides. Palettes have no antialiased resizing of their own.
        square = eight_bits.convert("RGB").resize(
            (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
        )

    return np.asarray(square)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image with 8 bits per channel.

    Grey values with 16 bits are reduced to the high byte, as Pillow itself does with colours.
    Pillow would clip grey values at 255 instead.
    """
    if image.mode in SIXTEEN_BITS or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "F" or image.mode.startswith("I"):
        raise ValueError(
            f"pixels of mode {image.mode}, expected 8 or 16 bits a channel: convert it, for "
            "example with `magick IN -normalize -depth 8 OUT.png`"
        )
    return image


def write(
    images: np.ndarray | ImageFiles, path: Path, threads: int = 1
) -> tuple[np.ndarray, dict[int, str]]:
    """Write images as one .npy file.

    Parameters
    ----------
    images : ndarray of uint8 or ImageFiles
    path : Path
    threads : int
        Number of threads that decode, a block at a time.

    Returns
    -------
    images : ndarray of uint8
        The array in the file, memory-mapped.
    unreadable : dict of int to str
        Rows whose file cannot be read, which are zeros in the array, each with the reason.

    Raises
    ------
    BenchmarkError
        If the disk is too small.
    """
    free, needed = shutil.disk_usage(path.parent).free, int(np.prod(images.shape, dtype=np.int64))
    if free < needed:
        raise BenchmarkError(
            f"{path.parent} has {free / 2**30:.1f} GiB free, expected {needed / 2**30:.1f} GiB for "
            "the images"
        )

    if isinstance(images, np.ndarray):
        np.save(path, images)
        unreadable = {}
    else:
        unreadable = _decode_all(images, path, threads)

    return (np.load(path, mmap_mode="r") if needed else images), unreadable


def _decode_all(images: ImageFiles, path: Path, threads: int) -> dict[int, str]:
    """Decode every file into the array of a .npy file; return the rows that cannot be read."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=images.shape)
    progress = Progress("images", total=len(images), unit="images")
    unreadable = {}

    def fill(start: int) -> dict[int, str]:
        damaged = {}
        for row in range(start, min(start + ROWS, len(images))):
            try:
                array[row] = images[row]
            except BenchmarkError as error:
                damaged[row] = str(error)
        return damaged

    starts = range(0, len(images), ROWS)
    with ThreadPoolExecutor(threads) as pool:
        for start, damaged in zip(starts, pool.map(fill, starts), strict=True):
            unreadable |= damaged
            progress.advance(min(ROWS, len(images) - start))

    array.flush()
    return unreadable


def remove_rows(path: Path, lost: np.ndarray) -> np.ndarray:
    """Rewrite the array of a .npy file without some rows; return it, memory-mapped."""
    whole = np.load(path, mmap_mode="r")
    rows = np.setdiff1d(np.arange(len(whole)), lost)
    shorter = path.with_name(f"shorter-{path.name}")
    shape = (len(rows), *whole.shape[1:])
    array = np.lib.format.open_memmap(shorter, mode="w+", dtype=whole.dtype, shape=shape)
    for start in range(0, len(rows), ROWS):
        array[start : start + ROWS] = whole[rows[start : start + ROWS]]

    array.flush()
    os.replace(shorter, path)
    return np.load(path, mmap_mode="r")
