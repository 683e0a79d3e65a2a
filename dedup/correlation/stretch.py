"""Copies that play faster or slower, found on the stored items: one fingerprint is stretched by a rate, and compared
with the other as it is.

A copy at another speed runs away from its original: at one lag only some seconds agree. Stretched by the right rate it
agrees throughout, so whatever finds copies finds it. Rates in steps of 1 % are near enough, as a path bends by as much;
each of two fingerprints is stretched in its turn, so rates above 1 serve both directions:

    a   │ 0 1 2 3 4 5 6 7 8 9 …                        plays 4 % slower than b: has 1.04 items for each of b
    b   │ 0 1 2 3 4 5 6 7 8 …
    b'  │ 0 1 2 … 12 12 13 …         b, stretched by 1.04: every 25th item comes twice

What is found is refined to a tenth of a percent. Its numbers are those of `a` and the stretched `b` at that rate; its
places are told in the items of `a` and `b` themselves."""

from __future__ import annotations

import math

import numpy as np

from dedup.correlation.accelerate import jit
from dedup.correlation.compare import compare_two
from dedup.correlation.kernels import (
    BlockItems,
    Counts,
    LagLimits,
    allowed_lags,
    bit_errors,
    lag_gain,
    lag_limits,
    overlap_at,
    row_of,
)
from dedup.correlation.match import Match
from dedup.correlation.worth_storing import Floor, floor_of
from dedup.settings import CompareSettings
from dedup.store.items import Items, frozen

FINE_STEP, FINE_STEPS, FINE_LAGS = 0.001, 6, 8
"""Rates on either side of the one that was found that are tried too, and lags on either side of the one that each
should have."""

# ---- stretching ----


@jit
def source_of(place: int, rate: float) -> int:
    """The item that stands at a place of a fingerprint stretched by `rate`."""
    return int(np.rint((place + 0.5) / rate - 0.5))


@jit
def stretched(items: Items, rate: float) -> Items:
    """A fingerprint with `rate` items for each, 1 or more: `uint32[int(n * rate)]`."""
    out = np.empty(int(len(items) * rate), np.uint32)
    for place in range(len(out)):
        out[place] = items[min(source_of(place, rate), len(items) - 1)]
    return out


@jit
def _stretched_rows(fingerprints: BlockItems, offsets: Counts, rate: float, out: Items) -> None:
    """Stretches each fingerprint of a block. `offsets`: of the stretched ones; `out`: output, `uint32[offsets[-1]]`."""
    for row in range(len(offsets) - 1):
        items = stretched(row_of(fingerprints, row), rate)
        for i in range(len(items)):  # to assign a slice takes two seconds more to compile, for the text of its error
            out[offsets[row] + i] = items[i]


def stretched_block(fingerprints: BlockItems, rate: float) -> BlockItems:
    """A block with each fingerprint stretched."""
    lengths = (np.diff(fingerprints.offsets) * rate).astype(np.int64)
    offsets = frozen(np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), np.int64)
    items = np.empty(offsets[-1], np.uint32)
    _stretched_rows(fingerprints, offsets, rate, items)
    return BlockItems(frozen(items, np.uint32), offsets)


# ---- measuring ----


def at_best_rate(a: Items, b: Items, rate: float, of_b: bool, lag: int, settings: CompareSettings) -> Match | None:
    """The numbers of a pair near a rate and a lag; None if it is not worth storing there.

    Parameters:
        a, b: `uint32[na]`, `uint32[nb]`.
        rate: by which one of them is stretched.
        of_b: whether that is the second.
        lag: of `a` against `b`, one of them stretched.
        settings: how they are compared (`CompareSettings.narrowed`).
    """
    x, y = (frozen(each, np.uint32) for each in ((a, b) if of_b else (b, a)))
    rate = refined(x, y, rate, lag if of_b else -lag, lag_limits(settings))
    found = compared_at(x, y, rate, settings, floor_of(settings))
    return found if found is None or of_b else found.swapped()


@jit
def on_either_side(step: int) -> int:
    """0, -1, 1, -2, 2 and so on: what is tried near something, the nearest first."""
    return (step + 1) // 2 * (1 if step % 2 == 0 else -1)


@jit
def lags_of(nx: int, ny: int, limits: LagLimits) -> tuple[int, int]:
    """`kernels.allowed_lags` of the first against the second, whichever is the longer."""
    lowest, highest = allowed_lags(max(nx, ny), min(nx, ny), limits)
    if nx < ny:
        return -highest, -lowest
    return lowest, highest


@jit
def refined(x: Items, y: Items, rate: float, lag: int, limits: LagLimits) -> float:
    """The rate near `rate` at which `y`, stretched, agrees best with `x` near a lag; among equals the nearest, then the
    lower."""
    best, best_gain = rate, -np.inf
    for step in range(2 * FINE_STEPS + 1):
        fine = rate + FINE_STEP * on_either_side(step)
        longer = stretched(y, fine)
        lowest, highest = lags_of(len(x), len(longer), limits)
        middle = lag + int(np.rint((rate - fine) * len(y) / 2))
        for other in range(max(lowest, middle - FINE_LAGS), min(highest, middle + FINE_LAGS) + 1):
            overlap = overlap_at(len(x), len(longer), other)
            gain = lag_gain(overlap, bit_errors(x, longer, other, overlap))
            if gain > best_gain:
                best, best_gain = fine, gain
    return best


def compared_at(x: Items, y: Items, rate: float, settings: CompareSettings, floor: Floor | None = None) -> Match | None:
    """What `compare_two` gives of `x` and `y` stretched by `rate`, places in items of `x` and of `y` itself; None if
    they cannot overlap enough, or have less than `floor`."""
    match = compare_two(x, stretched(frozen(y, np.uint32), rate), settings)
    if match is None or (floor and (match.agreement < floor.agreement or match.score < floor.kappa)):
        return None
    return _in_items(match, rate, len(x), len(y))


def _in_items(match: Match, rate: float, nx: int, ny: int) -> Match:
    """The numbers of `x` against the stretched `y`, told of `x` and `y`. The lag is that where the overlap begins, in
    items of the one that has more in front; the overlap is that of the two at this lag, of which as large a share
    differs."""
    lag = match.lag if match.lag >= 0 else -round(-match.lag / rate)
    overlap = min(nx - lag, ny) - max(0, -lag)
    return match._replace(
        lag=lag,
        overlap=overlap,
        errors=round((1 - match.agreement) * 32 * overlap),
        log_rate=round(match.log_rate + math.log(rate), 9),
        contrast=0.0,
        distinct=min(match.distinct, math.ceil(match.to_b / rate) - int(match.from_b / rate)),
        from_b=int(match.from_b / rate),
        to_b=min(ny, math.ceil(match.to_b / rate)),
    )
