"""Seconds and memory of the neighbour lists and BGAN's neighbourhood, beside their definitions written in plain Python.

    python -m benchmarks.neighbourhood 10000 --dimensions 1024

The features are clustered Gaussians, since the number of overlapping neighbourhoods is what the second step costs. The definitions
are run on a sample of the images and their time multiplied, and held equal to the fast ways on that sample.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # blocks of rows are what runs in parallel

import argparse
import time

import numpy as np

from features._neighbours import nearest
from harness import provenance
from methods._neighbourhood import similar_pairs

K1, K2 = 20, 30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=int)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--sample", type=int, default=20, help="images of which the definition is computed"
    )
    arguments = parser.parse_args()
    features = clustered(arguments.images, arguments.dimensions)
    print(
        f"{arguments.images:,} images x {arguments.dimensions} dimensions, {arguments.threads} threads, {provenance.processor()}"
    )
    lists, seconds = timed(nearest, features, threads=arguments.threads)
    print(f"neighbour lists:            {seconds:8.2f} s")
    similar, matrix_seconds = timed(similar_pairs, lists, K1, K2)
    print(
        f"neighbourhood:              {matrix_seconds:8.2f} s, {similar.nnz / len(lists):,.0f} similar images an image"
    )
    sample = np.random.default_rng(0).choice(len(lists), arguments.sample, replace=False)
    sorted_lists, list_seconds = timed(sorted_by_cosine, features, sample, lists.shape[1])
    rows, sample_seconds = timed(definition, lists, sample)
    whole = [seconds * len(lists) / arguments.sample for seconds in (list_seconds, sample_seconds)]
    print(
        f"lists by sorting:           {whole[0]:8.0f} s (from {arguments.sample} images), {whole[0] / seconds:,.0f} times as long"
    )
    print(
        f"neighbourhood by sets:      {whole[1]:8.0f} s, {whole[1] / matrix_seconds:,.0f} times as long"
    )
    print(
        f"together:                   {sum(whole):8.0f} s, {sum(whole) / (seconds + matrix_seconds):,.0f} times as long"
    )
    print(f"peak memory of this process:{provenance.peak_memory_mib():8.0f} MiB")
    assert (lists[sample] == sorted_lists).mean() > 0.999, (
        "sorting gives other lists, beyond equal distances"
    )
    for image, row in zip(sample, rows, strict=True):
        found = set(similar.indices[similar.indptr[image] : similar.indptr[image + 1]].tolist())
        assert row <= found, "the definition has a similar image that the fast way has not"


def clustered(images: int, dimensions: int) -> np.ndarray:
    """(images, dimensions) float32: a hundred Gaussian clusters."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((100, dimensions), dtype=np.float32)
    return centres[generator.integers(100, size=images)] + 2 * generator.standard_normal(
        (images, dimensions), dtype=np.float32
    )


def timed(function, *arguments, **keywords):
    started = time.perf_counter()
    result = function(*arguments, **keywords)
    return result, time.perf_counter() - started


def sorted_by_cosine(features: np.ndarray, sample: np.ndarray, length: int) -> np.ndarray:
    """The lists of the sample: all images by falling centred cosine, each image itself first."""
    centred = features - features.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    lists = []
    for image in sample:
        cosines = (centred @ centred[image]).tolist()
        lists.append(
            sorted(range(len(cosines)), key=lambda other: (other != image, -cosines[other], other))[
                :length
            ]
        )
    return np.array(lists)


def definition(lists: np.ndarray, sample: np.ndarray) -> list[set[int]]:
    """For each image of the sample: the union of the neighbourhoods of the images whose neighbourhoods overlap most with its own."""
    rows = lists.tolist()
    near = [set(row[: K1 + 1]) for row in rows]
    similar = []
    for image in sample.tolist():
        place = {other: at for at, other in enumerate(rows[image])}
        ranked = sorted(
            range(len(near)),
            key=lambda other: (-len(near[image] & near[other]), place.get(other, len(near)), other),
        )
        similar.append(set().union(*(near[other] for other in ranked[:K2])))
    return similar


if __name__ == "__main__":
    main()
