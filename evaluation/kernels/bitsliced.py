"""The fast kernel: histograms over Hamming distances by logical operations on planes of bits.

A plane holds one bit of every item, 64 items a word. One query against one word of the database:

    item               63 ...  2  1  0
    plane of bit 0    [ 1 ...  0  1  1 ]  ^  bit 0 of the query, in every column
    plane of bit 1    [ 0 ...  1  1  0 ]  ^  bit 1 of the query
      ...                                        one bit set = the item differs in this bit
    plane of bit 47   [ 1 ...  0  0  1 ]  ^  bit 47 of the query
                        |      |  |  |
                        full adders on whole words add each column
                        v      v  v  v
    counter "ones"    [ 1 ...  0  1  1 ]
    counter "twos"    [ 0 ...  1  1  0 ]         distance of item 1 = 1 + 2 * 1 + 4 * 0 + ...
    counter "fours"   [ 1 ...  1  0  0 ]
      ...

The histogram of these columns is counted without a distance of any single item. A mask selects the
items of one level of relevance. The three highest counters split it into eight masks, one for each
of their values, and so on. For the three lowest counters it is enough to count the bits of the mask
and of its intersections with them; `_exact_counts` solves for the eight values:

    mask -- fours+ --> 8 masks --> ... --> popcount(mask & ones), popcount(mask & ones & twos), ...

All work is on vectors of LANES words. Numba has no such type, so that this file defines one with
interfaces that Numba and llvmlite may change: then `kernels` takes the plain kernel.

References
----------
Harley and Seal's counter of bits, which adds words of one array instead of planes: H. S. Warren,
"Hacker's Delight", 2nd edition, section 5-1.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_jitable, register_model

from ..compiling import compiled
from ..relevance import THREADS, Relevance, shares

LANES = 8  # words of a vector: one register with AVX-512, several on other processors
WORDS = 64  # words of a plane in a block, 4,096 items: planes and counters of 48 bits fit in L1
ADDED_PLANES = 16  # planes that are added at a time
TOGETHER = 32  # queries that are compared with a block before the next block is read
LOW_COUNTERS = 6  # counters that `_add` updates: sums up to 63
EVERY = np.uint64(0xFFFFFFFFFFFFFFFF)

TERNARY = "llvm.x86.avx512.pternlog.q.512"  # any function of three bits, by its table of 8 results
MAJORITY = 0b11101000  # the table of the majority
WORD, INDEX = ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(WORD, LANES)


def count_levels(
    queries: np.ndarray, database: np.ndarray, bits: int, relevance: Relevance, levels: int
) -> np.ndarray:
    """Count the items at each distance from each query by the number of shared labels.

    Parameters
    ----------
    queries : ndarray of uint64, shape (W, Q)
        Words of the codes, from `relevance.words`.
    database : ndarray of uint64, shape (W, N)
        The same for the database.
    bits : int
        Length of the codes.
    relevance : Relevance
        Relevance of these N items to these Q queries.
    levels : int
        Levels of relevance. Items that share ``levels - 1`` labels or more have the last level.

    Returns
    -------
    ndarray of int64, shape (Q, bits + 1, levels)
        The counts.
    """
    added = -(-bits // ADDED_PLANES) * ADDED_PLANES  # planes: bits, and planes of zeros
    counters = max(LOW_COUNTERS, -(-bits.bit_length() // 3) * 3)
    query_labels, item_labels, label_bits = relevance.label_words()
    flips = flips_of(queries, added)  # (Q, added)
    label_flips = flips_of(query_labels, label_bits)  # (Q, label_bits)
    counts = np.zeros((queries.shape[1], levels, bits // 8 * 8 + 8), np.int64)

    with ThreadPoolExecutor(THREADS) as pool:
        planes = planes_of(database, relevance.order, added, pool)
        label_planes = planes_of(item_labels, relevance.order, label_bits, pool)

        def count_share(share: slice) -> None:
            labels = label_planes, label_flips[share], relevance.single
            _count(planes, flips[share], *labels, counters, counts[share])

        list(pool.map(count_share, shares(len(counts))))

    # The last block is padded with items without labels, whose code is zero.
    padding = -len(relevance.order) % (64 * WORDS)
    distances = np.bitwise_count(queries).sum(axis=0)  # (Q,), of the padding
    counts[np.arange(len(counts)), 0, distances] -= padding
    return counts[:, :, : bits + 1].transpose(0, 2, 1)


# Planes


def planes_of(rows: np.ndarray, order: np.ndarray, bits: int, pool: Executor) -> np.ndarray:
    """Transpose codes into planes, zero-padded to whole blocks, with the threads of `pool`.

    Parameters
    ----------
    rows : ndarray of uint64, shape (W, N)
        Words of the codes.
    order : ndarray of int64, shape (N,)
        Order of the items in the planes.
    bits : int
        Bits of a code to transpose.
    pool : Executor
        Threads, each of which transposes some blocks.

    Returns
    -------
    ndarray of uint64, shape (blocks, bits * WORDS)
        Word w of plane p of block b is at ``[b, p * WORDS + w]``. Its bit i belongs to item
        ``order[64 * (WORDS * b + w) + i]``.
    """
    blocks = -(-len(order) // (64 * WORDS))
    planes = aligned_zeros(blocks * bits * WORDS).reshape(blocks, bits * WORDS)

    def fill(part: slice) -> None:
        items = order[64 * WORDS * part.start : 64 * WORDS * part.stop]
        _transpose(rows, items, bits, planes[part])

    list(pool.map(fill, shares(blocks)))
    return planes


@compiled("(uint64[:, ::1], int64[::1], int64, uint64[:, ::1])")
def _transpose(rows, order, bits, planes):
    """Write the planes (blocks, bits * WORDS) of the items in `order` (n,) of rows (W, N)."""
    items, column = len(order), np.zeros(64, np.uint64)
    for start in range(0, items, 64):
        block, word = start // (64 * WORDS), start // 64 % WORDS
        for row in range(len(rows)):
            column[:] = 0
            for item in range(min(64, items - start)):
                column[item] = rows[row, order[start + item]]

            for bit in range(64 * row, min(64 * row + 64, bits)):
                plane = np.uint64(0)
                for item in range(64):
                    value = (column[item] >> np.uint64(bit % 64)) & np.uint64(1)
                    plane |= value << np.uint64(item)
                planes[block, bit * WORDS + word] = plane


@compiled("uint64[:, ::1](uint64[:, ::1], int64)")
def flips_of(rows, bits):
    """Return each bit of packed rows (W, n) as a word of 64 equal bits, (n, bits)."""
    flips = np.zeros((rows.shape[1], bits), np.uint64)
    for item in range(rows.shape[1]):
        for row in range(len(rows)):
            word, first = rows[row, item], 64 * row
            for bit in range(min(64, bits - first)):
                # 0 - 1 wraps around to 64 ones.
                flips[item, first + bit] = np.uint64(0) - (word >> np.uint64(bit) & np.uint64(1))
    return flips


# Vectors of words


class Lanes(types.Type):
    """The type of a vector of LANES words in compiled loops. `&`, `|`, `^` and `+` work on it."""

    def __init__(self):
        super().__init__(name="Lanes")


lanes = Lanes()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, VECTOR)


@register_jitable
def aligned_zeros(words):
    """Return zeros uint64 (words,), aligned so that no vector crosses a cache line."""
    buffer = np.zeros(words + LANES - 1, np.uint64)
    start = -(buffer.ctypes.data // 8) % LANES
    return buffer[start : start + words]


@intrinsic
def load(typing_context, array, index):
    """Return array[index : index + LANES] of a contiguous array. Bounds are not checked."""

    def generate(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature, arguments), align=8)

    return lanes(array, types.int64), generate


@intrinsic
def store(typing_context, array, index, value):
    """Write array[index : index + LANES]."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _address(context, builder, signature, arguments), align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), generate


def _address(context, builder, signature, arguments):
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.bitcast(builder.gep(array.data, [arguments[1]]), VECTOR.as_pointer())


@intrinsic
def filled(typing_context, word):
    """Return a vector with the same word in every lane."""

    def generate(context, builder, signature, arguments):
        undefined = ir.Constant(VECTOR, ir.Undefined)
        first = builder.insert_element(undefined, arguments[0], ir.Constant(INDEX, 0))
        return builder.shuffle_vector(
            first, undefined, ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES)
        )

    return lanes(types.uint64), generate


@intrinsic
def without(typing_context, a, b):
    """Return ``a & ~b``."""

    def generate(context, builder, signature, arguments):
        return builder.and_(arguments[0], builder.not_(arguments[1]))

    return lanes(lanes, lanes), generate


@intrinsic
def majority(typing_context, a, b, c):
    """Return the bits that are set in two of three vectors: the carry of a full adder.

    This is one instruction with AVX-512, where LLVM by itself generates two.
    """

    def generate(context, builder, signature, arguments):
        *_, features = context.codegen().magic_tuple()  # of the target processor
        if "+avx512f" in features:
            return _call(builder, TERNARY, VECTOR, *arguments, ir.Constant(INDEX, MAJORITY))
        a, b, c = arguments
        return builder.or_(builder.and_(a, b), builder.and_(c, builder.or_(a, b)))

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def popcounts(typing_context, a):
    """Return the number of one bits in each lane."""

    def generate(context, builder, signature, arguments):
        return _call(builder, f"llvm.ctpop.v{LANES}i64", VECTOR, *arguments)

    return lanes(lanes), generate


@intrinsic
def total(typing_context, a):
    """Return the sum of the lanes as a word."""

    def generate(context, builder, signature, arguments):
        return _call(builder, f"llvm.vector.reduce.add.v{LANES}i64", WORD, *arguments)

    return types.uint64(lanes), generate


@intrinsic
def some(typing_context, a):
    """Return 1 if any bit is set, else 0."""

    def generate(context, builder, signature, arguments):
        either = _call(builder, f"llvm.vector.reduce.or.v{LANES}i64", WORD, *arguments)
        return builder.zext(builder.icmp_unsigned("!=", either, WORD(0)), WORD)

    return types.int64(lanes), generate


def _call(builder: ir.IRBuilder, name: str, returned: ir.Type, *arguments: ir.Value) -> ir.Value:
    kind = ir.FunctionType(returned, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _define(python_operator: Callable, method: str) -> None:
    """Compile an operator of two vectors as a method of LLVM's builder."""

    @intrinsic
    def apply(typing_context, a, b):
        def generate(context, builder, signature, arguments):
            return getattr(builder, method)(*arguments)

        return lanes(lanes, lanes), generate

    @overload(python_operator, inline="always")
    def overloaded(a, b):
        if isinstance(a, Lanes) and isinstance(b, Lanes):
            return lambda a, b: apply(a, b)  # noqa: PLW0108 -- Numba compiles the function returned
        return None


_define(operator.and_, "and_")
_define(operator.or_, "or_")
_define(operator.xor, "xor")
_define(operator.add, "add")


# Counters


@numba.njit(inline="always")
def _full_adder(a, b, c):
    """Return the sum and the carry of three bits."""
    return a ^ b ^ c, majority(a, b, c)


@numba.njit(inline="always")
def _flipped(planes, flips, plane, word):
    """Return a vector of one plane: the items that differ from the query in this bit."""
    return load(planes, plane * WORDS + word) ^ filled(flips[plane])


@compiled("(uint64[:, ::1], int64, int64, uint64[:, ::1], int64, uint64[::1], uint64[::1])")
def _add(planes, block, first, flips, query, sums, over):
    """Add ADDED_PLANES planes to the first LOW_COUNTERS of `sums`. Write the carry to `over`.

    planes (blocks, bits * WORDS); flips (C, bits); sums (counters * WORDS,); over (WORDS,).
    """
    p = planes[block, first * WORDS : (first + ADDED_PLANES) * WORDS]
    f = flips[query, first : first + ADDED_PLANES]
    for w in range(0, WORDS, LANES):
        ones, twos = load(sums, w), load(sums, WORDS + w)
        fours, eights = load(sums, 2 * WORDS + w), load(sums, 3 * WORDS + w)
        sixteens, thirty_twos = load(sums, 4 * WORDS + w), load(sums, 5 * WORDS + w)

        ones, a = _full_adder(ones, _flipped(p, f, 0, w), _flipped(p, f, 1, w))
        ones, b = _full_adder(ones, _flipped(p, f, 2, w), _flipped(p, f, 3, w))
        twos, c = _full_adder(twos, a, b)
        ones, a = _full_adder(ones, _flipped(p, f, 4, w), _flipped(p, f, 5, w))
        ones, b = _full_adder(ones, _flipped(p, f, 6, w), _flipped(p, f, 7, w))
        twos, d = _full_adder(twos, a, b)
        fours, e = _full_adder(fours, c, d)
        ones, a = _full_adder(ones, _flipped(p, f, 8, w), _flipped(p, f, 9, w))
        ones, b = _full_adder(ones, _flipped(p, f, 10, w), _flipped(p, f, 11, w))
        twos, c = _full_adder(twos, a, b)
        ones, a = _full_adder(ones, _flipped(p, f, 12, w), _flipped(p, f, 13, w))
        ones, b = _full_adder(ones, _flipped(p, f, 14, w), _flipped(p, f, 15, w))
        twos, d = _full_adder(twos, a, b)
        fours, a = _full_adder(fours, c, d)
        eights, carry = _full_adder(eights, e, a)

        store(sums, w, ones)
        store(sums, WORDS + w, twos)
        store(sums, 2 * WORDS + w, fours)
        store(sums, 3 * WORDS + w, eights)
        store(sums, 4 * WORDS + w, sixteens ^ carry)
        carry = carry & sixteens
        store(sums, 5 * WORDS + w, thirty_twos ^ carry)
        store(over, w, carry & thirty_twos)


@compiled("(uint64[::1], uint64[::1])")
def _add_carry(over, sums):
    """Add the plane `over` to the counters of `sums` after the first LOW_COUNTERS."""
    for w in range(0, WORDS, LANES):
        carry = load(over, w)
        for position in range(LOW_COUNTERS * WORDS + w, len(sums), WORDS):
            plane = load(sums, position)
            store(sums, position, plane ^ carry)
            carry = carry & plane


@compiled("int64(uint64[::1], int64, uint64[::1], int64, int64)")
def _split(sums, counter, masks, mask_index, target):
    """Split a mask by three counters into eight masks, stored from mask `target` on.

    A counter is one binary digit of the distances of all items of a block. Mask i of the eight has
    the items whose three digits, `counter` the lowest, are the number i:

        mask          a   b   c        a: digit of 1, b: digit of 2, c: digit of 4
        m5 = 1 + 4    1   0   1        high = mask & c;  high0 = high without b;  m5 = high0 & a

    Bit i of the result is set if mask i has any item. sums (counters * WORDS,); masks
    (masks * WORDS,).
    """
    s, m, t = counter * WORDS, mask_index * WORDS, target * WORDS
    any0 = any1 = any2 = any3 = any4 = any5 = any6 = any7 = filled(np.uint64(0))
    for w in range(0, WORDS, LANES):
        a, b, c = load(sums, s + w), load(sums, s + WORDS + w), load(sums, s + 2 * WORDS + w)
        mask = load(masks, m + w)
        low, high = without(mask, c), mask & c
        low0, low2, high0, high2 = without(low, b), low & b, without(high, b), high & b
        m0, m1, m2, m3 = without(low0, a), low0 & a, without(low2, a), low2 & a
        m4, m5, m6, m7 = without(high0, a), high0 & a, without(high2, a), high2 & a
        store(masks, t + w, m0)
        store(masks, t + WORDS + w, m1)
        store(masks, t + 2 * WORDS + w, m2)
        store(masks, t + 3 * WORDS + w, m3)
        store(masks, t + 4 * WORDS + w, m4)
        store(masks, t + 5 * WORDS + w, m5)
        store(masks, t + 6 * WORDS + w, m6)
        store(masks, t + 7 * WORDS + w, m7)
        any0, any1, any2, any3 = any0 | m0, any1 | m1, any2 | m2, any3 | m3
        any4, any5, any6, any7 = any4 | m4, any5 | m5, any6 | m6, any7 | m7

    low_four = some(any0) | some(any1) << 1 | some(any2) << 2 | some(any3) << 3
    high_four = some(any4) | some(any5) << 1 | some(any6) << 2 | some(any7) << 3
    return low_four | high_four << 4


@compiled("(uint64[::1], uint64[::1], int64, uint64[::1], int64)")
def _count_eight(sums, masks, mask_index, counts, row):
    """Count the items of a mask in each intersection with the three lowest counters.

    The counts are added to the vectors of `counts` from `row` on. Vector i counts the items whose
    distance has all the bits of i: item counts of exactly i follow in `_exact_counts`.
    """
    n0, n1 = load(counts, row), load(counts, row + LANES)
    n2, n3 = load(counts, row + 2 * LANES), load(counts, row + 3 * LANES)
    n4, n5 = load(counts, row + 4 * LANES), load(counts, row + 5 * LANES)
    n6, n7 = load(counts, row + 6 * LANES), load(counts, row + 7 * LANES)

    for w in range(0, WORDS, LANES):
        a, b, c = load(sums, w), load(sums, WORDS + w), load(sums, 2 * WORDS + w)
        mask = load(masks, mask_index * WORDS + w)
        with_a, with_b = mask & a, mask & b
        with_both = with_a & b
        n0, n1 = n0 + popcounts(mask), n1 + popcounts(with_a)
        n2, n3 = n2 + popcounts(with_b), n3 + popcounts(with_both)
        n4, n5 = n4 + popcounts(mask & c), n5 + popcounts(with_a & c)
        n6, n7 = n6 + popcounts(with_b & c), n7 + popcounts(with_both & c)

    store(counts, row, n0)
    store(counts, row + LANES, n1)
    store(counts, row + 2 * LANES, n2)
    store(counts, row + 3 * LANES, n3)
    store(counts, row + 4 * LANES, n4)
    store(counts, row + 5 * LANES, n5)
    store(counts, row + 6 * LANES, n6)
    store(counts, row + 7 * LANES, n7)


@compiled("(uint64[::1], int64, uint64[::1], int64, uint64[::1], int64)")
def _count_mask(sums, counter, masks, mask_index, counts, row):
    """Count the items of a mask by distance. They have equal counters from ``counter + 3`` on."""
    target = len(masks) // WORDS - 8 * (counter // 3)
    occupied = _split(sums, counter, masks, mask_index, target)
    for part in range(8):
        if occupied >> part & 1:
            first = row + (part << counter) * LANES
            if counter == 3:
                _count_eight(sums, masks, target + part, counts, first)
            else:
                _count_mask(sums, counter - 3, masks, target + part, counts, first)


@compiled("boolean(uint64[::1], int64)")
def _any(masks, mask_index):
    """Return whether a mask has any item."""
    union = filled(np.uint64(0))
    for w in range(mask_index * WORDS, (mask_index + 1) * WORDS, LANES):
        union = union | load(masks, w)
    return some(union) != 0


@compiled("(uint64[:, ::1], int64, uint64[:, ::1], int64, boolean, int64, uint64[::1])")
def _mark_levels(planes, block, flips, query, single, levels, masks):
    """Write a mask of the items of a block for each number of labels shared with a query.

    planes (blocks, label bits * WORDS); flips (C, label bits); masks (at least levels * WORDS,).
    With `single`, the planes are the bits of one label, which is shared if all bits are equal.
    Otherwise each plane is a label. The last level includes all higher numbers of labels.
    """
    masks[:WORDS] = EVERY
    masks[WORDS : levels * WORDS] = EVERY if single else np.uint64(0)
    p, seen = planes[block], 0
    for label in range(flips.shape[1]):
        flip = flips[query, label]
        if single:
            for w in range(0, WORDS, LANES):
                store(
                    masks,
                    WORDS + w,
                    without(load(masks, WORDS + w), load(p, label * WORDS + w) ^ filled(flip)),
                )
        elif flip:
            seen += 1
            for level in range(min(seen, levels - 1), 0, -1):
                for w in range(level * WORDS, (level + 1) * WORDS, LANES):
                    one_less, plane = load(masks, w - WORDS), load(p, (label - level) * WORDS + w)
                    store(masks, w, load(masks, w) | (one_less & plane))

    # From "at least so many labels" to "exactly so many".
    for w in range(0, (levels - 1) * WORDS, LANES):
        store(masks, w, without(load(masks, w), load(masks, w + WORDS)))


@compiled("(uint64[::1], int64[:, ::1])")
def _exact_counts(vectors, counts):
    """Write counts (levels, distances) of the vectors of `_count_eight`, by inclusion-exclusion."""
    levels, distances = counts.shape
    for level in range(levels):
        row = counts[level]
        for distance in range(distances):
            row[distance] = total(load(vectors, (level * distances + distance) * LANES))

        for step in (1, 2, 4):
            for distance in range(distances):
                if not distance & step:
                    row[distance] -= row[distance + step]


@compiled(
    "(uint64[:, ::1], uint64[:, ::1], uint64[:, ::1], uint64[:, ::1], boolean, int64, "
    "int64[:, :, ::1])"
)
def _count(planes, flips, label_planes, label_flips, single, counters, counts):
    """Count the items at each distance and level for a share of the queries.

    planes (blocks, bits * WORDS); flips (C, bits); label_planes (blocks, label bits * WORDS);
    label_flips (C, label bits); counts (C, levels, distances). The number of distances is a
    multiple of 8, and `counters` a multiple of 3 that is enough for them.
    """
    queries, levels, distances = counts.shape
    sums, over = aligned_zeros(counters * WORDS), aligned_zeros(WORDS)
    masks = aligned_zeros((levels + 8 * (counters // 3 - 1)) * WORDS)
    size = levels * distances * LANES
    vectors = aligned_zeros(TOGETHER * size).reshape(TOGETHER, size)

    for start in range(0, queries, TOGETHER):
        stop = min(start + TOGETHER, queries)
        vectors[:] = 0

        for block in range(len(planes)):
            for query in range(start, stop):
                sums[:] = 0
                for first in range(0, flips.shape[1], ADDED_PLANES):
                    _add(planes, block, first, flips, query, sums, over)
                    _add_carry(over, sums)

                _mark_levels(label_planes, block, label_flips, query, single, levels, masks)
                for level in range(levels):
                    if _any(masks, level):
                        row = level * distances * LANES
                        _count_mask(sums, counters - 3, masks, level, vectors[query - start], row)

        for query in range(start, stop):
            _exact_counts(vectors[query - start], counts[query])
