"""Sound at another speed, by a windowed sinc whose output at each moment depends on that moment alone: parts resampled
one by one are the same samples as the whole."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

N_TAPS = 32
"""Samples that each sample is made of."""
N_PHASES = 4096
"""Places between two samples: the nearest is taken, 85 dB below a tone of 10 kHz."""
_BETA = 8.0
_PASSED = 0.92
"""Share of the band that passes."""
_AT_ONCE = 8192
"""Samples at a time, so that everything stays in the processor's cache: a third of the time of all at once."""


def resampled(
    samples: npt.NDArray[np.int16], first: int, at: npt.NDArray[np.float64], speed: float
) -> npt.NDArray[np.float32]:
    """float32[n, 2]: the sound at each of these places.

    `samples`: int16[m, 2], whose first one has number `first`. `at`: float64[n], rising, in numbers of samples.
    `speed`: the step from one place to the next; what a speed above 1 would fold back is filtered out. Samples that are
    not given count as 0."""
    found = np.zeros((len(at), 2), np.float32)
    if not len(at):
        return found
    table = _table(min(1.0, round(1 / speed, 4)))
    places = np.rint((at - first) * N_PHASES).astype(np.int64)
    whole, phase = np.divmod(places, N_PHASES)
    whole -= N_TAPS // 2 - 1
    low = int(whole[0])
    n = int(whole[-1]) + N_TAPS - low
    given = _padded(samples, low, n)
    for i in range(0, len(at), _AT_ONCE):
        rows = slice(i, i + _AT_ONCE)
        total = found[rows].reshape(-1)
        index = whole[rows] - low
        of_phase = phase[rows]
        for tap in range(N_TAPS):
            total += given.take(index).view(np.float32) * table[tap].take(of_phase).view(np.float32)
            index += 1
    return found


def resampled_mono(samples: npt.NDArray[Any], at: npt.NDArray[np.float64], speed: float) -> npt.NDArray[np.int16]:
    """int16[n, 2]: a sound of one channel, [m] within ±32,768, at each of these places, of which there is at least one,
    on both sides."""
    low, high = max(0, int(at[0]) - N_TAPS), int(at[-1]) + N_TAPS + 1
    stereo = np.repeat(np.asarray(samples[low:high], np.int16)[:, None], 2, axis=1)
    return as_int16(resampled(stereo, low, at, speed))


def as_int16(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """The nearest whole numbers; what exceeds full scale is clipped."""
    clipped: npt.NDArray[np.float32] = np.clip(np.rint(samples), -32768, 32767)
    return clipped.astype(np.int16)


def _padded(samples: npt.NDArray[np.int16], low: int, n: int) -> npt.NDArray[np.complex64]:
    """complex64[n], left and right as one number, from number `low` on."""
    padded = np.zeros((n, 2), np.float32)
    start, end = max(low, 0), min(low + n, len(samples))
    if start < end:
        padded[start - low : end - low] = samples[start:end]
    return padded.view(np.complex64)[:, 0]


@functools.lru_cache(maxsize=16)
def _table(band: float) -> list[npt.NDArray[np.complex64]]:
    """For each tap its weight at each phase, complex64[N_PHASES] with the weight twice, for left and right. `band` is
    the share of the band that may remain."""
    taps = np.arange(N_TAPS) - (N_TAPS // 2 - 1)
    distance = taps[:, None] - np.arange(N_PHASES) / N_PHASES
    half = N_TAPS / 2
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, 1))) / np.i0(_BETA)
    weights = np.sinc(distance * band * _PASSED) * window
    weights /= weights.sum(axis=0)  # a level stays that level at every phase
    twice = np.repeat(weights.astype(np.float32)[:, :, None], 2, axis=2)
    return [np.ascontiguousarray(each).view(np.complex64)[:, 0] for each in twice]
