"""Pairs that share equal items at one lag, found without looking at any pair that shares none: the method `join`.

Every item gives a key, its most reliable bits. The keys of a block are sorted once. Two blocks are then merged like two
sorted lists, and each key that both have casts votes: one for each pair of places, for (track, track, lag). Copies of a
recording cast dozens at one lag, unrelated tracks hardly any:

    keys of block A, sorted              keys of block B, sorted
    key     track, place                 key     track, place
    00a41f  A3, 120                      00a3e0  B7, 11
    01c220  A9, 40     ──┐               01c220  B2, 300    ──┐    (A9, B2, lag -260)  vote
    01c220  A3, 125    ──┴── equal ──────────────────────────┘     (A3, B2, lag -175)  vote
    07fe03  A3, 126        ── equal ──   07fe03  B2, 301           (A3, B2, lag -175)  vote
    …                                    …                          ▼
                                                                   3 votes within 3 neighbouring lags: a candidate

Votes are counted twice. First in bytes addressed by a hash, which takes a few nanoseconds a vote and may put the votes
of two lags together; then those in bytes that hold enough are sorted and counted exactly. So a collision costs time,
never a pair, and whether a pair is a candidate depends on its two fingerprints alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import (
    BlockItems,
    Counts,
    LagLimits,
    allowed_lags,
    bit_errors,
    chance_corrected,
    is_swapped,
    lag_gain,
    overlap_at,
    row_of,
)
from dedup.correlation.keys import LAST_ROW, ROW_BITS, Codes, Keys
from dedup.correlation.line import Floats
from dedup.correlation.votes import LAG_BITS, LAST_LAG, VOTE_LAGS, VOTES, ZERO_LAG, Room, all_votes
from dedup.correlation.worth_storing import FOUND_COLUMNS, KAPPA, LAG, ROW_X, ROW_Y, Floor
from dedup.store.items import Items

LIKELIEST = 8
"""Lags with the most votes that are looked at item by item."""

LEAST_AGREEMENT = 0.53
"""Agreement at the best of these lags, without which kappa is not measured. A kappa of 0.1 takes 0.55 where half of all
bits agree by chance, and 0.53 where 48 % do, which is less than unrelated tracks have."""


class Joined(NamedTuple):
    """A block, prepared for `join_blocks`."""

    fingerprints: BlockItems
    keys: Keys


@jit
def decide(
    x: BlockItems,
    y: BlockItems,
    votes: Codes,
    needed: int,
    backward: bool,
    limits: LagLimits,
    floor: Floor,
    out: Floats,
) -> int:
    """Finds the pairs that have enough votes at an allowed lag and look alike there; gives their number.

    Parameters:
        x, y: the blocks, in the order in which they voted, or, if `backward`, the other way round.
        votes: of `vote` or `vote_near`, ascending.
        needed: votes that are enough: VOTES within VOTE_LAGS, or a single one.
        backward: whether to find the pairs in which the fingerprint of the second block is the longer.
        limits: what a lag must meet to be tried.
        floor: what a pair must have.
        out: output, `float64[pairs that voted, FOUND_COLUMNS]`, as `sweep` fills it without `exact`.
    """
    n_found = end = 0
    lags = np.empty(len(votes), np.int64)
    for i in range(len(votes) - needed + 1):
        if i < end or np.int64(votes[i + needed - 1]) - np.int64(votes[i]) >= VOTE_LAGS:
            continue
        pair, start, end = int(np.int64(votes[i])) >> LAG_BITS, i, i + needed
        while start > 0 and np.int64(votes[start - 1]) >> LAG_BITS == pair:
            start -= 1
        while end < len(votes) and np.int64(votes[end]) >> LAG_BITS == pair:
            end += 1
        row_x, row_y = pair >> ROW_BITS, pair & LAST_ROW
        if backward:
            row_x, row_y = row_y, row_x
        a, b = row_of(x, row_x), row_of(y, row_y)
        if is_swapped(a, b) or (backward and not is_swapped(b, a)):  # of equals the first block's is the longer
            continue
        for k in range(start, end):
            lag = (np.int64(votes[k]) & LAST_LAG) - ZERO_LAG
            lags[end - 1 - k if backward else k - start] = -lag if backward else lag
        if needed == 1:
            kappa, best = _best_of(a, b, limits, lags[: end - start])
        else:
            kappa, best = _likeliest(a, b, limits, lags[: end - start])
        if kappa >= floor.kappa_at_lag:
            out[n_found, ROW_X], out[n_found, ROW_Y] = row_x, row_y
            out[n_found, LAG], out[n_found, KAPPA] = best, kappa
            n_found += 1
    return n_found


@jit
def _likeliest(a: Items, b: Items, limits: LagLimits, lags: Counts) -> tuple[float, int]:
    """The chance-corrected agreement of a pair at the best lag near those with the most votes, and that lag; -1 if no
    allowed lag has enough votes.

    Parameters:
        a, b: `uint32[na]`, `uint32[nb]`, in the order of `kernels.is_swapped`.
        limits: what a lag must meet to be tried.
        lags: `int64[n]`, the lag of each vote, ascending.
    """
    lowest, highest = allowed_lags(len(a), len(b), limits)
    best, best_gain = 0, -np.inf
    tried, n_tried = np.empty(LIKELIEST, np.int64), 0
    while n_tried < LIKELIEST:
        middle, n_votes, end = 0, VOTES - 1, 0
        for i in range(len(lags)):
            end = max(end, i)
            while end < len(lags) and lags[end] < lags[i] + VOTE_LAGS and lags[end] <= highest:
                end += 1
            if end - i > n_votes and lags[i] >= lowest and _is_new(lags[i] + 1, tried, n_tried):
                middle, n_votes = lags[i] + 1, end - i
        if n_votes < VOTES:
            break
        tried[n_tried] = middle
        n_tried += 1
        for lag in range(max(middle - 1, lowest), min(middle + 1, highest) + 1):
            overlap = overlap_at(len(a), len(b), lag)
            gain = lag_gain(overlap, bit_errors(a, b, lag, overlap))
            if gain > best_gain:
                best, best_gain = lag, gain
    return _kappa_of(a, b, best) if n_tried else (-1.0, 0)


@jit
def _best_of(a: Items, b: Items, limits: LagLimits, lags: Counts) -> tuple[float, int]:
    """What `_likeliest` gives, of the best of all these lags; -1 if none is allowed. Parameters: as there."""
    lowest, highest = allowed_lags(len(a), len(b), limits)
    best, best_gain = 0, -np.inf
    for i in range(len(lags)):
        if lags[i] < lowest or lags[i] > highest or (i > 0 and lags[i] == lags[i - 1]):
            continue
        overlap = overlap_at(len(a), len(b), lags[i])
        gain = lag_gain(overlap, bit_errors(a, b, lags[i], overlap))
        if gain > best_gain:
            best, best_gain = lags[i], gain
    return _kappa_of(a, b, best) if best_gain > -np.inf else (-1.0, 0)


@jit
def _kappa_of(a: Items, b: Items, lag: int) -> tuple[float, int]:
    """The chance-corrected agreement of a pair at a lag, -1 if it has less than LEAST_AGREEMENT; and the lag."""
    overlap = overlap_at(len(a), len(b), lag)
    if bit_errors(a, b, lag, overlap) > (1.0 - LEAST_AGREEMENT) * 32.0 * overlap:
        return -1.0, 0
    corrected, _ = chance_corrected(a, b, lag)
    return corrected, lag


@jit
def _is_new(lag: int, tried: Counts, n_tried: int) -> bool:
    """Whether no lag beside this one was tried."""
    nearest = VOTE_LAGS
    for other in tried[:n_tried]:
        nearest = min(nearest, abs(lag - other))
    return nearest >= VOTE_LAGS


def join_blocks(
    a: Joined, b: Joined, same: bool, first_row: int, end_row: int, limits: LagLimits, floor: Floor, room: Room
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compares the rows of `a`, from `first_row` to before `end_row`, with those of `b`, or, if it is the `same` block,
    with those behind each. Gives the pairs whose longer is of `a` and those whose longer is of `b`, as `sweep` finds
    them without `exact`, `float64[n, FOUND_COLUMNS]`."""
    found: tuple[list[Floats], list[Floats]] = [], []
    for votes, needed in all_votes(a.keys, b.keys, same, first_row, end_row, room):
        enough = votes[needed - 1 :] - votes[: len(votes) - needed + 1] < VOTE_LAGS
        pairs = votes[: len(votes) - needed + 1][enough] >> np.uint64(LAG_BITS)
        n_pairs = int(np.count_nonzero(pairs[1:] != pairs[:-1])) + bool(len(pairs))
        for x, y, backward in ((a, b, False), (b, a, True)):
            out = np.empty((n_pairs, FOUND_COLUMNS))
            n = decide(x.fingerprints, y.fingerprints, votes, needed, backward, limits, floor, out)
            found[backward].append(out[:n])
    return np.concatenate(found[0]), np.concatenate(found[1])
