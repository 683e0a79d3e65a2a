"""Which sample of one file sounds with which of the other: to the sample, in pieces where something was cut or
inserted, along a slope where the clocks differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dedup.nulltest.spectra import HOP, SAMPLE_RATE, WINDOW, Pcm, band_powers

ANCHOR = 16_384
"""Samples of an anchor, 1.5 s: a stretch of one file that is looked for in the other."""
SPACING = 3 * SAMPLE_RATE
"""Samples from one anchor to the next."""
NEAR = round(0.15 * SAMPLE_RATE)
"""Samples within which an anchor is looked for around the lag of its neighbour."""
LONG_ANCHOR = 65_536
"""Samples of an anchor that is looked for everywhere, 6 s."""
FAR = 300 * SAMPLE_RATE
"""Samples within which an anchor is looked for if it isn't near."""
FAR_SEARCHES = 8
"""Anchors that are looked for everywhere, at most: each takes as long as decoding a minute or two."""

CLEAR = 9.0
"""Height of a peak of the correlation, in RMS of its surroundings, from which on an anchor is found: anchors of
unrelated music reach 6, and copies with noise 20."""
JUMP = round(0.02 * SAMPLE_RATE)
"""Samples between the lags of two neighbouring anchors from which on something is missing between them."""

LEAST_FOR_RATE_S = 10.0
"""Seconds from the first anchor to the last from which on a piece tells how fast the two play."""

_HANN = np.hanning(ANCHOR).astype(np.float32)


@dataclass(frozen=True)
class Piece:
    """A stretch that two files share without a break."""

    start: int
    """First sample in the first file."""
    end: int
    """Sample of the first file after the last one."""
    at: npt.NDArray[np.float64]
    """Samples of the first file at which the lag is known, in order."""
    lags: npt.NDArray[np.float64]
    """Samples that the first file has more in front, at each of them."""

    def lag(self, samples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The lag at these samples of the first file; beyond what is known, that of the nearest known one."""
        return np.rint(np.interp(samples, self.at, self.lags)).astype(np.int64)

    @property
    def rate(self) -> float:
        """How much longer the first file takes for the same music; 0 for a piece too short to tell."""
        seconds = float(self.at[-1] - self.at[0]) / SAMPLE_RATE
        if seconds < LEAST_FOR_RATE_S:
            return 0.0
        slope = float(np.polyfit(self.at, self.lags, 1)[0])
        return slope / (1 - slope)

    def windows(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """First samples of its windows in both files."""
        starts = np.arange(self.start, max(self.end - WINDOW, self.start + 1), HOP, dtype=np.int64)
        return starts, starts - self.lag(starts)

    def parts(self, longest: int) -> list[Piece]:
        """The piece in the fewest parts of about the same length, none longer than so many samples."""
        n_parts = max(1, -(-(self.end - self.start) // longest))
        edges = np.linspace(self.start, self.end, n_parts + 1).astype(int).tolist()
        return [replace(self, start=start, end=end) for start, end in itertools.pairwise(edges)]

    def lag_at(self, sample: int) -> int:
        return int(self.lag(np.array([sample]))[0])


@dataclass(frozen=True)
class _Anchor:
    at: int
    lag: int


def align(a: Pcm, b: Pcm, lag: int) -> list[Piece]:
    """The pieces that two files share, by time; `lag` is known to about 0.1 s in one of them. Always at least one, if
    the two overlap at that lag; where nothing is found to tell better, the lag is as given."""
    found = _near(a, b, lag)
    found += _elsewhere(a, b, lag, found)
    runs = _runs(sorted(found, key=lambda anchor: anchor.at)) or [[_Anchor(max(lag, 0), lag)]]
    pieces = [_piece(run) for run in runs]
    last = pieces[-1]
    pieces[0] = replace(pieces[0], start=max(0, pieces[0].lag_at(0)))
    pieces[-1] = replace(pieces[-1], end=min(len(a), len(b) + last.lag_at(len(a))))
    for i in range(len(pieces) - 1):
        end, start = _split(a, b, pieces[i], pieces[i + 1])
        pieces[i] = replace(pieces[i], end=end)
        pieces[i + 1] = replace(pieces[i + 1], start=start)
    return [piece for piece in pieces if piece.end - piece.start > WINDOW]


# ---- anchors ----


def _places(a: Pcm, b: Pcm, lag: int) -> list[int]:
    """Starts of the anchors in the part of `a` that `b` has at that lag."""
    first, last = max(0, lag), min(len(a), len(b) + lag) - ANCHOR
    return list(range(first, last + 1, SPACING)) or [max(0, first)]


def _near(a: Pcm, b: Pcm, lag: int) -> list[_Anchor]:
    """Anchors found near the lag of their neighbours, from the middle to both ends."""
    places = _places(a, b, lag)
    middle = len(places) // 2
    onwards = _follow(a, b, places[middle:], lag)
    start_lag = onwards[0].lag if onwards else lag
    return [*_follow(a, b, places[:middle][::-1], start_lag), *onwards]


def _follow(a: Pcm, b: Pcm, places: Sequence[int], lag: int) -> list[_Anchor]:
    found = []
    for at in places:
        change = _find_near(a, b, at, lag)
        if change is not None:
            lag += change
            found.append(_Anchor(at, lag))
    return found


def _find_near(a: Pcm, b: Pcm, at: int, lag: int) -> int | None:
    """How much the lag at this anchor differs from `lag`; None if the anchor isn't clearly found."""
    x, y = _cut(a, at, ANCHOR), _cut(b, at - lag, ANCHOR)
    curve = _correlation(x, y, 2 * ANCHOR)
    rms = float(np.sqrt(np.mean(curve**2)))
    near = np.concatenate([curve[-NEAR:], curve[: NEAR + 1]])
    peak = int(np.argmax(np.abs(near)))  # one of them may be turned over
    return peak - NEAR if rms > 0 and abs(near[peak]) > CLEAR * rms else None


def _elsewhere(a: Pcm, b: Pcm, lag: int, found: list[_Anchor]) -> list[_Anchor]:
    """Anchors that aren't near: something was cut or inserted before or behind them. The longest stretch without one is
    searched first."""
    known, tried, more = {anchor.at for anchor in found}, set[int](), list[_Anchor]()
    for _ in range(FAR_SEARCHES):
        gap = max(_gaps(len(a), known, tried), key=len, default=())
        if len(gap) < 2:
            break
        at = gap[len(gap) // 2]
        tried.add(at)
        new_lag = _find_far(a, b, at, lag)
        if new_lag is None or not 0 <= at - new_lag < len(b):
            continue
        anchors = [anchor for place in gap for anchor in _follow(a, b, [place], new_lag)]
        known |= {anchor.at for anchor in anchors}
        more += anchors
    return more


def _gaps(n: int, known: set[int], tried: set[int]) -> Iterator[list[int]]:
    """Stretches of places without an anchor, cut where a place was searched in vain."""
    phase = next(iter(known), 0) % SPACING
    gap: list[int] = []
    for at in range(phase, n - ANCHOR, SPACING):
        if at in known or at in tried:
            yield gap
            gap = []
        else:
            gap.append(at)
    yield gap


def _find_far(a: Pcm, b: Pcm, at: int, lag: int) -> int | None:
    """The lag of a long anchor wherever it is in `b`, within `FAR` of where it would be; None if nowhere."""
    x = _cut(a, at, LONG_ANCHOR)
    first = max(0, at - lag - FAR)
    y = _cut(b, first, min(len(b), at - lag + FAR) - first)
    if len(y) < LONG_ANCHOR:
        return None
    n = 1 << (len(y) + LONG_ANCHOR - 1).bit_length()
    curve = _correlation(y, x, n)[: len(y)]
    peak = int(np.argmax(np.abs(curve)))
    rms = float(np.sqrt(np.mean(curve**2)))
    return at - (first + peak) if rms > 0 and abs(curve[peak]) > 1.5 * CLEAR * rms else None


def _cut(sound: Pcm, start: int, n: int) -> npt.NDArray[np.float32]:
    """float32[n] from `start` on, with zeros where the sound has nothing."""
    cut = np.zeros(max(n, 0), np.float32)
    low, high = max(start, 0), min(start + n, len(sound))
    if low < high:
        cut[low - start : high - start] = sound[low:high]
    return cut


def _correlation(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.float32]:
    """float32[n], circular: how well `y`, shifted by so many samples, fits `x`. Half whitened, so that what is loud
    doesn't decide alone, from 100 to 4,500 Hz."""
    window = _HANN if len(x) == len(y) == ANCHOR else np.float32(1)
    cross = np.fft.rfft(x * window, n) * np.conj(np.fft.rfft(y * window, n))
    size = np.abs(cross)
    cross /= (size + 1e-6 * size.max(initial=0) + 1e-9) ** 0.75
    low, high = (round(hz * n / SAMPLE_RATE) for hz in (100, 4500))
    cross[:low] = 0
    cross[high:] = 0
    return np.fft.irfft(cross, n).astype(np.float32)


# ---- pieces ----


def _runs(anchors: list[_Anchor]) -> list[list[_Anchor]]:
    """Anchors whose lags belong together. One that stands alone among others is a chance hit."""
    runs: list[list[_Anchor]] = []
    for anchor in anchors:
        if runs and abs(anchor.lag - runs[-1][-1].lag) < JUMP:
            runs[-1].append(anchor)
        else:
            runs.append([anchor])
    if len(runs) < 2:
        return runs
    kept = [run for run in runs if len(run) > 1] or [max(runs, key=len)]
    united: list[list[_Anchor]] = []
    for run in _in_both_orders(kept):
        if united and abs(run[0].lag - united[-1][-1].lag) < JUMP:
            united[-1] = united[-1] + run
        else:
            united.append(run)
    return united


def _in_both_orders(runs: Sequence[list[_Anchor]]) -> list[list[_Anchor]]:
    """The runs with the most anchors together whose time goes on in both files: music repeats itself."""
    best: list[tuple[int, list[list[_Anchor]]]] = []
    for run in runs:
        before = [chain for chain in best if _time_in_b(chain[1][-1][-1]) < _time_in_b(run[0])]
        n_anchors, chain = max(before, key=lambda chain: chain[0], default=(0, []))
        best.append((n_anchors + len(run), [*chain, run]))
    return max(best, key=lambda chain: chain[0])[1]


def _time_in_b(anchor: _Anchor) -> int:
    return anchor.at - anchor.lag


def _piece(run: list[_Anchor]) -> Piece:
    at = np.array([anchor.at + ANCHOR // 2 for anchor in run], np.float64)
    lags = np.array([anchor.lag for anchor in run], np.float64)
    if len(lags) > 2:  # the median of three
        around = np.stack([np.r_[lags[:1], lags[:-1]], lags, np.r_[lags[1:], lags[-1:]]])
        lags = np.median(around, axis=0)
    return Piece(run[0].at, run[-1].at + ANCHOR, at, lags)


def _split(a: Pcm, b: Pcm, before: Piece, after: Piece) -> tuple[int, int]:
    """End of the piece before and start of the one after, in samples of `a`, where something is in one file only. Where
    `a` has more, its extra stretch lies between the two."""
    extra = max(after.lag_at(after.start) - before.lag_at(before.end), 0)
    first = max(before.end - ANCHOR, before.start)
    last = max(after.start + ANCHOR - extra, first + HOP)
    starts = np.arange(first, last, HOP, dtype=np.int64)
    apart_before = _distance(a, b, starts, before)
    apart_after = _distance(a, b, starts + extra, after)
    cost = np.cumsum(apart_before) - apart_before + np.cumsum(apart_after[::-1])[::-1]
    end = int(starts[int(np.argmin(cost))]) + WINDOW // 2
    return end, end + extra


def _distance(a: Pcm, b: Pcm, starts: npt.NDArray[np.int64], piece: Piece) -> npt.NDArray[np.float64]:
    """How unlike the two sound at each of these starts in `a`, 0 to 2."""
    x = _shape(band_powers(a, starts))
    y = _shape(band_powers(b, starts - piece.lag(starts)))
    return np.asarray(1 - np.mean(x * y, axis=1, dtype=np.float64))


def _shape(powers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    level = np.log(powers + 100)
    level -= np.median(level, axis=0, keepdims=True) * 0.5
    level -= level.mean(axis=1, keepdims=True)
    return np.asarray(level / (level.std(axis=1, keepdims=True) + 1e-6), np.float32)
