"""A file to mono s16 PCM, by PyAV. Keeps what can be decoded and says what could not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dedup.library.identity import StreamHasher, open_container

if TYPE_CHECKING:
    import av

CHUNK_SAMPLES = 32768
"""PCM is handed on in pieces of about 3 s at 11,025 Hz: fewer calls than a decoder's frames of 26 ms."""

TRUNCATED_SHARE = 0.9
"""A track that ends before this share of the length its container states is damaged; estimates are closer."""


class UndecodableError(Exception):
    """Nothing could be decoded. `skipped` tells a file without audio from a broken one."""

    def __init__(self, reason: str, *, skipped: bool = False) -> None:
        super().__init__(reason)
        self.skipped = skipped


@dataclass(frozen=True)
class Decoded:
    """What decoding found besides the PCM."""

    duration_s: float
    """Seconds of PCM handed on."""
    damage: str | None
    """Why the track is damaged: what could not be decoded; None for a sound file."""
    stream: bytes | None
    """Hash of the demuxed audio packets (`identity.stream_hash`), None where demuxing broke off."""


def decode(
    path: bytes,
    sample_rate: int,
    sink: Callable[[bytes], None],
    length_s: float = 0.0,
    time_limit_s: float = float("inf"),
) -> Decoded:
    """Feeds `sink` with mono s16 PCM at `sample_rate` Hz, of the first `length_s` seconds (0: all of it).

    Raises UndecodableError for a file without audio or of which nothing can be decoded, TimeoutError after
    `time_limit_s` seconds, OSError for a file that cannot be read.
    """
    import av

    with open(path, "rb"):
        pass  # the system's own error for an unreadable or vanished file, not FFmpeg's
    try:
        container = open_container(path)
    except av.error.FFmpegError as error:
        raise UndecodableError(f"not an audio file: {error.strerror}") from error
    with container:
        if not container.streams.audio:
            raise UndecodableError("no audio stream", skipped=True)
        return _Decoding(container, sample_rate, sink, length_s, time.monotonic() + time_limit_s).run()


class _Decoding:
    """One pass over a container's packets."""

    def __init__(
        self,
        container: av.container.InputContainer,
        sample_rate: int,
        sink: Callable[[bytes], None],
        length_s: float,
        deadline: float,
    ) -> None:
        self.container, self.sample_rate, self.sink, self.deadline = container, sample_rate, sink, deadline
        self.stream = container.streams.best("audio") or container.streams.audio[0]
        self.stream.codec_context.thread_count = 1  # every core has a worker of its own
        self.hasher = StreamHasher(self.stream)
        self.wanted = round(length_s * sample_rate) if length_s else None
        self.n_samples = 0
        self.n_errors = 0
        self.first_error = ""
        self.resampler = self._new_resampler()

    def run(self) -> Decoded:
        broken_off = self._packets()
        self._take(None)
        if not self.n_samples:
            raise UndecodableError(f"nothing could be decoded: {self.first_error or 'no audio frames'}")
        return Decoded(
            duration_s=self.n_samples / self.sample_rate,
            damage=self._damage(),
            stream=None if broken_off else self.hasher.digest(),
        )

    def _packets(self) -> bool:
        """Demuxes and decodes to the end; True where demuxing broke off before it."""
        import av

        packets = self.container.demux(self.stream)
        while True:
            if time.monotonic() > self.deadline:
                raise TimeoutError
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self._note(error)
                return True
            if packet is None:
                return False
            self.hasher.update(packet)
            if self.wanted is not None and self.n_samples >= self.wanted:
                continue  # the rest is only hashed
            try:
                frames: list[Any] = packet.decode()
            except av.error.FFmpegError as error:
                self._note(error)
                continue
            for frame in frames:
                self._take(frame)

    def _take(self, frame: Any) -> None:
        """Resamples one frame (None: what is left in the resampler) and hands its PCM on."""
        try:
            resampled = self.resampler.resample(frame)
        except ValueError:  # rate or channels changed in mid-stream: end one resampler, begin another
            resampled = self.resampler.resample(None)
            self.resampler = self._new_resampler()
            resampled += self.resampler.resample(frame)
        for piece in resampled:
            n_samples = piece.samples
            if self.wanted is not None:
                n_samples = min(n_samples, self.wanted - self.n_samples)
            if n_samples > 0:
                self.sink(bytes(memoryview(piece.planes[0])[: 2 * n_samples]))
                self.n_samples += n_samples

    def _new_resampler(self) -> av.AudioResampler:
        import av

        return av.AudioResampler("s16", "mono", self.sample_rate, frame_size=CHUNK_SAMPLES)

    def _note(self, error: Exception) -> None:
        self.n_errors += 1
        self.first_error = self.first_error or str(getattr(error, "strerror", error))

    def _damage(self) -> str | None:
        if self.n_errors:
            return f"{self.n_errors} packets could not be decoded: {self.first_error}"
        decoded_s, stated_s = self.n_samples / self.sample_rate, self._stated_s()
        if self.wanted is None and decoded_s < TRUNCATED_SHARE * stated_s:
            return f"ends after {decoded_s:.1f} s of {stated_s:.1f} s"
        return None

    def _stated_s(self) -> float:
        """Seconds of audio that the container says it holds, 0 where it says nothing."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return 0.0
