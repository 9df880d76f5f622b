"""The evaluation library: independent of the project, installable, independent of settings."""

import ast
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
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
