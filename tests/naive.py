"""The slow, obvious twin of every kernel of `dedup.correlation`, on lists of Python integers.

No NumPy, no cleverness: what is counted is counted one bit or one item at a time, and what is a fraction is a
`Fraction` until it must be compared with what the kernel says."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

PEAK_WIDTH = 16
SILENT = 627964279

Items = Sequence[int]


class Found(NamedTuple):
    """What `compare` says of a pair."""

    lag: int
    overlap: int
    errors: int
    prominence: float


class Row(NamedTuple):
    """What `correlate_row` keeps of a pair."""

    row: int
    lag: int
    overlap: int
    errors: int
    score: float
    prominence: float


def required_overlap(nx: int, ny: int, min_overlap: float, min_items: int) -> int:
    # The product is a float64 by definition; from there on it is exact.
    return max(min_items, math.ceil(Fraction(min_overlap * min(nx, ny))))


def overlapping(x: Items, y: Items, lag: int) -> list[tuple[int, int]]:
    """The items that lie over each other: `x[i + lag]` over `y[i]`."""
    return [(x[i + lag], y[i]) for i in range(len(y)) if 0 <= i + lag < len(x)]


def overlap_at(nx: int, ny: int, lag: int) -> int:
    return len(overlapping(range(nx), range(ny), lag))


def lag_range(nx: int, ny: int, required: int, max_lag: int) -> list[int]:
    """All lags, ascending."""
    return [lag for lag in range(-max_lag, max_lag + 1) if overlap_at(nx, ny, lag) >= required]


def bit_errors(x: Items, y: Items, lag: int) -> int:
    return sum((a ^ b).bit_count() for a, b in overlapping(x, y, lag))


def lag_curve(x: Items, y: Items, lags: Sequence[int]) -> dict[int, int]:
    return {lag: bit_errors(x, y, lag) for lag in lags}


def lag_gain(n: int, errors: int) -> float:
    """`(agreement - 1/2)^2 n`, with its sign, times 1024."""
    fewer = 16 * n - errors
    return fewer * abs(fewer) / n


def best_lag(nx: int, ny: int, errors: dict[int, int]) -> int:
    return max(errors, key=lambda lag: (lag_gain(overlap_at(nx, ny, lag), errors[lag]), -abs(lag), -lag))


def agreement(n: int, errors: int) -> float:
    return 1 - errors / (32 * n)


def rival_agreement(nx: int, ny: int, errors: dict[int, int], best: int) -> float:
    rivals = [agreement(overlap_at(nx, ny, lag), errors[lag]) for lag in errors if abs(lag - best) > PEAK_WIDTH]
    return max([0.5, *rivals])


def bit(item: int, number: int) -> int:
    return item >> number & 1


def chance_corrected(x: Items, y: Items, lag: int) -> tuple[Fraction, int]:
    informative = [(a, b) for a, b in overlapping(x, y, lag) if not a == b == SILENT]
    n = len(informative)
    if n == 0:
        return Fraction(0), 0
    equal = sum(bit(a, k) == bit(b, k) for a, b in informative for k in range(32))
    expected = Fraction(0)
    for k in range(32):
        ones_a = Fraction(sum(bit(a, k) for a, _ in informative), n)
        ones_b = Fraction(sum(bit(b, k) for _, b in informative), n)
        expected += (ones_a * ones_b + (1 - ones_a) * (1 - ones_b)) / 32
    if expected == 1:
        return Fraction(0), n
    return (Fraction(equal, 32 * n) - expected) / (1 - expected), n


def is_swapped(x: Items, y: Items) -> bool:
    return (-len(y), list(y)) < (-len(x), list(x))


def compare(x: Items, y: Items, max_lag: int, min_overlap: float, min_items: int) -> Found | None:
    nx, ny = len(x), len(y)
    lags = lag_range(nx, ny, required_overlap(nx, ny, min_overlap, min_items), max_lag)
    if not lags:
        return None
    errors = lag_curve(x, y, lags)
    lag = best_lag(nx, ny, errors)
    n = overlap_at(nx, ny, lag)
    return Found(lag, n, errors[lag], agreement(n, errors[lag]) - rival_agreement(nx, ny, errors, lag))


def correlate_row(
    x: Items,
    rows: Sequence[Items],
    first_row: int,
    settings: tuple[int, float, int],
    floor: tuple[float, float, int],
) -> list[Row]:
    kept = []
    for row in range(first_row, len(rows)):
        y = rows[row]
        swapped = is_swapped(x, y)
        a, b = (y, x) if swapped else (x, y)
        found = compare(a, b, *settings)
        if found is None:
            continue
        score, n_informative = chance_corrected(a, b, found.lag)
        measured = (agreement(found.overlap, found.errors), float(score), n_informative)
        if all(value >= least for value, least in zip(measured, floor, strict=True)):
            lag = -found.lag if swapped else found.lag
            kept.append(Row(row, lag, found.overlap, found.errors, float(score), found.prominence))
    return kept


# ---- 16 pairs at a time: `lanes`, `vector` and `cascade` ----

LANES = 16
CLEAR, SHARE_EXPLAINED, BASE_STEP = 13.0, 0.16, 4

Curve = Sequence[Sequence[int]]
"""Bit errors by lag, then lane."""

Spans = Sequence[tuple[int, int]]
"""Of each lag: first row that is compared, and the one behind the last."""


def lane_order(rows: Sequence[Items]) -> list[int]:
    """By length, of equals the one with the larger items first: of two, the later is `x`."""
    return sorted(range(len(rows)), key=lambda row: (len(rows[row]), [-item for item in rows[row]]))


def item_step(n_items: int, lag_step: int, rows_aimed_at: int) -> int:
    """Which items of `y` are compared: every so many-th."""
    step = lag_step
    while rows_aimed_at and n_items // (2 * step) >= rows_aimed_at:
        step *= 2
    return step


def lane_groups(steps: Sequence[int]) -> list[int]:
    """Where groups begin, and the end: of at most 16 fingerprints with one `item_step`, those being in order."""
    first: list[int] = []
    for position, step in enumerate(steps):
        if not first or position - first[-1] == LANES or step != steps[first[-1]]:
            first.append(position)
    return [*first, len(steps)]


def coarse_errors(x: Items, y: Items, lag: int, lag_step: int, step: int) -> int:
    """Bit errors at `lag_step` times `lag`, of every `step`-th item of `y`."""
    over = [(x[i + lag_step * lag], y[i]) for i in range(0, len(y), step) if 0 <= i + lag_step * lag < len(x)]
    return sum((a ^ b).bit_count() for a, b in over)


def coarse_span(nx: int, ny: int, lag: int, lag_step: int, step: int) -> list[int]:
    """The rows, each a `step`-th item of `y`, that meet an item of `x`."""
    return [row for row in range(-(-ny // step)) if 0 <= step * row + lag_step * lag < nx]


def float32(value: float) -> float:
    """Rounded. Of a sum, difference, product or quotient of two, rounding the `float64` is the same."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def n_rows(span: tuple[int, int], lane_rows: int) -> int:
    return len(range(span[0], min(span[1], lane_rows)))


def lane_lags(spans: Spans, lane_rows: int, low: int, high: int) -> list[int]:
    """The indices of a lane's lags, of a range, that have rows."""
    return [i for i, span in enumerate(spans) if low <= i <= high and n_rows(span, lane_rows)]


def add_lags(
    curve: Curve, spans: Spans, lane: int, lane_rows: int, low: int, high: int, first: int, step: int
) -> tuple[int, int]:
    """Bit errors and rows of a lane, at every `step`-th lag from `first` on."""
    lags = [i for i in lane_lags(spans, lane_rows, low, high) if i >= first and (i - first) % step == 0]
    return sum(curve[i][lane] for i in lags), sum(n_rows(spans[i], lane_rows) for i in lags)


def stands_out(n: int, errors: int, average: float, clear: float, share: float) -> bool:
    fewer = float32(float32(float32(n) * average) - float32(errors))
    return fewer > float32(share * n) and float32(fewer * fewer) > float32(clear * n)


def sieve(
    curve: Curve, spans: Spans, lane: int, lane_rows: int, ranges: tuple[int, int, int, int], lowest: int
) -> list[int]:
    """The lags, `lowest` being that of index 0, within the last two of `ranges` that stand out of the average over
    those within the first two that BASE_STEP divides."""
    low, high, first, last = (lag - lowest for lag in ranges)
    errors, rows = add_lags(curve, spans, lane, lane_rows, low, high, -lowest % BASE_STEP, BASE_STEP)
    average = errors / max(rows, 1)
    share = average / 32
    needed = [float32(v) for v in (average, CLEAR * CLEAR * 4 * share * (1 - share), SHARE_EXPLAINED * average)]
    lags = lane_lags(spans, lane_rows, first, last)
    return [lowest + i for i in lags if stands_out(n_rows(spans[i], lane_rows), curve[i][lane], *needed)]


def best_index(curve: Curve, spans: Spans, lane: int, lane_rows: int, low: int, high: int, lowest: int) -> int:
    """The index of the best lag as in `best_lag`, `lowest` being the lag of index 0; -1 where there is none."""
    lags = lane_lags(spans, lane_rows, low, high)
    gains = {i: lag_gain(n_rows(spans[i], lane_rows), curve[i][lane]) for i in lags}
    return max(lags, key=lambda i: (gains[i], -abs(lowest + i), -i), default=-1)


def bit_counts(x: Items, y: Items) -> list[int]:
    """How often each bit is set in `x`, in `y`, how many differ, how many items; without those silent in both."""
    informative = [(a, b) for a, b in zip(x, y, strict=True) if not a == b == SILENT]
    ones = [sum(bit(pair[side], k) for pair in informative) for side in range(2) for k in range(32)]
    return [*ones, sum((a ^ b).bit_count() for a, b in informative), len(informative)]
