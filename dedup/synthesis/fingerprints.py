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

from dedup.fingerprint.classifiers import CLASSIFIERS, DIVISIONS, N_NOTES
from dedup.settings import ITEMS_PER_SECOND
from dedup.store.items import Items
from dedup.synthesis.chroma_image import MORE_FRAMES, Floats, chroma_image, items_of_image

NOTE_LEVELS = (-0.04, -0.25, 0.45, -0.35, 0.05, -0.4, 0.15, -0.05, -0.1, 0.1, 0.25, 0.15)
"""Mean log energy of each note over all tracks: some get more bins of Chromaprint's FFT, some keys are more popular."""

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


_NOTE_LEVELS = np.array(NOTE_LEVELS)
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
    """The tracks of one seed, in any order, one at a time: not for several threads."""

    def __init__(self, seed: int, n_items: int, spread: float = 0.0, duplicates: float = 0.0) -> None:
        self.seed, self.n_items, self.spread, self.duplicates = seed, n_items, spread, duplicates
        self._own, self._of_original = (np.random.Generator(np.random.Philox(_NO_ENTROPY)) for _ in range(2))

    def track(self, index: int) -> Track:
        random = self._begun(self._own, index)
        if not self._is_copy(index, random):
            recording = self._draw_recording(random)
            return Track(index, items_of_image(recording.image(0, recording.n_items), RECTANGLES, RATIOS))
        original = self._draw_original(index, random)
        recording = self.recording(original)
        change = draw_change(random, recording, exact_length=self.spread == 0)
        return Track(index, copied_items(recording, change, random), original, change)

    def recording(self, original: int) -> Recording:
        """What an original plays."""
        random = self._begun(self._of_original, original)
        self._is_copy(original, random)  # draws from the stream, as the original did
        return self._draw_recording(random)

    def _begun(self, random: np.random.Generator, index: int) -> np.random.Generator:
        """As one with `Philox(key=[seed, index])`; making that would first ask the system for random bytes of no use.
        It takes a quarter of the time to give one that exists the state of a new one."""
        key: Any = {"counter": _ZEROS, "key": np.array([self.seed, index], np.uint64)}
        random.bit_generator.state = _FRESH | {"state": key}
        return random

    def _is_copy(self, index: int, random: np.random.Generator) -> bool:
        return bool(random.random() < self.duplicates) and index > 0

    def _draw_original(self, index: int, random: np.random.Generator) -> int:
        for _ in range(1000):
            original = int(random.integers(index))
            if not self._is_copy(original, self._begun(self._of_original, original)):
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
            levels=_NOTE_LEVELS + style.key_sd * levels,
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
        sd=min(max(1.9 + 0.8 * float(busy), 0.5), 4.0) * (float(random.uniform(0.1, 1)) if static else 1),
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
