"""Count queries that have a duplicate or a near duplicate in the database of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.controls import unit_rows
from evaluation.relevance import Relevance
from harness import records, storage
from harness.errors import BenchmarkError
from harness.plan import Place

THRESHOLDS = (0.9, 0.95, 0.99, 0.999)
ROUNDING = 1e-6  # of a cosine of float32
BLOCK = 8192  # database rows that are compared at a time


@dataclass(frozen=True)
class Count:
    """Near duplicates from one cosine on.

    Parameters
    ----------
    threshold : float
    queries : int
        Number of queries with such an item in the database.
    pairs : int
        Number of pairs of a query and such an item.
    relevant : int
        Number of these pairs in which the item is relevant to the query.
    """

    threshold: float
    queries: int
    pairs: int
    relevant: int


def report(place: Place, thresholds: Sequence[float] = THRESHOLDS) -> list[str]:
    """Return lines on the duplicates of a prepared data set, by pixels and by features.

    Parameters
    ----------
    place : Place
    thresholds : sequence of float
        Cosines, from -1 to 1.

    Raises
    ------
    BenchmarkError
        If the data set or the features are not prepared, or for a threshold that is no cosine.
    """
    for threshold in thresholds:
        if not -1 <= threshold <= 1:
            raise BenchmarkError(
                f"duplicates: found the threshold {threshold}, expected a cosine from -1 to 1"
            )

    dataset = _prepared(place)
    split_path = storage.unchanged(place.split, place.dataset_record)
    with np.load(split_path, allow_pickle=False) as split:
        query, database, train = (split[part] for part in ("query", "database", "train"))

    labels = np.load(storage.unchanged(place.labels, place.dataset_record), allow_pickle=False)
    path = storage.unchanged(place.features_array, place.features_record)
    features = np.load(path, mmap_mode="r", allow_pickle=False)
    centre = features[train].mean(axis=0, dtype=np.float64)
    relevance = Relevance.of(labels[query], labels[database])

    equal = dataset.get("duplicate_queries")
    lines = [
        f"{place.dataset}, {place.features}: {len(query):,} queries, {len(database):,} database "
        "images",
        f"equal pixels: {'unknown' if equal is None else f'{equal:,} queries'}",
    ]
    counted = counts(features[query], features[database], centre, relevance, thresholds)
    return [*lines, *map(_line, counted)]


def _line(count: Count) -> str:
    return (
        f"cosine of centred features >= {count.threshold:g}: {count.queries:,} queries, "
        f"{count.pairs:,} pairs, {count.relevant:,} of them relevant"
    )


def _prepared(place: Place) -> dict:
    """Return the record of the data set."""
    for path in (place.dataset_record, place.features_record):
        if not path.is_file():
            raise BenchmarkError(
                f"{path} is missing: prepare it with `snakemake --cores all --configfile FILE "
                f"{path}`, where FILE is an experiment with this data set and these features"
            )
    return records.read(place.dataset_record)


def counts(
    queries: np.ndarray,
    database: np.ndarray,
    centre: np.ndarray,
    relevance: Relevance,
    thresholds: Sequence[float],
) -> list[Count]:
    """Return the near duplicates from each threshold on, by comparing all pairs.

    Parameters
    ----------
    queries, database : ndarray of float32, shape (Q, d) and (N, d)
        Features.
    centre : ndarray of float64, shape (d,)
        Is subtracted from features before their cosine.
    relevance : Relevance
        Relevance of these N items to these Q queries.
    thresholds : sequence of float
        Cosines. They are computed in float32, and count from a threshold minus ROUNDING on.
    """
    rows = unit_rows(queries, centre).astype(np.float32)
    relevant = relevance.of_queries(slice(0, len(queries)))  # (Q, groups)
    has_pair = np.zeros((len(thresholds), len(queries)), bool)
    pairs, relevant_pairs = np.zeros((2, len(thresholds)), np.int64)
    for start in range(0, len(database), BLOCK):
        block = unit_rows(database[start : start + BLOCK], centre).astype(np.float32)
        cosines = rows @ block.T
        members = relevance.members[start : start + BLOCK]
        for index, threshold in enumerate(thresholds):
            query, item = np.nonzero(cosines >= threshold - ROUNDING)
            has_pair[index, query] = True
            pairs[index] += len(query)
            relevant_pairs[index] += np.count_nonzero(relevant[query, members[item]])

    return [
        Count(threshold, int(has_pair[index].sum()), int(pairs[index]), int(relevant_pairs[index]))
        for index, threshold in enumerate(thresholds)
    ]
