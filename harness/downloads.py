"""Downloads: resumed, retried, checked by digest, and in place only when whole."""

from __future__ import annotations

import fcntl
import http.client
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from harness import storage
from harness.errors import BenchmarkError
from harness.progress import Progress

ATTEMPTS = 4
BLOCK = 1 << 20  # bytes
MOST = 1 << 30  # bytes of a file; the largest here has 0.6 GB
TIMEOUT = 30  # seconds without a byte
SHORTEST = 32  # hexadecimal digits of a whole digest
FAILURES = (OSError, http.client.HTTPException)
PASSING = (
    408,
    416,
    429,
    500,
    502,
    503,
    504,
)  # HTTP answers after which another attempt may succeed


@dataclass(frozen=True)
class Published:
    """A file on the web, and what the hexadecimal digest of its bytes is, or begins with."""

    url: str
    digest: str
    algorithm: str = "md5"

    @property
    def shown(self) -> str:
        """The address and the digest, as an error gives them to a user."""
        return (
            f"{self.url} ({self.name} {self.digest}{'...' if len(self.digest) < SHORTEST else ''})"
        )

    @property
    def name(self) -> str:
        return {"md5": "MD5", "sha256": "SHA-256"}[self.algorithm]


def fetch(published: Published, path: Path, put: Path) -> Path:
    """The published file as `path`, downloaded unless a whole copy is there already; jobs that want the same file wait for one.

    `put` is where a user without a network puts it. Raises BenchmarkError when the download fails for good or the digest differs.
    """
    if _whole(path, published):
        return path
    part = path.with_name(path.name + ".part")
    advice = f"download {published.shown} yourself and put it at {put}"
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
    return path.is_file() and storage.digest(path, published.algorithm).startswith(published.digest)


def _complete(part: Path, published: Published, advice: str) -> None:
    if _whole(part, published):
        return
    _download(published.url, part)
    if part.stat().st_size > MOST:
        part.unlink()
        raise BenchmarkError(f"{published.url} gives more than {MOST:,} bytes: {advice}")
    found = storage.digest(part, published.algorithm)
    if not found.startswith(published.digest):
        part.unlink()
        raise BenchmarkError(f"{published.url} gave a file with {published.name} {found}: {advice}")


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
            while file.tell() <= MOST and (block := response.read(BLOCK)):
                file.write(block)
                progress.advance(len(block))
            whole = file.tell() > MOST or progress.done >= left
        if not whole:
            raise OSError(f"connection closed after {progress.done:,} of {left:,} bytes")
