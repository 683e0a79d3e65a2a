"""From samples to an audio file in one of six formats, through PyAV."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dedup.errors import UsageError, writing
from dedup.synthesis.music import SAMPLE_RATE, Pcm

if TYPE_CHECKING:
    from av import AudioFrame


@dataclass(frozen=True)
class _Format:
    container: str
    encoders: tuple[str, ...]
    """FFmpeg's names of the encoders, best first."""
    samples: str
    """FFmpeg's name of the sample format that the encoder takes."""
    extension: str
    options: Mapping[str, str]
    """Options of the encoder; the quick variant if there is a choice (measured: two to three times as fast)."""


_FORMATS = {
    "mp3": _Format("mp3", ("libmp3lame",), "fltp", "mp3", {"compression_level": "7"}),
    "flac": _Format("flac", ("flac",), "s16", "flac", {}),
    "vorbis": _Format("ogg", ("libvorbis", "vorbis"), "fltp", "ogg", {"strict": "experimental"}),
    "opus": _Format("ogg", ("libopus",), "flt", "opus", {"compression_level": "3"}),
    "aac": _Format("ipod", ("aac",), "fltp", "m4a", {"aac_coder": "fast"}),
    "wav": _Format("wav", ("pcm_s16le",), "s16", "wav", {}),
}
FORMATS = tuple(_FORMATS)

_CHUNK = 16_384
"""Samples handed to the encoder at a time."""


@dataclass(frozen=True)
class Encoding:
    """How samples become a file."""

    format: str
    """One of `FORMATS`."""
    bit_rate: int = 192_000
    """Bits per second for mp3, opus and aac; a hint for vorbis; ignored for flac and wav."""
    sample_rate: int = SAMPLE_RATE
    """Sample rate of the file in Hz; Opus always has 48,000 Hz."""
    mono: bool = False
    """Whether the channels are mixed into one."""

    def __post_init__(self) -> None:
        if self.format not in _FORMATS:
            raise UsageError("audio format", f"{self.format!r} is unknown", remedy=f"Use one of {', '.join(FORMATS)}")

    @property
    def extension(self) -> str:
        """Extension of the file's name, without the dot."""
        return _FORMATS[self.format].extension


def write(
    path: bytes | str,
    samples: Pcm,
    encoding: Encoding,
    tags: Mapping[str, str] | None = None,
    sample_rate: int = SAMPLE_RATE,
) -> None:
    """Writes an audio file and replaces an existing one; equal arguments give equal bytes on one machine.

    `samples`: float32[n_samples, 2] within ±1 (louder ones are clipped), at `sample_rate` Hz. `tags`: by
    FFmpeg's names (title, artist, album, track). Raises WriteError if the file cannot be written.
    """
    encoded = io.BytesIO()  # PyAV prints what a file refuses, and names only the end of its path
    _encode(encoded, samples, encoding, tags or {}, sample_rate)
    with writing(os.fsdecode(path)), open(path, "wb") as file:
        file.write(encoded.getbuffer())


def _encode(file: object, samples: Pcm, encoding: Encoding, tags: Mapping[str, str], sample_rate: int) -> None:
    import av

    kind = _FORMATS[encoding.format]
    encoder = next((name for name in kind.encoders if name in av.codecs_available), kind.encoders[0])
    rate = 48_000 if encoding.format == "opus" else encoding.sample_rate
    # FFmpeg's own Vorbis encoder supports stereo only
    layout = "mono" if encoding.mono and encoder != "vorbis" else "stereo"
    resampler = av.AudioResampler(format=kind.samples, layout=layout, rate=rate)
    # bitexact: without versions and random stream numbers
    with av.open(file, "w", format=kind.container, container_options={"fflags": "+bitexact"}) as container:
        container.metadata.update(tags)
        options = {"flags": "+bitexact", **kind.options}
        stream = container.add_stream(encoder, rate=rate, layout=layout, options=options)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.format = av.AudioFormat(kind.samples)
        if encoding.format not in ("flac", "wav"):
            stream.bit_rate = encoding.bit_rate
        for frame in _frames(samples, sample_rate, encoding.mono):
            for resampled in resampler.resample(frame):
                container.mux(stream.encode(resampled))
        for resampled in resampler.resample(None):
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))


def _frames(samples: Pcm, sample_rate: int, mono: bool) -> Iterator[AudioFrame]:
    import av

    if mono:
        samples = np.repeat(samples.mean(axis=1, keepdims=True), 2, axis=1)
    for start in range(0, len(samples), _CHUNK):
        chunk = np.clip(samples[start : start + _CHUNK], -1, 1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk.reshape(1, -1)), "flt", "stereo")
        frame.sample_rate, frame.pts = sample_rate, start
        yield frame
