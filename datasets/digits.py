"""Handwritten digits, the copy that scikit-learn carries: the default, since it needs no download."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from datasets._base import OURS, Collection, Dataset, draw_per_class, others, shuffled

QUERIES_PER_CLASS = 30


class Digits(Dataset):
    """1,797 real 8 x 8 grey images of ten digits, as RGB; 300 queries, the rest database and training.

    Source: Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (its test part).
    """

    label, citation, needs_files = "Digits", "alpaydin1998optical", False

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load; reads neither folder."""
        digits = load_digits()
        grey = (
            (digits.images * (255 / 16)).round().astype(np.uint8)
        )  # (1797, 8, 8), intensities 0..16 as shipped
        labels = digits.target.astype(np.int64)
        query = draw_per_class(
            labels, QUERIES_PER_CLASS, shuffled(len(labels), "bgan-bench/digits/1/query")
        )
        database = others(len(labels), query)
        return Collection(
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
