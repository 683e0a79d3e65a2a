"""The kernels of made fingerprints: from random numbers to a chroma image, and from that to Chromaprint's items.

Each loop is over the notes, draws or frames that do not depend on each other, and none of its divisions can raise, so
that the compiler makes vector instructions of it: 1.6 times as fast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.fingerprint.classifiers import N_NOTES
from dedup.store.items import Items

Floats = npt.NDArray[np.float64]

MORE_FRAMES = 4 + 15
"""Frames of a track beyond its items: five make a smoothed one, and sixteen of those an item."""

LEAKS = (0.04, 0.12, 0.13, 0.02, 0.22, 0.02, 0.18, 0.08, 0.03, 0.22, 0.02, 0.16)
"""Share of its energy that each note exchanges with the note above it, because a bin may lie between two low notes."""

SECTION_LEVEL, SECTION_VIGOUR, FLOOR, CEILING = 0.55, 0.3, 0.2, 40.0
"""Standard deviations, between sections, of a note's level and of the log of its movement; the energy of a note that is
not played, and the highest energy. Typical is 1."""

_DRIVES = 2 * N_NOTES
"""Inputs of a frame: one for the slow and one for the quick movement of each note."""

_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
_ROUNDING = 1.5 * 2.0**52
"""Added to a number of less than 2 to the 51, it leaves the nearest whole number in the low bits."""


@jit
def mixed(key: np.uint64, counter: int) -> np.uint64:
    """64 random bits, a function of key and counter (SplitMix64)."""
    z = key + np.uint64(counter + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def normal(key: np.uint64, counter: int) -> float:
    """An approximately normal number, mean 0, sd 1: the sum of four uniform 16-bit numbers."""
    z, low = mixed(key, counter), np.uint64(0xFFFF)
    total = (z & low) + (z >> np.uint64(16) & low) + (z >> np.uint64(32) & low) + (z >> np.uint64(48))
    return (float(np.int64(total)) - 131070.0) * (np.sqrt(3.0) / 65536.0)  # type: ignore[no-any-return]


@jit
def exponentials(values: Floats) -> None:
    """Puts e to the power of each value, -700 to 700, in its place, to the last bit or one beside it: 2 to the power of
    a whole number, times the series of the rest up to the thirteenth power."""
    for i in range(len(values)):
        shifted = values[i] * _LOG2_E + _ROUNDING
        whole = shifted - _ROUNDING
        rest = values[i] - whole * _LN2_HIGH - whole * _LN2_LOW
        series = 1.6059043836821613e-10 * rest + 2.08767569878681e-09
        series = series * rest + 2.505210838544172e-08
        series = series * rest + 2.755731922398589e-07
        series = series * rest + 2.7557319223985893e-06
        series = series * rest + 2.48015873015873e-05
        series = series * rest + 0.0001984126984126984
        series = series * rest + 0.001388888888888889
        series = series * rest + 0.008333333333333333
        series = series * rest + 0.041666666666666664
        series = series * rest + 0.16666666666666666
        series = series * rest + 0.5
        series = 1.0 + (rest + rest * rest * series)
        bits = np.float64(series).view(np.int64) + (np.float64(shifted).view(np.int64) << np.int64(52))
        values[i] = np.int64(bits).view(np.float64)


@jit
def chroma_image(
    key: np.uint64,
    start: int,
    n_frames: int,
    levels: Floats,
    sds: Floats,
    memory: float,
    quick_part: float,
    loop: float,
    bar: int,
) -> Floats:
    """float64[n_frames, 12]: energy of each note from frame `start` of a recording on. Each note follows two
    first-order autoregressions, a slow and a quick one; their input is partly the same in bars that return."""
    energies = note_levels(key, start, n_frames, levels, sds, memory, quick_part, loop, bar)
    exponentials(energies)
    for i in range(len(energies)):
        energies[i] = FLOOR + np.true_divide(energies[i], 1 + np.true_divide(energies[i], CEILING))
    image = np.empty((n_frames, N_NOTES))
    for frame in range(n_frames):
        at = N_NOTES * frame
        image[frame, 0] = energies[at] + LEAKS[11] * energies[at + 11] + LEAKS[0] * energies[at + 1]
        for note in range(1, 11):
            below, above = energies[at + note - 1], energies[at + note + 1]
            image[frame, note] = energies[at + note] + LEAKS[note - 1] * below + LEAKS[note] * above
        image[frame, 11] = energies[at + 11] + LEAKS[10] * energies[at + 10] + LEAKS[11] * energies[at]
    return image


@jit
def note_levels(
    key: np.uint64,
    start: int,
    n_frames: int,
    levels: Floats,
    sds: Floats,
    memory: float,
    quick_part: float,
    loop: float,
    bar: int,
) -> Floats:
    """float64[n_frames * 12]: log energy of each note of each frame."""
    bars_key, fresh_key, song_key = mixed(key, 0), mixed(key, 1), mixed(key, 2)
    bars = np.empty(4 * bar * _DRIVES)  # four bars
    for i in range(len(bars)):
        bars[i] = np.sqrt(loop) * normal(bars_key, i)
    drives = np.empty((start + n_frames) * _DRIVES)
    fresh = np.sqrt(1 - loop)
    for i in range(len(drives)):
        drives[i] = fresh * normal(fresh_key, i)
    keep, slow_part = np.exp(-1 / memory), np.sqrt(1 - quick_part * quick_part)
    gain, quick_gain = np.sqrt(1 - keep * keep), np.sqrt(0.75)
    slow, quick, level, sd = np.zeros(N_NOTES), np.zeros(N_NOTES), np.zeros(N_NOTES), np.zeros(N_NOTES)
    found = np.empty(n_frames * N_NOTES)
    in_bar, n_bar, first_in_bar = bar, -1, 0
    for frame in range(start + n_frames):
        if in_bar == bar:
            in_bar, n_bar = 0, n_bar + 1
            section = int(mixed(song_key, n_bar // 8) % np.uint64(4))
            if n_bar % 8 == 0:
                vigour = np.exp(SECTION_VIGOUR * normal(song_key, -20 * section - 1))
                for note in range(N_NOTES):
                    sd[note] = sds[note] * vigour
                    level[note] = levels[note] + sd[note] * SECTION_LEVEL * normal(song_key, -20 * section - 2 - note)
            first_in_bar = bar * int(mixed(song_key, -20 * section - 14 - n_bar % 4) % np.uint64(4))
        again = bars[_DRIVES * (first_in_bar + in_bar) :][:_DRIVES]
        anew = drives[_DRIVES * frame :][:_DRIVES]
        in_bar += 1
        for note in range(N_NOTES):
            slow[note] = keep * slow[note] + gain * (again[note] + anew[note])
            quick[note] = 0.5 * quick[note] + quick_gain * (again[12 + note] + anew[12 + note])
        if frame >= start:
            of_frame = found[N_NOTES * (frame - start) :][:N_NOTES]
            for note in range(N_NOTES):
                of_frame[note] = level[note] + sd[note] * (slow_part * slow[note] + quick_part * quick[note])
    return found


@jit
def items_of_image(image: Floats, rectangles: npt.NDArray[np.int64], ratios: Floats) -> Items:
    """uint32[n_frames - 19]: Chromaprint's items for energies, float64[n_frames, 12]. Five frames are smoothed to one,
    which is scaled to norm 1, or 0 if it is silent; 16 classifiers then each turn every run of 16 such frames into
    a level from 0 to 3, Gray-coded."""
    n_items = len(image) - MORE_FRAMES
    sums = smoothed_sums(image)
    items = np.zeros(n_items, np.uint32)
    parts = np.empty((2, n_items))
    row = 0
    for classifier in range(16):
        parts[:] = 1
        while row < len(rectangles) and rectangles[row, 0] == classifier:
            part, low, high = parts[rectangles[row, 1]], sums[rectangles[row, 4]], sums[rectangles[row, 5]]
            first, end = rectangles[row, 2], rectangles[row, 3]
            low_first, low_end = low[first : first + n_items], low[end : end + n_items]
            high_first, high_end = high[first : first + n_items], high[end : end + n_items]
            for t in range(n_items):
                part[t] += (high_end[t] - high_first[t]) - (low_end[t] - low_first[t])
            row += 1
        r0, r1, r2 = ratios[classifier]
        a, b = parts[0], parts[1]
        for t in range(n_items):
            level = np.uint32(a[t] >= r0 * b[t]) + np.uint32(a[t] >= r1 * b[t]) + np.uint32(a[t] >= r2 * b[t])
            items[t] = (items[t] << np.uint32(2)) | (level ^ (level >> np.uint32(1)))
    return items


@jit
def smoothed_sums(image: Floats) -> Floats:
    """float64[13, n_frames - 3]: sums of the smoothed and scaled frames, over all notes below and all frames before."""
    n_frames = len(image) - 4
    sums = np.zeros((N_NOTES + 1, n_frames + 1))
    smoothed = np.empty(N_NOTES)
    for t in range(n_frames):
        square = 0.0
        for note in range(N_NOTES):
            sides = 0.25 * (image[t, note] + image[t + 4, note]) + 0.75 * (image[t + 1, note] + image[t + 3, note])
            smoothed[note] = sides + image[t + 2, note]
            square += smoothed[note] * smoothed[note]
        scale = 1 / np.sqrt(square) if square > 1e-4 else 0.0
        below = 0.0
        for note in range(N_NOTES):
            below += smoothed[note] * scale
            sums[note + 1, t + 1] = sums[note + 1, t] + below
    return sums
