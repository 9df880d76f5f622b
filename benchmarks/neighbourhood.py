"""Seconds and memory of the neighbour lists and BGAN's neighbourhood, beside its definition written with Python sets.

    python -m benchmarks.neighbourhood 10000 --dimensions 1024

The features are clustered Gaussians, since the number of overlapping neighbourhoods is what the second step costs. The definition is
run on a sample of the images and its time multiplied, and held equal to the fast one on that sample.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # blocks of rows are what runs in parallel

import argparse
import time

import numpy as np

import provenance
from features._neighbours import nearest
from methods._neighbourhood import similar_pairs

K1, K2 = 20, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=int)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--sample", type=int, default=20, help="images of which the definition is computed")
    arguments = parser.parse_args()
    features = clustered(arguments.images, arguments.dimensions)
    print(f"{arguments.images:,} images x {arguments.dimensions} dimensions, {arguments.threads} threads, {provenance.processor()}")
    lists, seconds = timed(nearest, features, threads=arguments.threads)
    print(f"neighbour lists:            {seconds:8.2f} s")
    similar, matrix_seconds = timed(similar_pairs, lists, K1, K2)
    print(f"neighbourhood:              {matrix_seconds:8.2f} s, {similar.nnz / len(lists):,.0f} similar images an image")
    sample = np.random.default_rng(0).choice(len(lists), arguments.sample, replace=False)
    rows, sample_seconds = timed(definition, lists, sample)
    whole = sample_seconds * len(lists) / arguments.sample
    print(f"the same by Python sets:    {whole:8.0f} s (from {arguments.sample} images), {whole / matrix_seconds:,.0f} times as long")
    print(f"peak memory of this process:{provenance.peak_memory_mib():8.0f} MiB")
    for image, row in zip(sample, rows, strict=True):
        found = set(similar.indices[similar.indptr[image] : similar.indptr[image + 1]].tolist())
        assert row <= found, "the definition has a similar image that the fast way has not"


def clustered(images: int, dimensions: int) -> np.ndarray:
    """(images, dimensions) float32: a hundred Gaussian clusters."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((100, dimensions), dtype=np.float32)
    return centres[generator.integers(100, size=images)] + 2 * generator.standard_normal((images, dimensions), dtype=np.float32)


def timed(function, *arguments, **keywords):
    started = time.perf_counter()
    result = function(*arguments, **keywords)
    return result, time.perf_counter() - started


def definition(lists: np.ndarray, sample: np.ndarray) -> list[set[int]]:
    """For each image of the sample: the union of the neighbourhoods of the images whose neighbourhoods overlap most with its own."""
    rows = lists.tolist()
    near = [set(row[: K1 + 1]) for row in rows]
    similar = []
    for image in sample.tolist():
        place = {other: at for at, other in enumerate(rows[image])}
        ranked = sorted(range(len(near)), key=lambda other: (-len(near[image] & near[other]), place.get(other, len(near)), other))
        similar.append(set().union(*(near[other] for other in ranked[:K2])))
    return similar


if __name__ == "__main__":
    main()
