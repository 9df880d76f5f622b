"""Rankings besides that by Hamming distance: from the job of a run to the scores."""

import csv
from pathlib import Path

import numpy as np
import pytest
from builders import loaded, write_dataset_record

from evaluation import asymmetric, metrics
from evaluation.relevance import Relevance
from evaluation.reranking import average_precision_reranked
from experiments import scoring
from harness import records, schemas, storage
from harness.errors import BenchmarkError
from harness.plan import RESULTS, Plan, Run, Score
from methods import _checks
from methods.__main__ import query_values

QUERIES, ITEMS, BITS = 40, 300, 12
SCORE_KEY = ("toy", "pixels", "isoh")
BOTH = ("asymmetric", "reranked")


def values_of(seed):
    return np.random.default_rng(seed).normal(size=(ITEMS, BITS)).astype(np.float32)


def write_run(seed, values=None, **facts):
    run = Run(*SCORE_KEY, BITS, seed)
    run.folder.mkdir(parents=True, exist_ok=True)
    packed = np.packbits(values_of(seed) >= 0, axis=1)
    np.savez(run.codes, codes=packed, bits=np.int64(BITS))
    extras = {} if values is None else {schemas.QUERY_VALUES: values}
    np.savez(run.extras, **extras)
    if values is not None:
        facts = {"query_values_sha256": storage.bytes_digest(values.tobytes())} | facts
    records.write(run.record, {}, codes_sha256=storage.digest(run.codes), **facts)
    return run


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A prepared data set in the working directory. One query has no relevant item."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(schemas.RANKINGS, "reranked", {"map_reranked@k": (100, 1000)})
    data, features = Path("cache/datasets/toy"), Path("cache/features/toy/pixels")
    data.mkdir(parents=True)
    features.mkdir(parents=True)
    labels = np.arange(ITEMS) % 5
    labels[0] = 99
    index = np.arange(ITEMS)
    np.save(data / "labels.npy", labels)
    np.savez(
        data / "split.npz", query=index[:QUERIES], database=index[QUERIES:], train=index[QUERIES::2]
    )
    rows = np.random.default_rng(0).normal(size=(ITEMS, 7)).astype(np.float32)
    np.save(features / "features.npy", rows)
    write_dataset_record(data, "toy")
    records.write(features / "features.json", {}, sha256=storage.digest(features / "features.npy"))
    return labels, rows


def scored(seeds, rankings=BOTH):
    target = Score(RESULTS, *SCORE_KEY)
    scoring.score(target, [(BITS, seed) for seed in seeds], rankings)
    with open(target.metrics, newline="") as file:
        table = {
            (int(row["seed"]), row["metric"], row["k"]): float(row["value"])
            for row in csv.DictReader(file)
        }
    return table, storage.read_json(target.record)


def test_scores_are_those_of_the_library_for_the_same_run(project):
    labels, rows = project
    write_run(3, values_of(3)[:QUERIES])
    table, _ = scored([3])
    relevance = Relevance.of(labels[1:QUERIES], labels[QUERIES:])
    packed = np.packbits(values_of(3) >= 0, axis=1)
    for name, distance in (("map_asymmetric", "product"), ("map_sigmoid", "sigmoid")):
        values = asymmetric.each_query(
            distance,
            values_of(3)[1:QUERIES],
            packed[QUERIES:],
            relevance,
            metrics.average_precision,
        )
        assert table[3, name, ""] == pytest.approx(np.mean(values), abs=1e-12)
    assert table[3, "map_asymmetric", ""] != pytest.approx(table[3, "map_sigmoid", ""], abs=1e-6)

    reranked = average_precision_reranked(
        packed[1:QUERIES],
        packed[QUERIES:],
        BITS,
        rows[1:QUERIES],
        rows[QUERIES:],
        rows[QUERIES::2].mean(axis=0, dtype=np.float64),
        relevance,
        100,
    )
    assert table[3, "map_reranked@k", "100"] == reranked.mean()


def test_a_run_without_real_values_has_no_asymmetric_scores(project):
    write_run(0)
    table, record = scored([0])
    names = {metric for _, metric, _ in table}
    assert "map_reranked@k" in names
    assert not any(name.startswith(("map_asymmetric", "map_sigmoid")) for name in names)
    assert "query_values" not in record["made_of"]


def test_cuts_beyond_the_database_are_left_out_and_recorded(project):
    write_run(0, values_of(0)[:QUERIES])
    table, record = scored([0])
    expected = {
        ("map_reranked@k", 1000),
        ("map_asymmetric@k[found]", 1000),
        ("map_sigmoid@k[found]", 1000),
    }
    assert expected <= {(entry["metric"], entry["k"]) for entry in record["omitted"]}
    assert not {(metric, str(k)) for metric, k in expected} & {key[1:] for key in table}


def test_the_rankings_and_their_values_identify_the_scores(project):
    write_run(0, values_of(0)[:QUERIES])
    write_run(1)
    plain, record = scored([0, 1], rankings=())
    assert not {"rankings", "query_values"} & record["made_of"].keys()
    table, record = scored([0, 1])
    assert record["made_of"]["rankings"] == ["asymmetric", "reranked"]
    assert list(record["made_of"]["query_values"]) == ["12bit/seed0"]
    assert {key: table[key] for key in plain} == plain  # the ranked column does not change


def test_values_that_were_changed_are_refused(project):
    run = write_run(0, values_of(0)[:QUERIES])
    np.savez(run.extras, **{schemas.QUERY_VALUES: values_of(1)[:QUERIES]})
    with pytest.raises(BenchmarkError, match=r"is not the array that run.json describes"):
        scored([0])


def test_every_metric_of_a_ranking_is_known_to_the_scores():
    names = {metric.partition("@")[0] for metric in schemas.RANKINGS["asymmetric"]}
    assert names == scoring.ASYMMETRIC.keys()
    for metric in schemas.RANKINGS["asymmetric"]:
        standard = metric.replace("_asymmetric", "").replace("_sigmoid", "")
        assert standard in metrics.WHOLE | metrics.CUT


def test_the_plan_has_rankings_of_the_configuration_only():
    plan = Plan.load(loaded(methods=["isoh"]))
    with_rankings = Plan.load(loaded(methods=["isoh"], rankings=["reranked", "asymmetric"]))
    assert plan.rankings == ()
    assert with_rankings.rankings == BOTH
    assert plan.digest != with_rankings.digest
    assert Plan.load(loaded(methods=["isoh"], rankings=[])).digest == plan.digest


# The real values of a run


class Projecting:
    """Values of features, and codes that are their signs."""

    n_bits = BITS

    def project(self, features):
        return features.astype(np.float64) * 3

    def encode(self, features):
        return self.project(features) >= 0


def test_a_run_stores_the_values_of_its_queries_in_their_order(monkeypatch):
    monkeypatch.setattr("methods._runtime.BLOCK", 7)
    rows = values_of(0)
    query = np.random.default_rng(1).permutation(ITEMS)[:QUERIES]
    codes = np.packbits(rows >= 0, axis=1)
    values = query_values(Projecting(), {"features": lambda: rows}, codes, query, BITS, "toy")
    assert values.dtype == np.float32
    assert values == pytest.approx(rows[query] * 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "project returned list, expected an array"),
        (np.ones((3, 5)), r"project returned \(3, 5\), expected an array \(3, 4\)"),
        (np.full((3, 4), 1e300), "not finite as float32"),
        (-np.ones((3, 4)), "100.0% of the bits are not those of project >= 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_values_that_are_not_those_of_the_codes_are_refused(values, message):
    codes = np.packbits(np.ones((3, 4), bool), axis=1)
    with pytest.raises(BenchmarkError, match=f"methods/toy.py: .*{message}"):
        _checks.check_query_values(values, codes, 4, "toy")
