"""Quantised features, the reference lines: they are ranked by real values, and are no hash codes.

Both quantise the features of the control "exact-cosine": the mean of the training rows is
subtracted, and each row is scaled to length 1. Queries are not quantised, which makes the distance
asymmetric: it is the Euclidean distance of a query to the decoded row of an item.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from evaluation.controls import unit_rows
from harness.errors import BenchmarkError
from harness.variants import PRODUCT_QUANTISER

BLOCK = 8192  # rows at a time, which bounds the memory of float64
BITS_OF_PART = 8  # at most, of the code of a part of the dimensions
LARGEST_INT8 = 255  # the codes of a dimension are 0 to 255
ITERATIONS = 50  # of k-means


def decoded(
    quantiser: str, queries: np.ndarray, database: np.ndarray, train: np.ndarray, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the queries, and the rows of the database as their codes describe them.

    Items with equal codes have equal rows, so that they are ties of any distance.

    Parameters
    ----------
    quantiser : {"int8", "pq"}
        "int8" rounds each dimension to one of 256 equally spaced values between the extremes of the
        training rows.
        "pq" is product quantisation (Jégou, Douze and Schmid, TPAMI 2011): the dimensions are
        divided into consecutive parts, and each part of a row becomes the nearest of the centres
        that k-means finds in that part of the training rows.
    queries : ndarray of float, shape (Q, d)
        Features of the queries.
    database : ndarray of float, shape (N, d)
        Features of the database.
    train : ndarray of float, shape (n_train, d)
        Features of the training images.
    bits : int
        Length of the codes of "pq".

    Returns
    -------
    queries : ndarray of float32, shape (Q, d)
        Centred, of length 1.
    database : ndarray of float32, shape (N, d)
        Decoded.

    Raises
    ------
    BenchmarkError
        If a feature is not finite, or if there are more parts than dimensions.
    """
    centre = train.mean(axis=0, dtype=np.float64)
    queries, database, train = (_unit(rows, centre) for rows in (queries, database, train))
    if quantiser == PRODUCT_QUANTISER:
        return queries, _nearest_centres(database, train, bits)
    return queries, _rounded(database, train)


def _unit(features: np.ndarray, centre: np.ndarray) -> np.ndarray:
    rows = np.empty(features.shape, np.float32)
    for start in range(0, len(features), BLOCK):
        block = slice(start, start + BLOCK)
        rows[block] = unit_rows(features[block], centre)
    if not np.isfinite(rows).all():
        raise BenchmarkError("features have values that are not finite. Recompute the features")
    return rows


def _rounded(database: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the rows with each dimension rounded; values beyond the extremes become these."""
    lowest, highest = train.min(axis=0), train.max(axis=0)  # (d,)
    step = (highest - lowest) / LARGEST_INT8
    step[step == 0] = 1  # of a constant dimension, whose only code is 0
    codes = np.rint((np.clip(database, lowest, highest) - lowest) / step)
    return codes * step + lowest


def _nearest_centres(database: np.ndarray, train: np.ndarray, bits: int) -> np.ndarray:
    """Return the rows with each part of the dimensions replaced by its nearest centre."""
    from sklearn.cluster import KMeans  # here: a second, which other scoring jobs do without
    from sklearn.exceptions import ConvergenceWarning

    rows = np.empty_like(database)
    for dimensions, bits_of_part in parts(database.shape[1], bits):
        of_train = np.ascontiguousarray(train[:, dimensions])
        count = min(2**bits_of_part, len(train))
        with warnings.catch_warnings():
            # Fewer distinct rows than centres: some centres are equal.
            warnings.simplefilter("ignore", ConvergenceWarning)
            means = KMeans(count, n_init=1, max_iter=ITERATIONS, random_state=0).fit(of_train)

        codes = means.predict(np.ascontiguousarray(database[:, dimensions]))
        rows[:, dimensions] = means.cluster_centers_[codes]

    return rows


def parts(dimensions: int, bits: int) -> Iterator[tuple[slice, int]]:
    """Yield the dimensions of each part and the bits of its code.

    Parts are as few and as equal as possible: 12 bits are 6 and 6, and 20 bits are 7, 7 and 6.

    Raises
    ------
    BenchmarkError
        If there are more parts than dimensions.
    """
    count = -(-bits // BITS_OF_PART)
    if count > dimensions:
        raise BenchmarkError(
            f"{PRODUCT_QUANTISER}: the features have {dimensions} dimensions, expected at least "
            f"{count} for {bits} bits. Remove {bits} from `bits`, or {PRODUCT_QUANTISER} from "
            "`controls`"
        )

    for part in range(count):
        start, end = dimensions * part // count, dimensions * (part + 1) // count
        longer = part < bits % count
        yield slice(start, end), bits // count + longer
