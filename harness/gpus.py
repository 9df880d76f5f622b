"""Leases of GPUs: each job gets its own device, and CUDA shows only that device to it.

A lease is an abstract socket of Linux named after the UUID of the device. It is not a file, so a
cleaned folder or another TMPDIR cannot lease the device twice. The kernel removes it when the
process ends, however it ends. Leases hold between all jobs of a machine (more exactly, of a network
namespace). filelock is not used: if its file is deleted, the next job gets the same lock.
Standard library only.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness.errors import BenchmarkError, one_line

DEVICES = Path("/dev")
NVIDIA_SMI = ("nvidia-smi", "-L")
LISTED_DEVICE = re.compile(r"\s*(GPU|MIG) .*\(UUID: ([^)]+)\)")

_leases: dict[str, socket.socket] = {}  # by UUID; of this process


def visible_names() -> list[str]:
    """Return the devices that jobs may use, as CUDA_VISIBLE_DEVICES names them; all if it is unset.

    A name is an index, a UUID or the name of a part of a device (MIG). As in CUDA, a name of no
    device hides those after it.
    """
    count = len(list(DEVICES.glob("nvidia[0-9]*")))
    variable = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count))))
    names = []
    for name in variable.split(",") if count else []:
        if name.strip() in ("", "NoDevFiles") or name.strip().startswith("-"):
            break
        names.append(name.strip())
    return names


def lease(wait: bool = True) -> str | None:
    """Lease one free device and make it the only one that CUDA shows to this process.

    Call it before CUDA starts, which reads CUDA_VISIBLE_DEVICES once.

    Parameters
    ----------
    wait : bool
        Whether to wait if other jobs have leased all devices.

    Returns
    -------
    str or None
        The UUID of the device; None if there is no device, or none is free.

    Raises
    ------
    BenchmarkError
        If the UUIDs of the devices cannot be listed.
    """
    if _leases:
        return next(iter(_leases))

    uuids = _visible_uuids()
    announced = False
    while uuids:
        for uuid in uuids:
            if _reserve(uuid):
                os.environ["CUDA_VISIBLE_DEVICES"] = uuid
                return uuid
        if not wait:
            return None
        if not announced:
            print(f"waiting for a GPU: other jobs use {', '.join(uuids)}", file=sys.stderr)
            announced = True
        time.sleep(1)

    return None


def _visible_uuids() -> list[str]:
    names = visible_names()
    if not names:
        return []

    devices = _listed_devices()
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        return [uuid for device in devices for uuid in device[1:] or device]

    uuids: list[str] = []
    for name in names:
        uuid = _uuid(name, devices)
        if uuid is None:
            break  # as in CUDA
        uuids.append(uuid)

    return list(dict.fromkeys(uuids))


def _listed_devices() -> list[list[str]]:
    """Return the UUID of each device, and those of its parts (MIG), in the order of PCI_BUS_ID.

    GPU 0: NVIDIA A100 (UUID: GPU-5c89852c-...)         -> ["GPU-5c89852c-...", "MIG-28d96e1f-..."]
      MIG 3g.20gb  Device  0: (UUID: MIG-28d96e1f-...)
    GPU 1: NVIDIA A100 (UUID: GPU-15d96e1f-...)         -> ["GPU-15d96e1f-..."]
    """
    try:
        listed = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(
            f"the UUIDs of the GPUs are unknown: `{' '.join(NVIDIA_SMI)}` failed "
            f"({one_line(error)}). Install it with the driver, or set CUDA_VISIBLE_DEVICES= to "
            "run without a GPU"
        ) from None

    devices: list[list[str]] = []
    for kind, uuid in LISTED_DEVICE.findall(listed):
        if kind == "GPU":
            devices.append([uuid])
        else:
            devices[-1].append(uuid)

    return devices


def _uuid(name: str, devices: list[list[str]]) -> str | None:
    """Return the UUID of a device named by its index or by the first characters of its UUID.

    The name of a divided device means its first part, as in CUDA.
    """
    if "/" in name:
        return name  # older drivers name a part MIG-GPU-UUID/3/0, and do not list it
    if name.isdigit():
        matching = devices[int(name) :][:1]
    else:
        matching = [device for device in devices if device[0].startswith(name)]
        matching += [[part] for device in devices for part in device[1:] if part.startswith(name)]
    return (matching[0][1:] or matching[0])[0] if len(matching) == 1 else None


def _reserve(uuid: str) -> bool:
    """Bind the socket of a device. Only one process can."""
    reserved = socket.socket(socket.AF_UNIX)
    try:
        reserved.bind(f"\0bgan-bench-gpu-{uuid}")
    except OSError as error:
        reserved.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return False

    _leases[uuid] = reserved
    return True


def _forget() -> None:
    """Close the sockets of a forked child: it may outlive the job."""
    while _leases:
        _leases.popitem()[1].close()


os.register_at_fork(after_in_child=_forget)
