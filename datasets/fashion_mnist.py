"""Fashion-MNIST from the official idx files: local, or downloaded and checked."""

from pathlib import Path

from datasets import _idx
from datasets._base import Collection, Dataset, fewer_training_images

URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
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
    grey = True

    def __init__(self, *, training_images=None):
        self.training_images = training_images

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load. Reads `fashion_mnist/` or `FashionMNIST/raw/`, else downloads."""
        folders = ("fashion_mnist", "FashionMNIST/raw", "fashion_mnist/FashionMNIST/raw")
        collection = _idx.load(data, cache, folders, URL, MD5)
        return fewer_training_images(collection, self.training_images, "fashion-mnist/1")
