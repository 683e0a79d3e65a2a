"""How the channels of a track relate: how wide it is, and whether they cancel in a mono mix, as after one of them was
inverted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LOOK_SAMPLES = 1024
"""Samples of a frame that are looked at."""

CANCELLING_DB = 3.0
"""Level of the difference of left and right above that of their sum with which they cancel. Two unrelated channels, or
one that is silent, have 0 dB; music has -2 to -25 dB, and as much above 0 once a channel is inverted."""

LEAST_DB = -120.0

LOUDEST = 1e18
"""Values from here on are no sound; the square of some is infinite. So loud is the root of the energy of a look."""

_DTYPES = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}
"""Kinds of samples by FFmpeg's names."""


class Balance:
    """Energies of the channels of a track, from some frames all over it: looking at each would take a third of the
    decoder's time."""

    def __init__(self) -> None:
        self._sum = self._difference = self._others = 0.0
        self._is_stereo = False

    def look(self, frame: Any) -> None:
        """Takes the beginning of a frame."""
        n_channels = frame.layout.nb_channels
        dtype = _DTYPES.get(frame.format.name.removesuffix("p"))
        if n_channels < 2 or dtype is None:
            return
        n_samples = min(frame.samples, LOOK_SAMPLES)
        planes = frame.planes[:n_channels]  # of more than eight channels PyAV gives some that are none
        if frame.format.is_planar:
            channels = [np.frombuffer(plane, dtype, n_samples).astype(np.float64) for plane in planes]
        else:
            packed = np.frombuffer(frame.planes[0], dtype, n_samples * n_channels)
            channels = list(packed.reshape(-1, n_channels).T.astype(np.float64, order="C"))
        if dtype is np.uint8:
            channels = [channel - 128 for channel in channels]
        energies = [_energy(channel) for channel in channels]
        if not sum(energies) < LOUDEST**2:  # NaN too
            return
        left, right = channels[:2]
        self._is_stereo = True
        self._sum += _energy(left + right)
        self._difference += _energy(left - right)
        self._others += sum(energies[2:])

    @property
    def width_db(self) -> float | None:
        """Level of left minus right relative to left plus right, -120 to 120 dB; None for one channel, or silence."""
        if not self._is_stereo or not (self._sum or self._difference):
            return None
        if not self._sum or not self._difference:
            return LEAST_DB if self._sum else -LEAST_DB
        level = 10 * (math.log10(self._difference) - math.log10(self._sum))
        return min(max(level, LEAST_DB), -LEAST_DB)

    @property
    def cancels(self) -> bool:
        """Whether left and right cancel in a mono mix, and no other channel is nearly as loud as what is lost."""
        width_db = self.width_db
        return width_db is not None and width_db > CANCELLING_DB and self._others < self._difference / 4


def _energy(samples: Any) -> float:
    return float(np.dot(samples, samples))
