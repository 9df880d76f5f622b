"""Check an installation of the package: run this file outside the checkout, after `pip install`."""

import importlib.util
import sys

import numpy as np
from bgan_bench import EvaluationError, score
from bgan_bench.kernels import count_levels

import datasets

# The directory of this file is the first entry of sys.path, and the checkout must not be on it.
assert not any(importlib.util.find_spec(name) for name in ("evaluation", "harness"))
assert hasattr(datasets, "load_dataset"), f"{datasets.__file__} is not the package of Hugging Face"
assert count_levels.__module__ == "bgan_bench.kernels.bitsliced"

rng = np.random.default_rng(0)
labels = rng.integers(0, 5, 400)
codes = rng.random((400, 24)) < 0.5
names = ["map_worst", "map", "map_best", "as-bgan", "ndcg@10"]
scores = score(codes[:50], codes[50:], labels[:50], labels[50:], names)
assert scores["map_worst"] < scores["map"] < scores["map_best"]
assert scores["map_worst"] < scores["as-bgan"] < scores["map_best"]

try:
    score(codes[:50], codes[50:], labels[:50], labels[50:], ["unknown"])
except EvaluationError as error:
    print(f"Python {sys.version.split()[0]}, datasets {datasets.__version__}: {scores}\n{error}")
else:
    raise AssertionError("expected an EvaluationError")
