"""The scoring job, end to end on files, and its errors for invalid files."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import write_dataset_record

import evaluation
from evaluation.presets import PRESETS, replay
from evaluation.relevance import Relevance
from experiments import scoring
from harness import storage
from harness.errors import BenchmarkError
from harness.plan import RESULTS, Run, Score
from harness.plugins import ROOT
from harness.records import FORMAT

QUERIES, ITEMS = 40, 300
SCORE_KEY = ("toy", "pixels", "itq")
RUNS = [(12, 0), (12, 1), (20, 0)]


def codes_of(bits, seed):
    rng = np.random.default_rng([bits, seed])
    return rng.normal(size=(5, bits))[np.arange(ITEMS) % 5] + 2 * rng.normal(size=(ITEMS, bits)) > 0


def write_codes(bits, seed, codes=None, stored_bits=None):
    folder = Run(*SCORE_KEY, bits, seed).folder
    folder.mkdir(parents=True, exist_ok=True)
    packed = np.packbits(codes_of(bits, seed), axis=1) if codes is None else codes
    np.savez(folder / "codes.npz", codes=packed, bits=np.int64(stored_bits or bits))
    return folder / "codes.npz"


def describe(of="toy"):
    """Write the records that the jobs before would have written."""
    features = Path("cache/features/toy/pixels")
    write_dataset_record(Path("cache/datasets/toy"), of)
    digest = storage.digest(features / "features.npy")
    storage.write_json(
        features / "features.json", {"format": FORMAT, "made_of": {}, "sha256": digest}
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A data set of 300 items in 5 classes with features and codes, in the working directory.

    The first query has a class of its own.
    """
    monkeypatch.chdir(tmp_path)
    data, features = Path("cache/datasets/toy"), Path("cache/features/toy/pixels")
    data.mkdir(parents=True)
    features.mkdir(parents=True)
    labels = np.arange(ITEMS) % 5
    labels[0] = 99
    np.save(data / "labels.npy", labels)
    index = np.arange(ITEMS)
    np.savez(
        data / "split.npz", query=index[:QUERIES], database=index[QUERIES:], train=index[QUERIES::2]
    )
    np.save(
        features / "features.npy",
        np.random.default_rng(0).normal(size=(ITEMS, 7)).astype(np.float32),
    )
    describe()
    for bits, seed in RUNS:
        write_codes(bits, seed)
    return tmp_path


def read_table(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return {
            (int(row["bits"]), int(row["seed"]), row["metric"], row["k"]): float(row["value"])
            for row in csv.DictReader(file)
        }


def score(variant="itq", runs=RUNS):
    target = Score(RESULTS, "toy", "pixels", variant)
    scoring.score(target, runs)
    return target.folder


def test_tables_hold_every_metric_of_every_run(project):
    table = read_table(score())
    labels = np.arange(ITEMS) % 5
    labels[0] = 99
    for bits, seed in RUNS:
        codes = codes_of(bits, seed)
        names = ["map", "map_worst", "map_best", "relevant_share", "precision@1", "precision@100"]
        expected = evaluation.score(
            codes[:QUERIES], codes[QUERIES:], labels[:QUERIES], labels[QUERIES:], names
        )
        for name, value in expected.items():
            metric, _, k = name.partition("@")
            assert table[bits, seed, f"{metric}@k" if k else metric, k] == value
        assert table[bits, seed, "queries_left_out", ""] == 1
        assert table[bits, seed, "pr_recall", str(bits)] == 1
        assert table[bits, seed, "pr_rank_recall", str(ITEMS - QUERIES)] == 1
        assert (bits, seed, "pr_precision", str(bits + 1)) not in table


def test_histograms_keep_what_a_metric_needs(project):
    table = read_table(folder := score())
    with np.load(folder / "histograms.npz", allow_pickle=False) as stored:
        assert stored["query"].tolist() == list(range(1, QUERIES))
        for bits, seed in RUNS:
            n, r, ap = (stored[f"{bits}bit/seed{seed}/{name}"] for name in ("n", "r", "ap"))
            assert n.shape == r.shape == (QUERIES - 1, bits + 1)
            assert (n.sum(axis=1) == ITEMS - QUERIES).all()
            assert (r.sum(axis=1) == 52).all()
            assert ap.mean() == table[bits, seed, "map", ""]


def test_cuts_beyond_the_database_are_left_out_and_recorded(project):
    table, record = read_table(folder := score()), storage.read_json(folder / "score.json")
    omitted = {(entry["metric"], entry["k"]) for entry in record["omitted"]}
    expected = {
        (f"map@k[{denominator}]", k)
        for denominator in ("found", "min", "R", "hits")
        for k in (1000, 5000)
    }
    expected |= {("precision@k", k) for k in (500, 1000, 5000)}
    expected |= {
        (metric, k) for metric in ("ndcg@k", "ndcg_linear@k", "acg@k") for k in (100, 1000)
    }  # one label an item
    expected |= {("neighbour_recall@k", 1000)}
    assert omitted == expected | {("as-bgan", None)}
    assert not {(metric, k) for _, _, metric, k in table} & {
        (metric, str(k)) for metric, k in expected
    }
    assert record["omitted"][0]["reason"] == "the database has 260 items"


def test_a_preset_cuts_as_for_the_data_set_that_a_variant_is_of(project):
    """DeepHash-pytorch omits the last item, but on NUS-WIDE cuts at 5,000, beyond this database."""
    codes, labels = codes_of(12, 0), np.arange(ITEMS) % 5
    packed, rows = np.packbits(codes, axis=1), slice(1, QUERIES)
    relevance = Relevance.of(labels[rows], labels[QUERIES:])
    for of in ("digits", "nuswide"):
        describe(of)
        expected = replay(
            ["as-deephash-pytorch"], packed[rows], packed[QUERIES:], 12, relevance, 1, of
        )
        assert (
            read_table(score())[12, 0, "as-deephash-pytorch", ""] == expected["as-deephash-pytorch"]
        )


def test_a_preset_that_leaves_out_every_query_of_a_run_has_no_value_there(project, monkeypatch):
    """Equal codes rank by the order of the database, whose first ranks have no relevant item."""
    monkeypatch.setitem(PRESETS, "as-hashnet", replace(PRESETS["as-hashnet"], cut=2))
    labels = np.arange(ITEMS) % 5
    labels[QUERIES : QUERIES + 2] = 99
    np.save("cache/datasets/toy/labels.npy", labels)
    describe()
    write_codes(12, 0, np.zeros((ITEMS, 2), np.uint8))
    table = read_table(score())
    assert {(bits, seed) for bits, seed, metric, _ in table if metric == "as-hashnet"} == {
        (12, 1),
        (20, 0),
    }
    assert {(bits, seed) for bits, seed, metric, _ in table if metric == "as-deepbit"} == set(RUNS)


def test_record_states_what_was_scored(project):
    record_path = score() / "score.json"
    record = storage.read_json(record_path)
    assert (
        record["queries"],
        record["queries_left_out"],
        record["database"],
        record["metric_version"],
    ) == (
        39,
        1,
        260,
        evaluation.METRIC_VERSION,
    )
    made_of = record["made_of"]
    assert made_of["labels"] == storage.digest("cache/datasets/toy/labels.npy")
    assert "evaluation/metrics.py" in made_of["sources"]
    assert record["sha256"] == {
        name: storage.digest(record_path.with_name(name))
        for name in ("metrics.csv", "histograms.npz")
    }
    for entry, (bits, seed) in zip(record["runs"], RUNS, strict=True):
        digest = storage.digest(Run(*SCORE_KEY, bits, seed).codes)
        assert (entry["bits"], entry["seed"], entry["sha256"]) == (bits, seed, digest)
        assert made_of["codes"][f"{bits}bit/seed{seed}"] == digest
        assert entry["seconds"] > 0


@pytest.mark.parametrize(
    ("variant", "runs"), [("itq", RUNS), ("exact-l2", [(0, 0)]), ("exact-cosine", [(0, 0)])]
)
def test_a_repetition_gives_the_same_bytes(project, variant, runs):
    first = [
        (score(variant, runs) / name).read_bytes() for name in ("metrics.csv", "histograms.npz")
    ]
    assert [
        (score(variant, runs[::-1]) / name).read_bytes()
        for name in ("metrics.csv", "histograms.npz")
    ] == first


def test_a_control_is_scored_without_bits(project):
    table = read_table(folder := score("exact-l2", [(0, 0)]))
    features, labels = (
        np.load("cache/features/toy/pixels/features.npy").astype(float),
        np.load("cache/datasets/toy/labels.npy"),
    )
    hits = []
    for query in range(1, QUERIES):
        nearest = (
            QUERIES + np.argsort(((features[QUERIES:] - features[query]) ** 2).sum(axis=1))[:10]
        )
        hits.append((labels[nearest] == labels[query]).mean())
    assert table[0, 0, "precision@k", "10"] == pytest.approx(np.mean(hits), rel=1e-12)
    assert not any(metric in ("pr_precision", "pr_empty") for _, _, metric, _ in table)
    with np.load(folder / "histograms.npz") as stored:
        assert sorted(stored.files) == ["0bit/seed0/ap", "query"]
    digest = storage.digest("cache/features/toy/pixels/features.npy")
    record = storage.read_json(folder / "score.json")
    assert record["runs"][0]["sha256"] == record["made_of"]["features"] == digest


def test_scores_belong_to_an_experiment(project):
    scoring.score(Score(project / "elsewhere", *SCORE_KEY), RUNS[:1])
    assert len(read_table(project / "elsewhere/scores/toy/pixels/itq")) > 20
    assert not Path("results/scores").exists()


def remove(path):
    path.unlink()


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


def other_array(path):
    np.savez(path, other=np.zeros(3))


def pickled(path):
    np.savez(path, codes=np.array([{}, {}], dtype=object), bits=12)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove, "is missing"),
        (truncate, "is damaged"),
        (other_array, "is damaged"),
        (pickled, "is damaged"),
    ],
)
def test_codes_that_cannot_be_read(project, damage, message):
    damage(write_codes(12, 0))
    with pytest.raises(BenchmarkError, match=rf"12bit/seed0/codes.npz {message}"):
        score()
    assert not Path("results/scores/toy/pixels/itq").exists()


@pytest.mark.parametrize(
    ("codes", "stored_bits", "message"),
    [
        (np.zeros((ITEMS - 1, 2), np.uint8), 12, "has 299 codes of 12 bits: expected 300"),
        (
            np.zeros((ITEMS, 2), np.uint8),
            16,
            "300 codes of 16 bits: expected 300, one per label, of 12 bits",
        ),
        (np.zeros((ITEMS, 3), np.uint8), 12, r"query codes are uint8 \(39, 3\)"),
        (np.zeros((ITEMS, 2), np.float32), 12, "query codes are float32"),
        (np.full((ITEMS, 2), 255, np.uint8), 12, "bits beyond the 12"),
    ],
)
def test_codes_that_do_not_fit(project, codes, stored_bits, message):
    write_codes(12, 0, codes, stored_bits)
    with pytest.raises(BenchmarkError, match=rf"codes.npz.*{message}"):
        score()


def test_labels_and_features_that_do_not_fit(project):
    np.save("cache/features/toy/pixels/features.npy", np.zeros((ITEMS - 2, 7), np.float32))
    describe()
    with pytest.raises(
        BenchmarkError,
        match=r"features.npy has shape \(298, 7\): expected a row for each of 300 labels",
    ):
        score("exact-l2", [(0, 0)])
    np.save("cache/datasets/toy/labels.npy", np.arange(ITEMS))
    describe()
    with pytest.raises(BenchmarkError, match="cache/datasets/toy: no query has a relevant item"):
        score()
    with pytest.raises(BenchmarkError, match="expected 0:0"):
        score("exact-l2", [(12, 0)])


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_command_scores_and_prints_errors_as_one_line(project):
    done = run("-m", "evaluation", "score", *SCORE_KEY, "--runs", "12:0", "12:1", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert len(read_table(Path("results/scores/toy/pixels/itq"))) > 100
    failed = run("-m", "evaluation", "score", *SCORE_KEY, "--runs", "64:0")
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert failed.stderr.startswith(
        "evaluation: results/runs/toy/pixels/itq/64bit/seed0/codes.npz is missing"
    )
    assert (
        run("-m", "evaluation", "score", *SCORE_KEY, "--runs", "12").stderr
        == "evaluation: --runs 12: expected bits:seed, as in 48:0\n"
    )


def test_import_loads_nothing_heavy():
    assert (
        run(
            "-c",
            "import evaluation, sys; "
            "sys.exit(any(name in sys.modules for name in ('numba', 'torch', 'numpy')))",
        ).returncode
        == 0
    )


def test_neighbour_recall_is_that_of_brute_force(project):
    """The first query is left out. Its classmates are none, so it is in no mean."""
    table = read_table(score())
    features = np.load("cache/features/toy/pixels/features.npy").astype(np.float64)
    features -= features[QUERIES::2].mean(axis=0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    codes, recalls = codes_of(12, 0), []
    for query in range(1, QUERIES):
        near = np.argsort(-features[QUERIES:] @ features[query])[:100]
        distances = (codes[QUERIES:] != codes[query]).sum(axis=1)
        limit = np.sort(distances)[99]
        inside, tied = distances < limit, distances == limit
        found = inside[near].sum() + tied[near].sum() * (100 - inside.sum()) / tied.sum()
        recalls.append(found / 100)
    assert table[12, 0, "neighbour_recall@k", "100"] == pytest.approx(np.mean(recalls))


def test_a_ranking_by_features_finds_all_neighbours(project):
    table = read_table(score("exact-cosine", [(0, 0)]))
    assert table[0, 0, "neighbour_recall@k", "100"] == 1


def test_stored_rows_are_those_of_the_array(tmp_path, monkeypatch):
    """Rounding of the mean decides ties, so it is equal to the last bit for every block size."""
    random = np.random.default_rng(0)
    features = random.standard_normal((900, 37), dtype=np.float32) * 1e3
    np.save(tmp_path / "features.npy", features)
    rows = random.permutation(900)[:500]
    expected = features[rows].mean(axis=0, dtype=np.float64)
    for block in (1, 64, 500):
        monkeypatch.setattr(scoring, "READ_ROWS", block)
        stored = scoring.StoredRows(tmp_path / "features.npy", 900, rows)
        np.testing.assert_array_equal(stored.mean(axis=0, dtype=np.float64), expected)
        np.testing.assert_array_equal(stored[490:600], features[rows][490:600])
        assert len(stored) == 500


def test_the_nearest_items_are_computed_once_for_the_same_features(project, monkeypatch):
    counted, nearest_items = [], scoring.nearest_items

    def counting(*arrays):
        counted.append(arrays)
        return nearest_items(*arrays)

    monkeypatch.setattr(scoring, "nearest_items", counting)
    first = read_table(score())
    assert read_table(score()) == first
    score("exact-cosine", [(0, 0)])
    assert len(counted) == 1

    features = Path("cache/features/toy/pixels/features.npy")
    np.save(features, np.load(features)[::-1])
    describe()
    changed = read_table(score())
    assert len(counted) == 2
    key = (12, 0, "neighbour_recall@k", "100")
    assert changed[key] != first[key]


def test_codes_in_another_order_are_at_chance(project, capsys):
    score()
    assert "chance" not in capsys.readouterr().out
    shuffled = np.random.default_rng(0).permutation(np.packbits(codes_of(12, 0), axis=1))
    write_codes(12, 0, shuffled)
    score(runs=[(12, 0)])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "chance" in line)
    assert line.startswith("itq, 12 bits, seed 0: mAP 0.")
    assert "cache/datasets/toy/images.npy" in line
