"""The slow, obvious twin of every kernel of `dedup.correlation.kernels`, on lists of Python integers.

No NumPy, no cleverness: what is counted is counted one bit or one item at a time, and what is a fraction is a
`Fraction` until it must be compared with what the kernel says."""

from __future__ import annotations

import math
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
