"""Fashion-MNIST from the official idx files: local, or downloaded and checked."""

from pathlib import Path

from datasets import _idx
from datasets._base import Collection, Dataset

# The authors' repository. Their first server has no https.
COMMIT = "b2617bb6d3ffa2e429640350f613e3291e10b141"
URL = f"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/{COMMIT}/data/fashion/"
SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


class FashionMNIST(Dataset):
    """70,000 pictures of clothes of 28 x 28 pixels in ten classes, training files first; split as MNIST.

    Source: Xiao, Rasul & Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms, arXiv 1708.07747.
    """

    label, citation = "Fashion-MNIST", "xiao2017fashion"
    reads = ("fashion_mnist",)

    def __init__(self):
        pass

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load; reads `fashion_mnist/` below `data`, else downloads the four files."""
        return _idx.load(data, cache, "fashion_mnist", URL, SHA256)
