"""The coarse pass: which of 16 pairs could be a match, at a small share of what an exact comparison costs.

Neighbouring items describe overlapping audio, so the lag curve of a match has a peak some 16 items wide: every fourth
lag meets it. And where two recordings are the same they are so throughout, so some dozens of items tell what all
would.

A pair passes where its coarse curve has a lag at which clearly fewer bits differ than on average over all its lags:
both by more than chance would have it (CLEAR) and by more than likeness of style would (SHARE_EXPLAINED). What passes
is compared at its likeliest lags item by item (`likeliest_lag`), and what then still looks alike, there or along a line
of lags, is compared exactly, so that a pair's numbers are the same to the last bit as without the cascade.

`scripts/bench/cascade.py` measures what these constants lose and what they let through. On the labelled library of 27
recordings the plain duplicate that comes closest to being lost has 2.6 times what it needs, the excerpt 3.7 times, the
copy of other speed 1.27 times; 3 to 8 % of unrelated pairs pass, and 0 after the second look."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import Counts, allowed_lags, bit_errors, chance_corrected, lag_gain, overlap_at
from dedup.correlation.lanes import Curves, Lane
from dedup.correlation.llvm import LANES
from dedup.correlation.sampling import BASE_LAG, BASE_OVERLAP, BASE_STEP, LAG_STEP
from dedup.correlation.vector import add_lags, mark_lanes
from dedup.store.items import Items

CLEAR = 13.0
"""Bits by which fewer must differ than on average, over the square root of the items compared, were half of all bits
different: 4.6 standard deviations of independent bits. 12 let twice as many pass, 16 come near the hard ones."""

SHARE_EXPLAINED = 0.16
"""Share of the average difference that must be gone. What is stored has at least 0.2 (`match.STORED_KAPPA`)."""

LIKELIEST = 8
"""Peaks of the coarse curve that are looked at item by item, those that stand out most first. The first is enough in
every whole duplicate; of 652 pairs cut to overlap by 27 to 50 %, four lose 2, eight lose 1. More cost next to nothing:
few unrelated pairs come so far."""

PEAK_LAGS = 2
"""Coarse lags on either side that belong to one peak."""


@jit
def sieve(curves: Curves, lowest: int, n_lags: int, lane_rows: Lane) -> None:
    """Finds which of a group's coarse curves, from lag `lowest` on, have a lag that stands out. Needs `curve`, `spans`
    and `ranges`; sets `needed`, `marks` and `picked`, which is 0 or -1."""
    totals = np.zeros((2, LANES), np.int32)
    add_lags(curves.curve, curves.spans, -lowest % BASE_STEP, BASE_STEP, n_lags, lane_rows, curves.ranges, totals)
    needed = curves.needed
    for lane in range(LANES):
        average = np.float64(totals[0, lane]) / max(totals[1, lane], 1)
        share = average / 32.0
        needed[0, lane] = average
        needed[1, lane] = CLEAR * CLEAR * 4.0 * share * (1.0 - share)
        needed[2, lane] = SHARE_EXPLAINED * average
    mark_lanes(
        curves.curve, curves.spans, n_lags, lane_rows, curves.ranges, needed, curves.picked, curves.marks
    )  # fmt: skip


@jit
def likeliest_lag(
    a: Items, b: Items, settings: tuple[int, float, int], lowest: int, lane: int, lane_rows: Lane, curves: Curves
) -> tuple[float, int]:
    """The chance-corrected agreement of `a` and `b`, a pair that `sieve` let pass, at the best exact lag near the
    likeliest coarse ones, and that lag. `settings` is `(max_lag, min_overlap, min_items)`, `lowest` is the curves'
    first coarse lag."""
    bounds = allowed_lags(len(a), len(b), *settings)
    n_peaks = _stand_outs(lane, lane_rows, curves)
    best, best_gain = bounds[0], -np.inf
    for _ in range(LIKELIEST):
        index = _take_highest(curves.peaks, n_peaks)
        if index < 0:
            break
        middle = LAG_STEP * (lowest + index)
        for lag in range(max(middle - LAG_STEP + 1, bounds[0]), min(middle + LAG_STEP - 1, bounds[1]) + 1):
            n = overlap_at(len(a), len(b), lag)
            gain = lag_gain(n, bit_errors(a, b, lag, n))
            if gain > best_gain:
                best, best_gain = lag, gain
    if best_gain == -np.inf:
        return 0.0, 0
    return chance_corrected(a, b, best)[0], best


@jit
def _stand_outs(lane: int, lane_rows: Lane, curves: Curves) -> int:
    """Fills `peaks` with (index, how clearly) of each lag that stands out; gives how many."""
    spans, n_peaks = curves.spans, 0
    for i in range(curves.ranges[2, lane], curves.ranges[3, lane] + 1):
        if curves.marks[i] >> lane & 1:
            n = np.float64(min(spans[1, i], lane_rows[lane]) - spans[0, i])
            fewer = n * curves.needed[0, lane] - curves.curve[i, lane]
            curves.peaks[n_peaks, 0] = i
            curves.peaks[n_peaks, 1] = fewer * fewer / n
            n_peaks += 1
    return n_peaks


@jit
def _take_highest(peaks: npt.NDArray[np.float64], n_peaks: int) -> int:
    """The index of the highest peak; it and what belongs to its peak are taken out. -1 where none is left."""
    best, height = -1, -np.inf
    for i in range(n_peaks):
        if peaks[i, 1] > height:
            best, height = int(peaks[i, 0]), peaks[i, 1]
    for i in range(n_peaks):
        if abs(peaks[i, 0] - best) <= PEAK_LAGS:
            peaks[i, 1] = -np.inf
    return best


@jit
def coarse_ranges(n_x: int, n_items: Counts, settings: tuple[int, float, int], ranges: Lane) -> None:
    """Fills `ranges` with coarse lags, as `lanes.Curves` has them but counted from 0, for a fingerprint of `n_x` items
    and each of up to LANES that are no longer. A lane that cannot overlap enough, or is empty, gets none: the lowest
    above the highest.

    `settings` is `(max_lag, min_overlap, min_items)`."""
    ranges[0], ranges[1], ranges[2], ranges[3] = 1, 0, 1, 0
    for lane in range(len(n_items)):
        n_y = n_items[lane]
        lowest, highest = allowed_lags(n_x, n_y, *settings)
        if lowest <= highest:
            ranges[2, lane], ranges[3, lane] = lowest // LAG_STEP, -(-highest // LAG_STEP)
            lowest, highest = allowed_lags(n_x, n_y, max(settings[0], BASE_LAG), BASE_OVERLAP, 1)
            ranges[0, lane], ranges[1, lane] = -(-lowest // LAG_STEP), highest // LAG_STEP
