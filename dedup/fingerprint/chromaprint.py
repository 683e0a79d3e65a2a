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

    def __init__(self, settings: FingerprintSettings, pitches: Sequence[float] = (1.0,)) -> None:
        """There are items for each of the `pitches`, all from one transform: those of the sound as if it were so many
        times as high as it is, at the same tempo. 1 gives Chromaprint's."""
        if (settings.algorithm, settings.sample_rate) != (ALGORITHM, SAMPLE_RATE):
            found = f"algorithm {settings.algorithm} at {settings.sample_rate} Hz"
            raise UsageError("fingerprint", found, f"algorithm {ALGORITHM} at {SAMPLE_RATE} Hz")
        self._energies = NoteEnergies(tuple(pitches))
        self._makers = [ItemMaker() for _ in pitches]
        self._rows = np.empty((len(pitches), len(SMOOTHING) - 1 + _CLASSIFIED, N_NOTES))
        self._n_rows = 0

    def feed(self, pcm: bytes) -> None:
        """`pcm` is any number of whole samples."""
        for energies in self._energies.feed(np.frombuffer(pcm, "<i2")):
            self._take(energies)

    def finish(self) -> Items:
        """The items of the first pitch; empty if there was less PCM than one item takes (about 2.6 s)."""
        self._take(self._energies.finish())
        self._classify()
        return self._makers[0].items()

    def others(self) -> list[Items]:
        """After `finish`, the items of the other pitches, as many for each."""
        return [maker.items() for maker in self._makers[1:]]

    def _take(self, energies: Floats) -> None:
        n_frames = energies.shape[1]
        if self._n_rows + n_frames > self._rows.shape[1]:
            self._classify()
        self._rows[:, self._n_rows : self._n_rows + n_frames] = energies
        self._n_rows += n_frames

    def _classify(self) -> None:
        """Turns the rows that are there into items, except those that later ones are smoothed with."""
        n_kept = len(SMOOTHING) - 1
        if self._n_rows <= n_kept:
            return
        for rows, maker in zip(self._rows, self._makers, strict=True):
            maker.take(smoothed(rows[: self._n_rows]))
        self._rows[:, :n_kept] = self._rows[:, self._n_rows - n_kept : self._n_rows]
        self._n_rows = n_kept
