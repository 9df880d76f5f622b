"""Handwritten digits that scikit-learn contains: the default data set, since it is no download."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from datasets._base import (
    OURS,
    Collection,
    Dataset,
    draw_per_class,
    fewer_training_images,
    others,
    shuffled,
)

QUERIES_PER_CLASS = 30


class Digits(Dataset):
    """1,797 real 8 x 8 grey images of ten digits, as RGB; 300 queries, the rest database.

    `pixels` takes all three channels: published results have 192 dimensions.

    Parameters
    ----------
    training_images : int, optional
        Number of training images, drawn without labels. Default: the whole database.

    References
    ----------
    Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (its test part).
    """

    label, citation, needs_files = "Digits", "alpaydin1998optical", False

    def __init__(self, *, training_images=None):
        self.training_images = training_images

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load. Reads neither folder."""
        digits = load_digits()
        # (1797, 8, 8), intensities 0..16 as shipped
        grey = (digits.images * (255 / 16)).round().astype(np.uint8)
        labels = digits.target.astype(np.int64)
        order = shuffled(len(labels), "bgan-bench/digits/1/query")
        query = draw_per_class(labels, QUERIES_PER_CLASS, order)
        database = others(len(labels), query)
        collection = Collection(
            images=np.repeat(grey[..., None], 3, axis=3),
            labels=labels,
            query=query,
            database=database,
            train=database,
            rules=(
                (
                    f"{QUERIES_PER_CLASS} queries per class, drawn in the order of a fixed hash",
                    OURS,
                ),
                ("all other images are both database and training images", OURS),
                ("relevant: same digit", OURS),
            ),
        )
        return fewer_training_images(collection, self.training_images, "digits/1")
