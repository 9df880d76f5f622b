"""Downloads from a server on this machine: resumed, retried, verified, refused; errors offline."""

import hashlib
import http.server
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets import cifar10, fashion_mnist, mnist
from features.squeezenet1_1_pool import SqueezeNet11Pool
from harness import downloads, imagenet
from harness.downloads import Published, fetch
from harness.errors import BenchmarkError

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    """Address of a server, ranges of the requests, faults to simulate, and the content.

    Each request takes one fault: an HTTP status, or the number of bytes after which the server
    closes the connection.
    """
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    ranges, faults, content = [], [], bytearray(CONTENT)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            ranges.append(self.headers.get("Range"))
            fault = faults.pop(0) if faults else None
            start = int((self.headers.get("Range") or "bytes=0-").split("=")[1].rstrip("-"))
            if fault and fault < 1000:
                status = fault
            elif start >= len(content):
                status = 416
            else:
                status = 206 if start else 200
            self.send_response(status)
            if status >= 400:
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : start + (fault or len(content))])

        def log_message(self, *arguments):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/file", ranges, faults, content
    running.shutdown()
    running.server_close()


def fetched(server, folder, sha256=SHA256):
    return fetch(Published(server[0], sha256), folder / "file", manual_path=folder / "data")


def test_a_server_that_never_ends_does_not_fill_the_disk(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr(downloads, "LARGEST_BYTES", 10_000)
    with pytest.raises(
        BenchmarkError,
        match=r"/file is not the expected file: found more than 10,000 bytes\. Download ",
    ):
        fetched(server, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_broken_transfer_is_resumed(server, tmp_path):
    server[2].append(100_000)
    assert fetched(server, tmp_path).read_bytes() == CONTENT
    assert server[1] == [None, "bytes=100000-"]
    assert os.listdir(tmp_path) == ["file"]
    fetched(server, tmp_path)
    assert len(server[1]) == 2, "a complete copy is not downloaded again"


def test_a_request_to_a_busy_server_is_repeated(server, tmp_path):
    server[2].extend([503, 429])
    assert fetched(server, tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_discarded(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"x" * (len(CONTENT) + 1))
    assert fetched(server, tmp_path).read_bytes() == CONTENT


def test_a_download_killed_before_its_last_step_is_not_repeated(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert fetched(server, tmp_path).read_bytes() == CONTENT
    assert server[1] == []


def test_a_missing_page_is_not_requested_again(server, tmp_path):
    server[2].append(404)
    with pytest.raises(
        BenchmarkError,
        match=rf"\(HTTP Error 404.*\)\. Download {server[0]} \(SHA-256 {SHA256}\) .* put it at",
    ):
        fetched(server, tmp_path)
    assert len(server[1]) == 1
    assert os.listdir(tmp_path) == []


def test_a_wrong_digest_leaves_nothing(server, tmp_path):
    with pytest.raises(
        BenchmarkError,
        match=rf"found a file with SHA-256 {SHA256}\. Download http\S+ \(SHA-256 0{{64}}\)",
    ):
        fetched(server, tmp_path, sha256="0" * 64)
    assert os.listdir(tmp_path) == []


def test_jobs_that_want_the_same_file_download_it_once(server, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: fetched(server, tmp_path), range(8)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert len(server[1]) == 1
    assert os.listdir(tmp_path) == ["file"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weight file of SqueezeNet's, its bytes."""
    path = tmp_path_factory.mktemp("weights") / "x.pth"
    torch.save(imagenet.NETWORKS["squeezenet1_1"]().state_dict(), path)
    return path.read_bytes()


class TestOfficialWeights:
    """The official file is verified by its whole SHA-256."""

    @pytest.fixture
    def extractor(self, server, weights, tmp_path, monkeypatch):
        name = f"squeezenet1_1-{hashlib.sha256(weights).hexdigest()[:8]}.pth"
        server[3][:] = weights
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(imagenet, "URL", server[0].removesuffix("file"))
        monkeypatch.setitem(imagenet.OFFICIAL, "squeezenet1_1", name)
        sha256 = hashlib.sha256(weights).hexdigest()
        monkeypatch.setitem(imagenet.OFFICIAL_SHA256, "squeezenet1_1", sha256)
        return SqueezeNet11Pool(weights=f"weights/{name}")

    def message(self, extractor):
        """The error of a download that fails and leaves no file."""
        with pytest.raises(BenchmarkError) as caught:
            extractor.check(Path("data"))
        assert not [path for path in Path("cache").rglob("*") if path.is_file()]
        name = Path(extractor.weights).name
        advice = (
            rf"Download http://127.*/{name} \(SHA-256 \w{{64}}\) .* put it at data/weights/{name}"
        )
        assert re.search(advice, str(caught.value))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_they_are_downloaded_once_and_loaded(self, server, weights, extractor):
        server[2].append(1_000_000)  # broken off, then resumed
        extractor.check(Path("data"))
        extractor.open(Path("data"), 1)
        assert server[1] == [None, "bytes=1000000-"]
        assert extractor.facts_["weights_sha256"] == hashlib.sha256(weights).hexdigest()
        assert extractor.extract(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 512)

    def test_another_file_than_the_official_is_refused(self, server, extractor):
        server[3][-1] ^= 1
        assert (
            f"found a file with SHA-256 {hashlib.sha256(server[3]).hexdigest()}. Download"
            in self.message(extractor)
        )

    def test_a_file_that_is_cut_short_is_refused(self, server, extractor):
        del server[3][-1000:]
        assert "found a file with SHA-256" in self.message(extractor)

    def test_a_connection_that_always_breaks_is_an_error(self, server, extractor):
        server[2].extend([2000] * downloads.ATTEMPTS)
        with pytest.raises(
            BenchmarkError,
            match=r"could not download squeezenet1_1-\w{8}\.pth \(connection closed after 2,000 of",
        ):
            extractor.check(Path("data"))
        assert len(server[1]) == downloads.ATTEMPTS
        extractor.check(Path("data"))
        assert server[1][-1] == f"bytes={2000 * downloads.ATTEMPTS}-", (
            "the stored bytes are not downloaded again"
        )

    def test_no_server_is_one_line(self, extractor, monkeypatch):
        monkeypatch.setattr(imagenet, "URL", "http://127.0.0.1:9/")
        assert "Connection refused" in self.message(extractor)

    def test_a_page_instead_of_the_file_is_refused(self, server, extractor):
        server[2].append(404)
        assert "HTTP Error 404" in self.message(extractor)


def test_every_download_has_a_sha256_and_an_https_address():
    """torchvision publishes the first eight digits of its files in their names."""
    for name, sha256 in imagenet.OFFICIAL_SHA256.items():
        assert sha256.startswith(re.search(r"-(\w{8})\.pth", imagenet.OFFICIAL[name])[1])
    assert imagenet.OFFICIAL_SHA256.keys() == imagenet.OFFICIAL.keys() == imagenet.NETWORKS.keys()

    digests = [*imagenet.OFFICIAL_SHA256.values(), cifar10.PUBLISHED_ARCHIVE.sha256]
    digests += [*mnist.SHA256.values(), *fashion_mnist.SHA256.values()]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert len(set(digests)) == len(digests)

    urls = [imagenet.URL, cifar10.PUBLISHED_ARCHIVE.url, mnist.URL, fashion_mnist.URL]
    assert all(url.startswith("https://") for url in urls)
