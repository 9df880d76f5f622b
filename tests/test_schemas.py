"""The columns and arrays that the stages write, compared with harness/schemas.py."""

import json

import numpy as np
import pytest
from builders import rows_of

from harness import schemas

ROOT = "results/experiments/tiny"
TABLES = {
    **{f"{ROOT}/{name}": columns for name, columns in schemas.COLLECTED_TABLES.items()},
    f"{ROOT}/scores/digits/pixels/itq/metrics.csv": schemas.SCORES_CSV,
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_have_their_columns(finished, name):
    assert tuple(rows_of(finished / name)[0]) == TABLES[name]


def test_the_record_of_a_run_states_what_it_uses_outside_of_what_it_is_made_of(finished):
    row = rows_of(finished / f"{ROOT}/runs.csv")[0]
    record = json.loads((finished / row["folder"] / "run.json").read_text())
    expected = {"tier": "features", "fidelity": None, "settings": "default"}
    expected |= {"trials": 0, "labels_used": 0}
    assert {name: record[name] for name in schemas.USES} == expected
    assert [row[name] for name in schemas.USES] == ["features", "", "default", "0", "0"]
    assert not set(schemas.USES) & set(record["made_of"])


def types_of(path):
    """The dtype and the number of dimensions of each array of an npz."""
    with np.load(path) as stored:
        return {name: (str(stored[name].dtype), stored[name].ndim) for name in stored.files}


def expected(schema):
    return {name: (dtype, len(dimensions)) for name, (dtype, dimensions) in schema.items()}


def test_splits_and_codes_have_their_arrays(finished):
    assert types_of(finished / "cache/datasets/digits/split.npz") == expected(schemas.SPLIT_NPZ)
    codes = finished / "results/runs/digits/pixels/itq/12bit/seed0/codes.npz"
    assert types_of(codes) == expected(schemas.CODES_NPZ)


def test_histograms_have_their_arrays(finished):
    found = types_of(finished / f"{ROOT}/scores/digits/pixels/itq/histograms.npz")
    assert {name: found.pop(name) for name in schemas.HISTOGRAMS_NPZ} == expected(
        schemas.HISTOGRAMS_NPZ
    )
    runs = {}
    for name, kind in found.items():
        bits, seed, array = schemas.parsed_array(name)
        assert schemas.scored_array(bits, seed, array) == name
        runs.setdefault((bits, seed), {})[array] = kind
    arrays = expected(schemas.SCORED_ARRAYS)
    del arrays["g"]  # the digits have one label each
    assert list(runs) == [(8, 0), (8, 1), (12, 0), (12, 1)]
    assert all(run == arrays for run in runs.values())


def test_histograms_of_a_control_have_the_average_precision(finished):
    found = types_of(finished / f"{ROOT}/scores/digits/pixels/exact-l2/histograms.npz")
    assert found == {"query": ("int64", 1), schemas.scored_array(0, 0, "ap"): ("float64", 1)}


@pytest.mark.parametrize(
    "name", ["query", "8bit/seed0", "8bit/seed/ap", "bit/seed0/ap", "8bit/seed0/ap/more"]
)
def test_other_names_are_of_no_run(name):
    assert schemas.parsed_array(name) is None
