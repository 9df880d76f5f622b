"""Tests are of the CPU, where codes repeat bit for bit; those that are marked `gpu` run by `python -m pytest -m gpu`."""

import os


def pytest_configure(config):
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
