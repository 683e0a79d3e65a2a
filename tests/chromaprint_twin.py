"""What Chromaprint gives for PCM, by other code than ours: by libchromaprint if this machine has it, through
pyacoustid's binding; otherwise by the slow, obvious twin below, which goes through it frame by frame."""

from __future__ import annotations

import base64
import contextlib
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.fingerprint.classifiers import CLASSIFIERS
from dedup.store.items import Items

Pcm = npt.NDArray[np.int16]
Image = Sequence[Sequence[float]]


def library() -> Any | None:
    """Pyacoustid's module `chromaprint`; None without libchromaprint."""
    with contextlib.suppress(ImportError):
        return importlib.import_module("chromaprint")
    return None


def expected_items(pcm: Pcm, sample_rate: int = 11025) -> Items:
    """Items of mono PCM at 11,025 Hz. The library is told `sample_rate`."""
    found = library()
    return library_items(found, pcm, sample_rate) if found else naive_items(pcm)


def library_items(chromaprint: Any, pcm: Pcm, sample_rate: int = 11025) -> Items:
    printer = chromaprint.Fingerprinter(1)
    printer.start(sample_rate, 1)
    printer.feed(pcm.astype("<i2").tobytes())
    with contextlib.suppress(chromaprint.FingerprintError):  # its answer if it got no input at all
        return np.array(chromaprint.decode_fingerprint(printer.finish())[0], np.uint32)
    return np.empty(0, np.uint32)


def decompressed(text: str) -> tuple[list[int], int]:
    """The items of a compressed fingerprint in Base64, and the algorithm."""
    found = library()
    if found:
        items, algorithm = found.decode_fingerprint(text.encode())
        return list(items), algorithm
    packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    bits = [byte >> i & 1 for byte in packed[4:] for i in range(8)]

    def number(first: int, n_bits: int) -> int:
        return sum(bit << i for i, bit in enumerate(bits[first : first + n_bits]))

    changes: list[list[int]] = [[] for _ in range(int.from_bytes(packed[1:4], "big"))]
    at = 0
    for steps in changes:
        while step := number(at, 3):
            steps.append(step)
            at += 3
        at += 3
    at = (at + 7) // 8 * 8
    items, item = [], 0
    for steps in changes:
        bit = 0
        for step in steps:
            if step == 7:
                bit, at = bit + number(at, 5), at + 5
            bit += step
            item ^= 1 << bit - 1
        items.append(item)
    return items, packed[0]


def naive_items(pcm: Pcm) -> Items:
    image: list[list[float]] = []
    energies = [note_energies(pcm[start : start + 4096]) for start in range(0, len(pcm) - 4095, 1365)]
    for t in range(len(energies) - 4):
        weighted = zip((0.25, 0.75, 1.0, 0.75, 0.25), energies[t : t + 5], strict=True)
        sums = [math.fsum(column) for column in zip(*([w * e for e in row] for w, row in weighted), strict=True)]
        norm = math.hypot(*sums)
        image.append([value / norm if norm >= 0.01 else 0.0 for value in sums])
    return np.array([naive_item(image[t : t + 16]) for t in range(len(image) - 15)], np.uint32)


HAMMING = [(0.54 - 0.46 * math.cos(2 * math.pi * i / 4095)) / 32767 for i in range(4096)]


def note_energies(frame: Pcm) -> list[float]:
    spectrum = np.fft.fft([sample * weight for sample, weight in zip(frame.tolist(), HAMMING, strict=True)]).tolist()
    energies = [0.0] * 12
    for index in range(round(28 * 4096 / 11025), round(3520 * 4096 / 11025)):
        octave = math.log(index * 11025 / 4096 / (440 / 16)) / math.log(2)
        energies[int(12 * (octave - math.floor(octave)))] += abs(spectrum[index]) ** 2
    return energies


def naive_item(image: Image) -> int:
    """The item of 16 frames of 12 notes."""
    item = 0
    for shape, note, n_notes, n_frames, *thresholds in CLASSIFIERS:
        a = b = 0.0
        for i in range(n_notes):
            for t in range(n_frames):
                if IS_A[shape](i / n_notes, t / n_frames):
                    a += image[t][note + i]
                else:
                    b += image[t][note + i]
        level = sum(math.log((1 + a) / (1 + b)) >= threshold for threshold in thresholds)
        item = item << 2 | (0, 1, 3, 2)[level]
    return item


IS_A: Sequence[Callable[[float, float], bool]] = (
    lambda _note, _time: True,
    lambda note, _time: note >= 1 / 2,
    lambda _note, time: time >= 1 / 2,
    lambda note, time: (note >= 1 / 2) != (time >= 1 / 2),
    lambda note, _time: 1 / 3 <= note < 2 / 3,
    lambda _note, time: 1 / 3 <= time < 2 / 3,
)
"""For each shape of a filter, which of its cells belong to `a`, by their place in it, 0 to 1."""
