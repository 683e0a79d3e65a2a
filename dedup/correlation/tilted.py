"""Pairs that share equal items along a tilted line, as copies at another speed do: found by sorting, like those of
`join`, at all rates from one merge.

A copy that plays 4 % slower has 1.04 items for each of its original, so the lags at which the two share items grow as
they play on. Each key that both have gives a pair of places. These are gathered by pair of tracks, near the diagonal
alone; a pair that has few of them is looked at no further. For the others the places are turned by each rate in its
turn until those of a copy lie at one lag:

    place in b, 1.04 items of it for each of a           the same, a stretched by 1.04
    │      ·  x                                          │      ·  x
    │   · x  ·                                           │   ·  x ·
    │    x                                               │      x
    │   x    ·                                           │      x ·
    │ ·x                                                 │ ·    x
    └──────────── place in a                             └──────────── place in a"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.correlation.kernels import BlockItems, Counts, LagLimits, chance_corrected, row_of
from dedup.correlation.keys import LAST_PLACE, LAST_ROW, PLACE_BITS, Codes, Keys, Numbers, make_keys
from dedup.correlation.stretch import lags_of, on_either_side, stretched
from dedup.correlation.votes import meet
from dedup.store.items import Items, frozen
from dedup.store.pitches import AS_IT_IS, HIGHER, LOWER

VOTES = 4
"""Pairs of places within LAGS neighbouring lags that make a candidate."""

LAGS, FINE_LAGS = 5, 3
"""Lags within which votes count together: at rates in steps of 1 %, and then near the best of these."""

FINE_STEP, FINE_STEPS = 0.001, 5
"""Steps by which a rate is made finer, and how many are tried either way."""

MOST_OF_A_PAIR = 8
"""Pairs of places of one key in two tracks. A key of which there are more says nothing about where: loops, held notes,
tracks made of few sounds."""

AT_ONCE, MOST_PLACES = 1 << 22, 1 << 22
"""Pairs of tracks whose places are counted at a time, and places that are written down at a time, if not one pair has
more."""


class Hypothesis(NamedTuple):
    """What two tracks may be to each other."""

    of_a: int
    """Image in which the first is heard."""
    of_b: int
    stretches_b: bool
    """Which of the two is stretched."""
    rates: tuple[float, ...]
    """By which it is, each 1 or more."""


def _percent(*steps: int) -> tuple[float, ...]:
    return tuple(1 + step / 100 for step in steps)


_SAME, _NEAR, _FAR = _percent(*range(1, 10)), _percent(0, 2, 3, 4, 5), _percent(0, 5, 6, 7, 8, 9)
"""Rates of tracks of about one pitch, 0.6 semitones apart, and 1.2: any, if only the tempo was changed; none, if only
the pitch was; and those of a turntable. Whatever is tried of a first and a second is tried of the second and the first,
so that their order decides nothing."""

HYPOTHESES = (
    Hypothesis(HIGHER, HIGHER, True, _SAME),
    Hypothesis(HIGHER, HIGHER, False, _SAME),
    Hypothesis(HIGHER, AS_IT_IS, True, _NEAR),
    Hypothesis(AS_IT_IS, LOWER, True, _NEAR),
    Hypothesis(AS_IT_IS, HIGHER, False, _NEAR),
    Hypothesis(LOWER, AS_IT_IS, False, _NEAR),
    Hypothesis(HIGHER, LOWER, True, _FAR),
    Hypothesis(LOWER, HIGHER, False, _FAR),
)


class Image(NamedTuple):
    """The fingerprints of a block at one pitch."""

    fingerprints: BlockItems
    keys: Keys


def make_image(items: Items, offsets: Counts) -> Image:
    """Prepares a block. Row `r` is `items[offsets[r] : offsets[r + 1]]`; rows may be empty."""
    fingerprints = BlockItems(frozen(items, np.uint32), frozen(offsets, np.int64))
    return Image(fingerprints, make_keys(*fingerprints, fewest=0))


CANDIDATE = np.dtype(
    [
        *(("row_a", "i8"), ("row_b", "i8"), ("image_a", "i8"), ("image_b", "i8")),
        *(("rate", "f8"), ("of_b", "?"), ("lag", "i8"), ("kappa", "f8")),
    ]
)
"""A pair at a rate: rows of the blocks, and images in which they are heard; whether the second is stretched; the lag of
the first against the second, one of them stretched; kappa there."""

Candidates = npt.NDArray[np.void]


def likely_pairs(
    a: Sequence[Image],
    b: Sequence[Image],
    same: bool,
    rows: tuple[int, int],
    left_out: tuple[Counts, Counts],
    limits: LagLimits,
    least: float,
) -> Candidates:
    """The pairs of two blocks that share places along a line and have a kappa of `least` or more there, once for each
    hypothesis that fits.

    Parameters:
        a, b: images of the blocks.
        same: whether they are one block; then of rows and those behind them alone.
        rows: of `a`, the first and the end.
        left_out: rows of pairs that do not matter.
        limits: what a lag must meet.
        least: kappa.
    """
    found = [np.empty(0, CANDIDATE)]
    step = max(1, AT_ONCE // max(1, len(b[0].fingerprints.offsets) - 1))
    for hypothesis in HYPOTHESES:
        x, y = a[hypothesis.of_a], b[hypothesis.of_b]
        meetings = np.empty((min(len(x.keys.starts), len(y.keys.starts)), 4), np.int32)
        n_meetings, _ = meet(x.keys, y.keys, False, meetings)
        for first in range(*rows, step):
            some = first, min(rows[1], first + step)
            part = _likely(x, y, meetings[:n_meetings], same, some, left_out, hypothesis, limits, least)
            part["image_a"], part["image_b"] = hypothesis.of_a, hypothesis.of_b
            found.append(part)
    return np.concatenate(found)


def _likely(
    a: Image,
    b: Image,
    meetings: Numbers,
    same: bool,
    rows: tuple[int, int],
    left_out: tuple[Counts, Counts],
    hypothesis: Hypothesis,
    limits: LagLimits,
    least: float,
) -> Candidates:
    """`likely_pairs` of a hypothesis."""
    work = (a.keys.codes, b.keys.codes, meetings, same, *rows, hypothesis.stretches_b)
    band = hypothesis.rates[0], hypothesis.rates[-1], limits.max_lag + LAGS
    counts = np.zeros((rows[1] - rows[0], len(b.fingerprints.offsets) - 1), np.int32)
    _gather(*work, *band, counts, np.empty((0, 2), np.int32))
    rows_a, rows_b = left_out
    inside = (rows_a >= rows[0]) & (rows_a < rows[1])
    counts[rows_a[inside] - rows[0], rows_b[inside]] = 0
    wanted = np.flatnonzero(counts >= VOTES)
    n_places = counts.reshape(-1)[wanted].astype(np.int64)
    ends = np.cumsum(n_places)
    found = [np.empty(0, CANDIDATE)]
    start = 0
    while start < len(wanted):
        before = int(ends[start] - n_places[start])
        end = max(start + 1, int(np.searchsorted(ends, before + MOST_PLACES, "right")))
        some, some_ends = wanted[start:end], ends[start:end] - before
        counts[:] = -1
        counts.reshape(-1)[some] = some_ends - n_places[start:end]
        places = np.empty((int(some_ends[-1]), 2), np.int32)
        _gather(*work, *band, counts, places)
        pairs = np.stack(np.divmod(some, counts.shape[1]), axis=1)
        pairs[:, 0] += rows[0]
        some_pairs = np.ascontiguousarray(pairs)
        found.append(judged(a.fingerprints, b.fingerprints, some_pairs, some_ends, places, hypothesis, limits, least))
        start = end
    return np.concatenate(found)


def judged(
    a: BlockItems,
    b: BlockItems,
    pairs: Counts,
    ends: Counts,
    places: Numbers,
    hypothesis: Hypothesis,
    limits: LagLimits,
    least: float,
) -> Candidates:
    """Those of some pairs, rows of both, whose places lie along a line at a rate of the hypothesis. `ends` and `places`
    are as of `_judge`."""
    numbers, of_b = np.empty((len(pairs), 3)), hypothesis.stretches_b
    _judge(a, b, pairs, ends, places, np.array(hypothesis.rates), of_b, limits, numbers)
    kept = numbers[:, 2] >= least
    found = np.zeros(int(kept.sum()), CANDIDATE)
    found["row_a"], found["row_b"] = pairs[kept].T
    found["rate"], found["lag"], found["kappa"] = numbers[kept].T
    found["of_b"] = of_b
    return found


@jit
def _gather(
    a: Codes,
    b: Codes,
    meetings: Numbers,
    same: bool,
    first_row: int,
    end_row: int,
    of_b: bool,
    lowest: float,
    highest: float,
    max_lag: int,
    counts: Numbers,
    places: Numbers,
) -> None:
    """Counts the pairs of places of equal keys near the diagonal, for each pair of rows; or, if there is room for them,
    writes them down. A key that makes more than MOST_OF_A_PAIR of them for a pair of rows is left out there.

    Parameters:
        a, b: codes of the blocks.
        meetings: of `meet`.
        same: whether the blocks are the same; then of rows and those behind them alone.
        first_row, end_row: rows of `a`.
        of_b: whether `b` is the one that is stretched, or `a`.
        lowest, highest: by how much.
        max_lag: items by which the place in the other one may be off, either way.
        counts: output, `int32[end_row - first_row, rows of b]`: the numbers, zeros before; or, if they are written
            down, where the next goes, less than 0 for rows that do not matter.
        places: output, `int32[n, 2]`: place in `a` and in `b`, those of two rows together; empty to count them.
    """
    is_counting = len(places) == 0
    for k in range(len(meetings)):
        end = meetings[k, 0]
        while end < meetings[k, 1]:
            first, row_a = end, _row(a[end])
            while end < meetings[k, 1] and _row(a[end]) == row_a:
                end += 1
            if row_a < first_row or row_a >= end_row:
                continue
            other_end = meetings[k, 2]
            while other_end < meetings[k, 3]:
                other, row_b = other_end, _row(b[other_end])
                while other_end < meetings[k, 3] and _row(b[other_end]) == row_b:
                    other_end += 1
                n = counts[row_a - first_row, row_b]
                if (same and row_b <= row_a) or n < 0 or (end - first) * (other_end - other) > MOST_OF_A_PAIR:
                    continue
                for i in range(first, end):
                    place_a = int(np.int64(a[i])) & LAST_PLACE
                    for j in range(other, other_end):
                        place_b = int(np.int64(b[j])) & LAST_PLACE
                        x, y = (place_a, place_b) if of_b else (place_b, place_a)
                        if x < lowest * y - max_lag or x > highest * y + max_lag:
                            continue
                        if not is_counting:
                            places[n, 0], places[n, 1] = place_a, place_b
                        n += 1
                counts[row_a - first_row, row_b] = n


@jit
def _row(code: np.uint64) -> int:
    """The row of a code."""
    return (int(np.int64(code)) >> PLACE_BITS) & LAST_ROW


@jit
def _judge(
    a: BlockItems,
    b: BlockItems,
    pairs: Counts,
    ends: Counts,
    places: Numbers,
    rates: npt.NDArray[np.float64],
    of_b: bool,
    limits: LagLimits,
    out: npt.NDArray[np.float64],
) -> None:
    """Finds the rate and the lag at which the places of each pair agree most, and kappa there.

    Parameters:
        a, b: the blocks.
        pairs: `int64[n, 2]`, rows of both.
        ends: `int64[n]`, end of the places of each pair.
        places: of `_gather`.
        rates: `float64[n_rates]`, in their order.
        of_b: whether `b` is stretched, or `a`.
        limits: what a lag must meet.
        out: output, `float64[n, 3]`: rate, lag, kappa, which is -1 if too few places agree.
    """
    start = 0
    lags = np.empty(1, np.int64)
    for k in range(len(pairs)):
        of_pair, start = places[start : ends[k]], ends[k]
        out[k, 2] = -1.0
        if len(lags) < len(of_pair):
            lags = np.empty(2 * len(of_pair), np.int64)
        best, n_best = 1.0, VOTES - 1
        # Numbers of one type: constants would be compiled for one by one.
        for rate in rates:
            n_votes, _ = _votes_at(of_pair, rate, of_b, np.int64(LAGS), lags[: len(of_pair)])
            if n_votes > n_best:
                best, n_best = rate, n_votes
        if n_best < VOTES:
            continue
        middle, lag, n_best = best, int(np.int64(0)), 0  # no constant, as above
        for step in range(2 * FINE_STEPS + 1):
            rate = middle + FINE_STEP * on_either_side(step)
            n_votes, at = _votes_at(of_pair, rate, of_b, np.int64(FINE_LAGS), lags[: len(of_pair)])
            if n_votes > n_best:
                best, lag, n_best = rate, at, n_votes
        x, y = row_of(a, pairs[k, 0]), row_of(b, pairs[k, 1])
        if not of_b:
            x, y = y, x
        y = stretched(y, best)
        lowest, highest = lags_of(len(x), len(y), limits)
        if lag >= lowest and lag <= highest:
            kappa, _ = chance_corrected(x, y, lag)
            out[k, 0], out[k, 1], out[k, 2] = best, lag if of_b else -lag, kappa


@jit
def _votes_at(places: Numbers, rate: float, of_b: bool, n_lags: np.int64, lags: Counts) -> tuple[int, int]:
    """The most places of a pair within so many neighbouring lags at a rate, and the middle of these: lags of the track
    that is not stretched against the other.

    Parameters:
        places: `int32[n, 2]`, place in each of the two.
        rate: by which one of them is stretched.
        of_b: whether that is the second.
        n_lags: how many lags count together.
        lags: scratch, `int64[n]`.
    """
    for i in range(len(places)):
        if of_b:
            lags[i] = places[i, 0] - int(np.rint((places[i, 1] + 0.5) * rate - 0.5))
        else:
            lags[i] = places[i, 1] - int(np.rint((places[i, 0] + 0.5) * rate - 0.5))
    gap = len(lags)
    while gap > 1:  # Shell's sort: NumPy's takes a second more to compile, and there are few
        gap = max(1, gap * 5 // 11)
        for i in range(gap, len(lags)):
            lag, at = lags[i], i
            while at >= gap and lags[at - gap] > lag:
                lags[at] = lags[at - gap]
                at -= gap
            lags[at] = lag
    most, middle, end = 0, 0, 0
    for i in range(len(lags)):
        while end < len(lags) and lags[end] < lags[i] + n_lags:
            end += 1
        if end - i > most:
            most, middle = end - i, (lags[i] + lags[end - 1]) // 2
    return most, middle
