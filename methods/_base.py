"""The contract of a method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np


class Hasher:
    """A map from images to binary codes, learned without labels.

    ``__init__(self, n_bits, *, seed=0, ...)`` only stores its arguments. Its keywords are the
    parameters of the method, and their defaults stand nowhere else. A method without randomness
    leaves ``seed`` out and runs once. No keyword may have the name of a member of this class.

    The names of the arguments of `fit` and `encode` declare what a method consumes. All arrays are
    read-only.

    - ``features``: ndarray of float32, shape (n, d)
    - ``images``: ndarray of uint8, shape (n, h, w, 3)
    - ``neighbours``, in `fit` only: ndarray of int32, shape (n, min(64, n)), the training images
      by distance from each one, which comes first itself
    - ``views``, in `fit` only: ndarray of float32, shape (4, n, d), the features of augmented
      copies of the training images, for features that are computed from images
    - ``codes``, in `encode` only: ndarray of bool, shape (m, n_bits), from the user's files

    Learned state ends in ``_``.

    A method whose codes are thresholds of real values may define ``project(self, features)``, with
    the arguments of `encode`: it returns an ndarray of finite floats, shape (m, n_bits), and
    ``encode(x)`` equals ``project(x) >= 0``. A run stores these values of the queries.

    Attributes
    ----------
    label : str
        Name in tables.
    citation : str or None
        Key in report/references.bib; None for a control.
    uses_gpu : bool
        Whether the method can run on a GPU.
    sample : int or None
        Maximum number of training rows passed to `fit`, a random subset. None for all rows.
    file_params : tuple of str
        Keywords that name user files below the data folder. Their content is part of the identity
        of a run, and they are looked for before any work starts. ``{bits}`` and ``{seed}`` in a
        name stand for those of the run. A method that consumes ``codes`` gets them from these
        files: of all images, or of the queries and of the database.
    encoder_param : str or None
        Keyword that names the network through which the method sees the images; its value is
        ``"features"`` for a method that sees features only.
    weights_param, digest_param : str or None
        Keywords that name the file of pretrained weights below the data folder (None for the
        official file), and the SHA-256 of a file that is not the official one.
    memory_params : tuple of str
        Keywords that memory grows with, which an error for a lack of memory names.
    tier : {"features", "views", "images", "encoder", "text", "unknown"}
        What decides the codes besides the given features: see `harness.plugins.TIERS`. A method of
        the tier ``"encoder"`` is of ``"images"`` where a variant has no pretrained encoder.
    fidelity : {"A", "B", "C"} or None
        How the implementation was verified: it equals the authors' code numerically (A),
        reproduces a published figure under its protocol (B), or passes oracles only (C). None for
        a method of our own.
    pooled : bool
        Of a method that reads features and other arrays: whether it can be fitted on the pool of
        views. Row r of the features is then a view of training image r % n. A method that reads
        features alone always can.
    search_space : dict of str to tuple, or None
        Values of keywords that tuning tries, the default and the authors' values among them. None
        for a method with nothing to tune. No code may depend on `tier`, `fidelity`,
        `pooled` and `search_space`: they are no part of the identity of a result.
    checkpoint : Path or None
        Set by the job: the file in which long training may save its state.
    device_ : torch.device or str
        Set by `fit` where it is not the CPU.
    extras_ : mapping of str to ndarray
        Set by `fit`: arrays that are stored beside the codes, as curves and pictures.
    facts_ : mapping of str to object
        Set by `fit`: values for run.json. Present ones are ``saturated``, the share of units past
        the slope of their activation at the end of training; ``weights_sha256``, the digest of
        the file of pretrained weights; and ``iterations`` and ``converged``, the number of
        iterations and whether they reached their tolerance.
    """

    # Literals: they are read from the source of a class without importing it.
    label: str
    citation: str | None = None
    uses_gpu: bool = False
    sample: int | None = None
    file_params: tuple[str, ...] = ()
    encoder_param: str | None = None
    weights_param: str | None = None
    digest_param: str | None = None
    memory_params: tuple[str, ...] = ()
    tier: str = "features"
    fidelity: str | None = None
    pooled: bool = False
    search_space: Mapping[str, tuple] | None = None

    # Set on an object.
    checkpoint: Path | None = None
    device_: object = "cpu"
    extras_: Mapping[str, np.ndarray] = MappingProxyType({})
    facts_: Mapping[str, object] = MappingProxyType({})

    def fit(self, features: np.ndarray) -> Hasher:
        """Learn from the training rows, and return the object itself."""
        raise NotImplementedError

    def encode(self, features: np.ndarray) -> np.ndarray:
        """Return the codes of m rows, each computed from its own row.

        Returns
        -------
        ndarray of bool, shape (m, n_bits)
            True where the value that is thresholded is >= 0.
        """
        raise NotImplementedError
