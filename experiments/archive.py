"""Archives of the codes of published runs: an asset of a release, verified against the records.

An archive has `results/runs/RUN/codes.npz` of every run of a published folder, and `SHA256SUMS`, as
`sha256sum --check` reads it. The same codes give the same bytes: members are sorted, and have
neither times nor owners. It is not compressed, since the bytes of a compressor differ by version.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from experiments import publish
from harness import storage
from harness.errors import BenchmarkError
from harness.plan import Run

SUMS = "SHA256SUMS"


def path_of(name: str, folder: Path) -> Path:
    """Return the path of the archive of a published folder."""
    return folder / f"codes-{name}.tar"


def write(name: str, folder: Path) -> Path:
    """Write the archive of a published folder from the runs of this checkout, and return its path.

    Parameters
    ----------
    name : str
        Name of the folder below `publish.PUBLISHED`.
    folder : Path
        Folder of the archive; an existing archive is replaced.

    Raises
    ------
    BenchmarkError
        If the folder is not published, or the codes of a run are missing or not the published ones.
    """
    digests = _digests(name)
    target = path_of(name, folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        storage.new_file(target) as temporary,
        tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as archive,
    ):
        _add(archive, SUMS, _sums(digests).encode())
        for codes, digest in digests.items():
            if not Path(codes).is_file():
                raise BenchmarkError(
                    f"{codes} is missing: expected the runs of {publish.PUBLISHED / name}. Run "
                    "its command, or join runs of another machine with "
                    "`python -m experiments merge`"
                )
            content = Path(codes).read_bytes()
            _check(codes, hashlib.sha256(content).hexdigest(), digest)
            _add(archive, codes, content)
    return target


def verify(name: str, folder: Path) -> int:
    """Compare an archive with the records of its published folder, and return the number of runs.

    Nothing is extracted.

    Raises
    ------
    BenchmarkError
        If the archive cannot be read; if a run is missing or not a published one; if its codes or
        the list of digests differ from the records.
    """
    digests = _digests(name)
    expected = {SUMS: hashlib.sha256(_sums(digests).encode()).hexdigest(), **digests}
    path = path_of(name, folder)
    names = set()
    try:
        for member, digest in _members(path):
            if member not in expected:
                raise BenchmarkError(
                    f"{path}: found {member}, expected one file for each run of "
                    f"{publish.PUBLISHED / name} and {SUMS}"
                )
            _check(f"{path}: {member}", digest, expected[member])
            names.add(member)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error}): download or write the archive again"
        ) from None

    if missing := [member for member in expected if member not in names]:
        raise BenchmarkError(f"{path}: {missing[0]} is missing, and {len(missing) - 1} more")
    return len(digests)


def _digests(name: str) -> dict[str, str]:
    """Return {path of codes: SHA-256} of the runs of a published folder, sorted."""
    folder = publish.PUBLISHED / name
    names = [path.name for path in publish.folders()]
    if name not in names:
        raise BenchmarkError(
            f"{folder} is not a published folder: expected one of {', '.join(names)}"
        )

    digests = {}
    for record in publish.records_of(folder):
        run = Run(**record["made_of"]["run"])
        digests[run.codes.as_posix()] = record["codes_sha256"]
    return dict(sorted(digests.items()))


def _sums(digests: dict[str, str]) -> str:
    return "".join(f"{digest}  {path}\n" for path, digest in digests.items())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without time and owner."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _members(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the SHA-256 of each member; that of a link or a folder is empty."""
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            digest = hashlib.file_digest(content, "sha256").hexdigest() if content else ""
            yield member.name, digest


def _check(what: str, digest: str, expected: str) -> None:
    if digest != expected:
        raise BenchmarkError(
            f"{what} has SHA-256 {digest[:12] or 'of no file'}, expected {expected[:12]} as its "
            "published record states"
        )
