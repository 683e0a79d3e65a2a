"""From PCM to items: Chromaprint's algorithm 1 ("TEST2"), the same bits as libchromaprint 1.5.1 makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dedup.errors import UsageError
from dedup.fingerprint.chroma import BATCH, SAMPLE_RATE, SMOOTHING, Floats, NoteEnergies, smoothed
from dedup.fingerprint.classifiers import N_NOTES, ItemMaker
from dedup.settings import FingerprintSettings
from dedup.store.items import Items

ALGORITHM = 1

_CLASSIFIED = 16 * BATCH
"""Frames that are classified at a time: calling NumPy for fewer takes longer."""


class Fingerprinter:
    """Takes mono s16 PCM at 11,025 Hz piece by piece and returns `uint32[n_items]` at the end.

    Raises UsageError for settings with another algorithm or sample rate."""

    def __init__(self, settings: FingerprintSettings, semitones: Sequence[int] = (), pitch: float = 1.0) -> None:
        """`semitones` are the transpositions in which the sound is wanted too, from the one transform. The sound is
        taken to be `pitch` times as high as it is, at the same tempo."""
        if (settings.algorithm, settings.sample_rate) != (ALGORITHM, SAMPLE_RATE):
            found = f"algorithm {settings.algorithm} at {settings.sample_rate} Hz"
            raise UsageError("fingerprint", found, f"algorithm {ALGORITHM} at {SAMPLE_RATE} Hz")
        self._energies = NoteEnergies(pitch)
        self._makers = {n: ItemMaker(n) for n in (0, *semitones)}
        self._rows = np.empty((len(SMOOTHING) - 1 + _CLASSIFIED, N_NOTES))
        self._n_rows = 0

    def feed(self, pcm: bytes) -> None:
        """`pcm` is any number of whole samples."""
        for energies in self._energies.feed(np.frombuffer(pcm, "<i2")):
            self._take(energies)

    def finish(self) -> Items:
        """The items; empty if there was less PCM than one item takes (about 2.6 s)."""
        self._take(self._energies.finish())
        self._classify()
        return self.transposed(0)

    def transposed(self, semitones: int) -> Items:
        """After `finish`, the items as they would be if the sound were that many semitones higher, or lower if
        negative, at the same tempo. The image has no more than 12 notes: what leaves it above comes back below.

        They are near those of the transposed sound, not equal: notes of concert pitch lie on the borders of
        Chromaprint's classes, and how their energy is divided depends on where the bins fall. If libchromaprint is told
        11,025 · 2^(±1/12) Hz, and its items are stretched back, 0.87 of the bits agree on 23 pieces of music (kappa
        0.64, least 0.52; with plain items 0.20). Against copies that are 5 to 7 % faster or slower, the median kappa is
        0.50 to 0.65, with plain items 0.15 to 0.31."""
        return self._makers[semitones].items()

    def _take(self, energies: Floats) -> None:
        if self._n_rows + len(energies) > len(self._rows):
            self._classify()
        self._rows[self._n_rows : self._n_rows + len(energies)] = energies
        self._n_rows += len(energies)

    def _classify(self) -> None:
        """Turns the rows that are there into items, except those that later ones are smoothed with."""
        n_kept = len(SMOOTHING) - 1
        if self._n_rows <= n_kept:
            return
        image = smoothed(self._rows[: self._n_rows])
        for maker in self._makers.values():
            maker.take(image)
        self._rows[:n_kept] = self._rows[self._n_rows - n_kept : self._n_rows]
        self._n_rows = n_kept
