"""Downloads that resume, retry and verify the SHA-256 of the file before it gets its name.

Standard library only. pooch 1.9 is not used: it restarts a broken transfer from the first byte, and
jobs that need the same file at the same time each download it.
"""

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
BLOCK_BYTES = 1 << 20
LARGEST_BYTES = 1 << 30  # the largest file of the benchmark has 0.6 GB
TIMEOUT_SECONDS = 30  # without a byte
FAILURES = (OSError, http.client.HTTPException)
RANGE_NOT_SATISFIABLE = 416
# HTTP statuses after which another attempt may succeed.
TEMPORARY_STATUSES = (408, RANGE_NOT_SATISFIABLE, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Published:
    """A file on the web and the SHA-256 of its content, in hexadecimal."""

    url: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.url} (SHA-256 {self.sha256})"


def fetch(published: Published, path: Path, manual_path: Path) -> Path:
    """Download a file unless it is already complete.

    Jobs that need the same file wait for the one that downloads it.

    Parameters
    ----------
    published : Published
    path : Path
        Where the file is stored.
    manual_path : Path
        Where a user without a network puts the file. Errors name it.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    BenchmarkError
        If the download fails, or the file has another digest.
    """
    if _is_complete(path, published):
        return path

    part = path.with_name(path.name + ".part")
    advice = f"Download {published} yourself and put it at {manual_path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_complete(path, published):
                _complete(part, published, advice)
                part.replace(path)
    except FAILURES as error:
        raise BenchmarkError(f"could not download {path.name} ({error}). {advice}") from None
    finally:
        if part.is_file() and not part.stat().st_size:
            part.unlink()

    return path


def _is_complete(path: Path, published: Published) -> bool:
    return path.is_file() and storage.digest(path) == published.sha256


def _complete(part: Path, published: Published, advice: str) -> None:
    if _is_complete(part, published):
        return

    _download(published.url, part)

    if part.stat().st_size > LARGEST_BYTES:
        part.unlink()
        content = f"more than {LARGEST_BYTES:,} bytes"
    elif (digest := storage.digest(part)) != published.sha256:
        part.unlink()
        content = f"a file with SHA-256 {digest}"
    else:
        return

    raise BenchmarkError(f"{published.url} is not the expected file: found {content}. {advice}")


def _download(url: str, part: Path) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _resume(url, part)
            return
        except FAILURES as error:
            status = getattr(error, "code", None)
            refused = isinstance(error, urllib.error.HTTPError) and status not in TEMPORARY_STATUSES
            offline = isinstance(getattr(error, "reason", None), socket.gaierror)
            if attempt == ATTEMPTS or refused or offline:
                raise
            if status == RANGE_NOT_SATISFIABLE:
                part.write_bytes(b"")  # what is stored is longer than the file
            time.sleep(2**attempt)


def _resume(url: str, part: Path) -> None:
    """Append the missing bytes to `part`; overwrite it if the server sends the whole file."""
    stored = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={stored}-"} if stored else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        length = int(response.headers.get("Content-Length") or 0)
        progress = Progress(f"downloading {part.stem}", total=length, unit="bytes")
        with part.open("ab" if resumed else "wb") as file:
            while file.tell() <= LARGEST_BYTES and (block := response.read(BLOCK_BYTES)):
                file.write(block)
                progress.advance(len(block))
            ended = file.tell() > LARGEST_BYTES or progress.done >= length
        if not ended:
            raise OSError(f"connection closed after {progress.done:,} of {length:,} bytes")
