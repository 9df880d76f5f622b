"""Retrieved images and statistics of the codes, as data for the page."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.image import imsave

from harness.errors import BenchmarkError, one_line
from harness.plan import Place
from report.figures.plot_style import report_style
from report.results import Pair, Results

SPRITES = 1_500_000  # bytes of all thumbnails on a page, which stays below 5 MB
METHODS = 24  # at most, of a data set and features
SIDE = 48  # pixels of a thumbnail at most; larger images are averaged down by a whole factor
ACROSS = 32  # thumbnails in a row of the sprite
# Pixels of JPEG's blocks: a thumbnail of its own blocks takes no colour from its neighbours.
BLOCK = 16
LOSSLESS = 28  # pixels up to which thumbnails are stored without loss
INSPECTED = "inspected"
ARRAYS = ("first", "first_distance", "first_relevant", "first_tied", "ones", "correlation", "pairs")
UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)

# {"inspected": queries (m,), code length: {name of ARRAYS: array}} of one method.
Inspection = dict[str | int, np.ndarray | dict[str, np.ndarray]]


@dataclass(frozen=True)
class Sprite:
    """Thumbnails of a data set in one picture, row by row.

    Attributes
    ----------
    uri : str
        Data URI.
    width, height : int
        Size of a thumbnail in pixels.
    across, down : int
        Distance of thumbnails in pixels.
    """

    uri: str
    width: int
    height: int
    across: int
    down: int


@dataclass(frozen=True)
class Gallery:
    """The section of one data set and features.

    Attributes
    ----------
    name, title : str
    sprite : Sprite or None
        None if there are no images.
    no_images : str
        The reason why there are none.
    data : dict
        What the script of the page shows.
    """

    name: str
    title: str
    sprite: Sprite | None
    no_images: str
    data: dict


def build(results: Results, source: Path) -> list[Gallery]:
    """Return a gallery for each data set and features with inspected queries.

    Parameters
    ----------
    results : Results
    source : Path
        Folder of the results; scores are below `source`/scores.

    Raises
    ------
    BenchmarkError
        If a file cannot be read.
    """
    inspections = {}
    for pair in results.pairs:
        inspection = _inspections(results, pair, source)
        if inspection:
            inspections[pair] = inspection

    with report_style():
        return [
            _gallery(results, pair, inspection, SPRITES // len(inspections))
            for pair, inspection in inspections.items()
        ]


def _inspections(results: Results, pair: Pair, source: Path) -> dict[str, Inspection]:
    """Return {variant: arrays} of the first done seed of each code length."""
    inspections = {}
    for method in results.methods[:METHODS]:
        name = method["name"]
        runs = {}
        for bits in results.experiment["bits"]:
            group = results.runs.get((*pair, name, bits), [])
            done = [run for run in group if run["status"] == "done"]
            if done:
                runs[bits] = done[0]

        path = source / "scores" / pair.dataset / pair.features / name / "histograms.npz"
        if runs and path.is_file():
            inspections[name] = _read(path, runs)

    return {name: inspection for name, inspection in inspections.items() if inspection}


def _read(path: Path, runs: dict[int, dict]) -> Inspection:
    inspection: Inspection = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            if INSPECTED not in file:
                return {}
            inspection[INSPECTED] = file[INSPECTED]
            for bits, run in runs.items():
                prefix = f"{bits}bit/seed{run['seed']}"
                inspection[bits] = {name: file[f"{prefix}/{name}"] for name in ARRAYS}
    except UNREADABLE as error:
        raise BenchmarkError(
            f"{path} cannot be read ({one_line(error)}): delete it and rerun the command"
        ) from None

    return inspection


def _gallery(
    results: Results, pair: Pair, inspections: dict[str, Inspection], budget: int
) -> Gallery:
    """Return the gallery with as many queries as the sprite of `budget` bytes can show."""
    images, no_images = _images(pair)
    queries = next(iter(inspections.values()))[INSPECTED]
    count, sprite = len(queries), None
    rows = _image_rows(inspections, queries, count)
    while images is not None:
        sprite = _sprite(images, rows)
        if len(sprite.uri) <= budget or count == 1:
            break
        count = max(1, min(count - 1, count * budget // len(sprite.uri)))
        rows = _image_rows(inspections, queries, count)

    labels = {method["name"]: method["label"] for method in results.methods}
    methods = []
    for name, inspection in inspections.items():
        lengths = {
            bits: _length_data(arrays, count, rows) for bits, arrays in _by_length(inspection)
        }
        methods.append({"name": name, "label": labels[name], "lengths": lengths})

    return Gallery(
        name=f"gallery--{pair.file_part}",
        title=results.label(pair),
        sprite=sprite,
        no_images=no_images,
        data={
            "bits": results.experiment["bits"],
            "images": rows.tolist(),
            "queries": np.searchsorted(rows, queries[:count]).tolist(),
            "methods": methods,
        },
    )


def _by_length(inspection: Inspection) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    return ((bits, arrays) for bits, arrays in inspection.items() if bits != INSPECTED)


def _images(pair: Pair) -> tuple[np.ndarray | None, str]:
    """Return the memory-mapped images of a data set; or None, and why there are none."""
    path = Place(pair.dataset, pair.features).images
    if not path.is_file():
        return None, f"{path} does not exist"

    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise BenchmarkError(
            f"{path} cannot be read ({one_line(error)}): delete it and rerun the command"
        ) from None

    return (images, "") if images.size else (None, "this data set was prepared without images")


def _image_rows(inspections: dict[str, Inspection], queries: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of the images that the first `count` queries show, sorted and unique."""
    rows = [queries[:count]]
    for inspection in inspections.values():
        rows += [arrays["first"][:count].ravel() for _, arrays in _by_length(inspection)]
    return np.unique(np.concatenate(rows))


def _length_data(arrays: dict[str, np.ndarray], count: int, rows: np.ndarray) -> dict:
    """Return what the page shows of one method at one code length.

    Items are positions in `rows`. Pairs are shares of their kind. Correlations are those above the
    diagonal, row by row, in percent.
    """
    correlation = arrays["correlation"]
    upper = correlation[np.triu_indices(len(correlation), 1)]
    magnitudes = np.abs(upper.astype(np.int64)) if upper.size else np.zeros(1, np.int64)
    pairs = arrays["pairs"] / np.maximum(1, arrays["pairs"].sum(axis=1, keepdims=True))
    return {
        "items": np.searchsorted(rows, arrays["first"][:count]).tolist(),
        "distances": arrays["first_distance"][:count].tolist(),
        "relevant": arrays["first_relevant"][:count].astype(int).tolist(),
        "tied": arrays["first_tied"][:count].tolist(),
        "ones": np.rint(100 * arrays["ones"]).astype(int).tolist(),
        "side": len(correlation),
        "correlation": base64.b64encode(upper.tobytes()).decode(),
        "correlated": [round(float(magnitudes.mean()) / 100, 3), int(magnitudes.max()) / 100],
        "pairs": np.round(pairs, 5).tolist(),
    }


def _sprite(images: np.ndarray, rows: np.ndarray) -> Sprite:
    thumbnails = np.stack([_thumbnail(np.asarray(images[row])) for row in rows])
    n, height, width, _ = thumbnails.shape
    lossless = max(height, width) <= LOSSLESS
    down, across = height, width
    if not lossless:
        down, across = (-(-side // BLOCK) * BLOCK for side in (height, width))

    tall = -(-n // ACROSS)
    padding = ((0, tall * ACROSS - n), (0, down - height), (0, across - width), (0, 0))
    tiles = np.pad(thumbnails, padding, mode="edge").reshape(tall, ACROSS, down, across, 3)
    grid = tiles.transpose(0, 2, 1, 3, 4)  # (tall, down, ACROSS, across, 3)
    picture = np.ascontiguousarray(grid.reshape(tall * down, ACROSS * across, 3))

    buffer = io.BytesIO()
    if lossless:
        options = {"metadata": {"Software": None}, "pil_kwargs": {"optimize": True}}
        imsave(buffer, picture, format="png", **options)
    else:
        imsave(buffer, picture, format="jpeg", pil_kwargs={"quality": 80})

    kind = "png" if lossless else "jpeg"
    uri = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Sprite(uri, width, height, across, down)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """Return an image (h, w, 3) uint8, averaged down to at most SIDE pixels a side."""
    factor = -(-max(image.shape[:2]) // SIDE)
    if factor == 1:
        return image
    height, width = (side // factor for side in image.shape[:2])
    cropped = image[: height * factor, : width * factor]
    squares = cropped.reshape(height, factor, width, factor, 3)
    return np.rint(squares.mean(axis=(1, 3))).astype(np.uint8)
