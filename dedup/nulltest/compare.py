"""What two files are to each other by their sound: a copy, another mix, or a copy that differs in places; and what only
one of them has. Pure: the same samples give the same answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.nulltest.align import Piece, align
from dedup.nulltest.coherence import coherence
from dedup.nulltest.measure import measure
from dedup.nulltest.spectra import (
    HOP,
    HOPS_PER_SECOND,
    SAMPLE_RATE,
    WINDOW,
    Pcm,
    hop_levels,
    mean_squares,
    pair_powers,
)
from dedup.store.nulltests import Difference, NullTest, Span

Side = Literal["a", "b", "both"]
Flags = npt.NDArray[np.bool_]

MIX_SHARE = 0.01
"""Mean share of the loudness that one file lacks, from which it is another mix. Of 75 copies of real music the highest
is 0.006, of as many made ones 0.002; of 200 pairs with and without a lead 12 to 3 dB below the music the least is
0.015."""

MIX_TIME_SHARE = 0.1
"""Share of the time that must differ in another mix; less is a difference in places."""

LEAD_SHARE = 0.02
"""Share of the loudness of a second that one file lacks, from which on that second differs, in another mix."""

SHORT_LEAD_S, SHORT_LEAD_SHARE = 2.0, 0.03
"""Share of the loudness of so many seconds that one file lacks, from which on they differ in a file that is a copy
otherwise: a lead that sounds for a moment of a long song. Of the copies of the corpus the highest is 0.020, of made
ones 0.008; of 84 leads of 4 to 16 s in 150 s, 12 to 3 dB below the music, the least is 0.041."""

ONE_WAVE, APART = 0.8, 0.6
"""Usual coherence of two files from which on they are the same wave, and the share of it that a third of a second must
have. Of the copies of the corpus the lowest has 0.69 of it; another word or one turned over has 0.4 at most."""

EVENT_SHARE = 0.3
"""Share of the loudness of half a second that one file lacks, from which on it is a difference in a place, if the waves
can't tell."""

EVENT_DB = 20.0
"""How far below the median loudness of the file a place may be: quieter ones are full of what codecs do."""

LEAST_EVENT_S = 0.15
"""Seconds that a difference lasts, at least."""

UNITED_S = 5.0
"""Longest pause between two stretches of one lead, in seconds."""

DROP_DB = 25.0
"""How far the level of one file falls below the other's, more than usual, in a drop-out."""

NOISE_SHARE, ABOVE_NOISE_DB = 0.01, 10.0
"""Share of a file that is taken for its noise, the quietest, and dB above it from which on something sounds."""

AUDIBLE_DB, LEAST_RMS = 40.0, 30.0
"""How far below its file's median level sound of its own is audible, and the least RMS of 16-bit samples for it."""

LEAST_OWN_S = 1.0
"""Seconds of audible sound of its own that count."""

LONGEST_PART = 600 * SAMPLE_RATE
"""Samples that are measured at once, so that a long file takes no more memory than its sound."""

_SIDES: tuple[Side, ...] = ("a", "b")


class _Heard(NamedTuple):
    """What was measured of a piece."""

    seconds: npt.NDArray[np.float64]
    """Middle of each frame, in seconds of the first file."""
    missing: dict[Side, npt.NDArray[np.float32]]
    """Share of the loudness that only this side has, by side."""
    share: npt.NDArray[np.float32]
    """Share that either side lacks, one way round: it shows a short place more clearly."""
    coherence: npt.NDArray[np.float32]
    """How far both are the same wave, 0 to 1."""
    counts: Flags
    """Whether the frame is heard in both files."""
    loud: Flags
    """Whether it is loud enough for a difference in a place."""
    dropped: dict[Side, Flags]
    """Whether only this side sounds at all, by side."""
    residual: float
    power: float


def compare(a: Pcm, b: Pcm, lag_s: float) -> NullTest:
    """The null test of two files, mono at 11,025 Hz; the first has about `lag_s` seconds more in front (to 0.1 s).
    Times are rounded to 10 ms, the residual to 0.1 dB."""
    if is_turned(a, b):
        return _compare(b, a, -lag_s).swapped()
    return _compare(a, b, lag_s)


def is_turned(a: Pcm, b: Pcm) -> bool:
    """Whether the second comes first when the two are compared, so that their order changes no digit."""
    return len(a) > len(b) or (len(a) == len(b) and a.tobytes() > b.tobytes())


def _compare(a: Pcm, b: Pcm, lag_s: float) -> NullTest:
    length_a_s, length_b_s = (round(len(sound) / SAMPLE_RATE, 2) for sound in (a, b))
    pieces = align(a, b, round(lag_s * SAMPLE_RATE))
    parts = [part for piece in pieces for part in piece.parts(LONGEST_PART)]
    heard = [_hear(a, b, part) for part in parts]
    if not heard or not any(piece.counts.any() for piece in heard):
        return NullTest(problem="too little sound in common", length_a_s=length_a_s, length_b_s=length_b_s)
    if _may_differ(heard):
        heard = [_both_ways(a, b, part, each) for part, each in zip(parts, heard, strict=True)]
    is_other_mix = _is_other_mix(heard)
    places = _lead(heard) if is_other_mix else _events(heard)
    return NullTest(
        lag_s=round(pieces[0].lag_at(pieces[0].start) / SAMPLE_RATE, 4),
        rate=round(max(pieces, key=lambda piece: piece.end - piece.start).rate, 5) + 0.0,  # never -0
        residual_db=_residual_db(heard),
        is_other_mix=is_other_mix,
        only_a=tuple(_own(a, _outside(len(a), pieces, "a"))),
        only_b=tuple(_own(b, _outside(len(b), pieces, "b"))),
        differences=tuple(_united([*places, *_skips(pieces)], UNITED_S if is_other_mix else 2 * LEAST_EVENT_S)),
        length_a_s=length_a_s,
        length_b_s=length_b_s,
    )


# ---- what is measured ----


def _hear(a: Pcm, b: Pcm, piece: Piece) -> _Heard:
    starts, starts_b = piece.windows()
    powers = pair_powers(a, starts, b, starts_b)
    alike = coherence(powers)
    left = measure(powers.a, powers.b, alike.of_bands)
    level_a, level_b = hop_levels(a, starts), hop_levels(b, starts_b)
    return _Heard(
        seconds=(starts + WINDOW / 2) / SAMPLE_RATE,
        missing={"a": left.missing_in_b, "b": left.missing_in_a},
        share=np.maximum(left.missing_in_a, left.missing_in_b),
        coherence=alike.of_all,
        counts=left.heard,
        loud=left.heard & _is_above_median(left.level_a, EVENT_DB) & _is_above_median(left.level_b, EVENT_DB),
        dropped={"a": _dropped(level_a, level_b), "b": _dropped(level_b, level_a)},
        residual=float(left.residual.sum(dtype=np.float64)),
        power=float(left.power.sum(dtype=np.float64)),
    )


def _both_ways(a: Pcm, b: Pcm, piece: Piece, heard: _Heard) -> _Heard:
    """The same, with the less of what is missing both ways round: noise is told from music better one way than the
    other."""
    starts, starts_b = piece.windows()
    powers = pair_powers(a, starts, b, starts_b)
    turned = measure(powers.b, powers.a, coherence(powers).of_bands)
    return heard._replace(
        missing={
            "a": np.minimum(heard.missing["a"], turned.missing_in_a),
            "b": np.minimum(heard.missing["b"], turned.missing_in_b),
        }
    )


def _is_above_median(level: npt.NDArray[np.float32], below_db: float) -> Flags:
    return np.asarray(level > np.median(level) - below_db)


def _dropped(level: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> Flags:
    """Where the one sounds and the other falls silent. What is quiet sounds if it is more than the file's own noise."""
    usual, median = np.median(level - other), float(np.median(level))
    noise = float(np.quantile(level, NOISE_SHARE)) + ABOVE_NOISE_DB
    quietest = min(max(median - AUDIBLE_DB, noise, 20 * np.log10(LEAST_RMS)), median - EVENT_DB)
    return np.asarray((level > quietest) & (level - other > usual + DROP_DB))


def _residual_db(heard: Sequence[_Heard]) -> float:
    power = sum(piece.power for piece in heard)
    residual = sum(piece.residual for piece in heard)
    return round(10 * float(np.log10((residual + 1e-9) / (power + 1e-9) + 1e-8)), 1)


# ---- what is judged ----


def mean_missing(a: Pcm, b: Pcm, lag_s: float) -> float:
    """Mean share of the loudness that one of two files lacks, 0 to 1: what `MIX_SHARE` is compared with."""
    pieces = align(a, b, round(lag_s * SAMPLE_RATE))
    missing = _missing([_both_ways(a, b, piece, _hear(a, b, piece)) for piece in pieces])
    return float(missing.mean()) if len(missing) else 0.0


def _missing(heard: Sequence[_Heard]) -> npt.NDArray[np.float32]:
    """Share of the loudness that one of the two lacks, at each frame that counts."""
    return np.concatenate([np.maximum(*piece.missing.values())[piece.counts] for piece in heard] or [np.zeros(0)])


def _may_differ(heard: Sequence[_Heard]) -> bool:
    """Whether looking both ways round can change the answer: it finds less."""
    return _is_other_mix(heard) or any(_has_short_lead(piece).any() for piece in heard)


def _is_other_mix(heard: Sequence[_Heard]) -> bool:
    missing = _missing(heard)
    differs = np.concatenate([_differs(piece)[piece.counts] for piece in heard])
    return bool(missing.mean() > MIX_SHARE and differs.mean() > MIX_TIME_SHARE)


def _differs(piece: _Heard) -> Flags:
    """Where a second differs, in another mix."""
    return _mean(np.maximum(*piece.missing.values()), 1.0) > LEAD_SHARE


def _has_short_lead(piece: _Heard) -> Flags:
    """Where, in the second before or after, a lead sounds in one file only."""
    missing = np.where(piece.loud, np.maximum(*piece.missing.values()), 0)
    return _mean(missing, SHORT_LEAD_S) > SHORT_LEAD_SHARE


def _lead(heard: Sequence[_Heard]) -> list[Difference]:
    """Stretches of another mix, pauses included."""
    found: list[Difference] = []
    for piece in heard:
        found += _stretches(piece, _differs(piece) & piece.counts)
    return _united(found, UNITED_S)


def _events(heard: Sequence[_Heard]) -> list[Difference]:
    """Bleeps, other words, drop-outs, short leads and the like; not in the first and the last second, where files are
    faded in and cut."""
    usual = _usual_coherence(heard)
    found: list[Difference] = []
    for piece in heard:
        dropped = [each._replace(side=side) for side in _SIDES for each in _stretches(piece, piece.dropped[side])]
        others = _stretches(piece, _grown(*(_apart(piece, usual) if usual > ONE_WAVE else _lacking(piece))))
        found += _besides(_besides(dropped, others), _short_leads(piece))
    first_s, last_s = float(heard[0].seconds[0]) + LEAST_OWN_S, float(heard[-1].seconds[-1]) - LEAST_OWN_S
    return _united([each for each in found if each.end_s > first_s and each.start_s < last_s], 2 * LEAST_EVENT_S)


def _short_leads(piece: _Heard) -> list[Difference]:
    """Leads that sound for a moment of a copy, each with its pauses."""
    sounds = _has_short_lead(piece) & (np.maximum(*piece.missing.values()) > LEAD_SHARE)
    return _united(list(_stretches(piece, sounds, least_s=0)), LEAST_OWN_S)


def _besides(found: Sequence[Difference], more: Iterable[Difference]) -> list[Difference]:
    """The places, and those of `more` that don't say the same less exactly."""
    return [*found, *(each for each in more if not any(_is_within(each, other) for other in found))]


def _is_within(one: Difference, other: Difference) -> bool:
    """Whether one place is part of another, or not clearly longer."""
    return other.start_s - one.start_s < 0.5 and one.end_s - other.end_s < 0.5


def _usual_coherence(heard: Sequence[_Heard]) -> float:
    loud = np.concatenate([piece.coherence[piece.loud] for piece in heard])
    return float(np.median(loud)) if len(loud) else 0.0


def _apart(piece: _Heard, usual: float) -> tuple[Flags, Flags]:
    """Where the waves have much less in common than usual, and where less."""
    alike = np.where(piece.loud, piece.coherence / usual, 1)
    return _mean(alike, 0.3) < APART, alike < (1 + APART) / 2


def _lacking(piece: _Heard) -> tuple[Flags, Flags]:
    """Where one file lacks most of the loudness of the other, and where some."""
    return (_mean(piece.share, 0.5) > EVENT_SHARE) & piece.loud, piece.share > EVENT_SHARE / 2


def _grown(seeds: Flags, around: Flags) -> Flags:
    """The runs of `around` that hold a seed."""
    grown = np.zeros(len(around), np.bool_)
    for start, end in _runs(around):
        grown[start:end] = seeds[start:end].any()
    return grown


def _stretches(piece: _Heard, flags: Flags, least_s: float = LEAST_EVENT_S) -> Iterator[Difference]:
    for start, end in _runs(flags):
        if (end - start) / HOPS_PER_SECOND >= least_s:
            more_a, more_b = (float(piece.missing[side][start:end].mean()) for side in _SIDES)
            side: Side = "a" if more_a > 3 * more_b else "b" if more_b > 3 * more_a else "both"
            yield Difference(round(float(piece.seconds[start]), 2), round(float(piece.seconds[end - 1]), 2), side)


def _united(found: Sequence[Difference], pause_s: float) -> list[Difference]:
    """The stretches, those with short pauses between them as one."""
    united: list[Difference] = []
    for each in sorted(found):
        last = united[-1] if united else None
        if last is not None and each.start_s - last.end_s <= pause_s:
            side = last.side if last.side == each.side else "both"
            united[-1] = Difference(last.start_s, max(last.end_s, each.end_s), side)
        else:
            united.append(each)
    return united


def _skips(pieces: Sequence[Piece]) -> Iterator[Difference]:
    """Where less than what counts as sound of its own was cut or inserted."""
    for before, after in itertools.pairwise(pieces):
        jump_s = (after.lag_at(after.start) - before.lag_at(before.end)) / SAMPLE_RATE
        if 0 < abs(jump_s) <= LEAST_OWN_S:
            end_s = max(after.start, before.end + HOP) / SAMPLE_RATE
            yield Difference(round(before.end / SAMPLE_RATE, 2), round(end_s, 2), "a" if jump_s > 0 else "b")


# ---- what only one has ----


def _outside(n_samples: int, pieces: Sequence[Piece], side: Side) -> list[tuple[int, int]]:
    """Samples of one file before, between and after the pieces."""
    ends = [(p.start, p.end) if side == "a" else (p.start - p.lag_at(p.start), p.end - p.lag_at(p.end)) for p in pieces]
    edges = [0, *itertools.chain.from_iterable(ends), n_samples]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _own(sound: Pcm, stretches: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """The stretches with more than a second of audible sound, from the first audible moment to the last."""
    step = SAMPLE_RATE // 20
    n = len(sound) // step
    if not n:
        return
    rms = np.sqrt(mean_squares(sound[: n * step].reshape(n, step)))
    audible = rms > max(LEAST_RMS, float(np.median(rms[rms > 1])) * 10 ** (-AUDIBLE_DB / 20) if (rms > 1).any() else 0)
    for start, end in stretches:
        first, last = max(0, -(-start // step)), min(n, end // step)
        places = np.flatnonzero(audible[first:last])
        if len(places) * step > LEAST_OWN_S * SAMPLE_RATE:
            of_first, of_last = first + places[0], first + places[-1] + 1
            yield Span(round(float(of_first * step / SAMPLE_RATE), 2), round(float(of_last * step / SAMPLE_RATE), 2))


# ---- tools ----


def _mean(values: npt.NDArray[np.float32], seconds: float) -> npt.NDArray[np.float64]:
    """Means over so many seconds around each frame."""
    n_each_side = max(1, round(seconds * HOPS_PER_SECOND / 2))
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    at = np.arange(len(values))
    first, end = np.maximum(at - n_each_side, 0), np.minimum(at + n_each_side + 1, len(values))
    return np.asarray((total[end] - total[first]) / (end - first))


def _runs(flags: Flags) -> Iterator[tuple[int, int]]:
    """First frame and end of each run of true ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
