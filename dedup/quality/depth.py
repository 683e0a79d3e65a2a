"""How many bits of the samples of a lossless file are in use: a file of 24 bits that was made from one of 16 has zeros
in the lower eight, unless something else was done to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dedup.files.container import heard_stream, open_container
from dedup.fingerprint.decode import TimeLimitError, UndecodableError
from dedup.store.measurements import DEEPEST

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_WHOLE = {"s16": 16, "s32": 32, "u8": 8}
"""Bits of the samples that FFmpeg decodes to, by its names; files of 20 or 24 bits come as the upper ones of 32."""

_FLOATS = ("flt", "dbl")


def used_bits(path: bytes, claimed: int, time_limit_s: float) -> int | None:
    """Bits of the samples that are in use, all over the heard stream: 32 minus the number of lowest bits that are 0 in
    every sample, full scale having 32; at most `claimed`, and as soon as that many are found, the rest is not decoded.
    Samples in floating point count by their value. None for silence and for what has no samples of that kind, such as
    DSD. Raises FFmpeg's errors, UndecodableError, OSError, and TimeLimitError if it takes more than
    `time_limit_s` seconds."""
    deadline = time.monotonic() + time_limit_s
    seen, is_heard = 0, False
    with open_container(path) as container:
        stream: Any = heard_stream(container)
        if stream is None:
            raise UndecodableError("there is no sound in it")
        stream.codec_context.thread_count = 1  # each core already has its own worker
        for frame in container.decode(stream):
            if time.monotonic() > deadline:
                raise TimeLimitError
            is_heard, bits = True, _bits_in(frame)
            if bits is None:
                return None
            seen |= bits
            if _used(seen) >= claimed:
                return claimed
    if not is_heard:
        raise UndecodableError("nothing could be decoded")
    return _used(seen) or None


def _used(seen: int) -> int:
    """Bits in use, by the bits that are set in any sample, of 32."""
    return DEEPEST - (seen & -seen).bit_length() + 1 if seen else 0


def _bits_in(frame: Any) -> int | None:
    """The bits, of 32, that are set in any sample of a frame; None if its samples are of a kind that has none."""
    import numpy as np

    kind = frame.format.name.removesuffix("p")
    samples = frame.to_ndarray()
    if kind in _FLOATS:
        return _bits_of_floats(samples)
    if kind not in _WHOLE:
        return None
    if kind == "u8":
        samples = samples ^ 0x80
    unsigned = np.ascontiguousarray(samples).view(f"u{samples.dtype.itemsize}")
    return int(np.bitwise_or.reduce(unsigned, axis=None)) << (DEEPEST - _WHOLE[kind])


def _bits_of_floats(samples: npt.NDArray[np.floating[Any]]) -> int:
    """All bits as soon as one sample is between two steps of 32 bits, or is no number."""
    import numpy as np

    scaled = samples.astype(np.float64) * 2.0 ** (DEEPEST - 1)
    if not np.all(np.abs(scaled) < 2.0**62):  # NaN too
        return 1
    whole = scaled.astype(np.int64)
    if not np.array_equal(whole, scaled):
        return 1
    return int(np.bitwise_or.reduce(whole.view(np.uint64), axis=None)) & ((1 << DEEPEST) - 1)
