"""What computed a result: commit, versions, machine and memory. Standard library only."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from harness import gpus
from harness.plugins import ROOT

# Names under which packages are imported.
PACKAGES = ("numpy", "scipy", "sklearn", "torch", "numba", "pandas", "PIL")
# Difference in mean average precision between two trainings on a GPU with the same seed.
GPU_TOLERANCE = 0.05


def record(**facts: object) -> dict:
    """Return `facts` with those of every record: date, commit, versions and machine."""
    return facts | {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "dirty": dirty(),
        "python": platform.python_version(),
        "versions": versions(),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
        },
        "peak_memory_mib": round(peak_memory_mib(), 1),
    }


@functools.cache
def commit() -> str:
    """Return the commit of the checkout, or 'unknown' outside one."""
    return _git("rev-parse", "HEAD") or "unknown"


@functools.cache
def dirty() -> bool:
    """Return whether a tracked file differs from the commit, or the commit lacks a module.

    Modules are those of the project's folder and of its packages. New files elsewhere are not
    looked for, since a folder may hold a million images.
    """
    packages = [f":(glob){path.parent.name}/**/*.py" for path in ROOT.glob("*/__init__.py")]
    modules = [path.name for path in ROOT.glob("*.py")]
    new = _git("ls-files", "--others", "--exclude-standard", "--", *packages, *modules)
    return bool(new or _git("status", "--porcelain", "--untracked-files=no"))


def _git(*arguments: str) -> str:
    try:
        command = ["git", "-C", str(ROOT), *arguments]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return output.strip()


def versions() -> dict[str, str]:
    """Return the versions of the packages that this process has imported."""
    return {name: sys.modules[name].__version__ for name in PACKAGES if name in sys.modules}


@functools.cache
def processor() -> str:
    """Return the name of the processor as the system states it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peak_memory_mib() -> float:
    """Return the largest resident size of this process so far, in MiB."""
    # On Linux, getrusage starts from the size of the parent process.
    with (
        contextlib.suppress(OSError, StopIteration),
        open("/proc/self/status", encoding="utf-8") as file,
    ):
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def gpu_present() -> bool:
    """Return whether there is a visible NVIDIA device, without importing torch."""
    return bool(gpus.visible_names())


def repeatability(device: str) -> str:
    """Return how exactly a second run of a job repeats its codes on `device`.

    Versions and kind of processor are the same. A GPU adds numbers in no fixed order unless torch
    uses deterministic algorithms, so that the mean average precision stays within GPU_TOLERANCE
    only.
    """
    if not device.startswith("cuda"):
        return "bit for bit"
    deterministic = sys.modules["torch"].are_deterministic_algorithms_enabled()
    return "bit for bit" if deterministic else "within tolerance"


def device_name(device: str) -> str:
    """Return `cpu`, or the name of the GPU that torch calls `device`."""
    if not device.startswith("cuda"):
        return device
    return sys.modules["torch"].cuda.get_device_name(device)
