"""Score codes that another program made, with the labels and the split of a prepared data set."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import evaluation
from evaluation.inspection import is_at_chance
from evaluation.metrics import parse
from experiments import scoring
from harness import imported_codes, schemas, storage
from harness.errors import BenchmarkError
from harness.plan import Place

METRICS = (
    *("map", "map_worst", "map_best", "map@1000[found]", "map@5000[found]"),
    *("precision@1", "precision@10", "precision@100"),
)
LEFT_OUT = "queries_left_out"


def score(
    dataset: str, files: list[Path], bits: int | None = None, metrics: list[str] | None = None
) -> dict[str, float]:
    """Return metrics of codes in files.

    Parameters
    ----------
    dataset : str
        A prepared data set.
    files : list of Path
        One file with a code of every image, or two files, of the queries and of the database.
    bits : int, optional
        Length of the codes. Required for packed bytes whose last byte is not full.
    metrics : list of str, optional
        Names of metrics. Default: `METRICS` without those whose cut exceeds the database.

    Returns
    -------
    dict of str to float
        Value of each metric, and the number of queries without a relevant item, `LEFT_OUT`.

    Raises
    ------
    BenchmarkError
        If the data set was not prepared, or a file does not fit it.
    EvaluationError
        For an unknown metric, and if no query has a relevant item.
    """
    labels, split = labels_and_split(Place(dataset, ""))
    query, database = split["query"], split["database"]
    codes, _ = imported_codes.of_images(files, len(labels), query, database, bits)

    names = metrics or [name for name in METRICS if cut_of(name) <= len(database)]
    names = list(dict.fromkeys([*names, LEFT_OUT]))
    scored = codes[query], codes[database], labels[query], labels[database]
    scores = evaluation.score(*scored, names)
    _warn_of_chance(dataset, files, *scored)
    return scores


def arrays(
    place: Place, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return codes and labels of the queries and the database, as `evaluation.score` takes them.

    Parameters
    ----------
    place : Place
        A prepared data set.
    codes : ndarray of bool, shape (n, bits)
        Codes of all images.
    """
    labels, split = labels_and_split(place)
    query, database = split["query"], split["database"]
    return codes[query], codes[database], labels[query], labels[database]


def cut_of(metric: str) -> int:
    """Return the number of ranks that a metric needs, 1 for one of the whole ranking."""
    return parse(metric)[1] or 1


def labels_and_split(place: Place) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the labels of a data set, and the arrays of its split.

    Raises
    ------
    BenchmarkError
        If the data set was not prepared.
    """
    if not place.labels.is_file() or not place.split.is_file():
        raise unprepared(place)
    labels = np.load(storage.unchanged(place.labels, place.dataset_record), allow_pickle=False)
    split_path = storage.unchanged(place.split, place.dataset_record)
    with np.load(split_path, allow_pickle=False) as stored:
        return labels, {name: stored[name] for name in schemas.SPLIT_NPZ}


def unprepared(place: Place) -> BenchmarkError:
    """Return the error on a data set that was not prepared."""
    return BenchmarkError(
        f"{place.dataset_folder} is missing: `python -m datasets {place.dataset}` prepares it"
    )


def _warn_of_chance(
    dataset: str,
    files: list[Path],
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
) -> None:
    """Print a line on the standard error if the codes are not better than a random ranking."""
    precision, random = average_precision_and_chance(
        query_codes, database_codes, query_labels, database_labels
    )
    if is_at_chance(precision, random):
        names = ", ".join(map(str, files))
        warning = scoring.chance_warning(names, precision.mean(), random.mean(), dataset)
        print(warning, file=sys.stderr)


def average_precision_and_chance(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the average precision of each query, and that of a random ranking, float64 (Q,)."""
    scored = query_codes, database_codes, query_labels, database_labels
    values = evaluation.per_query(*scored, ["map", "map_chance"])
    return values["map"], values["map_chance"]
