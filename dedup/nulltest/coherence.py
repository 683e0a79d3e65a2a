"""Whether two files are the same wave, over time: what a codec, gain or an equaliser does to music leaves its wave
alike below 1.5 kHz, however it sounds. Another word in the same place doesn't."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.nulltest.spectra import N_LOW, PairPowers, means_around

FRAMES = 4
"""Frames on each side over which the phases of the two must go together, 0.14 s: clocks that run apart by a few parts
in a thousand don't matter in it."""


class Coherence(NamedTuple):
    """How far two files are the same wave, 0 to 1."""

    of_bands: npt.NDArray[np.float32]
    """float32[n_frames, N_LOW]: share of the power of a band whose phase goes along in both."""
    of_all: npt.NDArray[np.float32]
    """float32[n_frames]: the same of all these bands, by the power of whichever file has more there; 1 where both are
    silent."""


def coherence(powers: PairPowers) -> Coherence:
    """The coherence of each frame, over a third of a second."""
    cross = means_around(powers.cross, FRAMES)
    a, b = (means_around(each[:, :N_LOW], FRAMES) for each in (powers.a, powers.b))
    of_bands = (cross.real**2 + cross.imag**2) / np.maximum(a * b, 1e-9)
    weights = np.maximum(a / max(float(a.mean()), 1e-9), b / max(float(b.mean()), 1e-9))
    total = weights.sum(axis=1)
    share = (of_bands * weights).sum(axis=1) / np.where(total > 0, total, 1)
    return Coherence(of_bands, np.where(total > 0, share, 1).astype(np.float32))
