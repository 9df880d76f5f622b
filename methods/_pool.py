"""The views of the training images as `fit` gets them.

This file decides the codes of methods that read views and of variants that are fitted on them, and
of no others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from methods import _runtime

WHOLE = ("neighbours", "views")  # arrays of the training images alone


def training_arrays(
    fit: Callable, opened: _runtime.Opened, train: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the arguments of a `fit` that reads views: rows `train`, but all of `WHOLE`."""
    arrays = {}
    for name in _runtime.arguments(fit):
        array = opened[name]() if name in WHOLE else _runtime.rows_of(opened[name], train)
        arrays[name] = _runtime.read_only(array)
    return arrays


def pooled_arrays(
    fit: Callable, opened: _runtime.Opened, limit: int | None, seed: int
) -> dict[str, np.ndarray]:
    """Return the features on which a method is fitted that takes each view as a row.

    Parameters
    ----------
    fit : callable
        Its only argument is ``features``.
    opened : dict
        With ``views`` (m, n_train, d), which become rows (m * n_train, d).
    limit : int or None
        Maximum number of rows, a random subset. None for all rows.
    seed : int
    """

    def rows() -> np.ndarray:
        views = opened["views"]()
        return views.reshape(-1, views.shape[-1])

    pool = _runtime.training_rows(np.arange(len(rows())), limit, seed)
    return _runtime.training_arrays(fit, {"features": rows}, pool)
