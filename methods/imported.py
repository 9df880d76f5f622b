"""Codes that were made elsewhere, as a row beside the others."""

from methods._base import Hasher


class Imported(Hasher):
    """Codes of every image of a data set, in its order, from a file; nothing is learned here.

    path: below the data folder, with {bits} and {seed} where there is a file for each: .npy or .mat, as `codes.read` takes them.
    Without {seed} there is one run. Source: whoever made the file.   Differs from the paper: not known.
    """

    label, citation, uses_gpu = "Imported codes", None, False

    def __init__(self, n_bits, *, seed=0, path):
        self.n_bits, self.seed, self.path = n_bits, seed, path

    def fit(self):
        return self

    def encode(self, codes):
        return codes
