"""Counting by planes of bits: the compiled loops behind the histograms.

A plane holds one bit of every item, 64 items a word. The bits in which 64 codes differ from a query's are added up by logical operations on
whole words, as an adder of a processor does, and the bits of a word are counted at once. No distance is written down, and no counter is
looked up by one: what is left is what every processor does several words at a time.

Harley and Seal's counting of bits, in Warren, "Hacker's Delight", 2nd edition, section 5-1, goes over one array; here it goes over planes.
"""

from __future__ import annotations

from concurrent.futures import Executor

import numba
import numpy as np

from evaluation.lanes import LANES, aligned_zeros, filled, load, majority, popcounts, some, store, total, without
from evaluation.relevance import shares

WORDS = 64  # words of a plane that are worked on at a time, 4,096 items: the planes and the sums of 48 bits stay in the first-level cache
ADDED = 16  # planes that are added at a time
TOGETHER = 32  # queries that a block is compared with before the next one is read
KEPT = 6  # planes of a sum that `_add` works on: sums up to 63
EVERY = np.uint64(0xFFFFFFFFFFFFFFFF)


def planes_of(rows: np.ndarray, order: np.ndarray, bits: int, pool: Executor) -> np.ndarray:
    """The first `bits` bits of `rows` (W, n), items in `order` (n,), as planes (B, bits * WORDS), zero-padded to whole blocks.

    Bit i of word w of a plane in block b is of item 64 * (WORDS * b + w) + i. The threads of `pool` share the blocks.
    """
    blocks = -(-len(order) // (64 * WORDS))
    planes = aligned_zeros(blocks * bits * WORDS).reshape(blocks, bits * WORDS)

    def fill(part: slice) -> None:
        _transpose(rows, order[64 * WORDS * part.start : 64 * WORDS * part.stop], bits, planes[part])

    list(pool.map(fill, shares(blocks)))
    return planes


@numba.njit("(uint64[:, ::1], int64[::1], int64, uint64[:, ::1])", nogil=True, cache=True)
def _transpose(rows, order, bits, planes):
    items, gathered = len(order), np.zeros(64, np.uint64)
    for start in range(0, items, 64):
        block, word = start // (64 * WORDS), start // 64 % WORDS
        for row in range(len(rows)):
            gathered[:] = 0
            for item in range(min(64, items - start)):
                gathered[item] = rows[row, order[start + item]]
            for bit in range(64 * row, min(64 * row + 64, bits)):
                found = np.uint64(0)
                for item in range(64):
                    found |= ((gathered[item] >> np.uint64(bit % 64)) & np.uint64(1)) << np.uint64(item)
                planes[block, bit * WORDS + word] = found


@numba.njit("uint64[:, ::1](uint64[:, ::1], int64)", nogil=True, cache=True)
def flips_of(rows, bits):
    """The first `bits` bits of `rows` (W, n) as words (n, bits) of ones or of zeros: a plane, exclusive or that, is where items differ."""
    flips = np.zeros((rows.shape[1], bits), np.uint64)
    for item in range(rows.shape[1]):
        for row in range(len(rows)):
            word, first = rows[row, item], 64 * row
            for bit in range(min(64, bits - first)):
                flips[item, first + bit] = np.uint64(0) - (word >> np.uint64(bit) & np.uint64(1))
    return flips


@numba.njit(inline="always")
def _full_adder(a, b, c):
    """Sum and carry of three bits."""
    return a ^ b ^ c, majority(a, b, c)


@numba.njit(inline="always")
def _flipped(planes, flips, plane, word):
    return load(planes, plane * WORDS + word) ^ filled(flips[plane])


@numba.njit("(uint64[:, ::1], int64, int64, uint64[:, ::1], int64, uint64[::1], uint64[::1])", nogil=True, cache=True)
def _add(planes, block, first, flips, query, sums, over):
    """Add ADDED planes, flipped, to the first KEPT planes of `sums`, and write what is carried beyond them to the plane `over`."""
    p = planes[block, first * WORDS : (first + ADDED) * WORDS]
    f = flips[query, first : first + ADDED]
    for w in range(0, WORDS, LANES):
        ones, twos, fours, eights = load(sums, w), load(sums, WORDS + w), load(sums, 2 * WORDS + w), load(sums, 3 * WORDS + w)
        sixteens, thirties = load(sums, 4 * WORDS + w), load(sums, 5 * WORDS + w)
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
        store(sums, 5 * WORDS + w, thirties ^ carry)
        store(over, w, carry & thirties)


@numba.njit("(uint64[::1], uint64[::1])", nogil=True, cache=True)
def _carry_on(over, sums):
    """Add the plane `over` to the planes of `sums` after the first KEPT."""
    for w in range(0, WORDS, LANES):
        carry = load(over, w)
        for place in range(KEPT * WORDS + w, len(sums), WORDS):
            plane = load(sums, place)
            store(sums, place, plane ^ carry)
            carry = carry & plane


@numba.njit("int64(uint64[::1], int64, uint64[::1], int64, int64)", nogil=True, cache=True)
def _split(sums, place, masks, which, target):
    """Part the items of a mask by three bits of their sums into eight masks from `target` on; bit i of the result: the i-th has any."""
    s, m, t = place * WORDS, which * WORDS, target * WORDS
    any0 = any1 = any2 = any3 = any4 = any5 = any6 = any7 = filled(np.uint64(0))
    for w in range(0, WORDS, LANES):
        a, b, c, mask = load(sums, s + w), load(sums, s + WORDS + w), load(sums, s + 2 * WORDS + w), load(masks, m + w)
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
    found = some(any0) | some(any1) << 1 | some(any2) << 2 | some(any3) << 3
    return found | some(any4) << 4 | some(any5) << 5 | some(any6) << 6 | some(any7) << 7


@numba.njit("(uint64[::1], uint64[::1], int64, uint64[::1], int64)", nogil=True, cache=True)
def _count_eight(sums, masks, which, counts, row):
    """Count, in lanes from `row` on, the items of a mask that have each set of the three lowest bits of their sums among their bits."""
    n0, n1, n2, n3 = load(counts, row), load(counts, row + LANES), load(counts, row + 2 * LANES), load(counts, row + 3 * LANES)
    n4, n5, n6, n7 = (
        load(counts, row + 4 * LANES),
        load(counts, row + 5 * LANES),
        load(counts, row + 6 * LANES),
        load(counts, row + 7 * LANES),
    )
    for w in range(0, WORDS, LANES):
        a, b, c, mask = load(sums, w), load(sums, WORDS + w), load(sums, 2 * WORDS + w), load(masks, which * WORDS + w)
        with_a, with_b = mask & a, mask & b
        with_both = with_a & b
        n0, n1, n2, n3 = n0 + popcounts(mask), n1 + popcounts(with_a), n2 + popcounts(with_b), n3 + popcounts(with_both)
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


@numba.njit("(uint64[::1], int64, uint64[::1], int64, uint64[::1], int64)", nogil=True, cache=True)
def _count_mask(sums, place, masks, which, counts, row):
    """Count the items of a mask at each sum, in lanes from `row` on; they have the bits of their sums from `place` + 3 on in common."""
    target = len(masks) // WORDS - 8 * (place // 3)
    found = _split(sums, place, masks, which, target)
    for part in range(8):
        if found >> part & 1:
            first = row + (part << place) * LANES
            if place == 3:
                _count_eight(sums, masks, target + part, counts, first)
            else:
                _count_mask(sums, place - 3, masks, target + part, counts, first)


@numba.njit("boolean(uint64[::1], int64)", nogil=True, cache=True)
def _any(masks, which):
    found = filled(np.uint64(0))
    for w in range(which * WORDS, (which + 1) * WORDS, LANES):
        found = found | load(masks, w)
    return some(found) != 0


@numba.njit("(uint64[:, ::1], int64, uint64[:, ::1], int64, boolean, int64, uint64[::1])", nogil=True, cache=True)
def _find_relevant(planes, block, flips, query, single, levels, masks):
    """The items of a block that share 0, 1, ... labels with a query, or from `levels` - 1 on, as masks; planes are of labels.

    single: the planes are the bits of one label, which is shared where all are equal; else each plane is a label.
    """
    masks[:WORDS] = EVERY
    masks[WORDS : levels * WORDS] = EVERY if single else np.uint64(0)
    p, seen = planes[block], 0
    for label in range(flips.shape[1]):
        flip = flips[query, label]
        if single:
            for w in range(0, WORDS, LANES):
                store(masks, WORDS + w, without(load(masks, WORDS + w), load(p, label * WORDS + w) ^ filled(flip)))
        elif flip:
            seen += 1
            for level in range(min(seen, levels - 1), 0, -1):
                for w in range(level * WORDS, (level + 1) * WORDS, LANES):
                    one_less, plane = load(masks, w - WORDS), load(p, (label - level) * WORDS + w)
                    store(masks, w, load(masks, w) | (one_less & plane))
    for w in range(0, (levels - 1) * WORDS, LANES):  # from at least so many labels to exactly that
        store(masks, w, without(load(masks, w), load(masks, w + WORDS)))


@numba.njit("(uint64[::1], int64[:, ::1])", nogil=True, cache=True)
def _exactly(lanes, counts):
    """Add to counts (levels, distances) what `_count_eight` counted in lanes, there for each set of bits and here for each sum."""
    levels, distances = counts.shape
    for level in range(levels):
        found = counts[level]
        for distance in range(distances):
            found[distance] = total(load(lanes, (level * distances + distance) * LANES))
        for step in (1, 2, 4):
            for distance in range(distances):
                if not distance & step:
                    found[distance] -= found[distance + step]


@numba.njit("(uint64[:, ::1], uint64[:, ::1], uint64[:, ::1], uint64[:, ::1], boolean, int64, int64[:, :, ::1])", nogil=True, cache=True)
def count(planes, flips, label_planes, label_flips, single, places, counts):
    """Count a part of the queries, flips (C, bits) and (C, label bits), against a database, planes (B, bits * WORDS) and of labels.

    counts (C, levels, distances): the items at each distance that share 0, 1, ... labels, or from levels - 1 on; the distances are a
    multiple of 8, for which `places` planes, a multiple of 3, are enough.
    """
    queries, levels, distances = counts.shape
    sums, over = aligned_zeros(places * WORDS), aligned_zeros(WORDS)
    masks = aligned_zeros((levels + 8 * (places // 3 - 1)) * WORDS)
    lanes = aligned_zeros(TOGETHER * levels * distances * LANES).reshape(TOGETHER, levels * distances * LANES)
    for start in range(0, queries, TOGETHER):
        lanes[:] = 0
        for block in range(len(planes)):
            for query in range(start, min(start + TOGETHER, queries)):
                sums[:] = 0
                for first in range(0, flips.shape[1], ADDED):
                    _add(planes, block, first, flips, query, sums, over)
                    _carry_on(over, sums)
                _find_relevant(label_planes, block, label_flips, query, single, levels, masks)
                for level in range(levels):
                    if _any(masks, level):
                        _count_mask(sums, places - 3, masks, level, lanes[query - start], level * distances * LANES)
        for query in range(start, min(start + TOGETHER, queries)):
            _exactly(lanes[query - start], counts[query])
