"""Retrieved images and statistics of the codes, as data for the page."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.image import imsave

from harness.errors import BenchmarkError, one_line
from harness.plan import Place
from report.results import Pair, Results

SPRITES = 1_500_000  # bytes of all thumbnails on a page, which is less than 5 MB
METHODS = 24  # at most, of a data set and features
SIDE = 48  # pixels of a thumbnail at most; larger images are averaged down by a whole factor
ACROSS = 32  # thumbnails in a row of the sprite
BLOCK = (
    16  # pixels of JPEG's blocks: a thumbnail of its own blocks takes no colour from its neighbours
)
LOSSLESS = 28  # pixels up to which thumbnails are kept as they are
ARRAYS = ("first", "first_distance", "first_relevant", "first_tied", "ones", "correlation", "pairs")
UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Sprite:
    """Thumbnails of a data set in one picture, row by row: its data URI, and the width, height and distance of thumbnails in pixels."""

    uri: str
    width: int
    height: int
    across: int
    down: int


@dataclass(frozen=True)
class Gallery:
    """The section of one data set and features: `data` is what its script shows; sprite None where there are no pictures, `lacking` why."""

    name: str
    title: str
    sprite: Sprite | None
    lacking: str
    data: dict


def build(results: Results, source: Path) -> list[Gallery]:
    """A gallery for each data set and features of which a scoring job kept something below `source`/scores.

    Raises BenchmarkError for a file that cannot be read.
    """
    found = {pair: _kept(results, pair, source) for pair in results.pairs}
    shown = {pair: kept for pair, kept in found.items() if kept}
    return [_gallery(results, pair, kept, SPRITES // len(shown)) for pair, kept in shown.items()]


def _kept(results: Results, pair: Pair, source: Path) -> dict[str, dict]:
    """{variant: {"inspected": queries (m,), bits: arrays}} of the first done seed of each code length."""
    kept = {}
    for method in results.methods[:METHODS]:
        path = source / "scores" / pair.dataset / pair.features / method["name"] / "histograms.npz"
        runs = {
            bits: _first_done(results, (*pair, method["name"], bits))
            for bits in results.experiment["bits"]
        }
        arrays = (
            _read(path, {bits: run for bits, run in runs.items() if run})
            if path.is_file() and any(runs.values())
            else {}
        )
        if arrays:
            kept[method["name"]] = arrays
    return kept


def _first_done(results: Results, key: tuple) -> dict | None:
    return next((run for run in results.runs.get(key, []) if run["status"] == "done"), None)


def _read(path: Path, runs: dict[int, dict]) -> dict:
    try:
        with np.load(path, allow_pickle=False) as file:
            if "inspected" not in file:
                return {}
            return {"inspected": file["inspected"]} | {
                bits: {name: file[f"{bits}bit/seed{run['seed']}/{name}"] for name in ARRAYS}
                for bits, run in runs.items()
            }
    except UNREADABLE as error:
        raise BenchmarkError(
            f"{path} cannot be read ({one_line(error)}); delete it, and its job scores again"
        ) from None


def _gallery(results: Results, pair: Pair, kept: dict[str, dict], budget: int) -> Gallery:
    images, lacking = _images(pair)
    queries = next(iter(kept.values()))["inspected"]
    count, sprite = len(queries), None
    wanted = _wanted(kept, queries, count)
    while images is not None:
        sprite = _sprite(images, wanted)
        if len(sprite.uri) <= budget or count == 1:
            break
        count = max(1, min(count - 1, count * budget // len(sprite.uri)))
        wanted = _wanted(kept, queries, count)
    labels = {method["name"]: method["label"] for method in results.methods}
    return Gallery(
        name=f"gallery--{pair.file_part}",
        title=results.label(pair),
        sprite=sprite,
        lacking=lacking,
        data={
            "bits": results.experiment["bits"],
            "images": wanted.tolist(),
            "queries": np.searchsorted(wanted, queries[:count]).tolist(),
            "methods": [
                {"name": name, "label": labels[name], "lengths": _lengths(arrays, count, wanted)}
                for name, arrays in kept.items()
            ],
        },
    )


def _images(pair: Pair) -> tuple[np.ndarray | None, str]:
    """The images of a data set, memory-mapped; None, and why, where there are none."""
    path = Place(pair.dataset, pair.features).images
    if not path.is_file():
        return None, f"the images are not at {path}"
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise BenchmarkError(
            f"{path} cannot be read ({one_line(error)}); delete it, and its job makes it again"
        ) from None
    return (images, "") if images.size else (None, "this data set was prepared without images")


def _wanted(kept: dict[str, dict], queries: np.ndarray, count: int) -> np.ndarray:
    """Rows of the images that the first `count` queries show, each once, in the order of the data set."""
    items = [
        arrays[bits]["first"][:count].ravel()
        for arrays in kept.values()
        for bits in arrays
        if bits != "inspected"
    ]
    return np.unique(np.concatenate([queries[:count], *items]))


def _lengths(arrays: dict, count: int, wanted: np.ndarray) -> dict[int, dict]:
    return {bits: _length(arrays[bits], count, wanted) for bits in arrays if bits != "inspected"}


def _length(arrays: dict[str, np.ndarray], count: int, wanted: np.ndarray) -> dict:
    """What is shown of one method at one code length: items as places in `wanted`, pairs as shares of their kind, and of correlations
    those above the diagonal, row by row."""
    correlation = arrays["correlation"]
    pairs = arrays["pairs"] / np.maximum(1, arrays["pairs"].sum(axis=1, keepdims=True))
    upper = correlation[np.triu_indices(len(correlation), 1)]
    apart = np.abs(upper.astype(np.int64)) if upper.size else np.zeros(1, np.int64)
    return {
        "items": np.searchsorted(wanted, arrays["first"][:count]).tolist(),
        "distances": arrays["first_distance"][:count].tolist(),
        "relevant": arrays["first_relevant"][:count].astype(int).tolist(),
        "tied": arrays["first_tied"][:count].tolist(),
        "ones": np.rint(100 * arrays["ones"]).astype(int).tolist(),
        "side": len(correlation),
        "correlation": base64.b64encode(upper.tobytes()).decode(),
        "correlated": [round(float(apart.mean()) / 100, 3), int(apart.max()) / 100],
        "pairs": np.round(pairs, 5).tolist(),
    }


def _sprite(images: np.ndarray, rows: np.ndarray) -> Sprite:
    thumbnails = np.stack(
        [_thumbnail(np.asarray(images[row])) for row in rows]
    )  # (n, height, width, 3)
    n, height, width, _ = thumbnails.shape
    lossless = max(height, width) <= LOSSLESS
    down, across = (
        (height, width) if lossless else (-(-side // BLOCK) * BLOCK for side in (height, width))
    )
    tall = -(-n // ACROSS)
    padding = ((0, tall * ACROSS - n), (0, down - height), (0, across - width), (0, 0))
    tiles = np.pad(thumbnails, padding, mode="edge").reshape(tall, ACROSS, down, across, 3)
    picture = np.ascontiguousarray(
        tiles.transpose(0, 2, 1, 3, 4).reshape(tall * down, ACROSS * across, 3)
    )
    kind, options = ("png", {"optimize": True}) if lossless else ("jpeg", {"quality": 80})
    buffer = io.BytesIO()
    imsave(
        buffer,
        picture,
        format=kind,
        pil_kwargs=options,
        **({"metadata": {"Software": None}} if lossless else {}),
    )
    return Sprite(
        f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}",
        width,
        height,
        across,
        down,
    )


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """An image (h, w, 3) uint8 as it is, or the mean of squares of pixels so that it has at most SIDE of them."""
    factor = -(-max(image.shape[:2]) // SIDE)
    if factor == 1:
        return image
    height, width = (side // factor for side in image.shape[:2])
    squares = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    return np.rint(squares.mean(axis=(1, 3))).astype(np.uint8)
