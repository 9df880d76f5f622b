"""Measured times: the right operation is timed, and the job runs on an otherwise idle machine."""

import numpy as np
import pytest
from builders import TINY, rows_of

from evaluation.relevance import words
from experiments import timing

TIMED = TINY.replace("[chance, pcah, itq, bgan-brief]", "[lsh, itq, bgan-brief]").replace(
    "seeds: [0, 1]", "seeds: [0]\ntimed: [12]"
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


def test_times_are_taken_once_all_runs_are_done(copy):
    copy.write("timed.yaml", TIMED)
    copy.run(config="timed.yaml")
    taken = copy.folder / "results/experiments/timed/timing.csv"
    times = [path.stat().st_mtime for path in copy.folder.glob("results/**/lsh/**/*.np[yz]")]
    assert len(times) == 5, "codes and extras of two lengths, and their scores"
    assert max(times) < taken.stat().st_mtime
    rows = {row["variant"]: row for row in rows_of(taken)}
    hashing, controls = ("12", "2"), ("0", "768")
    assert {name: (row["bits"], row["bytes"]) for name, row in rows.items()} == {
        **dict.fromkeys(("lsh", "itq", "bgan-brief"), hashing),
        **dict.fromkeys(("exact-cosine", "exact-l2"), controls),
    }
    assert rows["bgan-brief"]["extract_microseconds"] == "0.0"  # it sees the pixels
    assert (
        float(rows["itq"]["extract_microseconds"])
        == float(rows["exact-l2"]["extract_microseconds"])
        > 0
    )
    assert all(float(row["search_microseconds"]) > 0 for row in rows.values())
    assert float(rows["bgan-brief"]["fit_seconds"]) > float(rows["itq"]["fit_seconds"]) > 0
    assert rows["exact-l2"]["fit_seconds"] == rows["exact-l2"]["encode_microseconds"] == ""
    shown = (copy.folder / "results/experiments/timed/report/tables/efficiency.tex").read_text()
    assert "Exact cosine" in shown
    assert not list(copy.folder.glob("cache/checkpoints/*.pt"))
    assert "Nothing to be done" in copy.run("--dry-run", config="timed.yaml")
    copy.replace("experiments/timing.py", "SEARCH_REPETITIONS = 5", "SEARCH_REPETITIONS = 4")
    assert copy.planned(config="timed.yaml") == [
        ("all", ""),
        ("experiments", ""),
        ("report", ""),
        ("timing", ""),
    ]
