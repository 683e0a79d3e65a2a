"""The votes of two blocks: which of their tracks share equal keys at one lag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import Counts
from dedup.correlation.keys import LAST_PLACE, LAST_ROW, LOW_BITS, PLACE_BITS, ROW_BITS, WORDS, Codes, Keys, Numbers
from dedup.correlation.vector import ones

VOTES = 3
"""Votes within VOTE_LAGS neighbouring lags that make a candidate."""

VOTE_LAGS = 3

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
    n_meetings, n_all = meet(a, b, same, meetings)
    step = max(1, (end_row - first_row) * MOST_VOTES // max(MOST_VOTES, n_all))
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
        meetings: of `meet`.
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


def vote_near(
    few: Keys, other: Keys, others: Codes, backward: bool, same: bool, first_row: int, end_row: int, room: Room
) -> Iterator[Codes]:
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
        yield np.sort(votes[: _cast_near(*work, backward, same, first_row, end_row, votes)])


@jit
def _cast_near(
    few: Codes,
    n_few: Counts,
    others: Codes,
    n_others: Counts,
    firsts: Counts,
    ends: Counts,
    backward: bool,
    same: bool,
    first_row: int,
    end_row: int,
    votes: Codes,
) -> int:
    """Casts a vote for each code of `few` and each of its `others`; gives their number.

    Parameters:
        few, others: codes.
        n_few, n_others: `Keys.n_few` of their blocks.
        firsts, ends: of each of `few`, the places of its `others`.
        backward, same, first_row, end_row: as of `vote_near`.
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
            if decides and first_row <= row_a < end_row and (not same or row_b > row_a):
                lag = (in_a & LAST_PLACE) - (in_b & LAST_PLACE) + ZERO_LAG
                votes[n_votes] = (row_a << ROW_BITS | row_b) << LAG_BITS | lag
                n_votes += 1
    return n_votes


def all_votes(a: Keys, b: Keys, same: bool, first_row: int, end_row: int, room: Room) -> Iterator[tuple[Codes, int]]:
    """The votes of the rows from `first_row` to before `end_row`, and how many are enough."""
    rows = same, first_row, end_row
    yield vote(a, b, *rows, room).codes, VOTES
    for work in few_votes(a, b):
        for votes in vote_near(*work, *rows, room):
            yield votes, 1


def few_votes(a: Keys, b: Keys) -> tuple[tuple[Keys, Keys, Codes, bool], ...]:
    """What `vote_near` takes for all pairs in which a row has few keys."""
    return (a, b, b.codes, False), (a, b, b.few, False), (b, a, a.codes, True), (b, a, a.few, True)
