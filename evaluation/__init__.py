"""The evaluation floor: histograms of codes, metrics of histograms. `score` does both for one set of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import BenchmarkError

if TYPE_CHECKING:
    import numpy as np

METRIC_VERSION = 4  # raised when a metric, a preset or a test of differences is added or changes: two versions are never mixed


def score(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    metrics: Sequence[str] = ("map", "precision@100"),
) -> dict[str, float]:
    """Mean of each metric over the queries that have a relevant item in the database.

    Codes are bool (Q, bits) and (N, bits). Labels are integers (Q,) and (N,), or bool (Q, classes) and (N, classes), where an item is
    relevant if it shares at least one class. Metrics, with any number from 1 to N for the 1000, are

    - "map", "map_worst", "map_best", "map_chance", "relevant_share"; "map@1000[found]", "map@1000[min]", "map@1000[R]", "map@1000[hits]";
    - "precision@1000", "recall@1000"; in the Hamming ball of radius 2 "precision_r2", "recall_r2", "empty_r2";
    - graded by the number of classes shared "ndcg@1000", "ndcg_linear@1000", "acg@1000";
    - the presets, which score as others do: "as-bgan", "as-deephash-pytorch", "as-hashnet", "as-deepbit", "as-trec", "as-landmarks";
    - "queries_left_out": the number of queries without a relevant item, over which nothing else but some presets is averaged.

    `evaluation/metrics.py` and `evaluation/presets.py` define them. All but the presets are exact expectations over random orders of ties.

    Raises BenchmarkError for other types, for shapes that do not fit, for an unknown metric, for a cut outside 1..N, and where no query has
    a relevant item, or one that a preset counts.

    >>> score(codes[:100], codes[100:], labels[:100], labels[100:], metrics=["map", "map@1000[found]"])
    """
    from evaluation.histograms import hamming, hamming_shared, items_and_relevant
    from evaluation.metrics import GRADED, measure_all, parse
    from evaluation.presets import PRESETS, replay

    if isinstance(metrics, str):
        raise BenchmarkError(f"metrics are the text {metrics!r}: expected a list of names, as [{metrics!r}]")
    special = (*PRESETS, "queries_left_out")
    parsed = {name: parse(name, special) for name in metrics if name not in special}
    replayed = [name for name in metrics if name in PRESETS]
    *packed, bits, relevance, left_out = _prepared(query_codes, database_codes, query_labels, database_labels)
    g = hamming_shared(*packed, bits, relevance) if any(metric in GRADED for metric, _ in parsed.values()) else None
    n, r = hamming(*packed, bits, relevance) if g is None else items_and_relevant(g)
    values = measure_all(parsed.values(), n, r, g)
    scores = {name: float(values[key].mean()) for name, key in parsed.items()}
    scores |= replay(replayed, *packed, bits, relevance, left_out) | {"queries_left_out": float(left_out)}
    if empty := [name for name in replayed if scores[name] is None]:
        raise BenchmarkError(f"{empty[0]} leaves out queries without a hit in its first ranks, and here all are")
    return {name: scores[name] for name in metrics}


def _prepared(query_codes: object, database_codes: object, query_labels: object, database_labels: object) -> tuple:
    """Packed codes of the queries that are evaluated and of the database, bits, relevance, and how many queries are not evaluated."""
    import numpy as np

    from evaluation.relevance import Relevance

    given = {"query codes": query_codes, "database codes": database_codes, "query labels": query_labels, "database labels": database_labels}
    arrays = {}
    for name, value in given.items():
        try:
            arrays[name] = np.asarray(value)
        except (ValueError, TypeError) as error:
            raise BenchmarkError(f"{name} are no array: {error}") from None
    for which in ("query", "database"):
        codes, labels = arrays[f"{which} codes"], arrays[f"{which} labels"]
        if codes.dtype != bool or codes.ndim != 2:
            raise BenchmarkError(f"{which} codes are {codes.dtype} {codes.shape}: expected bool (n, bits), for instance `projections >= 0`")
        if labels.ndim and len(codes) != len(labels):
            raise BenchmarkError(f"{len(codes)} {which} codes and {len(labels)} {which} labels: expected the same number")
    bits = arrays["query codes"].shape[1]
    if arrays["database codes"].shape[1] != bits:
        raise BenchmarkError(f"query codes have {bits} bits, database codes {arrays['database codes'].shape[1]}: expected the same")
    kept, relevance = Relevance.of(arrays["query labels"], arrays["database labels"]).evaluated()
    packed = [np.packbits(codes, axis=1) for codes in (arrays["query codes"][kept], arrays["database codes"])]
    return *packed, bits, relevance, len(arrays["query codes"]) - len(kept)
