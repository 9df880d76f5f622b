"""Fashion-MNIST from the official idx files: local, or downloaded and checked."""

from pathlib import Path

from datasets import _idx
from datasets._base import Collection, Dataset, fewer_training_images

# The authors' repository. Their first server has no https.
COMMIT = "b2617bb6d3ffa2e429640350f613e3291e10b141"
URL = f"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/{COMMIT}/data/fashion/"
SHA256 = {
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


class FashionMNIST(Dataset):
    """70,000 pictures of clothes of 28 x 28 pixels in ten classes, split as MNIST.

    Parameters
    ----------
    training_images : int, optional
        Number of training images, drawn without labels. Default: all.

    References
    ----------
    Xiao, Rasul & Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms, arXiv 1708.07747.
    """

    label, citation = "Fashion-MNIST", "xiao2017fashion"
    reads = ("fashion_mnist", "FashionMNIST")
    one_channel = True

    def __init__(self, *, training_images=None):
        self.training_images = training_images

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load. Reads `fashion_mnist/` or `FashionMNIST/raw/`, else downloads."""
        folders = ("fashion_mnist", "FashionMNIST/raw", "fashion_mnist/FashionMNIST/raw")
        collection = _idx.load(data, cache, folders, URL, SHA256)
        return fewer_training_images(collection, self.training_images, "fashion-mnist/1")
