"""The pass over all pairs of queries and items: the fast kernel, or the plain one without it.

`count_levels` is the interface. Both kernels return the same integers.
"""

from __future__ import annotations

import warnings

try:
    from .bitsliced import count_levels
except OSError:  # for instance a full disk while Numba writes its cache
    raise
except Exception as error:
    from .plain import count_levels

    warnings.warn(
        "the fast kernel does not work with the installed Numba and llvmlite: found "
        f"{type(error).__name__}: {' '.join(str(error).split())[:200]}. The plain kernel returns "
        "the same values, about 100 times slower. Install the versions listed in "
        "constraints.txt of bgan-bench.",
        RuntimeWarning,
        stacklevel=2,
    )

__all__ = ["count_levels"]
