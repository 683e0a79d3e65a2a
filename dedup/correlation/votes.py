"""The votes of two blocks: which of their tracks share equal keys at one lag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import Counts
from dedup.correlation.keys import LAST_PLACE, LAST_ROW, LOW_BITS, PLACE_BITS, ROW_BITS, WORDS, Codes, Keys, Numbers
from dedup.correlation.llvm import prefetch
from dedup.correlation.vector import ones

VOTES = 3
"""Votes within VOTE_LAGS neighbouring lags that make a candidate."""

VOTE_LAGS = 3

ZERO_LAG = 1 << PLACE_BITS
LAG_BITS = PLACE_BITS + 1
LAST_LAG = (1 << LAG_BITS) - 1
"""Of a vote: a lag has ZERO_LAG added."""

MOST_VOTES = 1 << 22
"""Votes that are counted at a time: with more, the rows of the first block are taken in turns."""

SHARE_VOTES = 1 << 13
"""Votes of the rows that make up a share: they and their counters fit into the processor's cache."""

LEAST_COUNTERS = 1 << 9

ROOM = 8
"""Counters for each vote: with fewer, more votes share one by chance and are counted again."""

AHEAD = 8
"""Meetings whose places are fetched ahead, as they are far apart in memory."""

ONE, PLACE, LAG, TWO_ROWS, HALF = map(np.uint64, (1, PLACE_BITS, LAG_BITS, ROW_BITS + LAG_BITS, 32))
ROW, IN_TRACK, OF_LAG = map(np.uint64, (LAST_ROW, LAST_PLACE, LAST_LAG))
MIXER = np.uint64(0x9E3779B97F4A7C15)
"""Constants of the innermost loops. They count in `uint64`: a signed index is looked at each time, as -1 is the last.
"""

BITS_BY_KEYS = ((96, 3), (192, 6))
"""Of tracks with few keys: from how many on a vote needs how many of the LOW_BITS lower bits, too."""


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
        if len(self.counters) < n:
            self.counters = np.empty(n, np.uint8)
        return self.counters

    def for_votes(self, n: int) -> Codes:
        if len(self.votes) < n:
            self.votes = np.empty(n, np.uint64)
        return self.votes[:n]


class Rows(NamedTuple):
    """Which rows of two blocks vote."""

    same: bool
    """Whether both are one block: then only for rows of the second behind those of the first."""
    first_a: int
    """First row of the first block."""
    end_a: int
    """The row behind its last."""
    end_b: int
    """The row behind the last of the second block; its first is 0."""


def vote(a: Keys, b: Keys, rows: Rows, room: Room) -> Votes:
    """The votes of these rows of two blocks, until the room is used again."""
    meetings = room.for_meetings(min(len(a.starts), len(b.starts)))
    n_meetings, _ = meet(a, b, rows.same, meetings)
    at_most = np.zeros(len(a.n_few), np.int64)
    count_at_most(a.codes, meetings[:n_meetings], at_most)
    found: list[Codes] = []
    n_cast = 0
    for first, end in _turns(at_most, rows.first_a, rows.end_a):
        share_of, starts = _shares(at_most[first:end])
        votes = room.for_votes(int(starts[-1]))
        ends = starts[:-1].copy()
        now = rows._replace(first_a=first, end_a=end)
        n_cast += _cast(a.codes, b.codes, meetings[:n_meetings], now, share_of, ends, votes)
        n_counters = counters_for(np.diff(starts))
        kept = _keep_enough(votes, starts, ends, n_counters, room.for_counters(int(n_counters.max(initial=0))))
        last = 0
        for at in ends.tolist():
            votes[last:at].sort()
            last = at
        found.append(votes[:kept] if end == rows.end_a and not found else votes[:kept].copy())
    return Votes(found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.uint64), *found]), n_cast)


def _turns(at_most: Counts, first_row: int, end_row: int) -> Iterator[tuple[int, int]]:
    """Rows that are taken together: so many that they have MOST_VOTES, or one that has more."""
    sums = np.cumsum(at_most[first_row:end_row])
    row = 0
    while row < len(sums):
        before = int(sums[row - 1]) if row else 0
        end = max(row + 1, int(np.searchsorted(sums, before + MOST_VOTES, "right")))
        yield first_row + row, first_row + end
        row = end


def _shares(at_most: Counts) -> tuple[Numbers, Counts]:
    """The share of each row, and where the votes of each begin, and the end, if each row has so many."""
    ends = np.cumsum(at_most)
    _, share_of = np.unique(np.concatenate([[0], ends[:-1]]) // SHARE_VOTES, return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(np.bincount(share_of, at_most))]).astype(np.int64)
    return share_of.astype(np.int32), starts


def counters_for(n_votes: Counts) -> Counts:
    """Counters for shares of so many votes: powers of two."""
    least = np.maximum(LEAST_COUNTERS, n_votes * ROOM)
    counters: Counts = 1 << np.ceil(np.log2(np.maximum(least, 1))).astype(np.int64)
    return counters


@jit
def meet(a: Keys, b: Keys, same: bool, meetings: Numbers) -> tuple[int, int]:
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
def count_at_most(a: Codes, meetings: Numbers, at_most: Counts) -> None:
    """Counts the votes that each row can have: all places of its keys in the other block.

    Parameters:
        a: codes of the first block.
        meetings: of `meet`.
        at_most: output, `int64[rows of a]`, zeros before.
    """
    for k in range(len(meetings)):
        n = meetings[k, 3] - meetings[k, 2]
        for i in range(meetings[k, 0], meetings[k, 1]):
            at_most[np.int64(a[i] >> np.uint64(PLACE_BITS)) & LAST_ROW] += n


@jit
def _cast(a: Codes, b: Codes, meetings: Numbers, rows: Rows, share_of: Numbers, ends: Counts, votes: Codes) -> int:
    """Casts the votes, those of each share together; gives their number.

    Parameters:
        a, b: codes of the blocks.
        meetings: of `meet`.
        rows: which vote.
        share_of: the share of each of these rows of `a`, `[end_a - first_a]`.
        ends: output, where the votes of each share begin; then where they end.
        votes: output, `uint64[n]`, as in `Votes.codes`, in no order.
    """
    n_cast, end_b = 0, np.uint64(rows.end_b)
    for k in range(len(meetings)):
        if k + AHEAD < len(meetings):
            prefetch(a, meetings[k + AHEAD, 0])
            prefetch(b, meetings[k + AHEAD, 2])
        start, end = np.uint64(meetings[k, 2]), np.uint64(meetings[k, 3])
        while end > start and b[end - ONE] >> PLACE & ROW >= end_b:
            end -= ONE
        for i in range(np.uint64(meetings[k, 0]), np.uint64(meetings[k, 1])):
            row_a, first = a[i] >> PLACE & ROW, start
            if row_a < rows.first_a or row_a >= rows.end_a:
                continue
            if rows.same:
                while first < end and b[first] >> PLACE & ROW <= row_a:
                    first += ONE
            share = share_of[row_a - np.uint64(rows.first_a)]
            base, n = (row_a << TWO_ROWS) + (a[i] & IN_TRACK) + np.uint64(ZERO_LAG), np.uint64(ends[share])
            for j in range(first, end):
                votes[n] = base + ((b[j] >> PLACE & ROW) << LAG) - (b[j] & IN_TRACK)
                n += ONE
            n_cast += np.int64(n) - ends[share]
            ends[share] = np.int64(n)
    return n_cast


@jit
def _counter_of(vote: np.uint64) -> np.uint64:
    """The counter of a vote, before it is cut to their number: two neighbouring lags of two tracks share one, and the
    next two have the next."""
    return ((vote >> LAG) * MIXER >> HALF) + ((vote & OF_LAG) >> ONE)


@jit
def _keep_enough(
    votes: Codes, starts: Counts, ends: Counts, n_counters: Counts, counters: npt.NDArray[np.uint8]
) -> int:
    """Moves the votes whose counter, with a neighbour, has VOTES or more to the front, share by share, and gives their
    number.

    Parameters:
        votes: of `_cast`; output.
        starts: where the votes of each share begin.
        ends: where they end; output, where those that are kept do.
        n_counters: counters of each share, powers of two.
        counters: scratch, `uint8[n]` for the share that has the most.
    """
    n = np.uint64(0)
    for share in range(len(ends)):
        own, mask = counters[: n_counters[share]], np.uint64(n_counters[share] - 1)
        own[:] = 0
        for i in range(np.uint64(starts[share]), np.uint64(ends[share])):
            counter = _counter_of(votes[i]) & mask
            own[counter] += own[counter] < VOTES
        for i in range(np.uint64(starts[share]), np.uint64(ends[share])):
            counter = _counter_of(votes[i]) & mask
            beside = max(own[counter - ONE & mask], own[counter + ONE & mask])
            votes[n] = votes[i]
            n += np.uint64(np.int64(own[counter]) + np.int64(beside) >= VOTES)
        ends[share] = np.int64(n)
    return int(n)


def vote_near(few: Keys, other: Keys, others: Codes, backward: bool, voting: Rows, room: Room) -> Iterator[Codes]:
    """The votes of the rows of a block that have few keys with rows of an `other`, as `vote` gives them, at most
    MOST_VOTES at a time unless one row has more. A single one is enough, and the fewer keys a row has, the fewer bits
    need to be equal. Of 2,200 parts of copies that were cut to 192 keys each has 3 such votes or more at its lag, of as
    many with 96 keys each has 2, with 24 each has 1. Of two rows that have few, the one that has fewer decides. `few`
    is the first block, or the second if `backward`; `others` are the codes of the other one."""
    if not len(few.few) or not len(others):
        return
    rows = (few.few >> np.uint64(PLACE_BITS)).astype(np.int64) & LAST_ROW
    left_out = np.full(len(rows), ROW_BITS + PLACE_BITS + LOW_BITS)
    for at_least, n_bits in BITS_BY_KEYS:
        left_out[few.n_few[rows] >= at_least] = ROW_BITS + PLACE_BITS + LOW_BITS - n_bits
    left_out = left_out.astype(np.uint64)
    firsts, ends = (np.searchsorted(others, ((few.few >> left_out) + np.uint64(k)) << left_out) for k in (0, 1))
    shares = np.cumsum(np.bincount(rows, ends - firsts)).astype(np.int64)[rows] // MOST_VOTES
    for share in np.unique(shares):
        chosen = shares == share
        votes = room.for_votes(int((ends - firsts)[chosen].sum()))
        work = (few.few[chosen], few.n_few, others, other.n_few, firsts[chosen], ends[chosen])
        yield np.sort(votes[: _cast_near(*work, backward, voting, votes)])


@jit
def _cast_near(
    few: Codes,
    n_few: Counts,
    others: Codes,
    n_others: Counts,
    firsts: Counts,
    ends: Counts,
    backward: bool,
    voting: Rows,
    votes: Codes,
) -> int:
    """Casts a vote for each code of `few` and each of its `others`; gives their number.

    Parameters:
        few, others: codes.
        n_few, n_others: `Keys.n_few` of their blocks.
        firsts, ends: of each of `few`, the places of its `others`.
        backward, voting: as of `vote_near`.
        votes: output, `uint64[sum of ends - firsts]`, as in `Votes.codes`, in no order.
    """
    n_votes = 0
    for k in range(len(few)):
        code = int(np.int64(few[k]))
        n = n_few[code >> PLACE_BITS & LAST_ROW]
        for i in range(firsts[k], ends[k]):
            other = int(np.int64(others[i]))
            in_a, in_b = (other, code) if backward else (code, other)
            row_a, row_b = in_a >> PLACE_BITS & LAST_ROW, in_b >> PLACE_BITS & LAST_ROW
            decides = n + backward <= n_others[other >> PLACE_BITS & LAST_ROW]
            if (
                decides
                and voting.first_a <= row_a < voting.end_a
                and (row_b > row_a if voting.same else row_b < voting.end_b)
            ):
                lag = (in_a & LAST_PLACE) - (in_b & LAST_PLACE) + ZERO_LAG
                votes[n_votes] = (row_a << ROW_BITS | row_b) << LAG_BITS | lag
                n_votes += 1
    return n_votes


def all_votes(a: Keys, b: Keys, rows: Rows, room: Room) -> Iterator[tuple[Codes, int]]:
    """The votes of these rows of two blocks, and how many are enough."""
    yield vote(a, b, rows, room).codes, VOTES
    for work in few_votes(a, b):
        for votes in vote_near(*work, rows, room):
            yield votes, 1


def few_votes(a: Keys, b: Keys) -> tuple[tuple[Keys, Keys, Codes, bool], ...]:
    """What `vote_near` takes for all pairs in which a row has few keys."""
    return (a, b, b.codes, False), (a, b, b.few, False), (b, a, a.codes, True), (b, a, a.few, True)
