"""The evaluation floor: histograms of codes, metrics of histograms. `score` does both for one set of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments import BenchmarkError

if TYPE_CHECKING:
    import numpy as np

METRIC_VERSION = 1  # raised when a definition in metrics.py changes its values: scores of two versions are never mixed


def score(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    metrics: Sequence[str] = ("map", "precision@100"),
) -> dict[str, float]:
    """Mean of each metric over the queries that have a relevant item in the database.

    Codes are bool (Q, bits) and (N, bits). Labels are integers (Q,) and (N,), or bool (Q, classes) and (N, classes), where an item is
    relevant if it shares at least one class. Metrics are "map", "map_worst", "map_best", "relevant_share", and with any number for the cut
    "map@1000[found]", "map@1000[min]", "map@1000[R]", "precision@100", "recall@100"; `evaluation/metrics.py` defines them.

    Raises BenchmarkError for other types, for shapes that do not fit, for an unknown metric, for a cut outside 1..N, and where no query has
    a relevant item.

    >>> score(codes[:100], codes[100:], labels[:100], labels[100:], metrics=["map", "map@1000[found]"])
    """
    import numpy as np

    from evaluation.histograms import hamming
    from evaluation.metrics import measure, parse
    from evaluation.relevance import Relevance

    parsed = {name: parse(name) for name in metrics}
    query_codes, database_codes, query_labels, database_labels = map(
        np.asarray, (query_codes, database_codes, query_labels, database_labels)
    )
    for which, codes in (("query", query_codes), ("database", database_codes)):
        if codes.dtype != bool or codes.ndim != 2:
            raise BenchmarkError(f"{which} codes are {codes.dtype} {codes.shape}: expected bool (n, bits), for instance `projections >= 0`")
    if query_codes.shape[1] != database_codes.shape[1]:
        raise BenchmarkError(f"query codes have {query_codes.shape[1]} bits, database codes {database_codes.shape[1]}: expected the same")
    relevance = Relevance.of(query_labels, database_labels)
    if len(query_codes) != len(query_labels):
        raise BenchmarkError(f"{len(query_codes)} query codes and {len(query_labels)} query labels: expected the same number")
    kept, relevance = relevance.evaluated()
    packed = [np.packbits(codes, axis=1) for codes in (query_codes[kept], database_codes)]
    n, r = hamming(*packed, query_codes.shape[1], relevance)
    return {name: float(measure(metric, k, n, r).mean()) for name, (metric, k) in parsed.items()}
