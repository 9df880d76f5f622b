"""Counting by planes of bits: the compiled loops behind the histograms.

A plane holds one bit of every item, 64 items a word. The bits in which 64 codes differ from a query's are added up by logical operations on
whole words, as an adder of a processor does, and the bits of a word are counted at once. No distance is written down, and no counter is
looked up by one: what is left is what every processor does several words at a time.

Harley and Seal's counting of bits, in Warren, "Hacker's Delight", 2nd edition, section 5-1, goes over one array; here it goes over planes.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import intrinsic

WORDS = 64  # words of a plane that are worked on at a time, 4,096 items: the planes and the sums of 48 bits stay in the first-level cache
ADDED = 16  # planes that are added at a time
KEPT = 6  # planes of a sum that `_add` works on: sums up to 63
EVERY = np.uint64(0xFFFFFFFFFFFFFFFF)


@intrinsic
def popcount(typing_context, word):
    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return numba.uint64(numba.uint64), generate


def planes_of(rows: np.ndarray, order: np.ndarray, bits: int) -> np.ndarray:
    """The first `bits` bits of `rows` (W, n), items in `order` (n,), as planes (B, bits * WORDS), zero-padded to whole blocks.

    Bit i of word w of a plane in block b is of item 64 * (WORDS * b + w) + i.
    """
    planes = np.zeros((-(-len(order) // (64 * WORDS)), bits * WORDS), np.uint64)
    _transpose(rows, order, bits, planes)
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
        for bit in range(min(bits, 64 * len(rows))):
            if rows[bit // 64, item] >> np.uint64(bit % 64) & np.uint64(1):
                flips[item, bit] = EVERY
    return flips


@numba.njit(inline="always")
def _full_adder(a, b, c):
    """Sum and carry of three bits; the carry is `a` where `a` and `b` agree, else `c`."""
    differ = a ^ b
    return differ ^ c, a ^ (differ & (a ^ c))


@numba.njit("(uint64[:, ::1], int64, int64, uint64[:, ::1], int64, uint64[::1], uint64[::1])", nogil=True, cache=True)
def _add(planes, block, first, flips, query, sums, over):
    """Add ADDED planes, flipped, to the first KEPT planes of `sums`, and write what is carried beyond them to the plane `over`."""
    p, f = planes[block, first * WORDS : (first + ADDED) * WORDS], flips[query, first : first + ADDED]
    f0, f1, f2, f3, f4, f5, f6, f7 = f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]
    f8, f9, f10, f11, f12, f13, f14, f15 = f[8], f[9], f[10], f[11], f[12], f[13], f[14], f[15]
    s = sums[: KEPT * WORDS]
    for w in range(WORDS):
        ones, twos, fours, eights = s[w], s[WORDS + w], s[2 * WORDS + w], s[3 * WORDS + w]
        sixteens, thirties = s[4 * WORDS + w], s[5 * WORDS + w]
        ones, a = _full_adder(ones, p[w] ^ f0, p[WORDS + w] ^ f1)
        ones, b = _full_adder(ones, p[2 * WORDS + w] ^ f2, p[3 * WORDS + w] ^ f3)
        twos, c = _full_adder(twos, a, b)
        ones, a = _full_adder(ones, p[4 * WORDS + w] ^ f4, p[5 * WORDS + w] ^ f5)
        ones, b = _full_adder(ones, p[6 * WORDS + w] ^ f6, p[7 * WORDS + w] ^ f7)
        twos, d = _full_adder(twos, a, b)
        fours, e = _full_adder(fours, c, d)
        ones, a = _full_adder(ones, p[8 * WORDS + w] ^ f8, p[9 * WORDS + w] ^ f9)
        ones, b = _full_adder(ones, p[10 * WORDS + w] ^ f10, p[11 * WORDS + w] ^ f11)
        twos, c = _full_adder(twos, a, b)
        ones, a = _full_adder(ones, p[12 * WORDS + w] ^ f12, p[13 * WORDS + w] ^ f13)
        ones, b = _full_adder(ones, p[14 * WORDS + w] ^ f14, p[15 * WORDS + w] ^ f15)
        twos, d = _full_adder(twos, a, b)
        fours, a = _full_adder(fours, c, d)
        eights, carry = _full_adder(eights, e, a)
        s[w], s[WORDS + w], s[2 * WORDS + w], s[3 * WORDS + w] = ones, twos, fours, eights
        s[4 * WORDS + w] = sixteens ^ carry
        carry &= sixteens
        s[5 * WORDS + w] = thirties ^ carry
        over[w] = carry & thirties


@numba.njit("(uint64[::1], uint64[::1])", nogil=True, cache=True)
def _carry_on(over, sums):
    """Add the plane `over` to the planes of `sums` after the first KEPT."""
    for start in range(KEPT * WORDS, len(sums), WORDS):
        plane = sums[start : start + WORDS]
        for w in range(WORDS):
            value = plane[w]
            plane[w] = value ^ over[w]
            over[w] &= value


@numba.njit("int64(uint64[::1], int64, uint64[::1], int64, int64)", nogil=True, cache=True)
def _split(sums, place, masks, which, target):
    """Part the items of a mask by three bits of their sums into eight masks from `target` on; bit i of the result: the i-th has any."""
    s = sums[place * WORDS : (place + 3) * WORDS]
    mask, m = masks[which * WORDS : (which + 1) * WORDS], masks[target * WORDS : (target + 8) * WORDS]
    any0 = any1 = any2 = any3 = any4 = any5 = any6 = any7 = np.uint64(0)
    for w in range(WORDS):
        a, b, c = s[w], s[WORDS + w], s[2 * WORDS + w]
        with_c, without = mask[w] & c, mask[w] & ~c
        m0, m1, m2, m3 = without & ~b & ~a, without & ~b & a, without & b & ~a, without & b & a
        m4, m5, m6, m7 = with_c & ~b & ~a, with_c & ~b & a, with_c & b & ~a, with_c & b & a
        m[w], m[WORDS + w], m[2 * WORDS + w], m[3 * WORDS + w] = m0, m1, m2, m3
        m[4 * WORDS + w], m[5 * WORDS + w], m[6 * WORDS + w], m[7 * WORDS + w] = m4, m5, m6, m7
        any0, any1, any2, any3 = any0 | m0, any1 | m1, any2 | m2, any3 | m3
        any4, any5, any6, any7 = any4 | m4, any5 | m5, any6 | m6, any7 | m7
    found = (any0 != 0) | (any1 != 0) << 1 | (any2 != 0) << 2 | (any3 != 0) << 3
    return found | (any4 != 0) << 4 | (any5 != 0) << 5 | (any6 != 0) << 6 | (any7 != 0) << 7


@numba.njit("(uint64[::1], uint64[::1], int64, int64[:, :, ::1], int64, int64, int64)", nogil=True, cache=True)
def _count_eight(sums, masks, which, counts, query, level, first):
    """Count the items of a mask that have each set of the three lowest bits of their sums, whatever the others of these are."""
    s, mask = sums[: 3 * WORDS], masks[which * WORDS : (which + 1) * WORDS]
    n0 = n1 = n2 = n3 = n4 = n5 = n6 = n7 = np.uint64(0)
    for w in range(WORDS):
        a, b, c, m = s[w], s[WORDS + w], s[2 * WORDS + w], mask[w]
        n0 += popcount(m)
        n1 += popcount(m & a)
        n2 += popcount(m & b)
        n3 += popcount(m & a & b)
        n4 += popcount(m & c)
        n5 += popcount(m & a & c)
        n6 += popcount(m & b & c)
        n7 += popcount(m & a & b & c)
    row = counts[query, level, first : first + 8]
    row[0] += n0
    row[1] += n1
    row[2] += n2
    row[3] += n3
    row[4] += n4
    row[5] += n5
    row[6] += n6
    row[7] += n7


@numba.njit("(uint64[::1], int64, uint64[::1], int64, int64[:, :, ::1], int64, int64, int64)", nogil=True, cache=True)
def _count_mask(sums, place, masks, which, counts, query, level, first):
    """Count the items of a mask at each sum; `first` are the bits of their sums from `place` + 3 on, which they have in common."""
    if place == 0:
        _count_eight(sums, masks, which, counts, query, level, 8 * first)
        return
    target = len(masks) // WORDS - 8 * (place // 3)
    found = _split(sums, place, masks, which, target)
    for part in range(8):
        if found >> part & 1:
            _count_mask(sums, place - 3, masks, target + part, counts, query, level, 8 * first + part)


@numba.njit("boolean(uint64[::1], int64)", nogil=True, cache=True)
def _any(masks, which):
    found, mask = np.uint64(0), masks[which * WORDS : (which + 1) * WORDS]
    for w in range(WORDS):
        found |= mask[w]
    return found != 0


@numba.njit("(uint64[:, ::1], int64, uint64[:, ::1], int64, boolean, int64, uint64[::1])", nogil=True, cache=True)
def _find_relevant(planes, block, flips, query, single, levels, masks):
    """The items of a block that share at least 1..levels - 1 labels with a query, as masks 1..levels - 1; planes are of labels.

    single: the planes are the bits of one label, which is shared where all are equal; else each plane is a label.
    """
    masks[WORDS : levels * WORDS] = EVERY if single else np.uint64(0)
    seen = 0
    for label in range(flips.shape[1]):
        plane, flip = planes[block, label * WORDS : (label + 1) * WORDS], flips[query, label]
        if single:
            mask = masks[WORDS : 2 * WORDS]
            for w in range(WORDS):
                mask[w] &= ~(plane[w] ^ flip)
        elif flip:
            seen += 1
            for level in range(min(seen, levels - 1), 0, -1):
                one_less, mask = masks[(level - 1) * WORDS : level * WORDS], masks[level * WORDS : (level + 1) * WORDS]
                for w in range(WORDS):
                    mask[w] |= one_less[w] & plane[w]


@numba.njit("void(int64[:, ::1])", nogil=True, cache=True)
def _exactly(counts):
    """From the counts (levels, distances) of `_count_eight`, and of at least so many labels, to those of exactly that."""
    levels, distances = counts.shape
    for level in range(levels):
        for step in (1, 2, 4):
            for distance in range(distances):
                if not distance & step:
                    counts[level, distance] -= counts[level, distance + step]
        if level:
            for distance in range(distances):
                counts[level - 1, distance] -= counts[level, distance]


@numba.njit("(uint64[:, ::1], uint64[:, ::1], uint64[:, ::1], uint64[:, ::1], boolean, int64, int64[:, :, ::1])", nogil=True, cache=True)
def count(planes, flips, label_planes, label_flips, single, places, counts):
    """Count a part of the queries, flips (C, bits) and (C, label bits), against a database, planes (B, bits * WORDS) and of labels.

    counts (C, levels, distances): the items at each distance that share 0, 1, ... labels, or from levels - 1 on; the distances are a
    multiple of 8, for which `places` planes, a multiple of 3, are enough.
    """
    levels = counts.shape[1]
    sums, over = np.empty(places * WORDS, np.uint64), np.empty(WORDS, np.uint64)
    masks = np.full((levels + 8 * (places // 3 - 1)) * WORDS, EVERY)
    for block in range(len(planes)):
        for query in range(len(flips)):
            sums[:] = 0
            for first in range(0, flips.shape[1], ADDED):
                _add(planes, block, first, flips, query, sums, over)
                _carry_on(over, sums)
            _count_mask(sums, places - 3, masks, 0, counts, query, 0, 0)
            _find_relevant(label_planes, block, label_flips, query, single, levels, masks)
            for level in range(1, levels):
                if _any(masks, level):
                    _count_mask(sums, places - 3, masks, level, counts, query, level, 0)
    for query in range(len(flips)):
        _exactly(counts[query])
