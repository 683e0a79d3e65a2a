"""Measures a lossless file: how many of its bits are in use, and where its spectrum ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dedup.library.spectrum import ends_of
from dedup.quality.depth import used_bits
from dedup.store.measurements import Measured

if TYPE_CHECKING:
    from dedup.library.metadata import AudioProperties


def is_measurable(properties: AudioProperties) -> bool:
    """Whether there is something to measure: a file that loses nothing, and whose samples are numbers."""
    return properties.lossless and properties.codec != "dsd"


def measure(path: bytes, bits: int, time_limit_s: float) -> Measured:
    """What the samples of a file show that has `bits` bits by its headers, 0 if they do not say. Raises what the
    decoder raises, OSError, and TimeLimitError if the bits take more than `time_limit_s` seconds."""
    began = time.monotonic()
    ends = ends_of(path)
    left_s = time_limit_s - (time.monotonic() - began)
    used = used_bits(path, bits, max(left_s, 0.0)) if bits else None
    return Measured(used_bits=used, cutoff_hz=ends.cutoff_hz, source_rate=ends.source_rate)
