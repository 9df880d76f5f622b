"""CIFAR-10 from the official Python batches: local, or downloaded and checked."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np

from datasets._base import (
    OURS,
    PUBLISHED,
    Collection,
    Dataset,
    draw_per_class,
    fewer_training_images,
    known_protocol,
    others,
    shuffled,
)
from datasets._files import Folder
from harness.downloads import Published, fetch
from harness.errors import BenchmarkError, reading
from harness.storage import digest

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
PUBLISHED_ARCHIVE = Published(
    ARCHIVE_URL, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
)
BATCH_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
ROWS = 60_000
OFFICIAL = ("deepbit", "greedyhash")  # protocols of the official test set, which is not drawn
OFFICIAL_TRAINING = 50_000  # rows of the five data batches; the test batch follows


class CIFAR10(Dataset):
    """60,000 colour images of 32 x 32 pixels in ten classes.

    Rows are data_batch_1 ... data_batch_5, then test_batch. Relevant: same class. Protocols, as
    queries / database / training images:

    bgan
        1,000 / 59,000 / 10,000, the sizes that the code released with Song et al., AAAI 2018
        evaluates on.
    1
        1,000 / 59,000 / 5,000, drawn per class.
    2
        10,000 / 50,000 / 50,000, redrawn from all images.
    54k
        As 1, but the 5,000 training images are outside the database of 54,000. Sizes of
        `cifar10-1`, `cifar10-2` and `cifar10` in https://github.com/swuxyj/DeepHash-pytorch.
    deepbit, greedyhash
        The official test set / the official training set, which also trains. Lin et al., CVPR
        2016; Su et al., NeurIPS 2018.
    cibhash
        5,000 of the official test set / the official training set / 5,000 of it. Qiu et al.,
        IJCAI 2021.

    Parameters
    ----------
    protocol : str
    training_images : int, optional
        Number of the protocol's training images, drawn without labels. Default: all.
    draw : int, optional
        Number of the split, 0 for the default one. Other numbers draw other images in the same
        sizes, which shows how far results depend on the images that were drawn.

    References
    ----------
    Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """

    label, citation = "CIFAR-10", "krizhevsky2009learning"
    reads = ("cifar-10-batches-py", "cifar-10-python.tar.gz")
    protocols = ("bgan", "1", "2", "54k", "deepbit", "greedyhash", "cibhash")

    def __init__(self, *, protocol="bgan", training_images=None, draw=0):
        self.protocol = known_protocol(CIFAR10, protocol)
        self.training_images = training_images
        self.draw = draw

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load. Reads the batches or the archive, else downloads the archive."""
        images, labels = read_batches(data, cache)
        fields = split(labels, self.protocol, self.draw)
        collection = Collection(images=images, labels=labels, **fields)
        name = f"{_hashed_name(self.protocol, self.draw)}/fewer"
        return fewer_training_images(collection, self.training_images, name)


def split(labels: np.ndarray, protocol: str, draw: int = 0) -> dict:
    """Return the split, sizes and rules of a protocol, as fields of a Collection.

    Parameters
    ----------
    labels : ndarray of int64, shape (60000,)
        In the official order.
    protocol : str
    draw : int
        Number of the split among those of equal sizes.

    Raises
    ------
    BenchmarkError
        For a negative number, or one above 0 in a protocol whose images are not drawn.
    """
    if type(draw) is not int or draw < 0:
        raise BenchmarkError(f"CIFAR-10: draw is {draw!r}, expected 0, 1, 2, ...")
    if draw and protocol in OFFICIAL:
        raise BenchmarkError(
            f"CIFAR-10: draw is {draw}, expected 0: the protocol {protocol} has the official test "
            "set as queries, which are not drawn"
        )
    draws = {
        "bgan": _bgan,
        "1": _drawn,
        "2": _drawn,
        "54k": _drawn,
        "deepbit": _official,
        "greedyhash": _official,
        "cibhash": _cibhash,
    }
    fields = draws[protocol](labels, protocol, draw)
    if draw:
        fields["rules"] += ((f"draw {draw}: the order of another hash", OURS),)
    return fields


def _hashed_name(protocol: str, draw: int) -> str:
    """Return what the order of a split is a hash of, without the part of the split."""
    return f"cifar10-{protocol}/{CIFAR10.version}" + (f"/draw{draw}" if draw else "")


def _order(rows: np.ndarray | int, protocol: str, draw: int, part: str) -> np.ndarray:
    """Return rows, or those of range(rows), in the order of the hash of a protocol's part."""
    rows = np.arange(rows) if isinstance(rows, int) else rows
    return rows[shuffled(len(rows), f"bgan-bench/{_hashed_name(protocol, draw)}/{part}")]


def _bgan(labels: np.ndarray, protocol: str, draw: int) -> dict:
    query = draw_per_class(labels, 100, _order(ROWS, protocol, draw, "query"))
    database = others(ROWS, query)
    return {
        "query": query,
        "database": database,
        "train": np.sort(_order(database, protocol, draw, "train")[:10_000]),
        "sizes": (1_000, 59_000, 10_000),
        "rules": (
            (
                "1,000 queries, 59,000 database images, 10,000 training images; relevant: same "
                "class",
                PUBLISHED,
            ),
            ("100 queries per class from all 60,000 images, in the order of a fixed hash", OURS),
            (
                "training images drawn uniformly from the database, without labels, in the order "
                "of a fixed hash",
                OURS,
            ),
        ),
    }


def _drawn(labels: np.ndarray, protocol: str, draw: int) -> dict:
    """Draw queries and training images per class; the database depends on the protocol."""
    queries, training = (1_000, 5_000) if protocol == "2" else (100, 500)
    query = draw_per_class(labels, queries, _order(ROWS, protocol, draw, "query"))
    train = draw_per_class(labels, training, _order(others(ROWS, query), protocol, draw, "train"))
    database = {
        "1": others(ROWS, query),
        "2": train,
        "54k": others(ROWS, np.union1d(query, train)),
    }[protocol]
    sizes = {
        "1": (1_000, 59_000, 5_000),
        "2": (10_000, 50_000, 50_000),
        "54k": (1_000, 54_000, 5_000),
    }[protocol]
    where = "outside the database" if protocol == "54k" else "inside the database"
    return {
        "query": query,
        "database": database,
        "train": train,
        "sizes": sizes,
        "train_outside": protocol == "54k",
        "rules": (
            ("{:,} queries, {:,} database images; relevant: same class".format(*sizes), PUBLISHED),
            (
                f"{queries:,} queries and {training:,} training images per class from all 60,000, "
                f"training images {where}",
                PUBLISHED,
            ),
            (
                "which images: in the order of a fixed hash, where the published code draws again "
                "at each run",
                OURS,
            ),
        ),
    }


def _official(labels: np.ndarray, protocol: str, draw: int) -> dict:
    database = np.arange(OFFICIAL_TRAINING)
    return {
        "query": np.arange(OFFICIAL_TRAINING, ROWS),
        "database": database,
        "train": database,
        "sizes": (10_000, 50_000, 50_000),
        "rules": (
            (
                "queries: the official test set; database and training: the official training "
                "set; relevant: same class",
                PUBLISHED,
            ),
        ),
    }


def _cibhash(labels: np.ndarray, protocol: str, draw: int) -> dict:
    database = np.arange(OFFICIAL_TRAINING)
    return {
        "query": draw_per_class(
            labels, 500, _order(np.arange(OFFICIAL_TRAINING, ROWS), protocol, draw, "query")
        ),
        "database": database,
        "train": draw_per_class(labels, 500, _order(database, protocol, draw, "train")),
        "sizes": (5_000, 50_000, 5_000),
        "rules": (
            (
                "queries: 5,000 of the official test set; database: the official training set; "
                "relevant: same class",
                PUBLISHED,
            ),
            ("500 training images per class, from the database", PUBLISHED),
            ("500 queries per class; the other 5,000 test images take no part", OURS),
            ("which images: in the order of a fixed hash", OURS),
        ),
    }


def read_batches(data: Path, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of all six batches, each verified by its official MD5.

    Returns
    -------
    images : ndarray of uint8, shape (60000, 32, 32, 3)
    labels : ndarray of int64, shape (60000,)
    """
    read = (
        _folder_reader(data / FOLDER)
        if (data / FOLDER).is_dir()
        else _archive_reader(_archive(data, cache))
    )
    batches = [_unpickle(name, read(name)) for name in BATCH_MD5]
    # (60000, 3072): all red, all green, all blue
    pixels = np.concatenate([batch[b"data"] for batch in batches])
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = [np.array(batch[b"labels"], dtype=np.int64) for batch in batches]
    return np.ascontiguousarray(images), np.concatenate(labels)


def _folder_reader(folder: Path):
    files = Folder(folder)

    def read(name: str) -> bytes:
        if not files.has(name):
            raise BenchmarkError(
                f"{files.shown(name)} is missing: expected the six batches of {ARCHIVE_URL} in "
                f"{folder}"
            )
        return _checked(files.shown(name), name, files.read(name))

    return read


def _archive_reader(path: Path):
    contents = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            if folder == FOLDER and name in BATCH_MD5 and member.isfile():
                contents[name] = archive.extractfile(member).read()

    def read(name: str) -> bytes:
        if name not in contents:
            raise BenchmarkError(
                f"{path} holds no {FOLDER}/{name}: expected the official archive of {ARCHIVE_URL}"
            )
        return _checked(f"{path}: {name}", name, contents[name])

    return read


def _archive(data: Path, cache: Path) -> Path:
    """Return the official archive, from the data folder or downloaded into the cache."""
    local = data / ARCHIVE
    if not local.is_file():
        return fetch(PUBLISHED_ARCHIVE, cache / "downloads" / ARCHIVE, manual_path=local)

    sha256 = digest(local)
    if sha256 != PUBLISHED_ARCHIVE.sha256:
        raise BenchmarkError(
            f"{local} has SHA-256 {sha256}, expected {PUBLISHED_ARCHIVE.sha256}: get it again from "
            f"{ARCHIVE_URL}"
        )

    return local


def _checked(shown: str, name: str, content: bytes) -> bytes:
    md5 = hashlib.md5(content).hexdigest()
    if md5 != BATCH_MD5[name]:
        raise BenchmarkError(
            f"{shown} has {len(content):,} bytes and MD5 {md5}, expected MD5 {BATCH_MD5[name]}: "
            f"get it again from {ARCHIVE_URL}"
        )
    return content


PICKLE_CLASSES = {  # names in an official batch, and where NumPy has them now
    ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"): ("numpy", "ndarray"),
    ("numpy", "dtype"): ("numpy", "dtype"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays, lists and strings and nothing else, although the MD5 is verified before."""

    def find_class(self, module: str, name: str):
        if (module, name) not in PICKLE_CLASSES:
            raise BenchmarkError(
                f"a CIFAR-10 batch asks for {module}.{name}, which no official batch does; refused"
            )
        return super().find_class(*PICKLE_CLASSES[module, name])


def _unpickle(name: str, content: bytes) -> dict:
    """Return a batch with `data` of shape (10000, 3072) and 10,000 `labels`."""
    with reading(name, "a CIFAR-10 batch", f"Get it again from {ARCHIVE_URL}."):
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        shape, labels = batch[b"data"].shape, len(batch[b"labels"])

    if shape != (10_000, 3072) or labels != 10_000:
        raise BenchmarkError(
            f"{name} has data of shape {shape} and {labels:,} labels, expected (10000, 3072) and "
            "10,000"
        )

    return batch
