"""From a chroma image to items, by the 16 classifiers of Chromaprint's algorithm 1 ("TEST2").

A classifier adds up two parts of the image, `a` and `b`, over some notes and up to 16 frames, and turns
log((1 + a) / (1 + b)) into a level from 0 to 3 by three thresholds. The levels of all 16, Gray-coded, are an item."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.store.items import Items

Floats = npt.NDArray[np.float64]

CLASSIFIERS = (
    (0, 4, 3, 15, 1.98215, 2.35817, 2.63523),
    (4, 4, 6, 15, -1.03809, -0.651211, -0.282167),
    (1, 0, 4, 16, -0.298702, 0.119262, 0.558497),
    (3, 8, 2, 12, -0.105439, 0.0153946, 0.135898),
    (3, 4, 4, 8, -0.142891, 0.0258736, 0.200632),
    (4, 0, 3, 5, -0.826319, -0.590612, -0.368214),
    (1, 2, 2, 9, -0.557409, -0.233035, 0.0534525),
    (2, 7, 3, 4, -0.0646826, 0.00620476, 0.0784847),
    (2, 6, 2, 16, -0.192387, -0.029699, 0.215855),
    (2, 1, 3, 2, -0.0397818, -0.00568076, 0.0292026),
    (5, 10, 1, 15, -0.53823, -0.369934, -0.190235),
    (3, 6, 2, 10, -0.124877, 0.0296483, 0.139239),
    (2, 1, 1, 14, -0.101475, 0.0225617, 0.231971),
    (3, 5, 6, 4, -0.0799915, -0.00729616, 0.063262),
    (1, 9, 2, 12, -0.272556, 0.019424, 0.302559),
    (3, 4, 2, 14, -0.164292, -0.0321188, 0.0846339),
)
"""Highest bits first: shape of the filter, its lowest note, its notes, its frames, and the three thresholds. They were
learned from music by the author of Chromaprint, Lukáš Lalinský, and are published in its source under the MIT licence
(`kClassifiersTest2` in src/fingerprinter_configuration.cpp of version 1.5.1)."""

DIVISIONS = ((1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (1, 3))
"""Parts into which each shape divides notes and frames (src/filter_utils.h). They are `b` and `a` in turn, as on a
chessboard; an undivided shape is `a`."""

N_NOTES = 12

ITEM_FRAMES = 16
"""Frames of the image that an item is made of: those of the widest filter."""


class _Rectangle(NamedTuple):
    """A part of the image, relative to the first frame of an item."""

    is_a: bool
    first_frame: int
    end_frame: int
    first_note: int
    end_note: int


def _rectangles(shape: int, note: int, n_notes: int, n_frames: int) -> tuple[_Rectangle, ...]:
    n_steps, t_steps = DIVISIONS[shape]
    height, width = n_notes // n_steps, n_frames // t_steps
    is_whole = n_steps == t_steps == 1
    return tuple(
        _Rectangle(is_whole or (i + j) % 2 == 1, j * width, (j + 1) * width, note + i * height, note + (i + 1) * height)
        for i in range(n_steps)
        for j in range(t_steps)
    )


def _ratio(threshold: float) -> float:
    """The ratio (1 + a) / (1 + b) whose logarithm is the threshold: the nearest double on every machine."""
    return float(Decimal(threshold).exp())


_PARTS = tuple((_rectangles(*classifier[:4]), tuple(map(_ratio, classifier[4:]))) for classifier in CLASSIFIERS)


class ItemMaker:
    """Takes a chroma image piece by piece and makes the items. How it is divided has no influence on any bit: sums run
    from the first frame to the last, in Chromaprint's order."""

    def __init__(self) -> None:
        self._sums = np.zeros((N_NOTES + 1, 1))
        self._made: list[Items] = []

    def take(self, image: Floats) -> None:
        """`image` is the next frames, float64[n_frames, 12], each of norm 1 or 0."""
        n_before, n_frames = self._sums.shape[1], len(image)
        if n_frames == 0:
            return
        sums = np.zeros((N_NOTES + 1, n_before + n_frames))  # over all notes below and all frames before
        sums[:, :n_before] = self._sums
        new = sums[1:, n_before:]
        np.cumsum(image.T, axis=0, out=new)
        new[:, 0] += sums[1:, n_before - 1]
        np.cumsum(new, axis=1, out=new)
        if sums.shape[1] > ITEM_FRAMES:
            self._made.append(_items(sums))
        self._sums = sums[:, -ITEM_FRAMES:].copy()

    def items(self) -> Items:
        """uint32[n_items]: one for each frame from the sixteenth on."""
        return np.concatenate(self._made) if self._made else np.empty(0, np.uint32)


def _items(sums: Floats) -> Items:
    """uint32[n]: the items of sums over an image, float64[13, n + 16]."""
    n_items = sums.shape[1] - ITEM_FRAMES
    bits = np.empty((n_items, 32), np.bool_)
    for i, (rectangles, (low, middle, high)) in enumerate(_PARTS):
        parts: list[Floats | float] = [0.0, 0.0]
        for is_a, first, end, below, above in rectangles:
            top, bottom = sums[above], sums[below]
            area = top[end : end + n_items] - top[first : first + n_items]
            area -= bottom[end : end + n_items]
            area += bottom[first : first + n_items]
            parts[is_a] = parts[is_a] + area
        a, b = 1 + parts[1], 1 + parts[0]
        # Levels 0, 1, 2, 3 are 00, 01, 11, 10 in Gray code
        np.greater_equal(a, middle * b, out=bits[:, 2 * i])
        np.not_equal(a >= low * b, a >= high * b, out=bits[:, 2 * i + 1])
    return np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)
