"""Write the file of a new data set, which follows the contract as it is."""

from __future__ import annotations

from pathlib import Path

from experiments.new_method import class_name, new_path
from harness.plugins import ROOT

TEMPLATE = '''"""@LABEL@: images, labels and the protocol of its split."""

from pathlib import Path

import numpy as np

from datasets._base import (
    OURS,
    Collection,
    Dataset,
    draw_per_class,
    fewer_training_images,
    others,
    shuffled,
)
from harness.errors import BenchmarkError

# Increase the version of the class when a rule of the split changes.
QUERIES_PER_CLASS = 10


class @CLASS@(Dataset):
    """State the number and size of the images, and the sizes of the split.

    Parameters
    ----------
    training_images : int, optional
        Number of training images, drawn without labels. Default: all.
    """

    # citation: a key of report/references.bib, or None.
    label, citation = "@LABEL@", None
    reads = ("@NAME@",)  # below the data folder

    def __init__(self, *, training_images=None):
        self.training_images = training_images

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load. Reads `@NAME@/images.npy` and `@NAME@/labels.npy`."""
        paths = data / "@NAME@/images.npy", data / "@NAME@/labels.npy"
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise BenchmarkError(
                f"{self.label}: {', '.join(missing)} missing. Write each file with numpy.save"
            )

        # images: (n, h, w, 3) uint8; grey ones are np.repeat(images[..., None], 3, axis=3)
        # classes: (n,), their names or numbers
        images, classes = (np.load(path, allow_pickle=False) for path in paths)
        labels = np.unique(classes, return_inverse=True)[1]  # (n,) int64, from 0

        order = shuffled(len(labels), "bgan-bench/@NAME@/1/query")
        query = draw_per_class(labels, QUERIES_PER_CLASS, order)
        database = others(len(labels), query)
        collection = Collection(
            images=images,
            labels=labels,
            query=query,
            database=database,
            train=database,
            # Each rule is published or ours: import PUBLISHED for those of a paper.
            rules=(
                (f"{QUERIES_PER_CLASS} queries per class, in the order of a fixed hash", OURS),
                ("all other images are both database and training images", OURS),
                ("relevant: same class", OURS),
            ),
        )
        return fewer_training_images(collection, self.training_images, "@NAME@/1")
'''


def write(name: str, folder: Path = ROOT / "datasets") -> Path:
    """Write the file of a new data set, and return its path.

    Raises
    ------
    BenchmarkError
        If the name is not possible, or the file exists.
    """
    path = new_path("new-dataset", folder, name)
    label = name.replace("_", " ").capitalize()
    text = TEMPLATE.replace("@NAME@", name).replace("@LABEL@", label)
    path.write_text(text.replace("@CLASS@", class_name(name)), encoding="utf-8")
    return path


def next_steps(name: str) -> list[str]:
    """Return what to do with the new file."""
    return [
        f"next: put {name}/images.npy and {name}/labels.npy below the data folder, or edit `load`",
        f"      python -m datasets {name} --check",
        f"      snakemake --cores all --config 'datasets=[{name}]'",
    ]
