"""Histograms and metrics against other programs: faiss for distances, trec_eval for AP."""

import subprocess
import sys

import faiss
import numpy as np
import pytest
import pytrec_eval

import evaluation
from evaluation import histograms, metrics
from evaluation.relevance import Relevance
from harness.plugins import ROOT


@pytest.mark.parametrize("bits", [8, 48, 64, 256])
def test_distances_are_those_of_faiss(bits):
    rng = np.random.default_rng(bits)
    codes, labels = rng.integers(0, 256, (320, bits // 8), dtype=np.uint8), rng.integers(0, 5, 320)
    index = faiss.IndexBinaryFlat(bits)
    index.add(codes[20:])
    distances, items = index.search(codes[:20], 300)
    n, r = histograms.hamming(codes[:20], codes[20:], bits, Relevance.of(labels[:20], labels[20:]))
    for query in range(20):
        relevant = labels[20:][items[query]] == labels[query]
        assert n[query].tolist() == np.bincount(distances[query], minlength=bits + 1).tolist()
        assert (
            r[query].tolist()
            == np.bincount(distances[query], weights=relevant, minlength=bits + 1).tolist()
        )


def test_average_precision_is_that_of_trec_eval_without_ties():
    rng = np.random.default_rng(0)
    r = (rng.random((30, 300)) < 0.1).astype(int)
    r[:, 250] = 1
    judged = {
        str(query): {str(item): int(row[item]) for item in range(300)}
        for query, row in enumerate(r)
    }
    run = {str(query): {str(item): -float(item) for item in range(300)} for query in range(30)}
    names = {
        "map_cut_10": "map@k[R]",
        "map_cut_200": "map@k[R]",
        "P_10": "precision@k",
        "recall_200": "recall@k",
    }
    evaluator = pytrec_eval.RelevanceEvaluator(
        judged, {"map", "map_cut.10,200", "P.10", "recall.200", "ndcg_cut.10,200"}
    )
    found = evaluator.evaluate(run)
    n, g = np.ones_like(r), np.stack([1 - r, r], axis=2)
    for query in range(30):
        row = slice(query, query + 1)
        assert metrics.average_precision(n[row], r[row])[0] == pytest.approx(
            found[str(query)]["map"], rel=1e-12
        )
        for name, metric in names.items():
            k = int(name.rpartition("_")[2])
            assert metrics.measure(metric, k, n[row], r[row])[0] == pytest.approx(
                found[str(query)][name], rel=1e-12
            ), name
        for k in (10, 200):
            assert metrics.measure("ndcg_linear@k", k, n[row], r[row], g[row])[0] == pytest.approx(
                found[str(query)][f"ndcg_cut_{k}"], rel=1e-12
            )


def test_the_preset_of_trec_eval_is_its_value_for_codes_with_ties():
    """Ties are in the order of the database, which the scores of the run state."""
    rng = np.random.default_rng(1)
    queries, database = rng.random((8, 6)) < 0.5, rng.random((1300, 6)) < 0.5
    labels = rng.integers(0, 4, 8), rng.integers(0, 4, 1300)
    judged, run = {}, {}
    for query, code in enumerate(queries):
        order = np.argsort((code != database).sum(axis=1), kind="stable")
        relevant = (labels[1] == labels[0][query]).astype(int)
        judged[str(query)] = {str(item): int(value) for item, value in enumerate(relevant)}
        run[str(query)] = {str(item): float(-rank) for rank, item in enumerate(order)}

    values = pytrec_eval.RelevanceEvaluator(judged, {"map_cut.1000"}).evaluate(run).values()
    expected = np.mean([value["map_cut_1000"] for value in values])
    scored = evaluation.score(queries, database, *labels, metrics=["as-trec"])
    assert scored["as-trec"] == pytest.approx(expected, rel=1e-12)


def test_scoring_does_not_import_torch():
    program = """
import sys, numpy, evaluation
from evaluation import controls, inspection
codes, labels = numpy.eye(4, dtype=bool), numpy.array([0, 0, 1, 1])
evaluation.score(codes, codes, labels, labels, ["map", "as-bgan", "ndcg@2"])
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
