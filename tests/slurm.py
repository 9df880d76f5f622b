"""A real Slurm on the loopback: a controller and two node daemons, one with a simulated GPU.

    python tests/slurm.py          # started until the Enter key is pressed

It needs Debian's slurm-wlm, slurm-wlm-basic-plugins and munge, and root. The srun of a job reads
/etc/slurm/slurm.conf only; that file must not exist, and it is removed at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
SITE = Path("/etc/slurm")
NODES = {"cpu1": 17001, "gpu1": 17002}  # and their ports
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=17000
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
MinJobAge=300
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/finished.txt
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=cpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=4 RealMemory=16000
NodeName=gpu1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=4 RealMemory=16000 Gres=gpu:1
PartitionName=cpu Nodes=cpu1,gpu1 Default=YES State=UP
PartitionName=gpu Nodes=gpu1 State=UP
"""


def missing() -> str:
    """Why Slurm cannot be started here, or empty."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return (
            f"no {', '.join(absent)}: install Debian's slurm-wlm, slurm-wlm-basic-plugins and munge"
        )
    if os.getuid():
        return "starting Slurm needs root"
    return (
        f"{SITE}/slurm.conf is of a Slurm that is here already"
        if (SITE / "slurm.conf").exists()
        else ""
    )


class Cluster:
    """A Slurm that runs; `folder` has its logs."""

    def __init__(self, folder: Path):
        self.folder, self.daemons = folder, {}

    def start(self) -> None:
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        places = [
            f"--{name}={self.folder}/munge.{name}"
            for name in ("socket", "pid-file", "log-file", "seed-file")
        ]
        self._run("munged", "munged", "--foreground", "--force", f"--key-file={key}", *places)
        SITE.mkdir(exist_ok=True)
        (SITE / "slurm.conf").write_text(
            CONFIGURATION.format(host=socket.gethostname(), folder=self.folder)
        )
        (SITE / "gres.conf").write_text("NodeName=gpu1 Name=gpu Type=fake File=/dev/null\n")
        self._run("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self._run(node, "slurmd", "-D", "-N", node)
        self._wait()

    def _run(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.out", "w") as log:
            self.daemons[name] = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True
            )
        time.sleep(0.5)

    def _wait(self) -> None:
        for _ in range(60):
            shown = subprocess.run(
                ["sinfo", "-h", "-N", "-o", "%N %t"], capture_output=True, text=True
            ).stdout
            if {line for line in shown.splitlines() if line.endswith(" idle")} >= {
                f"{node} idle" for node in NODES
            }:
                return
            time.sleep(0.5)
        raise RuntimeError(f"Slurm has not started; see {self.folder}: {shown}")

    def kill(self, node: str) -> None:
        """Kill a node's daemon and all that runs on it, as when the machine loses power."""
        for process in [self.daemons[node].pid, *processes(node)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def stop(self) -> None:
        for daemon in reversed(self.daemons.values()):
            if daemon.poll() is None:
                daemon.terminate()
        for daemon in self.daemons.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(5)
            daemon.kill()
        for name in ("slurm.conf", "gres.conf"):
            (SITE / name).unlink(missing_ok=True)


def processes(node: str) -> list[int]:
    """Of the jobs on a node, those that watch over them first."""
    tasks, watching = [], []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"SLURMD_NODENAME={node}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                tasks.append(int(folder.name))
                parent = folder.parent / (folder / "stat").read_text().rpartition(")")[2].split()[1]
                if (parent / "comm").read_text().startswith("slurmstepd"):
                    watching.append(int(parent.name))
    return watching + tasks


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A Slurm for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    started = Cluster(folder)
    try:
        started.start()
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    with cluster() as running:
        input(f"Slurm runs, its logs in {running.folder}. Enter to stop. ")
