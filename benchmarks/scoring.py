"""Time scoring, compare it with common implementations, and show how the cost grows.

    python -m benchmarks.scoring speed                       # 1,000 x 59,000 x 48 bits
    python -m benchmarks.scoring speed --items 1000000 --bits 64
    python -m benchmarks.scoring speed --dataset nuswide-21  # labels and split of prepared data
    python -m benchmarks.scoring scaling                     # writes benchmarks/scaling.svg
    python -m benchmarks.scoring sizes                       # 1,000 to 1,000,000 codes of 64 bits
    python -m benchmarks.scoring sizes 10000000

Codes are noisy class codes, so that ties and distances are distributed as in real codes. A time is
the minimum of several repetitions. `score` is the public function, from boolean arrays. Common
implementations run on a sample of the queries, and their time is multiplied.

The popcount limit is the time of one exclusive or and one popcount per pair of packed words. It
stores no distance, and is therefore a lower bound of any kernel that compares packed codes. The
fast kernel has four phases beyond it: transposing the codes, adding the planes with full adders,
marking the relevant items, and counting the marked items by distance.

`sizes` measures the processor time of histograms and mean average precision from packed random
codes. Every round measures all sizes one after the other, and the median over the rounds is saved
in benchmarks/scoring.json.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import evaluation
from benchmarks import results
from evaluation.compiling import compiled, popcount
from evaluation.histograms import hamming
from evaluation.kernels import bitsliced, plain
from evaluation.metrics import measure_all, parse
from evaluation.relevance import THREADS, Relevance, parts, shares, words
from harness import provenance
from harness.plan import Place

MAP = ["map"]
SHORT = [
    "map",
    "map_worst",
    "map_best",
    *(f"precision@{k}" for k in (1, 10, 50, 100, 500, 1000, 5000)),
]
FULL = [*SHORT, *(f"map@{k}[{name}]" for name in ("found", "hits") for k in (1000, 5000))]
PRESET = ["as-bgan"]
PEER_QUERIES = 20
DRAWN = 2**22  # random numbers that are drawn at a time for codes
SIZES = (1_000, 10_000, 100_000, 1_000_000)
SIZE_BITS, ROUNDS = 64, 5
SHORTEST = 0.05  # seconds that are measured
SCALING = Path(__file__).with_name("scaling.svg")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("speed", "scaling", "sizes"))
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES, help="codes of the database")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--items", type=int, default=59_000)
    parser.add_argument("--bits", type=int, default=48)
    parser.add_argument("--dataset", help="a data set prepared by `python -m datasets`")
    arguments = parser.parse_args()
    print(f"{provenance.processor()}, {THREADS} threads, NumPy {np.__version__}, SIMD {simd()}")

    if arguments.what == "scaling":
        draw(scaling())
    elif arguments.what == "sizes":
        by_size(arguments.queries, arguments.sizes)
    elif arguments.dataset:
        place = Place(arguments.dataset, "")
        with np.load(place.split, allow_pickle=False) as split:
            rows = np.concatenate([split["query"], split["database"]])
            queries = len(split["query"])
        labels = np.load(place.labels, allow_pickle=False)[rows]
        speed(queries, labels, arguments.bits)
    else:
        labels = np.random.default_rng(0).integers(0, 10, arguments.queries + arguments.items)
        speed(arguments.queries, labels, arguments.bits)


def simd() -> str:
    """Return the instruction sets of NumPy, which determine the order of ties of its argsort."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    return ", ".join([*extensions.get("baseline", []), *extensions.get("found", [])][-3:])


def noisy_codes(labels: np.ndarray, bits: int) -> np.ndarray:
    """Return packed codes uint8 (n, ceil(bits / 8)): the signs of class centres plus noise."""
    generator = np.random.default_rng(1)
    classes = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    centres = generator.standard_normal((classes, bits), dtype=np.float32)
    codes = []
    for rows in np.array_split(labels, -(-len(labels) * bits // DRAWN)):
        signal = rows.astype(np.float32) @ centres if labels.ndim == 2 else centres[rows]
        noise = 1.5 * generator.standard_normal((len(rows), bits), dtype=np.float32)
        codes.append(np.packbits(signal + noise > 0, axis=1))

    return np.concatenate(codes)


def speed(queries: int, labels: np.ndarray, bits: int) -> None:
    """Print the times of one problem size; labels (Q + N,) or (Q + N, classes)."""
    packed = noisy_codes(labels, bits)
    codes = np.unpackbits(packed, axis=1, count=bits).astype(bool)  # (Q + N, bits)
    items = len(labels) - queries
    arrays = codes[:queries], codes[queries:], labels[:queries], labels[queries:]
    relevance = Relevance.of(*arrays[2:])
    print(f"{queries:,} queries x {items:,} items x {bits} bits")

    seconds = kernels(packed[:queries], packed[queries:], bits, relevance)
    limit, fast = seconds["popcount limit"], seconds["fast kernel"]
    for name, value in seconds.items():
        show(name, value, f"{queries * items / value / 1e9:.1f} G pairs/s")

    print(f"the fast kernel reaches {limit / fast:.0%} of the popcount limit. Its time is")
    for name, value in phases(packed[:queries], packed[queries:], bits, relevance, fast).items():
        print(f"    {value / fast:4.0%} {name}")

    shown = {"map": MAP, "map, bounds, precision@k": SHORT, "map@k[found], map@k[hits] too": FULL}
    for title, names in [*shown.items(), ("as-bgan", PRESET)]:
        shown_names = [n for n in names if n in PRESET or (parse(n)[1] or 1) <= items]
        value = best(lambda names=shown_names: evaluation.score(*arrays, names))
        seconds[title] = value
        show(f"score: {title}", value, f"{value / fast:.1f} times the fast kernel")

    tracemalloc.start()  # NumPy reports its allocations to it, which takes time
    evaluation.score(*arrays, MAP)
    print(
        f"score: map, memory above the data: {tracemalloc.get_traced_memory()[1] / 2**20:.0f} MiB"
    )
    tracemalloc.stop()

    # Kernels and metrics without packing, for comparison with earlier versions.
    keys = [key for key in map(parse, SHORT) if (key[1] or 1) <= items]
    split = packed[:queries], packed[queries:]
    value = best(lambda: measure_all(keys, *hamming(*split, bits, Relevance.of(*arrays[2:]))))
    show("the same short list from packed codes", value, "")

    figures = {name: results.seconds(value) for name, value in seconds.items()}
    results.save("scoring", f"{queries:,} queries x {items:,} items x {bits} bits", figures)
    if labels.ndim == 1 and items <= 100_000:
        for name, value in peers(*split, *arrays[2:], bits):
            show(name, value, f"{value / seconds['map']:,.0f} times as long as score: map")


def show(name: str, seconds: float, remark: str) -> None:
    print(f"{name:<41}{seconds:9.4f} s  {remark}".rstrip())


def kernels(
    query_codes: np.ndarray, database_codes: np.ndarray, bits: int, relevance: Relevance
) -> dict[str, float]:
    """Return the seconds of both kernels and of the popcount limit."""
    rows = words(query_codes), words(database_codes)  # (W, Q), (W, N)
    arguments = *rows, bits, relevance, 2
    return {
        "popcount limit": best(lambda: compare(*rows)),
        "fast kernel": best(lambda: bitsliced.count_levels(*arguments)),
        "plain kernel": best(lambda: plain.count_levels(*arguments), 3),
    }


def compare(queries: np.ndarray, database: np.ndarray) -> int:
    """Return the sum of all distances between words (W, Q) and (W, N), on all cores."""
    with ThreadPoolExecutor(THREADS) as pool:
        sums = pool.map(lambda part: _compare(queries[:, part], database), parts(queries.shape[1]))
        return sum(sums)


@compiled("uint64(uint64[:, :], uint64[:, ::1])")
def _compare(queries, database):
    total = np.uint64(0)
    for query in range(queries.shape[1]):
        for index in range(len(queries)):
            word, row = queries[index, query], database[index]
            for item in range(len(row)):
                total += popcount(word ^ row[item])
    return total


def phases(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    bits: int,
    relevance: Relevance,
    total: float,
) -> dict[str, float]:
    """Return the seconds of each phase of the fast kernel, which takes `total`."""
    queries, database = words(query_codes), words(database_codes)  # (W, Q), (W, N)
    query_labels, item_labels, label_bits = relevance.label_words()
    added = -(-bits // bitsliced.ADDED_PLANES) * bitsliced.ADDED_PLANES
    counters = max(bitsliced.LOW_COUNTERS, -(-bits.bit_length() // 3) * 3)
    flips = bitsliced.flips_of(queries, added)
    label_flips = bitsliced.flips_of(query_labels, label_bits)

    with ThreadPoolExecutor(THREADS) as pool:

        def transpose() -> tuple[np.ndarray, np.ndarray]:
            planes = bitsliced.planes_of(database, relevance.order, added, pool)
            return planes, bitsliced.planes_of(item_labels, relevance.order, label_bits, pool)

        def share(function: Callable[[slice], None]) -> None:
            list(pool.map(function, shares(len(flips))))

        planes, label_planes = transpose()
        single = relevance.single
        seconds = {
            "transposing codes and labels": best(transpose),
            "adding planes": best(lambda: share(lambda part: _add(planes, flips[part], counters))),
            "marking relevant items": best(
                lambda: share(lambda part: _mark(label_planes, label_flips[part], single))
            ),
        }

    return seconds | {"counting by distance, and the threads": total - sum(seconds.values())}


@compiled("(uint64[:, ::1], uint64[:, ::1], int64)")
def _add(planes, flips, counters):
    """Add the planes (blocks, bits * WORDS) for flips (C, bits), as `bitsliced._count` does."""
    sums = bitsliced.aligned_zeros(counters * bitsliced.WORDS)
    over = bitsliced.aligned_zeros(bitsliced.WORDS)
    for start in range(0, len(flips), bitsliced.TOGETHER):
        for block in range(len(planes)):
            for query in range(start, min(start + bitsliced.TOGETHER, len(flips))):
                sums[:] = 0
                for first in range(0, flips.shape[1], bitsliced.ADDED_PLANES):
                    bitsliced._add(planes, block, first, flips, query, sums, over)
                    bitsliced._add_carry(over, sums)


@compiled("(uint64[:, ::1], uint64[:, ::1], boolean)")
def _mark(planes, flips, single):
    """Mark the relevant items for label flips (C, label bits), as `bitsliced._count` does."""
    masks = bitsliced.aligned_zeros(2 * bitsliced.WORDS)
    for start in range(0, len(flips), bitsliced.TOGETHER):
        for block in range(len(planes)):
            for query in range(start, min(start + bitsliced.TOGETHER, len(flips))):
                bitsliced._mark_levels(planes, block, flips, query, single, 2, masks)


def peers(
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    bits: int,
) -> Iterator[tuple[str, float]]:
    """Yield (name, seconds for all queries) of common implementations."""
    import faiss

    queries, database = (
        2.0 * np.unpackbits(codes, axis=1, count=bits).astype(np.float32) - 1
        for codes in (query_codes, database_codes)
    )  # (Q, bits), (N, bits)
    share = len(queries) / PEER_QUERIES
    classes = np.arange(database_labels.max() + 1)
    query_one_hot = (query_labels[:, None] == classes).astype(np.int8)
    one_hot = (database_labels[:, None] == classes).astype(np.int8)

    def by_argsort():
        """For each query: matrix products, the default sort, and the mean precision at hits."""
        for code, label in zip(queries[:PEER_QUERIES], query_one_hot, strict=False):
            relevant = (label @ one_hot.T > 0).astype(np.float32)
            relevant = relevant[np.argsort(0.5 * (bits - code @ database.T))]
            ranks = np.asarray(np.where(relevant == 1)) + 1.0
            np.mean(np.linspace(1, ranks.size, ranks.size) / ranks)

    def by_topk():
        import torch

        products = torch.from_numpy(queries[:PEER_QUERIES]) @ torch.from_numpy(database).T
        order = torch.topk(products, products.shape[1]).indices
        labels = torch.from_numpy(query_labels[:PEER_QUERIES])
        relevant = torch.from_numpy(database_labels)[order] == labels[:, None]
        precision = relevant.cumsum(1) / torch.arange(1, relevant.shape[1] + 1)
        (precision * relevant).sum(1) / relevant.sum(1)

    yield f"product + argsort ({PEER_QUERIES} queries)", best(by_argsort) * share
    if bits % 8 == 0:
        index = faiss.IndexBinaryFlat(bits)
        index.add(database_codes)
        seconds = best(lambda: index.search(query_codes[:PEER_QUERIES], index.ntotal), 1) * share
        yield f"faiss, k = N, no metric ({PEER_QUERIES} queries)", seconds

    yield f"torch.topk over all ({PEER_QUERIES} queries)", best(by_topk, 5) * share


def scaling() -> dict[str, tuple[list[int], list[float]]]:
    """Return sizes and CPU seconds for each growing dimension. The other two are constant."""
    sizes = [1, 3, 10, 30, 100, 300, 1000]
    grown = {
        "256 queries and more (x 59,000 items x 48 bits)": [
            (size * 256, 59_000, 48) for size in sizes
        ],
        "4,000 items and more (x 2,048 queries x 48 bits)": [
            (2048, size * 4000, 48) for size in sizes
        ],
        "16 bits and more (x 512 queries x 8,000 items)": [
            (512, 8_000, size * 16) for size in sizes
        ],
    }
    curves = {}
    for name, shapes in grown.items():
        seconds = []
        for queries, items, bits in shapes:
            labels = np.random.default_rng(0).integers(0, 10, queries + items)
            codes = noisy_codes(labels, bits)
            relevance = Relevance.of(labels[:queries], labels[queries:])
            arguments = codes[:queries], codes[queries:], bits, relevance
            seconds.append(best(lambda a=arguments: hamming(*a), 5, time.process_time))
            size = f"{queries:,} x {items:,} x {bits:,} bits"
            print(f"{name}: {size}: {seconds[-1]:.5f} s", flush=True)
        curves[name] = sizes, seconds

    return curves


def draw(curves: dict[str, tuple[list[int], list[float]]]) -> None:
    """Write benchmarks/scaling.svg: seconds by the factor of growth, and a line of slope 1."""
    # Imported first: a report does not depend on the user's Matplotlib.
    from report.figures.plot_style import report_style  # isort: skip
    from matplotlib.figure import Figure

    with report_style():
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        for name, (sizes, seconds) in curves.items():
            axes.loglog(sizes, seconds, "o-", label=name)
        axes.loglog([1, 1000], [1e-3, 1], "k:", label="linear")
        axes.set(xlabel="factor of growth", ylabel="CPU seconds of the histograms")
        axes.set(title=f"{provenance.processor()}, {THREADS} threads")
        axes.legend(fontsize="small")
        figure.savefig(SCALING)


def by_size(queries: int, sizes: Sequence[int]) -> None:
    """Save the median processor time of each size of the database, and the peak memory."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 256, (queries + max(sizes), SIZE_BITS // 8), dtype=np.uint8)
    labels = generator.integers(0, 10, len(codes), dtype=np.int8)

    def measure(items: int) -> None:
        database = slice(queries, queries + items)
        relevance = Relevance.of(labels[:queries], labels[database])
        histograms = hamming(codes[:queries], codes[database], SIZE_BITS, relevance)
        measure_all([("map", None)], *histograms)

    measure(min(sizes))  # compiles the kernel
    rounds = []
    for _ in range(ROUNDS):
        seconds_by_size = [_seconds(measure, items) for items in sizes]
        rounds.append(seconds_by_size)

    for items, seconds in zip(sizes, np.median(rounds, axis=0), strict=True):
        problem = f"{queries:,} queries x {items:,} codes of {SIZE_BITS} bits, mAP"
        each = f"{1e9 * seconds / queries / items:.3g} ns"
        figures = {"processor": results.seconds(seconds), "per pair": each}
        results.save("scoring", problem, figures)

    memory = results.mebibytes(provenance.peak_memory_mib())
    results.save("scoring", f"memory of up to {max(sizes):,} codes", {"peak": memory})


def _seconds(function: Callable[[int], None], items: int) -> float:
    """Return the processor time of a call. A short call is repeated until it is measurable."""
    calls, started = 0, time.process_time()
    while time.process_time() - started < SHORTEST:
        function(items)
        calls += 1
    return (time.process_time() - started) / calls


def best(function, repetitions: int = 25, clock=time.perf_counter) -> float:
    """Return the seconds of the fastest repetition."""
    seconds = []
    for _ in range(repetitions):
        started = clock()
        function()
        seconds.append(clock() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
