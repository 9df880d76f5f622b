"""Training curves of a run, and images reconstructed from its codes."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator

from harness.errors import BenchmarkError
from report.figures.figure import Figure, finished
from report.figures.parallel import in_parallel
from report.figures.plot_style import COLOURS, STYLE, canvas_of
from report.results import Pair, Results

METHODS_SHOWN, SECTIONS = (
    12,
    18,
)  # at most, of a data set and features, and on the page: a section has 0.16 MB, the page less than 5
ROW = 8
SIDE = 64  # pixels that an image is enlarged to, by a whole factor, or thinned to
GAP = 4  # transparent pixels around an image
PICTURES = {
    "originals": "Training images",
    "rebuilt": "Rebuilt from their binary codes",
    "sampled": "From random codes",
}
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)  # what zipfile and NumPy raise for damage


@dataclass(frozen=True)
class Training:
    """A section on the training of one run: `curves` of its losses, and a `strip` of images, the data URI of a PNG, named row by row.

    curves is None, and strip empty, where the run kept none.
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
    """For each data set and features the first `methods_shown` that kept something, by their first done run of the longest codes.

    Raises BenchmarkError for an extras.npz that cannot be read.
    """
    with matplotlib.rc_context(STYLE):
        jobs = [
            partial(_training, results, *shown)
            for pair in results.pairs
            for shown in _shown(results, pair)
        ]
        return in_parallel(jobs, processes)


def methods_shown(results: Results) -> int:
    """How many methods of a data set and features have a section: METHODS_SHOWN, or fewer where several share the page."""
    return max(1, min(METHODS_SHOWN, SECTIONS // len(results.pairs)))


def _shown(results: Results, pair: Pair) -> list[tuple[Pair, dict, dict, dict[str, np.ndarray]]]:
    """The data set and features, method, run and arrays of each section."""
    found = [
        (pair, method, run, extras)
        for method in results.methods
        for run, extras in _kept(results, pair, method["name"])
    ]
    return found[: methods_shown(results)]


def _kept(results: Results, pair: Pair, variant: str) -> list[tuple[dict, dict[str, np.ndarray]]]:
    """The run to show and its arrays; nothing where it kept none that is shown."""
    runs = [
        run
        for run in results.runs.get((*pair, variant, max(results.experiment["bits"])), [])
        if run["status"] == "done"
    ]
    extras = _read(Path(runs[0]["folder"]) / "extras.npz") if runs else {}
    return [(runs[0], extras)] if extras else []


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an extras.npz that a section shows; none where there is no such file. Raises BenchmarkError where it is damaged."""
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            extras = {
                name: file[name] for name in ("curves", "curve_names", *PICTURES) if name in file
            }
    except UNREADABLE as error:
        raise _damaged(path, f"cannot be read ({error})") from None
    _check_curves(path, extras)
    _check_pictures(path, extras)
    return extras


def _check_curves(path: Path, extras: dict[str, np.ndarray]) -> None:
    if not {"curves", "curve_names"} & set(extras):
        return
    curves, names = (extras.get(name, np.empty(0)) for name in ("curves", "curve_names"))
    named = names.dtype.kind == "U" and names.shape == curves.shape[1:]
    if not (
        named
        and curves.ndim == 2
        and curves.size
        and curves.dtype == np.float32
        and np.isfinite(curves).all()
    ):
        what = f"curves {curves.dtype} {curves.shape} and curve_names {names.dtype} {names.shape}"
        raise _damaged(path, f"holds {what}, expected finite float32 (epochs, n) and str (n,)")


def _check_pictures(path: Path, extras: dict[str, np.ndarray]) -> None:
    pictures = {name: extras[name] for name in PICTURES if name in extras}
    for name, images in pictures.items():
        fits = (
            images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3 and images.size
        )
        if not fits or images.shape != next(iter(pictures.values())).shape:
            raise _damaged(
                path,
                f"holds {name} {images.dtype} {images.shape}, expected uint8 (m, h, w, 3), the same for all pictures",
            )


def _damaged(path: Path, what: str) -> BenchmarkError:
    return BenchmarkError(f"{path} {what}; remove the folder of this run, and it is made again")


def _training(
    results: Results, pair: Pair, method: dict, run: dict, extras: dict[str, np.ndarray]
) -> Training:
    name = f"training--{pair.file_part}--{method['name']}"
    title = f"Training of {method['label']}: {results.label(pair)}"
    note = f"{run['bits']} bits, seed {run['seed']}"
    rows = [picture for picture in PICTURES if picture in extras]
    return Training(
        name=name,
        title=title,
        note=note,
        curves=_curves(name, title, note, extras["curves"], extras["curve_names"])
        if "curves" in extras
        else None,
        strip=_data_uri(_strip([extras[picture] for picture in rows])) if rows else "",
        rows=[PICTURES[picture] for picture in rows],
    )


def _curves(name: str, title: str, note: str, curves: np.ndarray, names: np.ndarray) -> Figure:
    """A panel each of curves (epochs, n) float32, names (n,) str."""
    canvas, axes = canvas_of(len(names), [])
    epochs = np.arange(1, len(curves) + 1)
    for axis, label, curve in zip(axes, names.tolist(), curves.T, strict=True):
        axis.plot(epochs, curve, color=COLOURS[0], marker="o" if len(epochs) == 1 else None)
        axis.set_title(label, y=1.0)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return finished(
        canvas, name, title, f"What was followed in training, {note}: mean of each epoch."
    )


def _strip(rows: list[np.ndarray]) -> np.ndarray:
    """Images (m, h, w, 3) uint8, a row of the strip each, as one (height, width, 4) uint8 picture with transparent gaps."""
    side = max(rows[0].shape[1:3])
    step, factor = -(-side // SIDE), max(1, SIDE // side)
    images = np.stack([row[:ROW, ::step, ::step] for row in rows])  # (rows, m, h, w, 3)
    enlarged = images.repeat(factor, axis=2).repeat(factor, axis=3)
    opaque = np.concatenate([enlarged, np.full_like(enlarged[..., :1], 255)], axis=-1)
    gaps = ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0))
    tiles = np.pad(opaque, gaps).transpose(0, 2, 1, 3, 4)  # (rows, height, m, width, 4)
    return tiles.reshape(tiles.shape[0] * tiles.shape[1], -1, 4)[:-GAP, :-GAP]


def _data_uri(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    imsave(
        buffer, picture, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True}
    )
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
