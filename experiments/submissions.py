"""Submissions: codes that another program made, with a card, and what can be verified about them.

A submission is a folder with `codes-seed0.npz`, ..., `card.yaml` and `submission.json`. Its codes
are in the order of the data set. `verify` scores them again. It can show that a score belongs to
the codes. It cannot show how the codes were made.
"""

from __future__ import annotations

import csv
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import evaluation
from evaluation.inspection import is_at_chance
from experiments import imported
from experiments.publish import PUBLISHED, TABLE
from harness import configuration, imported_codes, records, storage
from harness.errors import BenchmarkError, did_you_mean, one_line
from harness.plan import Place

CARD, RECORD = "card.yaml", "submission.json"
CODES = "codes-seed{}.npz"
# Fields of a card, and whether a submission may be ranked without them.
CARD_FIELDS = {
    "method": str,
    "paper": str,
    "dataset": str,
    "bits": int,
    "features": str,
    "training_data": str,
    "licence": str,
}
RANKING_FIELDS = {"search_space": str, "trials": int, "labels_used": str, "hardware": str}
METRICS = ("map", "map_worst", "map_best", "map@1000[found]", "precision@100")
TOLERANCE = 1e-9  # of a score: sums have another order on another processor

NOT_KNOWN = (
    "verified: the scores are those of the codes. How the codes were made cannot be verified: "
    "whether without labels and without the queries, and what the card states"
)


@dataclass(frozen=True)
class Verified:
    """A submission that `verify` accepts.

    Parameters
    ----------
    scores : list of dict
        Value of each metric, for each seed.
    missing : tuple of str
        Fields of the card that a ranked row needs.
    """

    scores: list[dict[str, float]]
    missing: tuple[str, ...]


def submit(files: Sequence[Path], card: Path, output: Path) -> Path:
    """Write the folder of a submission, and return its path.

    Parameters
    ----------
    files : sequence of Path
        One file per seed, with a code of every image in the order of the data set.
    card : Path
        A YAML file with the fields in `CARD_FIELDS`, and those in `RANKING_FIELDS`.
    output : Path
        The folder. It must not exist.

    Raises
    ------
    BenchmarkError
        For a card or codes that `verify` would refuse.
    """
    if output.exists():
        raise BenchmarkError(f"{output} exists: name another folder with --output")
    fields = _card(card)
    place = _prepared_place(fields["dataset"])
    rows = _rows(place)
    with storage.new_folder(output) as folder:
        shutil.copyfile(card, folder / CARD)
        for seed, path in enumerate(files):
            codes = imported_codes.whole(path, rows, fields["bits"])
            packed = np.packbits(codes, axis=1)
            np.savez(folder / CODES.format(seed), codes=packed, bits=np.int64(codes.shape[1]))
        paths = _paths(folder)
        scores = [_score(place, _codes(path, fields, rows), path) for path in paths]
        contents = {path.name: storage.digest(path) for path in [folder / CARD, *paths]}
        storage.write_json(folder / RECORD, _record(place, contents, scores))
        verify(folder)
    return output


def verify(folder: Path) -> Verified:
    """Verify a submission: its card, its files, its codes and its scores.

    Raises
    ------
    BenchmarkError
        For the first of these problems: a field of the card is missing or unknown; the data set has
        another split; the scores are of other metrics; a file has changed; the codes do not fit
        the data set or the card; all codes are equal; two files, or a file and a published run,
        have equal codes; the scores are not those of the codes; the codes are not above chance.
    """
    fields = _card(folder / CARD)
    stated = storage.read_json(folder / RECORD)
    place = _prepared_place(fields["dataset"])
    paths = _paths(folder)
    expected = _record(place, {path.name: storage.digest(path) for path in paths}, [])
    _check_record(folder, stated, expected)

    _check_duplicates(paths)
    rows, scores = _rows(place), []
    for path, of_seed in zip(paths, stated["scores"], strict=True):
        codes = _codes(path, fields, rows)
        rescored = _score(place, codes, path)
        _check_scores(path, of_seed, rescored)
        scores.append(rescored)
    return Verified(scores, tuple(name for name in RANKING_FIELDS if name not in fields))


# ---------------------------------------------------------------------------- parts


def _card(path: Path) -> dict:
    """Return the fields of a card."""
    if not path.is_file():
        raise BenchmarkError(
            f"{path} is missing: expected the card of a submission. docs/howto/submit.md has an "
            "example"
        )
    fields = configuration.read(path)
    if not isinstance(fields, dict):
        raise BenchmarkError(f"{path}: expected fields, as in `method: NAME`")
    known = CARD_FIELDS | RANKING_FIELDS
    missing = [repr(name) for name in CARD_FIELDS if name not in fields]
    if len(missing) > 1:
        raise BenchmarkError(f"{path}: the fields {', '.join(missing)} are missing: add them")
    if missing:
        raise BenchmarkError(f"{path}: the field {missing[0]} is missing: add it")
    for name, value in fields.items():
        if name not in known:
            raise BenchmarkError(
                f"{path}: the field {name!r} is unknown{did_you_mean(name, known)}: expected "
                f"one of {', '.join(known)}"
            )
        if type(value) is not known[name]:
            kind = "a whole number" if known[name] is int else "a text"
            raise BenchmarkError(f"{path}: {name}: found {value!r}, expected {kind}")
    return fields


def _prepared_place(dataset: str) -> Place:
    place = Place(dataset, "")
    if not place.dataset_record.is_file():
        raise imported.unprepared(place)
    return place


def _rows(place: Place) -> int:
    return len(np.load(place.labels, mmap_mode="r", allow_pickle=False))


def _paths(folder: Path) -> list[Path]:
    """Return the files of codes, in the order of their seeds."""
    count = len(list(folder.glob(CODES.format("*"))))
    paths = [folder / CODES.format(seed) for seed in range(count)]
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        raise BenchmarkError(f"{folder} has no {CODES.format(0)}, or a seed is left out")
    return paths


def _record(place: Place, contents: dict[str, str], scores: list[dict[str, float]]) -> dict:
    """Return what submission.json states: the task, the digest of each file, the scores."""
    record = records.read(place.dataset_record)
    return {
        "dataset": place.dataset,
        "split_sha256": record["split_sha256"],
        "metric_version": evaluation.METRIC_VERSION,
        "sha256": contents,
        "scores": scores,
    }


def _check_record(folder: Path, stated: dict, expected: dict) -> None:
    path = folder / RECORD
    for name in ("dataset", "split_sha256", "metric_version"):
        if stated.get(name) != expected[name]:
            raise BenchmarkError(
                f"{path}: {name} is {stated.get(name)!r}, expected {expected[name]!r} of the "
                "prepared data set. Submit the codes again"
            )

    digests = expected["sha256"] | {CARD: storage.digest(folder / CARD)}
    if stated.get("sha256") != digests:
        changed = [name for name in digests if stated.get("sha256", {}).get(name) != digests[name]]
        name = changed[0] if changed else "a file of codes"
        raise BenchmarkError(
            f"{folder / name} is not the file that {RECORD} describes. Submit the codes again"
        )
    if len(stated.get("scores", [])) != len(expected["sha256"]):
        raise BenchmarkError(f"{path}: expected the scores of {len(expected['sha256'])} seeds")


def _check_duplicates(paths: list[Path]) -> None:
    """Raise BenchmarkError for codes that another seed, or a published run, has already."""
    seen: dict[str, str] = {}
    for table in sorted(PUBLISHED.glob(f"*/{TABLE}")):
        with open(table, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                seen[row["codes_sha256"]] = f"{table.parent}: {row['variant']}, seed {row['seed']}"
    for path in paths:
        digest = storage.digest(path)
        if digest in seen:
            raise BenchmarkError(
                f"{path} has the codes of {seen[digest]}: expected those of another seed"
            )
        seen[digest] = path.name


def _codes(path: Path, fields: dict, rows: int) -> np.ndarray:
    """Return the codes bool (n, bits) of a file. Raises BenchmarkError if they do not fit."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            packed, bits = stored["codes"], int(stored["bits"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BenchmarkError(f"{path} cannot be read ({one_line(error)})") from None
    if bits != fields["bits"]:
        raise BenchmarkError(f"{path} has {bits} bits, the card states {fields['bits']}")
    if packed.dtype != np.uint8 or packed.shape != (rows, -(-bits // 8)):
        raise BenchmarkError(
            f"{path}: codes are {packed.dtype} {packed.shape}, expected uint8 "
            f"({rows}, {-(-bits // 8)}), one row per image of {fields['dataset']}"
        )
    if (packed == packed[0]).all():
        raise BenchmarkError(f"{path}: all {rows} codes are equal")
    return np.unpackbits(packed, axis=1, count=bits).astype(bool)


def _score(place: Place, codes: np.ndarray, path: Path) -> dict[str, float]:
    """Return the metrics of codes. Raises BenchmarkError if they are not above chance."""
    arrays = imported.arrays(place, codes)
    precision, random = imported.average_precision_and_chance(*arrays)
    if is_at_chance(precision, random):
        raise BenchmarkError(
            f"{path}: mAP is {precision.mean():.4f}, not above the {random.mean():.4f} of a random "
            f"ranking. Is the order of the rows that of {place.dataset_folder}?"
        )
    names = [name for name in METRICS if imported.cut_of(name) <= len(arrays[1])]
    return evaluation.score(*arrays, names)


def _check_scores(path: Path, stated: dict, rescored: dict) -> None:
    for name, value in rescored.items():
        if abs(stated.get(name, np.inf) - value) > TOLERANCE:
            raise BenchmarkError(
                f"{path.parent / RECORD}: {name} of {path.name} is {stated.get(name)}, expected "
                f"{value:.6f}, the score of the codes"
            )
