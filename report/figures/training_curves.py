"""Training curves of a run, and images reconstructed from its codes."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator

from harness.errors import BenchmarkError
from report.figures.figure import Figure, finished
from report.figures.parallel import in_parallel
from report.figures.plot_style import COLOURS, canvas_of, report_style
from report.results import Pair, Results

# The most sections of a data set and features, and of the page: a section has 0.16 MB, and the page
# stays below 5 MB.
METHODS_SHOWN, SECTIONS = 12, 18
IMAGES_PER_ROW = 8
SIDE = 64  # pixels that an image is enlarged to, by a whole factor, or thinned to
GAP = 4  # transparent pixels around an image
PICTURES = {
    "originals": "Training images",
    "rebuilt": "Rebuilt from their binary codes",
    "sampled": "From random codes",
}
CURVES = ("curves", "curve_names")
# What zipfile and NumPy raise for a damaged file.
UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Training:
    """A section on the training of one run.

    Attributes
    ----------
    name, title, note : str
    curves : Figure or None
        Curves of the losses, if the run has any.
    strip : str
        Images as the data URI of a PNG, empty if the run has none.
    rows : list of str
        What each row of the strip shows.
    """

    name: str
    title: str
    note: str
    curves: Figure | None
    strip: str
    rows: list[str]

    @property
    def figures(self) -> list[Figure]:
        return [self.curves] if self.curves else []


def draw(results: Results, processes: int = 1) -> list[Training]:
    """Return the sections on training.

    For each data set and features they are of the first `methods_shown` methods with curves or
    images, each by its first done run of the longest codes.

    Raises
    ------
    BenchmarkError
        If an extras.npz cannot be read.
    """
    jobs = [job for pair in results.pairs for job in _sections(results, pair)]
    with report_style():
        return in_parallel(jobs, processes)


def _sections(results: Results, pair: Pair) -> list[Callable[[], Training]]:
    """Return a job for each section of a data set and features."""
    sections = []
    for method in results.methods:
        run = _first_run(results, pair, method["name"])
        extras = _read(Path(run["folder"]) / "extras.npz") if run else {}
        if extras:
            sections.append(partial(_training, results, pair, method, run, extras))
        if len(sections) == methods_shown(results):
            break

    return sections


def methods_shown(results: Results) -> int:
    """Return how many methods of a data set and features have a section."""
    return max(1, min(METHODS_SHOWN, SECTIONS // len(results.pairs)))


def _first_run(results: Results, pair: Pair, variant: str) -> dict | None:
    """Return the first done run of the longest codes of a method, if there is one."""
    longest = max(results.lengths(pair, variant), default=0)
    runs = results.runs.get((*pair, variant, longest), [])
    return next((run for run in runs if run["status"] == "done"), None)


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays that a section shows; none if there is no such file."""
    if not path.is_file():
        return {}

    try:
        with np.load(path, allow_pickle=False) as file:
            extras = {name: file[name] for name in (*CURVES, *PICTURES) if name in file}
    except UNREADABLE as error:
        raise _damaged(path, f"cannot be read ({error})") from None

    _check_curves(path, extras)
    _check_pictures(path, extras)
    return extras


def _check_curves(path: Path, extras: dict[str, np.ndarray]) -> None:
    if not set(CURVES) & set(extras):
        return
    curves, names = (extras.get(name, np.empty(0)) for name in CURVES)
    names_fit = names.dtype.kind == "U" and names.shape == curves.shape[1:]
    numbers_fit = curves.ndim == 2 and curves.size and curves.dtype == np.float32
    if not (names_fit and numbers_fit and np.isfinite(curves).all()):
        arrays = f"curves {curves.dtype} {curves.shape} and curve_names {names.dtype} {names.shape}"
        raise _damaged(path, f"has {arrays}, expected finite float32 (epochs, n) and str (n,)")


def _check_pictures(path: Path, extras: dict[str, np.ndarray]) -> None:
    pictures = {name: extras[name] for name in PICTURES if name in extras}
    for name, images in pictures.items():
        is_rgb = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3
        same_shape = images.shape == next(iter(pictures.values())).shape
        if not (is_rgb and images.size and same_shape):
            raise _damaged(
                path,
                f"has {name} {images.dtype} {images.shape}, expected uint8 (m, h, w, 3), the same "
                "for all pictures",
            )


def _damaged(path: Path, problem: str) -> BenchmarkError:
    return BenchmarkError(f"{path} {problem}: delete the folder of this run and rerun the command")


def _training(
    results: Results, pair: Pair, method: dict, run: dict, extras: dict[str, np.ndarray]
) -> Training:
    name = f"training--{pair.file_part}--{method['name']}"
    title = f"Training of {method['label']}: {results.label(pair)}"
    note = f"{run['bits']} bits, seed {run['seed']}"

    curves, strip = None, ""
    if "curves" in extras:
        curves = _curves(name, title, note, extras["curves"], extras["curve_names"])

    pictures = [picture for picture in PICTURES if picture in extras]
    if pictures:
        strip = _data_uri(_strip([extras[picture] for picture in pictures]))

    rows = [PICTURES[picture] for picture in pictures]
    return Training(name, title, note, curves, strip, rows)


def _curves(name: str, title: str, note: str, curves: np.ndarray, names: np.ndarray) -> Figure:
    """Draw a panel for each curve: curves (epochs, n) float32, names (n,) str."""
    canvas, axes = canvas_of(len(names), [])
    epochs = np.arange(1, len(curves) + 1)
    for axis, label, curve in zip(axes, names.tolist(), curves.T, strict=True):
        axis.plot(epochs, curve, color=COLOURS[0], marker="o" if len(epochs) == 1 else None)
        axis.set_title(label, y=1.0)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    caption = f"Quantities recorded during training, mean of each epoch ({note})."
    return finished(canvas, name, title, caption)


def _strip(rows: list[np.ndarray]) -> np.ndarray:
    """Return images as one picture with transparent gaps.

    Parameters
    ----------
    rows : list of ndarray, shape (m, h, w, 3), uint8

    Returns
    -------
    ndarray, shape (height, width, 4), uint8
    """
    side = max(rows[0].shape[1:3])
    step, factor = -(-side // SIDE), max(1, SIDE // side)
    images = np.stack([row[:IMAGES_PER_ROW, ::step, ::step] for row in rows])  # (rows, m, h, w, 3)
    enlarged = images.repeat(factor, axis=2).repeat(factor, axis=3)
    opaque = np.concatenate([enlarged, np.full_like(enlarged[..., :1], 255)], axis=-1)

    gaps = ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0))
    tiles = np.pad(opaque, gaps).transpose(0, 2, 1, 3, 4)  # (rows, height, m, width, 4)
    return tiles.reshape(tiles.shape[0] * tiles.shape[1], -1, 4)[:-GAP, :-GAP]


def _data_uri(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    options = {"metadata": {"Software": None}, "pil_kwargs": {"optimize": True}}
    imsave(buffer, picture, format="png", **options)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
