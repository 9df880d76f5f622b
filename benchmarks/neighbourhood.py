"""Compare neighbour lists and BGAN's neighbourhood with their definitions in plain Python.

    python -m benchmarks.neighbourhood 10000 --dimensions 1024
    python -m benchmarks.neighbourhood 200000 --dimensions 256 --faiss

The features are clustered Gaussians, since the cost of the second step depends on how many
neighbourhoods overlap. The definitions run on a sample of the images, and their time is multiplied.
On the sample, both results must be equal.

`--faiss` compares the lists with those of faiss's exact search instead, both with one thread. They
search consecutive images in turn, each as many at a time as it is fast with, and their processor
time is multiplied. The figures are saved in benchmarks/neighbourhood.json.
"""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # blocks of rows run in parallel instead

import argparse
import time

import numpy as np

from benchmarks import results
from features import _neighbours
from features._neighbours import nearest
from harness import provenance
from methods._neighbourhood import similar_pairs

K1, K2 = 20, 30
ROUNDS = 5
FAISS_ROWS = 1024  # images that faiss searches at a time; with 80 it takes five times as long


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=int)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--sample", type=int, default=20, help="images for which the definitions are computed"
    )
    parser.add_argument(
        "--faiss", action="store_true", help="compare with the exact search of faiss, one thread"
    )
    arguments = parser.parse_args()
    if arguments.faiss:
        compare_with_faiss(clustered(arguments.images, arguments.dimensions))
        return

    n, dimensions, threads = arguments.images, arguments.dimensions, arguments.threads
    print(f"{n:,} images x {dimensions} dimensions, {threads} threads, {provenance.processor()}")

    features = clustered(n, dimensions)
    lists, list_seconds = timed(nearest, features, threads=threads)
    print(f"neighbour lists:            {list_seconds:8.2f} s")
    similar, pair_seconds = timed(similar_pairs, lists, K1, K2)
    each = similar.nnz / n
    print(f"neighbourhood:              {pair_seconds:8.2f} s, {each:,.0f} similar per image")

    sample = np.random.default_rng(0).choice(n, arguments.sample, replace=False)
    sorted_lists, sorting_seconds = timed(sorted_by_cosine, features, sample, lists.shape[1])
    rows, set_seconds = timed(definition, lists, sample)
    sorting_seconds, set_seconds = (
        seconds * n / arguments.sample for seconds in (sorting_seconds, set_seconds)
    )
    total, own = sorting_seconds + set_seconds, list_seconds + pair_seconds
    compare("lists by sorting:", sorting_seconds, list_seconds)
    compare("neighbourhood by sets:", set_seconds, pair_seconds)
    compare("together:", total, own)
    figures = {
        "lists": results.seconds(list_seconds),
        "neighbourhood": results.seconds(pair_seconds),
        "by sorting and sets": f"{total / own:,.0f} times as long",
        "peak": results.mebibytes(provenance.peak_memory_mib()),
    }
    results.save("neighbourhood", f"{n:,} x {dimensions}, {threads} threads", figures)

    equal = (lists[sample] == sorted_lists).mean()
    assert equal > 0.999, "sorting gives other lists, beyond equal distances"
    for image, row in zip(sample, rows, strict=True):
        start, stop = similar.indptr[image : image + 2]
        neighbours = set(similar.indices[start:stop].tolist())
        assert row <= neighbours, "an image that is similar by definition is missing"


def compare_with_faiss(features: np.ndarray) -> None:
    """Save the processor times of lists by both searches, and their median ratio."""
    import faiss

    faiss.omp_set_num_threads(1)
    n, length = len(features), _neighbours.LENGTH
    space = _neighbours._Space.of(features, "centred-cosine")
    index = faiss.IndexFlatIP(features.shape[1])
    index.add(space.single)
    rows = max(1, min(_neighbours.ROWS, _neighbours.CELLS // n))  # as `nearest` at a time
    more = min(FAISS_ROWS, n - 1)
    starts = np.random.default_rng(0).integers(n - max(rows, more), size=ROUNDS)

    own, other, equal = [], [], []
    clock = time.process_time
    for start in starts:
        lists, seconds = timed(_neighbours._block, space, start, rows, length, clock=clock)
        own.append(seconds * n / rows)
        queries = space.single[start : start + more]
        (_, faiss_lists), seconds = timed(index.search, queries, length, clock=clock)
        other.append(seconds * n / len(queries))
        pairs = zip(lists, faiss_lists[:rows], strict=True)
        equal.append(np.mean([np.isin(*pair).mean() for pair in pairs]))

    assert np.mean(equal) > 0.999, "faiss finds other neighbours, beyond equal distances"
    ratio = np.median(np.divide(other, own))
    figures = {
        "lists": results.seconds(np.median(own)),
        "faiss": results.seconds(np.median(other)),
        "ratio": f"{ratio:.2f}",
    }
    problem = f"{n:,} x {features.shape[1]}, {length} neighbours, one thread, from samples"
    results.save("neighbourhood", problem, figures)


def compare(name: str, seconds: float, own: float) -> None:
    print(f"{name:<28}{seconds:8.0f} s, {seconds / own:,.0f} times as long")


def clustered(images: int, dimensions: int) -> np.ndarray:
    """Return features float32 (images, dimensions) of a hundred Gaussian clusters."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((100, dimensions), dtype=np.float32)
    clusters = generator.integers(100, size=images)
    noise = generator.standard_normal((images, dimensions), dtype=np.float32)
    return centres[clusters] + 2 * noise


def timed(function, *args, clock=time.perf_counter, **kwargs):
    """Call a function. Return its result and its seconds."""
    started = clock()
    result = function(*args, **kwargs)
    return result, clock() - started


def sorted_by_cosine(features: np.ndarray, sample: np.ndarray, length: int) -> np.ndarray:
    """Return the lists of the sample: all images by descending centred cosine, itself first."""
    centred = features - features.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    lists = []
    for image in sample:
        cosines = (centred @ centred[image]).tolist()
        keys = [(other != image, -cosine, other) for other, cosine in enumerate(cosines)]
        lists.append([other for _, _, other in sorted(keys)[:length]])
    return np.array(lists)


def definition(lists: np.ndarray, sample: np.ndarray) -> list[set[int]]:
    """Return the similar images of each image of the sample.

    They are the union of the neighbourhoods that overlap most with the image's own.
    """
    rows = lists.tolist()
    near = [set(row[: K1 + 1]) for row in rows]
    similar = []
    for image in sample.tolist():
        ranks = {other: rank for rank, other in enumerate(rows[image])}
        overlaps = [len(near[image] & neighbourhood) for neighbourhood in near]
        keys = [
            (-overlap, ranks.get(other, len(near)), other) for other, overlap in enumerate(overlaps)
        ]
        similar.append(set().union(*(near[other] for _, _, other in sorted(keys)[:K2])))

    return similar


if __name__ == "__main__":
    main()
