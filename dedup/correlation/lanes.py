"""Fingerprints of a block side by side, one in each lane of a vector register, and lag curves of 16 pairs at a time.

One fingerprint `x` is compared with 16 others `y` at once. The 16 stand side by side: row `i` holds item `i` of each.
A *step* takes one item of `x`, copies it into all lanes, and counts the bits in which it differs from a row:

            y0     y1     y2          y15
    row 0  y0[0]  y1[0]  y2[0]  …   y15[0]     ◀─ x[lag + 0], the same in all lanes
    row 1  y0[1]  y1[1]  y2[1]  …   y15[1]     ◀─ x[lag + 1]
    row 2  y0[2]  y1[2]  y2[2]  …   y15[2]     ◀─ x[lag + 2]
             ▼      ▼      ▼           ▼
          errors of 16 pairs at this lag: no sum across lanes, no load that crosses a cache line

A row stays in its register for 16 lags, and the 16 sums stay in theirs for all rows: 32 registers, and per step three
vector instructions (exclusive or with a broadcast item, count, add). That is the limit of the processor; no
arrangement has fewer. Ends need no masks: `x` has zeros in front and behind, an item that meets them counts its own
bits, and these are subtracted again, from running sums. Where fingerprints of one group differ in length, the rows
that only some of them have are masked; groups are of neighbours in length, so these are few.

The same code takes every k-th lag and every m-th item for the cascade: `x` is thinned to every k-th item, rows are
every m-th item, and from row to row one goes `m / k` items on in the thinned `x`, a power of two."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import Counts
from dedup.correlation.llvm import LAGS, LANES
from dedup.correlation.vector import add_bit_errors, lag_errors

PADDING = LAGS
"""Zeros before and behind each thinned fingerprint."""

Words = npt.NDArray[np.uint32]
Lane = npt.NDArray[np.int32]


class Lanes(NamedTuple):
    """A block, prepared for either side of a comparison. Positions count in `order`."""

    order: Counts
    """Row of the block at each position: by length, of equals the one with the larger items first."""
    n_items: Counts
    """Of the fingerprint at each position."""
    thin: Words
    """All thinned fingerprints, each between two runs of PADDING zeros."""
    thin_start: Counts
    """Where the fingerprint at a position begins in `thin`."""
    n_thin: Counts
    """Thinned items at each position."""
    first: Counts
    """Position of a group's first lane; one more at the end."""
    shift: Counts
    """Of a group: from row to row go `2 ** shift` thinned items."""
    row_start: Counts
    """Where a group's rows begin in `rows`; one more at the end. Its running sums begin one row later for each group
    before it."""
    n_full: Counts
    """Rows of a group that all its fingerprints have."""
    lane_rows: Lane
    """Rows that each lane of a group has, `[n_groups, LANES]`; lanes without a fingerprint count as the longest."""
    rows: Words
    """Every m-th item of each group's fingerprints, side by side, `[n_rows, LANES]`; 0 behind their ends."""
    running: Words
    """Bits set in the rows before each row, `[n_rows + n_groups, LANES]`: a row more than the group has."""


class Curves(NamedTuple):
    """Room for the lag curves of a group, and for what is found on them."""

    curve: Words
    """Bit errors at each lag, `[n_lags, LANES]`."""
    spans: Lane
    """Rows that were compared at each lag, from and to before, `[2, n_lags]`."""
    ranges: Lane
    """Of each lane: first and last lag that count for its average, first and last that may be chosen; `[4, LANES]`."""
    needed: npt.NDArray[np.float32]
    """Of each lane: as in `vector.mark_lanes`, `[3, LANES]`."""
    marks: npt.NDArray[np.uint16]
    """Which lanes stand out at each lag, a bit each."""
    picked: Lane
    """Of each lane: -1 where the pair is none to be stored; else, where the comparison is exact, the index of its best
    lag."""
    peaks: npt.NDArray[np.float64]
    """Of one lane: lags that stand out, and how clearly, `[n_lags, 2]`."""
    errors: Counts
    """Of one lane: bit errors at each lag."""


def make_curves(n_lags: int) -> Curves:
    """For so many lags."""
    room = n_lags + LAGS
    return Curves(
        np.empty((room, LANES), np.uint32),
        np.empty((2, room), np.int32),
        np.empty((4, LANES), np.int32),
        np.empty((3, LANES), np.float32),
        np.empty(room, np.uint16),
        np.empty(LANES, np.int32),
        np.empty((room, 2), np.float64),
        np.empty(room, np.int64),
    )


SortKey = tuple[int, bytes]


def pack(items: Words, offsets: Counts, lag_step: int, rows_aimed_at: int) -> tuple[Lanes, list[SortKey]]:
    """The fingerprints `items[offsets[r] : offsets[r + 1]]` for a comparison at every `lag_step`-th lag. A fingerprint
    gives every item (`rows_aimed_at` 0) or so many that `rows_aimed_at` to twice as many rows are left, if it has them:
    every m-th, m being `lag_step` times a power of two. Also gives the keys of their order, ascending."""
    lengths = np.diff(offsets)
    keys = [sort_key(items[offsets[row] : offsets[row + 1]]) for row in range(len(lengths))]
    order = np.array(sorted(range(len(lengths)), key=keys.__getitem__), np.int64)
    n_items = lengths[order].astype(np.int64)
    shifts = np.array([_shift(int(n), lag_step, rows_aimed_at) for n in n_items], np.int64)
    n_thin = -(-n_items // lag_step)
    thin_start = np.cumsum(n_thin + 2 * PADDING) - n_thin - PADDING
    thin = _aligned(int(np.sum(n_thin + 2 * PADDING)))
    first = _groups(shifts)
    n_rows = -(-n_thin >> shifts)
    last = first[1:] - 1
    row_start = np.concatenate([[0], np.cumsum(n_rows[last])]).astype(np.int64)
    lane_rows = np.repeat(n_rows[last], LANES).astype(np.int32).reshape(-1, LANES)
    rows = _aligned(int(row_start[-1]) * LANES).reshape(-1, LANES)
    running = _aligned(int(row_start[-1] + len(first) - 1) * LANES).reshape(-1, LANES)
    _fill(items, offsets[order], n_items, lag_step, thin, thin_start)
    _fill_groups(thin, thin_start, n_thin, shifts, first, row_start, lane_rows, rows, running)
    lanes = Lanes(
        order, n_items, thin, thin_start, n_thin, first, shifts[first[:-1]], row_start, n_rows[first[:-1]], lane_rows,
        rows, running,
    )  # fmt: skip
    return lanes, [keys[row] for row in order]


def sort_key(items: Words) -> SortKey:
    """Orders fingerprints: of two, the one with the greater key is `x` (see `kernels.is_swapped`), in every block."""
    return len(items), (~items).astype(">u4").tobytes()


def _shift(n_items: int, lag_step: int, rows_aimed_at: int) -> int:
    shift = 0
    while rows_aimed_at and n_items >= 2 * rows_aimed_at * lag_step << shift:
        shift += 1
    return shift


def _groups(shifts: Counts) -> Counts:
    """Positions at which groups begin, and the end: each of at most LANES fingerprints of one shift."""
    if len(shifts) == 0:
        return np.zeros(1, np.int64)
    first = [0]
    for position in range(1, len(shifts)):
        if position - first[-1] == LANES or shifts[position] != shifts[first[-1]]:
            first.append(position)
    return np.array([*first, len(shifts)], np.int64)


def _aligned(n_words: int) -> Words:
    """Zeros that begin on a cache line."""
    room = np.zeros(n_words + 16, np.uint32)
    skipped = -room.ctypes.data % 64 // 4
    return room[skipped : skipped + n_words]


@jit
def _fill(items: Words, starts: Counts, n_items: Counts, lag_step: int, thin: Words, thin_start: Counts) -> None:
    for position in range(len(n_items)):
        for i in range(0, n_items[position], lag_step):
            thin[thin_start[position] + i // lag_step] = items[starts[position] + i]


@jit
def _fill_groups(
    thin: Words,
    thin_start: Counts,
    n_thin: Counts,
    shifts: Counts,
    first: Counts,
    row_start: Counts,
    lane_rows: Lane,
    rows: Words,
    running: Words,
) -> None:
    for group in range(len(first) - 1):
        sums = row_start[group] + group
        for position in range(first[group], first[group + 1]):
            lane, shift = position - first[group], shifts[position]
            n_rows = -(-n_thin[position] >> shift)
            lane_rows[group, lane] = n_rows
            for i in range(n_rows):
                rows[row_start[group] + i, lane] = thin[thin_start[position] + (i << shift)]
        for i in range(row_start[group + 1] - row_start[group]):
            for lane in range(LANES):
                item = rows[row_start[group] + i, lane]
                running[sums + i + 1, lane] = add_bit_errors(running[sums + i, lane], item, np.uint32(0))


@jit
def row_spans(n_thin: int, n_rows: int, shift: int, lowest: int, highest: int, spans: Lane) -> None:
    """The rows that meet an item of a thinned fingerprint of `n_thin` items at each lag: from `spans[0, lag - lowest]`
    to before `spans[1, lag - lowest]`, both 0 to `n_rows`. Beyond `highest` it goes on for LAGS - 1 lags."""
    firsts, lasts = spans[0], spans[1]
    for i in range(highest - lowest + LAGS):
        lag = lowest + i
        first = min(n_rows, max(0, -(lag >> shift)))
        firsts[i] = first
        lasts[i] = max(first, min(n_rows, ((n_thin - 1 - lag) >> shift) + 1))


@jit
def lane_curve(
    x: Lanes,
    position: int,
    y: Lanes,
    group: int,
    lowest: int,
    highest: int,
    spans: Lane,
    curve: Words,
    n_lanes: int = LANES,
) -> None:
    """Bit errors of a fingerprint of `x` and each of the first `n_lanes` of a group of `y` at the (thinned) lags from
    `lowest` to `highest`, both included: at `curve[lag - lowest, lane]`. `spans`, `int32[2, n]`, gets the lags'
    `row_spans`.

    `curve` and `spans` have room for LAGS - 1 lags more."""
    start, shift = x.thin_start[position] + lowest, y.shift[group]
    n_rows = int(y.lane_rows[group, n_lanes - 1])  # lanes are in the order of their length
    row_start, n_full = y.row_start[group], min(n_rows, y.n_full[group])
    row_end = row_start + n_rows
    row_spans(x.n_thin[position], n_rows, shift, lowest, highest, spans)
    firsts, lasts, lane_rows = spans[0], spans[1], y.lane_rows[group]
    rows, running = y.rows[row_start:row_end], y.running[row_start + group : row_end + group + 1]
    for i in range(0, highest - lowest + 1, LAGS):
        begin, end = np.int64(firsts[i + LAGS - 1]), np.int64(lasts[i])
        full = max(begin, min(end, n_full))
        lag_errors(
            x.thin, start + i + (begin << shift), 1 << shift, rows, running, begin, full - begin, max(end, full) - full,
            lane_rows, firsts[i : i + LAGS], lasts[i : i + LAGS], curve[i : i + LAGS],
        )  # fmt: skip
