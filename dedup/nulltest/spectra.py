"""Short-time spectra in bands of a twelfth of an octave."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

SAMPLE_RATE = 11_025
"""Hz of the PCM that is compared, as of fingerprints."""
WINDOW = 1024
"""Samples of a spectrum, 93 ms."""
HOP = 256
"""Samples from one spectrum to the next, 23 ms."""
HOPS_PER_SECOND = SAMPLE_RATE / HOP

LOWEST_HZ, HIGHEST_HZ = 150.0, 4800.0
BANDS_AN_OCTAVE = 12

Pcm = npt.NDArray[np.int16] | npt.NDArray[np.float32]
"""Mono at 11,025 Hz, within ±32,768."""
Powers = npt.NDArray[np.float32]
"""float32[n_frames, n_bands]: mean power of the bins of each band."""

_AT_ONCE = 512


def _edges() -> npt.NDArray[np.int64]:
    """Bins at which the bands begin, and the end of the last; where a band would hold no bin of its own, it is united
    with the next."""
    n = int(BANDS_AN_OCTAVE * np.log2(HIGHEST_HZ / LOWEST_HZ))
    hz = LOWEST_HZ * 2 ** (np.arange(n + 1) / BANDS_AN_OCTAVE)
    return np.unique(np.rint(hz * WINDOW / SAMPLE_RATE).astype(np.int64))


EDGES = _edges()
N_BANDS = len(EDGES) - 1
BAND_HZ = (EDGES[:-1] + EDGES[1:]) / 2 * SAMPLE_RATE / WINDOW
"""Hz in the middle of each band."""

_HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def band_powers(sound: Pcm, starts: npt.NDArray[np.int64]) -> Powers:
    """The powers of windows that start at these samples; where a window leaves the sound, there is silence."""
    powers = np.zeros((len(starts), N_BANDS), np.float32)
    if len(sound) < WINDOW:
        return powers
    windows = _windows(sound, WINDOW)
    inside = np.flatnonzero((starts >= 0) & (starts <= len(sound) - WINDOW))
    for i in range(0, len(inside), _AT_ONCE):
        rows = inside[i : i + _AT_ONCE]
        spectrum = np.fft.rfft(windows[starts[rows]] * _HANN, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        powers[rows] = np.add.reduceat(power[:, : EDGES[-1]], EDGES[:-1], axis=1) / np.diff(EDGES)
    return powers


def hop_levels(sound: Pcm, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Level in dB of the HOP samples in the middle of each of these windows; beyond the sound, there is silence."""
    first = starts + (WINDOW - HOP) // 2
    inside = np.flatnonzero((first >= 0) & (first <= len(sound) - HOP))
    power = np.zeros(len(starts))
    if len(inside):
        power[inside] = mean_squares(_windows(sound, HOP)[first[inside]])
    return (10 * np.log10(power + 1)).astype(np.float32)


def mean_squares(rows: Pcm) -> npt.NDArray[np.float64]:
    """Mean square of each row."""
    return np.asarray(np.einsum("ij,ij->i", rows, rows, dtype=np.float64) / rows.shape[1])


def _windows(sound: Any, n: int) -> Any:
    """A view of all windows of `n` samples, by where they start."""
    return sliding_window_view(sound, n)
