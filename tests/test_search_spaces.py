"""Settings drawn from the declared search spaces."""

import itertools
from collections import Counter

import pytest
import yaml

from experiments.search_spaces import drawn_overrides, with_drawn_trials
from harness import plugins
from harness.errors import BenchmarkError
from harness.plan import Plan
from harness.plugins import ROOT

SEARCHED = [
    name
    for name in plugins.names("methods")
    if plugins.read_plugin("methods", name).member("search_space")
]


def space_of(name):
    return plugins.read_plugin("methods", name).member("search_space")


@pytest.mark.parametrize("name", SEARCHED)
def test_settings_are_different_points_of_the_declared_grid(name):
    found = drawn_overrides(name, 16)
    space = space_of(name)
    grid = [dict(zip(space, point, strict=True)) for point in itertools.product(*space.values())]
    assert all(setting in grid for setting in found)
    assert all(found.count(setting) == 1 for setting in found)
    assert len(found) == min(16, len(grid))
    assert found == drawn_overrides(name, 16)


def test_a_space_no_larger_than_the_number_is_tried_whole():
    values = space_of("itq")["iterations"]
    assert drawn_overrides("itq", len(values)) == [{"iterations": value} for value in values]
    assert len(drawn_overrides("itq", len(values) - 1)) == len(values) - 1


def test_more_settings_begin_with_fewer():
    assert drawn_overrides("bgan", 32)[:16] == drawn_overrides("bgan", 16)


def test_points_fill_the_space_evenly():
    """Of 16 points of a Sobol sequence, 4 or 5 fall into each quarter of a parameter."""
    counts = Counter(setting["weight_neighbourhood"] for setting in drawn_overrides("bgan", 16))
    assert sorted(counts.values()) == [4, 4, 4, 4]


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ({"lsh": 16}, "trials: lsh: methods/lsh.py declares no search_space"),
        ({"itq": 1}, "trials: itq: found 1 trials, expected 2 to 1024"),
        ({"bgam": 16}, "trials: 'bgam' is unknown"),
    ],
)
def test_a_number_that_cannot_be_drawn_is_an_error(trials, message):
    with pytest.raises(BenchmarkError, match=message):
        with_drawn_trials({"trials": trials})


@pytest.mark.parametrize("config", [{}, {"trials": None}, {"trials": []}])
def test_a_configuration_without_numbers_stays(config):
    assert with_drawn_trials(config) == config


def test_the_two_stages_of_the_repository_load():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config |= yaml.safe_load((ROOT / "config/variants.yaml").read_text())
    first = config | yaml.safe_load((ROOT / "config/tuning-search.yaml").read_text())
    second = config | yaml.safe_load((ROOT / "config/tuning-finals.yaml").read_text())
    plan = Plan.load(with_drawn_trials(first))
    plugins_of_rows = {method.plugin.name for method in plan.methods.values()}
    assert {name: first["trials"][name] for name in plugins_of_rows} == first["trials"]
    assert set(first["trials"].values()) == {16}
    assert {method.base for method in plan.methods.values()} == set(first["methods"])
    assert set(plan.seeds).isdisjoint(second["seeds"])
    assert set(config["seeds"]).isdisjoint([*plan.seeds, *second["seeds"]])
    assert (plan.bits, second["bits"]) == ((32,), [12, 32, 64])
