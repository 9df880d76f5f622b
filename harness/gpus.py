"""One GPU a job: a job locks the file of a free device for as long as it lives, and CUDA shows it no other. Standard library only."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from pathlib import Path

SYSTEM = Path("/dev")
# Of this machine, whatever the checkout; Slurm may number the devices of each of its jobs from 0, and shows none to two jobs.
LOCKS = Path(
    tempfile.gettempdir(),
    "-".join(filter(None, [f"bgan-bench-gpus-{os.getuid()}", os.environ.get("SLURM_JOB_ID")])),
)
_held = []  # open files: they hold the lock, and the kernel closes them when the process ends, however it ends


def names() -> list[str]:
    """Devices that jobs may use: those of CUDA_VISIBLE_DEVICES (numbers, UUIDs, MIG names), as Slurm or the user sets it, else all."""
    count = len(list(SYSTEM.glob("nvidia[0-9]*")))
    given = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count))))
    listed = [name.strip() for name in given.split(",")] if count else []
    hidden = [
        place
        for place, name in enumerate(listed)
        if name in ("", "NoDevFiles") or name.startswith("-")
    ]
    return (
        listed[: hidden[0]] if hidden else listed
    )  # as CUDA reads it: up to the first name of no device


def lease(patient: bool = True) -> str | None:
    """Make one free device the only one that this process sees, and return its name; None where there is none.

    Where all are taken it waits for one, or, not `patient`, returns None. To be called before CUDA starts, which reads the variable once.
    """
    told = False
    while devices := [] if _held else names():
        for name in devices:
            LOCKS.mkdir(mode=0o700, exist_ok=True)
            file = os.open(LOCKS / name.replace("/", "-"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                continue
            _held.append(file)
            os.environ |= {"CUDA_VISIBLE_DEVICES": name, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
            return name
        if not patient:
            return None
        if not told:
            print(
                f"waiting for a GPU: other jobs have {', '.join(devices)}",
                file=sys.stderr,
                flush=True,
            )
            told = True
        time.sleep(1)
    return os.environ["CUDA_VISIBLE_DEVICES"] if _held else None
