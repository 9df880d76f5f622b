"""The checks that every run makes of its method: rows on their own, and the same codes again."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from builders import Copy

from harness.errors import BenchmarkError
from methods import _checks
from methods.lsh import LSH
from methods.pcah import PCAH

N, BITS = 3000, 16
FEATURES = np.random.default_rng(0).normal(size=(N, 24)).astype(np.float32)


class Signs:
    """The signs of random projections, minus a threshold of the batch or plus noise."""

    def __init__(self, seed=0, threshold=None, noisy_rows=0):
        self.seed, self.threshold, self.noisy_rows = seed, threshold, noisy_rows

    def fit(self, features):
        shape = features.shape[1], BITS
        self.projection_ = np.random.default_rng(self.seed).normal(size=shape)
        return self

    def encode(self, features):
        values = features @ self.projection_
        if self.threshold:
            return values >= self.threshold(values)
        codes = values >= 0
        if len(codes) < N:  # rounding that changes a few bits
            codes[: self.noisy_rows, 0] ^= True
        return codes


def opened():
    return {"features": lambda: FEATURES}


def check_rows(hasher):
    codes = np.packbits(hasher.fit(FEATURES).encode(FEATURES), axis=1)
    _checks.check_rows(hasher, opened(), codes, BITS, "signs")


@pytest.mark.parametrize(
    "threshold",
    [
        lambda values: np.median(values, axis=0),
        lambda values: values.mean(),
        lambda values: 0.1 * values.max(),
    ],
    ids=["median", "mean", "largest"],
)
def test_codes_that_depend_on_the_batch_are_detected(threshold):
    with pytest.raises(BenchmarkError, match=r"methods/signs\.py.* depends on the batch"):
        check_rows(Signs(threshold=threshold))


def test_codes_of_rows_on_their_own_pass_and_are_not_changed():
    before = FEATURES.copy()
    check_rows(Signs())
    assert (before == FEATURES).all()


def test_a_bit_that_rounding_changes_in_few_rows_is_tolerated():
    """More than 0.1 % of the few bits of the first sample differ, and fewer of the second."""
    hasher = Signs()
    codes = hasher.fit(FEATURES).encode(FEATURES)
    first = np.sort(np.random.default_rng(0).choice(N, _checks.FEWEST, replace=False))[0]
    codes[first, 0] ^= True
    packed = np.packbits(codes, axis=1)
    assert _checks.differing_share(hasher, opened(), packed, BITS, _checks.FEWEST) > _checks.LIMIT
    _checks.check_rows(hasher, opened(), packed, BITS, "signs")


def test_bits_that_differ_in_each_batch_are_not():
    with pytest.raises(BenchmarkError, match=r"signs\.py"):
        check_rows(Signs(noisy_rows=4))


class TestPrecision:
    """Features with three independent dimensions among sixteen."""

    RANDOM = np.random.default_rng(1)
    LOW = (RANDOM.normal(size=(N, 3)) @ RANDOM.normal(size=(3, 16))).astype(np.float32)

    def check(self, hasher, features, bits):
        codes = np.packbits(hasher.fit(features).encode(features), axis=1)
        _checks.check_precision(hasher, {"features": lambda: features}, codes, bits, "mine")

    def test_signs_of_rounding_errors_are_no_bits(self):
        with pytest.raises(BenchmarkError, match=r"mine\.py.* 3 independent dimensions .* 8 bits"):
            self.check(PCAH(8), self.LOW, 8)
        self.check(PCAH(3), self.LOW, 3)

    def test_more_random_projections_than_dimensions_are_bits(self):
        self.check(LSH(32, seed=0), self.LOW, 32)

    def test_values_equal_to_a_threshold_are_not_taken_for_rounding_errors(self):
        class Threshold:
            def fit(self, features):
                return self

            def encode(self, features):
                return features >= 2

        levels = self.RANDOM.integers(0, 4, (N, 16)).astype(np.float32)
        self.check(Threshold(), levels, 16)


def test_an_unseeded_generator_is_detected_by_a_second_training(tmp_path):
    first = Signs(seed=None).fit(FEATURES)
    codes = np.packbits(first.encode(FEATURES), axis=1)
    repetition = _checks.Repetition(lambda: Signs(seed=None), tmp_path / "done")
    arguments = {"features": FEATURES}, opened(), codes, BITS, "signs"
    with pytest.raises(BenchmarkError, match=r"signs\.py: a second training"):
        _checks.check_repeats(repetition, *arguments)
    assert not (tmp_path / "done").exists()


def test_a_training_that_repeats_is_compared_once(tmp_path):
    built = []

    def build():
        built.append(Signs())
        return built[-1]

    codes = np.packbits(Signs().fit(FEATURES).encode(FEATURES), axis=1)
    for _ in range(2):
        repetition = _checks.Repetition(build, tmp_path / "new/done")
        _checks.check_repeats(repetition, {"features": FEATURES}, opened(), codes, BITS, "signs")
    assert len(built) == 1


METHOD = '''from methods._base import Hasher
import numpy as np


class Mine(Hasher):
    """Random projections.

    Source: this test.   Differs from the paper: nothing.
    """

    label, citation, uses_gpu = "Mine", None, False

    def __init__(self, n_bits, *, seed=0):
        self.n_bits, self.seed = n_bits, seed

    def fit(self, features):
        shape = features.shape[1], self.n_bits
        self.projection_ = GENERATOR.normal(size=shape)
        return self

    def encode(self, features):
        return (features - 0.3) @ self.projection_ >= 0
'''
GENERATORS = {
    "np.random.default_rng()": "a second training",
    "np.random.default_rng(self.seed)": None,
    "np.random": None,  # the global generator begins with the seed
}


def test_every_run_makes_the_checks(tmp_path):
    copy = Copy(tmp_path / "bgan-bench")

    def run(*arguments):
        command = [sys.executable, "-m", *arguments]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BGAN_BENCH")}
        environment["PYTHONPATH"] = str(copy.folder)
        return subprocess.run(
            command, cwd=copy.folder, capture_output=True, text=True, env=environment
        )

    for arguments in (("datasets", "digits"), ("features", "extract", "digits", "pixels")):
        assert run(*arguments).returncode == 0
    for generator, message in GENERATORS.items():
        copy.write("methods/mine.py", METHOD.replace("GENERATOR", generator))
        done = run("methods", "digits", "pixels", "mine", "8", "0")
        assert done.returncode == (1 if message else 0), done.stderr
        assert (message or "") in done.stderr

    record = copy.folder / "results/runs/digits/pixels/mine/8bit/seed0/run.json"
    assert json.loads(record.read_text())["fit_seconds"] < _checks.QUICK_SECONDS
    assert len(list((copy.folder / "cache/repeated").iterdir())) == 2
