"""The keys of a block: of each item its most reliable bits, sorted, with the track and the place of each.

Where two copies of a recording differ, a whole item is mostly either right or wrong in many bits, so of two copies a
good part of the items is equal; unrelated tracks have few equal items, and next to none at one lag."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

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

DIGIT_BITS = KEY_BITS // 2
"""Bits by which keys are sorted at a time."""

LAST_DIGIT = np.uint64((1 << DIGIT_BITS) - 1)

WORDS = 1 << (KEY_BITS - 6)
"""Words of 64 keys."""

NONE, FEW, MANY = range(3)
"""Kinds of rows, by their keys."""

NOT_FEW = 1 << 62

ROW_BITS, PLACE_BITS = 16, 24
"""Of a code. Tracks of more items (24 days of sound) have no votes, and a block has at most 4,096 rows."""

LAST_ROW, LAST_PLACE = (1 << ROW_BITS) - 1, (1 << PLACE_BITS) - 1

ONE, PLACE, ROW, TO_LOW, TO_HIGH = map(
    np.uint64, (1, PLACE_BITS, LAST_ROW, ROW_BITS + PLACE_BITS, ROW_BITS + PLACE_BITS + DIGIT_BITS)
)
IN_WORD, LAST_OF_WORD = map(np.uint64, (6, 63))
"""Constants of the innermost loops, which count in `uint64`: a signed index is looked at each time, as -1 is the last.
"""

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
    room = _scratch.for_items(len(items))
    codes = room.codes[: write_codes(items, offsets, room.codes)]
    _sort_by_key(codes, room.others)
    uncommon, different = np.zeros((2, len(offsets) - 1), np.int64)
    _count_by_row(codes, uncommon, different)
    kinds = np.where(uncommon >= (FEWEST_KEYS if fewest is None else fewest), MANY, FEW).astype(np.uint8)
    for row in np.flatnonzero(different < MIN_DISTINCT):
        if n_distinct(items[offsets[row] : offsets[row + 1]]) < MIN_DISTINCT:
            kinds[row] = NONE
    present, before = np.zeros(WORDS, np.uint64), np.zeros(WORDS, np.int32)
    n_few = np.where(kinds == FEW, 0, NOT_FEW)
    n_codes, n_keys, n = _index(codes, kinds, room.others, n_few, present, before, room.starts)
    return Keys(
        _copied(codes[:n_codes]), present, before, _copied(room.starts[: n_keys + 1]), _copied(room.others[:n]), n_few
    )


LARGE = 1 << 22
"""Bytes from which NumPy asks the system for large pages. Those of 4 KiB cost half of what sorting does."""


class _Scratch(threading.local):
    """What `make_keys` writes to, kept from block to block."""

    def __init__(self) -> None:
        self.codes, self.others = np.empty((2, 0), np.uint64)
        self.starts = np.empty(0, np.int32)

    def for_items(self, n: int) -> _Scratch:
        """With room for so many items."""
        if len(self.codes) < n:
            self.codes, self.others = (np.empty(max(n, LARGE // 8), np.uint64) for _ in range(2))
            self.starts = np.empty(max(n + 1, LARGE // 4), np.int32)
        return self


_scratch = _Scratch()


def _copied(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy, in large pages if it takes more than a quarter of what would have them anyway."""
    whole = np.empty(
        len(values) if 4 * values.nbytes < LARGE else max(len(values), LARGE // values.itemsize), values.dtype
    )
    whole[: len(values)] = values
    return whole[: len(values)]


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
def _sort_by_key(codes: Codes, other: Codes) -> None:
    """Sorts the codes by key; those of one key stay in their order. A radix sort, ten times as fast as NumPy's.

    Parameters:
        codes: output.
        other: scratch, as long or longer.
    """
    low, high = np.zeros((2, (1 << DIGIT_BITS) + 1), np.int64)
    for code in codes:
        low[(code >> TO_LOW & LAST_DIGIT) + ONE] += 1
        high[(code >> TO_HIGH) + ONE] += 1
    for i in range(1, len(low)):
        low[i] += low[i - 1]
        high[i] += high[i - 1]
    for code in codes:
        digit = code >> TO_LOW & LAST_DIGIT
        other[np.uint64(low[digit])] = code
        low[digit] += 1
    for code in other[: len(codes)]:
        digit = code >> TO_HIGH
        codes[np.uint64(high[digit])] = code
        high[digit] += 1


@jit
def _end_of_track(codes: Codes, start: np.uint64) -> np.uint64:
    """The end of the codes that have the key and the row of the one at `start`."""
    of_row, end = codes[start] >> PLACE, start + ONE
    while end < len(codes) and codes[end] >> PLACE == of_row:
        end += ONE
    return end


@jit
def _count_by_row(codes: Codes, uncommon: Counts, different: Counts) -> None:
    """Counts the keys of each row, without those that it holds more than MOST_OF_A_TRACK times, and its different keys.

    Parameters:
        codes: ascending.
        uncommon, different: output, zeros before.
    """
    start = np.uint64(0)
    while start < len(codes):
        row, end = codes[start] >> PLACE & ROW, _end_of_track(codes, start)
        different[row] += 1
        if end - start <= MOST_OF_A_TRACK:
            uncommon[row] += np.int64(end - start)
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
    n = n_of_few = start = np.uint64(0)
    n_keys, last = 0, np.uint64(1 << KEY_BITS)
    while start < len(codes):
        first, end = start, _end_of_track(codes, start)
        start = end
        key, row = codes[first] >> TO_LOW, codes[first] >> PLACE & ROW
        if kinds[row] == FEW:
            for i in range(first, min(end, first + np.uint64(MOST_OF_A_TRACK))):
                few[n_of_few] = codes[i]
                n_of_few += ONE
                n_few[row] += 1
        if kinds[row] != MANY or end - first > MOST_OF_A_TRACK:
            continue
        if key != last:
            if key >> IN_WORD != last >> IN_WORD:
                before[key >> IN_WORD] = n_keys
            present[key >> IN_WORD] |= ONE << (key & LAST_OF_WORD)
            starts[n_keys] = n
            n_keys, last = n_keys + 1, key
        for i in range(first, end):
            codes[n] = codes[i]
            n += ONE
    starts[n_keys] = n
    return int(n), n_keys, int(n_of_few)
