"""Every pair of two blocks, compared 16 at a time: the two ways through a tile, `exact` and `cascade`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.cascade import coarse_ranges, likeliest_lag, sieve
from dedup.correlation.emit import LANES
from dedup.correlation.kernels import Counts, allowed_lags, chance_corrected, compare, overlap_at, prominence_at
from dedup.correlation.lanes import Curves, Lane, Lanes, SortKey, lane_curve, make_curves, pack
from dedup.correlation.path import follow, n_steps
from dedup.correlation.sampling import BASE_LAG, LAG_STEP, ROWS
from dedup.correlation.vector import best_lags
from dedup.fingerprint.chromaprint import Items

FOUND_COLUMNS = 7
"""Of `sweep`'s result: row of `x`, row of `y`, lag, overlap, errors, kappa, prominence."""

Floor = tuple[float, float, float, int]
"""What a pair must have: agreement; kappa, at its best lag or along its path; kappa at its best lag; informative
items."""


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
    out: npt.NDArray[np.float64],
) -> tuple[int, int]:
    """Compares the fingerprints at `positions` of `x`, from the first to before the second, with those at the first
    `partners[position]` positions of `y`, none of which may have a greater `lanes.sort_key`; keeps what is worth
    storing. With `share` `(k, n)`, it does the k-th of n shares of that work: position by group, in turn.

    `settings` is `(max_lag, min_overlap, min_items)`; a pair below any part of `floor` is dropped. Fills rows of `out`
    (`float64[room for every pair, FOUND_COLUMNS]`, exact for integers); gives how many, and how many pairs were
    compared. A positive lag means that `x` has that many items more in front."""
    if positions[0] >= positions[1] or len(y.lanes.n_items) == 0:
        return 0, 0
    longest = x.lanes.n_items[positions[1] - 1] + y.lanes.n_items[-1]
    curves = make_curves(min(2 * max(settings[0], BASE_LAG) + 2, longest))
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
            lowest = _pick(x.lanes, position, y.lanes, group, last, exact, settings, curves)
            for lane in range(last - first):
                if curves.picked[lane] < 0:
                    continue
                row_y = y.lanes.order[first + lane]
                b = y.items[y.offsets[row_y] : y.offsets[row_y + 1]]
                lane_rows = y.lanes.lane_rows[group]
                if exact:
                    lag = lowest + curves.picked[lane]
                    measured = _measure(a, b, lag, curves.curve[curves.picked[lane], lane], floor)
                    prominence = _prominence(len(a), len(b), lag, lowest, lane, curves) if measured[0] else 0.0
                else:
                    measured, prominence, lag = _settle(a, b, settings, floor, lowest, lane, lane_rows, curves)
                if measured[0]:
                    out[n_found, 0], out[n_found, 1], out[n_found, 2] = row_x, row_y, lag
                    out[n_found, 3], out[n_found, 4], out[n_found, 5] = measured[1:]
                    out[n_found, 6] = prominence
                    n_found += 1
    return n_found, n_compared


@jit
def _pick(
    x: Lanes,
    position: int,
    y: Lanes,
    group: int,
    last: int,
    exact: bool,
    settings: tuple[int, float, int],
    curves: Curves,
) -> int:
    """Computes the curves of a group up to position `last`, and which of its lanes are to be looked at:
    `curves.picked`. Gives the lag of the curves' first value."""
    n_items = y.n_items[y.first[group] : last]
    if exact:
        _exact_ranges(x.n_items[position], n_items, settings, curves.ranges)
    else:
        coarse_ranges(x.n_items[position], n_items, settings, curves.ranges)
    lowest, highest = _count_from_lowest(curves.ranges)
    if lowest > highest:
        curves.picked[:] = -1
        return 0
    lane_curve(x, position, y, group, lowest, highest, curves.spans, curves.curve, len(n_items))
    n_lags, lane_rows = highest - lowest + 1, y.lane_rows[group]
    if exact:
        best_lags(curves.curve, curves.spans, n_lags, lane_rows, curves.ranges, lowest, curves.picked)
    else:
        sieve(curves, lowest, n_lags, lane_rows)
    return lowest


@jit
def _measure(a: Items, b: Items, lag: int, wrong: int, floor: Floor) -> tuple[bool, int, int, float]:
    """Whether a pair at its best lag is worth storing, its overlap, its bit errors, and its kappa."""
    overlap = overlap_at(len(a), len(b), lag)
    if 1.0 - wrong / (32.0 * overlap) < floor[0]:
        return False, overlap, wrong, 0.0
    kappa, n_informative = chance_corrected(a, b, lag)
    worth = n_informative >= floor[3] and (kappa >= floor[1] or (kappa >= floor[2] and _along(a, b, lag) >= floor[1]))
    return worth, overlap, wrong, kappa


@jit
def _along(a: Items, b: Items, lag: int) -> float:
    """Kappa along the path of a pair."""
    return follow(a, b, lag, np.empty(n_steps(len(b)), np.uint8)).kappa


@jit
def _settle(
    a: Items,
    b: Items,
    settings: tuple[int, float, int],
    floor: Floor,
    lowest: int,
    lane: int,
    lane_rows: Lane,
    curves: Curves,
) -> tuple[tuple[bool, int, int, float], float, int]:
    """What the exact comparison says of a pair that the coarse one let pass: as `_measure` has it, prominence, lag."""
    likely, lag = likeliest_lag(a, b, settings, lowest, lane, lane_rows, curves)
    if likely < floor[1] and (likely < floor[2] or _along(a, b, lag) < floor[1]):
        return (False, 0, 0, 0.0), 0.0, 0
    _, lag, _, wrong, prominence = compare(a, b, settings[0], settings[1], settings[2], curves.errors)
    return _measure(a, b, lag, wrong, floor), prominence, lag


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
