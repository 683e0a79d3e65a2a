"""What measurements suggest about a file: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from dedup.groups.losses import NARROW_DB
from dedup.library.spectrum import hint

if TYPE_CHECKING:
    from dedup.library.metadata import AudioProperties
    from dedup.store.measurements import Measured

FindingKind = Literal["padded", "upsampled", "transcode", "mono"]


class Finding(NamedTuple):
    """One thing that a file is and does not say."""

    kind: FindingKind
    what: str
    """The thing in words: "16 bits in 24"."""

    @property
    def is_certain(self) -> bool:
        """Whether every sample was looked at; otherwise it is a hint, which only listening and provenance confirm."""
        return self.kind in CERTAIN


CERTAIN: tuple[FindingKind, ...] = ("padded", "mono")

DEPTHS = (8, 16)
"""Bits of the formats that deeper ones are made from."""


def findings(properties: AudioProperties, measured: Measured | None, width_db: float | None) -> tuple[Finding, ...]:
    """What a file is and does not say, in the order of `FindingKind`; nothing beyond `width_db`, the width of the
    stereo image as decoding showed it, if it was not measured."""
    found = list(_of_measured(properties, measured)) if measured is not None else []
    if properties.channels == 2 and width_db is not None and width_db < NARROW_DB:
        found.append(Finding("mono", "both channels hold the same"))
    return tuple(found)


def _of_measured(properties: AudioProperties, measured: Measured) -> list[Finding]:
    found = []
    depth = padded_from(properties.bits, measured.used_bits)
    if depth:
        found.append(Finding("padded", f"{depth} bits in {properties.bits}"))
    if measured.source_rate is not None:
        told = f"nothing above {measured.source_rate / 2000:g} kHz at a rate of {properties.sample_rate / 1000:g} kHz"
        found.append(Finding("upsampled", told))
    if measured.cutoff_hz is not None and (text := hint(properties, measured.cutoff_hz)):
        found.append(Finding("transcode", text))
    return found


def padded_from(bits: int, used: int | None) -> int:
    """The least of `DEPTHS` that holds all bits in use of a file that states more; 0 if it is what it states."""
    return 0 if used is None else next((depth for depth in DEPTHS if used <= depth < bits), 0)
