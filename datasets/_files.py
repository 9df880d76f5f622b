"""Official files as they are published: a folder, or its zip, which is read without unpacking."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Protocol

from harness.errors import BenchmarkError, reading

MAX_BYTES = 1 << 28  # of one file: a few bytes of a zip can unfold to gigabytes


class Files(Protocol):
    """Files by their names, with `/` between folders."""

    def has(self, name: str) -> bool: ...

    def read(self, name: str) -> bytes:
        """Return the content. Raise BenchmarkError for a file that is missing or too large."""

    def shown(self, name: str) -> str:
        """Return how an error names the file."""


class Folder:
    """Files below a folder."""

    def __init__(self, path: Path):
        self.path = path

    def has(self, name: str) -> bool:
        # False for a name that no file can have. Path.is_file raises for some of them.
        return os.path.isfile(self.path / name)

    def read(self, name: str) -> bytes:
        path = self.path / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                raise BenchmarkError(f"{path} is not a file of at most {MAX_BYTES:,} bytes")
            return path.read_bytes()
        except FileNotFoundError:
            raise BenchmarkError(f"{path} is missing") from None
        except (OSError, ValueError) as error:
            raise BenchmarkError(f"{path} cannot be read ({error})") from None

    def shown(self, name: str) -> str:
        return str(self.path / name)


class Zip:
    """Files of a zip. Their names may begin with `folder`."""

    def __init__(self, path: Path, folder: str):
        self.path, self.folder = path, folder
        with reading(path, "a zip file", "Get it again."):
            self.archive = zipfile.ZipFile(path)

        self.members = {info.filename: info for info in self.archive.infolist()}

        outside = [name for name in self.members if _leads_out(name)]
        if outside:
            raise BenchmarkError(
                f"{path} holds {outside[0]!r}, a name that leads out of its folder; refused: get "
                "the official file"
            )

    def has(self, name: str) -> bool:
        return self._member(name) is not None

    def read(self, name: str) -> bytes:
        member = self._member(name)
        if member is None:
            raise BenchmarkError(f"{self.shown(name)} is missing")
        if member.file_size > MAX_BYTES:
            raise BenchmarkError(
                f"{self.shown(name)} unfolds to {member.file_size:,} bytes, expected at most "
                f"{MAX_BYTES:,}"
            )

        with reading(self.shown(name), "a file of the official zip", "Get the zip again."):
            return self.archive.read(member)

    def shown(self, name: str) -> str:
        return f"{self.path}: {name}"

    def _member(self, name: str) -> zipfile.ZipInfo | None:
        return self.members.get(name) or self.members.get(f"{self.folder}/{name}")


def _leads_out(name: str) -> bool:
    """Return whether the name of a member leads out of the folder that it is unpacked into."""
    return name.startswith("/") or ".." in PurePosixPath(name.replace("\\", "/")).parts


def open_files(parent: Path, folder: str, archive: str, advice: str) -> Files:
    """Return the files of `parent/folder`, or of the zip `parent/archive`.

    Raise BenchmarkError, ending in `advice`, if neither exists.
    """
    need(parent, [(folder, archive)], advice)
    return Folder(parent / folder) if (parent / folder).is_dir() else Zip(parent / archive, folder)


def need(parent: Path, parts: list[tuple[str, str]], advice: str) -> None:
    """Raise BenchmarkError, ending in `advice`, if both folder and zip of a part are missing.

    parts: (folder, zip) pairs. The message names every missing one.
    """
    missing = [
        (folder, archive)
        for folder, archive in parts
        if not (parent / folder).is_dir() and not (parent / archive).is_file()
    ]
    if not missing:
        return

    folders = ", ".join(str(parent / folder) for folder, _ in missing)
    zips = ", ".join(str(parent / archive) for _, archive in missing)
    are, expected = ("are", "these folders") if missing[1:] else ("is", "that folder")
    raise BenchmarkError(f"{folders} {are} missing: expected {expected} or {zips}; {advice}")
