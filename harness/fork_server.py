"""A process that has imported slow packages, and forks each job that asks for one.

Importing torch takes longer than many trainings. Standard library only: the client imports nothing
else.

    Snakemake ── server (has imported torch)       `serve`, one for each set of packages
        │          └── monitor, one for each job   `_monitor`: passes on signals and the exit status
        │                └── job                   `_begin`, then as `python -m MODULE ARGUMENT...`
        └── shell ── client                        `main`: waits for its job

A job starts with the arguments, the environment, the folder and the standard streams of its client,
one thread and a process group of its own. It ends with its client. The server ends with Snakemake
and the last job.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

VARIABLE = "BGAN_BENCH_FORK_SERVERS"  # the folder of the sockets
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
STOP_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
PARENT_DEATH_SIGNAL = 1  # of linux/prctl.h
LONGEST_SOCKET_PATH = 107  # bytes, of Linux
LONGEST_SOCKET_NAME = 70  # below the temporary folder
LENGTH, CREDENTIALS = struct.Struct("!I"), struct.Struct("3i")
START_NOTICE = b"s"
PARENT = 0  # the standard input of a server, which ends with the process that started it

_servers: list[subprocess.Popen] = []  # whose standard input stays open as long as this process


def start(servers: Iterable[str]) -> None:
    """Start servers. Their clients find them by an environment variable of this process.

    Parameters
    ----------
    servers : iterable of str
        For each server, the modules that it imports, joined by commas.
    """
    folder = Path(tempfile.mkdtemp(prefix="bgan-bench-servers-"))  # of this user only
    os.environ[VARIABLE] = str(folder)
    for modules in servers:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / modules))
            listener.listen(socket.SOMAXCONN)  # a client may come before the imports are done
            command = [sys.executable, "-m", "harness.fork_server", "--serve", modules]
            server = subprocess.Popen(
                [*command, str(folder), str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C interrupts the clients, which pass it on
                env=os.environ | dict.fromkeys(THREADS, "1"),
            )
            _servers.append(server)


def available() -> bool:
    """Return whether servers can run on this machine."""
    longest = len(os.fsencode(tempfile.gettempdir())) + LONGEST_SOCKET_NAME
    return hasattr(os, "pidfd_open") and longest <= LONGEST_SOCKET_PATH and not _is_confined("self")


def serve(modules: str, folder: Path, listener: socket.socket) -> None:
    """Import modules, and fork for each client. Return only in a job.

    Parameters
    ----------
    modules : str
        Their names, joined by commas.
    folder : Path
        The folder of the sockets.
    listener : socket
        Accepts clients.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the monitors
    server = os.getpid()
    try:
        gc.disable()
        for module in modules.split(","):
            importlib.import_module(module)
        gc.freeze()  # a collection in a job would copy all pages of the modules

        while True:
            ready, _, _ = select.select([listener.fileno(), PARENT], [], [])
            if PARENT in ready:
                break
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    return _monitor(connection, server)
    finally:
        if os.getpid() == server:
            listener.close()
            (folder / modules).unlink(missing_ok=True)
            with suppress(OSError):  # the sockets of other servers
                folder.rmdir()

    with suppress(ChildProcessError):
        os.wait()  # for all jobs, since SIGCHLD is ignored
    sys.exit()


def _monitor(connection: socket.socket, server: int) -> None:
    """Fork the job of a client, and end with it. Return only in the job."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _die_with(server)

    request, streams = _received(connection)
    monitor = os.getpid()
    job = os.fork()
    if job == 0:
        connection.close()
        return _begin(request, streams, monitor)

    with suppress(OSError):  # the job itself was faster
        os.setpgid(job, job)
    for stream in streams:
        os.close(stream)

    ended = os.pidfd_open(job)
    with suppress(OSError):  # the client has died, which is seen below
        connection.sendall(START_NOTICE)
    while True:
        ready, _, _ = select.select([connection.fileno(), ended], [], [])
        if ended in ready:
            break
        message = _read(connection, 1)
        with suppress(ProcessLookupError):
            os.killpg(job, message[0] if message else signal.SIGKILL)
        if not message:
            break

    _, status = os.waitpid(job, 0)
    with suppress(OSError):
        connection.sendall(LENGTH.pack(status))
    os._exit(0)


def _received(connection: socket.socket) -> tuple[dict, list[int]]:
    """Return the request of a client and its standard streams; end without those of a stranger.

    A sealed job must not get another one to run outside its seal. It cannot gain privileges, and
    neither can what it starts.
    """
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    client, user, _ = CREDENTIALS.unpack(credentials)
    if user != os.getuid() or _is_confined(client):
        os._exit(1)

    header, streams, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
    if len(header) < LENGTH.size:
        os._exit(1)
    request = json.loads(_read(connection, *LENGTH.unpack(header)))
    if request["python"] != sys.executable:
        os._exit(1)
    return request, streams


def _is_confined(process: int | str) -> bool:
    """Return whether a process has given up gaining privileges, as every sealed one has."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True
    return "NoNewPrivs:\t0" not in status


def _begin(request: dict, streams: list[int], monitor: int) -> None:
    """Make this process the job of a client."""
    os.setpgid(0, 0)
    _die_with(monitor)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)

    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    importlib.invalidate_caches()
    sys.argv = request["arguments"]
    gc.enable()


def _run(module: str) -> NoReturn:
    """Run a module as `python -m` does.

    Python would end by freeing each object of the server's modules, and so copy their memory.
    """
    status = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        status = 1

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it, or it is closed
            stream.flush()
    os._exit(status & 0xFF)


def _die_with(parent: int) -> None:
    """Let the system kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _read(connection: socket.socket, size: int) -> bytes:
    """Return this many bytes; fewer if the other process has ended."""
    content = b""
    with suppress(ConnectionError):
        while len(content) < size and (part := connection.recv(size - len(content))):
            content += part
    return content


def main() -> None:
    """Run `MODULE ARGUMENT...` in a job of the server of these modules, or here without one."""
    modules, *arguments = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as connection:
        if _requested(connection, modules, arguments):
            _follow(connection, arguments[0])
    os.execv(sys.executable, [sys.executable, "-m", *arguments])


def _requested(connection: socket.socket, modules: str, arguments: list[str]) -> bool:
    """Return whether the server has started the job."""
    request = {
        "python": sys.executable,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "arguments": arguments,
    }
    content = json.dumps(request).encode()
    try:
        connection.connect(str(Path(os.environ[VARIABLE], modules)))
        socket.send_fds(connection, [LENGTH.pack(len(content))], [0, 1, 2])
        connection.sendall(content)
    except (KeyError, OSError):  # there is no server, or it has ended
        return False
    return _read(connection, 1) == START_NOTICE


def _follow(connection: socket.socket, module: str) -> NoReturn:
    """End as the job ends, and pass on signals until then."""
    passed: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        passed.append(number)
        with suppress(OSError):  # the job has just ended
            connection.send(bytes([number]))

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pass_on)

    answer = _read(connection, LENGTH.size)
    if len(answer) == LENGTH.size:
        (status,) = LENGTH.unpack(answer)
        if not os.WIFSIGNALED(status):
            sys.exit(os.WEXITSTATUS(status))
        passed.append(os.WTERMSIG(status))

    if not passed:
        sys.exit(f"{module}: the fork server of this job was killed. Rerun the command")
    with suppress(OSError):  # SIGKILL has no other action
        signal.signal(passed[-1], signal.SIG_DFL)
    os.kill(os.getpid(), passed[-1])
    sys.exit(128 + passed[-1])


if __name__ == "__main__":
    if sys.argv[1] != "--serve":
        main()
    serve(sys.argv[2], Path(sys.argv[3]), socket.socket(fileno=int(sys.argv[4])))
    _run(sys.argv[0])
