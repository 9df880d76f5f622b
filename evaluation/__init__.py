"""Exact, tie-aware retrieval metrics of binary codes: arrays in, numbers out.

`score` computes everything for one set of codes. The modules `relevance`, `histograms`, `metrics`
and `presets` are its steps. An installation names this package ``bgan_bench``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .errors import EvaluationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    from .relevance import Relevance

__all__ = ["METRIC_VERSION", "EvaluationError", "score"]

# Increase this when the definition of a metric, a preset or a test of differences changes, or when
# one is added. Values of two versions are never compared.
METRIC_VERSION = 5


def score(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
    metrics: Sequence[str] = ("map", "precision@100"),
) -> dict[str, float]:
    """Return the mean of each metric over the queries with a relevant item in the database.

    Parameters
    ----------
    query_codes : array_like of bool, shape (Q, bits)
        Codes of the queries.
    database_codes : array_like of bool, shape (N, bits)
        Codes of the database.
    query_labels : array_like of int, shape (Q,), or of bool, shape (Q, classes)
        Labels of the queries, from 0. An item is relevant to a query if it has the same label, or
        shares at least one class. Leave out items without a class, which many data sets label -1.
    database_labels : array_like of int, shape (N,), or of bool, shape (N, classes)
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

    Returns
    -------
    dict of str to float
        Value of each metric. All but the presets are exact expectations over random orders of
        ties.

    Raises
    ------
    EvaluationError
        If an array has another type or shape, a metric is unknown, a cut is outside 1..N, no query
        has a relevant item, or a preset is undefined for these queries.

    See Also
    --------
    metrics : Definitions of the metrics.
    presets : Definitions of the presets.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[0, 0], [0, 1], [1, 1]], bool)
    >>> labels = np.array([3, 3, 5])
    >>> score(codes[:1], codes[1:], labels[:1], labels[1:], metrics=["map", "precision@2"])
    {'map': 1.0, 'precision@2': 0.5}
    """
    # Importing the package alone, for METRIC_VERSION, needs neither NumPy nor Numba.
    from .histograms import hamming, hamming_shared, items_and_relevant
    from .metrics import GRADED, measure_all, parse
    from .presets import PRESETS, replay

    if isinstance(metrics, str):
        raise EvaluationError(
            f"metrics is the string {metrics!r}: expected a list of names, as [{metrics!r}]"
        )

    special = (*PRESETS, "queries_left_out")
    parsed = {name: parse(name, special) for name in metrics if name not in special}
    presets = [name for name in metrics if name in PRESETS]
    queries, database, bits, relevance, left_out = _prepare(
        query_codes, database_codes, query_labels, database_labels
    )

    scores = {"queries_left_out": float(left_out)}
    if parsed:
        g = None
        if any(metric in GRADED for metric, _ in parsed.values()):
            g = hamming_shared(queries, database, bits, relevance)
            n, r = items_and_relevant(g)
        else:
            n, r = hamming(queries, database, bits, relevance)
        values = measure_all(parsed.values(), n, r, g)
        scores |= {name: float(values[key].mean()) for name, key in parsed.items()}

    replayed = {}
    if presets:
        replayed = replay(presets, queries, database, bits, relevance, left_out)

    for name, value in replayed.items():
        if value is None:
            raise EvaluationError(
                f"{name} drops queries without a hit in its first ranks, and no query has one. "
                "Choose another preset"
            )
        scores[name] = value

    return {name: scores[name] for name in metrics}


def _prepare(
    query_codes: ArrayLike,
    database_codes: ArrayLike,
    query_labels: ArrayLike,
    database_labels: ArrayLike,
) -> tuple[np.ndarray, np.ndarray, int, Relevance, int]:
    """Validate and pack the codes of the evaluated queries and of the database.

    Returns uint8 (Q', ceil(bits / 8)) and (N, ceil(bits / 8)), bits, the relevance to these Q'
    queries, and the number of queries that are left out.
    """
    import numpy as np

    from .relevance import Relevance

    queries, labels_of_queries = _arrays("query", query_codes, query_labels)
    database, labels_of_database = _arrays("database", database_codes, database_labels)
    bits = queries.shape[1]
    if database.shape[1] != bits:
        raise EvaluationError(
            f"query codes have {bits} bits, database codes {database.shape[1]}: "
            "expected the same number"
        )
    if not bits:
        raise EvaluationError("codes have 0 bits: expected at least 1")

    evaluated, relevance = Relevance.of(labels_of_queries, labels_of_database).evaluated()
    left_out = len(queries) - len(evaluated)
    if left_out:
        queries = queries[evaluated]

    packed_queries, packed_database = (np.packbits(codes, axis=1) for codes in (queries, database))
    return packed_queries, packed_database, bits, relevance, left_out


def _arrays(which: str, codes: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return codes bool (n, bits) and labels (n,) or (n, classes) as arrays."""
    import numpy as np

    arrays = []
    for name, values in (("codes", codes), ("labels", labels)):
        try:
            arrays.append(np.asarray(values))
        except (ValueError, TypeError) as error:
            raise EvaluationError(f"{which} {name} are not an array: {error}") from None

    codes_array, labels_array = arrays
    if codes_array.dtype != bool or codes_array.ndim != 2:
        raise EvaluationError(
            f"{which} codes are {codes_array.dtype} {codes_array.shape}: expected bool (n, bits), "
            "for instance `projections >= 0`"
        )
    if labels_array.ndim and len(codes_array) != len(labels_array):
        raise EvaluationError(
            f"{len(codes_array)} {which} codes and {len(labels_array)} {which} labels: "
            "expected the same number"
        )

    return codes_array, labels_array
