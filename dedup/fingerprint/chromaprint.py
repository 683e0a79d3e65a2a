"""From PCM to items, by libchromaprint through pyacoustid's binding."""

from __future__ import annotations

import numpy as np

from dedup.settings import FingerprintSettings
from dedup.store.items import Items
from dedup.versions import chromaprint_binding


class Fingerprinter:
    """Takes mono s16 PCM at `settings.sample_rate` piece by piece and returns `uint32[n_items]` at the end."""

    def __init__(self, settings: FingerprintSettings) -> None:
        self._chromaprint = chromaprint_binding()
        self._context = self._chromaprint.Fingerprinter(settings.algorithm)
        self._context.start(settings.sample_rate, 1)

    def feed(self, pcm: bytes) -> None:
        self._context.feed(pcm)

    def finish(self) -> Items:
        """The items; empty if there was less PCM than one item takes (about 2.6 s)."""
        try:
            packed = self._context.finish()
        except self._chromaprint.FingerprintError:  # libchromaprint's answer if it got no input at all
            return np.empty(0, np.uint32)
        items, _ = self._chromaprint.decode_fingerprint(packed)
        return np.array(items, dtype=np.uint32)
