"""The evaluation library: independent of the project, installable, independent of settings."""

import ast
import doctest
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import scipy.stats
import torch
import yaml

import evaluation
from evaluation import kernels
from harness.plugins import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = [name.removeprefix("bgan_bench.") for name in PROJECT["tool"]["setuptools"]["py-modules"]]
FILES = [ROOT / "evaluation" / f"{name.replace('.', '/')}.py" for name in MODULES]
ALLOWED = {"numpy", "scipy", "numba", "llvmlite"} | sys.stdlib_module_names


@pytest.mark.parametrize("path", FILES, ids=MODULES)
def test_the_library_imports_itself_only_and_relatively(path):
    depth = len(path.relative_to(ROOT / "evaluation").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {name.name.partition(".")[0] for name in node.names} <= ALLOWED
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module.partition(".")[0] in ALLOWED
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level <= depth, f"line {node.lineno} leaves the package"
            imported = [node.module] if node.module else [name.name for name in node.names]
            package = path.parents[node.level - 1].relative_to(ROOT / "evaluation").parts
            for name in imported:
                assert ".".join([*package, name]) in {*MODULES, "kernels"}


def test_every_module_is_installed_but_the_command():
    files = set((ROOT / "evaluation").rglob("*.py"))
    assert files - set(FILES) == {ROOT / "evaluation/__main__.py"}


def test_the_version_is_that_of_the_citation_and_the_changelog():
    version = PROJECT["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"\n## {version} " in (ROOT / "CHANGELOG.md").read_text()


def test_the_dependencies_are_requirements_of_the_benchmark():
    required = (ROOT / "requirements.txt").read_text().splitlines()
    assert set(PROJECT["project"]["dependencies"]) <= set(required)


@pytest.mark.parametrize("which", ["query", "database"])
def test_negative_labels_are_refused_with_a_way_out(which):
    """They would be a class of their own, although many data sets mark items without a class so."""
    codes = np.random.default_rng(0).random((6, 8)) < 0.5
    labels = {"query": np.arange(6) % 2, "database": np.arange(6) % 2}
    labels[which] = np.array([0, 1, -1, 0, 1, -1])
    with pytest.raises(evaluation.EvaluationError, match=f"2 of 6 {which} labels are negative"):
        evaluation.score(codes, codes, labels["query"], labels["database"])


def test_importing_the_package_alone_imports_neither_numpy_nor_numba():
    program = "import evaluation, sys; sys.exit(bool({'numpy', 'numba'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


# What each program changes before the library is imported, with a warning that must appear once.
FAST = "the fast kernel does not work"
UNCACHED = "the compiled loops cannot be cached"
CHANGES = {
    "a module is missing": (
        "del numba.core.cgutils; sys.modules['numba.core.cgutils'] = None",
        FAST,
    ),
    "a name is missing": ("del numba.extending.intrinsic", FAST),
    "a function has another signature": ("numba.extending.register_model = lambda: None", FAST),
    "a method of llvmlite is missing": ("del llvmlite.ir.IRBuilder.shuffle_vector", FAST),
    "no folder is writable": ("numba.core.caching.CacheImpl._locator_classes = []", UNCACHED),
}
PROGRAM = """
import sys, warnings
import llvmlite.ir, numba.core.caching, numba.core.cgutils, numba.extending
numba.njit("int64(int64)")(lambda number: number)  # Numba imports its own modules when it compiles
{change}
import numpy, evaluation
rng = numpy.random.default_rng(0)
codes, labels = rng.random((300, 20)) < 0.5, rng.integers(0, 4, 300)
for repetition in range(2):
    scores = evaluation.score(codes[:90], codes[90:], labels[:90], labels[90:], {names})
print(scores)
print(evaluation.kernels.count_levels.__module__)
"""
NAMES = ["map", "map@50[found]", "map@50[hits]", "ndcg@20", "as-bgan"]


@pytest.mark.parametrize("case", CHANGES)
def test_without_private_interfaces_or_a_cache_values_are_the_same_after_one_warning(
    case, tmp_path
):
    change, message = CHANGES[case]
    program = PROGRAM.format(change=change, names=NAMES)
    environment = {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.findall("RuntimeWarning: (.{,80}?)(?: with|:)", done.stderr) == [message]

    rng = np.random.default_rng(0)
    codes, labels = rng.random((300, 20)) < 0.5, rng.integers(0, 4, 300)
    expected = evaluation.score(codes[:90], codes[90:], labels[:90], labels[90:], NAMES)
    kernel = "evaluation.kernels.plain" if message == FAST else "evaluation.kernels.bitsliced"
    assert done.stdout.splitlines() == [str(expected), kernel]


def test_the_fast_kernel_is_in_use():
    assert kernels.count_levels.__module__ == "evaluation.kernels.bitsliced"


RNG = np.random.default_rng(5)
BITS = RNG.random((40, 12)) < 0.5
CLASSES = RNG.integers(0, 4, 40)
ONE_HOT = np.eye(4, dtype=bool)[CLASSES]
QUERIES, DATABASE = slice(0, 10), slice(10, 40)
ASKED = ["map", "precision@5", "map@7[found]", "ndcg@9", "as-bgan"]


def scored(codes, labels=CLASSES, metrics=ASKED, **options):
    arrays = codes[QUERIES], codes[DATABASE], labels[QUERIES], labels[DATABASE]
    return evaluation.score(*arrays, metrics, **options)


def test_the_examples_of_the_docstrings_are_right():
    done = doctest.testmod(evaluation)
    assert (done.failed, done.attempted > 10) == (0, True)


@pytest.mark.parametrize(
    ("codes", "options"),
    [
        (BITS.astype(np.uint8), {}),
        (BITS.astype(np.int64), {"bits": 12}),
        (np.where(BITS, 1, -1), {}),
        (np.where(BITS, 1.0, -1.0).astype(np.float16), {}),
        (np.packbits(BITS, axis=1), {"bits": 12}),
        (np.packbits(BITS, axis=1, bitorder="little"), {"bits": 12}),
        (torch.from_numpy(BITS), {}),
        (torch.from_numpy(np.where(BITS, 1.0, -1.0)).requires_grad_(), {}),
        (torch.from_numpy(np.where(BITS, 1.0, -1.0)).to(torch.bfloat16), {}),
        (BITS.tolist(), {}),
    ],
    ids=["uint8", "int64", "signs", "float16", "packed", "little", "torch", "grad", "bf16", "list"],
)
def test_codes_of_every_kind_have_the_same_score(codes, options):
    assert scored(codes, **options) == scored(BITS)


@pytest.mark.parametrize(
    "labels",
    [
        ONE_HOT,
        ONE_HOT.astype(np.float32),
        ONE_HOT.astype(np.int8),
        torch.from_numpy(ONE_HOT).float(),
        ONE_HOT.tolist(),
        CLASSES.astype(float),
        CLASSES.astype(np.uint8),
    ],
    ids=["bool", "float", "int8", "torch", "list", "whole numbers", "uint8"],
)
def test_labels_of_every_kind_have_the_same_score(labels):
    assert scored(BITS, labels) == pytest.approx(scored(BITS), rel=1e-12)


def test_a_column_of_class_numbers_is_refused_with_a_way_out():
    with pytest.raises(evaluation.EvaluationError, match=r"labels\.ravel\(\)"):
        scored(BITS, CLASSES[:, None])


@pytest.mark.parametrize(
    ("bits", "message"),
    [(9, "ones beyond the 9 bits"), (20, "query codes have 2 columns of uint8: expected 20")],
)
def test_packed_codes_of_another_length_are_refused(bits, message):
    with pytest.raises(evaluation.EvaluationError, match=message):
        scored(np.packbits(BITS, axis=1), bits=bits)


def test_junk_is_left_out_of_queries_and_database():
    labels = CLASSES.copy()
    labels[[2, 5, 12, 30, 31]] = -1
    keep = labels >= 0
    queries, database = np.flatnonzero(keep[:10]), 10 + np.flatnonzero(keep[10:])
    arrays = BITS[queries], BITS[database], labels[queries], labels[database]
    assert scored(BITS, labels, ignore_label=-1) == evaluation.score(*arrays, ASKED)

    of_queries = evaluation.per_query(
        BITS[:10], BITS[10:], labels[:10], labels[10:], ignore_label=-1
    )
    assert of_queries["query"].tolist() == queries.tolist()
    with pytest.raises(evaluation.EvaluationError, match="row of zeros"):
        scored(BITS, ONE_HOT, ignore_label=-1)


def test_values_of_queries_have_the_mean_that_is_scored():
    labels = CLASSES.copy()
    labels[3] = 9  # a query without a relevant item
    metrics = ASKED[:-1]
    values = evaluation.per_query(BITS[:10], BITS[10:], labels[:10], labels[10:], metrics)
    assert values.pop("query").tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    means = {name: array.mean() for name, array in values.items()}
    assert means == pytest.approx(scored(BITS, labels, metrics), rel=1e-12)
    with pytest.raises(evaluation.EvaluationError, match="'as-bgan' is unknown"):
        evaluation.per_query(BITS[:10], BITS[10:], labels[:10], labels[10:], ["as-bgan"])


def test_curves_are_those_of_a_loop_over_queries():
    arrays = BITS[:10], BITS[10:], CLASSES[:10], CLASSES[10:]
    distances = (BITS[:10, None] != BITS[None, 10:]).sum(axis=2)
    relevant = CLASSES[:10, None] == CLASSES[None, 10:]
    curve = evaluation.precision_recall(*arrays)
    assert curve.at.tolist() == list(range(13))
    for radius, precision, recall in zip(*curve, strict=True):
        ball = distances <= radius
        hits = (ball & relevant).sum(axis=1)
        assert precision == pytest.approx(np.mean(hits / np.maximum(1, ball.sum(axis=1))))
        assert recall == pytest.approx(np.mean(hits / relevant.sum(axis=1)))

    ranks = [1, 5, 30]
    names = [f"{name}@{k}" for name in ("precision", "recall") for k in ranks]
    of_ranks = evaluation.precision_recall(*arrays, ranks)
    expected = evaluation.score(*arrays, names)
    assert [*of_ranks.precision, *of_ranks.recall] == pytest.approx(list(expected.values()))


def test_a_comparison_of_single_runs_is_a_paired_t_test():
    values, other = RNG.random(50), RNG.random(50)
    found = evaluation.compare(values, other)
    test = scipy.stats.ttest_rel(values, other)
    interval = test.confidence_interval(0.95)
    assert found.p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.difference == pytest.approx(values.mean() - other.mean())

    mean, low, high = evaluation.mean_interval(values)
    expected = scipy.stats.t.interval(0.95, 49, values.mean(), scipy.stats.sem(values))
    assert (mean, low, high) == pytest.approx((values.mean(), *expected))


def test_seeds_that_differ_widen_an_interval():
    one = RNG.random(50) / 2
    seeds = np.stack([one, one + 0.2, one - 0.2])
    mean, low, high = evaluation.mean_interval(seeds)
    _, one_low, one_high = evaluation.mean_interval(one)
    assert mean == pytest.approx(one.mean())
    assert high - low > 2 * (one_high - one_low)
    assert evaluation.compare(seeds, one / 2).p > evaluation.compare(one, one / 2).p


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.5], [0.2]], "values of 1 and 2 queries"),
        ([0.5, np.nan], "nan or infinite"),
        ("ab", "expected a number for each query"),
        ([], "expected a number for each query"),
    ],
)
def test_values_that_cannot_be_compared_are_refused(values, message):
    with pytest.raises(evaluation.EvaluationError, match=message):
        evaluation.compare(values, [0.1, 0.2])
