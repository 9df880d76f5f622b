"""Downloads: resumed, retried, checked by digest, and in place only when whole."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from experiments import BenchmarkError
from progress import Progress

ATTEMPTS = 4
BLOCK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without a byte
FAILURES = (OSError, http.client.HTTPException)
PASSING = (408, 416, 429, 500, 502, 503, 504)  # HTTP answers after which another attempt may succeed


@dataclass(frozen=True)
class Published:
    """A file on the web, and the MD5 of its bytes, hexadecimal."""

    url: str
    md5: str


def md5_of(source: Path | BinaryIO) -> str:
    """MD5 of a file or stream, hexadecimal: the digest that the official pages publish."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    return hashlib.file_digest(source, "md5").hexdigest()


def fetch(published: Published, path: Path, put: Path) -> Path:
    """The published file as `path`, downloaded unless a whole copy is there already; jobs that want the same file wait for one.

    `put` is where a user without a network puts it. Raises BenchmarkError when the download fails for good or the digest differs.
    """
    if _whole(path, published):
        return path
    part = path.with_name(path.name + ".part")
    advice = f"download {published.url} (MD5 {published.md5}) yourself and put it at {put}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _whole(path, published):
                _complete(part, published, advice)
                part.replace(path)
    except FAILURES as error:
        raise BenchmarkError(f"could not download {path.name} ({error}): {advice}") from None
    finally:
        if part.is_file() and not part.stat().st_size:
            part.unlink()
    return path


def _whole(path: Path, published: Published) -> bool:
    return path.is_file() and md5_of(path) == published.md5


def _complete(part: Path, published: Published, advice: str) -> None:
    if _whole(part, published):
        return
    _download(published.url, part)
    found = md5_of(part)
    if found != published.md5:
        part.unlink()
        raise BenchmarkError(f"{published.url} gave a file with MD5 {found}, expected {published.md5}: {advice}")


def _download(url: str, part: Path) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _resume(url, part)
            return
        except FAILURES as error:
            status = getattr(error, "code", None)
            refused = isinstance(error, urllib.error.HTTPError) and status not in PASSING
            offline = isinstance(getattr(error, "reason", None), socket.gaierror)
            if attempt == ATTEMPTS or refused or offline:
                raise
            if status == 416:  # what is held is no part of the file
                part.write_bytes(b"")
            time.sleep(2**attempt)


def _resume(url: str, part: Path) -> None:
    """Append to `part` what is missing; start anew where the server sends the whole file."""
    held = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={held}-"} if held else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        resumed = response.status == 206
        left = int(response.headers.get("Content-Length") or 0)
        progress = Progress(f"downloading {part.stem}", total=left, unit="bytes")
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(BLOCK):
                file.write(block)
                progress.advance(len(block))
        if left and progress.done < left:
            raise OSError(f"connection closed after {progress.done:,} of {left:,} bytes")
