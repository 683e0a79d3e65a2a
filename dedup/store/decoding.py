"""What decoding shows of an audio besides its sound."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Decoding:
    """What decoding an audio showed; None for what is unknown: imported, or decoded by a version that did not say."""

    decoded_s: float | None = None
    """Seconds of sound that came out, whatever the header claims."""
    n_bytes: int | None = None
    """Bytes of its packets."""
    cancels: bool | None = None
    """Whether its channels cancel in a mono mix, so that the fingerprint is of what does not."""
    width_db: float | None = None
    """Level of what differs between left and right, relative to what they share, in dB; -inf is not stored, the least
    is -120. None for one channel."""


UNKNOWN = Decoding()
