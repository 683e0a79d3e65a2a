"""How the lag of a pair goes on through it: the same from end to end in a copy, along a line in a copy of other speed,
by a small jump where a recording lost something.

The shorter fingerprint `y` is cut into steps of about 4 s. From the step that fits best at the pair's lag the others
are followed in both directions: each within reach of what the last one had. The reach grows with the distance, by the
fastest change of speed that is looked for, so that a pair which shows no sign of it costs little.

A copy of other speed is told by the median of the slopes between all pairs of steps (Theil 1950, Sen 1968), then by
least squares over those near that line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import SILENT, Counts, kappa
from dedup.correlation.line import is_jump, least_squares, likely_line
from dedup.correlation.vector import add_bits, run_errors
from dedup.store.items import Items

STEP = 32
"""Items of a step, 4.0 s."""

STRETCH = 64
"""Items that settle the lag of a step: the step and half a step on either side."""

KNOWN_AGREEMENT = 0.65
"""From here on a stretch says where it lies. Unrelated music has 0.5 to 0.6."""

GIVE_UP = 8
"""Steps in a row that say nothing, after which no more are asked in that direction."""

SLACK, REACH = 2, 0.06
"""Items by which the lag may change from a step to the next: so many, and so many for each item between them. Over
GIVE_UP steps that is 17, 2 s."""

NEAR_LINE = 2
"""Items by which the lag of a step may miss a line and lie on it."""

ON_LINE = 0.8
"""Share of the known steps that must lie on a line that is not level."""

LEAST_DRIFT = 4.0
"""Items that the lag must drift over the known steps before a speed is spoken of: half a second."""

MUTE = np.uint8(0)
"""Similarity of a step that is silent in both."""


class Path(NamedTuple):
    """A pair along its path, `y` its shorter fingerprint."""

    kappa: float
    """Chance-corrected agreement, -1 to 1, without what is silent in both."""
    errors: int
    """Bits that differ."""
    n_informative: int
    """Items not silent in both."""
    n_items: int
    rate: float
    """Items of `x` for an item of `y`, less 1; 0 where both have the same speed."""
    y_from: int
    y_to: int
    x_from: int
    x_to: int
    """Which items of `y`, and of `x`, lie over each other."""
    n_steps: int


@jit
def follow(x: Items, y: Items, lag: int, similar: npt.NDArray[np.uint8]) -> Path:
    """The path of a pair whose best single lag is `lag`, `kernels.is_swapped(x, y)` false. Fills `similar`, with room
    for `n_steps(len(y))`: of each step 1 + 254 times the agreement, rounded, or MUTE."""
    n = n_steps(len(y))
    lags, wrong = np.empty(n, np.int64), np.empty(n, np.int64)
    for j in range(n):
        lags[j], wrong[j] = lag, -1
    _find_lags(x, y, lag, lags, wrong)
    rate, start = _line(lags, wrong, lag, len(y))
    for j in range(n):
        if wrong[j] < 0:
            lags[j] = int(np.rint(start + rate * (j + 0.5) * STEP))
    if rate == 0:
        _level(x, y, lags)
    return _measure(x, y, lags, rate, similar)


@jit
def n_steps(n_items: int) -> int:
    """Steps of so many items, the last one shorter."""
    return (n_items + STEP - 1) // STEP


@jit
def _stretch(j: int, ny: int) -> int:
    """First item of the stretch of a step."""
    return max(0, min(j * STEP + STEP // 2 - STRETCH // 2, ny - STRETCH))


@jit
def _find_lags(x: Items, y: Items, lag: int, lags: Counts, wrong: Counts) -> None:
    """The lag of each step that says where it lies, and the bits that differ over its stretch; -1 where it does not."""
    nx, ny = len(x), len(y)
    if ny < STRETCH:
        return
    most = int((1.0 - KNOWN_AGREEMENT) * 32 * STRETCH)
    seed, least = -1, most + 1
    for j in range(len(lags)):
        first = _stretch(j, ny)
        if 0 <= first + lag <= nx - STRETCH:
            errors = int(run_errors(x, first + lag, y, first, STRETCH))
            if errors < least:
                seed, least = j, errors
    if seed < 0:
        return
    wrong[seed] = least
    for direction in (1, -1):
        last, last_lag, j = seed, lag, seed + direction
        while 0 <= j < len(lags) and abs(j - last) <= GIVE_UP:
            found, errors = _best_near(x, y, _stretch(j, ny), last_lag, abs(j - last))
            if errors <= most:
                lags[j], wrong[j] = found, errors
                last, last_lag = j, found
            j += direction


@jit
def _best_near(x: Items, y: Items, first: int, lag: int, distance: int) -> tuple[int, int]:
    """The lag at which the stretch from `y[first]` on fits best, `distance` steps from one that has `lag`, and the bits
    that differ there; of equals the nearest to `lag`, of these the higher. More bits than there are where the stretch
    is not all in `x` at `lag` itself: what fits then is only what is left."""
    best, least = lag, 32 * STRETCH + 1
    if not 0 <= first + lag <= len(x) - STRETCH:
        return best, least
    for away in range(SLACK + int(REACH * STEP * distance) + 1):
        for candidate in (lag + away, lag - away):
            if 0 <= first + candidate <= len(x) - STRETCH:
                errors = int(run_errors(x, first + candidate, y, first, STRETCH))
                if errors < least:
                    best, least = candidate, errors
    return best, least


@jit
def _line(lags: Counts, wrong: Counts, lag: int, ny: int) -> tuple[float, float]:
    """Slope, and lag at the first item of `y`, of the line on which the steps lie: level at `lag` where they drift by
    less than LEAST_DRIFT, or lie on no line."""
    n, room = 0, len(lags)
    known, places, there, errors = np.empty(room, np.int64), np.empty(room), np.empty(room), np.empty(room)
    lowest, highest = np.inf, -np.inf
    for j in range(room):
        if wrong[j] >= 0:
            known[n], places[n], there[n], errors[n] = j, _stretch(j, ny) + STRETCH / 2, lags[j], wrong[j]
            lowest, highest = min(lowest, there[n]), max(highest, there[n])
            n += 1
    if n < 6 or highest - lowest < LEAST_DRIFT:
        return 0.0, float(lag)
    rate, start = likely_line(places[:n], there[:n], errors[:n])
    near, near_places, near_there = 0, np.empty(n), np.empty(n)
    for i in range(n):
        if abs(there[i] - start - rate * places[i]) <= NEAR_LINE:
            near_places[near], near_there[near] = places[i], there[i]
            near += 1
    if near < ON_LINE * n or is_jump(places[:n], there[:n]):
        return 0.0, float(lag)
    rate, start = least_squares(near_places[:near], near_there[:near])
    if abs(rate) * (known[n - 1] - known[0]) * STEP < LEAST_DRIFT:
        return 0.0, float(lag)
    return rate, start


@jit
def _level(x: Items, y: Items, lags: Counts) -> None:
    """Gives each step the lag of a neighbour where that fits better: around a place where a recording lost
    something."""
    n = len(lags)
    for j in range(1, n):
        _take_better(x, y, j, lags[j - 1], lags)
    for j in range(n - 2, -1, -1):
        _take_better(x, y, j, lags[j + 1], lags)


@jit
def _take_better(x: Items, y: Items, j: int, lag: int, lags: Counts) -> None:
    first = j * STEP
    n = min(STEP, len(y) - first)
    inside = first + min(lag, lags[j]) >= 0 and first + max(lag, lags[j]) + n <= len(x)
    if lag != lags[j] and inside:
        now, then = run_errors(x, first + lags[j], y, first, n), run_errors(x, first + lag, y, first, n)
        if then < now:
            lags[j] = lag


@jit
def _measure(x: Items, y: Items, lags: Counts, rate: float, similar: npt.NDArray[np.uint8]) -> Path:
    nx, ny = len(x), len(y)
    counts, some = np.zeros(66, np.int64), np.empty(66, np.int32)
    errors = n_items = n = 0
    y_from = y_to = x_from = x_to = 0
    for j in range(len(lags)):
        first, last = max(j * STEP, -lags[j]), min((j + 1) * STEP, ny, nx - lags[j])
        if first >= last:
            continue
        some[:] = 0
        add_bits(x, first + lags[j], y, first, last - first, SILENT, some)
        counts += some
        n_here = last - first
        errors, n_items = errors + some[64], n_items + n_here
        if n == 0:
            y_from, x_from = first, first + lags[j]
        y_to, x_to = last, last + lags[j]
        similar[n] = MUTE
        if some[65] > 0:
            similar[n] = np.uint8(1 + np.rint(254.0 * (1.0 - some[64] / (32.0 * some[65]))))
        n += 1
    corrected, n_informative = kappa(counts)
    return Path(corrected, errors, n_informative, n_items, rate, y_from, y_to, x_from, x_to, n)
