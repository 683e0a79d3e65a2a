"""What only one of two files has, as sound: the residual of the null test, on the axis of the second file.

Both are decoded as their null test hears them and aligned as there, after the first was brought to the speed of the
second. Where `measure` finds a band that one of the two lacks, the sound of the one that has it is kept, and all else
is silence. What one file has before or behind what they share is kept too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from dedup.nulltest.align import Piece, align
from dedup.nulltest.coherence import coherence
from dedup.nulltest.compare import LONGEST_PART
from dedup.nulltest.measure import LASTING_FRAMES, LOST_DB, MISSING_DB, measure
from dedup.nulltest.spectra import EDGES, HOP, SAMPLE_RATE, WINDOW, Pcm, pair_powers
from dedup.playback.lanes import LEAST_DRIFT_S, Place
from dedup.playback.resample import resampled_mono

LONGEST_S = 7200
"""Seconds of either file, at most: the sound of both is held in memory."""
MOST_STEPS = 1000
"""Most steps of the curves."""
_LEAST_FOR_RATE_S = 10.0
"""Seconds of a piece from which on it tells how fast the two play."""
_TRIES = 3
"""Times that the rate is refined: each leaves about a hundredth of the error."""
_CLOSE = 2e-5
"""Difference of rates that is not refined further: 6 ms in 5 minutes."""
_AT_ONCE = 512

Floats = npt.NDArray[np.float32]
_HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@dataclass(frozen=True)
class Shared:
    """A stretch that the two share without a break, in seconds of the axis."""

    start_s: float
    end_s: float
    offset_s: float
    """Place of the first file in this stretch."""
    rate: float
    is_found: bool = True
    """Whether the sound showed the place, to the sample; otherwise it is as it was guessed."""

    @property
    def place(self) -> Place:
        return Place(self.offset_s, self.rate)


@dataclass(frozen=True)
class Details:
    """What comes with the sound of a difference."""

    first_s: float
    """Musical second at which the sound begins, 0 or less: the first file may begin before the second."""
    shared: tuple[Shared, ...]
    """What the two share, by time; none if no place of one was found in the other."""
    curve_start_s: float = 0.0
    """Musical second at which the curves begin."""
    step_s: float = 1.0
    """Seconds of a step of the curves."""
    only_a: tuple[float, ...] = ()
    """Share of the loudness that only the first file has, the most of each step, 0 to 1."""
    only_b: tuple[float, ...] = ()
    """The same of the second."""

    @property
    def place(self) -> Place:
        """Where the sound of the difference lies on the axis."""
        return Place(0.0 - self.first_s)

    @property
    def place_of_a(self) -> Place | None:
        """Where the first file lies on the axis, to the sample, in the longest stretch that both share; None if the
        sound doesn't show it."""
        found = [each for each in self.shared if each.is_found]
        return max(found, key=lambda each: each.end_s - each.start_s).place if found else None

    def place_at(self, t: float) -> Place | None:
        """Where the first file lies at a musical second: something may be cut out of one of the two, so that a stretch
        lies elsewhere than the next. Between two stretches, that of the one before; None if there is none."""
        before = [each for each in self.shared if each.start_s <= t] or list(self.shared[:1])
        return before[-1].place if before else None

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @staticmethod
    def of(text: str) -> Details:
        """Raises ValueError, KeyError, TypeError for any other text."""
        values = json.loads(text)
        shared = tuple(Shared(**each) for each in values.pop("shared"))
        only_a, only_b = tuple(values.pop("only_a")), tuple(values.pop("only_b"))
        return Details(shared=shared, only_a=only_a, only_b=only_b, **values)


def difference(a: Pcm, b: Pcm, guess: Place) -> tuple[Floats, Details]:
    """The difference of two files, float32[n], mono at 11,025 Hz within ±32,768, and what is known of it. `guess` says
    about where the first lies on the axis of the second: the offset to 0.1 s, the rate to 0.2 %."""
    rate, a, pieces = _aligned(a, b, guess)
    first = min(0, -pieces[0].lag_at(pieces[0].start)) if pieces else 0
    last = max(len(b), len(a) - pieces[-1].lag_at(pieces[-1].end - 1)) if pieces else len(b)
    sound, weight = (np.zeros(last - first + WINDOW, np.float32) for _ in range(2))
    curves = _Curves(first, last)
    for part in (part for piece in pieces for part in piece.parts(LONGEST_PART)):
        _add_part(a, b, part, first, sound, weight, curves)
    sound /= np.maximum(weight, 0.05)
    _add_own(a, b, pieces, first, sound)
    shared = tuple(_shared(piece, rate) for piece in pieces)
    only_a, only_b = curves.steps()
    details = Details(first / SAMPLE_RATE, shared, first / SAMPLE_RATE, curves.step / SAMPLE_RATE, only_a, only_b)
    return sound[: last - first], details


# ---- where the two lie ----


def _aligned(a: Pcm, b: Pcm, guess: Place) -> tuple[float, Pcm, list[Piece]]:
    """How much longer the first file takes, the first file at the speed of the second, and what the two share then."""
    rate, lag_s = guess.rate, guess.offset_s / (1 + guess.rate)
    at_speed, pieces = a, align(a, b, round(lag_s * SAMPLE_RATE)) if not rate else []
    for _ in range(_TRIES if rate else 0):
        at_speed = _at_speed(a, 1 + rate)
        pieces = align(at_speed, b, round(lag_s * SAMPLE_RATE))
        more = max(pieces, key=lambda piece: piece.end - piece.start).rate if pieces else 0.0
        if abs(more) < _CLOSE:
            break
        rate, lag_s = (1 + rate) * (1 + more) - 1, pieces[0].lag_at(pieces[0].start) / SAMPLE_RATE / (1 + more)
    return rate, at_speed, pieces


def _at_speed(sound: Pcm, speed: float) -> Pcm:
    """The sound played faster by a factor."""
    n = int(len(sound) / speed)
    parts = []
    for start in range(0, n, 1 << 20):
        at = np.arange(start, min(start + (1 << 20), n), dtype=np.float64) * speed
        parts.append(resampled_mono(sound, at, speed)[:, 0])
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _shared(piece: Piece, rate: float) -> Shared:
    """A piece on the axis. Its rate is that of both steps: the known one, and what is left of it in the piece."""
    on_axis = (piece.at - piece.lags) / SAMPLE_RATE
    in_a = piece.at / SAMPLE_RATE * (1 + rate)
    slope = 1 + rate
    if on_axis[-1] - on_axis[0] >= _LEAST_FOR_RATE_S:
        found = float(np.polyfit(on_axis, in_a, 1)[0])
        if abs(found - slope) * (piece.end - piece.start) / SAMPLE_RATE >= LEAST_DRIFT_S:
            slope = found
    offset_s = float(np.median(in_a - on_axis * slope))
    start, end = (sample - piece.lag_at(sample) for sample in (piece.start, piece.end))
    return Shared(
        start_s=round(start / SAMPLE_RATE, 4),
        end_s=round(end / SAMPLE_RATE, 4),
        offset_s=round(offset_s, 5),
        rate=round(slope - 1, 7) + 0.0,
        is_found=len(piece.at) > 1,
    )


# ---- what is left ----


def _add_part(a: Pcm, b: Pcm, part: Piece, first: int, sound: Floats, weight: Floats, curves: _Curves) -> None:
    """Adds what is left of one part, window by window, and the square of each window to `weight`."""
    starts, starts_b = part.windows()
    powers = pair_powers(a, starts, b, starts_b)
    alike = coherence(powers).of_bands
    left = measure(powers.a, powers.b, alike)
    curves.add(starts_b + WINDOW // 2, left.missing_in_b, left.missing_in_a)
    kept_a, kept_b = (_kept(np.maximum(sign * left.excess, 0)) for sign in (1, -1))
    for kept in (kept_a, kept_b):
        kept[:, : alike.shape[1]] *= np.sqrt(np.clip(1 - alike, 0, 1))  # the same wave lacks nothing
    for i in range(0, len(starts), _AT_ONCE):
        rows = slice(i, i + _AT_ONCE)
        spectra = _spectra(a, starts[rows]) * _of_bins(kept_a[rows])
        spectra += _spectra(b, starts_b[rows]) * _of_bins(kept_b[rows])
        windows = np.fft.irfft(spectra, WINDOW, axis=1).astype(np.float32) * _HANN
        for at, samples in zip((starts_b[rows] - first).tolist(), windows, strict=True):
            low = max(0, -at)
            sound[at + low : at + WINDOW] += samples[low:][: len(sound) - at - low]
            weight[at + low : at + WINDOW] += (_HANN * _HANN)[low:][: len(sound) - at - low]


def _kept(excess_db: Floats) -> Floats:
    """Factor of each band whose excess is so many dB: none for what the null test forgives, all from `LOST_DB` on. The
    excess is the least of some neighbouring frames, so here it is the most of as many."""
    most = excess_db.copy()
    for shift in range(1, LASTING_FRAMES + 1):
        np.maximum(most[shift:], excess_db[:-shift], out=most[shift:])
        np.maximum(most[:-shift], excess_db[shift:], out=most[:-shift])
    return np.asarray(np.clip((most - MISSING_DB) / (LOST_DB - MISSING_DB), 0, 1), np.float32)


def _of_bins(bands: Floats) -> Floats:
    """float32[n, WINDOW // 2 + 1]: the value of the band of each bin; 0 beyond the bands."""
    bins = np.zeros((len(bands), WINDOW // 2 + 1), np.float32)
    bins[:, EDGES[0] : EDGES[-1]] = np.repeat(bands, np.diff(EDGES), axis=1)
    return bins


def _spectra(sound: Pcm, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.complex64]:
    """complex64[n, WINDOW // 2 + 1] of the windows that start at these samples; 0 where one leaves the sound."""
    inside = (starts >= 0) & (starts <= len(sound) - WINDOW)
    index = np.where(inside, starts, 0)[:, None] + np.arange(WINDOW)
    if not inside.any():
        return np.zeros((len(starts), WINDOW // 2 + 1), np.complex64)
    return np.fft.rfft(sound[index] * (_HANN * inside[:, None]), axis=1).astype(np.complex64)


def _add_own(a: Pcm, b: Pcm, pieces: Sequence[Piece], first: int, sound: Floats) -> None:
    """Adds what one file has before, between and behind what they share. What the first has between has no place on
    the axis."""
    if not pieces:
        sound[-first : len(b) - first] += b
        return
    edges = [0, *(edge for piece in pieces for edge in _in_b(piece)), len(b)]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if start < end:
            sound[start - first : end - first] += b[start:end]
    before, behind = pieces[0], pieces[-1]
    at = -before.lag_at(before.start) - first
    sound[at : at + before.start] += a[: before.start]
    at = behind.end - behind.lag_at(behind.end - 1) - first
    own = a[behind.end :][: max(0, len(sound) - at)]
    sound[at : at + len(own)] += own


def _in_b(piece: Piece) -> Iterator[int]:
    yield piece.start - piece.lag_at(piece.start)
    yield piece.end - piece.lag_at(piece.end - 1)


class _Curves:
    """The most of each step of what only one of the two has."""

    def __init__(self, first: int, last: int) -> None:
        self._first = first
        self.step = max(4 * HOP, (last - first) // MOST_STEPS + 1)
        """Samples of a step."""
        self._curves = np.zeros((2, (last - first) // self.step + 1), np.float32)

    def add(self, at: npt.NDArray[np.int64], only_a: Floats, only_b: Floats) -> None:
        """Takes values at these samples of the axis."""
        steps = np.clip((at - self._first) // self.step, 0, self._curves.shape[1] - 1)
        for curve, values in zip(self._curves, (only_a, only_b), strict=True):
            np.maximum.at(curve, steps, values)

    def steps(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        only_a, only_b = (tuple(np.round(curve.astype(float), 3).tolist()) for curve in self._curves)
        return only_a, only_b
