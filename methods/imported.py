"""Codes that were made elsewhere, as a row beside the others."""

from methods._base import Hasher


class Imported(Hasher):
    """Codes of the images of a data set, from files; nothing is learned here, and no time is taken.

    path: every image, in the data set's order; or, with a `database_path`, the queries, that being the database, each in the order of
    the split: images of neither get zeros. Both lie below the data folder, with {bits} and {seed} where there is a file for each: .npy or
    .mat, as `codes.read` takes them. Without {seed} there is one run. Source: whoever made the file.   Differs from the paper: not known.
    """

    label, citation, uses_gpu = "Imported codes", None, False
    file_params = ("path", "database_path")

    def __init__(self, n_bits, *, seed=0, path, database_path=None):
        self.n_bits, self.seed, self.path, self.database_path = n_bits, seed, path, database_path

    def fit(self):
        return self

    def encode(self, codes):
        return codes
