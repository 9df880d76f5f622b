"""The benchmark of training: the work it counts, and that it runs and says what it could not time."""

import sys

import pytest
import torch

from benchmarks import training


def test_vgg19s_work_is_that_of_its_layers():
    """Twice the products of each layer forward, and again for the gradients of its weights and of its inputs, which the images need not."""
    widths = [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    sides = [224] * 2 + [112] * 2 + [56] * 4 + [28] * 4 + [14] * 4
    products = [9 * before * after * side**2 for before, after, side in zip([3, *widths], widths, sides, strict=False)]
    products += [512 * 7 * 7 * 4096, 4096 * 4096]
    assert training.flops("vgg19", 224) == 2 * (3 * sum(products) - products[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is said without a GPU")
def test_it_runs_and_says_what_it_could_not_time(monkeypatch, capsys):
    monkeypatch.setenv(training.DATA_VARIABLE, "replaced by a folder of random weights")
    monkeypatch.setitem(training.SIZES, "squeezenet1_1", 24)
    monkeypatch.setitem(training.PEAK, "cpu", ("float32", 64))
    monkeypatch.setattr(sys, "argv", ["training", "--encoders", "features", "squeezenet1_1", "--batch", "8", "--batches", "1"])
    training.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines[2:4]] == ["features", "squeezenet1_1"]
    assert "24 px, 8 a batch, float32: " in lines[3]
    assert lines[3].endswith("% of the peak in training")
    assert lines[4].startswith("no GPU here: bfloat16 and the released way")
