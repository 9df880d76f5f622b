"""Images of many sizes in files: each becomes one square of a single memory-mapped array."""

from __future__ import annotations

import io
import shutil
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from datasets._files import Files
from harness.errors import BenchmarkError
from harness.progress import Progress

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_PIXELS = 50_000_000  # of one image: a small file can unfold to gigabytes
NAMED = 5  # damaged or missing files that an error lists; it counts them all
ROWS = 64  # images that a thread takes at a time
# What Pillow's decoders raise on damaged files.
DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class ImageFiles:
    """Image files that read like an array (n, size, size, 3) uint8; one is decoded when its row is asked for.

    The short side is resized to `size` pixels (Pillow's bilinear filter, antialiased) and the central square kept, as RGB; rotation tags
    are not followed.
    """

    files: Files
    names: tuple[str, ...]
    size: int

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
        return f"images: short side resized to {self.size} pixels (bilinear, antialiased), central square kept"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> np.ndarray:
        """(size, size, 3) uint8. Raises BenchmarkError that names a damaged file."""
        name = self.names[row]
        try:
            return decode(self.files.read(name), self.size)
        except DAMAGE as error:
            raise BenchmarkError(
                f"{self.files.shown(name)} is no image that can be read ({error or type(error).__name__})"
            ) from None


def decode(content: bytes, size: int) -> np.ndarray:
    """(size, size, 3) uint8: the central square of an encoded image. Raises one of DAMAGE for bytes that are no whole image."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"{width:,} x {height:,} pixels, expected at most {MAX_PIXELS:,} in all"
            )
        if image.mode == "F" or image.mode.startswith("I"):  # which Pillow cuts off at 255
            raise ValueError(f"pixels of mode {image.mode}, expected 8 bits a channel: convert it")
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        # One step for both sides. Palettes have no antialiased resizing of their own.
        square = image.convert("RGB").resize(
            (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
        )
    return np.asarray(square)


def write(images: np.ndarray | ImageFiles, path: Path, threads: int = 1) -> np.ndarray:
    """Write `images` as one .npy file and return it, memory-mapped; image files are decoded by `threads` threads, a block at a time.

    Raises BenchmarkError that counts and names damaged files, or says that the disk is too small.
    """
    free, needed = shutil.disk_usage(path.parent).free, int(np.prod(images.shape, dtype=np.int64))
    if free < needed:
        raise BenchmarkError(
            f"{path.parent} has {free / 2**30:.1f} GiB free, expected {needed / 2**30:.1f} GiB for the images"
        )
    if isinstance(images, np.ndarray):
        np.save(path, images)
    else:
        _decode_all(images, path, threads)
    return np.load(path, mmap_mode="r") if needed else images


def _decode_all(images: ImageFiles, path: Path, threads: int) -> None:
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=images.shape)
    progress = Progress("images", total=len(images), unit="images")
    problems = []

    def fill(start: int) -> list[str]:
        damaged = []
        for row in range(start, min(start + ROWS, len(images))):
            try:
                array[row] = images[row]
            except BenchmarkError as error:
                damaged.append(str(error))
        return damaged

    with ThreadPoolExecutor(threads) as pool:
        for start, damaged in zip(
            starts := range(0, len(images), ROWS), pool.map(fill, starts), strict=True
        ):
            problems += damaged
            progress.advance(min(ROWS, len(images) - start))
    if problems:
        more = f"; and {len(problems) - NAMED:,} more" if problems[NAMED:] else ""
        raise BenchmarkError(
            f"{len(problems):,} of {len(images):,} images cannot be read: {'; '.join(problems[:NAMED])}{more}"
        )
    array.flush()
