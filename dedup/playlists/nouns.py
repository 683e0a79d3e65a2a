"""The nouns of a playlist: its references, and what they may mean."""

from __future__ import annotations

from dataclasses import dataclass


class PlaylistError(Exception):
    """A file with the name of a playlist cannot be read as one, or cannot hold a reference that it is to hold; the text
    gives the reason."""


@dataclass(frozen=True)
class Entry:
    """A reference in a playlist."""

    start: int
    """Offset of its first byte in the content."""
    end: int
    """Offset after its last byte."""
    text: bytes
    """Text of the reference: those bytes, or in XML the text that they stand for, stripped, as UTF-8."""


@dataclass(frozen=True)
class Reading:
    """One way to read a reference."""

    path: bytes
    """Absolute, normalised path."""
    codec: str | None
    """Codec from which it was turned into UTF-8; None if it was taken byte by byte."""
    is_coded: bool = False
    """Whether percent signs of a plain line were taken for those of a URI."""
