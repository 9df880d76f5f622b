"""Write the hostile and odd inputs of the corpus below a folder: `python tests/corpus/build.py F`.

The files take a second to write, so none is committed. `cases.py` states what each comes to.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

ITEMS, BITS = 60, 12
CODES = np.random.default_rng(0).random((ITEMS, BITS)) < 0.4
SIGNS = np.where(CODES, 1.0, -1.0)
LABELS = np.arange(ITEMS) % 3


def build(folder: Path) -> None:
    """Write codes/, images/, lists/ and features/."""
    for write in (codes, images, lists, features):
        (folder / write.__name__).mkdir(parents=True)
        write(folder / write.__name__)


# ---------------------------------------------------------------- codes


def codes(folder: Path) -> None:
    numpy_codes(folder)
    matlab_codes(folder)
    sparse_codes(folder)
    hdf5_codes(folder)
    torch_codes(folder)


def numpy_codes(folder: Path) -> None:
    np.save(folder / "bool.npy", CODES)
    np.save(folder / "signs.npy", SIGNS)
    np.save(folder / "packed.npy", np.packbits(CODES, axis=1))
    np.save(folder / "transposed.npy", CODES.T)
    np.save(folder / "short.npy", CODES[:59])
    np.save(folder / "nan.npy", np.where(CODES, np.nan, 1))
    np.save(folder / "zeros-among-signs.npy", np.sign(np.where(CODES, 0, SIGNS)))
    np.save(folder / "labels-int64.npy", LABELS[:, None] + 1)
    np.save(folder / "objects.npy", np.array([[Touch(folder / "touched")]], object))
    np.savez(folder / "one.npz", B=CODES)
    np.savez(folder / "two.npz", B=CODES, other=np.zeros(3))
    np.savez_compressed(folder / "bomb.npz", B=np.zeros((ITEMS, 200_000)))
    (folder / "text.csv").write_text("0,1,1,0\n" * ITEMS)
    (folder / "empty.npy").touch()
    (folder / "empty.mat").touch()
    (folder / "empty.h5").touch()
    (folder / "empty.pt").touch()
    (folder / "folder.npy").mkdir()
    with open(folder / "huge.npy", "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 64)}
        np.lib.format.write_array_header_1_0(file, header)


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def matlab_codes(folder: Path) -> None:
    savemat(folder / "uint8.mat", {"B": CODES.astype(np.uint8)})
    savemat(folder / "UPPER.MAT", {"B": SIGNS}, appendmat=False)
    savemat(folder / "two.mat", {"B": SIGNS, "other": np.zeros(3)})
    savemat(folder / "version4.mat", {"B": SIGNS}, format="4")
    # MATLAB stores a double array of small integers as bytes.
    as_double(folder / "labels-double.mat", LABELS[:, None] + 1)
    as_double(folder / "levels-double.mat", CODES.astype(np.uint8) * 3)
    as_double(folder / "codes-double.mat", CODES)
    content = bytearray((folder / "uint8.mat").read_bytes())
    content[145] |= 8  # the flag of imaginary parts, of which there are none
    (folder / "imaginary.mat").write_bytes(content)
    version4_bytes(folder / "labels-version4.mat", LABELS[:, None] + 1)


def as_double(path: Path, array: np.ndarray) -> None:
    """Write a variable of class double whose values are stored as uint8."""
    savemat(path, {"B": array.astype(np.uint8)})
    content = bytearray(path.read_bytes())
    assert content[144] == 9  # mxUINT8_CLASS
    content[144] = 6  # mxDOUBLE_CLASS
    path.write_bytes(content)


def version4_bytes(path: Path, array: np.ndarray) -> None:
    """Write a matrix of MATLAB 4, all of which are double, stored as uint8."""
    rows, columns = array.shape
    header = struct.pack("<5I", 50, rows, columns, 0, 2) + b"B\0"
    path.write_bytes(header + array.astype(np.uint8).T.tobytes())


def sparse_codes(folder: Path) -> None:
    whole = csc_matrix(CODES.astype(float))
    savemat(folder / "sparse.mat", {"B": whole})
    for name, part, index, value in (
        ("row-too-large", "indices", 0, 10**8),
        ("row-negative", "indices", 0, -(10**8)),
        ("start-too-large", "indptr", 1, 10**8),
        ("start-decreases", "indptr", 1, len(whole.data)),
    ):
        damaged = whole.copy()
        getattr(damaged, part)[index] = value
        damaged.has_sorted_indices = True  # so that savemat leaves them as they are
        savemat(folder / f"sparse-{name}.mat", {"B": damaged})
    for name in ("uint8", "sparse"):
        wrong_type(folder / f"{name}.mat", folder / f"{name}-element-type.mat")


def wrong_type(path: Path, target: Path) -> None:
    """Copy a MATLAB file with an impossible type of the array, or of the starts of columns."""
    content = bytearray(path.read_bytes())
    position = 176 if path.stem == "uint8" else content.index(struct.pack("<II", 5, 52))
    content[position] = 200
    target.write_bytes(content)


def hdf5_codes(folder: Path) -> None:
    with h5py.File(folder / "plain.h5", "w") as file:
        file["group/B"] = CODES
    with h5py.File(folder / "without-header.mat", "w") as file:
        file["B"] = CODES
    with h5py.File(folder / "two.hdf5", "w") as file:
        file["B"], file["other"] = CODES, np.zeros(3)
    with h5py.File(folder / "text.h5", "w") as file:
        file["B"] = ["a", "b"]
    with h5py.File(folder / "none.h5", "w") as file:
        file.create_group("group")
    with h5py.File(folder / "huge.h5", "w") as file:
        file.create_dataset("B", (10**9, 10**6), "u1", chunks=(1, 1024))
    with h5py.File(folder / "external.h5", "w") as file:
        passwords = [("/etc/passwd", 0, ITEMS * 2)]
        file.create_dataset("B", (ITEMS, 2), "u1", external=passwords)
    with h5py.File(folder / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((ITEMS, BITS), bool)
        layout[:] = h5py.VirtualSource(folder / "plain.h5", "group/B", (ITEMS, BITS))
        file.create_virtual_dataset("B", layout)
    content = (folder / "plain.h5").read_bytes()
    (folder / "truncated.h5").write_bytes(content[: len(content) // 2])

    matlab73(folder / "matlab73.mat", SIGNS, "double")
    matlab73(folder / "matlab73-logical.mat", CODES.astype(np.uint8), "logical")
    matlab73(folder / "matlab73-labels.mat", (LABELS[:, None] + 1).astype(float), "double")
    matlab73(folder / "matlab73-char.mat", np.full((ITEMS, BITS), 97, np.uint16), "char")
    for name, index in (("matlab73-sparse.mat", 0), ("matlab73-sparse-out-of-range.mat", 10**8)):
        sparse73(folder / name, index)


def matlab73(path: Path, array: np.ndarray, kind: str) -> None:
    """Write a variable as MATLAB 7.3 does: columns first, after a header of 512 bytes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["B"] = array.T
        file["B"].attrs["MATLAB_class"] = np.bytes_(kind)
    add_header73(path)


def sparse73(path: Path, added: int) -> None:
    """Write a sparse matrix of MATLAB 7.3. added: to the first row index."""
    whole = csc_matrix(CODES.astype(float))
    indices = whole.indices.astype(np.uint64)
    indices[0] += added
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("B")
        group.attrs["MATLAB_class"] = np.bytes_("double")
        group.attrs["MATLAB_sparse"] = np.uint64(ITEMS)
        group["data"], group["ir"] = whole.data, indices
        group["jc"] = whole.indptr.astype(np.uint64)
    add_header73(path)


def add_header73(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def torch_codes(folder: Path) -> None:
    signs = torch.tensor(SIGNS)
    torch.save(torch.tensor(CODES), folder / "tensor.pt")
    torch.save({"B": signs}, folder / "one.pth")
    torch.save({"B": signs.bfloat16(), "other": torch.zeros(3)}, folder / "two.pt")
    torch.save(signs.to_sparse(), folder / "sparse.pt")
    torch.save(torch.zeros(1).expand(10**6, 10**6), folder / "expanded.pt")
    torch.save([1, 2], folder / "list.pt")
    (folder / "pickle.pt").write_bytes(pickle.dumps(Touch(folder / "touched"), protocol=2))


# ---------------------------------------------------------------- images


def images(folder: Path) -> None:
    """Write folders of two classes of six images each, with one oddity each."""
    for name in (
        *("plain", "nas", "system-files", "latin1", "latin1-class", "linked", "broken-link"),
        *("empty-class", "damaged", "text", "sixteen-bits", "float", "loose", "newline"),
    ):
        for label in ("cat", "dog"):
            for number in range(6):
                picture(folder / name / label / f"{number}.png", number)
    picture(folder / "one-class/cat/0.png", 0)

    picture(folder / "nas/cat/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg", 0)
    picture(folder / "nas/dog/.@__thumb/default1.jpg", 1)
    picture(folder / "nas/#recycle/old.png", 2)
    picture(folder / "nas/dog/more/.thumbnails/2.png", 3)
    for file in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png"):
        (folder / "system-files/cat" / file).write_bytes(b"x")
    (folder / "system-files/desktop.ini").write_bytes(b"x")
    (folder / "system-files/__MACOSX/cat").mkdir(parents=True)
    (folder / "system-files/__MACOSX/cat/._0.png").write_bytes(b"x")
    os.rename(folder / "latin1/cat/0.png", os.fsencode(folder / "latin1/cat") + b"/caf\xe9.png")
    os.rename(folder / "latin1-class/cat", os.fsencode(folder / "latin1-class") + b"/caf\xe9")
    (folder / "linked/emu").symlink_to(folder / "linked/cat", target_is_directory=True)
    (folder / "broken-link/cat/9.png").symlink_to(folder / "nowhere.png")
    (folder / "empty-class/emu").mkdir()
    (folder / "empty-class/emu/Thumbs.db").write_bytes(b"x")
    for number in range(3):
        for label in ("cat", "dog"):
            (folder / f"damaged/{label}/bad{number}.png").write_bytes(b"not an image")
    (folder / "text/cat/README.txt").write_text("about these cats")
    grey = np.full((9, 9), 0x1234, np.uint16)
    Image.fromarray(grey).save(folder / "sixteen-bits/cat/0.png")
    Image.fromarray(grey.astype(np.float32)).save(folder / "float/cat/0.tiff")
    picture(folder / "loose/7.png", 0)
    picture(folder / "newline/cat/a\nb.png", 0)


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 9, 3), np.uint8)
    Image.fromarray(pixels).save(path)


# ---------------------------------------------------------------- lists


def lists(folder: Path) -> None:
    for number in range(6):
        picture(folder / f"img/{number}.png", number)
        picture(folder / f"img/my photo {number}.png", number)
    for name, form in {
        "flags": "img/{0}.png {1} {2}",
        "one-column": "img/{0}.png {1}",
        "class-numbers": "img/{0}.png {3}",
        "spaces": "img/my photo {0}.png {1} {2}",
        "spaces-class-numbers": "img/my photo {0}.png {3}",
        "quoted": '"img/my photo {0}.png" {1} {2}',
        "dots": "./img//{0}.png {1} {2}",
        "absolute": "/home/someone/data/img/{0}.png {1} {2}",
        "no-label": "img/{0}.png",
        "negative": "img/{0}.png -1",
        "levels": "img/{0}.png {1} 2",
        "real": "img/{0}.png 0.5",
        "latin1": "img/caf\xe9{0}.png 1 0",
        "byte-order-mark": "img/{0}.png {1} {2}",
        "open-quote": '"img/{0}.png {1} {2}',
    }.items():
        encoding = {"latin1": "latin-1", "byte-order-mark": "utf-8-sig"}.get(name, "utf-8")
        write_lists(folder / name, form, encoding)
    write_lists(folder / "mixed", "img/{0}.png {1} {2}")
    (folder / "mixed/test.txt").write_text("img/0.png 1\nimg/1.png 0\n")
    write_lists(folder / "empty-list", "img/{0}.png {1} {2}")
    (folder / "empty-list/train.txt").write_text("\n\n")


def write_lists(folder: Path, form: str, encoding: str = "utf-8") -> None:
    """Write the lists of two queries and four database images, in alternating classes."""
    folder.mkdir()
    lines = [form.format(row, row % 2, 1 - row % 2, 33 + row % 2) for row in range(6)]
    for part, rows in (("test", lines[:2]), ("database", lines[2:]), ("train", lines[2:])):
        (folder / f"{part}.txt").write_bytes("\n".join(rows).encode(encoding) + b"\n")


# ---------------------------------------------------------------- features


def features(folder: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(ITEMS, 5))
    np.save(folder / "float64.npy", rows)
    np.save(folder / "float16.npy", rows.astype(np.float16))
    np.save(folder / "transposed.npy", rows.T.astype(np.float32))
    np.save(folder / "short.npy", rows[:59])
    np.save(folder / "integers.npy", (rows * 10).astype(int))
    np.save(folder / "one-axis.npy", rows[:, 0])
    np.save(folder / "objects.npy", np.array([[Touch(folder / "touched")]], object))
    for name, value in (("nan", np.nan), ("infinity", np.inf), ("beyond-float32", 1e300)):
        changed = rows.copy()
        changed[57, 3] = value
        np.save(folder / f"{name}.npy", changed)
    np.savez(folder / "archive.npz", X=rows)
    (folder / "text.npy").write_text("1.0 2.0\n")
    stream = io.BytesIO()
    np.save(stream, rows)
    (folder / "truncated.npy").write_bytes(stream.getvalue()[:-100])
    (folder / "names.txt").write_text("".join(f"im{row}.jpg\n" for row in range(ITEMS)))
    (folder / "names-short.txt").write_text("im0.jpg\n")
    (folder / "names-latin1.txt").write_bytes(b"caf\xe9.jpg\n" * ITEMS)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
