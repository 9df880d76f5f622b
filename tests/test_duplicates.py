"""`python -m experiments duplicates`: near duplicates of queries, against a loop over all pairs."""

import numpy as np
import pytest
from builders import write_dataset_record

from evaluation.relevance import Relevance
from experiments import duplicates
from harness import storage
from harness.errors import BenchmarkError
from harness.plan import Place
from harness.records import FORMAT

THRESHOLDS = (0.5, 0.9, 0.99, 1.0)


@pytest.fixture
def features():
    """5 queries and 20 database images, some of them equal, scaled or nearly equal to a query."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((25, 6)).astype(np.float32)
    rows[5:8] = rows[0]
    rows[8] = rows[1] + np.float32(0.01)
    rows[9] = 3 * rows[2]
    return rows


def cosines(queries, database, centre):
    for query in queries.astype(float) - centre:
        for item in database.astype(float) - centre:
            yield query @ item / np.linalg.norm(query) / np.linalg.norm(item)


@pytest.mark.parametrize("block", [3, 8192])
def test_all_pairs_from_a_cosine_on_are_counted(features, monkeypatch, block):
    monkeypatch.setattr(duplicates, "BLOCK", block)
    queries, database, labels = features[:5], features[5:], np.arange(25) % 3
    centre = database.mean(axis=0, dtype=np.float64)
    relevance = Relevance.of(labels[:5], labels[5:])
    counted = duplicates.counts(queries, database, centre, relevance, THRESHOLDS)
    pairs = np.reshape(list(cosines(queries, database, centre)), (5, 20))
    relevant = labels[:5, None] == labels[5:]
    for count in counted:
        above = pairs > count.threshold - 1e-6
        assert count.pairs == above.sum() > 0
        assert count.queries == above.any(axis=1).sum()
        assert count.relevant == (above & relevant).sum()

    equal = counted[-1]
    assert (equal.queries, equal.pairs, equal.relevant) == (1, 3, 1)
    every = Relevance.of(labels, labels)
    (itself,) = duplicates.counts(features, features, centre, every, [1.0])
    assert itself.queries == 25, "a cosine of float32 with itself can be below 1"


def test_the_report_of_a_prepared_data_set(features, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = Place("toy", "given")
    place.dataset_folder.mkdir(parents=True)
    place.features_folder.mkdir(parents=True)
    np.save(place.labels, np.arange(25) % 3)
    np.savez(place.split, query=np.arange(5), database=np.arange(5, 25), train=np.arange(5, 12))
    write_dataset_record(place.dataset_folder)
    with pytest.raises(BenchmarkError, match=r"snakemake .* cache/features/toy/given/"):
        duplicates.report(place)

    np.save(place.features_array, features)
    digest = storage.digest(place.features_array)
    storage.write_json(place.features_record, {"format": FORMAT, "sha256": digest})
    pairs = np.array(list(cosines(features[:5], features[5:], features[5:12].mean(axis=0))))
    *lines, last = duplicates.report(place, [1.0, 0.5])
    assert lines == [
        "toy, given: 5 queries, 20 database images",
        "equal pixels: unknown",
        "cosine of centred features >= 1: 1 queries, 3 pairs, 1 of them relevant",
    ]
    assert f" {(pairs > 0.5).sum()} pairs" in last
    with pytest.raises(BenchmarkError, match="found the threshold 99"):
        duplicates.report(place, [99])
