"""Which of the pairs that `sweep` found are worth storing, by exact comparison and along the path.

Apart from `sweep`, as each function is compiled together with all that it calls, and the path is long."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import BlockItems, LagLimits, chance_corrected, compare, row_of
from dedup.correlation.line import Floats
from dedup.correlation.match import FOLLOWED_KAPPA, STORED_AGREEMENT, STORED_KAPPA
from dedup.correlation.path import follow, n_steps
from dedup.settings import CompareSettings
from dedup.store.items import Items

ROW_X, ROW_Y, LAG, OVERLAP, ERRORS, KAPPA, PROMINENCE = range(7)
"""Columns of a pair that was found: rows of the two blocks, then the numbers of `match.Match`."""

FOUND_COLUMNS = 7


class Floor(NamedTuple):
    """What a pair must have to be stored."""

    agreement: float
    """Smallest agreement at the best lag."""
    kappa: float
    """Smallest kappa at the best lag or along the path."""
    kappa_at_lag: float
    """Smallest kappa at the best lag, with which the path is followed."""
    n_informative: int
    """Fewest items that are not silent in both."""


def floor_of(settings: CompareSettings) -> Floor:
    """What a pair must have under these settings."""
    return Floor(STORED_AGREEMENT, STORED_KAPPA, FOLLOWED_KAPPA, settings.min_overlap_items)


@jit
def keep_worth_storing(
    x: BlockItems, y: BlockItems, exact: bool, limits: LagLimits, floor: Floor, found: Floats
) -> int:
    """Moves the pairs that are worth storing to the front, in their order, and gives their number.

    Parameters:
        x, y: the blocks that were compared.
        exact: whether `found` has all numbers. Else a pair has its likeliest lag and the kappa there, and gets its best
            lag and all numbers.
        limits: what a lag must meet to be tried.
        floor: what a pair must have.
        found: output, `float64[n, FOUND_COLUMNS]`; the rows behind the kept ones hold nothing of use.
    """
    n_kept = 0
    for i in range(len(found)):
        a, b = row_of(x, int(found[i, ROW_X])), row_of(y, int(found[i, ROW_Y]))
        if not _agrees(a, b, floor, found[i]):
            continue
        if not exact:
            _measure(a, b, limits, floor, found[i])
            if found[i, KAPPA] < floor.kappa_at_lag or not _agrees(a, b, floor, found[i]):
                continue
        for column in range(FOUND_COLUMNS):  # an array at a time takes three seconds more to compile
            found[n_kept, column] = found[i, column]
        n_kept += 1
    return n_kept


@jit
def _agrees(a: Items, b: Items, floor: Floor, pair: Floats) -> bool:
    """Whether a pair has enough kappa at its lag or along the path from there. `pair`: `float64[FOUND_COLUMNS]`."""
    if pair[KAPPA] >= floor.kappa:
        return True
    similar = np.empty(n_steps(len(b)), np.uint8)
    return bool(follow(a, b, int(pair[LAG]), similar).kappa >= floor.kappa)


@jit
def _measure(a: Items, b: Items, limits: LagLimits, floor: Floor, pair: Floats) -> None:
    """The numbers of a pair at its best lag.

    Parameters:
        a, b: `uint32[na]`, `uint32[nb]`, in the order of `kernels.is_swapped`.
        limits: what a lag must meet to be tried.
        floor: what the pair must have.
        pair: output, `float64[FOUND_COLUMNS]`, from LAG on. KAPPA is -1 if another number is too low.
    """
    errors = np.empty(min(2 * limits.max_lag + 1, len(a) + len(b)), np.int64)
    best = compare(a, b, limits, errors)
    kappa, n_informative = chance_corrected(a, b, best.lag)
    if 1.0 - best.errors / (32.0 * best.overlap) < floor.agreement or n_informative < floor.n_informative:
        kappa = -1.0
    pair[LAG], pair[OVERLAP], pair[ERRORS] = best.lag, best.overlap, best.errors
    pair[KAPPA], pair[PROMINENCE] = kappa, best.prominence
