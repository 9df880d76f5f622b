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
    fit: Callable, opened: _runtime.Opened, train: np.ndarray, limit: int | None, seed: int
) -> dict[str, np.ndarray]:
    """Return the arguments of `fit`, whose features have each view as a row.

    Parameters
    ----------
    fit : callable
    opened : dict
        With ``views`` (m, n_train, d), which become features (m * n_train, d).
    train : ndarray of int64, shape (n_train,)
        Rows of the other arrays.
    limit : int or None
        Maximum number of rows of the features, a random subset. None for all rows.
    seed : int
    """
    views = opened["views"]()
    pool = views.reshape(-1, views.shape[-1])
    rows = _runtime.training_rows(np.arange(len(pool)), limit, seed)
    features = _runtime.read_only(_runtime.rows_of(lambda: pool, rows))
    return training_arrays(fit, opened, train) | {"features": features}
