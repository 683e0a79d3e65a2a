"""Short-time spectra in bands of a twelfth of an octave."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

SAMPLE_RATE = 11_025
"""Hz of the PCM that is compared, as of fingerprints."""
WINDOW = 1024
"""Samples of a spectrum, 93 ms."""
HOP = 384
"""Samples from one spectrum to the next, 35 ms."""
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
N_LOW = int(np.searchsorted(EDGES, 1500 * WINDOW / SAMPLE_RATE)) - 1
"""Bands below 1.5 kHz."""
BAND_HZ = (EDGES[:-1] + EDGES[1:]) / 2 * SAMPLE_RATE / WINDOW
"""Hz in the middle of each band."""

_HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def band_powers(sound: Pcm, starts: npt.NDArray[np.int64]) -> Powers:
    """The powers of windows that start at these samples; where a window leaves the sound, there is silence."""
    powers = np.zeros((len(starts), N_BANDS), np.float32)
    for i in range(0, len(starts), _AT_ONCE):
        powers[i : i + _AT_ONCE] = _in_bands(_power(_spectra(sound, starts[i : i + _AT_ONCE])))
    return powers


class PairPowers(NamedTuple):
    """Powers of the windows of two files that sound at the same moment."""

    a: Powers
    b: Powers
    cross: npt.NDArray[np.complex64]
    """complex64[n_frames, N_LOW]: mean of the products of the first's bins and the second's, conjugated."""


def pair_powers(a: Pcm, starts_a: npt.NDArray[np.int64], b: Pcm, starts_b: npt.NDArray[np.int64]) -> PairPowers:
    """As `band_powers`, of both files at once."""
    n, n_bins = len(starts_a), EDGES[N_LOW]
    powers = PairPowers(
        np.zeros((n, N_BANDS), np.float32), np.zeros((n, N_BANDS), np.float32), np.zeros((n, N_LOW), np.complex64)
    )
    for i in range(0, n, _AT_ONCE):
        rows = slice(i, i + _AT_ONCE)
        of_a, of_b = _spectra(a, starts_a[rows]), _spectra(b, starts_b[rows])
        powers.a[rows], powers.b[rows] = _in_bands(_power(of_a)), _in_bands(_power(of_b))
        powers.cross[rows] = _in_bands(of_a[:, :n_bins] * of_b[:, :n_bins].conj())
    return powers


def _spectra(sound: Pcm, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.complex64]:
    """complex64[n_windows, n_bins] up to the last band."""
    inside = (starts >= 0) & (starts <= len(sound) - WINDOW)
    if not inside.any():
        return np.zeros((len(starts), EDGES[-1]), np.complex64)
    windows = _windows(sound, WINDOW)[np.where(inside, starts, 0)] * (_HANN * inside[:, None])
    return np.asarray(np.fft.rfft(windows, axis=1)[:, : EDGES[-1]], np.complex64)


def _power(spectra: npt.NDArray[np.complex64]) -> npt.NDArray[np.float32]:
    return np.asarray(spectra.real**2 + spectra.imag**2, np.float32)


def _in_bands(bins: Any) -> Any:
    """The mean of the bins of each band, as far as there are bins."""
    edges = EDGES[: np.searchsorted(EDGES, bins.shape[1], "right")]
    return np.add.reduceat(bins, edges[:-1], axis=1) / np.diff(edges).astype(np.float32)


def hop_levels(sound: Pcm, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Level in dB of the HOP samples in the middle of each of these windows; beyond the sound, there is silence."""
    first = starts + (WINDOW - HOP) // 2
    inside = np.flatnonzero((first >= 0) & (first <= len(sound) - HOP))
    power = np.zeros(len(starts))
    if len(inside):
        power[inside] = mean_squares(_windows(sound, HOP)[first[inside]])
    return (10 * np.log10(power + 1)).astype(np.float32)


def means_around(values: Any, n_each_side: int) -> Any:
    """The mean of each row and its neighbours, of as many as there are."""
    n, width = len(values), 2 * n_each_side + 1
    total = np.zeros((n + width - 1, values.shape[1]), values.dtype)
    for shift in range(width):
        total[shift : shift + n] += values
    at = np.arange(n)
    n_rows = np.minimum(at + n_each_side, n - 1) - np.maximum(at - n_each_side, 0) + 1
    return total[n_each_side : n_each_side + n] / n_rows[:, None].astype(np.float32)


def mean_squares(rows: Pcm) -> npt.NDArray[np.float64]:
    """Mean square of each row."""
    return np.asarray(np.einsum("ij,ij->i", rows, rows, dtype=np.float64) / rows.shape[1])


def _windows(sound: Any, n: int) -> Any:
    """A view of all windows of `n` samples, by where they start."""
    return sliding_window_view(sound, n)
