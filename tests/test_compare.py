"""Own codes, or a method of an own experiment, against the published values of each query."""

import json
import os
import re

import numpy as np
import pytest
import scipy.stats

from evaluation import METRIC_VERSION, per_query
from experiments import __main__ as command
from experiments import compare, publish
from experiments.compare import Method
from harness import storage
from harness.errors import BenchmarkError
from harness.plan import Place
from harness.records import FORMAT

RNG = np.random.default_rng(3)
QUERIES = 30
TOY = Place("toy", "pixels")
NAMES = {"published": ("LSH", True), "fixed_one": ("PCA & more", False)}


def one_run(label, level=0.5, bits=16):
    values = {bits: level + RNG.normal(0, 0.1, (1, QUERIES))}
    return Method(label, values, stochastic=False)


def test_single_runs_are_compared_by_a_paired_t_test():
    own, other = one_run("Mine"), one_run("Other", 0.48)
    lines = compare.compare(own, [other])
    line = next(line for line in lines if line.label == "Other")
    test = scipy.stats.ttest_rel(own.runs[16][0], other.runs[16][0])
    interval = test.confidence_interval(0.95)
    assert line.p == pytest.approx(test.pvalue)
    assert line.difference == pytest.approx(
        (own.runs[16].mean() - other.runs[16].mean(), interval.low, interval.high)
    )
    assert [line.mean for line in lines] == sorted((line.mean for line in lines), reverse=True)


def test_p_values_are_corrected_over_the_methods_of_a_code_length():
    own, others = one_run("Mine"), [one_run(f"Other {index}") for index in range(3)]
    alone = [compare.compare(own, [other]) for other in others]
    single = {line.label: line.p for lines in alone for line in lines}
    together = {line.label: line.p for line in compare.compare(own, others)}
    smallest = min((f"Other {index}" for index in range(3)), key=single.get)
    assert together[smallest] == pytest.approx(min(1, 3 * single[smallest]))


@pytest.mark.parametrize(
    ("seeds", "lengths", "tested"), [(3, [16], False), (3, [16, 32], True), (5, [16], True)]
)
def test_a_method_with_randomness_needs_seeds(seeds, lengths, tested):
    runs = {bits: RNG.random((seeds, QUERIES)) for bits in lengths}
    random = Method("Random", runs, stochastic=True)
    line = next(x for x in compare.compare(one_run("Mine"), [random]) if x.label == "Random")
    assert (line.p is not None) == (line.verdict != "not tested") == tested
    assert line.difference[1] < line.difference[0] < line.difference[2]


def test_without_a_common_code_length_nothing_is_compared():
    with pytest.raises(BenchmarkError, match="codes of 24 bits, and the published runs of 16"):
        compare.compare(one_run("Mine", bits=24), [one_run("Other")])


def write_json(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": FORMAT, "made_of": {}} | content))


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A data set of 90 images in 3 classes, and a published folder with runs on it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    labels, rows = np.arange(90) % 3, RNG.permutation(90)
    codes = RNG.random((90, 16)) < 0.2 + 0.3 * labels[:, None]
    folder = TOY.dataset_folder
    folder.mkdir(parents=True)
    np.save(TOY.labels, labels)
    query, database = rows[:QUERIES], rows[QUERIES:]
    np.savez(TOY.split, query=query, database=database, train=database)
    digests = {name: storage.digest(folder / name) for name in ("labels.npy", "split.npz")}
    facts = {"sha256": digests, "split_sha256": "ab"}
    write_json(TOY.dataset_record, **facts)

    published = publish.PUBLISHED / "toy"
    arrays = {"toy/pixels/query": query}
    for seed in range(5):
        arrays[f"toy/pixels/published/16bit/seed{seed}"] = RNG.random(QUERIES).astype("float32")
    arrays["toy/pixels/fixed_one/16bit/seed0"] = RNG.random(QUERIES).astype("float32")
    write_json(
        published / "experiment.json",
        metric_version=METRIC_VERSION,
        grid=[["toy", "pixels"]],
        datasets={"toy": facts},
        methods=[
            {"name": name, "label": label, "stochastic": stochastic}
            for name, (label, stochastic) in NAMES.items()
        ],
    )
    np.savez(published / "average_precision.npz", **arrays)
    return codes, labels, query, database


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["experiments", "compare", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


def test_the_command_prints_and_writes_a_table_of_codes(toy, monkeypatch, capsys):
    codes, labels, query, database = toy
    np.save("mine.npy", codes)
    assert run(monkeypatch, "mine.npy", "--with", "published/toy", "--latex", "t.tex") == 0
    printed = capsys.readouterr().out
    mean = per_query(codes[query], codes[database], labels[query], labels[database])["map"].mean()
    assert re.search(rf"Mine +{mean:.3f} \[", printed)
    assert re.search(r"LSH .* 5 runs ", printed)
    written = (TOY.dataset_folder.parents[2] / "t.tex").read_text()
    assert r"PCA \& more & " in written
    assert written.count(r"\begin{") == written.count(r"\end{")


def test_files_of_seeds_are_the_runs_of_one_method(toy, monkeypatch, capsys):
    for seed in range(5):
        np.save(f"mine-16-{seed}.npy", RNG.random((90, 16)) < 0.5)
    np.save("mine-16-x.npy", np.zeros(3))
    options = ("--with", "toy", "--label", "Of files")
    assert run(monkeypatch, "mine-{bits}-{seed}.npy", *options) == 0
    assert re.search(r"Of files .* 5 runs", capsys.readouterr().out)
    assert "no file fits none-{seed}.npy" in run(monkeypatch, "none-{seed}.npy", *options)


def test_an_experiment_is_compared_without_its_codes(toy, monkeypatch, capsys):
    _, _, query, _ = toy
    methods = [
        {"name": name, "label": label, "stochastic": False}
        for name, label in (("published", "LSH"), ("new", "New"))
    ]
    results = TOY.dataset_folder.parents[2] / "results"
    write_json(results / "experiment.json", methods=methods)
    scores = results / "scores/toy/pixels/new/histograms.npz"
    scores.parent.mkdir(parents=True)
    arrays = {"16bit/seed0/ap": np.full(QUERIES, 0.25)}
    np.savez(scores, query=query, **arrays)
    assert run(monkeypatch, "results", "--with", "toy") == 0
    assert re.search(r"New +0.250 \[0.250, 0.250\]", capsys.readouterr().out)
    assert "Choose with --method" in run(monkeypatch, "results", "--with", "toy", "--method", "x")

    np.savez(scores, query=query[::-1], **arrays)
    assert "expected the same queries" in run(monkeypatch, "results", "--with", "toy")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric_version": 2}, "has version 2 of the metrics"),
        ({"datasets": {"toy": {"split_sha256": "cd", "sha256": {}}}}, "has another split"),
        ({"grid": [["toy", "pixels"], ["toy", "gist"]]}, "Choose with --dataset and --features"),
    ],
)
def test_values_that_must_not_be_mixed_are_refused(toy, monkeypatch, changes, message):
    path = publish.PUBLISHED / "toy/experiment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    np.save("mine.npy", toy[0])
    assert message in run(monkeypatch, "mine.npy", "--with", "toy")
    assert "is not a published folder: expected one of toy" in run(
        monkeypatch, "mine.npy", "--with", "other"
    )
