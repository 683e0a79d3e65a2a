"""What only one of two files has, over time and frequency: what the null test hears, small enough to draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedup.nulltest.align import align
from dedup.nulltest.compare import LONGEST_PART, is_turned
from dedup.nulltest.measure import measure
from dedup.nulltest.spectra import EDGES, HOP, N_BANDS, SAMPLE_RATE, WINDOW, Pcm, band_powers

MOST_STEPS = 1000
"""Most steps of time, however long the files are."""
LEAST_STEP = 2 * HOP
"""Least samples of a step: longer than from one spectrum to the next, even where the clocks of two files differ."""

Starts = npt.NDArray[np.int64]
Excess = npt.NDArray[np.float32]
"""float32[n_steps, n_bands], in dB."""


@dataclass(frozen=True)
class Residual:
    """What only one of two files has, in equal steps from the first moment that they share to the last."""

    start_s: float
    """Start of the first step, in seconds of the first file."""
    end_s: float
    edges_hz: npt.NDArray[np.float64]
    """float64[n_bands + 1]: where each band begins, and the end of the last."""
    excess: Excess
    """dB that the first has more, negative if the second has: the most of each step; NaN where they share nothing."""


def residual(a: Pcm, b: Pcm, lag_s: float) -> Residual | None:
    """The residual of two files, given as to `compare.compare` and aligned as there; None if they share too little."""
    if is_turned(a, b):
        parts = [(starts, -excess) for _, starts, excess in _measured(b, a, -lag_s)]
    else:
        parts = [(starts, excess) for starts, _, excess in _measured(a, b, lag_s)]
    return _in_steps(parts) if parts else None


def _measured(a: Pcm, b: Pcm, lag_s: float) -> Iterator[tuple[Starts, Starts, Excess]]:
    """First samples of the windows of each part, in both files, and the excess in each window."""
    pieces = align(a, b, round(lag_s * SAMPLE_RATE))
    for part in (part for piece in pieces for part in piece.parts(LONGEST_PART)):
        starts, starts_b = part.windows()
        yield starts, starts_b, measure(band_powers(a, starts), band_powers(b, starts_b)).excess


def _in_steps(pieces: Sequence[tuple[Starts, Excess]]) -> Residual:
    first, last = int(pieces[0][0][0]), int(pieces[-1][0][-1])
    step = max(LEAST_STEP, (last - first) // MOST_STEPS + 1)
    in_steps = np.full(((last - first) // step + 1, N_BANDS), np.nan, np.float32)
    for starts, excess in pieces:
        steps, begins = np.unique((starts - first) // step, return_index=True)
        highest, lowest = np.maximum.reduceat(excess, begins), np.minimum.reduceat(excess, begins)
        in_steps[steps] = np.where(highest > -lowest, highest, lowest)
    start = first + (WINDOW - HOP) // 2
    return Residual(
        start_s=start / SAMPLE_RATE,
        end_s=(start + step * len(in_steps)) / SAMPLE_RATE,
        edges_hz=EDGES * SAMPLE_RATE / WINDOW,
        excess=in_steps,
    )
