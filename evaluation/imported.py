"""The command `codes`: the metrics of codes made elsewhere, against the labels and the split of a prepared data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import evaluation
from evaluation.metrics import parse
from harness import imported_codes, storage
from harness.errors import BenchmarkError
from harness.plan import Place

METRICS = ("map", "map_worst", "map_best", "map@1000[found]", "map@5000[found]", "precision@1", "precision@10", "precision@100")
LEFT_OUT = "queries_left_out"


def score(dataset: str, files: list[Path], bits: int | None = None, metrics: list[str] | None = None) -> dict[str, float]:
    """The metrics of one file with codes of every image, or of two, of the queries and of the database.

    A default metric whose cut is beyond the database is left out. Raises BenchmarkError for files that do not fit, and a data set that
    was not prepared.
    """
    place = Place(dataset, "")
    if not place.labels.is_file() or not place.split.is_file():
        raise BenchmarkError(f"{place.dataset_folder} is missing: `python -m datasets {dataset}` prepares it")
    labels = np.load(storage.unchanged(place.labels, place.dataset_record), allow_pickle=False)
    with np.load(storage.unchanged(place.split, place.dataset_record), allow_pickle=False) as split:
        query, database = split["query"], split["database"]
    found, _ = imported_codes.of_images(files, len(labels), query, database, bits)
    chosen = metrics or [name for name in METRICS if (parse(name)[1] or 1) <= len(database)]
    chosen = list(dict.fromkeys([*chosen, LEFT_OUT]))
    return evaluation.score(found[query], found[database], labels[query], labels[database], chosen)
