"""The folder of one sound in the cache: segments of 10 s, its outline, and when all is there, its facts.

    000000.flac 000001.flac …   segments, each a FLAC file of its own; the last one may be shorter
    outline                     int8[n, 2] of `waveform`, a step each 0.1 s, as far as there are segments
    facts.json                  written last: length, loudness, and what else is known of the whole

Each file appears under its name only when it is complete. Whoever finds one missing has the sound decoded again, which
gives the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dedup.library.loudness import SILENCE_LUFS, Loudness, Meter
from dedup.playback.flac import SOUND_RATE, Samples, encode, frame_of
from dedup.playback.waveform import Outline, outline_of

SEGMENT_S = 10
SEGMENT = SEGMENT_S * SOUND_RATE
"""Samples of a segment."""
_MOST_UNMEASURED = 6
_DRAWN_EACH = 60
"""Segments up to which the outline is written after each, and then after so many: it is written whole each time."""
PART = ".part"
"""How a name ends until its file is complete."""
_FACTS, _OUTLINE = "facts.json", "outline"


@dataclass(frozen=True)
class Facts:
    """What is known of a sound once all of it was decoded."""

    n_samples: int
    integrated_lufs: float = SILENCE_LUFS
    """Integrated loudness of what is played, by EBU R128; `SILENCE_LUFS` if it is silent or shorter than 0.4 s."""
    peak: float = 0.0
    """True peak; 1 is full scale."""
    damage: str = ""
    """What could not be decoded; empty for a sound file."""
    details: str = ""
    """JSON of what else a kind of sound has (`difference`)."""

    @property
    def length_s(self) -> float:
        return self.n_samples / SOUND_RATE

    @property
    def loudness(self) -> Loudness:
        return Loudness(self.integrated_lufs, self.peak)


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.flac"


def read_facts(folder: Path) -> Facts | None:
    """The facts, if the sound was decoded to its end and they can be read."""
    try:
        return Facts(**json.loads((folder / _FACTS).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def read_outline(folder: Path) -> Outline:
    """The outline as far as it is there; empty if it is not."""
    try:
        data = (folder / _OUTLINE).read_bytes()
    except OSError:
        data = b""
    return np.frombuffer(data[: len(data) // 2 * 2], np.int8).reshape(-1, 2)


def put(folder: Path, name: str, data: bytes) -> None:
    """Writes a file that only its owner may read, at once; makes the folder if someone removed it. Raises OSError."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor, part = tempfile.mkstemp(suffix=PART, dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(part, folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


class Writer:
    """Writes a sound, in order, from samples in pieces of any length."""

    def __init__(self, folder: Path) -> None:
        self.n_segments = 0
        """Segments that can be read."""
        self._folder = folder
        self._waiting: list[Samples] = []
        self._n_waiting = 0
        self._n_samples = 0
        self._outlines: list[Outline] = []
        self._meter, self._metering = Meter(), ThreadPoolExecutor(1)
        self._unmeasured: deque[Future[None]] = deque()

    def write(self, samples: Samples) -> bool:
        """Takes samples, and tells whether there is a new segment. Raises OSError."""
        self._waiting.append(samples)
        self._n_waiting += len(samples)
        n_before = self.n_segments
        while self._n_waiting >= SEGMENT:
            together = np.concatenate(self._waiting)
            self._put(together[:SEGMENT])
            self._waiting = [together[SEGMENT:]]
            self._n_waiting -= SEGMENT
        return self.n_segments > n_before

    def finish(self, damage: str = "", details: str = "") -> Facts:
        """Writes what is left and the facts. Raises OSError."""
        if self._n_waiting:
            self._put(np.concatenate(self._waiting))
        self._put_outline()
        for each in self._unmeasured:
            each.result()
        measured = self._metering.submit(self._meter.finish).result()
        self._metering.shutdown()
        facts = Facts(self._n_samples, measured.integrated_lufs, measured.peak, damage, details)
        put(self._folder, _FACTS, json.dumps(asdict(facts)).encode())
        return facts

    def _put(self, samples: Samples) -> None:
        self._outlines.append(outline_of(samples))
        put(self._folder, segment_path(self._folder, self.n_segments).name, encode(samples))
        self.n_segments += 1
        if self.n_segments <= _DRAWN_EACH or self.n_segments % _DRAWN_EACH == 0:
            self._put_outline()
        self._n_samples += len(samples)
        # Measuring takes as long as decoding, so another core does it, at most some segments behind.
        self._unmeasured.append(self._metering.submit(self._meter.feed, frame_of(samples)))
        while len(self._unmeasured) > _MOST_UNMEASURED:
            self._unmeasured.popleft().result()

    def _put_outline(self) -> None:
        put(self._folder, _OUTLINE, np.concatenate(self._outlines).tobytes())
