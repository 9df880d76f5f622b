"""Simulate the tests of `evaluation.significance`: family-wise error, coverage and power.

    python -m benchmarks.significance                       # all cases; minutes
    python -m benchmarks.significance --rule satterthwaite  # the test before version 5

A simulated experiment has methods at several code lengths with seeds and 1,000 queries. All methods
are equally good, so each significant difference is an error. Rates:

claim
    The first method is compared with each other one at every length, with Holm's correction over
    these comparisons. Rate of experiments with a significant difference.
rows
    The same for the best of each column against each other row, with Holm's correction as if the
    best had been chosen beforehand. It is no rule of the tables: it shows why.
dagger, of 2
    Rate of experiments with a dagger: the best of a column is significantly above every other row,
    `harness.families.is_best`. "of 2": only two methods are equal, and the others are far
    below. This is the least favourable case.
pairs
    All pairs with Holm's correction: `p_holm` of comparisons.csv, exploratory.
coverage
    Smallest share, over the cells, of intervals that contain the mean.
power
    Share of comparisons of a claim that are significant if the first method is better by 0.03, and
    by 0.05. "LSH": by 0.1.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import astuple, dataclass

import numpy as np

from benchmarks import results
from evaluation.significance import (
    Estimate,
    Floats,
    Variance,
    estimate,
    interval,
    over_seeds,
    over_seeds_pooled,
)
from harness.families import LEVEL

QUERIES = 1000
# Standard deviations of average precision over queries: shared by all methods, of one method, and
# of one run. The first does not enter a difference, since queries are paired.
COMMON_DEVIATION, OF_METHOD, OF_RUN = 0.3, 0.1, 0.15
PUBLISHED = (0.035, 0.024, 0.014, 0.016)  # over six seeds of BGAN at four lengths, by a third party
SIZES = ((2, 4), (8, 4), (8, 6))
SEEDS = (3, 4, 5)
BLOCK = 2000  # experiments that are simulated at a time


@dataclass(frozen=True)
class Rates:
    """Rates over simulated experiments; the module describes them."""

    claim: float
    rows: float
    dagger: float
    dagger_of_two: float
    pairs: float
    coverage: float
    power_003: float
    power_005: float
    power_010: float


HEADINGS = ("claim", "rows", "dagger", "of 2", "pairs", "coverage", "0.03", "0.05", "LSH 0.1")
CASES = (
    "equal 0.002",
    "equal 0.01",
    "equal 0.02",
    "equal 0.035",
    "equal 0.02, correlated",
    "0.02 and 0.002",
    "published",
    "fourfold",
    "fourfold, one length",
    "fourfold, mixed",
    "fourfold, one method random",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=20_000)
    parser.add_argument("--rule", choices=("pooled", "satterthwaite"), default="pooled")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    arguments = parser.parse_args()

    for seeds, (methods, lengths) in itertools.product(arguments.seeds, SIZES):
        print(f"\n{seeds} seeds, {methods} methods, {lengths} code lengths")
        print(f"{'standard deviation of seeds':28}", *(f"{name:>8}" for name in HEADINGS))
        of_cases = []
        for case in CASES:
            case_rates = rates(
                case, methods, lengths, seeds, arguments.experiments, rule=arguments.rule
            )
            print(f"{case:28}", *(f"{rate:8.3f}" for rate in astuple(case_rates)), flush=True)
            of_cases.append(case_rates)

        figures = {
            "claim": f"at most {max(each.claim for each in of_cases):.3f}",
            "dagger": f"at most {max(each.dagger for each in of_cases):.3f}",
            "coverage": f"at least {min(each.coverage for each in of_cases):.3f}",
        }
        problem = f"{seeds} seeds, {methods} methods, {lengths} code lengths, {arguments.rule}"
        results.save("significance", f"{problem}, {len(CASES)} cases", figures)


def rates(
    case: str,
    methods: int,
    lengths: int,
    seeds: int,
    experiments: int,
    seed: int = 1,
    rule: str = "pooled",
) -> Rates:
    """Return the rates of one case.

    Parameters
    ----------
    case : str
        One of CASES.
    methods, lengths, seeds, experiments : int
    seed : int
        Of the simulation.
    rule : {"pooled", "satterthwaite"}
        The present test, or the one before version 5, which estimates each cell by itself.
    """
    random = np.random.default_rng(seed)
    outcomes: dict[str, list[Floats]] = {}
    for start in range(0, experiments, BLOCK):
        block = min(BLOCK, experiments - start)
        simulated = _simulate(case, methods, lengths, seeds, block, random)
        for name, values in _outcomes(simulated, rule).items():
            outcomes.setdefault(name, []).append(values)

    shares = {name: np.concatenate(blocks).mean(axis=0) for name, blocks in outcomes.items()}
    return Rates(**{name: float(share.min()) for name, share in shares.items()})


@dataclass(frozen=True)
class Simulated:
    """Means and variances of E experiments with M methods at L lengths, each ndarray (E, M, L).

    Parameters
    ----------
    means : ndarray
        Mean of each cell minus its true value, without what all methods share.
    shared : ndarray of shape (E, 1, L)
        What all methods share.
    over_queries : ndarray
        Variance over queries of `means`.
    of_seeds : ndarray
        Sample variance over seeds.
    seeds : ndarray of shape (M,)
    """

    means: Floats
    shared: Floats
    over_queries: Floats
    of_seeds: Floats
    seeds: np.ndarray


def _simulate(
    case: str, methods: int, lengths: int, seeds: int, experiments: int, random: np.random.Generator
) -> Simulated:
    deviations = _deviations(case, methods, lengths)  # (M, L)
    counts = np.where(deviations.any(axis=1), seeds, 1)  # a method without randomness runs once
    shape = experiments, methods, lengths

    # Half of the variance of a method over queries is common to all lengths.
    common = random.normal(size=(experiments, methods, 1)) + random.normal(size=shape)
    means = OF_METHOD * np.sqrt(0.5 / QUERIES) * common
    of_seeds = np.zeros(shape)
    for method, count in enumerate(counts):
        effects = _seed_effects(case, deviations[method], count, experiments, random)
        means[:, method] += effects.mean(axis=-1)
        if count > 1:
            of_seeds[:, method] = effects.var(axis=-1, ddof=1)

    variances = OF_METHOD**2 + OF_RUN**2 / counts[:, None]
    over_queries = variances / QUERIES * _chi_squared(random, shape)
    shared = COMMON_DEVIATION / np.sqrt(QUERIES) * random.normal(size=(experiments, 1, lengths))
    return Simulated(means, shared, over_queries, of_seeds, counts)


def _deviations(case: str, methods: int, lengths: int) -> Floats:
    """Return the true standard deviation over seeds of each cell, (M, L)."""
    fourfold = np.geomspace(0.01, 0.04, lengths)
    if case.startswith("equal"):
        deviation = float(case.removeprefix("equal ").partition(",")[0])
        return np.full((methods, lengths), deviation)
    if case == "0.02 and 0.002":
        return np.repeat([0.02] + [0.002] * (methods - 1), lengths).reshape(methods, lengths)
    if case == "published":
        positions = np.linspace(0, len(PUBLISHED) - 1, lengths)
        return np.tile(np.interp(positions, range(len(PUBLISHED)), PUBLISHED), (methods, 1))
    if case == "fourfold, one length":
        return np.tile(np.where(np.arange(lengths) == 0, 0.04, 0.01), (methods, 1))
    if case == "fourfold, mixed":
        return np.array([np.roll(fourfold, method) for method in range(methods)])
    if case == "fourfold, one method random":
        return np.vstack([fourfold, np.zeros((methods - 1, lengths))])

    return np.tile(fourfold, (methods, 1))


def _seed_effects(
    case: str, deviations: Floats, seeds: int, experiments: int, random: np.random.Generator
) -> Floats:
    """Return the mean of each run minus its true value, (E, L, S)."""
    shape = experiments, len(deviations), seeds
    effects = random.normal(size=shape)
    if case.endswith("correlated"):
        common = random.normal(size=(experiments, 1, seeds))
        effects = np.sqrt(0.5) * (effects + common)
    return deviations[:, None] * effects + OF_RUN / np.sqrt(QUERIES) * random.normal(size=shape)


def _chi_squared(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return the sample variance of QUERIES values of variance 1."""
    return random.chisquare(QUERIES - 1, size=shape) / (QUERIES - 1)


def _outcomes(simulated: Simulated, rule: str) -> dict[str, Floats]:
    """Return the outcomes of each experiment, (E,) 0 or 1, by the name of their rate.

    Axes: E experiments, M methods, L code lengths. An outcome is 1 if, at some code length,
    claim: the first method differs from another one; rows: the best method differs from another
    one; dagger: the best method differs from all others; pairs: any two methods differ.
    """
    _, methods, lengths = simulated.means.shape
    over_seeds_rule = over_seeds if rule == "satterthwaite" else over_seeds_pooled
    variances = [
        over_seeds_rule(simulated.of_seeds[:, method], np.full(lengths, count))
        for method, count in enumerate(simulated.seeds)
    ]
    tests = {
        pair: _difference(simulated, variances, *pair)
        for pair in itertools.combinations(range(methods), 2)
    }
    p = np.ones((methods, methods, *simulated.means[:, 0].shape))  # (M, M, E, L)
    for (one, other), test in tests.items():
        p[one, other] = p[other, one] = test.p

    # The largest p value decides whether the best method differs from all others.
    claim = np.stack([tests[0, other].p for other in range(1, methods)])
    best = simulated.means.argmax(axis=1)  # (E, L)
    against_best = np.take_along_axis(p, best[None, None], axis=0)[0]  # (M, E, L)
    rivals = np.where(np.arange(methods)[:, None, None] == best, 0, against_best)
    decisive = rivals.max(axis=0)  # (E, L)
    powers = {}
    for name, shift in (("power_003", 0.03), ("power_005", 0.05), ("power_010", 0.1)):
        power = [_power(tests[0, other], shift, claim) for other in range(1, methods)]
        powers[name] = np.stack(power)

    return {
        "claim": _rejected(claim.min(axis=(0, 2)), (methods - 1) * lengths),
        "rows": _rejected(against_best.min(axis=(0, 2)), (methods - 1) * lengths),
        "dagger": _rejected(decisive.min(axis=1), lengths),
        "dagger_of_two": _rejected(tests[0, 1].p.min(axis=1), lengths),
        "pairs": _rejected(p.min(axis=(0, 1, 3)), len(tests) * lengths),
        "coverage": _covered(simulated, rule),
        **{name: power.mean(axis=(0, 2)) for name, power in powers.items()},
    }


def _difference(simulated: Simulated, variances: list[Variance], one: int, other: int) -> Estimate:
    queries = simulated.over_queries[:, one] + simulated.over_queries[:, other]
    return estimate(
        simulated.means[:, one] - simulated.means[:, other],
        Variance(queries, np.full(queries.shape, QUERIES - 1.0)),
        variances[one],
        variances[other],
    )


def _rejected(p: Floats, comparisons: int) -> Floats:
    """Return whether the smallest p value is significant at the strictest step of Holm."""
    return (p * comparisons < LEVEL).astype(np.float64)


def _power(test: Estimate, shift: float, claim: Floats) -> Floats:
    """Return whether a true difference is significant, at the strictest step of Holm."""
    comparisons = claim.shape[0] * claim.shape[2]
    return _rejected(Estimate(test.value + shift, test.error, test.freedom).p, comparisons)


def _covered(simulated: Simulated, rule: str) -> Floats:
    """Return whether the interval of each cell contains its true mean, (E, M, L)."""
    queries = simulated.over_queries + COMMON_DEVIATION**2 / QUERIES
    of_queries = Variance(queries, np.full(queries.shape, QUERIES - 1.0))
    of_seeds = over_seeds(simulated.of_seeds, simulated.seeds[:, None])
    errors = simulated.means + simulated.shared
    if rule == "satterthwaite":
        low, high = estimate(errors, of_queries, of_seeds).interval()
    else:  # `interval` clips to 0 and 1, so the true mean is set to 0.5
        low, high = (end - 0.5 for end in interval(0.5 + errors, of_queries, of_seeds))

    return ((low <= 0) & (high >= 0)).astype(np.float64)


if __name__ == "__main__":
    main()
