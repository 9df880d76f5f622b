"""MNIST from the official idx files: local, or downloaded and checked."""

from pathlib import Path

from datasets import _idx
from datasets._base import Collection, Dataset

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


class MNIST(Dataset):
    """70,000 handwritten digits of 28 x 28 pixels, training files first; 10,000 queries, 60,000 database and training images.

    Source: LeCun, Bottou, Bengio & Haffner, Gradient-Based Learning Applied to Document Recognition, Proceedings of the IEEE 1998.
    """

    label, citation = "MNIST", "lecun1998gradient"
    reads = ("mnist",)

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load; reads `mnist/` below `data`, else downloads the four files."""
        return _idx.load(data, cache, "mnist", URL, MD5)
