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
from dedup.correlation.keys import LAST_PLACE, LAST_ROW, PLACE_BITS, ROW_BITS, WORDS, Codes, Keys, Numbers
from dedup.correlation.line import Floats
from dedup.correlation.vector import ones
from dedup.correlation.worth_storing import FOUND_COLUMNS, KAPPA, LAG, ROW_X, ROW_Y, Floor
from dedup.store.items import Items

VOTES = 3
"""Votes within VOTE_LAGS neighbouring lags that make a candidate."""

VOTE_LAGS = 3

LIKELIEST = 8
"""Lags with the most votes that are looked at item by item."""

LEAST_AGREEMENT = 0.53
"""Agreement at the best of these lags, without which kappa is not measured. A kappa of 0.1 takes 0.55 where half of all
bits agree by chance, and 0.53 where 48 % do, which is less than unrelated tracks have."""

ZERO_LAG = 1 << PLACE_BITS
LAG_BITS = PLACE_BITS + 1
LAST_LAG = (1 << LAG_BITS) - 1
"""Of a vote: a lag has ZERO_LAG added."""

MOST_VOTES = 1 << 21
"""Votes that are counted at a time: with more, the rows of the first block are taken in shares."""

LEAST_COUNTERS = 1 << 12

ROOM = 8
"""Counters for each vote: with fewer, more votes share one by chance and are counted again; more do not fit into the
processor's cache."""


class Joined(NamedTuple):
    """A block, prepared for `join_blocks`."""

    fingerprints: BlockItems
    keys: Keys


class Votes(NamedTuple):
    """What two blocks have in common."""

    codes: Codes
    """The votes that may be enough, ascending: row of the first block, row of the second, lag and ZERO_LAG."""
    n_cast: int
    """All votes."""


class Room:
    """Scratch for `vote`, kept from tile to tile."""

    def __init__(self) -> None:
        self.meetings = np.empty((0, 4), np.int32)
        self.counters = np.empty(0, np.uint8)
        self.votes = np.empty(0, np.uint64)

    def for_meetings(self, n: int) -> Numbers:
        if len(self.meetings) < n:
            self.meetings = np.empty((n, 4), np.int32)
        return self.meetings

    def for_counters(self, n: int) -> npt.NDArray[np.uint8]:
        """At least `n` zeros, a power of two."""
        n = max(LEAST_COUNTERS, 1 << max(0, n - 1).bit_length())
        if len(self.counters) < n:
            self.counters = np.empty(n, np.uint8)
        self.counters[:n] = 0
        return self.counters[:n]

    def for_votes(self, n: int) -> Codes:
        if len(self.votes) < n:
            self.votes = np.empty(n, np.uint64)
        return self.votes[:n]


def vote(a: Keys, b: Keys, same: bool, first_row: int, end_row: int, room: Room) -> Votes:
    """The votes of the rows from `first_row` to before `end_row` of a block with the rows of another; if it is the
    `same`, with the rows behind each."""
    meetings = room.for_meetings(min(len(a.starts), len(b.starts)))
    n_meetings, n_all = _meet(a, b, same, meetings)
    step = max(1, len(a.usable) * MOST_VOTES // max(MOST_VOTES, n_all))
    found, n_cast = [], 0
    for row in range(first_row, end_row, step):
        work = (a.codes, b.codes, meetings[:n_meetings], same, row, min(end_row, row + step))
        votes = room.for_votes(min(n_all, MOST_VOTES))
        counters = room.for_counters(ROOM * len(votes))
        n = _cast(*work, counters, votes)
        if n > len(votes):  # rows are not alike
            votes, counters[:] = np.empty(n, np.uint64), 0
            _cast(*work, counters, votes)
        n_enough = _keep_enough(votes[:n], counters)
        found.append(np.sort(votes[:n_enough]))
        n_cast += n
    return Votes(np.concatenate(found) if found else np.empty(0, np.uint64), n_cast)


@jit
def _meet(a: Keys, b: Keys, same: bool, meetings: Numbers) -> tuple[int, int]:
    """The keys that two blocks share: their number, and that of the pairs of places. A block shares with itself those
    that it has more than once.

    Parameters:
        a, b: keys of the blocks.
        same: whether they are the same.
        meetings: output, `int32[n, 4]`: first code and end of each shared key in `a` and in `b`.
    """
    n = total = 0
    words, n_words = np.empty(WORDS, np.int32), 0
    for word in range(WORDS):  # without a branch, which would often be guessed wrong
        words[n_words] = word
        n_words += (a.present[word] & b.present[word]) != 0
    for word in words[:n_words]:
        shared = a.present[word] & b.present[word]
        while shared:
            below = (shared & (~shared + np.uint64(1))) - np.uint64(1)
            shared &= shared - np.uint64(1)
            i = a.before[word] + ones(a.present[word] & below)
            j = b.before[word] + ones(b.present[word] & below)
            meetings[n, 0], meetings[n, 1] = a.starts[i], a.starts[i + 1]
            meetings[n, 2], meetings[n, 3] = b.starts[j], b.starts[j + 1]
            n_pairs = int(np.int64(meetings[n, 1] - meetings[n, 0]) * np.int64(meetings[n, 3] - meetings[n, 2]))
            if not same or n_pairs > 1:
                total += n_pairs
                n += 1
    return n, total


@jit
def _cast(
    a: Codes,
    b: Codes,
    meetings: Numbers,
    same: bool,
    first_row: int,
    end_row: int,
    counters: npt.NDArray[np.uint8],
    votes: Codes,
) -> int:
    """Casts and counts the votes; gives their number, which may be more than there is room for.

    Parameters:
        a, b: codes of the blocks.
        meetings: of `_meet`.
        same: whether the blocks are the same.
        first_row, end_row: rows of `a`.
        counters: output, `uint8[2^k]`, zeros before; they stay at 255.
        votes: output, `uint64[n]`, as in `Votes.codes`, in no order.
    """
    mask, n = len(counters) - 1, 0
    for k in range(len(meetings)):
        for i in range(meetings[k, 0], meetings[k, 1]):
            code = int(np.int64(a[i]))
            row_a, place = code >> PLACE_BITS & LAST_ROW, (code & LAST_PLACE) + ZERO_LAG
            if row_a < first_row or row_a >= end_row:
                continue
            for j in range(meetings[k, 2], meetings[k, 3]):
                other = int(np.int64(b[j]))
                row_b = other >> PLACE_BITS & LAST_ROW
                if not same or row_b > row_a:
                    vote = (row_a << ROW_BITS | row_b) << LAG_BITS | (place - (other & LAST_PLACE))
                    counter = _counter_of(vote) & mask
                    counters[counter] += counters[counter] < 255
                    if n < len(votes):
                        votes[n] = vote
                    n += 1
    return n


@jit
def _counter_of(vote: int) -> int:
    """The counter of a vote, before it is cut to their number: two neighbouring lags of two tracks share one, and the
    next two have the next."""
    mixed = np.uint64(vote >> LAG_BITS) * np.uint64(0x9E3779B97F4A7C15)
    return int(np.int64(mixed >> np.uint64(32))) + ((vote & LAST_LAG) >> 1)


@jit
def _keep_enough(votes: Codes, counters: npt.NDArray[np.uint8]) -> int:
    """Moves the votes whose counter, with a neighbour, has VOTES or more to the front, and gives their number.

    Parameters:
        votes: of `_cast`; output.
        counters: of `_cast`.
    """
    mask, n = len(counters) - 1, 0
    for vote in votes:
        counter = _counter_of(int(np.int64(vote))) & mask
        beside = max(counters[(counter - 1) & mask], counters[(counter + 1) & mask])
        votes[n] = vote
        n += int(counters[counter]) + int(beside) >= VOTES
    return n


@jit
def decide(
    x: BlockItems, y: BlockItems, votes: Codes, backward: bool, limits: LagLimits, floor: Floor, out: Floats
) -> int:
    """Finds the pairs that have enough votes at an allowed lag and look alike there; gives their number.

    Parameters:
        x, y: the blocks, in the order in which they voted, or, if `backward`, the other way round.
        votes: of `vote`, ascending.
        backward: whether to find the pairs in which the fingerprint of the second block is the longer.
        limits: what a lag must meet to be tried.
        floor: what a pair must have.
        out: output, `float64[pairs that voted, FOUND_COLUMNS]`, as `sweep` fills it without `exact`.
    """
    n_found = end = 0
    lags = np.empty(len(votes), np.int64)
    for i in range(len(votes) - VOTES + 1):
        if i < end or np.int64(votes[i + VOTES - 1]) - np.int64(votes[i]) >= VOTE_LAGS:
            continue
        pair, start, end = int(np.int64(votes[i])) >> LAG_BITS, i, i + VOTES
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
    overlap = overlap_at(len(a), len(b), best)
    if n_tried == 0 or bit_errors(a, b, best, overlap) > (1.0 - LEAST_AGREEMENT) * 32.0 * overlap:
        return -1.0, 0
    corrected, _ = chance_corrected(a, b, best)
    return corrected, best


@jit
def _is_new(lag: int, tried: Counts, n_tried: int) -> bool:
    """Whether no lag beside this one was tried."""
    nearest = VOTE_LAGS
    for other in tried[:n_tried]:
        nearest = min(nearest, abs(lag - other))
    return nearest >= VOTE_LAGS


def join_blocks(
    a: Joined, b: Joined, same: bool, first_row: int, end_row: int, limits: LagLimits, floor: Floor, room: Room
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
    """Compares the usable rows of `a`, from `first_row` to before `end_row`, with those of `b`, or, if it is the `same`
    block, with those behind each. Gives the pairs whose longer is of `a` and those whose longer is of `b`, as `sweep`
    finds them without `exact`, `float64[n, FOUND_COLUMNS]`; and the number of pairs compared."""
    votes = vote(a.keys, b.keys, same, first_row, end_row, room).codes
    enough = votes[VOTES - 1 :] - votes[: 1 - VOTES] < VOTE_LAGS
    pairs = votes[: 1 - VOTES][enough] >> np.uint64(LAG_BITS)
    n_pairs = int(np.count_nonzero(pairs[1:] != pairs[:-1])) + bool(len(pairs))
    found = []
    for x, y, backward in ((a, b, False), (b, a, True)):
        out = np.empty((n_pairs, FOUND_COLUMNS))
        found.append(out[: decide(x.fingerprints, y.fingerprints, votes, backward, limits, floor, out)])
    rows = np.flatnonzero(a.keys.usable[first_row:end_row]) + first_row
    partners = np.full(len(rows), np.count_nonzero(b.keys.usable))
    if same:
        partners -= np.cumsum(b.keys.usable)[rows]
    return found[0], found[1], int(partners.sum())
