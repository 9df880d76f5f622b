"""The table of rank correlations, against SciPy and by the scores of the runs."""

import itertools

import numpy as np
import pytest
from builders import DIGITS, described, write_results
from scipy import stats

from report import results
from report.tables import stability_table
from report.tables.stability_table import kendall
from report.writers import csv_files, latex

# Levels so close that the noise of the builder exchanges the order of seeds and of features.
METHODS = [
    *(("lsh", "LSH", 0.40, True), ("pcah", "PCAH", 0.41, False), ("itq", "ITQ", 0.42, True)),
    *(("bgan", "BGAN", 0.43, True), ("sh", "SH", 0.405, False), ("sgh", "SGH", 0.415, True)),
    ("chance", "Chance", 0.1, True),
]
NAMES = [name for name, *_ in METHODS if name != "chance"]
GRID = [DIGITS, ("digits", "gist")]


@pytest.mark.parametrize("levels", [2, 4, 1000])
def test_the_correlation_is_that_of_scipy_with_and_without_ties(levels):
    random = np.random.default_rng(levels)
    for _ in range(50):
        values, others = random.integers(0, levels, (2, 7)).astype(float).tolist()
        expected = stats.kendalltau(values, others).statistic
        if np.isnan(expected):
            assert kendall(values, others) is None
        else:
            assert kendall(values, others) == pytest.approx(expected, abs=1e-12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("results"), methods=METHODS, grid=GRID, bits=(16,))


def taus(folder):
    """{(panel, row): rank correlation at 16 bits}."""
    (table,) = stability_table.build(results.read(folder))
    return {
        (panel.pair.features, row.name): row.cells[0].number
        for panel in table.panels
        for row in panel.rows
    }


def test_seeds_are_compared_in_pairs_and_features_by_means(folder):
    scores = results.read(folder).scores

    def of_seed(features, name, seed):
        values = scores["digits", features, name, 16, "map", None]
        return values.get(seed, values[0])  # PCAH and SH run once

    def mean(features, name):
        return np.mean(list(scores["digits", features, name, 16, "map", None].values()))

    shown = taus(folder)
    for features in ("pixels", "gist"):
        of_pairs = []
        for seeds in itertools.combinations((0, 1, 2), 2):
            orders = [[of_seed(features, name, seed) for name in NAMES] for seed in seeds]
            of_pairs.append(stats.kendalltau(*orders).statistic)
        assert min(of_pairs) < 1, "the seeds have different orders"
        assert shown[features, "Seeds"] == pytest.approx(np.mean(of_pairs))

    orders = [[mean(features, name) for name in NAMES] for features in ("pixels", "gist")]
    expected = stats.kendalltau(*orders).statistic
    assert shown["pixels", "Features: digits, gist"] == pytest.approx(expected)
    assert shown["gist", "Features: digits, pixels"] == pytest.approx(expected)
    assert shown["pixels", "mAP@1,000, divided by the hits found"] == pytest.approx(1)
    assert ("pixels", "Neighbour recall@100") not in shown


def test_another_split_of_the_same_data_set_is_compared(tmp_path):
    """The data sets of the builder have different plugins, so that they are no splits."""
    write = {"methods": METHODS, "grid": [DIGITS, ("cifar10", "pixels")], "bits": (16,)}
    folder = write_results(tmp_path / "others", **write)
    assert ("pixels", "Split: cifar10, pixels") not in taus(folder)
    datasets = described(folder)["datasets"]
    datasets["cifar10"]["plugin"] = datasets["digits"]["plugin"]
    folder = write_results(tmp_path / "splits", **write, datasets=datasets)
    assert ("pixels", "Split: cifar10, pixels") in taus(folder)


def test_few_methods_have_no_table(tmp_path):
    folder = write_results(tmp_path / "results", methods=[*METHODS[:4], METHODS[-1]], bits=(16,))
    assert stability_table.build(results.read(folder)) == []


def test_the_rows_are_no_methods_and_are_not_called_so(folder):
    (table,) = stability_table.build(results.read(folder))
    assert csv_files.of_table(table).startswith("Panel,Compared with,16 bits\n")
    assert str(latex.header(table)).endswith("Compared with & 16 bits \\\\")
