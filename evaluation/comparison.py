"""The mean of one set of codes with its interval, and the test of two sets of codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .errors import EvaluationError
from .inputs import as_array
from .significance import Floats, Variance, estimate, interval, over_queries, over_seeds


@dataclass(frozen=True)
class Comparison:
    """The difference of two means over the same queries.

    Attributes
    ----------
    mean, other : float
        The two means.
    difference : float
        mean - other.
    low, high : float
        Ends of the 95 % interval of the difference.
    p : float
        Two-sided p value of the test of no difference, without a correction for several tests.
    """

    mean: float
    other: float
    difference: float
    low: float
    high: float
    p: float


def compared(values: ArrayLike, other: ArrayLike) -> Comparison:
    """See `bgan_bench.compare`."""
    runs, other_runs = _runs(values, "values"), _runs(other, "other")
    if runs.shape[1] != other_runs.shape[1]:
        raise EvaluationError(
            f"values of {runs.shape[1]} and {other_runs.shape[1]} queries: expected the same "
            "queries. Pass what `per_query` returns for one metric"
        )
    differences = runs.mean(axis=0) - other_runs.mean(axis=0)
    variances = _of_seeds(runs), _of_seeds(other_runs)
    difference = estimate(differences.mean(), over_queries(differences), *variances)
    low, high = difference.interval()
    return Comparison(
        mean=float(runs.mean()),
        other=float(other_runs.mean()),
        difference=float(difference.value),
        low=float(low),
        high=float(high),
        p=float(difference.p),
    )


def mean_interval(values: ArrayLike) -> tuple[float, float, float]:
    """See `bgan_bench.mean_interval`."""
    runs = _runs(values, "values")
    mean = float(runs.mean())
    low, high = interval(mean, over_queries(runs.mean(axis=0)), _of_seeds(runs))
    return mean, float(low), float(high)


def _runs(values: ArrayLike, name: str) -> Floats:
    """Return values of each query as float64 (S, Q)."""
    array = as_array(values, name)
    if array.ndim not in (1, 2) or not array.size or array.dtype.kind not in "biuf":
        raise EvaluationError(
            f"{name} are {array.dtype} {array.shape}: expected a number for each query, (queries,) "
            "or (seeds, queries)"
        )
    if not np.isfinite(array).all():
        raise EvaluationError(f"{name} have nan or infinite values: expected finite numbers")
    return np.atleast_2d(array).astype(np.float64)


def _of_seeds(runs: Floats) -> Variance:
    """Return the variance over seeds of the mean of the runs (S, Q); 0 with one seed."""
    seeds = len(runs)
    variance = float(runs.mean(axis=1).var(ddof=1)) if seeds > 1 else 0.0
    variances = over_seeds([variance], [seeds])
    return Variance(variances.values[0], variances.freedom[0])
