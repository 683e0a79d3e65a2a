"""Real audio files for tests, encoded here and now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

ENCODERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp3": ("libmp3lame", "mp3", {}),
    "flac": ("flac", "flac", {}),
    "oga": ("flac", "ogg", {}),
    "ogg": ("vorbis", "ogg", {"strict": "-2"}),
    "opus": ("libopus", "ogg", {}),
    "m4a": ("aac", "ipod", {}),
    "alac": ("alac", "ipod", {}),
    "aac": ("aac", "adts", {}),
    "wav": ("pcm_s16le", "wav", {}),
    "aiff": ("pcm_s16be", "aiff", {}),
    "wv": ("wavpack", "wv", {}),
    "tta": ("tta", "tta", {}),
    "ac3": ("ac3", "ac3", {}),
    "mka": ("flac", "matroska", {}),
    "webm": ("libopus", "webm", {}),
}
"""Encoder, container and encoder options by file extension; "alac" is for .m4a."""

BIT_RATES = {"wmav2": 128_000}
"""Of encoders that have no default of their own."""

SAMPLE_FORMATS = {"alac": "s16p", "wavpack": "s16p", "tta": "s16"}
"""Of encoders that by default would take 8 or 32 bits a sample."""


def write_tone(
    path: Path | str,
    seconds: float = 2.0,
    codec: str | None = None,
    seed: int = 0,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Writes stereo tones, a chord and a rhythm that follow from `seed`, and returns the path. `codec` is a
    key of ENCODERS, by default the extension."""
    return _encode(
        Path(path), codec, "stereo", container_options, lambda rate: _frame(_tones(seconds, rate, seed), rate, "s16")
    )


def write_samples(
    path: Path | str, samples: Any, codec: str | None = None, rate: int = 44100, layout: str = "stereo"
) -> Path:
    """Writes float[n, 2] within ±1 at `rate` Hz as stereo, or its mix, and returns the path. `codec` as for
    `write_tone`."""
    frame = _frame(np.asarray(samples, np.float32), rate, "flt")
    return _encode(Path(path), codec, layout, None, lambda _: frame, rate)


def _encode(
    path: Path,
    codec: str | None,
    layout: str,
    container_options: dict[str, str] | None,
    frame_at: Callable[[int], av.AudioFrame],
    rate: int = 44100,
) -> Path:
    encoder, container_format, options = {**ENCODERS, "wma": ("wmav2", "asf", {})}[codec or path.suffix[1:]]
    rate = 48000 if encoder == "libopus" else rate
    with av.open(str(path), "w", format=container_format, options=container_options or {}) as container:
        stream: Any = container.add_stream(encoder, rate=rate, layout=layout)
        stream.codec_context.options = options
        if encoder in BIT_RATES:
            stream.bit_rate = BIT_RATES[encoder]
        if encoder in SAMPLE_FORMATS:
            stream.codec_context.format = SAMPLE_FORMATS[encoder]
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout=layout,
            rate=rate,
            frame_size=stream.codec_context.frame_size or 0,
        )
        for frame in [*resampler.resample(frame_at(rate)), *resampler.resample(None)]:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _tones(seconds: float, rate: int, seed: int) -> Any:
    """int16[n, 2]."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    pitches = generator.uniform(110, 1760, size=4)
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in pitches) / 8
    rhythm = 0.6 + 0.4 * np.sin(2 * np.pi * generator.uniform(1, 4) * time)
    samples = (chord * rhythm * 32767).astype("<i2")
    return np.repeat(samples[:, np.newaxis], 2, axis=1)


def _frame(samples: Any, rate: int, sample_format: str) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format=sample_format, layout="stereo")
    frame.sample_rate = rate
    frame.pts = 0
    return frame
