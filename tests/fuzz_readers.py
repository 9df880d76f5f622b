"""Give damaged files to readers, in a process of its own that test_fuzz.py starts.

`PYTHONPATH=.:tests python -m fuzz_readers FOLDER SEED SECONDS READER...` prints JSON lines. The
present input is in FOLDER/READER, so that the one that ends the process is known.
"""

from __future__ import annotations

import faulthandler
import importlib
import io
import json
import os
import pickle
import random
import signal
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import yaml
from builders import describe, scores, write_csv, write_results
from corpus import build
from damage import changed, damaged
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from datasets import _files, _idx, _images, _labels, cifar10, mirflickr
from features.file import File
from harness import configuration as configuration_text
from harness import errors, imported_codes, records, schemas, storage
from harness.errors import BenchmarkError
from harness.plugins import ROOT

ROWS = 20
CODES = np.random.default_rng(0).random((ROWS, 12)) < 0.5
EXAMPLES = 100  # of one call of hypothesis in a long run
FEW_EXAMPLES = 25  # the same in a short one
BULK = 25  # inputs of each example in a long run, which hypothesis does not shrink
HANG = 10  # seconds of processor time: a busy machine is no failure
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")


class Reader:
    """A file as people have it, and the function that reads it.

    Parameters
    ----------
    write : callable
        Writes whole files into a folder.
    read : callable
        Reads the damaged file; may raise BenchmarkError only.
    text : bool
        Whether texts of the characters of the whole file are drawn too.
    """

    def __init__(self, write, read, *, text=False):
        self.write, self.read, self.text = write, read, text


def codes(path):
    found = imported_codes.whole(path, ROWS)
    assert found.dtype == bool
    assert len(found) == ROWS


def features(path):
    extractor = File(path=path.name)
    extractor.check(path.parent)
    extractor.open(path.parent, ROWS)
    assert extractor.extract(slice(0, ROWS)).dtype == np.float32


def image(path):
    found = _images.ImageFiles(_files.Folder(path.parent), (path.name,), 8)[0]
    assert (found.shape, found.dtype) == ((8, 8, 3), np.uint8)


def archive(path):
    found = _files.Zip(path, "a")
    for name in ("sky", "clouds"):
        if found.has(name):
            found.read(name)


def idx(path):
    name, content = "t10k-labels-idx1-ubyte", path.read_bytes()
    content = _idx.unpack(content, name, path.name) if path.suffix == ".gz" else content
    assert _idx.parse(content, name, path.name).shape == (10_000,)


def batch(path):
    """Unpickle a batch of a few rows: searching in 30 MB would be slow."""
    with errors.reading(path.name, "a CIFAR-10 batch", "Get it again."):
        loaded = cifar10._ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        assert (loaded[b"data"].shape[1:], len(loaded[b"labels"])) == ((3072,), 3)


def lists(path):
    for name in ("train", "test"):
        path.with_name(f"{name}.txt").write_bytes(path.read_bytes())
    found = _labels.read_lists(_files.Folder(path.parent))
    assert len(found.labels) == len(found.names)


def names(path):
    File(path="whole.npy", names=path.name).check(path.parent)


def configuration(path):
    """Read a configuration as the Snakefile does."""
    plan = importlib.import_module("harness.plan")
    jsonschema = importlib.import_module("jsonschema")
    schema = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
    configuration_text.check(path)
    named = yaml.safe_load((ROOT / "config/variants.yaml").read_text(encoding="utf-8"))
    loaded = named | yaml.safe_load(path.read_bytes())
    try:
        jsonschema.validate(loaded, schema)
    except jsonschema.ValidationError as invalid:
        reported = ValueError()
        reported.__context__ = invalid  # as in the error of Snakemake
        raise BenchmarkError(errors.explain(reported)) from None
    plan.Plan.load(loaded)


def collected(path):
    """Read a damaged table of an experiment, whose record has its digest."""
    results = importlib.import_module("report.results")
    folder = path.parent
    if path.name != "experiment.json":
        describe(folder)
    digest = storage.digest(folder / "timing.csv")
    records.write(folder / "timing.json", {}, sha256={"timing.csv": digest})
    found = results.read(folder)
    assert all(np.isfinite(value) for key in found.scores for value in found.scores[key].values())


def table(path):
    importlib.import_module("report.tables.published_values").read(path)


def weights(path):
    importlib.import_module("harness.imagenet")._read(path)


# ---------------------------------------------------------------- whole files


def save_npy(path):
    np.save(path, CODES)


def save_mat(**options):
    def write(path):
        from scipy.io import savemat

        savemat(path, {"B": CODES.astype(np.uint8), "C": CODES.astype(float)}, **options)

    return write


def save_sparse(path):
    from scipy.io import savemat
    from scipy.sparse import csc_matrix

    savemat(path, {"B": csc_matrix(CODES.astype(float))})


def save_hdf5(path):
    import h5py

    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("B", data=CODES, chunks=(5, 12), compression="gzip")


def save_matlab73(path):
    build.matlab73(path, CODES.astype(float), "double")


def save_torch(**options):
    def write(path):
        import torch

        torch.save({"B": torch.tensor(CODES)}, path, **options)

    return write


def save_picture(kind):
    def write(path):
        from PIL import Image

        pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
        Image.fromarray(pixels).save(path, kind)

    return write


def save_zip(method):
    def write(path):
        with zipfile.ZipFile(path, "w", method) as file:
            file.writestr("sky", b"1\n2\n")
            file.writestr("a/clouds", b"3\n" * 50)

    return write


def save_idx(path):
    path.write_bytes(np.array([0x801, 10_000], ">i4").tobytes() + bytes(10_000))


def save_idx_gz(path):
    import gzip

    save_idx(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


def save_batch(path):
    batch = {b"data": np.zeros((3, 3072), np.uint8), b"labels": [1, 2, 3]}
    content = pickle.dumps(batch, protocol=3)
    path.write_bytes(content.replace(b"numpy._core.", b"numpy.core."))  # as in official batches


def save_results(path):
    """Write the tables of an experiment of two runs, of which `path` is one."""
    folder = path.parent
    method = (("itq", "ITQ", 0.6, True),)
    write_results(folder, methods=method, bits=(16,), seeds=(0, 1), timed=[16])
    keys = [("digits", "pixels", "itq", 16, seed) for seed in (0, 1)]
    few = [(*key, *row) for key in keys for row in scores(0.5, 16, 100)[:4]]
    curve = [(*key, "pr_precision", k, 0.5) for key in keys for k in (1, 10)]
    write_csv(folder / "metrics.csv", schemas.METRICS_CSV, few + curve)
    compared = dict.fromkeys(schemas.COMPARISONS_CSV, 0.5)
    compared |= {"dataset": "digits", "features": "pixels", "bits": 16, "variant": "itq"}
    compared |= {"other": "lsh", "significant": "no"}
    write_csv(folder / "comparisons.csv", schemas.COMPARISONS_CSV, [[*compared.values()]])
    timed = dict.fromkeys(schemas.TIMING_CSV, 0.5)
    timed |= {"dataset": "digits", "features": "pixels", "bits": 16, "variant": "itq"}
    write_csv(folder / "timing.csv", schemas.TIMING_CSV, [[*timed.values()]])
    describe(folder)


def save_names(path):
    save_features(path.with_name("whole.npy"))
    path.write_text("".join(f"im{row}.jpg\n" for row in range(ROWS)))


def save_features(path):
    np.save(path, np.zeros((ROWS, 3), np.float32))


def text(content):
    return lambda path: path.write_text(content)


def config_text():
    return (ROOT / "config/config.yaml").read_text()


def published_text():
    return "".join((ROOT / "report/published_values.csv").open(encoding="utf-8").readlines()[:4])


READERS = {
    "codes.npy": Reader(save_npy, codes),
    "codes.npz": Reader(lambda path: np.savez(path, B=CODES), codes),
    "packed.npz": Reader(lambda path: np.savez_compressed(path, B=CODES), codes),
    "codes.mat": Reader(save_mat(), lambda path: codes(path.with_name(path.name + ":B"))),
    "packed.mat": Reader(
        save_mat(do_compression=True), lambda path: codes(path.with_name(path.name + ":C"))
    ),
    "version4.mat": Reader(
        save_mat(format="4"), lambda path: codes(path.with_name(path.name + ":B"))
    ),
    "sparse.mat": Reader(save_sparse, codes),
    "codes.h5": Reader(save_hdf5, codes),
    "matlab73.mat": Reader(save_matlab73, codes),
    "codes.pt": Reader(save_torch(), codes),
    "legacy.pt": Reader(save_torch(_use_new_zipfile_serialization=False), codes),
    "features.npy": Reader(save_features, features),
    "names.txt": Reader(save_names, names, text=True),
    **{f"image.{kind.lower()}": Reader(save_picture(kind), image) for kind in _images.FORMATS},
    "stored.zip": Reader(save_zip(zipfile.ZIP_STORED), archive),
    "deflated.zip": Reader(save_zip(zipfile.ZIP_DEFLATED), archive),
    "lzma.zip": Reader(save_zip(zipfile.ZIP_LZMA), archive),
    "bzip2.zip": Reader(save_zip(zipfile.ZIP_BZIP2), archive),
    "labels-idx1-ubyte": Reader(save_idx, idx),
    "labels.gz": Reader(save_idx_gz, idx),
    "data_batch_1": Reader(save_batch, batch),
    "database.txt": Reader(text("a/0.png 0 1\na/1.png 1 0\n"), lists, text=True),
    "classes/database.txt": Reader(text("a/0.png 33\nb c/1.png 4\n"), lists, text=True),
    "annotations.txt": Reader(
        text("11\r\n5\r\n700\r\n"),
        lambda path: mirflickr.read_numbers(path.read_bytes(), path.name),
        text=True,
    ),
    "flags.txt": Reader(
        text("1\n0\n" * 6),
        lambda path: _labels.read_flags(path.read_bytes(), 12, path.name, {2: (b"-2", True)}),
        text=True,
    ),
    "record.json": Reader(text('{"sha256": {"a": [1, null]}}'), storage.read_json, text=True),
    "weights.pth": Reader(save_torch(), weights),
    "config.yaml": Reader(text(config_text()), configuration, text=True),
    **{
        f"{Path(name).stem}/{name}": Reader(save_results, collected, text=True)
        for name in (*schemas.COLLECTED_TABLES, "timing.csv", "experiment.json")
    },
    "published_values.csv": Reader(text(published_text()), table, text=True),
}


class Guard:
    """Audit hook that reports a file written outside the given folder, or a started process."""

    def __init__(self, folder):
        self.folder, self.active, self.found = folder.resolve(), False, ""
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if not self.active:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if event in FORBIDDEN:
            self.found = f"{event}{arguments}"
        elif writes or event in CHANGES:
            path = arguments[0]
            if isinstance(path, (str, bytes, os.PathLike)):
                path = Path(os.fsdecode(path)).resolve()
                if not path.is_relative_to(self.folder):
                    self.found = f"{event} {path}"


def mutated(whole, generator):
    """Return a file with a few bytes changed, or with pieces of it cut out or repeated."""
    positions = [generator.randrange(len(whole) + 1) for _ in range(generator.randint(1, 6))]
    if generator.random() < 0.7:
        values = (0, 1, 127, 128, 255, generator.randrange(256))
        return changed(whole, {position: generator.choice(values) for position in positions})
    start, stop = min(positions), max(positions)
    return (
        whole[:start] + whole[stop:] if generator.random() < 0.5 else whole[:stop] + whole[start:]
    )


def fuzz(name, number, seconds, folder, guard):
    """Print the counts of inputs of one reader."""
    reader, path = READERS[name], folder / name / name.rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    reader.write(path)
    whole, counts = path.read_bytes(), {"reader": name, "inputs": 0, "accepted": 0}
    reader.read(path)  # the whole file is accepted
    inputs = damaged(whole)
    if reader.text:
        characters = "".join(sorted(set(whole.decode()) | set("-.\"' \t\r\\/é\x00")))
        inputs = st.one_of(inputs, st.text(characters, max_size=80).map(str.encode))

    def body(content, bulk_seed):
        signal.setitimer(signal.ITIMER_PROF, HANG)
        read(content)
        generator = random.Random(bulk_seed)
        for _ in range(BULK if seconds > 1 else 0):
            read(mutated(whole, generator))
        signal.setitimer(signal.ITIMER_PROF, 0)

    def read(content):
        path.write_bytes(content)
        counts["inputs"] += 1
        guard.active = True
        try:
            reader.read(path)
            counts["accepted"] += 1
        except BenchmarkError as error:
            if " object at 0x" in str(error):
                raise AssertionError(str(error)) from None
        finally:
            guard.active = False
        assert not guard.found, guard.found

    started = time.monotonic()
    while time.monotonic() - started < seconds:
        options = settings(
            max_examples=EXAMPLES if seconds > 1 else FEW_EXAMPLES, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        seed(number)(options(given(inputs, st.integers(0, 2**32))(body)))()
        number += 1
    print(json.dumps(counts), flush=True)


def main(folder, number, seconds, *names):
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)  # prints where it hangs, and ends
    warnings.simplefilter("ignore")
    guard = Guard(Path(folder))
    for name in names:
        print(json.dumps({"started": name}), flush=True)
        fuzz(name, int(number), float(seconds), Path(folder), guard)


if __name__ == "__main__":
    main(*sys.argv[1:])
