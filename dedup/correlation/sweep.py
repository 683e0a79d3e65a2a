"""Compares every pair of two blocks, 16 at a time: the two ways through a tile, `exact` and `cascade`."""

from __future__ import annotations

from typing import Literal, NamedTuple

from dedup.correlation.accelerate import jit
from dedup.correlation.cascade import coarse_ranges, likeliest_lag, no_lags, sieve
from dedup.correlation.emit import LANES
from dedup.correlation.kernels import (
    BlockItems,
    Counts,
    LagLimits,
    allowed_lags,
    chance_corrected,
    overlap_at,
    prominence_at,
    row_of,
)
from dedup.correlation.lanes import Curves, Lane, Lanes, SortKey, lane_curve, make_curves, pack
from dedup.correlation.line import Floats
from dedup.correlation.sampling import BASE_LAG, LAG_STEP, ROWS
from dedup.correlation.vector import AVERAGE_FROM, AVERAGE_TO, CHOICE_FROM, CHOICE_TO, best_lags
from dedup.correlation.worth_storing import ERRORS, KAPPA, LAG, OVERLAP, PROMINENCE, ROW_X, ROW_Y, Floor
from dedup.store.items import Items


class Packed(NamedTuple):
    """A block as it is, and prepared for the comparison."""

    fingerprints: BlockItems
    lanes: Lanes


class Work(NamedTuple):
    """The pairs of two blocks, `x` and `y`, that are compared in one call."""

    start: int
    """First position of `x`."""
    end: int
    """Position of `x` behind the last."""
    partners: Counts
    """Number of positions of `y`, from 0 on, to compare with each position of `x`. None of these fingerprints has a
    greater `lanes.sort_key` than the one of `x`."""
    share: int
    """Which share of this work to do, 0 to `n_shares - 1`."""
    n_shares: int
    """Number of shares. They take turns, position by group."""


def pack_block(items: Items, offsets: Counts, method: str) -> tuple[Packed, list[SortKey]]:
    """A block prepared for `sweep` by a method, and the keys of its order. Row `r` is `items[offsets[r] : offsets[r +
    1]]`."""
    steps = (1, 0) if method == "exact" else (LAG_STEP, ROWS)
    lanes, keys = pack(items, offsets, *steps)
    return Packed(BlockItems(items, offsets), lanes), keys


def room_for_curves(x: Packed, y: Packed, max_lag: int) -> Curves:
    """Room for the curves of any pair of these fingerprints."""
    longest = sum(int(block.lanes.n_items.max(initial=0)) for block in (x, y))
    return make_curves(min(2 * max(max_lag, BASE_LAG) + 2, longest))


@jit
def sweep(
    x: Packed,
    y: Packed,
    work: Work,
    exact: Literal[True] | None,
    limits: LagLimits,
    floor: Floor,
    curves: Curves,
    out: Floats,
) -> tuple[int, int]:
    """Compares pairs of two blocks and finds those that may be worth storing, for `worth_storing` to decide. Gives the
    number of pairs found, and of pairs compared.

    Parameters:
        x, y: blocks packed by the same method; they may be the same.
        work: which pairs to compare.
        exact: True to compare at every lag, item by item; None to compare by the cascade. Each is compiled without the
            other, as Numba knows None by its type; together they take a third longer.
        limits: what a lag must meet to be tried.
        floor: what a pair must have.
        curves: scratch, `room_for_curves` of these blocks.
        out: output, `float64[pairs of this work, FOUND_COLUMNS]`, filled from row 0, exact for integers. A positive
            lag means that `x` has that many more items in front. If not `exact`, LAG is the likeliest lag, KAPPA is
            measured there, and OVERLAP, ERRORS and PROMINENCE are not set.
    """
    n_found = n_compared = 0
    for position in range(work.start, work.end):
        row_x = x.lanes.order[position]
        a = row_of(x.fingerprints, row_x)
        for group in range(len(y.lanes.first) - 1):
            first, last = y.lanes.first[group], min(y.lanes.first[group + 1], work.partners[position])
            if first >= last:
                break
            if (position + group) % work.n_shares != work.share:
                continue
            n_compared += last - first
            n_items, lane_rows = y.lanes.n_items[first:last], y.lanes.lane_rows[group]
            lowest, highest = _lag_ranges(x.lanes.n_items[position], n_items, exact, limits, curves.ranges)
            if lowest > highest:
                continue
            n_lags = highest - lowest + 1
            lane_curve(x.lanes, position, y.lanes, group, lowest, highest, curves.spans, curves.curve, last - first)
            if exact is not None:
                best_lags(curves.curve, curves.spans, n_lags, lane_rows, curves.ranges, lowest, curves.picked)
            else:
                sieve(curves, lowest, n_lags, lane_rows)
            for lane in range(last - first):
                if curves.picked[lane] < 0:
                    continue
                row_y = y.lanes.order[first + lane]
                b = row_of(y.fingerprints, row_y)
                found = out[n_found]
                found[ROW_X], found[ROW_Y] = row_x, row_y
                if exact is not None:
                    _measure(a, b, lowest, lane, floor, curves, found)
                else:
                    found[KAPPA], found[LAG] = likeliest_lag(a, b, limits, lowest, lane, lane_rows, curves)
                n_found += found[KAPPA] >= floor.kappa_at_lag
    return n_found, n_compared


@jit
def _lag_ranges(
    n_x: int, n_items: Counts, exact: Literal[True] | None, limits: LagLimits, ranges: Lane
) -> tuple[int, int]:
    """The lags of a group's curves, the first and the last; the first above the last if no pair overlaps enough.

    Parameters: as of `cascade.coarse_ranges`, except `ranges`, which counts from the first lag, as in `lanes.Curves`.
    """
    if exact is not None:
        _exact_ranges(n_x, n_items, limits, ranges)
    else:
        coarse_ranges(n_x, n_items, limits, ranges)
    return _count_from_lowest(ranges)


@jit
def _measure(a: Items, b: Items, lowest: int, lane: int, floor: Floor, curves: Curves, found: Floats) -> None:
    """The numbers of a pair at its best lag.

    Parameters:
        a, b: `uint32[na]`, `uint32[nb]`.
        lowest: the lag of index 0.
        lane: of the pair, 0 to LANES - 1.
        floor: what the pair must have.
        curves: `picked`, `curve` and `ranges`; scratch: `errors`.
        found: output, `float64[FOUND_COLUMNS]`, from LAG on. KAPPA is -1 if another number is too low.
    """
    picked = curves.picked[lane]
    lag, wrong = lowest + picked, int(curves.curve[picked, lane])
    overlap, found[KAPPA] = overlap_at(len(a), len(b), lag), -1.0
    if 1.0 - wrong / (32.0 * overlap) < floor.agreement:
        return
    kappa, n_informative = chance_corrected(a, b, lag)
    if n_informative >= floor.n_informative and kappa >= floor.kappa_at_lag:
        found[LAG], found[OVERLAP], found[ERRORS], found[KAPPA] = lag, overlap, wrong, kappa
        found[PROMINENCE] = _prominence(len(a), len(b), lag, lowest, lane, curves)


@jit
def _prominence(n_a: int, n_b: int, lag: int, lowest: int, lane: int, curves: Curves) -> float:
    """The `kernels.prominence_at` of a lane."""
    low, high = curves.ranges[CHOICE_FROM, lane], curves.ranges[CHOICE_TO, lane]
    for i in range(low, high + 1):
        curves.errors[i - low] = curves.curve[i, lane]
    return prominence_at(n_a, n_b, lowest + low, lowest + high, curves.errors, lag)


@jit
def _count_from_lowest(ranges: Lane) -> tuple[int, int]:
    """Lowest and highest lag of the lanes that have a lag to choose; the lowest above the highest if there is none.

    Parameters:
        ranges: output, `int32[4, LANES]`: lags before, counted from the lowest after.
    """
    lowest, highest = 1 << 40, -(1 << 40)
    for lane in range(LANES):
        if ranges[CHOICE_FROM, lane] <= ranges[CHOICE_TO, lane]:
            lowest, highest = min(lowest, ranges[CHOICE_FROM, lane]), max(highest, ranges[CHOICE_TO, lane])
            if ranges[AVERAGE_FROM, lane] <= ranges[AVERAGE_TO, lane]:
                lowest, highest = min(lowest, ranges[AVERAGE_FROM, lane]), max(highest, ranges[AVERAGE_TO, lane])
    if lowest <= highest:
        for lane in range(LANES):
            for row in range(4):
                ranges[row, lane] -= lowest
    return lowest, highest


@jit
def _exact_ranges(n_x: int, n_items: Counts, limits: LagLimits, ranges: Lane) -> None:
    """The same as `cascade.coarse_ranges` for every lag, and none for an average."""
    no_lags(ranges)
    for lane in range(len(n_items)):
        ranges[CHOICE_FROM, lane], ranges[CHOICE_TO, lane] = allowed_lags(n_x, n_items[lane], limits)
