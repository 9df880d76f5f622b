"""The contract of a method, checked on a small problem: the job `check` and tests/test_methods.py.

`methods/_base.py` states the contract. What can be read without importing the file of a method is
checked by `harness.plugins`, and what every run checks again by `methods/_checks.py`.
"""

from __future__ import annotations

import inspect
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from evaluation import score
from harness import plugins
from harness.errors import BenchmarkError, one_line, plugin_line
from harness.plan import citation_keys
from harness.plugins import Plugin
from harness.variants import check_param

BITS = 12
DIGITS = 600  # images of the problem: enough for the anchors of graph methods, and seconds
NEIGHBOURS = 64  # in the list of an image, at most
ROWS_ALONE = (5, 300, 17)  # rows that are encoded alone
MARGIN = 0.1  # of mean average precision above chance; random codes stay below 0.03 over seeds
ARRAYS = ("images", "features", *plugins.TRAINING_ARRAYS)  # that a method may consume
VIEWS, NOISE = 4, 0.05  # of each image; the deviation of the noise that tells views apart
DOCSTRING = ("Source:", "Differs from the paper:")
OTHER_SEED = 2026  # seed of the global generators in a repeated training; 0 in the first


@dataclass(frozen=True)
class Problem:
    """Images of balanced classes, and what a method may read of them.

    Parameters
    ----------
    arrays : dict of str to ndarray
        By the names of the arguments of `fit` and `encode`: ``images``, ``features``,
        ``neighbours`` and ``views``. They are read-only.
    labels : ndarray of shape (n,), int64
        Classes, which no method sees.
    """

    arrays: dict[str, np.ndarray]
    labels: np.ndarray

    @property
    def chance(self) -> float:
        """Mean average precision of random codes: the share of a balanced class."""
        return 1 / len(np.unique(self.labels))


@dataclass
class Case:
    """A method with parameters on a problem. It is trained when its codes are first used.

    Parameters
    ----------
    plugin : Plugin
    problem : Problem
    params : dict
        Parameters that differ from the defaults.
    bits : int
    """

    plugin: Plugin
    problem: Problem
    params: dict = field(default_factory=dict)
    bits: int = BITS

    @cached_property
    def method(self) -> type:
        return plugins.load_class(self.plugin)

    @property
    def seeded(self) -> bool:
        return "seed" in self.plugin.defaults

    @cached_property
    def trained(self) -> object:
        """The object after `fit`."""
        _seed_generators(0)
        hasher = self.build()
        returned = hasher.fit(**self.arguments(hasher.fit))
        if returned is not hasher:
            raise BenchmarkError(
                f"fit returned {type(returned).__name__}, expected the object itself. End it with "
                "`return self`"
            )
        return hasher

    @cached_property
    def codes(self) -> np.ndarray:
        """The codes of all images, bool (n, bits)."""
        return self.encoded(self.trained)

    def build(self, **overrides: object):
        """Return the object before `fit`."""
        return self.method(self.bits, **self.params | overrides)

    def codes_of(self, **overrides: object) -> np.ndarray:
        """Return the codes of all images after another training."""
        hasher = self.build(**overrides)
        hasher.fit(**self.arguments(hasher.fit))
        return self.encoded(hasher)

    def encoded(self, hasher, rows: slice = slice(None)) -> np.ndarray:
        return hasher.encode(**self.arguments(hasher.encode, rows))

    def arguments(self, function: Callable, rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Return what a function consumes; neighbour lists and views are always whole."""
        given = {}
        for name in inspect.signature(function).parameters:
            array = self.problem.arrays[name]
            given[name] = array if name in plugins.TRAINING_ARRAYS else array[rows]
        return given


@dataclass(frozen=True)
class Check:
    """One clause of the contract.

    Parameters
    ----------
    name : str
        What has to hold.
    problem_of : callable
        Takes a `Case` and returns what is wrong and how to fix it; empty if nothing is.
    """

    name: str
    problem_of: Callable[[Case], str]


# -------------------------------------------------------------------------- clauses


def _citation(case: Case) -> str:
    key = case.plugin.member("citation")
    if key is None or key in citation_keys():
        return ""
    return (
        f"report/references.bib has no entry {key!r}. Add it, or set citation to None for a method "
        "that is not published"
    )


def _docstring(case: Case) -> str:
    text = inspect.getdoc(case.method) or ""
    missing = [word for word in DOCSTRING if word not in text]
    return f"the docstring of the class has no `{missing[0]}`. Add it" if missing else ""


def _search_space(case: Case) -> str:
    for param, values in (case.plugin.member("search_space") or {}).items():
        default = case.plugin.defaults[param]
        if default not in values:
            return f"{param} has {values}, without the default {default!r}. Add it"
    return ""


def _init_stores(case: Case) -> str:
    learned = [name for name in vars(case.build()) if name.endswith("_")]
    if not learned:
        return ""
    return f"__init__ sets {learned[0]!r}, which is learned state. Set it in fit"


def _fit(case: Case) -> str:
    return "" if case.trained is not None else "fit returned nothing"


def _codes(case: Case) -> str:
    codes, shape = case.codes, (len(case.problem.labels), case.bits)
    description = _described(codes)
    if description == f"bool {shape}":
        return ""
    return f"encode returned {description}, expected bool {shape}. Return `values >= 0`"


def _differing(case: Case) -> str:
    if (case.codes != case.codes[0]).any():
        return ""
    return "all images have the same code. Check the threshold: are the values centred?"


def _repeats(case: Case) -> str:
    _seed_generators(OTHER_SEED)
    share = (case.codes_of() != case.codes).mean()
    if not share:
        return ""
    return (
        f"{share:.1%} of the bits differ. Draw all random numbers from generators that begin with "
        "`seed`, as np.random.default_rng(self.seed)"
    )


def _seed_counts(case: Case) -> str:
    if not case.seeded or (case.codes_of(seed=1) != case.codes).any():
        return ""
    return "seed 1 gives the codes of seed 0. Use `seed`, or leave it out of __init__"


def _rows_alone(case: Case) -> str:
    alone = [case.encoded(case.trained, slice(row, row + 1)) for row in ROWS_ALONE]
    share = (np.concatenate(alone) != case.codes[list(ROWS_ALONE)]).mean()
    if not share:
        return ""
    return f"{share:.1%} of the bits differ. Compute means, medians and the like in fit"


def _project(case: Case) -> str:
    hasher = case.trained
    if not hasattr(hasher, "project"):
        return ""
    consumed = [
        list(inspect.signature(part).parameters) for part in (hasher.project, hasher.encode)
    ]
    if consumed[0] != consumed[1]:
        return f"project takes {consumed[0]}, expected the arguments of encode: {consumed[1]}"

    values, shape = hasher.project(**case.arguments(hasher.project)), case.codes.shape
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.shape != shape:
        return f"project returned {_described(values)}, expected floats of shape {shape}"
    if not np.isfinite(values).all():
        return "project returned values that are not finite. Check for divisions by 0"
    if ((values >= 0) != case.codes).any():
        return "encode differs from project >= 0. Return `self.project(...) >= 0` in encode"
    return ""


def _described(values: object) -> str:
    """Return the dtype and shape of an array, or the type of another object."""
    if isinstance(values, np.ndarray):
        return f"{values.dtype} {values.shape}"
    return type(values).__name__


def _beats_chance(case: Case) -> str:
    if case.plugin.member("citation") is None:
        return ""
    codes, labels = case.codes, case.problem.labels
    query = np.arange(len(labels)) % 5 == 0
    scores = score(codes[query], codes[~query], labels[query], labels[~query], metrics=("map",))
    least = case.problem.chance + MARGIN
    if scores["map"] > least:
        return ""
    return (
        f"mAP is {scores['map']:.3f}, expected more than {least:.3f}; random codes have "
        f"{case.problem.chance:.3f}. A control has citation None"
    )


CHECKS = (
    Check("the citation is in report/references.bib", _citation),
    Check("the docstring states the source and what differs from it", _docstring),
    Check("search_space, if there is one, has the defaults", _search_space),
    Check("__init__ only stores its arguments", _init_stores),
    Check("fit learns without writing to its arguments, and returns the object", _fit),
    Check("encode returns bool (m, n_bits)", _codes),
    Check("images have different codes", _differing),
    Check("the same seed gives the same codes", _repeats),
    Check("another seed gives other codes", _seed_counts),
    Check("each row is encoded on its own", _rows_alone),
    Check("project, if there is one, returns finite values that encode thresholds at 0", _project),
    Check("the codes are better than chance", _beats_chance),
)


def _seed_generators(seed: int) -> None:
    """Seed the global generators, from which no method may draw."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


# ------------------------------------------------------------------------------ job


def check(method: str, overrides: str) -> bool:
    """Check a method on digits, print a line per clause, and return whether all hold.

    Parameters
    ----------
    method : str
        Name of a file in methods/, or path of a file elsewhere.
    overrides : str
        Parameters that differ from the defaults, as a JSON object.
    """
    # Codes repeat bit for bit on the CPU only.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    plugin = _plugin(method)
    case = Case(plugin, digits(), _params(plugin, overrides))
    print(f"{method} on {DIGITS} digits, {BITS} bits")

    holds = True
    for clause, reason in results(case):
        holds = holds and not reason
        print(
            f"failed  {clause.name}: {reason}" if reason else f"ok      {clause.name}", flush=True
        )
    return holds


def results(case: Case) -> Iterator[tuple[Check, str]]:
    """Yield each clause with what is wrong; empty if nothing is. Stop if there are no codes."""
    for clause in CHECKS:
        reason = reason_of(clause, case)
        yield clause, reason
        if reason and clause.problem_of in (_fit, _codes):
            return


def reason_of(clause: Check, case: Case) -> str:
    """Return what is wrong on one line. What the method raises is a reason too."""
    try:
        return one_line(BenchmarkError(clause.problem_of(case)))
    except BenchmarkError as error:
        return one_line(error)
    except Exception as error:  # whatever the code of the method raises
        line = plugin_line(error)
        return f"{type(error).__name__}: {one_line(error)}" + (f" at {line}" if line else "")


def _plugin(method: str) -> Plugin:
    if method.endswith(".py"):
        plugin = plugins.plugin_of_file("methods", Path(method))
    else:
        plugin = plugins.read_plugin("methods", method)
    if "codes" in plugin.consumes:
        raise BenchmarkError(f"{method} reads codes from files: there is no training to check")
    return plugin


def _params(plugin: Plugin, overrides: str) -> dict:
    try:
        params = json.loads(overrides)
    except ValueError:
        params = None
    if not isinstance(params, dict):
        raise BenchmarkError(
            f"--set: found {overrides}, expected a JSON object, as '{{\"iterations\": 5}}'"
        )
    for param, value in params.items():
        check_param(plugin, param, value, f"--set: {param}")
    return params


def digits() -> Problem:
    """Return a problem of handwritten digits, with their pixels as features."""
    plugin = plugins.read_plugin("datasets", "digits")
    collection = plugins.load_class(plugin)().load(Path(), Path())
    images, labels = collection.images[:DIGITS], collection.labels[:DIGITS]
    features = images[..., 0].reshape(len(images), -1).astype(np.float32) / np.float32(255)
    arrays = {"images": images, "features": features, "neighbours": neighbours(features)}
    arrays["views"] = noisy_copies(features)
    for array in arrays.values():
        array.flags.writeable = False
    return Problem(arrays, labels)


def noisy_copies(features: np.ndarray) -> np.ndarray:
    """Return copies of features with noise, float32 (4, n, d), as views."""
    shape = VIEWS, *features.shape
    noise = np.random.default_rng(0).normal(scale=NOISE, size=shape).astype(np.float32)
    return features + noise


def neighbours(features: np.ndarray) -> np.ndarray:
    """Return the rows by distance from each row, itself first: int32 (n, min(64, n))."""
    centred = features - features.mean(axis=0, dtype=np.float64)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, np.inf)
    return np.argsort(-similarities, axis=1, kind="stable")[:, :NEIGHBOURS].astype(np.int32)
