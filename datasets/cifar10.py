"""CIFAR-10 from the official Python batches: local, or downloaded and checked."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np

from datasets._base import OURS, PUBLISHED, Collection, Dataset, draw_per_class, others, shuffled
from datasets._download import fetch, md5_of
from experiments import BenchmarkError

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
BATCH_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
QUERIES_PER_CLASS, TRAINING_IMAGES = 100, 10_000


class CIFAR10(Dataset):
    """60,000 colour images of 32 x 32 pixels in ten classes; rows are data_batch_1 ... data_batch_5, then test_batch.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. Protocol `bgan`: the sizes that the code
    released with Song et al., AAAI 2018 evaluates on.
    """

    label, citation = "CIFAR-10", "krizhevsky2009learning"
    protocols = ("bgan",)

    def __init__(self, *, protocol="bgan"):
        self.protocol = protocol

    def load(self, data: Path, cache: Path) -> Collection:
        """See Dataset.load; reads `cifar-10-batches-py/` or the official archive below `data`, else downloads the archive."""
        images, labels = read_batches(data, cache)
        query = draw_per_class(labels, QUERIES_PER_CLASS, shuffled(len(labels), "bgan-bench/cifar10-bgan/1/query"))
        database = others(len(labels), query)
        order = shuffled(len(database), "bgan-bench/cifar10-bgan/1/train")
        return Collection(
            images=images,
            labels=labels,
            query=query,
            database=database,
            train=np.sort(database[order[:TRAINING_IMAGES]]),
            rules=(
                ("1,000 queries, 59,000 database images, 10,000 training images; relevant: same class", PUBLISHED),
                ("100 queries per class from all 60,000 images, in the order of a fixed hash", OURS),
                ("training images drawn uniformly from the database, without labels, in the order of a fixed hash", OURS),
            ),
        )


def read_batches(data: Path, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (60000, 32, 32, 3) uint8 and labels (60000,) int64 of all six batches, each checked against its official MD5."""
    read = _folder_reader(data / FOLDER) if (data / FOLDER).is_dir() else _archive_reader(_archive(data, cache))
    batches = [_unpickle(name, read(name)) for name in BATCH_MD5]
    pixels = np.concatenate([batch[b"data"] for batch in batches])  # (60000, 3072): all red, all green, all blue
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.concatenate([np.array(batch[b"labels"], dtype=np.int64) for batch in batches])


def _folder_reader(folder: Path):
    def read(name: str) -> bytes:
        path = folder / name
        if not path.is_file():
            raise BenchmarkError(f"{path} is missing: expected the six batches of {ARCHIVE_URL} in {folder}")
        return _checked(str(path), name, path.read_bytes())

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
            raise BenchmarkError(f"{path} holds no {FOLDER}/{name}: expected the official archive of {ARCHIVE_URL}")
        return _checked(f"{path}: {name}", name, contents[name])

    return read


def _archive(data: Path, cache: Path) -> Path:
    """The official archive, from the data folder or downloaded below the cache."""
    local = data / ARCHIVE
    if not local.is_file():
        return fetch(ARCHIVE_URL, cache / "downloads" / ARCHIVE, ARCHIVE_MD5, alternative=f"unpack it as {data / FOLDER}/")
    found = md5_of(local)
    if found != ARCHIVE_MD5:
        raise BenchmarkError(f"{local} has MD5 {found}, expected {ARCHIVE_MD5}: get it again from {ARCHIVE_URL}")
    return local


def _checked(shown: str, name: str, content: bytes) -> bytes:
    found = md5_of(io.BytesIO(content))
    if found != BATCH_MD5[name]:
        raise BenchmarkError(
            f"{shown} has {len(content):,} bytes and MD5 {found}, expected MD5 {BATCH_MD5[name]}: get it again from {ARCHIVE_URL}"
        )
    return content


PICKLED = {  # what an official batch asks for, and where NumPy keeps it now
    ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"): ("numpy", "ndarray"),
    ("numpy", "dtype"): ("numpy", "dtype"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays, lists and strings and nothing else, though the MD5 already says whose file it is."""

    def find_class(self, module: str, name: str):
        if (module, name) not in PICKLED:
            raise BenchmarkError(f"a CIFAR-10 batch asks for {module}.{name}, which no official batch does; refused")
        return super().find_class(*PICKLED[module, name])


def _unpickle(name: str, content: bytes) -> dict:
    batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    if batch[b"data"].shape != (10_000, 3072) or len(batch[b"labels"]) != 10_000:
        raise BenchmarkError(f"{name} has data of shape {batch[b'data'].shape}, expected (10000, 3072)")
    return batch
