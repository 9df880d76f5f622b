"""Fashion-MNIST from the official idx files: local, or downloaded and checked."""

from pathlib import Path

from datasets import _idx
from datasets._base import Collection, Dataset

URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


class FashionMNIST(Dataset):
    """70,000 pictures of clothes of 28 x 28 pixels in ten classes, training files first; split as MNIST.

    Source: Xiao, Rasul & Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms, arXiv 1708.07747.
    """

    label, citation = "Fashion-MNIST", "xiao2017fashion"
    reads = ("fashion_mnist",)

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load; reads `fashion_mnist/` below `data`, else downloads the four files."""
        return _idx.load(data, cache, "fashion_mnist", URL, MD5)
