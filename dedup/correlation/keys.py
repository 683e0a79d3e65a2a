"""The keys of a block: of each item its most reliable bits, sorted, with the track and the place of each.

Where two copies of a recording differ, a whole item is mostly either right or wrong in many bits, so of two copies a
good part of the items is equal; unrelated tracks have few equal items, and next to none at one lag."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import SILENT, Counts
from dedup.store.items import Items

LOW_BITS = 6
"""Pairs of bits, from the lowest up, of which a key has both; of the other ten it has the higher one. With 8 the join
is three times as fast and loses 2 of 660 copies cut to overlap by 27 to 50 %; with 6 it loses none."""

KEY_BITS = 16 + LOW_BITS

MOST_OF_A_TRACK = 32
"""Places of one key in a track. A key that a track holds more often says nothing about where: loops and held notes."""

FEWEST_KEYS = 192
"""Keys that a track must have for its votes to be trusted; with fewer it is compared by the cascade. 757 parts of
copies with as many keys, cut at random places, have 5 votes or more with the whole other copy; of those with 128, 3
have too few."""

DIGIT_BITS = 8
"""Bits by which keys are sorted at a time."""

N_DIGITS, LAST_DIGIT = -(-KEY_BITS // DIGIT_BITS), (1 << DIGIT_BITS) - 1

WORDS = 1 << (KEY_BITS - 6)
"""Words of 64 keys."""

ROW_BITS, PLACE_BITS = 16, 24
"""Of a code. Tracks of more items (24 days of sound) have no votes, and a block has at most 4,096 rows."""

LAST_ROW, LAST_PLACE = (1 << ROW_BITS) - 1, (1 << PLACE_BITS) - 1

Codes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int32]


class Keys(NamedTuple):
    """The keys of a block, ascending; those of one value by row and place."""

    codes: Codes
    """Key, row and place (item of the track) of each, side by side from the highest bit down."""
    present: Codes
    """Which keys there are: bit `key % 64` of word `key // 64`, `[WORDS]`."""
    before: Numbers
    """Different keys below each word's, `[WORDS]`."""
    starts: Numbers
    """First code of each different key, and the number of codes."""
    usable: npt.NDArray[np.bool_]
    """Whether a row has enough keys, `[n_rows]`; the others have none here."""


def make_keys(items: Items, offsets: Counts) -> Keys:
    """The keys of a block. Row `r` is `items[offsets[r] : offsets[r + 1]]`."""
    codes = np.empty(len(items), np.uint64)
    codes = _sorted_by_key(codes[: write_codes(items, offsets, codes)])
    per_row = np.zeros(len(offsets) - 1, np.int64)
    codes = codes[: _drop_common(codes, per_row)]
    usable = per_row >= FEWEST_KEYS
    present, before = np.zeros(WORDS, np.uint64), np.zeros(WORDS, np.int32)
    starts = np.empty(len(codes) + 1, np.int32)
    n_codes, n_keys = _index(codes, usable, present, before, starts)
    return Keys(codes[:n_codes].copy(), present, before, starts[: n_keys + 1].copy(), usable)


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
def _drop_common(codes: Codes, per_row: Counts) -> int:
    """Drops the keys that their track holds more than MOST_OF_A_TRACK times; gives the number of codes left.

    Parameters:
        codes: ascending; output.
        per_row: output, zeros before: keys left of each row.
    """
    n = start = 0
    while start < len(codes):
        of_row, end = codes[start] >> np.uint64(PLACE_BITS), start + 1
        while end < len(codes) and codes[end] >> np.uint64(PLACE_BITS) == of_row:
            end += 1
        if end - start <= MOST_OF_A_TRACK:
            per_row[np.int64(of_row) & LAST_ROW] += end - start
            for i in range(start, end):
                codes[n] = codes[i]
                n += 1
        start = end
    return n


@jit
def _index(
    codes: Codes, usable: npt.NDArray[np.bool_], present: Codes, before: Numbers, starts: Numbers
) -> tuple[int, int]:
    """Drops the codes of rows that are not usable, and fills the rest of `Keys` (output, zeros before). Gives the
    number of codes, and of different keys."""
    n = n_keys = 0
    last = -1
    for code in codes:
        if not usable[np.int64(code >> np.uint64(PLACE_BITS)) & LAST_ROW]:
            continue
        key = int(np.int64(code >> np.uint64(ROW_BITS + PLACE_BITS)))
        if key != last:
            present[key >> 6] |= np.uint64(1) << np.uint64(key & 63)
            if key >> 6 != last >> 6:
                before[key >> 6] = n_keys
            starts[n_keys] = n
            n_keys, last = n_keys + 1, key
        codes[n] = code
        n += 1
    starts[n_keys] = n
    return n, n_keys
