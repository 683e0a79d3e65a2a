"""Windows of a sound on the musical axis, as FLAC files that join without a seam."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dedup.playback.flac import SOUND_RATE, Samples, encode
from dedup.playback.lanes import REFERENCE, Place
from dedup.playback.resample import N_TAPS, as_int16, resampled

LONGEST_WINDOW_S = 60.0
"""Seconds of a window at most, so that a request takes no more memory than is meant."""
FARTHEST_S, MOST_RATE, MOST_GAIN_DB = 1e6, 0.5, 60.0
"""Bounds of the other numbers: beyond them something is wrong with whoever asks."""


class Source(Protocol):
    """What has samples, such as `sounds.Sound`."""

    def samples(self, first: int, end: int) -> Samples:
        """int16[end - first, 2], with zeros where the sound has nothing (before 0, and behind its end)."""


def window(sound: Source, place: Place, start_s: float, length_s: float, gain_db: float = 0.0) -> bytes:
    """A FLAC file of what the sound has from a musical second on: stereo, 48 kHz, 16 bits, exactly
    `round(length_s * 48000)` samples, with zeros where the sound has nothing.

    `place`: where the sound lies on the axis; at another rate it is resampled, so that pitch and tempo change together.
    `start_s` may be negative; it is taken to the nearest sample. `length_s`: 0 to `LONGEST_WINDOW_S`. Windows of which
    each starts where the last one ends are the same samples as one long window. `gain_db` makes it louder or softer;
    what exceeds full scale is clipped. Raises ValueError for a number out of range, and what `sound` raises."""
    return encode(window_samples(sound, place, start_s, length_s, gain_db))


def window_samples(
    sound: Source, place: Place = REFERENCE, start_s: float = 0.0, length_s: float = 10.0, gain_db: float = 0.0
) -> Samples:
    """The samples of `window`, int16[n, 2]."""
    if not 0 <= length_s <= LONGEST_WINDOW_S:
        raise ValueError(f"a window has 0 to {LONGEST_WINDOW_S:g} s, not {length_s:g}")
    if not (abs(start_s) <= FARTHEST_S and abs(place.offset_s) <= FARTHEST_S and abs(place.rate) <= MOST_RATE):
        raise ValueError(f"no sound is played at {start_s:g} s of {place}")
    if not abs(gain_db) <= MOST_GAIN_DB:
        raise ValueError(f"a gain is -{MOST_GAIN_DB:g} to {MOST_GAIN_DB:g} dB, not {gain_db:g}")
    first, n = round(start_s * SOUND_RATE), round(length_s * SOUND_RATE)
    if place.rate == 0:
        at = first + round(place.offset_s * SOUND_RATE)
        found = sound.samples(at, at + n)
        return found if gain_db == 0 else as_int16(found * _factor(gain_db))
    numbers = np.arange(first, first + n, dtype=np.float64)
    places = place.offset_s * SOUND_RATE + numbers * (1 + place.rate)
    if not n:
        return np.zeros((0, 2), np.int16)
    low, high = int(places[0]) - N_TAPS, int(places[-1]) + N_TAPS
    return as_int16(resampled(sound.samples(low, high), low, places, 1 + place.rate) * _factor(gain_db))


def _factor(gain_db: float) -> np.float32:
    return np.float32(10 ** (gain_db / 20))
