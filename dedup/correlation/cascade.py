"""The coarse pass: which of 16 pairs could match, at a small share of what an exact comparison costs.

Neighbouring items describe overlapping audio, so the lag curve of a match has a peak some 16 items wide: every fourth
lag meets it. Two copies of a recording agree throughout, so some dozens of items show what all of them would.

A pair passes if its coarse curve has a lag at which clearly fewer bits differ than on average over all its lags: fewer
than by chance (CLEAR), and fewer than by a similar style (SHARE_EXPLAINED). A pair that passes is compared item by item
at its likeliest lags (`likeliest_lag`). If it still looks alike, there or along a line of lags, it is compared exactly,
so its numbers are the same to the last bit as without the cascade.

`scripts/bench/cascade.py` measures what these constants lose and what they let through. On the labelled library of 27
recordings, the plain duplicate that comes closest to being lost has 2.6 times what it needs, the excerpt 3.7 times, the
copy at another speed 1.27 times; 3 to 8 % of unrelated pairs pass, and 0 after the second look."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.emit import LANES
from dedup.correlation.kernels import (
    Counts,
    LagLimits,
    allowed_lags,
    bit_errors,
    chance_corrected,
    lag_gain,
    overlap_at,
)
from dedup.correlation.lanes import Curves, Lane
from dedup.correlation.sampling import BASE_LAG, BASE_OVERLAP, BASE_STEP, LAG_STEP
from dedup.correlation.vector import (
    AVERAGE,
    AVERAGE_FROM,
    AVERAGE_TO,
    CHOICE_FROM,
    CHOICE_TO,
    CLEAR_SQUARED,
    END_ROW,
    FIRST_ROW,
    LEAST_FEWER,
    TOTAL_ERRORS,
    TOTAL_ROWS,
    add_lags,
    mark_lanes,
)
from dedup.store.items import Items

CLEAR = 13.0
"""Bits by which fewer must differ than on average, over the square root of the items compared, if half of all bits
differ: 4.6 standard deviations of independent bits. 12 let twice as many pairs pass, 16 come near the hard ones."""

SHARE_EXPLAINED = 0.16
"""Share of the average difference that must be gone. A stored pair has at least 0.2 (`match.STORED_KAPPA`)."""

LIKELIEST = 8
"""Peaks of the coarse curve that are looked at item by item, highest first. One is enough for every whole duplicate;
of 652 pairs cut to overlap by 27 to 50 %, four peaks lose 2 and eight lose 1. More peaks cost next to nothing, as few
unrelated pairs get this far."""

PEAK_LAGS = 2
"""Coarse lags on either side of a peak that belong to it."""

PEAK_INDEX, PEAK_HEIGHT = range(2)
"""Columns of `Curves.peaks`: index of the lag, and how clearly it stands out."""


@jit
def sieve(curves: Curves, lowest: int, n_lags: int, lane_rows: Lane) -> None:
    """Finds which of a group's coarse curves have a lag that stands out.

    Parameters:
        curves: `curve`, `spans` and `ranges`; output: `needed`, `marks` and `picked` (0 if a lag stands out, else -1).
        lowest: the coarse lag of index 0.
        n_lags: 0 or more.
        lane_rows: `int32[LANES]`, the rows of each lane.
    """
    totals = np.zeros((2, LANES), np.int32)
    add_lags(curves.curve, curves.spans, -lowest % BASE_STEP, BASE_STEP, n_lags, lane_rows, curves.ranges, totals)
    needed = curves.needed
    for lane in range(LANES):
        average = np.float64(totals[TOTAL_ERRORS, lane]) / max(totals[TOTAL_ROWS, lane], 1)
        share = average / 32.0
        needed[AVERAGE, lane] = average
        needed[CLEAR_SQUARED, lane] = CLEAR * CLEAR * 4.0 * share * (1.0 - share)
        needed[LEAST_FEWER, lane] = SHARE_EXPLAINED * average
    mark_lanes(curves.curve, curves.spans, n_lags, lane_rows, curves.ranges, needed, curves.picked, curves.marks)


@jit
def likeliest_lag(
    a: Items, b: Items, limits: LagLimits, lowest: int, lane: int, lane_rows: Lane, curves: Curves
) -> tuple[float, int]:
    """The chance-corrected agreement of a pair at the best exact lag near its likeliest coarse ones, and that lag.

    Parameters:
        a, b: `uint32[na]`, `uint32[nb]`, a pair that `sieve` let pass.
        limits: what a lag must meet to be tried.
        lowest: the coarse lag of index 0.
        lane: of the pair, 0 to LANES - 1.
        lane_rows: `int32[LANES]`, the rows of each lane.
        curves: as `sieve` leaves them; scratch: `peaks`.
    """
    lowest_lag, highest_lag = allowed_lags(len(a), len(b), limits)
    n_peaks = _stand_outs(lane, lane_rows, curves)
    best, best_gain = lowest_lag, -np.inf
    for _ in range(LIKELIEST):
        index = _take_highest(curves.peaks, n_peaks)
        if index < 0:
            break
        middle = LAG_STEP * (lowest + index)
        for lag in range(max(middle - LAG_STEP + 1, lowest_lag), min(middle + LAG_STEP - 1, highest_lag) + 1):
            n = overlap_at(len(a), len(b), lag)
            gain = lag_gain(n, bit_errors(a, b, lag, n))
            if gain > best_gain:
                best, best_gain = lag, gain
    if best_gain == -np.inf:
        return 0.0, 0
    agreement, _ = chance_corrected(a, b, best)
    return agreement, best


@jit
def _stand_outs(lane: int, lane_rows: Lane, curves: Curves) -> int:
    """Fills `curves.peaks` (output) with the lags of a lane that stand out; gives their number."""
    spans, n_peaks = curves.spans, 0
    for i in range(curves.ranges[CHOICE_FROM, lane], curves.ranges[CHOICE_TO, lane] + 1):
        if curves.marks[i] >> lane & 1:
            n = np.float64(min(spans[END_ROW, i], lane_rows[lane]) - spans[FIRST_ROW, i])
            fewer = n * curves.needed[AVERAGE, lane] - curves.curve[i, lane]
            curves.peaks[n_peaks, PEAK_INDEX] = i
            curves.peaks[n_peaks, PEAK_HEIGHT] = fewer * fewer / n
            n_peaks += 1
    return n_peaks


@jit
def _take_highest(peaks: npt.NDArray[np.float64], n_peaks: int) -> int:
    """The index of the highest peak, -1 if none is left.

    Parameters:
        peaks: `float64[n, 2]`, columns PEAK_INDEX and PEAK_HEIGHT; output: heights of the lags of this peak become
            -inf.
        n_peaks: rows that count, 0 to n.
    """
    best, height = -1, -np.inf
    for i in range(n_peaks):
        if peaks[i, PEAK_HEIGHT] > height:
            best, height = int(peaks[i, PEAK_INDEX]), peaks[i, PEAK_HEIGHT]
    for i in range(n_peaks):
        if abs(peaks[i, PEAK_INDEX] - best) <= PEAK_LAGS:
            peaks[i, PEAK_HEIGHT] = -np.inf
    return best


@jit
def coarse_ranges(n_x: int, n_items: Counts, limits: LagLimits, ranges: Lane) -> None:
    """The coarse lags of a group. A lane that is empty or cannot overlap enough gets none: the first above the last.

    Parameters:
        n_x: items of the one fingerprint.
        n_items: `int64[1 to LANES]`, items of the others, at most `n_x`.
        limits: what a lag must meet to be tried.
        ranges: output, `int32[4, LANES]`: rows AVERAGE_FROM, AVERAGE_TO, CHOICE_FROM and CHOICE_TO, as lags.
    """
    no_lags(ranges)
    base = LagLimits(max(limits.max_lag, BASE_LAG), BASE_OVERLAP, 1)
    for lane in range(len(n_items)):
        n_y = n_items[lane]
        lowest, highest = allowed_lags(n_x, n_y, limits)
        if lowest <= highest:
            ranges[CHOICE_FROM, lane], ranges[CHOICE_TO, lane] = lowest // LAG_STEP, -(-highest // LAG_STEP)
            lowest, highest = allowed_lags(n_x, n_y, base)
            ranges[AVERAGE_FROM, lane], ranges[AVERAGE_TO, lane] = -(-lowest // LAG_STEP), highest // LAG_STEP


@jit
def no_lags(ranges: Lane) -> None:
    """Gives every lane no lags: the first above the last. `ranges`: output, `int32[4, LANES]`."""
    for lane in range(LANES):
        ranges[AVERAGE_FROM, lane], ranges[AVERAGE_TO, lane] = 1, 0
        ranges[CHOICE_FROM, lane], ranges[CHOICE_TO, lane] = 1, 0
