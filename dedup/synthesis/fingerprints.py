"""Fingerprints that behave like those of real music, in a library of any size, with known duplicates in it.

A track is a function of its number and the library's settings: a larger library begins with the same tracks, memory
stays constant, and a copy makes its original anew.

A track is a song's chroma image: the energy of 12 notes over time, with a key, notes that come and fade, bars and
sections that return, and silence before and after. The image then goes through Chromaprint's own 16 classifiers. So
whatever these determine (which bits go together, how long they last, which of them a copy has wrong) is as in
fingerprints of sound; the constants of the image were fitted to 116 recordings of Debian's free music (asc-music,
btanks-data, colobot-common-sounds, fretsonfire-songs-*, hyperrogue-music, lincity-ng-data, singularity-music,
wesnoth-1.16-music: orchestra, rock, electronic, ambient), until bits and lag curves had the same quantiles. Over 6,670
unrelated pairs of at most 948 items, all lags with an overlap of 25 % and 80 items, and over as many made pairs:

    quantile               1 %    10 %   50 %   90 %   99 %   99.9 %
    mean agreement, real   0.463  0.484  0.505  0.530  0.577  0.659
                    made   0.456  0.482  0.506  0.531  0.585  0.655
    sd over lags, real     0.006  0.008  0.011  0.019  0.036  0.065
                  made     0.007  0.008  0.011  0.018  0.033  0.073
    highest, real          0.495  0.517  0.541  0.576  0.644  0.761
             made          0.487  0.515  0.542  0.573  0.642  0.757
    highest of every 4th lag and 16th item, real
                           0.515  0.537  0.562  0.600  0.670  0.786
             made          0.503  0.533  0.562  0.598  0.659  0.764

The made tracks are 400 of seed 1; with other seeds the last two columns change by up to 0.02 and 0.05.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.correlation.accelerate import jit
from dedup.fingerprint.classifiers import CLASSIFIERS, DIVISIONS, N_NOTES
from dedup.settings import ITEMS_PER_SECOND
from dedup.store.items import Items

Floats = npt.NDArray[np.float64]

MORE_FRAMES = 4 + 15
"""Frames of a track beyond its items: five make a smoothed one, and sixteen of those an item."""

NOTE_LEVELS = (-0.04, -0.25, 0.45, -0.35, 0.05, -0.4, 0.15, -0.05, -0.1, 0.1, 0.25, 0.15)
"""Mean log energy of each note over all tracks: some get more bins of Chromaprint's FFT, some keys are more popular."""

LEAKS = (0.04, 0.12, 0.13, 0.02, 0.22, 0.02, 0.18, 0.08, 0.03, 0.22, 0.02, 0.16)
"""Share of its energy that each note exchanges with the note above it, because a bin may lie between two low notes."""

SECTION_LEVEL, SECTION_VIGOUR, FLOOR, CEILING = 0.55, 0.3, 0.2, 40.0
"""Standard deviations, between sections, of a note's level and of the log of its movement; the energy of a note that is
not played, and the highest energy. Typical is 1."""

NOISE = 3.0
"""Change of a copy's log energies, sd, per share of wrong bits."""

FOREVER = 1 << 40


@dataclass(frozen=True)
class Style:
    """What distinguishes one recording from another. Levels are log energies."""

    key_sd: float
    """Spread of the levels of its notes, sd."""
    sd: float
    """Movement of a note around its level, sd."""
    memory: float
    """Frames until 1/e of a movement is left."""
    quick: float
    """Share of the movement's sd that is gone after a frame or two."""
    loop: float
    """Share of the movement's variance that returns with the bar."""
    bar: int
    """Frames of a bar. Eight bars make a section; a section has up to four different bars, a recording four
    sections."""
    heard_from: int
    heard_to: int
    """First frame after the leading silence, and first frame of the trailing one."""


@dataclass(frozen=True)
class Recording:
    """An endless piece of music; an original plays the first `n_items`."""

    key: np.uint64
    """Source of everything that is random in it."""
    n_items: int
    style: Style
    levels: Floats
    """Level of each note."""
    sds: Floats
    """Movement of each note, sd."""

    def image(self, start: int, n_items: int) -> Floats:
        """float64[n_items + 19, 12]: energies from frame `start` on."""
        style, n_frames = self.style, n_items + MORE_FRAMES
        heard = max(style.heard_from - start, 0), max(style.heard_to - start, 0)
        moves = style.memory, style.quick, style.loop, style.bar
        image = chroma_image(self.key, start, n_frames, self.levels, self.sds, *moves)
        image[: heard[0]] = 0
        image[heard[1] :] = 0
        return image


@dataclass(frozen=True)
class Change:
    """How a copy differs from its original."""

    kind: str
    """One of encoded, trimmed (in front), delayed (silence in front) and excerpt."""
    start: int
    """Frames of the recording that are left out in front."""
    silence: int
    """Frames of silence added in front."""
    n_items: int
    noise: float
    """Change of the log energy of each note in each frame, sd: a lossy encoding."""
    colour: float
    """Change of the log energy of each note throughout, sd: an equalizer."""


@dataclass(frozen=True)
class Track:
    index: int
    items: Items
    original: int | None = None
    """Index of the copied track; None for an original."""
    change: Change | None = None


_NO_ENTROPY = np.random.SeedSequence(0)
_ZEROS = np.zeros(4, np.uint64)
_FRESH: Any = {
    "bit_generator": "Philox",
    "buffer": _ZEROS,
    "buffer_pos": 4,
    "has_uint32": 0,
    "uinteger": 0,
}
"""State of a Philox from which nothing was drawn, except its key."""


class Library:
    """The tracks of one seed, in any order."""

    def __init__(self, seed: int, n_items: int, spread: float = 0.0, duplicates: float = 0.0) -> None:
        self.seed, self.n_items, self.spread, self.duplicates = seed, n_items, spread, duplicates

    def track(self, index: int) -> Track:
        random = self._random(index)
        if not self._is_copy(index, random):
            recording = self._draw_recording(random)
            return Track(index, items_of_image(recording.image(0, recording.n_items), RECTANGLES, RATIOS))
        original = self._draw_original(index, random)
        recording = self.recording(original)
        change = draw_change(random, recording, exact_length=self.spread == 0)
        return Track(index, copied_items(recording, change, random), original, change)

    def recording(self, original: int) -> Recording:
        """What an original plays."""
        random = self._random(original)
        self._is_copy(original, random)  # draws from the stream, as the original did
        return self._draw_recording(random)

    def _random(self, index: int) -> np.random.Generator:
        """As `Philox(key=[seed, index])`, which would first ask the system for random bytes of no use."""
        philox = np.random.Philox(_NO_ENTROPY)
        key: Any = {"counter": _ZEROS, "key": np.array([self.seed, index], np.uint64)}
        philox.state = _FRESH | {"state": key}
        return np.random.Generator(philox)

    def _is_copy(self, index: int, random: np.random.Generator) -> bool:
        return bool(random.random() < self.duplicates) and index > 0

    def _draw_original(self, index: int, random: np.random.Generator) -> int:
        for _ in range(1000):
            original = int(random.integers(index))
            if not self._is_copy(original, self._random(original)):
                return original
        return 0

    def _draw_recording(self, random: np.random.Generator) -> Recording:
        stretch = float(np.exp(self.spread * random.standard_normal() - self.spread**2 / 2))
        n_items = max(round(self.n_items * stretch), 16)
        style = draw_style(random, n_items)
        levels, sds = random.standard_normal((2, N_NOTES))
        return Recording(
            key=random.integers(1 << 64, dtype=np.uint64),
            n_items=n_items,
            style=style,
            levels=np.array(NOTE_LEVELS) + style.key_sd * levels,
            sds=style.sd * np.exp(0.17 * sds),
        )


def draw_style(random: np.random.Generator, n_items: int) -> Style:
    """A random style. One recording in 13 is static (drones, pads), one in 50 ends in a long silence, like hidden
    tracks."""
    z = random.standard_normal(3)
    busy, key, memory = z[0], 0.4 * z[0] + 0.92 * z[1], 0.6 * z[0] + 0.8 * z[2]
    static = random.random() < 0.075
    before = min(int(random.exponential(12)), n_items // 8) if random.random() < 0.05 else 0
    after = min(int(random.exponential(15)), n_items // 8) if random.random() < 0.2 else 0
    if random.random() < 0.02:
        after = int(n_items * random.uniform(0.2, 0.5))
    return Style(
        key_sd=0.55 * float(np.exp(0.5 * key)),
        sd=float(np.clip(1.9 + 0.8 * busy, 0.5, 4.0)) * (float(random.uniform(0.1, 1)) if static else 1),
        memory=9.5 * float(np.exp(0.8 * memory)) * (10 if static else 1),
        quick=0.15 if static else 0.5,
        loop=0.97 * float(np.sqrt(random.random())),
        bar=int(random.integers(12, 41)),
        heard_from=before + MORE_FRAMES if before else 0,
        heard_to=n_items - after if after else FOREVER,
    )


def draw_change(random: np.random.Generator, recording: Recording, exact_length: bool) -> Change:
    """A random change. With `exact_length` a copy is as long as the original unless it is an excerpt: a trimmed one
    continues longer. Half of the copies have 1.2 to 5 % of their bits wrong, nine in ten 0.4 to 12 %, as in a corpus
    of re-encoded, filtered and resampled music. There, too, copies with more wrong bits (equalized ones) have longer
    runs of them."""
    n_items = recording.n_items
    kind = str(random.choice(["encoded", "trimmed", "delayed", "excerpt"], p=[0.45, 0.25, 0.2, 0.1]))
    shift = 1 + int(0.15 * n_items * random.random() ** 2)
    start, silence, length = 0, 0, n_items
    if kind == "excerpt":
        length = round(n_items * random.uniform(0.25, 0.6))
        start = int(random.integers(n_items - length + 1))
    elif kind == "trimmed":
        start = shift
    elif kind == "delayed":
        silence = shift
    if not exact_length and kind != "excerpt":
        cut_at_end = int(0.1 * n_items * random.random()) if random.random() < 0.5 else 0
        length = n_items - start + silence - cut_at_end
    share = float(np.clip(0.026 * np.exp(random.standard_normal()), 0.001, 0.16))
    size, tilt = NOISE * share * min(1.0, recording.style.sd), float(random.random()) ** 2
    return Change(kind, start, silence, length, noise=size * (1 - tilt), colour=size * tilt)


def copied_items(recording: Recording, change: Change, random: np.random.Generator) -> Items:
    image = recording.image(change.start, change.n_items - change.silence)
    colour = change.colour * random.standard_normal(N_NOTES)
    image *= np.exp(change.noise * random.standard_normal(image.shape) + colour)
    image = np.concatenate([np.zeros((change.silence, N_NOTES)), image])
    return items_of_image(image, RECTANGLES, RATIOS)


def rectangles() -> tuple[npt.NDArray[np.int64], Floats]:
    """The classifiers, ready for use. int64[n, 6]: rectangles of (classifier, side, first frame, end frame, first
    note, end note); side 0 is `a` and side 1 is `b`. float64[16, 3]: e to the power of the thresholds, because
    (1 + a) >= ratio * (1 + b) needs no logarithm."""
    rows = []
    for classifier, (shape, note, n_notes, n_frames, *_) in enumerate(CLASSIFIERS):
        n_steps, t_steps = DIVISIONS[shape]
        notes, frames = cuts(note, n_notes, n_steps), cuts(0, n_frames, t_steps)
        for i in range(t_steps):
            for j in range(n_steps):
                side = (i + j + (shape > 0)) % 2
                rows.append((classifier, side, frames[i], frames[i + 1], notes[j], notes[j + 1]))
    return np.array(rows, np.int64), np.exp([classifier[4:] for classifier in CLASSIFIERS])


def cuts(first: int, n: int, n_parts: int) -> list[int]:
    """Ends of the parts of a run; the remainder belongs to the last part."""
    return [first + i * (n // n_parts) for i in range(n_parts)] + [first + n]


RECTANGLES, RATIOS = rectangles()


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
    bars_key, fresh_key, song_key = mixed(key, 0), mixed(key, 1), mixed(key, 2)
    image = np.empty((n_frames, 12))
    slow, quick, level, sd, energy = np.zeros(12), np.zeros(12), np.zeros(12), np.zeros(12), np.zeros(12)
    drive = np.empty(24)
    bars = np.empty((4 * bar, 24))  # four bars
    for i in range(4 * bar * 24):
        bars[i // 24, i % 24] = np.sqrt(loop) * normal(bars_key, i)
    fresh = np.sqrt(1 - loop)
    keep, slow_part = np.exp(-1 / memory), np.sqrt(1 - quick_part * quick_part)
    gain, quick_gain = np.sqrt(1 - keep * keep), np.sqrt(0.75)
    first_bar = 0
    for frame in range(start + n_frames):
        if frame % (8 * bar) == 0:
            section = int(mixed(song_key, frame // (8 * bar)) % np.uint64(4))
            vigour = np.exp(SECTION_VIGOUR * normal(song_key, -20 * section - 1))
            for note in range(12):
                sd[note] = sds[note] * vigour
                level[note] = levels[note] + sd[note] * SECTION_LEVEL * normal(song_key, -20 * section - 2 - note)
        if frame % bar == 0:
            bar_in_section = -20 * section - 14 - frame // bar % 4
            first_bar = bar * int(mixed(song_key, bar_in_section) % np.uint64(4))
        for i in range(24):
            drive[i] = bars[first_bar + frame % bar, i] + fresh * normal(fresh_key, 24 * frame + i)
        for note in range(12):
            slow[note] = keep * slow[note] + gain * drive[note]
            quick[note] = 0.5 * quick[note] + quick_gain * drive[12 + note]
        if frame >= start:
            for note in range(12):
                energy[note] = np.exp(level[note] + sd[note] * (slow_part * slow[note] + quick_part * quick[note]))
                energy[note] = FLOOR + energy[note] / (1 + energy[note] / CEILING)
            for note in range(12):
                below, above = (note + 11) % 12, (note + 1) % 12
                image[frame - start, note] = energy[note] + LEAKS[below] * energy[below] + LEAKS[note] * energy[above]
    return image


@jit
def items_of_image(image: Floats, rectangles: npt.NDArray[np.int64], ratios: Floats) -> Items:
    """uint32[n_frames - 19]: Chromaprint's items for energies, float64[n_frames, 12]. Five frames are smoothed to one,
    which is scaled to norm 1, or 0 if it is silent; 16 classifiers then each turn every run of 16 such frames into
    a level from 0 to 3, Gray-coded."""
    n_frames = len(image) - 4
    n_items = n_frames - 15
    sums = np.zeros((13, n_frames + 1))  # over all notes below and all frames before
    smoothed = np.empty(12)
    for t in range(n_frames):
        square = 0.0
        for note in range(12):
            sides = 0.25 * (image[t, note] + image[t + 4, note]) + 0.75 * (image[t + 1, note] + image[t + 3, note])
            smoothed[note] = sides + image[t + 2, note]
            square += smoothed[note] * smoothed[note]
        scale = 1 / np.sqrt(square) if square > 1e-4 else 0.0
        below = 0.0
        for note in range(12):
            below += smoothed[note] * scale
            sums[note + 1, t + 1] = sums[note + 1, t] + below
    items = np.zeros(n_items, np.uint32)
    parts = np.empty((2, n_items))
    row = 0
    for classifier in range(16):
        parts[:] = 1
        while row < len(rectangles) and rectangles[row, 0] == classifier:
            part, low, high = parts[rectangles[row, 1]], sums[rectangles[row, 4]], sums[rectangles[row, 5]]
            first, end = rectangles[row, 2], rectangles[row, 3]
            for t in range(n_items):
                part[t] += (high[t + end] - high[t + first]) - (low[t + end] - low[t + first])
            row += 1
        r0, r1, r2 = ratios[classifier]
        a, b = parts[0], parts[1]
        for t in range(n_items):
            level = np.uint32(a[t] >= r0 * b[t]) + np.uint32(a[t] >= r1 * b[t]) + np.uint32(a[t] >= r2 * b[t])
            items[t] = (items[t] << np.uint32(2)) | (level ^ (level >> np.uint32(1)))
    return items


def path_of(index: int) -> str:
    return f"/made/{index // 1000:04}/{index:07}.flac"


def duration_of(items: Items) -> float:
    """Seconds that the items take."""
    return round(len(items) / ITEMS_PER_SECOND, 2)


def import_line(index: int, items: Items) -> bytes:
    """What `reprise import` reads of a track."""
    record = {"path": path_of(index), "duration": duration_of(items), "fingerprint": items.tolist()}
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def planted_pair(track: Track, original: Items) -> dict[str, Any]:
    """The true line about a copy."""
    assert track.original is not None and track.change is not None
    lag = track.change.start - track.change.silence
    first, end = max(0, lag), min(len(original), len(track.items) + lag)
    errors = int(np.bitwise_count(original[first:end] ^ track.items[first - lag : end - lag]).sum())
    return {
        "a": path_of(track.original),
        "b": path_of(track.index),
        "index_a": track.original,
        "index_b": track.index,
        "kind": track.change.kind,
        "lag": lag,
        "overlap": end - first,
        "errors": errors,
        "error_share": round(errors / (32 * (end - first)), 6),
    }
