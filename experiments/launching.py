"""How a training job starts: directly, or forked by a server that has imported its packages."""

from __future__ import annotations

import contextlib
import functools
import os
from collections import Counter
from collections.abc import Iterable

from harness import fork_server, provenance
from harness.identity import sources
from harness.plan import Job, Plan
from harness.plugins import imported_modules
from harness.variants import Variant

# Modules that take a second to import. The first optimiser of torch imports `torch._dynamo`.
SLOW_MODULES = {"sklearn": ("sklearn.cluster",), "torch": ("torch", "torch._dynamo")}
FEWEST_RUNS = 3  # for which a server is worth its own imports


def command(plan: Plan, variant: str) -> str:
    """Return the modules after `python -m` that train a variant.

    Parameters
    ----------
    plan : Plan
    variant : str
        Its name.
    """
    modules = _server_of(plan.methods[variant])
    return f"harness.fork_server {modules} methods" if modules else "methods"


def start_servers(plan: Plan, jobs: Iterable[Job]) -> None:
    """Start a server for each set of slow modules that enough training jobs import.

    Without a server, a job imports them itself. The environment variable of the servers, if set by
    the user, prevents them.

    Parameters
    ----------
    plan : Plan
    jobs : iterable of Job
        Those that run.
    """
    variants = [plan.methods[job.key[2]] for job in jobs if job.rule == "encode"]
    counts = Counter(map(_server_of, variants))
    servers = [modules for modules, n in counts.items() if modules and n >= FEWEST_RUNS]
    if servers and fork_server.available() and fork_server.VARIABLE not in os.environ:
        with contextlib.suppress(OSError):  # no process or no file more
            fork_server.start(servers)


def _server_of(variant: Variant) -> str:
    """Return the modules of the server of a variant, joined by commas.

    It is empty without a server. A job on a GPU has none: no fork survives the start of CUDA.
    """
    if variant.uses_gpu and provenance.gpu_present():
        return ""
    return slow_modules(variant.plugin.name)


@functools.cache
def slow_modules(method: str) -> str:
    """Return the slow modules that a method imports, joined by commas."""
    modules = {name for path in sources("methods", method) for name in imported_modules(path)}
    packages = {name.partition(".")[0] for name in modules}
    return ",".join(
        module for name in SLOW_MODULES if name in packages for module in SLOW_MODULES[name]
    )
