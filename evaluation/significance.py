"""Confidence intervals of the mean average precision, and tests of differences.

A cell of a table, one variant at one code length, has average precision (S, Q): S seeds, Q queries.
All cells of a data set and its features have the same queries; the seeds of two methods are
independent. Queries and seeds are both samples: the variance of a mean is the variance over queries
plus the variance over seeds. The split is fixed. The intervals do not cover another choice of
queries or of training images from the data set.

All functions take arrays of any leading shape, so that ``benchmarks/significance.py`` simulates
thousands of experiments with the code that the tables use.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95
POWER = 0.8  # of the smallest difference that a test detects
POOLED_SEEDS = 5  # from this number of seeds, a test has the freedom of the pooled variance

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Variance:
    """Estimated variances of means.

    Parameters
    ----------
    values : ndarray of float64
        0 where there is nothing to estimate from, such as a single seed.
    freedom : ndarray of float64
        Degrees of freedom of each estimate, at least 1.
    """

    values: Floats
    freedom: Floats


@dataclass(frozen=True)
class Estimate:
    """A difference of two means, with its standard error.

    Parameters
    ----------
    value, error : ndarray of float64
    freedom : ndarray of float64
        Degrees of freedom of `error`.
    """

    value: Floats
    error: Floats
    freedom: Floats

    @property
    def p(self) -> Floats:
        """Two-sided p value of the t-test of no difference. Without variance, 1 or 0."""
        certain = self.error == 0
        statistic = np.abs(self.value) / np.where(certain, 1, self.error)
        p: Floats = np.where(certain, self.value == 0, 2 * stdtr(self.freedom, -statistic))
        return p

    def interval(self) -> tuple[Floats, Floats]:
        """Return the ends of the interval of CONFIDENCE, clipped to -1 and 1."""
        half = self._quantile((1 + CONFIDENCE) / 2) * self.error
        return np.maximum(-1, self.value - half), np.minimum(1, self.value + half)

    def detectable(self, comparisons: int) -> Floats:
        """Return the smallest true difference that a test detects with probability POWER.

        Parameters
        ----------
        comparisons : int
            Number of comparisons at one of which the test is, after Bonferroni's correction.
        """
        level = (1 - CONFIDENCE) / comparisons
        quantiles = self._quantile(1 - level / 2) + self._quantile(POWER)
        smallest: Floats = quantiles * self.error
        return smallest

    def _quantile(self, probability: float) -> Floats:
        quantile: Floats = stdtrit(self.freedom, probability)
        return quantile


def over_queries(average_precision: ArrayLike) -> Variance:
    """Return the variance over queries of the means of `average_precision` (..., Q).

    The average precision of a query, or its difference between two methods, is the mean over seeds.
    With one query the variance is infinite.
    """
    values = np.asarray(average_precision, np.float64)
    queries = values.shape[-1]
    if queries == 1:
        return Variance(np.full(values.shape[:-1], np.inf), np.ones(values.shape[:-1]))
    variances = values.var(axis=-1, ddof=1) / queries
    return Variance(variances, np.full(variances.shape, queries - 1.0))


def over_seeds(variances: ArrayLike, seeds: ArrayLike) -> Variance:
    """Return the variance over seeds of the mean of each cell, from this cell alone.

    Parameters
    ----------
    variances : array_like of float, shape (..., L)
        Sample variance (n - 1) of the seeds at each of L code lengths; ignored with one seed.
    seeds : array_like of int, shape (L,)
        Number of seeds at each code length.
    """
    counts = np.asarray(seeds)
    values = np.where(counts > 1, variances, 0.0) / counts
    return Variance(values, np.broadcast_to(np.maximum(counts - 1.0, 1), values.shape))


def over_seeds_pooled(variances: ArrayLike, seeds: ArrayLike) -> Variance:
    """Return the variance over seeds of the mean of each cell, for tests.

    The variance of a few seeds is sometimes far too small by chance. So each cell has the larger of
    its own variance and the one that is pooled over the code lengths of the method. Its freedom is
    the pooled one. With fewer than POOLED_SEEDS seeds that would reject too often, so that a cell
    whose own variance is the larger has its own freedom. ``benchmarks/significance.py`` shows the
    rates of both.

    Parameters and the returned object are those of `over_seeds`.
    """
    own = over_seeds(variances, seeds)
    counts = np.asarray(seeds)
    weights = np.maximum(counts - 1.0, 0)
    if not weights.any():
        return own

    squares = np.where(counts > 1, variances, 0.0) * weights
    pooled = squares.sum(axis=-1, keepdims=True) / weights.sum() / counts
    own_is_larger = (own.values >= pooled) & (counts < POOLED_SEEDS)
    freedom = np.where(own_is_larger, own.freedom, weights.sum())
    values = np.where(counts > 1, np.maximum(own.values, pooled), 0.0)
    return Variance(values, freedom)


def estimate(value: ArrayLike, *variances: Variance) -> Estimate:
    """Return a difference whose variance is the sum of independent variances.

    The degrees of freedom are those of Satterthwaite. The effect of a seed on a single query is
    part of the variances over queries and over seeds, so the error is slightly too large.

    References
    ----------
    Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics
    Bulletin 1946. Smucker, Allan & Carterette, "A comparison of statistical significance tests for
    information retrieval evaluation", CIKM 2007: on average precision the t-test agrees with the
    randomisation test.
    """
    total = sum((variance.values for variance in variances), np.zeros(()))
    defined = (total > 0) & np.isfinite(total)
    scale = np.where(defined, total, 1)
    shares = [np.where(defined, variance.values, 0) / scale for variance in variances]
    reciprocals = sum(
        (share**2 / variance.freedom for share, variance in zip(shares, variances, strict=True)),
        np.zeros(()),
    )
    freedom = np.where(defined, 1 / np.where(defined, reciprocals, 1), 1)
    return Estimate(np.asarray(value, np.float64), np.sqrt(total), freedom)


def interval(mean: ArrayLike, *variances: Variance) -> tuple[Floats, Floats]:
    """Return the ends of the interval of CONFIDENCE of a mean, clipped to 0 and 1.

    The square of its half width is the sum of the squares of the half widths that each variance
    would give alone. So it covers the mean with few seeds too, where Satterthwaite's degrees of
    freedom do not.

    References
    ----------
    Graybill & Wang, "Confidence intervals on nonnegative linear combinations of variances", Journal
    of the American Statistical Association 1980.
    """
    squares = np.zeros(())
    for variance in variances:
        quantile = stdtrit(variance.freedom, (1 + CONFIDENCE) / 2)
        squares = squares + quantile**2 * variance.values
    half = np.sqrt(squares)
    return np.maximum(0, mean - half), np.minimum(1, mean + half)
