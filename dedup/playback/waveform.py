"""The outline of a sound, to draw: the lowest and the highest sample of each step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.playback.flac import SOUND_RATE, Samples

STEP = SOUND_RATE // 10
"""Samples of a step as it is kept; a whole number of them makes a segment."""

Outline = npt.NDArray[np.int8]
"""int8[n, 2]: lowest and highest of both channels in each step, in 1/128 of full scale, rounded away from 0."""


class Waveform(NamedTuple):
    """The outline of a sound, or of its beginning while it is being decoded."""

    step_s: float
    """Seconds of a step of the sound."""
    outline: Outline
    is_whole: bool
    """Whether the sound has been decoded to its end."""


def outline_of(samples: Samples) -> Outline:
    """The outline of samples, in steps of `STEP`; the last one may be shorter."""
    if not len(samples):
        return np.zeros((0, 2), np.int8)
    starts = np.arange(0, len(samples), STEP)
    low = np.minimum.reduceat(samples.min(axis=1), starts)
    high = np.maximum.reduceat(samples.max(axis=1), starts)
    return np.stack([np.floor(low / 256), np.minimum(np.ceil(high / 256), 127)], axis=1).astype(np.int8)


def coarser(outline: Outline, n_steps: int) -> tuple[int, Outline]:
    """How many steps become one, and the outline of at most `n_steps` steps."""
    n_each = max(1, -(-len(outline) // n_steps))
    if n_each == 1 or not len(outline):
        return 1, outline
    starts = np.arange(0, len(outline), n_each)
    low, high = np.minimum.reduceat(outline[:, 0], starts), np.maximum.reduceat(outline[:, 1], starts)
    return n_each, np.stack([low, high], axis=1)
