"""Seconds of scoring beside the peers' way of doing it, each written from its description; and how the cost grows.

    python -m benchmarks.scoring speed                        # 1,000 queries x 59,000 items x 48 bits
    python -m benchmarks.scoring speed --items 1000000 --bits 64
    python -m benchmarks.scoring speed --dataset nuswide-21   # labels and split of a prepared data set
    python -m benchmarks.scoring speed --device cuda          # the histograms by torch besides
    python -m benchmarks.scoring scaling                      # writes benchmarks/scaling.svg

Codes are noisy class codes, so that ties and distances are spread as in real ones. Ours is the best of several runs; the peers' way is run
on a sample of the queries and its time multiplied. "exclusive or and popcount" is the least that comparing packed codes costs: it forgets
each distance as soon as it is known.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np

from evaluation import metrics
from evaluation.histograms import THREADS, hamming
from evaluation.compiling import popcount
from evaluation.relevance import Relevance, parts, words
from harness import provenance
from harness.plan import Place

PRECISION = [("precision@k", k) for k in (1, 10, 50, 100, 500, 1000, 5000)]
SHORT = [("map", None), ("map_worst", None), ("map_best", None), *PRECISION]
FULL = [*SHORT, *((f"map@k[{name}]", k) for name in ("found", "hits") for k in (1000, 5000))]
PEER_QUERIES = 20
DRAWN = 2**22  # numbers that are drawn at a time for codes
SCALING = Path(__file__).with_name("scaling.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "scaling"))
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--items", type=int, default=59_000)
    parser.add_argument("--bits", type=int, default=48)
    parser.add_argument("--dataset", help="the labels and the split of a data set that `python -m datasets` has prepared")
    parser.add_argument("--device", help="a device of torch, to count there besides")
    arguments = parser.parse_args()
    print(f"{provenance.processor()}, {THREADS} threads, NumPy {np.__version__}, SIMD {simd()}")
    if arguments.what == "scaling":
        draw(scaling())
    elif arguments.dataset:
        place = Place(arguments.dataset, "")
        with np.load(place.split, allow_pickle=False) as split:
            rows = np.concatenate([split["query"], split["database"]])
            speed(len(split["query"]), np.load(place.labels, allow_pickle=False)[rows], arguments.bits, arguments.device)
    else:
        labels = np.random.default_rng(0).integers(0, 10, arguments.queries + arguments.items)
        speed(arguments.queries, labels, arguments.bits, arguments.device)


def simd() -> str:
    """The instruction sets that NumPy picked, on which the order of equal distances under its argsort depends."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]
    return ", ".join([*found.get("baseline", []), *found.get("found", [])][-3:])


def noisy_codes(labels: np.ndarray, bits: int) -> np.ndarray:
    """Packed codes uint8 (n, ceil(bits / 8)): the signs of the sum of an item's class centres and noise."""
    generator = np.random.default_rng(1)
    classes = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    centres = generator.standard_normal((classes, bits), dtype=np.float32)
    codes = []
    for rows in np.array_split(labels, -(-len(labels) * bits // DRAWN)):
        signal = rows.astype(np.float32) @ centres if labels.ndim == 2 else centres[rows]
        codes.append(np.packbits(signal + 1.5 * generator.standard_normal((len(rows), bits), dtype=np.float32) > 0, axis=1))
    return np.concatenate(codes)


def speed(queries: int, labels: np.ndarray, bits: int, device: str | None) -> None:
    codes = noisy_codes(labels, bits)
    items = len(labels) - queries
    split = codes[:queries], codes[queries:], labels[:queries], labels[queries:]
    print(f"{queries:,} queries x {items:,} items x {bits} bits")
    wanted, more = ([(name, k) for name, k in asked if k is None or k <= items] for asked in (SHORT, FULL))
    short = best(lambda: ours(*split, bits, wanted))
    full = best(lambda: ours(*split, bits, more))
    relevance = Relevance.of(*split[2:])
    rows = words(split[0]), words(split[1])
    least = best(lambda: compare(*rows))
    counting = best(lambda: hamming(*split[:2], bits, relevance))
    for name, seconds in (("exclusive or and popcount:", least), ("histograms:", counting)):
        print(f"{name:<41}{seconds:8.4f} s, {queries * items / seconds / 1e9:.1f} G pairs/s, {least / seconds:.0%}")
    print(f"histograms, map, bounds, precision@k:    {short:8.4f} s, {queries * items / short / 1e9:.1f} G pairs/s")
    print(f"and map@k[found], map@k[hits]:           {full:8.4f} s, {full / short:.1f} times")
    tracemalloc.start()  # NumPy reports to it what it allocates; slower, so not while timing
    ours(*split, bits, more)
    print(f"memory above the data:                   {tracemalloc.get_traced_memory()[1] / 2**20:8.0f} MiB")
    tracemalloc.stop()
    if device:
        counting = best(lambda: hamming(*split[:2], bits, relevance, device))
        print(f"histograms by torch on {device}: {counting:8.4f} s, {queries * items / counting / 1e9:.2f} G pairs/s")
    if labels.ndim == 1 and items <= 100_000:
        for name, seconds in peers(*split, bits):
            print(f"{name:<41}{seconds:8.3f} s, {seconds / short:,.1f} times as long")


def ours(query_codes, database_codes, query_labels, database_labels, bits, wanted) -> None:
    n, r = hamming(query_codes, database_codes, bits, Relevance.of(query_labels, database_labels))
    metrics.measure_all(wanted, n, r)


def compare(queries: np.ndarray, database: np.ndarray) -> int:
    """The sum of all distances between words (W, Q) and (W, N), on all cores."""
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(lambda part: _compare(queries[:, part], database), parts(queries.shape[1])))


@numba.njit("uint64(uint64[:, :], uint64[:, ::1])", nogil=True, cache=True)
def _compare(queries, database):
    total = np.uint64(0)
    for query in range(queries.shape[1]):
        for index in range(len(queries)):
            word, row = queries[index, query], database[index]
            for item in range(len(row)):
                total += popcount(word ^ row[item])
    return total


def peers(query_codes, database_codes, query_labels, database_labels, bits):
    """Yield (name, seconds for all queries)."""
    import faiss

    queries, database = (2.0 * np.unpackbits(codes, axis=1, count=bits).astype(np.float32) - 1 for codes in (query_codes, database_codes))
    share = len(queries) / PEER_QUERIES
    classes = np.arange(database_labels.max() + 1)
    one_hot = [(labels[:, None] == classes).astype(np.int8) for labels in (query_labels, database_labels)]

    def by_argsort():
        """A query at a time: products of labels and of codes, the default sort, and the mean precision at the places of the hits."""
        for code, label in zip(queries[:PEER_QUERIES], one_hot[0], strict=False):
            relevant = (label @ one_hot[1].T > 0).astype(np.float32)
            relevant = relevant[np.argsort(0.5 * (bits - code @ database.T))]
            places = np.asarray(np.where(relevant == 1)) + 1.0
            np.mean(np.linspace(1, places.size, places.size) / places)

    def by_topk():
        import torch

        products = torch.from_numpy(queries[:PEER_QUERIES]) @ torch.from_numpy(database).T
        order = torch.topk(products, products.shape[1]).indices
        relevant = torch.from_numpy(database_labels)[order] == torch.from_numpy(query_labels[:PEER_QUERIES])[:, None]
        precision = relevant.cumsum(1) / torch.arange(1, relevant.shape[1] + 1)
        (precision * relevant).sum(1) / relevant.sum(1)

    yield f"product + argsort ({PEER_QUERIES} queries)", best(by_argsort) * share
    if bits % 8 == 0:
        index = faiss.IndexBinaryFlat(bits)
        index.add(database_codes)
        yield (
            f"faiss, k = N, no metric ({PEER_QUERIES} queries)",
            best(lambda: index.search(query_codes[:PEER_QUERIES], index.ntotal), 1) * share,
        )
    yield f"torch.topk over all ({PEER_QUERIES} queries)", best(by_topk, 5) * share


def scaling() -> dict[str, tuple[list[int], list[float]]]:
    """What grows: its sizes and the seconds of all threads together, the two others held."""
    sizes = [1, 3, 10, 30, 100, 300, 1000]
    grown = {
        "256 queries and more (x 59,000 items x 48 bits)": [(size * 256, 59_000, 48) for size in sizes],
        "4,000 items and more (x 2,048 queries x 48 bits)": [(2048, size * 4000, 48) for size in sizes],
        "16 bits and more (x 512 queries x 8,000 items)": [(512, 8_000, size * 16) for size in sizes],
    }
    curves = {}
    for name, shapes in grown.items():
        seconds = []
        for queries, items, bits in shapes:
            labels = np.random.default_rng(0).integers(0, 10, queries + items)
            codes, relevance = noisy_codes(labels, bits), Relevance.of(labels[:queries], labels[queries:])
            seconds.append(best(lambda c=codes, q=queries, b=bits, r=relevance: hamming(c[:q], c[q:], b, r), 5, time.process_time))
            print(f"{name}: {queries:,} x {items:,} x {bits:,} bits: {seconds[-1]:.5f} s", flush=True)
        curves[name] = sizes, seconds
    return curves


def draw(curves: dict[str, tuple[list[int], list[float]]]) -> None:
    """Write benchmarks/scaling.svg: seconds against the factor by which one size has grown, and a line of slope 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, (sizes, seconds) in curves.items():
        axes.loglog(sizes, seconds, "o-", label=name)
    axes.loglog([1, 1000], [1e-3, 1], "k:", label="linear")
    axes.set(xlabel="times as many", ylabel="processor seconds of the histograms", title=f"{provenance.processor()}, {THREADS} threads")
    axes.legend(fontsize="small")
    figure.savefig(SCALING)


def best(function, repetitions: int = 25, clock=time.perf_counter) -> float:
    """Seconds of the fastest repetition."""
    seconds = []
    for _ in range(repetitions):
        started = clock()
        function()
        seconds.append(clock() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
