"""Which of the pairs that `sweep` found are worth storing: the exact comparison, and that along the path.

Apart from `sweep`, for each function that calls another is compiled with all of it, and the path is long."""

from __future__ import annotations

import numpy as np

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import Counts, chance_corrected, compare
from dedup.correlation.line import Floats
from dedup.correlation.path import follow, n_steps
from dedup.store.items import Items

FOUND_COLUMNS = 7
"""Of a pair that was found: row of `x`, row of `y`, lag, overlap, errors, kappa, prominence."""

Floor = tuple[float, float, float, int]
"""What a pair must have: agreement; kappa, at its best lag or along its path; kappa at its best lag; informative
items."""


@jit
def settle(
    x: tuple[Items, Counts],
    y: tuple[Items, Counts],
    exact: bool,
    settings: tuple[int, float, int],
    floor: Floor,
    found: Floats,
) -> int:
    """Keeps the pairs that are worth storing of those in `found` (`float64[n, FOUND_COLUMNS]`), first and in their
    order, and gives how many; a pair below any part of `floor` is dropped. `x` and `y` are blocks, items and offsets.
    What is not `exact` has only the likeliest lag, and the kappa there: it gets its best lag, and all numbers there."""
    n_kept = 0
    for i in range(len(found)):
        row_x, row_y = int(found[i, 0]), int(found[i, 1])
        a, b = x[0][x[1][row_x] : x[1][row_x + 1]], y[0][y[1][row_y] : y[1][row_y + 1]]
        similar = np.empty(n_steps(len(b)), np.uint8)
        if found[i, 5] < floor[1] and follow(a, b, int(found[i, 2]), similar).kappa < floor[1]:
            continue
        if not exact:
            _measure(a, b, settings, floor, found[i])
            if found[i, 5] < floor[2]:
                continue
            if found[i, 5] < floor[1] and follow(a, b, int(found[i, 2]), similar).kappa < floor[1]:
                continue
        for column in range(FOUND_COLUMNS):  # an array at a time takes three seconds more to compile
            found[n_kept, column] = found[i, column]
        n_kept += 1
    return n_kept


@jit
def _measure(a: Items, b: Items, settings: tuple[int, float, int], floor: Floor, pair: Floats) -> None:
    """Fills in the numbers of a pair at its best lag; a kappa of -1 where another is too low."""
    errors = np.empty(min(2 * settings[0] + 1, len(a) + len(b)), np.int64)
    _, lag, overlap, wrong, prominence = compare(a, b, settings[0], settings[1], settings[2], errors)
    kappa, n_informative = chance_corrected(a, b, lag)
    if 1.0 - wrong / (32.0 * overlap) < floor[0] or n_informative < floor[3]:
        kappa = -1.0
    pair[2], pair[3], pair[4], pair[5], pair[6] = lag, overlap, wrong, kappa, prominence
