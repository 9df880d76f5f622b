"""Quantised features, compared with faiss and with plain arithmetic, and their scores."""

import csv
from pathlib import Path

import numpy as np
import pytest
from builders import write_dataset_record

from experiments import quantisation, scoring
from harness import storage
from harness.errors import BenchmarkError
from harness.plan import RESULTS, Score
from harness.records import FORMAT

RNG = np.random.default_rng(5)
ITEMS, QUERIES, DIMENSIONS = 400, 30, 12


@pytest.fixture(scope="module")
def rows():
    """Queries, database and training rows with structure, some of them repeated."""
    centres = RNG.normal(0, 3, (9, DIMENSIONS))
    items = centres[RNG.integers(0, 9, ITEMS + QUERIES)] + RNG.normal(size=(430, DIMENSIONS))
    items = items.astype(np.float32)
    items[-5:] = items[QUERIES]
    return items[:QUERIES], items[QUERIES:], items[QUERIES::2]


def plain_unit(features, train):
    centred = features.astype(np.float64) - train.astype(np.float64).mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


@pytest.mark.parametrize(("bits", "count", "bits_of_part"), [(12, 2, 6), (16, 2, 8), (21, 3, 7)])
def test_product_quantisation_is_that_of_faiss_with_the_same_centres(
    rows, bits, count, bits_of_part
):
    faiss = pytest.importorskip("faiss", reason="needs faiss, of requirements-test.txt")
    queries, database = quantisation.decoded("pq", *rows, bits)
    index = faiss.IndexPQ(DIMENSIONS, count, bits_of_part)
    centres = []
    for part in np.split(database, count, axis=1):
        used = np.unique(part, axis=0)
        assert len(used) <= 2**bits_of_part
        centres.append(np.resize(used, (2**bits_of_part, used.shape[1])))  # repeated to fill it
    faiss.copy_array_to_vector(np.stack(centres).ravel(), index.pq.centroids)
    index.is_trained = True

    index.add(plain_unit(rows[1], rows[2]).astype(np.float32))
    assert index.reconstruct_n(0, ITEMS) == pytest.approx(database)
    assert queries == pytest.approx(plain_unit(rows[0], rows[2]), abs=1e-6)


def test_centres_fit_as_well_as_those_of_faiss(rows):
    faiss = pytest.importorskip("faiss", reason="needs faiss, of requirements-test.txt")
    _, database = quantisation.decoded("pq", *rows, 12)
    unit = plain_unit(rows[1], rows[2]).astype(np.float32)
    index = faiss.IndexPQ(DIMENSIONS, 2, 6)
    index.train(plain_unit(rows[2], rows[2]).astype(np.float32))
    index.add(unit)
    theirs = np.square(unit - index.reconstruct_n(0, ITEMS)).sum()
    assert np.square(unit - database).sum() < 1.1 * theirs


@pytest.mark.parametrize(
    ("bits", "expected"),
    [(8, [8]), (12, [6, 6]), (20, [7, 7, 6]), (32, [8] * 4), (1, [1]), (17, [6, 6, 5])],
)
def test_parts_are_equal_and_have_all_bits_and_dimensions(bits, expected):
    divided = list(quantisation.parts(13, bits))
    assert [bits_of_part for _, bits_of_part in divided] == expected
    covered = [np.arange(13)[dimensions] for dimensions, _ in divided]
    assert np.concatenate(covered).tolist() == list(range(13))
    assert max(map(len, covered)) - min(map(len, covered)) <= 1


def test_int8_rounds_to_the_nearest_step_and_stops_at_the_extremes(rows):
    """A dimension that is constant in the training rows has one value."""
    queries, database, train = (array.copy() for array in rows)
    unit_train = plain_unit(train, train).astype(np.float32)
    lowest, highest = unit_train.min(axis=0), unit_train.max(axis=0)
    _, decoded = quantisation.decoded("int8", queries, database, train, 0)
    inside = np.clip(plain_unit(database, train), lowest, highest)
    assert np.abs(decoded - inside).max() <= (highest - lowest).max() / 255 / 2 + 1e-6
    for dimension in range(DIMENSIONS):
        assert len(np.unique(decoded[:, dimension])) <= 256
        assert decoded[:, dimension].min() >= lowest[dimension] - 1e-6
        assert decoded[:, dimension].max() <= highest[dimension] + 1e-6

    train[:, 3] = 7
    _, decoded = quantisation.decoded("int8", queries, database, train, 0)
    assert len(np.unique(decoded[:, 3])) == 1


@pytest.mark.parametrize("quantiser", ["int8", "pq"])
def test_equal_rows_are_ties(rows, quantiser):
    _, database = quantisation.decoded(quantiser, *rows, 16)
    assert (database[-5:] == database[0]).all()


def test_fewer_training_rows_than_centres_are_quantised_exactly(rows):
    queries, database, _ = rows
    _, decoded = quantisation.decoded("pq", queries, database[:20], database[:20], 16)
    assert decoded == pytest.approx(plain_unit(database[:20], database[:20]), abs=1e-6)


def test_invalid_features_are_one_line(rows):
    with pytest.raises(BenchmarkError, match="have 12 dimensions, expected at least 13 for 104"):
        quantisation.decoded("pq", *rows, 104)
    broken = rows[1].copy()
    broken[7, 2] = np.nan
    with pytest.raises(BenchmarkError, match="not finite"):
        quantisation.decoded("pq", rows[0], broken, rows[2], 16)


@pytest.fixture
def project(rows, tmp_path, monkeypatch):
    """A prepared data set with these features, in the working directory."""
    monkeypatch.chdir(tmp_path)
    data, features = Path("cache/datasets/toy"), Path("cache/features/toy/pixels")
    data.mkdir(parents=True)
    features.mkdir(parents=True)
    items = np.concatenate(rows[:2])
    index = np.arange(len(items))
    np.save(data / "labels.npy", index % 4)
    np.savez(
        data / "split.npz", query=index[:QUERIES], database=index[QUERIES:], train=index[QUERIES::2]
    )
    np.save(features / "features.npy", items)
    write_dataset_record(data, "toy")
    digest = storage.digest(features / "features.npy")
    storage.write_json(
        features / "features.json", {"format": FORMAT, "made_of": {}, "sha256": digest}
    )


def values_of(control, runs):
    target = Score(RESULTS, "toy", "pixels", control)
    scoring.score(target, runs)
    with open(target.metrics, newline="") as file:
        table = {
            (int(row["bits"]), row["metric"], row["k"]): float(row["value"])
            for row in csv.DictReader(file)
        }
    return table, storage.read_json(target.record)


def test_scores_are_those_of_a_sort_by_the_distance_to_the_decoded_rows(rows, project):
    table, record = values_of("pq", [(12, 0), (40, 0)])
    labels = np.arange(ITEMS + QUERIES) % 4
    for bits in (12, 40):
        queries, database = quantisation.decoded("pq", *rows, bits)
        distances = ((queries[:, None].astype(np.float64) - database) ** 2).sum(axis=2)
        worst, best = [], []
        for query, row in enumerate(distances.round(12)):
            relevant = labels[QUERIES:] == labels[query]
            for values, tie in ((worst, relevant), (best, ~relevant)):
                ranked = relevant[np.lexsort((tie, row))]
                precision = np.cumsum(ranked) / np.arange(1, ITEMS + 1)
                values.append(precision[ranked].mean())
        assert table[bits, "map_worst", ""] == pytest.approx(np.mean(worst))
        assert table[bits, "map_best", ""] == pytest.approx(np.mean(best))
        assert table[bits, "map_worst", ""] < table[bits, "map", ""] < table[bits, "map_best", ""]

    assert record["made_of"]["bits"] == [12, 40]


def test_int8_has_one_value_near_that_of_the_exact_control(project):
    quantised, record = values_of("int8", [(0, 0)])
    exact, of_exact = values_of("exact-cosine", [(0, 0)])
    assert quantised[0, "map", ""] == pytest.approx(exact[0, "map", ""], abs=0.005)
    assert record["made_of"].keys() == of_exact["made_of"].keys()
    assert "bits" not in record["made_of"]


@pytest.mark.parametrize(
    ("control", "run", "expected"),
    [("pq", (0, 0), "1:0"), ("pq", (8, 1), "8:0"), ("int8", (8, 0), "0:0")],
)
def test_other_bits_and_seeds_are_refused(project, control, run, expected):
    with pytest.raises(BenchmarkError, match=f"found --runs .*expected {expected}"):
        values_of(control, [run])
