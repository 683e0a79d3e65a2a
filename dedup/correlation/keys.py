"""The keys of a block: of each item its most reliable bits, sorted, with the track and the place of each.

Where two copies of a recording differ, a whole item is mostly either right or wrong in many bits, so of two copies a
good part of the items is equal; unrelated tracks have few equal items, and next to none at one lag."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import SILENT, Counts
from dedup.correlation.scoring import MIN_DISTINCT
from dedup.store.items import Items, n_distinct

LOW_BITS = 6
"""Pairs of bits, from the lowest up, of which a key has both; of the other ten it has the higher one. With 8 the join
is two to three times as fast and loses 2 of 660 copies that were cut to overlap by 27 to 50 %; with 6 none."""

KEY_BITS = 16 + LOW_BITS

MOST_OF_A_TRACK = 32
"""Places of one key in a track. A key that a track holds more often says nothing about where: loops and held notes."""

FEWEST_KEYS = 384
"""Keys that a track must have for its votes to be counted; with fewer, each counts by itself (`votes.vote_near`). Of
parts of copies that were cut at random places, to 192 keys, one in 800 has too few votes at one lag."""

DIGIT_BITS = 11
"""Bits by which keys are sorted at a time."""

N_DIGITS, LAST_DIGIT = -(-KEY_BITS // DIGIT_BITS), (1 << DIGIT_BITS) - 1

WORDS = 1 << (KEY_BITS - 6)
"""Words of 64 keys."""

NONE, FEW, MANY = range(3)
"""Kinds of rows, by their keys."""

NOT_FEW = 1 << 62

ROW_BITS, PLACE_BITS = 16, 24
"""Of a code. Tracks of more items (24 days of sound) have no votes, and a block has at most 4,096 rows."""

LAST_ROW, LAST_PLACE = (1 << ROW_BITS) - 1, (1 << PLACE_BITS) - 1

Codes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int32]


class Keys(NamedTuple):
    """The keys of a block, ascending; those of one value by row and place. A row votes with all its keys if it has
    FEWEST_KEYS, else each key counts by itself; one of fewer than MIN_DISTINCT different items, which nothing can
    match, has none."""

    codes: Codes
    """Key, row and place (item of the track) of each, side by side from the highest bit down."""
    present: Codes
    """Which keys there are: bit `key % 64` of word `key // 64`, `[WORDS]`."""
    before: Numbers
    """Different keys below each word's, `[WORDS]`."""
    starts: Numbers
    """First code of each different key, and the number of codes."""
    few: Codes
    """The codes of the rows that have too few keys, ascending; `codes` are those of the others."""
    n_few: Counts
    """How many of them each row has, `[n_rows]`; NOT_FEW for the others."""


def make_keys(items: Items, offsets: Counts, fewest: int | None = None) -> Keys:
    """The keys of a block. Row `r` is `items[offsets[r] : offsets[r + 1]]`; a row votes with all its keys if it has
    `fewest` or more, FEWEST_KEYS if that is not said."""
    codes = np.empty(len(items), np.uint64)
    codes = _sorted_by_key(codes[: write_codes(items, offsets, codes)])
    uncommon, different = np.zeros((2, len(offsets) - 1), np.int64)
    _count_by_row(codes, uncommon, different)
    kinds = np.where(uncommon >= (FEWEST_KEYS if fewest is None else fewest), MANY, FEW).astype(np.uint8)
    for row in np.flatnonzero(different < MIN_DISTINCT):
        if n_distinct(items[offsets[row] : offsets[row + 1]]) < MIN_DISTINCT:
            kinds[row] = NONE
    present, before = np.zeros(WORDS, np.uint64), np.zeros(WORDS, np.int32)
    starts, few = np.empty(len(codes) + 1, np.int32), np.empty(len(codes), np.uint64)
    n_few = np.where(kinds == FEW, 0, NOT_FEW)
    n_codes, n_keys, n = _index(codes, kinds, few, n_few, present, before, starts)
    return Keys(codes[:n_codes].copy(), present, before, starts[: n_keys + 1].copy(), few[:n].copy(), n_few)


@jit
def key_of(item: np.uint32) -> int:
    """The key of an item, KEY_BITS long: the higher bit of each of its 16 pairs, then the lower ones of the LOW_BITS
    lowest pairs. An item is 16 numbers of 0 to 3 in Gray code; noise changes the higher bits less."""
    higher, lower = _every_other(int(np.int64(item)) >> 1), _every_other(int(np.int64(item)))
    return higher << LOW_BITS | lower & ((1 << LOW_BITS) - 1)


@jit
def _every_other(bits: int) -> int:
    """Bits 0, 2, 4 … 30, side by side."""
    bits &= 0x55555555
    bits = (bits | bits >> 1) & 0x33333333
    bits = (bits | bits >> 2) & 0x0F0F0F0F
    bits = (bits | bits >> 4) & 0x00FF00FF
    return (bits | bits >> 8) & 0xFFFF


@jit
def write_codes(items: Items, offsets: Counts, codes: Codes) -> int:
    """Writes the code of each item that is not silent and not the one before it; gives their number."""
    n = 0
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        if end - start > LAST_PLACE:
            continue
        before = SILENT
        for i in range(start, end):
            if items[i] != before and items[i] != SILENT:
                code = (key_of(items[i]) << ROW_BITS | row) << PLACE_BITS | (i - start)
                codes[n] = np.uint64(code)
                n += 1
            before = items[i]
    return n


@jit
def _sorted_by_key(codes: Codes) -> Codes:
    """The codes by key; those of one key stay in their order. A radix sort, six times as fast as NumPy's."""
    there, back = codes, np.empty_like(codes)
    for digit in range(N_DIGITS):
        shift, ends = np.uint64(ROW_BITS + PLACE_BITS + digit * DIGIT_BITS), np.zeros((1 << DIGIT_BITS) + 1, np.int64)
        for code in there:
            ends[(np.int64(code >> shift) & LAST_DIGIT) + 1] += 1
        for i in range(1, len(ends)):
            ends[i] += ends[i - 1]
        for code in there:
            of = np.int64(code >> shift) & LAST_DIGIT
            back[ends[of]] = code
            ends[of] += 1
        there, back = back, there
    return there


@jit
def _end_of_track(codes: Codes, start: int) -> int:
    """The end of the codes that have the key and the row of the one at `start`."""
    of_row, end = codes[start] >> np.uint64(PLACE_BITS), start + 1
    while end < len(codes) and codes[end] >> np.uint64(PLACE_BITS) == of_row:
        end += 1
    return end


@jit
def _count_by_row(codes: Codes, uncommon: Counts, different: Counts) -> None:
    """Counts the keys of each row, without those that it holds more than MOST_OF_A_TRACK times, and its different keys.

    Parameters:
        codes: ascending.
        uncommon, different: output, zeros before.
    """
    start = 0
    while start < len(codes):
        row, end = np.int64(codes[start] >> np.uint64(PLACE_BITS)) & LAST_ROW, _end_of_track(codes, start)
        different[row] += 1
        if end - start <= MOST_OF_A_TRACK:
            uncommon[row] += end - start
        start = end


@jit
def _index(
    codes: Codes,
    kinds: npt.NDArray[np.uint8],
    few: Codes,
    n_few: Counts,
    present: Codes,
    before: Numbers,
    starts: Numbers,
) -> tuple[int, int, int]:
    """Sorts out the codes by the kind of their row and fills `Keys`. Gives the number of codes of rows with MANY keys,
    of different keys among them, and of codes of rows with FEW. A key that a track holds more than MOST_OF_A_TRACK
    times is dropped if the track has MANY; else its first places are kept.

    Parameters:
        codes: ascending; output: those of rows with MANY keys, in front.
        kinds: NONE, FEW or MANY for each row.
        few, starts: output, as in `Keys`.
        n_few, present, before: output, as in `Keys`; zeros before, except NOT_FEW.
    """
    n = n_keys = n_of_few = start = 0
    last = -1
    while start < len(codes):
        first, end = start, _end_of_track(codes, start)
        start = end
        key = int(np.int64(codes[first] >> np.uint64(ROW_BITS + PLACE_BITS)))
        row = np.int64(codes[first] >> np.uint64(PLACE_BITS)) & LAST_ROW
        if kinds[row] == FEW:
            for i in range(first, min(end, first + MOST_OF_A_TRACK)):
                few[n_of_few] = codes[i]
                n_of_few, n_few[row] = n_of_few + 1, n_few[row] + 1
        if kinds[row] != MANY or end - first > MOST_OF_A_TRACK:
            continue
        if key != last:
            present[key >> 6] |= np.uint64(1) << np.uint64(key & 63)
            if key >> 6 != last >> 6:
                before[key >> 6] = n_keys
            starts[n_keys] = n
            n_keys, last = n_keys + 1, key
        for i in range(first, end):
            codes[n] = codes[i]
            n += 1
    starts[n_keys] = n
    return n, n_keys, n_of_few
