"""The fingerprints of a block, one in each lane of a vector register, and the lag curves of 16 pairs at a time.

One fingerprint `x` is compared with 16 others `y` at once. The 16 stand side by side: row `i` holds item `i` of each.
A *step* takes one item of `x`, copies it into all lanes, and counts the bits in which it differs from a row:

            y0     y1     y2          y15
    row 0  y0[0]  y1[0]  y2[0]  …   y15[0]     ◀─ x[lag + 0], the same in all lanes
    row 1  y0[1]  y1[1]  y2[1]  …   y15[1]     ◀─ x[lag + 1]
    row 2  y0[2]  y1[2]  y2[2]  …   y15[2]     ◀─ x[lag + 2]
             ▼      ▼      ▼           ▼
          errors of 16 pairs at this lag: no sum across lanes, no load that crosses a cache line

A row stays in its register for 16 lags, and the 16 sums stay in theirs for all rows: 32 registers, and three vector
instructions a step (exclusive or with a broadcast item, count, add). That is the limit of the processor; no
arrangement takes fewer. Ends need no masks: `x` has zeros in front and behind, an item that meets them counts its own
bits, and running sums take these off again. If the fingerprints of a group differ in length, the rows that only some
of them have are masked; a group holds neighbours in length, so there are few.

The cascade uses the same code for every k-th lag and every m-th item: `x` is thinned to every k-th item, rows are
every m-th item, and the next row is `m / k` items further on in the thinned `x`, a power of two."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.emit import LANES
from dedup.correlation.kernels import Counts
from dedup.correlation.llvm import LAGS
from dedup.correlation.vector import END_ROW, FIRST_ROW, add_bit_errors, lag_errors

PADDING = LAGS
"""Zeros before and behind each thinned fingerprint."""

Words = npt.NDArray[np.uint32]
Lane = npt.NDArray[np.int32]


class Lanes(NamedTuple):
    """A block, prepared for either side of a comparison. A position is a place in `order`."""

    order: Counts
    """Row of the block at each position: by length; among equals the one with the larger items first."""
    n_items: Counts
    """Items of the fingerprint at each position."""
    thin: Words
    """All thinned fingerprints, each between two runs of PADDING zeros."""
    thin_start: Counts
    """Index in `thin` of the first item of the fingerprint at each position."""
    n_thin: Counts
    """Thinned items of the fingerprint at each position."""
    first: Counts
    """Position of each group's first lane, and the number of positions, `[n_groups + 1]`."""
    shift: Counts
    """Binary logarithm of the thinned items from a row to the next, `[n_groups]`."""
    row_start: Counts
    """First of each group's rows in `rows`, and the number of all rows, `[n_groups + 1]`. In `running` a group begins
    one row later for each group before it."""
    n_full: Counts
    """Rows that all fingerprints of a group have, `[n_groups]`."""
    lane_rows: Lane
    """Rows that each lane of a group has, `[n_groups, LANES]`; lanes without a fingerprint count as the longest."""
    rows: Words
    """Every m-th item of each group's fingerprints, side by side, `[n_rows, LANES]`; 0 behind their ends."""
    running: Words
    """Bits set in the rows before each row, `[n_rows + n_groups, LANES]`: one row more than each group has."""


class Curves(NamedTuple):
    """Room for the lag curves of a group, and for what is found on them. An index counts lags from the lowest."""

    curve: Words
    """Bit errors at each index, `[n_lags, LANES]`."""
    spans: Lane
    """Rows that were compared at each index, `[2, n_lags]`: `vector.FIRST_ROW` and `END_ROW`."""
    ranges: Lane
    """Lags of each lane, `[4, LANES]`: `vector.AVERAGE_FROM`, `AVERAGE_TO`, `CHOICE_FROM`, `CHOICE_TO`."""
    needed: npt.NDArray[np.float32]
    """Requirements of a lag that stands out, `[3, LANES]`: `vector.AVERAGE`, `CLEAR_SQUARED`, `LEAST_FEWER`."""
    marks: npt.NDArray[np.uint16]
    """Lanes that stand out at each index, one bit each."""
    picked: Lane
    """Index of each lane's best lag (exact), or 0 (cascade); -1 if the pair is not to be stored."""
    peaks: npt.NDArray[np.float64]
    """Lags of one lane that stand out, `[n_lags, 2]`: `cascade.PEAK_INDEX` and `PEAK_HEIGHT`."""
    errors: Counts
    """Bit errors of one lane at each index."""


def make_curves(n_lags: int) -> Curves:
    """Room for this many lags."""
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
    """Fingerprints prepared for a comparison at every `lag_step`-th lag, and the keys of their order, ascending.

    Parameters:
        items: `uint32[n_items]`; row `r` is `items[offsets[r] : offsets[r + 1]]`.
        offsets: `int64[n_rows + 1]`.
        lag_step: items, 1 or more.
        rows_aimed_at: 0 to keep every item as a row. Else every m-th item is kept, m being `lag_step` times the power
            of two that leaves `rows_aimed_at` to twice as many rows, if the fingerprint has them.
    """
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
    """The key of a fingerprint's place in order: of two, the one with the greater is `x` (`kernels.is_swapped`)."""
    return len(items), (~items).astype(">u4").tobytes()


def _shift(n_items: int, lag_step: int, rows_aimed_at: int) -> int:
    """Binary logarithm of the thinned items from a row to the next."""
    shift = 0
    while rows_aimed_at and n_items >= 2 * rows_aimed_at * lag_step << shift:
        shift += 1
    return shift


def _groups(shifts: Counts) -> Counts:
    """Positions at which groups begin, and the end. A group has at most LANES fingerprints, all of one shift."""
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
    """Fills `Lanes.thin` (output, zeros before)."""
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
    """Fills `Lanes.lane_rows`, `rows` and `running` (output; the last two are zeros before). `shifts` is `int64`, one
    for each position."""
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
    """The rows that meet an item of a thinned fingerprint, at each lag.

    Parameters:
        n_thin: items of the thinned fingerprint, 0 or more.
        n_rows: 0 or more.
        shift: binary logarithm of the thinned items from a row to the next.
        lowest, highest: thinned lags, both included; LAGS - 1 more are filled.
        spans: output, `int32[2, highest - lowest + LAGS]` or wider: at `lag - lowest`, the rows from FIRST_ROW to
            before END_ROW, both 0 to `n_rows`.
    """
    firsts, lasts = spans[FIRST_ROW], spans[END_ROW]
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
    """Bit errors of a fingerprint of `x` against a group of `y`, at every thinned lag of a range.

    Parameters:
        x, y: blocks packed with the same steps.
        position: of the fingerprint in `x`.
        group: of `y`.
        lowest, highest: thinned lags, both included, `lowest <= highest`.
        spans: output, `int32[2, highest - lowest + LAGS]` or wider, the lags' `row_spans`.
        curve: output, `uint32[highest - lowest + LAGS, LANES]` or longer: `curve[lag - lowest, lane]`. The last LAGS
            - 1 rows, and lanes from `n_lanes` on, hold nothing of use.
        n_lanes: 1 to LANES; only so many lanes are compared in full.
    """
    start, shift = x.thin_start[position] + lowest, y.shift[group]
    n_rows = int(y.lane_rows[group, n_lanes - 1])  # lanes are in the order of their length
    row_start, n_full = y.row_start[group], min(n_rows, y.n_full[group])
    row_end = row_start + n_rows
    row_spans(x.n_thin[position], n_rows, shift, lowest, highest, spans)
    firsts, lasts, lane_rows = spans[FIRST_ROW], spans[END_ROW], y.lane_rows[group]
    rows, running = y.rows[row_start:row_end], y.running[row_start + group : row_end + group + 1]
    for i in range(0, highest - lowest + 1, LAGS):
        begin, end = np.int64(firsts[i + LAGS - 1]), np.int64(lasts[i])
        full = max(begin, min(end, n_full))
        lag_errors(
            x.thin, start + i + (begin << shift), 1 << shift, rows, running, begin, full - begin, max(end, full) - full,
            lane_rows, firsts[i : i + LAGS], lasts[i : i + LAGS], curve[i : i + LAGS],
        )  # fmt: skip
