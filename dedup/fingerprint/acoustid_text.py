"""A fingerprint as AcoustID writes it, for the tag field "acoustid_fingerprint"."""

from __future__ import annotations

import base64
from collections.abc import Sequence
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

_LARGEST = 7
"""Largest number of 3 bits; a greater one goes on in 5 bits elsewhere."""


def acoustid_text(items: Items, algorithm: int) -> str:
    """The first 120 s of a track's fingerprint, compressed, in Base64. `algorithm` is `FingerprintSettings.algorithm`;
    the items must be of the track's beginning."""
    return base64.urlsafe_b64encode(compressed(items[:ACOUSTID_ITEMS].tolist(), algorithm)).rstrip(b"=").decode("ascii")


def compressed(items: Sequence[int], algorithm: int) -> bytes:
    """Chromaprint's compressed form (src/fingerprint_compressor.cpp of version 1.5.1): the algorithm in a byte, the
    number of items in three, then which bits differ from the item before, as distances from one such bit to the next
    and 0 at the end of an item."""
    steps, rests = [], []
    before = 0
    for item in items:
        changed, last = item ^ before, 0
        before = item
        while changed:
            bit = (changed & -changed).bit_length()
            step, last = bit - last, bit
            steps.append(min(step, _LARGEST))
            if step >= _LARGEST:
                rests.append(step - _LARGEST)
            changed &= changed - 1
        steps.append(0)
    return bytes([algorithm]) + len(items).to_bytes(3, "big") + _packed(steps, 3) + _packed(rests, 5)


def _packed(numbers: Sequence[int], n_bits: int) -> bytes:
    """The numbers one after the other, `n_bits` bits each, lowest first."""
    packed = sum(number << n_bits * i for i, number in enumerate(numbers))
    return packed.to_bytes((n_bits * len(numbers) + 7) // 8, "little")
