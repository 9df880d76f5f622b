"""The expected outcome of each input of the corpus. A case is one line: command, input, outcome.

The commands are those of `tests/test_corpus.py`: `codes FILE...`, `image_folder FOLDER`,
`image_list FOLDER` and `features FILE`, each with `KEY=VALUE` parameters. An accepted input
prints the fragment, a refused one has the fragment in its only line.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """An input and its expected outcome."""

    command: str
    input: str
    accepted: bool
    fragment: str


def accepts(command: str, given: str, fragment: str) -> Case:
    return Case(command, given, True, fragment)


def refuses(command: str, given: str, fragment: str) -> Case:
    return Case(command, given, False, fragment)


RIGHT = "map              0.4176"  # of the codes of build.py in every format
SIZES = "{'query': 4, 'database': 8, 'train': 8}"
LISTED = "{'query': 2, 'database': 4, 'train': 4}"

CASES = [
    # Codes in NumPy files
    accepts("codes", "bool.npy", RIGHT),
    accepts("codes", "signs.npy", RIGHT),
    accepts("codes", "packed.npy bits=12", RIGHT),
    accepts("codes", "one.npz", RIGHT),
    accepts("codes", "two.npz:B", RIGHT),
    refuses("codes", "two.npz", "name one, as"),
    refuses("codes", "two.npz:C", "no variable 'C': expected one of B, other"),
    refuses("codes", "bomb.npz", "expected at most 60 rows of 1,024 bits"),
    refuses("codes", "transposed.npy", "it looks transposed"),
    refuses("codes", "short.npy", "59 rows, expected 60"),
    refuses("codes", "nan.npy", "is nan, expected 0 and 1"),
    refuses("codes", "zeros-among-signs.npy", "the sign of 0 is no bit"),
    refuses("codes", "labels-int64.npy", "expected 0 and 1, or -1 and +1"),
    refuses("codes", "objects.npy", "Python objects"),
    refuses("codes", "text.csv", "Save the codes with numpy.save"),
    refuses("codes", "empty.npy", "damaged or not a .npy array"),
    refuses("codes", "folder.npy", "is missing"),
    refuses("codes", "nowhere.npy", "is missing"),
    refuses("codes", "huge.npy", "mmap length is greater than file size"),
    # Codes in MATLAB files
    accepts("codes", "uint8.mat", RIGHT),
    accepts("codes", "UPPER.MAT", RIGHT),
    accepts("codes", "UPPER.MAT:B", RIGHT),
    accepts("codes", "two.mat:B", RIGHT),
    accepts("codes", "version4.mat", RIGHT),
    accepts("codes", "codes-double.mat", RIGHT),
    accepts("codes", "sparse.mat", RIGHT),
    refuses("codes", "labels-double.mat", "expected 0 and 1, or -1 and +1"),
    refuses("codes", "labels-version4.mat", "expected 0 and 1, or -1 and +1"),
    refuses("codes", "levels-double.mat", "expected 0 and 1, or -1 and +1"),
    refuses("codes", "empty.mat", "damaged or not a MATLAB file"),
    refuses("codes", "imaginary.mat", "expected 4 real ones"),
    refuses("codes", "sparse-row-too-large.mat", "damaged or not a MATLAB file"),
    refuses("codes", "sparse-row-negative.mat", "damaged or not a MATLAB file"),
    refuses("codes", "sparse-start-too-large.mat", "damaged or not a MATLAB file"),
    refuses("codes", "sparse-start-decreases.mat", "damaged or not a MATLAB file"),
    refuses("codes", "sparse-element-type.mat", "an element has type 200"),
    refuses("codes", "uint8-element-type.mat", "an element has type 200"),
    # Codes in HDF5 files
    accepts("codes", "plain.h5", RIGHT),
    accepts("codes", "plain.h5:group/B", RIGHT),
    accepts("codes", "two.hdf5:B", RIGHT),
    accepts("codes", "without-header.mat", RIGHT),
    accepts("codes", "matlab73.mat", RIGHT),
    accepts("codes", "matlab73-logical.mat:B", RIGHT),
    accepts("codes", "matlab73-sparse.mat", RIGHT),
    refuses("codes", "matlab73-labels.mat", "expected 0 and 1, or -1 and +1"),
    refuses("codes", "matlab73-char.mat", "is a char, expected an array of numbers"),
    refuses("codes", "matlab73-sparse-out-of-range.mat", "damaged or not an HDF5 file"),
    refuses("codes", "two.hdf5", "name one, as"),
    refuses("codes", "text.h5", "expected an array of numbers"),
    refuses("codes", "none.h5", "has no array, expected one of codes"),
    refuses("codes", "huge.h5", "expected at most 60 rows of 1,024 bits"),
    refuses("codes", "external.h5", "is stored in other files"),
    refuses("codes", "virtual.h5", "is stored in other files"),
    refuses("codes", "truncated.h5", "damaged or not an HDF5 file"),
    refuses("codes", "empty.h5", "damaged or not an HDF5 file"),
    # Codes in PyTorch files
    accepts("codes", "tensor.pt", RIGHT),
    accepts("codes", "one.pth", RIGHT),
    accepts("codes", "two.pt:B", RIGHT),
    refuses("codes", "two.pt", "name one, as"),
    refuses("codes", "sparse.pt", "expected a dense tensor"),
    refuses("codes", "expanded.pt", "expected at most 60 rows of 1,024 bits"),
    refuses("codes", "list.pt", "expected a dense tensor"),
    refuses("codes", "pickle.pt", "damaged or not a file of tensors"),
    refuses("codes", "empty.pt", "damaged or not a file of tensors"),
    # Folders of images
    accepts("image_folder", "plain", SIZES),
    accepts("image_folder", "plain", "rows by a hash of their paths"),
    accepts("image_folder", "plain training_images=3", "'train': 3}"),
    accepts("image_folder", "plain grey=true", "as grey"),
    accepts("image_folder", "$CORPUS/images/plain", SIZES),
    accepts("image_folder", "nas", SIZES),
    accepts("image_folder", "nas", "4 hidden files, thumbnails and system files are skipped"),
    accepts("image_folder", "system-files", SIZES),
    accepts("image_folder", "system-files", "6 hidden files"),
    accepts("image_folder", "empty-class", "1 sub-folders without images are no class: emu"),
    accepts("image_folder", "sixteen-bits", SIZES),
    accepts("image_folder", "newline", "'database': 9"),
    accepts("image_folder", "damaged leave_out_unreadable=true", "6 of 18 images cannot be read"),
    accepts("image_folder", "text leave_out_unreadable=true", "1 of 13 images cannot be read"),
    refuses("image_folder", "damaged", "are listed in logs/datasets/mine.unreadable.txt"),
    refuses("image_folder", "text", "its first bytes are of no such format"),
    refuses("image_folder", "float", "magick"),
    refuses("image_folder", "latin1", r"1 file names are not UTF-8: found b'cat/caf\xe9.png'"),
    refuses("image_folder", "latin1-class", "file names are not UTF-8"),
    refuses("image_folder", "linked", "emu is neither a file nor a folder but a link"),
    refuses("image_folder", "broken-link", "9.png is neither a file nor a folder but a link"),
    refuses("image_folder", "loose", "7.png is in no class"),
    refuses("image_folder", "one-class", "fewer than two classes"),
    refuses("image_folder", "plain training_images=9", "training_images is 9, expected 1 to 8"),
    refuses("image_folder", "nowhere", "change `path`"),
    # Lists of images
    accepts("image_list", "flags", LISTED),
    accepts("image_list", "flags", "relevant: at least one label in common"),
    accepts("image_list", "flags training_images=2", "'train': 2}"),
    accepts("image_list", "one-column", "without a relevant item: 0"),
    accepts("image_list", "one-column", "relevant: same class"),
    accepts("image_list", "class-numbers", "relevant: same class"),
    accepts("image_list", "spaces", LISTED),
    accepts("image_list", "spaces-class-numbers", LISTED),
    accepts("image_list", "quoted", LISTED),
    accepts("image_list", "dots", LISTED),
    accepts("image_list", "byte-order-mark", LISTED),
    accepts("image_list", 'absolute strip="/home/someone/data"', LISTED),
    refuses("image_list", "absolute", "`strip: /home/someone/data/img/`"),
    refuses("image_list", "no-label", "found no label after the path"),
    refuses("image_list", "negative", "found '-1' after the path"),
    refuses("image_list", "levels", "has other labels|images are missing"),
    refuses("image_list", "real", "found '0.5' after the path"),
    refuses("image_list", "latin1", "is not UTF-8 text"),
    refuses("image_list", "open-quote", "6 of 6 images are missing"),
    refuses("image_list", "mixed", "has 1 labels, expected 2"),
    refuses("image_list", "empty-list", "train.txt names no image"),
    refuses("image_list", "nowhere", "change `path`"),
    # Feature files, for a data set of 60 images
    accepts("features", "float64.npy", "all files found"),
    accepts("features", "float16.npy", "all files found"),
    accepts("features", 'float64.npy names="features/names.txt"', "all files found"),
    refuses("features", "transposed.npy", "it looks transposed"),
    refuses("features", "short.npy", "short.npy has 59 rows, expected one for each of the 60"),
    refuses("features", "nan.npy", "nan.npy: row 57, column 3 is nan"),
    refuses("features", "infinity.npy", "infinity.npy: row 57, column 3 is inf"),
    refuses("features", "beyond-float32.npy", "row 57, column 3 is 1e+300"),
    refuses("features", "integers.npy", "expected float16, 32 or 64"),
    refuses("features", "one-axis.npy", "expected float16, 32 or 64 of shape (n, d)"),
    refuses("features", "objects.npy", "Python objects"),
    refuses("features", "archive.npz", "is an archive of X"),
    refuses("features", "text.npy", "damaged or not a .npy array"),
    refuses("features", "truncated.npy", "mmap length is greater than file size"),
    refuses("features", "nowhere.npy", "change `path`"),
    refuses("features", 'float64.npy names="features/names-short.txt"', "1 lines, expected 60"),
    refuses("features", 'float64.npy names="features/names-latin1.txt"', "can't decode byte 0xe9"),
]
