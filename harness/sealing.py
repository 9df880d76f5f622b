"""Landlock: a sealed training job can open neither labels nor scores. Standard library only.

Landlock is part of Linux since 5.13 and needs no privileges. A rule can only allow access, so what
is hidden is left out of the rules: the data folder, `cache/`, `results/` and the data sets that
scikit-learn contains. Of these, only the files of the run are allowed. Processes that the job
starts are sealed too. A sealed job can still read the size and the times of a file whose path it
guesses, and it can use the network.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.machinery
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness import identity, plugins, provenance
from harness.errors import BenchmarkError
from harness.plan import LOGS, RESULTS, Run
from harness.user_data import CACHE, data_folder, read_paths
from harness.variants import Variant

# Numbers of system calls, the same on every processor, and rights of linux/landlock.h.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
NO_NEW_PRIVILEGES = 38
WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR = (1 << bit for bit in range(1, 5))
OTHER_CHANGES = sum(1 << bit for bit in range(5, 13))  # remove files, make anything
REFER, TRUNCATE = 1 << 13, 1 << 14  # since the second and the third version of Landlock
READ = READ_FILE | READ_DIR
CHANGE = WRITE_FILE | REMOVE_DIR | OTHER_CHANGES | REFER | TRUNCATE
OF_FILES = WRITE_FILE | READ_FILE | TRUNCATE

SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/etc", "/opt", "/nix", "/cvmfs")
DEVICES = ("/dev", "/proc", "/sys")
GPU_FOLDERS = ("/tmp/nvidia-mps", "/run/nvidia-persistenced", "~/.nv")
TEMPORARY = "bgan-bench-job-"  # the temporary folder of a job, in that of the system
ABANDONED_SECONDS = 60.0  # between the creation of that folder and its lock at most
# Folders of compiled or downloaded files, which libraries place in the home folder by default.
CACHES_OF_LIBRARIES = ("NUMBA_CACHE_DIR", "TRITON_CACHE_DIR", "MPLCONFIGDIR")
FOLDERS_OF_JOBS = (CACHE / "checkpoints", CACHE / "repeated", CACHE / "weights")

_LIBRARY = ctypes.CDLL(None)


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32)]


@contextlib.contextmanager
def sealed_job(run: Run, variant: Variant, writable: Iterable[Path]) -> Iterator[bool]:
    """Seal this process for good, and yield whether the kernel could.

    It must have one thread, since others would stay unsealed, and have imported no method. The
    sources of the method are compiled before, since the job cannot write them.

    Parameters
    ----------
    run : Run
        Its arrays can be read.
    variant : Variant
        The files that its parameters name can be read.
    writable : iterable of Path
        Folders that the job writes into. They must contain nothing that is hidden.
    """
    provenance.commit()  # cached, since git could not run later
    provenance.dirty()
    for path in identity.sources("methods", variant.plugin.name):
        importlib.machinery.SourceFileLoader(path.stem, str(path)).get_code(path.stem)

    outside = tempfile.gettempdir()
    with _temporary_folder() as temporary:
        os.environ["TMPDIR"] = tempfile.tempdir = temporary
        os.environ |= dict.fromkeys(CACHES_OF_LIBRARIES, temporary)
        folders = [*FOLDERS_OF_JOBS, *map(Path, writable)]
        for folder in folders:
            check_contents(folder)
            folder.mkdir(parents=True, exist_ok=True)
        # Python lists the project's folder again only if it has changed, which it could not now.
        importlib.machinery.PathFinder.find_spec("a module that does not exist")

        rules = [(Path(path), READ) for path in read_files(run, variant)]
        rules += [(path, READ | CHANGE) for path in [*folders, Path(temporary)]]
        rules += [(Path(path).expanduser(), READ | CHANGE) for path in (*DEVICES, *GPU_FOLDERS)]
        rules.append((Path(outside), REMOVE_DIR))  # `temporary` itself
        yield restrict(rules)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[str]:
    """A folder that is removed at the end, or by a later job if this one is killed.

    It is locked while a process uses it.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            _remove_abandoned(path)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as temporary:
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):  # without locks, the folder of a killed job stays
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield temporary
        finally:
            os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    """Remove the folder of a job that was killed. Raises OSError if a process uses it."""
    status = path.lstat()
    if status.st_uid != os.getuid() or time.time() - status.st_mtime < ABANDONED_SECONDS:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def read_files(run: Run, variant: Variant) -> list[Path]:
    """Return the files of the data folder and the cache that a run reads."""
    place, data = run.place, data_folder()
    named = [*read_paths(variant, run.bits, run.seed), variant.pretrained_weights]
    return [
        *(place.images, place.split, place.dataset_record),
        *(place.features_array, place.features_record),
        *(place.neighbours_array, place.neighbours_record),
        *(place.views_array, place.views_record),
        *(data / path for path in named if path),
        data / "weights",
    ]


def hidden_folders() -> list[Path]:
    """Return the folders in which a sealed job can open only what a rule names."""
    names = (CACHE, RESULTS, LOGS, ".git", ".snakemake")
    folders = [plugins.ROOT / name for name in names]
    return [path.resolve() for path in (data_folder(), *folders)]


def bundled_data() -> list[Path]:
    """Return the folders of the data sets that scikit-learn contains, of every installation."""
    python = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    folders: list[str | Path] = [*sys.path, Path(sys.base_prefix, python)]
    folders.append("/usr/lib/python3/dist-packages")
    paths = {Path(folder, "sklearn/datasets/data").resolve() for folder in folders}
    return [path for path in paths if path.is_dir()]


def restrict(rules: Iterable[tuple[str | Path, int]]) -> bool:
    """Allow this process the interpreter, its packages, the project and `rules`, and nothing else.

    Returns
    -------
    bool
        False if the kernel has no Landlock or the process has several threads.
    """
    if sys.platform != "linux" or len(os.listdir("/proc/self/task")) > 1:
        return False

    version = _call("syscall", CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False

    newer = (REFER if version < 2 else 0) | (TRUNCATE if version < 3 else 0)
    known = (READ | CHANGE) & ~newer
    ruleset = _call("syscall", CREATE_RULESET, ctypes.byref(ctypes.c_uint64(known)), 8, 0)
    for path, rights in [*_of_the_system(), *rules]:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # many of the folders exist on some machines only
            continue
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        allowed = rights & known & (READ | CHANGE if folder else OF_FILES)
        if allowed:
            rule = ctypes.byref(_Rule(allowed, descriptor))
            _call("syscall", ADD_RULE, ruleset, 1, rule, 0)
        os.close(descriptor)

    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if _call("syscall", RESTRICT_SELF, ruleset, 0) < 0:
        return False

    os.close(ruleset)
    return True


def _call(name: str, *arguments: object) -> int:
    """Call a function of the C library, with integers as long as a register."""
    function = getattr(_LIBRARY, name)
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return function(*wide)


def check_contents(folder: Path) -> None:
    """Raise BenchmarkError if a folder to be written contains a hidden one."""
    inside = [path for path in hidden_folders() if path.is_relative_to(folder.resolve())]
    if inside:
        raise BenchmarkError(
            f"a training job cannot write directly into {folder}, since {inside[0]} is hidden from "
            f"it. Write to a folder further down, as in --output {folder / 'NEW/NAME'}"
        )


def _of_the_system() -> Iterator[tuple[str, int]]:
    """Yield rules for the interpreter, its packages, the system libraries and the project."""
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    # The stages too, for a data folder that contains the project or is the project's own.
    project = [plugins.ROOT, *(plugins.ROOT / name for name in ("harness", *plugins.STAGES))]
    folders: list[str | Path] = [*SYSTEM, *libraries, sys.prefix, sys.base_prefix, *sys.path]
    folders += [*project, *_editable_packages()]
    unlisted, unread = map(str, hidden_folders()), map(str, bundled_data())
    hidden = dict.fromkeys(unread, READ_DIR) | dict.fromkeys(unlisted, 0)
    for path in {os.path.realpath(path) for path in folders if path}:
        yield from _visible(path, hidden)


def _editable_packages() -> Iterator[str]:
    """Folders and modules installed by `pip install -e`, which are below no search path."""
    for finder in sys.meta_path:
        module = sys.modules.get(getattr(finder, "__module__", ""))
        for path in getattr(module, "MAPPING", {}).values():
            yield from (path, f"{path}.py")


def _visible(path: str, hidden: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yield rules for all of a folder that is not hidden, down to the folders beside a hidden one.

    hidden: the rights that each hidden folder leaves to the folders above it.
    """
    inside = [folder for folder in hidden if _is_below(folder, path)]
    if path in inside:
        return
    if not inside:
        yield path, READ
        return

    if all(hidden[folder] for folder in inside):
        yield path, READ_DIR

    with contextlib.suppress(OSError), os.scandir(path) as children:
        for child in children:
            if not child.is_symlink():
                yield from _visible(child.path, hidden)
            elif not _leads_to(os.path.realpath(child), hidden):
                yield child.path, READ


def _leads_to(target: str, hidden: Iterable[str]) -> bool:
    """Return whether a link leads into a hidden folder or to a folder above one."""
    return any(_is_below(folder, target) or _is_below(target, folder) for folder in hidden)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


@contextlib.contextmanager
def explained(file: str, sealed: bool) -> Iterator[None]:
    """Raise BenchmarkError, naming the path, if a plugin's `file` opens what is hidden.

    Also if the plugin or a library raises an error of its own for that.
    """
    try:
        yield
    except Exception as error:
        denied = _denied(error) if sealed else ""
        if not denied:
            raise
        raise BenchmarkError(f"{file} {denied}") from None


def _denied(error: BaseException | None) -> str:
    """The path that caused an error, with what to do; empty if a path did not."""
    raised, seen = error, set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, PermissionError) and isinstance(error.filename, str | bytes):
            name = os.fsdecode(error.filename)
            if _is_hidden(name):
                return (
                    f"opened {name}, which is hidden from training jobs: expected the arrays that "
                    "`fit` and `encode` receive. Name another file that the method needs in a "
                    "parameter `path`, below the data folder"
                )
            if error is raised:
                return (
                    f"could not open {name}: a training job can write temporary files only. Print "
                    "to the log instead, or store arrays in `extras_`"
                )
        error = error.__cause__ or error.__context__
    return ""


def _is_hidden(name: str) -> bool:
    path = os.path.realpath(name)
    return any(_is_below(path, str(folder)) for folder in [*hidden_folders(), *bundled_data()])
