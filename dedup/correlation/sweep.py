"""Every pair of two blocks, compared 16 at a time: the two ways through a tile, `exact` and `cascade`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dedup.correlation.accelerate import jit
from dedup.correlation.cascade import coarse_ranges, likeliest_lag, sieve
from dedup.correlation.kernels import Counts, allowed_lags, chance_corrected, overlap_at, prominence_at
from dedup.correlation.lanes import Curves, Lane, Lanes, SortKey, lane_curve, make_curves, pack
from dedup.correlation.line import Floats
from dedup.correlation.llvm import LANES
from dedup.correlation.sampling import BASE_LAG, LAG_STEP, ROWS
from dedup.correlation.vector import best_lags
from dedup.correlation.worth_storing import Floor
from dedup.store.items import Items


class Packed(NamedTuple):
    """A block as it is, and prepared for the comparison."""

    items: Items
    offsets: Counts
    lanes: Lanes


def pack_block(items: Items, offsets: Counts, method: str) -> tuple[Packed, list[SortKey]]:
    """Prepares the fingerprints `items[offsets[r] : offsets[r + 1]]` for `sweep` by a method; and the keys of their
    order."""
    steps = (1, 0) if method == "exact" else (LAG_STEP, ROWS)
    lanes, keys = pack(items, offsets, *steps)
    return Packed(items, offsets, lanes), keys


def room_for_curves(x: Packed, y: Packed, max_lag: int) -> Curves:
    """Room for what `sweep` computes of any of these fingerprints."""
    longest = sum(int(block.lanes.n_items.max(initial=0)) for block in (x, y))
    return make_curves(min(2 * max(max_lag, BASE_LAG) + 2, longest))


@jit
def sweep(
    x: Packed,
    y: Packed,
    positions: tuple[int, int],
    partners: Counts,
    share: tuple[int, int],
    exact: bool,
    settings: tuple[int, float, int],
    floor: Floor,
    curves: Curves,
    out: Floats,
) -> tuple[int, int]:
    """Compares the fingerprints at `positions` of `x`, from the first to before the second, with those at the first
    `partners[position]` positions of `y`, none of which may have a greater `lanes.sort_key`; keeps what may be worth
    storing, for `settle` to decide. With `share` `(k, n)`, it does the k-th of n shares of that work: position by
    group, in turn.

    `settings` is `(max_lag, min_overlap, min_items)`, `curves` is `room_for_curves`. Fills rows of `out`
    (`float64[room for every pair, FOUND_COLUMNS]`, exact for integers); gives how many, and how many pairs were
    compared. A positive lag means that `x` has that many items more in front. Where the comparison is not `exact`, a
    row has the likeliest lag and the kappa there, and no other number."""
    n_found = n_compared = 0
    for position in range(positions[0], positions[1]):
        row_x = x.lanes.order[position]
        a = x.items[x.offsets[row_x] : x.offsets[row_x + 1]]
        for group in range(len(y.lanes.first) - 1):
            first, last = y.lanes.first[group], min(y.lanes.first[group + 1], partners[position])
            if first >= last:
                break
            if (position + group) % share[1] != share[0]:
                continue
            n_compared += last - first
            n_items, lane_rows = y.lanes.n_items[first:last], y.lanes.lane_rows[group]
            lowest, highest = _lag_ranges(x.lanes.n_items[position], n_items, exact, settings, curves.ranges)
            if lowest > highest:
                continue
            n_lags = highest - lowest + 1
            lane_curve(x.lanes, position, y.lanes, group, lowest, highest, curves.spans, curves.curve, last - first)
            if exact:
                best_lags(curves.curve, curves.spans, n_lags, lane_rows, curves.ranges, lowest, curves.picked)
            else:
                sieve(curves, lowest, n_lags, lane_rows)
            for lane in range(last - first):
                if curves.picked[lane] < 0:
                    continue
                row_y = y.lanes.order[first + lane]
                b = y.items[y.offsets[row_y] : y.offsets[row_y + 1]]
                found = out[n_found]
                found[0], found[1] = row_x, row_y
                if exact:
                    _measure(a, b, lowest, lane, floor, curves, found)
                else:
                    found[5], found[2] = likeliest_lag(a, b, settings, lowest, lane, lane_rows, curves)
                n_found += found[5] >= floor[2]
    return n_found, n_compared


@jit
def _lag_ranges(
    n_x: int, n_items: Counts, exact: bool, settings: tuple[int, float, int], ranges: Lane
) -> tuple[int, int]:
    """Fills `ranges` for a fingerprint of `n_x` items and up to LANES others, as `lanes.Curves` has them; gives the
    lags of the curves' first and last value, the first above the last where no pair overlaps enough."""
    if exact:
        _exact_ranges(n_x, n_items, settings, ranges)
    else:
        coarse_ranges(n_x, n_items, settings, ranges)
    return _count_from_lowest(ranges)


@jit
def _measure(a: Items, b: Items, lowest: int, lane: int, floor: Floor, curves: Curves, found: Floats) -> None:
    """Fills in the numbers of a pair at its best lag, `curves.picked`; a kappa of -1 where another is too low."""
    picked = curves.picked[lane]
    lag, wrong = lowest + picked, int(curves.curve[picked, lane])
    overlap, found[5] = overlap_at(len(a), len(b), lag), -1.0
    if 1.0 - wrong / (32.0 * overlap) < floor[0]:
        return
    kappa, n_informative = chance_corrected(a, b, lag)
    if n_informative >= floor[3] and kappa >= floor[2]:
        found[2], found[3], found[4], found[5] = lag, overlap, wrong, kappa
        found[6] = _prominence(len(a), len(b), lag, lowest, lane, curves)


@jit
def _prominence(n_a: int, n_b: int, lag: int, lowest: int, lane: int, curves: Curves) -> float:
    """The `kernels.prominence_at` of a lane."""
    low, high = curves.ranges[2, lane], curves.ranges[3, lane]
    for i in range(low, high + 1):
        curves.errors[i - low] = curves.curve[i, lane]
    return prominence_at(n_a, n_b, lowest + low, lowest + high, curves.errors, lag)


@jit
def _count_from_lowest(ranges: Lane) -> tuple[int, int]:
    """Lowest and highest lag of any lane that has a lag that may stand out, from which on `ranges` counts from now on;
    the lowest above the highest where there is none."""
    lowest, highest = 1 << 40, -(1 << 40)
    for lane in range(LANES):
        if ranges[2, lane] <= ranges[3, lane]:
            lowest, highest = min(lowest, ranges[2, lane]), max(highest, ranges[3, lane])
            if ranges[0, lane] <= ranges[1, lane]:
                lowest, highest = min(lowest, ranges[0, lane]), max(highest, ranges[1, lane])
    if lowest <= highest:
        ranges -= np.int32(lowest)
    return lowest, highest


@jit
def _exact_ranges(n_x: int, n_items: Counts, settings: tuple[int, float, int], ranges: Lane) -> None:
    """The same as `cascade.coarse_ranges`, for every lag."""
    ranges[0], ranges[1], ranges[2], ranges[3] = 1, 0, 1, 0
    for lane in range(len(n_items)):
        ranges[2, lane], ranges[3, lane] = allowed_lags(n_x, n_items[lane], *settings)
