"""From mono PCM at 11,025 Hz to Chromaprint's chroma image: the energy of the 12 notes of the octave, over time.

Frames of 4,096 samples, one every 1,365, go through a Hamming window and a Fourier transform; the power of the bins
from 28 to 3,520 Hz is added up by note. Five frames are then smoothed to one, which is scaled to norm 1. All constants
are those of Chromaprint 1.5.1 by Lukáš Lalinský, MIT licence; each names the file of its source that has it.

libchromaprint's transforms differ in the last digits from one build to another (FFmpeg's, FFTW, Apple's, Kiss FFT), and
ours from all of them. An item differs only if a classifier is that near to a threshold."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.fingerprint.classifiers import N_NOTES

Floats = npt.NDArray[np.float64]

SAMPLE_RATE = 11_025
"""Samples a second (src/fingerprinter_configuration.h)."""
FRAME = 4096
"""Samples of a frame (src/fingerprinter_configuration.cpp)."""
HOP = FRAME // 3
"""Samples from one frame to the next (src/fingerprinter_configuration.cpp, as the overlap)."""
LOWEST_HZ, HIGHEST_HZ = 28, 3520
"""Notes are heard from here up to here (src/fingerprinter.cpp)."""
LOWEST_NOTE_HZ = 440 / 16
"""Where an octave begins: an A (src/chroma.cpp)."""
SMOOTHING = (0.25, 0.75, 1.0, 0.75, 0.25)
"""Weights of the frames that are smoothed to one (src/fingerprinter_configuration.cpp)."""
SILENT_NORM = 0.01
"""Norm below which a smoothed frame is silent (src/chroma_normalizer.h)."""

LANES = 8
"""Frames that the transform takes side by side (`transform.LANES`)."""
BATCH = 4 * LANES
"""Frames that are transformed at a time: each call takes a few microseconds."""


class _Constants(NamedTuple):
    """What the transform takes besides the samples."""

    window: npt.NDArray[np.float32]
    between: npt.NDArray[np.float32]


class _Bins(NamedTuple):
    """The bins of the transform that are heard in any image."""

    first: int
    turns: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int32]
    """`int32[n_images, n_bins]`, the row of energies to which each bin is added: one for each note of each image, and a
    last one for bins that an image does not hear."""


@functools.cache
def _constants() -> _Constants:
    from dedup.fingerprint.turns import turns_between_passes

    return _Constants(_window() / np.float32(2), turns_between_passes())


@functools.lru_cache(maxsize=64)
def _bins(pitches: tuple[float, ...]) -> _Bins:
    from dedup.fingerprint.turns import turns_of_bins

    heard = [tuple(round(FRAME * hz / (SAMPLE_RATE * pitch)) for hz in (LOWEST_HZ, HIGHEST_HZ)) for pitch in pitches]
    first, end = min(heard)[0], max(end for _, end in heard)
    rows = np.full((len(pitches), end - first), N_NOTES * len(pitches), np.int32)
    for image, (pitch, (lowest, highest)) in enumerate(zip(pitches, heard, strict=True)):
        for index in range(lowest, highest):
            rows[image, index - first] = N_NOTES * image + _note(index, pitch)
    return _Bins(first, turns_of_bins(end), rows)


def _window() -> npt.NDArray[np.float32]:
    """Hamming's, for a full scale of 1 (src/utils.h, src/fft_lib_avfft.cpp)."""
    turns = (2 * math.pi * i / (FRAME - 1) for i in range(FRAME))
    return np.array([(0.54 - 0.46 * math.cos(turn)) / 32767 for turn in turns], np.float32)


def _note(index: int, pitch: float) -> int:
    """The note of a bin of the transform, 0 to 11, of sound that is taken to be `pitch` times as high
    (src/chroma.cpp)."""
    octave = math.log2(index * (SAMPLE_RATE * pitch) / FRAME / LOWEST_NOTE_HZ)
    return int(N_NOTES * (octave - math.floor(octave)))


class NoteEnergies:
    """Takes PCM piece by piece and gives the energies of the notes in each frame, in constant memory. How the PCM is
    divided has no influence on any bit. What is left at the end is dropped if it does not fill a frame. There is an
    image for each of the `pitches`: in it the sound is taken to be so many times as high as it is. All come from one
    transform."""

    def __init__(self, pitches: tuple[float, ...] = (1.0,)) -> None:
        from dedup.fingerprint import machine_code  # this maps or compiles them, which only who fingerprints needs

        self._kernel = machine_code.functions()["note_energies"]
        self._bins = _bins(pitches)
        self._samples = np.zeros((BATCH - 1) * HOP + FRAME, np.int16)
        self._n_samples = 0
        self._work = np.empty(FRAME * LANES, np.float32)
        self._energies = np.empty((BATCH // LANES, len(pitches) * N_NOTES + 1, LANES))
        arrays = (self._energies, self._samples, *_constants(), self._bins.turns, self._bins.rows, self._work)
        self._addresses = [array.ctypes.data for array in arrays]

    def feed(self, pcm: npt.NDArray[np.int16]) -> Iterator[Floats]:
        """float64[n_images, 32, 12] for every 32 frames that are complete."""
        taken = 0
        while taken < len(pcm):
            n = min(len(pcm) - taken, len(self._samples) - self._n_samples)
            self._samples[self._n_samples : self._n_samples + n] = pcm[taken : taken + n]
            self._n_samples += n
            taken += n
            if self._n_samples == len(self._samples):
                yield self._frames(BATCH)
                self._n_samples -= BATCH * HOP
                self._samples[: self._n_samples] = self._samples[BATCH * HOP :]

    def finish(self) -> Floats:
        """float64[n_images, n_frames, 12], fewer than 32: what no call of `feed` gave."""
        n_frames = max(0, (self._n_samples - FRAME) // HOP + 1)
        return self._frames(n_frames)

    def _frames(self, n_frames: int) -> Floats:
        n_groups, (n_images, n_bins) = -(-n_frames // LANES), self._bins.rows.shape
        energies = self._energies[:n_groups]
        energies.fill(0)
        self._kernel(*self._addresses, n_groups, energies.shape[1], n_images, n_bins, self._bins.first, HOP)
        of_images = energies[:, :-1].reshape(n_groups, n_images, N_NOTES, LANES)
        return of_images.transpose(1, 0, 3, 2).reshape(n_images, -1, N_NOTES)[:, :n_frames]


def smoothed(energies: Floats) -> Floats:
    """float64[n_frames - 4, 12]: the image of energies, float64[n_frames, 12]. Each frame has norm 1, or 0 if it is
    silent."""
    n_frames = len(energies) - len(SMOOTHING) + 1
    image = np.zeros((n_frames, N_NOTES))
    for i, weight in enumerate(SMOOTHING):
        image += energies[i : i + n_frames] * weight
    squares = np.zeros(n_frames)
    for note in image.T:  # one after the other, as Chromaprint adds them up
        squares += note * note
    norms = np.sqrt(squares)
    norms[norms < SILENT_NORM] = np.inf
    image /= norms[:, None]
    return image
