"""The line through points, some of which may be far off: `path` fits one to the lags of a pair's steps.

Everything is a loop over arrays of one type: NumPy's functions give the same and take some ten seconds more to
compile. `places` and `lags` are `float64[n]`, item and lag of each point, the places in ascending order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit

Floats = npt.NDArray[np.float64]

SLOPES_OF = 150
"""Points, evenly spread, between which slopes are measured."""


@jit
def likely_line(places: Floats, lags: Floats, errors: Floats) -> tuple[float, float]:
    """Slope and value at 0 of the line along most points: the slope is the median of those between points of the half
    with the fewest errors, SLOPES_OF to twice as many if there are more.

    Parameters:
        places, lags: the points, n of 3 or more.
        errors: `float64[n]`, by which the better half is chosen.
    """
    limit, n_better = _median(errors.copy()), 0
    better = np.empty(len(places), np.int64)
    for i in range(len(places)):
        if errors[i] <= limit:
            better[n_better] = i
            n_better += 1
    apart = max(1, n_better // SLOPES_OF)
    n = (n_better + apart - 1) // apart
    slopes, n_slopes = np.empty(n * (n - 1) // 2), 0
    for k in range(n):
        for i in range(k + 1, n):
            one, other = better[k * apart], better[i * apart]
            if places[other] > places[one]:  # at either end two steps may share a stretch
                slopes[n_slopes] = (lags[other] - lags[one]) / (places[other] - places[one])
                n_slopes += 1
    rate = _median(slopes[:n_slopes])
    starts = np.empty(n)
    for k in range(n):
        starts[k] = lags[better[k * apart]] - rate * places[better[k * apart]]
    return rate, _median(starts)


@jit
def _median(values: Floats) -> float:
    """The median, NaN of no values. `values`: scratch, `float64[n]`, left in another order."""
    n, middle = len(values), len(values) // 2
    if n == 0:
        return np.nan
    low, high = 0, n - 1
    while low < high:  # Hoare's FIND: in the end nothing left of `middle` is greater, and nothing right of it less
        pivot, i, j = values[middle], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if j < middle:
            low = i
        if middle < i:
            high = j
    if n % 2:
        return float(values[middle])
    below = values[0]
    for i in range(1, middle):
        below = max(below, values[i])
    return float((below + values[middle]) / 2)


@jit
def is_jump(places: Floats, lags: Floats) -> bool:
    """Whether two levels with one jump between them fit the points better than a line does. Two points or more."""
    slope, start = least_squares(places, lags)
    by_line = 0.0
    for i in range(len(places)):
        by_line += (lags[i] - start - slope * places[i]) ** 2
    for before in range(1, len(lags)):
        by_levels = _scatter(lags[:before]) + _scatter(lags[before:])
        if by_levels < by_line:
            return True
    return False


@jit
def _scatter(values: Floats) -> float:
    """Sum of the squared differences from the mean."""
    total = squares = 0.0
    for value in values:
        total += value
    mean = total / len(values)
    for value in values:
        squares += (value - mean) ** 2
    return squares


@jit
def least_squares(places: Floats, lags: Floats) -> tuple[float, float]:
    """Slope and value at 0 of the line with the least squared distances: lags are whole numbers, so the median of few
    slopes is rough. Two places or more must differ."""
    n = len(places)
    middle = mean = across = along = 0.0
    for i in range(n):
        middle += places[i]
        mean += lags[i]
    middle, mean = middle / n, mean / n
    for i in range(n):
        across += (places[i] - middle) * (lags[i] - mean)
        along += (places[i] - middle) ** 2
    slope = across / along
    return slope, mean - slope * middle
