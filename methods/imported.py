"""Codes from files, as a row of the tables."""

from methods._base import Hasher


class Imported(Hasher):
    """Codes of the images of a data set, from the user's files. Nothing is learned or timed.

    Source: the author of the files.

    Differs from the paper: not known.

    Parameters
    ----------
    n_bits : int
    seed : int
    path : str
        File of all images in the order of the data set; with `database_path`, of the queries in the
        order of the split. It is a file of NumPy, MATLAB, HDF5 or PyTorch, absolute or below the
        data folder; ``FILE:NAME`` selects one of several arrays. ``{bits}`` and ``{seed}`` stand
        for those of the run. Without ``{seed}`` there is one run.
    database_path : str or None
        File of the database in the order of the split. Other images get zeros.
    """

    label, citation, uses_gpu = "Imported codes", None, False
    file_params = ("path", "database_path")
    tier, fidelity = "unknown", None

    def __init__(self, n_bits, *, seed=0, path, database_path=None):
        self.n_bits, self.seed, self.path, self.database_path = n_bits, seed, path, database_path

    def fit(self):
        return self

    def encode(self, codes):
        return codes
