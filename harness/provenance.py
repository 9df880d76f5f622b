"""What made a result: commit, versions, machine, threads, memory, digests. Standard library only."""

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

PACKAGES = ("numpy", "scipy", "sklearn", "torch", "numba", "pandas", "PIL")  # as they are imported

GPU_TOLERANCE = (
    0.05  # of a mean average precision, between two trainings on a GPU with the same seed
)


def record(**facts: object) -> dict:
    """The facts that every result carries, with `facts` added: date, commit, versions and machine."""
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
    """The commit of the checkout, or 'unknown' outside one."""
    return _git("rev-parse", "HEAD") or "unknown"


@functools.cache
def dirty() -> bool:
    """Whether a tracked file differs from the commit, or the commit lacks a module of the project's folder or of a package in it.

    Other folders are not asked for what is new: they may hold a million images.
    """
    packages = [f":(glob){path.parent.name}/**/*.py" for path in ROOT.glob("*/__init__.py")]
    modules = [path.name for path in ROOT.glob("*.py")]
    new = _git("ls-files", "--others", "--exclude-standard", "--", *packages, *modules)
    return bool(new or _git("status", "--porcelain", "--untracked-files=no"))


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Versions of the packages that this process has imported."""
    return {name: sys.modules[name].__version__ for name in PACKAGES if name in sys.modules}


@functools.cache
def processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peak_memory_mib() -> float:
    """Largest resident size of this process so far, in MiB."""
    # Linux's getrusage starts from the size of the process that started this one.
    with (
        contextlib.suppress(OSError, StopIteration),
        open("/proc/self/status", encoding="utf-8") as file,
    ):
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def gpu_present() -> bool:
    """Whether the system has an NVIDIA device that is not hidden, without importing torch."""
    return bool(gpus.visible_names())


def repeatability(device: str) -> str:
    """How a second run of a job repeats its codes on `device`, with the same versions and the same kind of processor.

    Sums on a GPU are in no fixed order: there the mean average precision stays within GPU_TOLERANCE.
    """
    return "within tolerance" if device.startswith("cuda") else "bit for bit"


def device_name(device: str) -> str:
    """`cpu`, or the name of the GPU that torch calls `device`."""
    if not device.startswith("cuda"):
        return device
    return sys.modules["torch"].cuda.get_device_name(device)
