"""Histograms and metrics against programs of others: faiss for distances, trec_eval for average precision, torch for the counts."""

import subprocess
import sys

import faiss
import numpy as np
import pytest
import pytrec_eval
import torch

import evaluation
from evaluation import histograms, histograms_torch, metrics
from evaluation.relevance import Relevance
from harness.errors import BenchmarkError
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
        assert r[query].tolist() == np.bincount(distances[query], weights=relevant, minlength=bits + 1).tolist()


def test_average_precision_is_that_of_trec_eval_without_ties():
    rng = np.random.default_rng(0)
    r = (rng.random((30, 300)) < 0.1).astype(int)
    r[:, 250] = 1
    judged = {str(query): {str(item): int(row[item]) for item in range(300)} for query, row in enumerate(r)}
    run = {str(query): {str(item): -float(item) for item in range(300)} for query in range(30)}
    names = {"map_cut_10": "map@k[R]", "map_cut_200": "map@k[R]", "P_10": "precision@k", "recall_200": "recall@k"}
    evaluator = pytrec_eval.RelevanceEvaluator(judged, {"map", "map_cut.10,200", "P.10", "recall.200", "ndcg_cut.10,200"})
    found = evaluator.evaluate(run)
    n, g = np.ones_like(r), np.stack([1 - r, r], axis=2)
    for query in range(30):
        row = slice(query, query + 1)
        assert metrics.average_precision(n[row], r[row])[0] == pytest.approx(found[str(query)]["map"], rel=1e-12)
        for name, metric in names.items():
            k = int(name.rpartition("_")[2])
            assert metrics.measure(metric, k, n[row], r[row])[0] == pytest.approx(found[str(query)][name], rel=1e-12), name
        for k in (10, 200):
            assert metrics.measure("ndcg_linear@k", k, n[row], r[row], g[row])[0] == pytest.approx(
                found[str(query)][f"ndcg_cut_{k}"], rel=1e-12
            )


def sample(bits, multi):
    rng = np.random.default_rng(bits)
    codes = rng.integers(0, 256, (500, -(-bits // 8)), dtype=np.uint8)
    codes[:, -1] &= 256 - 2 ** (-bits % 8)
    labels = rng.random((500, 9)) < 0.25 if multi else rng.integers(0, 4, 500)
    return codes[:150], codes[150:], bits, Relevance.of(labels[:150], labels[150:])


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("bits", [1, 12, 64, 100, 1024])
@pytest.mark.parametrize("device", ["cpu:0", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_torch_counts_the_same_integers(device, bits, multi, monkeypatch):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    monkeypatch.setattr(histograms_torch, "PAIRS", 10_000)  # several steps a part, and a last one that is shorter
    arrays = sample(bits, multi)
    for count in (histograms.hamming, histograms.hamming_shared):
        np.testing.assert_array_equal(count(*arrays, device=device), count(*arrays, device="cpu"))


@pytest.mark.parametrize("bits", [1, 31, 1024, 2048])
def test_float16_counts_the_same_integers(bits, monkeypatch):
    """What a GPU multiplies with, here on the CPU: codes at every distance there can be, opposite ones among them."""
    assert histograms_torch._dtype(bits, "cuda") == torch.float16
    assert histograms_torch._dtype(2049, "cuda") == histograms_torch._dtype(bits, "cpu:0") == torch.float32
    monkeypatch.setattr(histograms_torch, "_dtype", lambda bits, device: torch.float16)
    codes = np.packbits(np.tri(bits + 1, bits, -1, dtype=bool), axis=1)  # 0, 1, ..., bits ones
    labels = np.arange(bits + 1) % 3
    arrays = codes[[0, -1, bits // 2]], codes, bits, Relevance.of(labels[:3] if bits > 1 else labels[[0, 1, 0]], labels)
    n, r = histograms.hamming(*arrays, device="cpu:0")
    assert (n[:2] == 1).all()
    np.testing.assert_array_equal((n, r), histograms.hamming(*arrays, device="cpu"))


def test_a_device_that_torch_does_not_have(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BenchmarkError, match="has no device 'cuda': install a build for your GPU"):
        histograms.hamming(*sample(12, False), device="cuda")


def test_a_gpu_is_used_where_there_is_one_and_enough_work(monkeypatch):
    monkeypatch.setattr(histograms.provenance, "gpu_present", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [histograms._device(work) for work in (10**6, histograms.GPU_WORK)] == ["cpu", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # a build for the CPU alone
    assert histograms._device(10**15) == "cpu"
    monkeypatch.setattr(histograms.provenance, "gpu_present", lambda: False)
    assert histograms._device(10**15) == "cpu"


def test_scoring_does_not_import_torch():
    program = """
import sys, numpy, evaluation
from evaluation import scoring
codes, labels = numpy.eye(4, dtype=bool), numpy.array([0, 0, 1, 1])
evaluation.score(codes, codes, labels, labels, ["map", "as-bgan", "ndcg@2"])
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_score_is_the_same_by_torch(monkeypatch):
    rng = np.random.default_rng(0)
    codes, labels = rng.random((90, 20)) < 0.5, rng.integers(0, 3, 90)
    arrays = (codes[:20], codes[20:], labels[:20], labels[20:], ["map", "map@9[found]"])
    expected = evaluation.score(*arrays)
    monkeypatch.setattr(histograms, "_device", lambda work: "cpu:0")
    assert evaluation.score(*arrays) == expected
