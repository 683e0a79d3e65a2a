"""A library to be listened to: copies of one piece in formats of which browsers play some, each with a mark of its own,
so that what is heard tells which copy it is and which instant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from dedup.playback.resample import resampled
from dedup.synthesis.music import compose

RATE = 48_000
SECONDS = 36
FRONT_S = 1.5
"""What one copy has more in front."""
SLOWER = 0.03
"""How much longer another takes."""
EXTRA = (21.0, 24.0)
"""Seconds in which one copy has a voice that the others lack."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Copy:
    """A file of the library."""

    name: str
    encoder: str
    container: str
    mark_hz: float
    """Its mark: a quiet tone above all that fingerprints hear, at its own speed on the axis of the others."""
    bit_rate: int = 0


COPIES = (
    Copy("Band - Piece.flac", "flac", "flac", 7000),
    Copy("front/Band - Piece.mp3", "libmp3lame", "mp3", 8000, 192_000),
    Copy("opus/Band - Piece.opus", "libopus", "ogg", 9000, 128_000),
    Copy("slow/Band - Piece.wma", "wmav2", "asf", 10000, 192_000),
)


def step_hz(second: int) -> float:
    """The tone of the ladder in a second."""
    return 2200.0 + 45 * second


def piece() -> Floats:
    """float32[n] at 48 kHz: music, and a different tone in each second."""
    music = compose(7, "band", SECONDS).mean(axis=1)
    at = np.arange(SECONDS * RATE) * (44_100 / RATE)
    whole = np.interp(at, np.arange(len(music)), music)
    time = np.arange(len(whole)) / RATE
    ladder = np.sin(2 * np.pi * np.array([step_hz(second) for second in range(SECONDS)])[time.astype(int)] * time)
    return (0.45 * whole + 0.12 * ladder).astype(np.float32)


def marked(sound: Floats, hz: float) -> Floats:
    """The sound with a mark."""
    time = np.arange(len(sound)) / RATE
    return np.asarray(sound + 0.02 * np.sin(2 * np.pi * hz * time), np.float32)


def slower(sound: Floats) -> Floats:
    """The sound as the slow copy plays it."""
    stereo = np.repeat(np.rint(32767 * sound).astype(np.int16)[:, None], 2, axis=1)
    at = np.arange(int(len(sound) * (1 + SLOWER))) / (1 + SLOWER)
    return np.asarray(resampled(stereo, 0, at, 1.0)[:, 0] / 32767, np.float32)


def write(path: Path, copy: Copy, sound: Floats) -> None:
    """Encodes mono samples as both channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=copy.container) as container:
        stream: Any = container.add_stream(copy.encoder, rate=RATE, layout="stereo")
        if copy.bit_rate:
            stream.bit_rate = copy.bit_rate
        codec = stream.codec_context
        samples = np.repeat(np.clip(np.rint(32767 * sound), -32768, 32767).astype("<i2"), 2)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        codec.open(strict=False)
        fitting = av.AudioResampler(codec.format, "stereo", RATE, codec.frame_size or 0)
        for part in [*fitting.resample(frame), *fitting.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def write_library(folder: Path) -> Floats:
    """Writes the files, and gives the piece without a mark."""
    whole = piece()
    time = np.arange(int(FRONT_S * RATE)) / RATE
    front = (0.2 * np.sin(2 * np.pi * 500 * time) * np.sin(2 * np.pi * 3 * time)).astype(np.float32)
    for copy in COPIES:
        sound = marked(whole, copy.mark_hz)
        if copy.name.startswith("front"):
            sound = np.concatenate([front, sound])
        if copy.name.startswith("opus"):
            start, end = (round(second * RATE) for second in EXTRA)
            sound[start:end] += 0.15 * np.sin(2 * np.pi * 1100 * np.arange(end - start) / RATE) ** 3
        if copy.name.startswith("slow"):
            sound = slower(sound)
        write(folder / copy.name, copy, sound)
    return whole
