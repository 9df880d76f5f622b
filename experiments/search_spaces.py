"""Settings that tuning tries, drawn from the search space that each method declares."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

from harness import plugins
from harness.errors import BenchmarkError

SEED = 20180425  # of the scrambling: all methods and data sets have the same points
FEWEST, MOST = 2, 1024  # trials of a method


def with_drawn_trials(config: Mapping) -> dict:
    """Return a configuration in which each number of trials is replaced by that many settings.

    Parameters
    ----------
    config : dict
        Its key `trials` has a list of settings or their number, for each method.

    Raises
    ------
    BenchmarkError
        For a number out of range, and for a method without a search space.
    """
    given = config.get("trials")
    if not isinstance(given, Mapping):
        return dict(config)
    trials = {
        name: drawn_overrides(name, value) if _is_number(value) else value
        for name, value in given.items()
    }
    return dict(config) | {"trials": trials}


def drawn_overrides(name: str, count: int) -> list[dict]:
    """Return different settings of a method, each with a value for every searched parameter.

    They are the first points of a scrambled Sobol sequence that differ on the grid of declared
    values, or the whole grid if it has no more than `count` settings.

    Parameters
    ----------
    name : str
        File in methods/.
    count : int

    Returns
    -------
    list of dict
        At most `count` settings.

    References
    ----------
    Owen, Scrambling Sobol' and Niederreiter-Xing points, Journal of Complexity 1998.
    """
    if not FEWEST <= count <= MOST:
        raise BenchmarkError(
            f"trials: {name}: found {count} trials, expected {FEWEST} to {MOST}, or a list of "
            "settings"
        )
    try:
        plugin = plugins.read_plugin("methods", name)
    except BenchmarkError as error:
        raise BenchmarkError(f"trials: {error}") from None

    space = plugin.member("search_space")
    if not space:
        raise BenchmarkError(
            f"trials: {name}: methods/{name}.py declares no search_space, so it has nothing to "
            "tune: remove it from trials, or list settings"
        )

    if math.prod(map(len, space.values())) <= count:
        points = itertools.product(*space.values())
    else:
        points = _sobol_points(list(space.values()), count)
    return [dict(zip(space, point, strict=True)) for point in points]


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _sobol_points(values: list[tuple], count: int) -> list[tuple]:
    """Return the first `count` different points of the sequence, rounded down to the grid."""
    from scipy.stats import qmc  # takes a second, which only a plan with drawn trials should

    power = math.ceil(math.log2(count))
    while True:
        sampler = qmc.Sobol(len(values), scramble=True, rng=SEED)
        points = [_grid_point(point, values) for point in sampler.random_base2(power)]
        different = list(dict.fromkeys(points))
        if len(different) >= count:
            return different[:count]
        power += 1


def _grid_point(point: Iterable[float], values: list[tuple]) -> tuple:
    """Return the value of each parameter whose index is the coordinate in [0, 1), scaled."""
    return tuple(
        choices[int(coordinate * len(choices))]
        for coordinate, choices in zip(point, values, strict=True)
    )
