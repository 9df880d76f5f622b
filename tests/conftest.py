"""Fixtures of several test modules.

Whatever takes long to build is built once, by the first process of pytest-xdist that needs it.
Tests run on the CPU, where codes are reproducible bit for bit. The tests that are marked `gpu` run
with `python -m pytest -m gpu`.
"""

import fcntl
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import DIGITS, Copy, write_extras, write_results
from hypothesis import settings

from report import __main__ as command
from report.figures import plots, training_curves

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


# A slow or busy machine is no failure: no example has a time limit.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


def pytest_configure(config):
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if (
        "PYTEST_XDIST_WORKER" in os.environ
    ):  # processes that share the cores only wait for each other's threads
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def build_once(tmp_path_factory):
    """Return a function that builds a folder once for all test processes and returns its path."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def build(name, write) -> Path:
        folder, built = shared / name, shared / f"{name}.built"
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not built.exists():
                shutil.rmtree(
                    folder, ignore_errors=True
                )  # what a build that failed in another process left
                write(folder)
                built.touch()
        return folder

    return build


@pytest.fixture(scope="session")
def finished(build_once):
    """A project whose workflow of tiny.yaml has ended. Tests read it and write to a `copy`."""

    return build_once("finished", lambda folder: Copy(folder).run())


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished project, for one test."""
    return Copy(tmp_path / "bgan-bench", finished)


@pytest.fixture(scope="session")
def complete(build_once):
    """A complete report of two data sets.

    One cell has failed, one is missing, one is incomplete and one nearly collapsed. One method has
    saved extras.
    """

    def write(root):
        folder = root / "results"
        broken = {
            ("itq", 32, 1): "failed",
            ("bgan", 32, 0): "failed",
            ("bgan", 32, 1): "missing",
            ("bgan", 32, 2): "missing",
        }
        write_results(
            folder,
            grid=(DIGITS, ("cifar10", "vgg19_fc7")),
            broken=broken,
            distinct={("lsh", 16, 0): 3, ("bgan", 16, 1): 3},
        )
        write_extras(folder, "lsh")
        write_extras(folder, "lsh", pair=("cifar10", "vgg19_fc7"), sampled=None)
        command.write(folder, folder / "report")

    return build_once("complete", write) / "results/report"


@pytest.fixture(scope="session")
def plain(build_once):
    """A report of one data set without figures and failures. No extras of its run are displayed."""

    def write(root):
        folder = write_results(root / "results", configfiles=["config/my own.yaml"])
        write_extras(
            folder,
            "bgan",
            **dict.fromkeys(["curves", "curve_names", *training_curves.PICTURES]),
            attention=np.ones(3),
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plots, "draw", lambda *_: [])
            command.write(folder, folder / "report")

    return build_once("plain", write) / "results/report"


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are slow, and most tests are of the rest."""
    monkeypatch.setattr(plots, "draw", lambda *_: [])


@pytest.fixture(scope="session")
def browser():
    """A Chromium driven by Playwright. Each test opens a context of its own."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright, of requirements-test.txt"
    )
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(
            f"needs one of {', '.join(CHROMIUM)} on the path, as of Debian's package chromium"
        )
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()
