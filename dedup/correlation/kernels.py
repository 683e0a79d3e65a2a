"""The all-pairs comparison, compiled. The slow obvious twin of each function is in `tests/naive.py`.

Notation: fingerprints `x[0:nx]`, `y[0:ny]` of `uint32` items, lag `o`: item `x[i + o]` lies over `y[i]`.
The overlap at lag `o` has `n(o) = min(nx - o, ny) - max(0, -o)` items. `errors(o)` counts the bits that differ over
it, 0 to `32 n`. Everything is an integer until the last division, so that no order of work can change a result.

Bit errors are summed in `uint32`, which holds 134 million items (192 days of audio); other integers are `int64`, but
for those of `vector` and `cascade`, whose `int32` hold the coarse curves of 20 million items.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.vector import BITS_AT_A_TIME, add_bits, run_errors
from dedup.store.items import SILENT_ITEM, Items

Counts = npt.NDArray[np.int64]

PEAK_WIDTH = 16
"""Items on either side of the best lag that belong to its peak: neighbouring items overlap in the audio they
describe, so the lag curve is smooth over about 16 items (2 s)."""

SILENT = np.uint32(SILENT_ITEM)


@jit
def required_overlap(nx: int, ny: int, min_overlap: float, min_items: int) -> int:
    """Items that must overlap: `max(min_items, ceil(min_overlap * min(nx, ny)))`, the product in `float64`."""
    return max(min_items, int(np.ceil(min_overlap * min(nx, ny))))


@jit
def lag_range(nx: int, ny: int, required: int, max_lag: int) -> tuple[int, int]:
    """Lowest and highest lag (both included) within `max_lag` at which `required` items (1 or more)
    overlap; (1, 0), lowest above highest, where there is none. Else the range holds 0."""
    if required > min(nx, ny):
        return 1, 0
    return max(-max_lag, required - ny), min(max_lag, nx - required)


@jit
def allowed_lags(nx: int, ny: int, max_lag: int, min_overlap: float, min_items: int) -> tuple[int, int]:
    """`lag_range` with the overlap that `required_overlap` asks for."""
    return lag_range(nx, ny, required_overlap(nx, ny, min_overlap, min_items), max_lag)


@jit
def overlap_at(nx: int, ny: int, lag: int) -> int:
    """Items that overlap at a lag; 0 or less where none do."""
    return min(nx - lag, ny) - max(0, -lag)


@jit
def bit_errors(x: Items, y: Items, lag: int, n_items: int) -> int:
    """Bits that differ over the `n_items` that overlap at `lag`; 0 where none do."""
    return int(run_errors(x, max(0, lag), y, max(0, -lag), n_items))


@jit
def lag_curve(x: Items, y: Items, lowest: int, highest: int, errors: Counts) -> None:
    """Fills `errors[0 : highest - lowest + 1]` (`int64`) with the bit errors at each lag."""
    for lag in range(lowest, highest + 1):
        errors[lag - lowest] = bit_errors(x, y, lag, overlap_at(len(x), len(y), lag))


@jit
def lag_gain(n: int, errors: int) -> float:
    """`(agreement - 1/2)^2 * n` with the sign of `agreement - 1/2`, up to the factor 1024: `d |d| / n`, `d = 16 n -
    errors`; `n >= 1`. What a lag is chosen by: the evidence of an overlap grows with the root of its length.

    `float64`, from integers by one division: the same on every machine."""
    fewer = np.float64(16 * n - errors)
    return fewer * abs(fewer) / n


@jit
def best_lag(nx: int, ny: int, lowest: int, highest: int, errors: Counts) -> int:
    """The lag with the largest `lag_gain`; of equals the one nearest to 0, of these the lower. `lowest <= highest`,
    and all of these lags have an overlap."""
    best, best_gain = lowest, -np.inf
    for lag in range(lowest, highest + 1):
        gain = lag_gain(overlap_at(nx, ny, lag), errors[lag - lowest])
        if gain > best_gain or (gain == best_gain and abs(lag) < abs(best)):
            best, best_gain = lag, gain
    return best


@jit
def rival_agreement(nx: int, ny: int, lowest: int, highest: int, errors: Counts, best: int) -> float:
    """The highest agreement at a lag more than PEAK_WIDTH items from `best`; 1/2 (chance) where that is higher, or
    where there is no such lag."""
    rival = 0.5
    for lag in range(lowest, highest + 1):
        if abs(lag - best) > PEAK_WIDTH:
            rival = max(rival, 1.0 - errors[lag - lowest] / (32.0 * overlap_at(nx, ny, lag)))
    return rival


@jit
def prominence_at(nx: int, ny: int, lowest: int, highest: int, errors: Counts, lag: int) -> float:
    """How far the agreement at a lag stands above the `rival_agreement`."""
    agreement = 1.0 - int(errors[lag - lowest]) / (32.0 * overlap_at(nx, ny, lag))
    return agreement - rival_agreement(nx, ny, lowest, highest, errors, lag)


@jit
def chance_corrected(x: Items, y: Items, lag: int) -> tuple[float, int]:
    """Chance-corrected agreement (Cohen's kappa) at a lag, over the overlap without the items where both are silent.

    `kappa = (c - e) / (1 - e)`: `c` the share of equal bits, `e` the share that two fingerprints with these 32 pairs
    of bit marginals would have by chance. Gives `(kappa, n_informative)`, kappa -1 to 1 and 0 where `e` is 1 (both
    constant, or nothing left): such an overlap says nothing. Both counts of the fraction are exact: below `2^53` up
    to 16 million items."""
    n_overlap, start_x, start_y = overlap_at(len(x), len(y), lag), max(0, lag), max(0, -lag)
    counts, some = np.zeros(66, np.int64), np.empty(66, np.int32)
    for i in range(0, n_overlap, BITS_AT_A_TIME):
        some[:] = 0
        add_bits(x, start_x + i, y, start_y + i, min(n_overlap - i, BITS_AT_A_TIME), SILENT, some)
        counts += some
    return kappa(counts)


@jit
def kappa(counts: Counts) -> tuple[float, int]:
    """Chance-corrected agreement of items whose bits were counted as by `vector.add_bits`, and how many they were."""
    errors, n = counts[64], counts[65]
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
    then by items. Ties between lags are then broken alike whichever block a fingerprint is in. False for equals,
    whose best lag is 0."""
    if len(x) != len(y):
        return len(x) < len(y)
    for i in range(len(x)):
        if x[i] != y[i]:
            return bool(x[i] > y[i])
    return False


@jit
def compare(
    x: Items, y: Items, max_lag: int, min_overlap: float, min_items: int, errors: Counts
) -> tuple[bool, int, int, int, float]:
    """The best lag of a pair and what is to be said of it, for a pair that `is_swapped` has put in order.

    `errors` is scratch, `int64`, for as many lags as there may be: the lesser of `2 max_lag + 1` and `nx + ny`. Gives
    `(found, lag, overlap, errors, prominence)`; `found` is False where no lag has overlap enough."""
    nx, ny = len(x), len(y)
    lowest, highest = allowed_lags(nx, ny, max_lag, min_overlap, min_items)
    if lowest > highest:
        return False, 0, 0, 0, 0.0
    lag_curve(x, y, lowest, highest, errors)
    lag = best_lag(nx, ny, lowest, highest, errors)
    overlap = overlap_at(nx, ny, lag)
    prominence = prominence_at(nx, ny, lowest, highest, errors, lag)
    return True, lag, overlap, int(errors[lag - lowest]), prominence
