"""Downloads: resumed, retried, checked by digest, and in place only when whole."""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from experiments import BenchmarkError
from progress import Progress

ATTEMPTS = 4
BLOCK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without a byte


def md5_of(source: Path | BinaryIO) -> str:
    """MD5 of a file or stream, hexadecimal: the digest that the official pages publish."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    return hashlib.file_digest(source, "md5").hexdigest()


def fetch(url: str, path: Path, md5: str, alternative: str) -> Path:
    """The file at `url` as `path`, downloaded unless a whole copy is there already.

    `alternative` ends the error's sentence with what a user without a network does. Raises BenchmarkError when the download
    fails for good or the digest differs.
    """
    if path.is_file() and md5_of(path) == md5:
        return path
    part = path.with_name(path.name + ".part")
    advice = f"download {url} (MD5 {md5}) yourself and put it at {path}, or {alternative}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part)
    except OSError as error:
        raise BenchmarkError(f"could not download {path.name} ({error}): {advice}") from None
    found = md5_of(part)
    if found != md5:
        part.unlink()
        raise BenchmarkError(f"{url} gave a file with MD5 {found}, expected {md5}: {advice}")
    part.replace(path)
    return path


def _download(url: str, part: Path) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _resume(url, part)
            return
        except urllib.error.HTTPError:
            raise
        except OSError:
            if attempt == ATTEMPTS:
                raise
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
