"""MNIST from the official idx files: local, or downloaded and checked."""

from pathlib import Path

from datasets import _idx
from datasets._base import Collection, Dataset, fewer_training_images

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


class MNIST(Dataset):
    """70,000 handwritten digits of 28 x 28 pixels, training files first.

    10,000 queries, 60,000 database and training images.

    Parameters
    ----------
    training_images : int, optional
        Number of training images, drawn without labels. Default: all.

    References
    ----------
    LeCun, Bottou, Bengio & Haffner, Gradient-Based Learning Applied to Document Recognition,
    Proceedings of the IEEE 1998.
    """

    label, citation = "MNIST", "lecun1998gradient"
    reads = ("mnist", "MNIST")
    one_channel = True

    def __init__(self, *, training_images=None):
        self.training_images = training_images

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load. Reads `mnist/` or `MNIST/raw/`, else downloads."""
        folders = ("mnist", "MNIST/raw", "mnist/MNIST/raw")
        collection = _idx.load(data, cache, folders, URL, SHA256)
        return fewer_training_images(collection, self.training_images, "mnist/1")
