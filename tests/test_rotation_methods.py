"""PCA-RR, IsoH, KNNH and the control of k-means cells against ITQ and their definitions."""

import numpy as np
import pytest

from methods.itq import ITQ
from methods.pca_rr import PCARR

BITS = 8


@pytest.fixture(scope="module")
def features():
    generator = np.random.default_rng(0)
    return (generator.normal(size=(500, 20)) * np.linspace(3, 0.5, 20) + 2).astype(np.float32)


def test_pca_rr_is_itq_without_iterations(features):
    codes = PCARR(BITS, seed=3).fit(features).encode(features)
    assert (codes == ITQ(BITS, seed=3, iterations=0).fit(features).encode(features)).all()
