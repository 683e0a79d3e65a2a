"""From a file to stereo samples at 48 kHz, from its start to its end: after a seek, the decoders of lossy formats are
off by up to 92 ms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dedup.files.bounded import is_too_much
from dedup.files.container import heard_stream, open_container
from dedup.files.held import open_regular
from dedup.playback.flac import N_CHANNELS, SOUND_RATE, Samples

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

LONGEST_S = 86_400
"""Seconds of a file that are played, at most."""
_MOST_BREAKS = 100
"""Breaks in a container after which reading it ends."""


class UnplayableError(Exception):
    """Nothing of a file can be played; the text says why."""


class Decoding:
    """One pass over the stream of a file which its fingerprint hears. As there, the sound begins with the first sample
    that the decoder gives, and gaps are not filled."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.n_samples = 0
        """Samples given so far."""
        self.damage = ""
        """The first thing that could not be decoded; empty if there is none."""
        self.details = ""
        self._resampler: Any = None
        self._format: tuple[str, str, int] | None = None

    def samples(self) -> Iterator[Samples]:
        """The samples in pieces. Raises OSError, UnplayableError if there is nothing to play."""
        import av

        with open_regular(self.path):
            pass  # for the system's own error
        try:
            container = open_container(self.path)
        except (av.error.FFmpegError, UnicodeError) as error:
            raise UnplayableError(f"not an audio file: {_text(error)}") from error
        with container:
            stream = heard_stream(container)
            if stream is None:
                raise UnplayableError("no sound in it that can be decoded")
            stream.codec_context.thread_count = 1
            for frame in self._frames(container, stream):
                yield from self._resampled(frame)
            yield from self._resampled(None)
        if not self.n_samples:
            raise UnplayableError(f"nothing could be decoded: {self.damage or 'no audio frames'}")

    def _frames(self, container: Any, stream: Any) -> Iterator[AudioFrame]:
        """All frames that can be decoded, of all packets that can be read."""
        import av
        from av.stream import Discard

        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        for _ in range(_MOST_BREAKS):
            try:
                for packet in container.demux(stream):
                    yield from self._decoded(packet)
                return
            except av.error.FFmpegError as error:
                self._note(error)

    def _decoded(self, packet: Any) -> list[AudioFrame]:
        import av

        try:
            return list(packet.decode())
        except av.error.FFmpegError as error:
            self._note(error)
            return []

    def _resampled(self, frame: AudioFrame | None) -> Iterator[Samples]:
        """What a frame comes to at 48 kHz; None ends the sound. A file may change its rate or channels halfway."""
        import av

        found = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
        if found != self._format:
            if self._resampler is not None:
                yield from self._taken(self._resampler.resample(None))
            self._format = found
            if frame is not None:
                # One channel is played as it is on both sides: FFmpeg would make it 3 dB softer.
                layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
                self._resampler = av.AudioResampler(format="s16", layout=layout, rate=SOUND_RATE)
        if frame is not None:
            frame.pts = None  # in damaged files it can be anything
            yield from self._taken(self._resampler.resample(frame))

    def _taken(self, frames: list[AudioFrame]) -> Iterator[Samples]:
        for frame in frames:
            self.n_samples += frame.samples
            if self.n_samples > LONGEST_S * SOUND_RATE:
                raise UnplayableError(f"it plays longer than {LONGEST_S // 3600} hours")
            n_channels = frame.layout.nb_channels
            data = bytes(memoryview(frame.planes[0])[: 2 * n_channels * frame.samples])
            samples = np.frombuffer(data, "<i2").reshape(-1, n_channels)
            yield np.repeat(samples, N_CHANNELS // n_channels, axis=1)

    def _note(self, error: Exception) -> None:
        if is_too_much(error):
            raise error
        self.damage = self.damage or _text(error)


def _text(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
