"""Official files as they are published: a folder, or the zip that it came in, read in place. Nothing is ever unpacked."""

from __future__ import annotations

import lzma
import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol

from harness.errors import BenchmarkError

MAX_BYTES = 1 << 28  # of one file: a few bytes of a zip can unfold to gigabytes


class Files(Protocol):
    """Files by their names, with `/` between folders."""

    def has(self, name: str) -> bool: ...

    def read(self, name: str) -> bytes:
        """The whole file. Raises BenchmarkError if it is missing, too large or cannot be read."""

    def shown(self, name: str) -> str:
        """How an error names the file."""


class Folder:
    """Files below a folder."""

    def __init__(self, path: Path):
        self.path = path

    def has(self, name: str) -> bool:
        return os.path.isfile(
            self.path / name
        )  # False for a name that no file can have, where Path.is_file raises

    def read(self, name: str) -> bytes:
        path = self.path / name
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                raise BenchmarkError(f"{path} is no file of at most {MAX_BYTES:,} bytes")
            return path.read_bytes()
        except FileNotFoundError:
            raise BenchmarkError(f"{path} is missing") from None
        except (OSError, ValueError) as error:
            raise BenchmarkError(f"{path} cannot be read ({error})") from None

    def shown(self, name: str) -> str:
        return str(self.path / name)


class Zip:
    """Files of a zip; `folder` is the one that its names may or may not begin with."""

    def __init__(self, path: Path, folder: str):
        self.path, self.folder = path, folder
        try:
            self.archive = zipfile.ZipFile(path)
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise BenchmarkError(f"{path} is no whole zip file ({error}): get it again") from None
        self.members = {info.filename: info for info in self.archive.infolist()}
        outside = [
            name
            for name in self.members
            if name.startswith("/") or ".." in PurePosixPath(name.replace("\\", "/")).parts
        ]
        if outside:
            raise BenchmarkError(
                f"{path} holds {outside[0]!r}, a name that leads out of its folder; refused: get the official file"
            )

    def has(self, name: str) -> bool:
        return self._member(name) is not None

    def read(self, name: str) -> bytes:
        member = self._member(name)
        if member is None:
            raise BenchmarkError(f"{self.shown(name)} is missing")
        if member.file_size > MAX_BYTES:
            raise BenchmarkError(
                f"{self.shown(name)} unfolds to {member.file_size:,} bytes, expected at most {MAX_BYTES:,}"
            )
        try:
            return self.archive.read(member)
        except (
            OSError,
            EOFError,
            ValueError,
            RuntimeError,
            zlib.error,
            lzma.LZMAError,
            zipfile.BadZipFile,
        ) as error:
            raise BenchmarkError(
                f"{self.shown(name)} cannot be read ({error}): get the zip again"
            ) from None

    def shown(self, name: str) -> str:
        return f"{self.path}: {name}"

    def _member(self, name: str) -> zipfile.ZipInfo | None:
        return self.members.get(name) or self.members.get(f"{self.folder}/{name}")


def open_files(parent: Path, folder: str, archive: str, advice: str) -> Files:
    """The files of `parent/folder`, or of the zip `parent/archive`. Raises BenchmarkError, ending in `advice`, if neither is there."""
    need(parent, [(folder, archive)], advice)
    return Folder(parent / folder) if (parent / folder).is_dir() else Zip(parent / archive, folder)


def need(parent: Path, parts: list[tuple[str, str]], advice: str) -> None:
    """Raise BenchmarkError, ending in `advice`, that names every (folder, zip) of which neither is in `parent`."""
    lacking = [
        (folder, archive)
        for folder, archive in parts
        if not (parent / folder).is_dir() and not (parent / archive).is_file()
    ]
    if lacking:
        folders, zips = (
            ", ".join(str(parent / name) for name in names) for names in zip(*lacking, strict=True)
        )
        are, expected = ("are", "these folders") if lacking[1:] else ("is", "that folder")
        raise BenchmarkError(f"{folders} {are} missing: expected {expected} or {zips}; {advice}")
