"""Confidence intervals of the mean average precision, tests of differences and their correction.

A cell of a table, one variant at one code length, has average precision (S, Q): S seeds, Q queries.
All cells of a data set and its features have the same queries; the seeds of two methods are
independent. Queries and seeds are both samples: the variance of a mean is the variance over queries
plus the variance over seeds. The split is fixed. The intervals do not cover another choice of
queries or of training images from the data set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Cell:
    """One variant at one code length.

    Parameters
    ----------
    average_precision : ndarray of shape (S, Q), float64
    complete : bool
        Whether all planned seeds are present.
    tested : bool
        Whether there are enough seeds for a test, or the method has no randomness.
    """

    average_precision: np.ndarray
    complete: bool
    tested: bool

    @property
    def of_queries(self) -> np.ndarray:
        return self.average_precision.mean(axis=0)  # (Q,)

    @property
    def of_seeds(self) -> np.ndarray:
        return self.average_precision.mean(axis=1)  # (S,)


@dataclass(frozen=True)
class Estimate:
    """A mean of average precision, or the difference of two means.

    Parameters
    ----------
    value : float
    error : float
        Standard error of `value`.
    freedom : float
        Degrees of freedom of `error`.
    """

    value: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """Two-sided p value of the t-test of no difference. Without variance, 1 or 0."""
        if self.error == 0:
            return float(self.value == 0)
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.error))

    def interval(self, lowest: float) -> tuple[float, float]:
        """Return the ends of the interval of CONFIDENCE, clipped to `lowest` and 1."""
        half = float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2)) * self.error
        return max(lowest, self.value - half), min(1.0, self.value + half)


def estimate(of_queries: np.ndarray, *of_seeds: np.ndarray) -> Estimate:
    """Return the mean over queries, with the variance over queries and over each group of seeds.

    For the difference of two methods the queries are paired, and the groups are the means of the
    seeds of each method. The variances add; their degrees of freedom are those of Satterthwaite.
    A group of one seed has no variance and is left out. The effect of a seed on a single query is
    part of both variances, so the error is slightly too large. With one query the error is
    infinite.

    Parameters
    ----------
    of_queries : ndarray of shape (Q,), float64
        Average precision, or its difference, of each query.
    *of_seeds : ndarray of shape (S,), float64
        Mean average precision of each seed of one method.

    Returns
    -------
    Estimate

    References
    ----------
    Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics
    Bulletin 1946. Smucker, Allan & Carterette, "A comparison of statistical significance tests for
    information retrieval evaluation", CIKM 2007: on average precision the t-test agrees with the
    randomisation test.
    """
    value = float(of_queries.mean())
    samples = [of_queries, *(seeds for seeds in of_seeds if len(seeds) > 1)]
    if len(of_queries) == 1:
        return Estimate(value, math.inf, 1)

    variances = np.array([sample.var(ddof=1) / len(sample) for sample in samples])
    if not variances.any():
        return Estimate(value, 0, 1)

    shares = variances / variances.sum()
    parts = zip(shares, samples, strict=True)
    freedom = 1 / sum(share**2 / (len(sample) - 1) for share, sample in parts)
    return Estimate(value, math.sqrt(variances.sum()), float(freedom))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return each p value after Holm's step-down correction over all of them.

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 1979.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    ascending = np.asarray(p_values, np.float64)[order]

    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(ascending * factors))
    return corrected.tolist()
