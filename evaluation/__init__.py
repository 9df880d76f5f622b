"""Exact, tie-aware retrieval metrics of binary codes: arrays in, numbers out.

An installation names this package ``bgan_bench``.

- `score`: the mean of each metric over the queries
- `per_query`: the value of each metric for every query
- `precision_recall`: curves over Hamming radii or over ranks
- `mean_interval`, `compare`: intervals and tests of the values of `per_query`

The modules `relevance`, `histograms`, `metrics`, `presets` and `significance` are their steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .errors import EvaluationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    from .comparison import Comparison
    from .relevance import Relevance

__all__ = [
    "METRIC_VERSION",
    "Curve",
    "EvaluationError",
    "compare",
    "mean_interval",
    "per_query",
    "precision_recall",
    "score",
]

# Increase this when the definition of a metric, a preset or a test of differences changes, or when
# one is added. Values of two versions are never compared.
METRIC_VERSION = 5

LEFT_OUT = "queries_left_out"
INDEX = "query"


class Curve(NamedTuple):
    """Precision and recall, means over the queries.

    Attributes
    ----------
    at : ndarray of int64, shape (m,)
        Hamming radii or ranks.
    precision, recall : ndarray of float64, shape (m,)
    """

    at: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    metrics: Sequence[str] = ("map", "precision@100"),
    *,
    bits: int | None = None,
    ignore_label: int | None = None,
) -> dict[str, float]:
    """Return the mean of each metric over the queries with a relevant item in the database.

    Parameters
    ----------
    query_codes : array_like, shape (Q, bits), or of uint8, shape (Q, bytes)
        Codes of the queries: bool, 0 and 1, -1 and +1, or packed bytes of 8 bits each. PyTorch
        tensors are accepted.
    database_codes : array_like, shape (N, bits), or of uint8, shape (N, bytes)
        Codes of the database.
    query_labels : array_like, shape (Q,) or (Q, classes)
        Labels of the queries: class numbers from 0, or 0 and 1 for each class, in any type. An item
        is relevant to a query if it has the same label, or shares at least one class.
    database_labels : array_like, shape (N,) or (N, classes)
        Labels of the database.
    metrics : sequence of str, default ("map", "precision@100")
        Names of the metrics. 1000 stands for any number from 1 to N.

        - "map", "map_worst", "map_best", "map_chance", "relevant_share"
        - "map@1000[found]", "map@1000[min]", "map@1000[R]", "map@1000[hits]"
        - "precision@1000", "recall@1000"
        - "precision_r2", "recall_r2", "empty_r2": in the Hamming ball of radius 2
        - "ndcg@1000", "ndcg_linear@1000", "acg@1000": graded by the number of shared classes
        - "as-bgan", "as-deephash-pytorch", "as-hashnet", "as-deepbit", "as-trec",
          "as-landmarks": presets, which reproduce the conventions of other programs
        - "queries_left_out": the number of queries without a relevant item. The metrics do not
          average over them, but some presets do.
    bits : int, optional
        Length of packed codes, by default 8 for each byte.
    ignore_label : int, optional
        Label of junk: queries and database items with this class number are left out, as -1 marks
        items without a class in many data sets. They are not among "queries_left_out".

    Returns
    -------
    dict of str to float
        Value of each metric. All but the presets are exact expectations over random orders of
        ties.

    Raises
    ------
    EvaluationError
        If an array has other values or another shape, a metric is unknown, a cut is outside 1..N,
        no query has a relevant item, or a preset is undefined for these queries.

    See Also
    --------
    metrics : Definitions of the metrics.
    presets : Definitions of the presets.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[0, 0], [0, 1], [1, 1]])
    >>> labels = np.array([3, 3, 5])
    >>> score(codes[:1], codes[1:], labels[:1], labels[1:], metrics=["map", "precision@2"])
    {'map': 1.0, 'precision@2': 0.5}

    A database item without a class:

    >>> score(codes[:1], codes[1:], [3], [3, -1], metrics=["precision@1"], ignore_label=-1)
    {'precision@1': 1.0}
    """
    # Importing the package alone, for METRIC_VERSION, needs neither NumPy nor Numba.
    from .metrics import measure_all, parse
    from .presets import PRESETS, replay

    names = _names(metrics)
    special = (*PRESETS, LEFT_OUT)
    parsed = {name: parse(name, special) for name in names if name not in special}
    presets = [name for name in names if name in PRESETS]
    data = _prepared(query_codes, database_codes, query_labels, database_labels, bits, ignore_label)

    scores = {LEFT_OUT: float(data.left_out)}
    if parsed:
        values = measure_all(parsed.values(), *_histograms(data, parsed.values()))
        scores |= {name: float(values[key].mean()) for name, key in parsed.items()}

    replayed = {}
    if presets:
        replayed = replay(
            presets, data.queries, data.database, data.bits, data.relevance, data.left_out
        )
    for name, value in replayed.items():
        if value is None:
            raise EvaluationError(
                f"{name} drops queries without a hit in its first ranks, and no query has one. "
                "Choose another preset"
            )
        scores[name] = value
    return {name: scores[name] for name in names}


def per_query(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    metrics: Sequence[str] = ("map",),
    *,
    bits: int | None = None,
    ignore_label: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the value of each metric for every query with a relevant item in the database.

    Parameters
    ----------
    query_codes, database_codes, query_labels, database_labels, bits, ignore_label
        As in `score`.
    metrics : sequence of str, default ("map",)
        Names of metrics of `score`, except presets.

    Returns
    -------
    dict of str to ndarray
        Values of each metric, float64 (Q',), and "query": the indices of the Q' queries among the
        given ones, int64 (Q',).

    Raises
    ------
    EvaluationError
        As `score`, and for a preset, which is defined for all queries together.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[0, 0], [0, 1], [1, 1]])
    >>> values = per_query(codes, codes, [3, 3, 5], [3, 3, 5], metrics=["precision@2"])
    >>> {name: array.tolist() for name, array in values.items()}
    {'query': [0, 1, 2], 'precision@2': [1.0, 0.75, 0.5]}
    """
    from .metrics import measure_all, parse

    parsed = {name: parse(name) for name in _names(metrics)}
    data = _prepared(query_codes, database_codes, query_labels, database_labels, bits, ignore_label)
    values = measure_all(parsed.values(), *_histograms(data, parsed.values()))
    return {INDEX: data.evaluated} | {name: values[key] for name, key in parsed.items()}


def precision_recall(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    ranks: Sequence[int] | None = None,
    *,
    bits: int | None = None,
    ignore_label: int | None = None,
) -> Curve:
    """Return precision and recall over Hamming radii, or over ranks.

    Parameters
    ----------
    query_codes, database_codes, query_labels, database_labels, bits, ignore_label
        As in `score`.
    ranks : sequence of int, optional
        Ranks in increasing order. By default the curve is over the radii 0..bits.

    Returns
    -------
    Curve
        Means over the queries with a relevant item. An empty Hamming ball has precision 0. Values
        at ranks are exact expectations over random orders of ties.

    Raises
    ------
    EvaluationError
        As `score`.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[0, 0], [0, 1], [1, 1]])
    >>> curve = precision_recall(codes[:1], codes[1:], [3], [3, 5])
    >>> [values.tolist() for values in curve]
    [[0, 1, 2], [0.0, 1.0, 0.5], [0.0, 1.0, 1.0]]
    """
    import numpy as np

    from .histograms import hamming
    from .metrics import expected_hits

    data = _prepared(query_codes, database_codes, query_labels, database_labels, bits, ignore_label)
    n, r = hamming(data.queries, data.database, data.bits, data.relevance)
    relevant = r.sum(axis=1, keepdims=True)
    if ranks is None:
        at = np.arange(data.bits + 1)
        items, hits = n.cumsum(axis=1), r.cumsum(axis=1)
        precision = hits / np.maximum(items, 1)
    else:
        at = np.asarray(ranks, np.int64)
        hits = expected_hits(n, r, at.tolist())
        precision = hits / at
    return Curve(at, precision.mean(axis=0), (hits / relevant).mean(axis=0))


def mean_interval(values: ArrayLike) -> tuple[float, float, float]:
    """Return a mean over queries and the ends of its 95 % interval.

    Parameters
    ----------
    values : array_like of float, shape (Q,) or (S, Q)
        Values of each query, as `per_query` returns them, of one run or of S seeds. With several
        seeds the interval covers the variance over seeds too.

    Returns
    -------
    mean, low, high : float

    Examples
    --------
    >>> mean, low, high = mean_interval([0.5, 0.7, 0.6, 0.6])
    >>> f"{mean:.2f} [{low:.2f}, {high:.2f}]"
    '0.60 [0.47, 0.73]'
    """
    from .comparison import mean_interval as computed

    return computed(values)


def compare(values: ArrayLike, other: ArrayLike) -> Comparison:
    """Test whether two sets of codes differ in the mean of a metric over the same queries.

    The test is a t-test that is paired over the queries. Its variance is that over queries and,
    with several seeds, over seeds. With 2 to 4 seeds it finds a difference where there is none
    more often than its level.

    Parameters
    ----------
    values, other : array_like of float, shape (Q,) or (S, Q)
        Values of each query, as `per_query` returns them, of one run or of S seeds.

    Returns
    -------
    Comparison
        Both means, their difference, its 95 % interval and the p value. Correct p for the number of
        your tests.

    Raises
    ------
    EvaluationError
        If the numbers of queries differ, or a value is not finite.

    Examples
    --------
    >>> result = compare([0.5, 0.7, 0.6, 0.6], [0.4, 0.5, 0.5, 0.6])
    >>> f"{result.difference:.2f} [{result.low:.2f}, {result.high:.2f}], p = {result.p:.2f}"
    '0.10 [-0.03, 0.23], p = 0.09'
    """
    from .comparison import compared

    return compared(values, other)


# ------------------------------------------------------------------------------ inputs


@dataclass(frozen=True)
class _Data:
    """The packed codes of the evaluated queries and of the database.

    queries uint8 (Q', bytes) and database uint8 (N', bytes); `evaluated` int64 (Q',) are the
    indices of the queries among the given ones, and `left_out` counts those without a relevant
    item.
    """

    queries: np.ndarray
    database: np.ndarray
    bits: int
    relevance: Relevance
    evaluated: np.ndarray
    left_out: int


def _names(metrics: Sequence[str]) -> list[str]:
    if isinstance(metrics, str):
        raise EvaluationError(
            f"metrics is the string {metrics!r}: expected a list of names, as [{metrics!r}]"
        )
    return list(metrics)


def _prepared(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    bits: int | None,
    ignore_label: int | None,
) -> _Data:
    """Validate and pack the codes of the evaluated queries and of the database."""
    import numpy as np

    from .inputs import label_array, packed_codes, without
    from .relevance import Relevance

    queries, database, length = packed_codes(query_codes, database_codes, bits)
    labels_of_queries = label_array(query_labels, "query labels")
    labels_of_database = label_array(database_labels, "database labels")
    _check_length("query", queries, labels_of_queries)
    _check_length("database", database, labels_of_database)
    given = np.arange(len(queries))
    if ignore_label is not None:
        queries, labels_of_queries, given = without(
            ignore_label, queries, labels_of_queries, "query labels"
        )
        database, labels_of_database, _ = without(
            ignore_label, database, labels_of_database, "database labels"
        )

    evaluated, relevance = Relevance.of(labels_of_queries, labels_of_database).evaluated()
    left_out = len(queries) - len(evaluated)
    if left_out:
        queries = queries[evaluated]
    return _Data(queries, database, length, relevance, given[evaluated], left_out)


def _check_length(which: str, codes: np.ndarray, labels: np.ndarray) -> None:
    if labels.ndim and len(codes) != len(labels):
        raise EvaluationError(
            f"{len(codes)} {which} codes and {len(labels)} {which} labels: expected the same number"
        )


def _histograms(
    data: _Data, parsed: Iterable[tuple[str, int | None]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return n, r and, for graded metrics, g of `metrics`."""
    from .histograms import hamming, hamming_shared, items_and_relevant
    from .metrics import GRADED

    arguments = data.queries, data.database, data.bits, data.relevance
    if any(metric in GRADED for metric, _ in parsed):
        g = hamming_shared(*arguments)
        return *items_and_relevant(g), g
    return *hamming(*arguments), None
