"""A fingerprint as AcoustID writes it, for the tag field "acoustid_fingerprint"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedup.settings import ITEMS_PER_SECOND

if TYPE_CHECKING:
    from dedup.store.items import Items

ACOUSTID_LENGTH_S = 120
"""Seconds from the start that fingerprints at AcoustID cover; `fpcalc` and Picard take no more."""

_LOST_ITEMS = 21
"""Hops minus items: the reach of Chromaprint's window, filters and images."""

ACOUSTID_ITEMS = int(ACOUSTID_LENGTH_S * ITEMS_PER_SECOND) - _LOST_ITEMS
"""Number of items that Chromaprint makes of 120 s; of a longer track the first items are the same."""


def acoustid_text(items: Items, algorithm: int) -> str:
    """The first 120 s of a track's fingerprint, compressed, in Base64. `algorithm` is `FingerprintSettings.algorithm`;
    the items must be of the track's beginning. Raises ChromaprintMissingError."""
    from dedup.versions import chromaprint_version

    chromaprint_version()  # raises if there is no libchromaprint
    import chromaprint

    encoded: bytes = chromaprint.encode_fingerprint(items[:ACOUSTID_ITEMS].tolist(), algorithm)
    return encoded.decode("ascii")
