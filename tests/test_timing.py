"""Measured times: the right operation is timed, and the job runs on an otherwise idle machine."""

import numpy as np
import pytest
from builders import TINY, rows_of

from evaluation.relevance import words
from experiments import quantisation, timing

TIMED = TINY.replace("[chance, pcah, itq, bgan-brief]", "[lsh, itq, bgan-brief]").replace(
    "seeds: [0, 1]", "seeds: [0]\ntimed: [12]\ncontrols: [exact-cosine, int8, pq]"
)


@pytest.mark.parametrize("bits", [3, 8, 64, 200])
@pytest.mark.parametrize("items", [5, 100, 4000])
def test_a_search_finds_the_nearest(bits, items):
    rng = np.random.default_rng(bits)
    codes, query = rng.random((items, bits)) < 0.5, rng.random(bits) < 0.5
    packed = words(np.packbits(codes, axis=1))
    packed_query = words(np.packbits(query[None], axis=1))[:, 0]
    distances, found = (
        np.empty(items, np.uint16),
        np.empty(min(timing.SEARCH_ITEMS, items), np.int64),
    )
    buckets = np.empty(8 * -(-bits // 8) + 1, np.int64)
    timing._search(packed_query, packed, distances, buckets, found)
    expected = (codes != query).sum(axis=1)
    assert len(set(found)) == len(found)
    assert sorted(expected[found]) == sorted(expected)[: len(found)]


@pytest.fixture
def features():
    """Queries, database and training rows; as the controls do, these have no mean."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1200, 24)).astype(np.float32) ** 3
    return rows[:5], rows[5:905], rows[905:]


def assert_nearest(items, distances):
    assert len(set(items)) == len(items) == timing.SEARCH_ITEMS
    nearest = np.sort(distances)[: timing.SEARCH_ITEMS]
    assert np.sort(distances[items]) == pytest.approx(nearest, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("control", "bits", "size"), [("int8", 0, 24), ("pq", 12, 2), ("pq", 24, 3)]
)
def test_a_search_by_quantised_features_finds_the_nearest_rows_that_are_scored(
    features, control, bits, size
):
    search, stored = timing.search_by_quantised(control, *features, bits)
    assert stored == size
    queries, rows = quantisation.decoded(control, *features, bits)
    for query, features_of_query in enumerate(queries.astype(float)):
        assert_nearest(search(query), ((features_of_query - rows) ** 2).sum(axis=1))


def test_a_search_by_features_finds_the_nearest_rows(features):
    queries, database, _ = features
    search = timing.search_by_features("exact-l2", queries, database)
    for query in range(len(queries)):
        assert_nearest(search(query), ((queries[query] - database.astype(float)) ** 2).sum(axis=1))


def test_re_ranking_finds_the_first_of_the_first_items_by_their_features(features, monkeypatch):
    monkeypatch.setattr(timing, "RERANKED_ITEMS", 300)
    queries, database, _ = features
    codes = [np.packbits(rows > 0, axis=1) for rows in (queries, database)]
    search = timing.search_reranked(*codes, queries, database)
    lengths = np.linalg.norm(database, axis=1)
    for query in range(len(queries)):
        hamming = ((queries[query] > 0) != (database > 0)).sum(axis=1)
        first = np.argsort(hamming, kind="stable")[:300]
        cosines = database[first] @ queries[query] / lengths[first]
        expected = first[np.argsort(-cosines)[: timing.SEARCH_ITEMS]]
        assert set(search(query)) == set(expected)


def test_a_time_is_the_median_of_the_repetitions():
    columns = timing._columns("search", np.array([3e-6, 1e-6, 8e-6]))
    assert columns["search_microseconds"] == pytest.approx(3)
    assert columns["search_spread_microseconds"] == pytest.approx(7)


def test_times_are_taken_once_all_runs_are_done(copy):
    copy.write("timed.yaml", TIMED)
    copy.run(config="timed.yaml")
    taken = copy.folder / "results/experiments/timed/timing.csv"
    times = [path.stat().st_mtime for path in copy.folder.glob("results/**/lsh/**/*.np[yz]")]
    assert len(times) == 5, "codes and extras of two lengths, and their scores"
    assert max(times) < taken.stat().st_mtime
    rows = {row["variant"]: row for row in rows_of(taken)}
    assert {name: (row["bits"], row["bytes"]) for name, row in rows.items()} == {
        **dict.fromkeys(("lsh", "itq", "bgan-brief", "pq"), ("12", "2")),
        **{"exact-cosine": ("0", "768"), "int8": ("0", "192")},
    }
    assert rows["bgan-brief"]["extract_microseconds"] == "0.0"  # it sees the pixels
    assert (
        float(rows["itq"]["extract_microseconds"])
        == float(rows["exact-cosine"]["extract_microseconds"])
        > 0
    )
    assert all(float(row["search_microseconds"]) > 0 for row in rows.values())
    assert float(rows["bgan-brief"]["fit_seconds"]) > float(rows["itq"]["fit_seconds"]) > 0
    assert rows["pq"]["fit_seconds"] == rows["pq"]["encode_microseconds"] == ""
    assert {name for name, row in rows.items() if row["rerank_microseconds"]} == {
        *("lsh", "itq", "bgan-brief")
    }
    shown = (copy.folder / "results/experiments/timed/report/tables/efficiency.tex").read_text()
    assert "Exact cosine" in shown
    assert "Product quantisation" in shown
    assert not list(copy.folder.glob("cache/checkpoints/*.pt"))
    assert "Nothing to be done" in copy.run("--dry-run", config="timed.yaml")
    copy.replace("experiments/timing.py", "SEARCH_REPETITIONS = 3", "SEARCH_REPETITIONS = 4")
    assert copy.planned(config="timed.yaml") == [
        ("all", ""),
        ("experiments", ""),
        ("report", ""),
        ("timing", ""),
    ]
