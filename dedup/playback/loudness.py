"""How much louder or softer each copy is played, so that all sound equally loud: the louder of two copies seems the
better one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dedup.library.loudness import SILENCE_LUFS, Loudness

TARGET_LUFS = -18.0
"""Integrated loudness of everything that is played, that of ReplayGain 2.0."""
MOST_DB = 20.0
"""dB that something is made louder at most: a recording of mere hiss stays one."""


def matching_gains(copies: Sequence[Loudness | None]) -> list[float]:
    """The gain of each copy in dB, to 0.01. All come to `TARGET_LUFS`, or to less if one of them would exceed full
    scale there. A silent copy, and one whose loudness isn't known yet (None), has 0 dB."""
    heard = [each for each in copies if each is not None and each.integrated_lufs > SILENCE_LUFS]
    target = min([TARGET_LUFS, *(each.integrated_lufs + _headroom_db(each) for each in heard)])
    return [
        0.0 if each is None or each.integrated_lufs <= SILENCE_LUFS else round(target - each.integrated_lufs, 2) + 0.0
        for each in copies
    ]


def _headroom_db(loudness: Loudness) -> float:
    """dB that it may be made louder."""
    return min(MOST_DB, -20 * math.log10(loudness.peak)) if loudness.peak > 0 else MOST_DB
