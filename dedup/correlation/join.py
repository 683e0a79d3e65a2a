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
    SILENT,
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
from dedup.correlation.keys import LAST_ROW, ROW_BITS, Codes, Keys, make_keys
from dedup.correlation.line import Floats
from dedup.correlation.vector import BITS_AT_A_TIME, COUNTED_ITEMS, N_COUNTS, add_bits
from dedup.correlation.votes import LAG_BITS, LAST_LAG, VOTE_LAGS, VOTES, ZERO_LAG, Room, Rows, all_votes
from dedup.correlation.worth_storing import FOUND_COLUMNS, KAPPA, LAG, ROW_X, ROW_Y, Floor
from dedup.store.items import Items

LIKELIEST = 8
"""Lags with the most votes that are looked at item by item."""

LEAST_KAPPA = 0.05
"""Kappa at the best of these lags, by how often the bits of the whole tracks are set, without which that of the
overlap is not measured. To measure it takes ten times as long, and it is seldom higher: what is alike has its bits set
alike."""


class Joined(NamedTuple):
    """A block, prepared for `join_blocks`."""

    fingerprints: BlockItems
    keys: Keys
    ones: Counts
    """How often each bit of a row is set, and its number of items, without silent ones, `[n_rows, 33]`."""


def make_joined(fingerprints: BlockItems) -> Joined:
    """Prepares a block."""
    ones = np.zeros((len(fingerprints.offsets) - 1, 33), np.int64)
    _count_ones(fingerprints, ones)
    return Joined(fingerprints, make_keys(*fingerprints), ones)


@jit
def _count_ones(fingerprints: BlockItems, ones: Counts) -> None:
    """Fills `Joined.ones` (output, zeros before)."""
    some = np.empty(N_COUNTS, np.int32)
    for row in range(len(ones)):
        items = row_of(fingerprints, row)
        for i in range(0, len(items), BITS_AT_A_TIME):
            some[:] = 0
            add_bits(items, i, items, i, min(len(items) - i, BITS_AT_A_TIME), SILENT, some)
            ones[row, :32] += some[:32]
            ones[row, 32] += some[COUNTED_ITEMS]


@jit
def candidates(votes: Codes, needed: int, spans: Counts) -> int:
    """Finds the pairs that have enough votes; gives their number.

    Parameters:
        votes: of `vote` or `vote_near`, ascending.
        needed: votes that are enough: VOTES within VOTE_LAGS, or a single one.
        spans: output, `int64[len(votes) // needed, 2]`, the first vote of each pair and the one behind its last.
    """
    n = end = 0
    for i in range(len(votes) - needed + 1):
        if i < end or np.int64(votes[i + needed - 1]) - np.int64(votes[i]) >= VOTE_LAGS:
            continue
        pair, start, end = np.int64(votes[i]) >> LAG_BITS, i, i + needed
        while start > 0 and np.int64(votes[start - 1]) >> LAG_BITS == pair:
            start -= 1
        while end < len(votes) and np.int64(votes[end]) >> LAG_BITS == pair:
            end += 1
        spans[n, 0], spans[n, 1] = start, end
        n += 1
    return n


@jit
def decide(
    a: Joined,
    b: Joined,
    votes: Codes,
    spans: Counts,
    needed: int,
    limits: LagLimits,
    floor: Floor,
    forward: Floats,
    backward: Floats,
) -> tuple[int, int]:
    """Finds the candidates that have enough votes at an allowed lag and look alike there; gives the number of those in
    which the fingerprint of `a` is the longer, and of the others.

    Parameters:
        a, b: the blocks.
        votes, spans, needed: of `candidates`; in any order.
        limits: what a lag must meet to be tried.
        floor: what a pair must have.
        forward, backward: output, `float64[len(spans), FOUND_COLUMNS]`, the two kinds of pairs, as `sweep` fills it
            without `exact`; ROW_X is of the block with the longer.
    """
    n_forward = n_backward = 0
    lags, tried = np.empty(len(votes), np.int64), np.empty(LIKELIEST, np.int64)
    for start, end in spans:
        pair = int(np.int64(votes[start])) >> LAG_BITS
        row_a, row_b = pair >> ROW_BITS, pair & LAST_ROW
        x, y = row_of(a.fingerprints, row_a), row_of(b.fingerprints, row_b)
        swapped = is_swapped(x, y)
        if swapped:
            x, y = y, x
        for k in range(start, end):
            voted = (np.int64(votes[k]) & LAST_LAG) - ZERO_LAG
            lags[end - 1 - k if swapped else k - start] = -voted if swapped else voted
        if needed == 1:
            lag, errors = _best_of(x, y, limits, lags[: end - start])
        else:
            lag, errors = _likeliest(x, y, limits, lags[: end - start], tried)
        n_bits = 32.0 * overlap_at(len(x), len(y), lag)
        if errors < 0 or errors > (1.0 - LEAST_KAPPA) * differing(a.ones[row_a], b.ones[row_b]) * n_bits:
            continue
        kappa, _ = chance_corrected(x, y, lag)
        if kappa < floor.kappa_at_lag:
            continue
        if swapped:
            found, n_backward = backward[n_backward], n_backward + 1
        else:
            found, n_forward = forward[n_forward], n_forward + 1
        found[ROW_X], found[ROW_Y] = (row_b, row_a) if swapped else (row_a, row_b)
        found[LAG], found[KAPPA] = lag, kappa
    return n_forward, n_backward


@jit
def differing(ones_x: Counts, ones_y: Counts) -> float:
    """The share of bits that would differ by chance, from how often those of two rows are set; 1 if one is silent.

    Parameters:
        ones_x, ones_y: `int64[33]`, rows of `Joined.ones`.
    """
    n_x, n_y = ones_x[32], ones_y[32]
    if n_x == 0 or n_y == 0:
        return 1.0
    n_differing = 0
    for bit in range(32):
        n_differing += ones_x[bit] * (n_y - ones_y[bit]) + (n_x - ones_x[bit]) * ones_y[bit]
    share: float = n_differing / (32.0 * n_x * n_y)
    return share


@jit
def _likeliest(a: Items, b: Items, limits: LagLimits, lags: Counts, tried: Counts) -> tuple[int, int]:
    """The best lag of a pair near those with the most votes, and the bits that differ there; -1 of them if no allowed
    lag has enough votes.

    Parameters:
        a, b: `uint32[na]`, `uint32[nb]`, in the order of `kernels.is_swapped`.
        limits: what a lag must meet to be tried.
        lags: `int64[n]`, the lag of each vote, ascending.
        tried: scratch, `int64[LIKELIEST]`.
    """
    lowest, highest = allowed_lags(len(a), len(b), limits)
    best, fewest, best_gain, n_tried = 0, -1, -np.inf, 0
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
            errors = bit_errors(a, b, lag, overlap)
            gain = lag_gain(overlap, errors)
            if gain > best_gain:
                best, fewest, best_gain = lag, errors, gain
    return best, fewest


@jit
def _best_of(a: Items, b: Items, limits: LagLimits, lags: Counts) -> tuple[int, int]:
    """What `_likeliest` gives, of the best of all these lags; -1 bits if none is allowed. Parameters: as there."""
    lowest, highest = allowed_lags(len(a), len(b), limits)
    best, fewest, best_gain = 0, -1, -np.inf
    for i in range(len(lags)):
        if lags[i] < lowest or lags[i] > highest or (i > 0 and lags[i] == lags[i - 1]):
            continue
        overlap = overlap_at(len(a), len(b), lags[i])
        errors = bit_errors(a, b, lags[i], overlap)
        gain = lag_gain(overlap, errors)
        if gain > best_gain:
            best, fewest, best_gain = lags[i], errors, gain
    return best, fewest


@jit
def _is_new(lag: int, tried: Counts, n_tried: int) -> bool:
    """Whether no lag beside this one was tried."""
    nearest = VOTE_LAGS
    for other in tried[:n_tried]:
        nearest = min(nearest, abs(lag - other))
    return nearest >= VOTE_LAGS


def join_blocks(
    a: Joined, b: Joined, rows: Rows, limits: LagLimits, floor: Floor, room: Room
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compares these rows of two blocks. Gives the pairs whose longer is of `a` and those whose longer is of `b`, as
    `sweep` finds them without `exact`, `float64[n, FOUND_COLUMNS]`."""
    found: tuple[list[Floats], list[Floats]] = [], []
    for votes, needed in all_votes(a.keys, b.keys, rows, room):
        spans = np.empty((len(votes) // needed, 2), np.int64)
        spans = spans[: candidates(votes, needed, spans)]
        rows_b = (votes[spans[:, 0]] >> np.uint64(LAG_BITS)).astype(np.uint16)
        spans = spans[np.argsort(rows_b, kind="stable")]  # the items of many blocks are read once, in their order
        outs = np.empty((2, len(spans), FOUND_COLUMNS))
        numbers = decide(a, b, votes, spans, needed, limits, floor, outs[0], outs[1])
        for kept, out, n in zip(found, outs, numbers, strict=True):
            kept.append(out[:n])
    return np.concatenate(found[0]), np.concatenate(found[1])
