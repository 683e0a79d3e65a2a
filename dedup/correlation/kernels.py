"""The all-pairs comparison, compiled. `tests/naive.py` holds the slow, obvious twin of each function.

Notation: fingerprints `x[0:nx]` and `y[0:ny]` of `uint32` items; at lag `o`, item `x[i + o]` lies over `y[i]`.
The overlap at lag `o` has `n(o) = min(nx - o, ny) - max(0, -o)` items. `errors(o)` is the number of bits that differ
in it, 0 to `32 n`. Everything stays an integer until the last division, so no order of work can change a result.

Bit errors are summed in `uint32`, which holds 134 million items (192 days of audio). Other integers are `int64`, except
in `vector` and `cascade`, whose `int32` hold the coarse curves of 20 million items.

In these modules every array is C-contiguous, and a parameter is input only unless it is marked output or scratch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.vector import (
    BITS_AT_A_TIME,
    COUNTED_ERRORS,
    COUNTED_ITEMS,
    N_COUNTS,
    add_bits,
    add_many_bits,
    run_errors,
)
from dedup.settings import CompareSettings
from dedup.store.items import SILENT_ITEM, Items

Counts = npt.NDArray[np.int64]

PEAK_WIDTH = 16
"""Items on either side of the best lag that belong to its peak: neighbouring items overlap in the audio they
describe, so the lag curve is smooth over about 16 items (2 s)."""

SILENT = np.uint32(SILENT_ITEM)


class LagLimits(NamedTuple):
    """What a lag must meet to be tried."""

    max_lag: int
    """Largest lag in either direction, 0 or more."""
    min_overlap: float
    """Smallest overlap as a share of the shorter fingerprint, above 0 to 1."""
    min_items: int
    """Smallest overlap in items, 1 or more."""


class BestLag(NamedTuple):
    """The best lag of a pair, and the numbers measured there."""

    found: bool
    """False if no lag has enough overlap; the other fields are then 0."""
    lag: int
    overlap: int
    """Items, 1 or more."""
    errors: int
    """Bits that differ, 0 to 32 times `overlap`."""
    prominence: float
    """Agreement minus the `rival_agreement`, -0.5 to 0.5."""


class BlockItems(NamedTuple):
    """The fingerprints of a block."""

    items: Items
    """Items of all fingerprints, one after another."""
    offsets: Counts
    """First item of each fingerprint, and the end of the last, `[n_rows + 1]`."""


def lag_limits(settings: CompareSettings) -> LagLimits:
    """The limits that these settings ask for."""
    return LagLimits(settings.lag_limit, float(settings.min_overlap), settings.min_overlap_items)


@jit
def row_of(fingerprints: BlockItems, row: int) -> Items:
    """The fingerprint in a row of the block, a view."""
    return fingerprints.items[fingerprints.offsets[row] : fingerprints.offsets[row + 1]]


@jit
def required_overlap(nx: int, ny: int, min_overlap: float, min_items: int) -> int:
    """Items that must overlap: `max(min_items, ceil(min_overlap * min(nx, ny)))`, the product in `float64`."""
    return max(min_items, int(np.ceil(min_overlap * min(nx, ny))))


@jit
def lag_range(nx: int, ny: int, required: int, max_lag: int) -> tuple[int, int]:
    """Lowest and highest lag within `max_lag` at which `required` items overlap, both included; the range holds 0.
    `(1, 0)`, lowest above highest, if there is none.

    Parameters:
        nx, ny: lengths, 0 or more.
        required: items, 1 or more.
        max_lag: 0 or more.
    """
    if required > min(nx, ny):
        return 1, 0
    return max(-max_lag, required - ny), min(max_lag, nx - required)


@jit
def allowed_lags(nx: int, ny: int, limits: LagLimits) -> tuple[int, int]:
    """`lag_range` with the overlap that `required_overlap` asks for."""
    return lag_range(nx, ny, required_overlap(nx, ny, limits.min_overlap, limits.min_items), limits.max_lag)


@jit
def overlap_at(nx: int, ny: int, lag: int) -> int:
    """Items that overlap at a lag; 0 or less if none do."""
    return min(nx - lag, ny) - max(0, -lag)


@jit
def bit_errors(x: Items, y: Items, lag: int, n_items: int) -> int:
    """Bits that differ in the `n_items` that overlap at `lag`; 0 if none do."""
    return int(run_errors(x, max(0, lag), y, max(0, -lag), n_items))


@jit
def lag_curve(x: Items, y: Items, lowest: int, highest: int, errors: Counts) -> None:
    """Computes the bit errors at every lag of a range.

    Parameters:
        x, y: `uint32[nx]`, `uint32[ny]`.
        lowest, highest: lags, both included.
        errors: output, `int64[highest - lowest + 1]` or longer; `errors[lag - lowest]`.
    """
    for lag in range(lowest, highest + 1):
        errors[lag - lowest] = bit_errors(x, y, lag, overlap_at(len(x), len(y), lag))


@jit
def lag_gain(n: int, errors: int) -> float:
    """`(agreement - 1/2)^2 * n` with the sign of `agreement - 1/2`, times 1024: `d |d| / n`, `d = 16 n - errors`. Lags
    are chosen by it, as the evidence of an overlap grows with the root of its length.

    `float64`, from integers by one division, so it is the same on every machine.

    Parameters:
        n: items, 1 or more.
        errors: bits, 0 to `32 n`.
    """
    fewer = np.float64(16 * n - errors)
    return fewer * abs(fewer) / n


@jit
def best_lag(nx: int, ny: int, lowest: int, highest: int, errors: Counts) -> int:
    """The lag with the largest `lag_gain`; among equals the one nearest to 0, then the lower.

    Parameters:
        nx, ny: lengths, 1 or more.
        lowest, highest: lags, both included, `lowest <= highest`; items overlap at each.
        errors: `int64[highest - lowest + 1]` or longer, filled by `lag_curve`.
    """
    best, best_gain = lowest, -np.inf
    for lag in range(lowest, highest + 1):
        gain = lag_gain(overlap_at(nx, ny, lag), errors[lag - lowest])
        if gain > best_gain or (gain == best_gain and abs(lag) < abs(best)):
            best, best_gain = lag, gain
    return best


@jit
def rival_agreement(nx: int, ny: int, lowest: int, highest: int, errors: Counts, best: int) -> float:
    """The highest agreement at a lag more than PEAK_WIDTH items from `best`, 1/2 (chance) at least.

    Parameters: as of `best_lag`, and the lag that it chose.
    """
    rival = 0.5
    for lag in range(lowest, highest + 1):
        if abs(lag - best) > PEAK_WIDTH:
            rival = max(rival, 1.0 - errors[lag - lowest] / (32.0 * overlap_at(nx, ny, lag)))
    return rival


@jit
def prominence_at(nx: int, ny: int, lowest: int, highest: int, errors: Counts, lag: int) -> float:
    """How far the agreement at a lag stands above the `rival_agreement`, -0.5 to 0.5. Parameters: as there."""
    agreement = 1.0 - int(errors[lag - lowest]) / (32.0 * overlap_at(nx, ny, lag))
    return agreement - rival_agreement(nx, ny, lowest, highest, errors, lag)


@jit
def chance_corrected(x: Items, y: Items, lag: int) -> tuple[float, int]:
    """Chance-corrected agreement (Cohen's kappa) at a lag, and the number of items it rests on: those of the overlap
    that are not silent in both.

    `kappa = (c - e) / (1 - e)`: `c` is the share of equal bits, `e` the share that two fingerprints with these 32 pairs
    of bit marginals would have by chance. Kappa is -1 to 1. It is 0 if `e` is 1 (both are constant, or no item is
    left), as such an overlap tells nothing. Both counts of the fraction are exact: below `2^53` up to 16 million items.

    Parameters:
        x, y: `uint32[nx]`, `uint32[ny]`.
        lag: any.
    """
    n_overlap, start_x, start_y = overlap_at(len(x), len(y), lag), max(0, lag), max(0, -lag)
    counts, some = np.zeros(N_COUNTS, np.int64), np.zeros(N_COUNTS, np.int32)
    n_done = add_many_bits(x, start_x, y, start_y, n_overlap, SILENT, some)
    for count in range(N_COUNTS):  # an array at a time takes longer to compile
        counts[count] = some[count]
    counts[COUNTED_ERRORS] += run_errors(x, start_x, y, start_y, n_done)
    for i in range(n_done, n_overlap, BITS_AT_A_TIME):
        for count in range(N_COUNTS):
            some[count] = 0
        add_bits(x, start_x + i, y, start_y + i, min(n_overlap - i, BITS_AT_A_TIME), SILENT, some)
        for count in range(N_COUNTS):
            counts[count] += some[count]
    return kappa(counts)


@jit
def kappa(counts: Counts) -> tuple[float, int]:
    """Chance-corrected agreement of counted items, and the number of them.

    Parameters:
        counts: `int64[N_COUNTS]`, as `vector.add_bits` counts.
    """
    errors, n = counts[COUNTED_ERRORS], counts[COUNTED_ITEMS]
    by_chance = 0  # n^2 times the expected number of equal bits of an item
    for bit in range(32):
        ones_x, ones_y = counts[bit], counts[32 + bit]
        by_chance += ones_x * ones_y + (n - ones_x) * (n - ones_y)
    missing = 32 * n * n - by_chance
    if missing == 0:
        return 0.0, n
    return (32 * n * n - n * errors - by_chance) / missing, n


@jit
def is_swapped(x: Items, y: Items) -> bool:
    """Whether `y` comes before `x` in the one order that both orientations of a pair agree on: the longer first,
    then by items. It breaks ties between lags the same way whichever block a fingerprint is in. False for equals,
    whose best lag is 0."""
    if len(x) != len(y):
        return len(x) < len(y)
    for i in range(len(x)):
        if x[i] != y[i]:
            return bool(x[i] > y[i])
    return False


@jit
def compare(x: Items, y: Items, limits: LagLimits, errors: Counts) -> BestLag:
    """The best lag of a pair, and the numbers there.

    Parameters:
        x, y: `uint32[nx]`, `uint32[ny]`, in the order of `is_swapped`.
        limits: what a lag must meet to be tried.
        errors: scratch, `int64[min(2 * max_lag + 1, nx + ny)]` or longer.
    """
    nx, ny = len(x), len(y)
    lowest, highest = allowed_lags(nx, ny, limits)
    if lowest > highest:
        return BestLag(False, 0, 0, 0, 0.0)
    lag_curve(x, y, lowest, highest, errors)
    lag = best_lag(nx, ny, lowest, highest, errors)
    overlap = overlap_at(nx, ny, lag)
    prominence = prominence_at(nx, ny, lowest, highest, errors, lag)
    return BestLag(True, lag, overlap, int(errors[lag - lowest]), prominence)
