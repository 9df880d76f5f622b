"""The control: random codes."""

import hashlib

import numpy as np

from methods._base import Hasher


class Chance(Hasher):
    """Random bits: each row's code is a hash of its features, keyed by the seed.

    Source: none, a control.

    Differs from the paper: there is none.
    """

    label, citation, uses_gpu = "Chance", None, False
    tier, fidelity = "features", None

    def __init__(self, n_bits, *, seed=0):
        self.n_bits = n_bits
        self.seed = seed

    def fit(self, features):
        return self

    def encode(self, features):
        n_bytes = (self.n_bits + 7) // 8
        key = f"{self.seed}/{self.n_bits}/".encode()
        drawn = b"".join(hashlib.shake_128(key + row.tobytes()).digest(n_bytes) for row in features)
        bits = np.unpackbits(
            np.frombuffer(drawn, dtype=np.uint8).reshape(-1, n_bytes), axis=1
        )  # (m, 8 * n_bytes)
        return bits[:, : self.n_bits].astype(bool)
