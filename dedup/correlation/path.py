"""How the lag of a pair changes on the way through it: not at all in a copy, along a line in a copy at another speed,
by a small jump where a recording lost something.

The shorter fingerprint `y` is cut into steps of about 4 s. From the step that fits best at the pair's lag, the others
are followed in both directions, each within reach of the last one's lag. The reach grows with the distance, by the
fastest change of speed that is looked for, so a pair that shows no sign of it costs little.

The speed of a copy is the median of the slopes between all pairs of steps (Theil 1950, Sen 1968), refined by least
squares over the steps near that line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import SILENT, Counts, kappa
from dedup.correlation.line import is_jump, least_squares, likely_line
from dedup.correlation.vector import COUNTED_ERRORS, COUNTED_ITEMS, N_COUNTS, add_bits, run_errors
from dedup.store.items import Items

STEP = 32
"""Items of a step, 4.0 s."""

STRETCH = 64
"""Items that decide the lag of a step: the step and half a step on either side."""

KNOWN_AGREEMENT = 0.65
"""Agreement from which the lag of a stretch counts as known. Unrelated music has 0.5 to 0.6."""

GIVE_UP = 8
"""Steps in a row without a known lag, after which that direction is given up."""

SLACK, REACH = 2, 0.06
"""Items by which the lag may change from one known step to the next: SLACK, and REACH for each item between them.
Over GIVE_UP steps that is 17, 2 s."""

NEAR_LINE = 2
"""Items by which the lag of a step may miss a line and still lie on it."""

ON_LINE = 0.8
"""Share of the known steps that must lie on a sloping line."""

LEAST_DRIFT = 4.0
"""Items by which the lag must drift over the known steps to count as another speed: half a second."""

MUTE = np.uint8(0)
"""Similarity of a step that is silent in both."""


class Path(NamedTuple):
    """A pair along its path; `y` is the shorter fingerprint."""

    kappa: float
    """Chance-corrected agreement, -1 to 1, of the items that are not silent in both."""
    errors: int
    """Bits that differ."""
    n_informative: int
    """Items that are not silent in both."""
    n_items: int
    """Items that lie over each other."""
    rate: float
    """Items of `x` for each item of `y`, less 1; 0 at the same speed."""
    y_from: int
    """First item of `y` on the path."""
    y_to: int
    """End of the path in `y`, the item behind the last."""
    x_from: int
    """First item of `x` on the path."""
    x_to: int
    """End of the path in `x`."""
    n_steps: int
    """Steps that lie over items of `x`, all or in part."""


@jit
def follow(x: Items, y: Items, lag: int, similar: npt.NDArray[np.uint8]) -> Path:
    """The path of a pair.

    Parameters:
        x, y: `uint32[nx]`, `uint32[ny]`, in the order of `kernels.is_swapped`.
        lag: the best single lag.
        similar: output, `uint8[n_steps(ny)]`, filled for the steps of the path from index 0: 1 + 254 times the
            agreement, rounded, or MUTE.
    """
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
    """Steps that hold this many items; the last may be shorter."""
    return (n_items + STEP - 1) // STEP


@jit
def _stretch(j: int, ny: int) -> int:
    """First item of the stretch of step `j`, 0 to `max(0, ny - STRETCH)`."""
    return max(0, min(j * STEP + STEP // 2 - STRETCH // 2, ny - STRETCH))


@jit
def _find_lags(x: Items, y: Items, lag: int, lags: Counts, wrong: Counts) -> None:
    """Finds the steps whose lag is known.

    Parameters:
        x, y, lag: as of `follow`.
        lags: output, `int64[n_steps(ny)]`: the lag of each known step; others stay as they are.
        wrong: output, `int64[n_steps(ny)]`, -1 before: bits that differ over the stretch of each known step.
    """
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
    """The lag at which a stretch fits best, and the bits that differ there; among equals the nearest to `lag`, then the
    higher. More bits than a stretch has if it does not lie wholly over `x` at `lag` itself: only the rest of the range
    would then be compared.

    Parameters:
        x, y: `uint32[nx]`, `uint32[ny]`.
        first: the first item of the stretch in `y`, 0 to `ny - STRETCH`.
        lag: of the nearest known step.
        distance: steps between the two, 1 or more.
    """
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
    """The line on which the known steps lie: its slope, and its lag at the first item of `y`. It is level, at `lag`, if
    they drift by less than LEAST_DRIFT or lie on no line.

    Parameters:
        lags, wrong: `int64[n_steps(ny)]`, from `_find_lags`.
        lag: the best single lag.
        ny: items of `y`.
    """
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
    """Gives each step the lag of a neighbour if it fits better, as around a place where a recording lost something.
    `lags`: output, `int64[n_steps(ny)]`."""
    n = len(lags)
    for j in range(1, n):
        _take_better(x, y, j, lags[j - 1], lags)
    for j in range(n - 2, -1, -1):
        _take_better(x, y, j, lags[j + 1], lags)


@jit
def _take_better(x: Items, y: Items, j: int, lag: int, lags: Counts) -> None:
    """Gives step `j` this lag if it fits better there than its own. `lags`: output, as of `_level`."""
    first = j * STEP
    n = min(STEP, len(y) - first)
    inside = first + min(lag, lags[j]) >= 0 and first + max(lag, lags[j]) + n <= len(x)
    if lag != lags[j] and inside:
        now, then = run_errors(x, first + lags[j], y, first, n), run_errors(x, first + lag, y, first, n)
        if then < now:
            lags[j] = lag


@jit
def _measure(x: Items, y: Items, lags: Counts, rate: float, similar: npt.NDArray[np.uint8]) -> Path:
    """The numbers of a path. `lags`: `int64[n_steps(ny)]`, of every step; `similar`: output, as of `follow`."""
    nx, ny = len(x), len(y)
    counts, some = np.zeros(N_COUNTS, np.int64), np.empty(N_COUNTS, np.int32)
    errors = n_items = n = 0
    y_from = y_to = x_from = x_to = 0
    for j in range(len(lags)):
        first, last = max(j * STEP, -lags[j]), min((j + 1) * STEP, ny, nx - lags[j])
        if first >= last:
            continue
        for count in range(N_COUNTS):
            some[count] = 0
        add_bits(x, first + lags[j], y, first, last - first, SILENT, some)
        for count in range(N_COUNTS):
            counts[count] += some[count]
        n_here = last - first
        errors, n_items = errors + some[COUNTED_ERRORS], n_items + n_here
        if n == 0:
            y_from, x_from = first, first + lags[j]
        y_to, x_to = last, last + lags[j]
        similar[n] = MUTE
        if some[COUNTED_ITEMS] > 0:
            similar[n] = np.uint8(1 + np.rint(254.0 * (1.0 - some[COUNTED_ERRORS] / (32.0 * some[COUNTED_ITEMS]))))
        n += 1
    corrected, n_informative = kappa(counts)
    return Path(corrected, errors, n_informative, n_items, rate, y_from, y_to, x_from, x_to, n)
