"""Downloads from a server on this machine: resumed, retried, waited for, refused; and what an offline user reads."""

import hashlib
import http.server
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from datasets import _download
from datasets._download import Published, fetch
from experiments import BenchmarkError

CONTENT = bytes(range(256)) * 2000
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    """The address of a server that sends CONTENT, in ranges as asked, and the ranges that it was asked for.

    `faults` are met first, one a request: an HTTP status, or the number of bytes after which it breaks off.
    """
    monkeypatch.setattr(_download.time, "sleep", lambda seconds: None)
    asked, faults = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Range"))
            fault = faults.pop(0) if faults else None
            start = int((self.headers.get("Range") or "bytes=0-").split("=")[1].rstrip("-"))
            status = fault if fault and fault < 1000 else 416 if start >= len(CONTENT) else 206 if start else 200
            self.send_response(status)
            if status >= 400:
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            self.wfile.write(CONTENT[start : start + (fault or len(CONTENT))])

        def log_message(self, *arguments):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/file", asked, faults
    running.shutdown()
    running.server_close()


def fetched(server, folder, md5=MD5):
    return fetch(Published(server[0], md5), folder / "file", put=folder / "data")


def test_a_broken_transfer_is_resumed(server, tmp_path):
    server[2].append(100_000)
    assert fetched(server, tmp_path).read_bytes() == CONTENT
    assert server[1] == [None, "bytes=100000-"]
    assert os.listdir(tmp_path) == ["file"]
    fetched(server, tmp_path)
    assert len(server[1]) == 2, "a whole copy is not asked for again"


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    server[2].extend([503, 429])
    assert fetched(server, tmp_path).read_bytes() == CONTENT


def test_what_is_left_of_another_file_is_thrown_away(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"x" * (len(CONTENT) + 1))
    assert fetched(server, tmp_path).read_bytes() == CONTENT


def test_a_download_killed_before_its_last_step_is_not_repeated(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert fetched(server, tmp_path).read_bytes() == CONTENT
    assert server[1] == []


def test_a_missing_page_is_not_asked_again(server, tmp_path):
    server[2].append(404)
    with pytest.raises(
        BenchmarkError, match=rf"could not download file \(HTTP Error 404.*\): download {server[0]} \(MD5 {MD5}\) .* put it at"
    ):
        fetched(server, tmp_path)
    assert len(server[1]) == 1
    assert os.listdir(tmp_path) == []


def test_a_wrong_digest_leaves_nothing(server, tmp_path):
    with pytest.raises(BenchmarkError, match="expected 00: download"):
        fetched(server, tmp_path, md5="00")
    assert os.listdir(tmp_path) == []


def test_jobs_that_want_the_same_file_download_it_once(server, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: fetched(server, tmp_path), range(8)))
    assert {path.read_bytes() for path in found} == {CONTENT}
    assert len(server[1]) == 1
    assert os.listdir(tmp_path) == ["file"]
