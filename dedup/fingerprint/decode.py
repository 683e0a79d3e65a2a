"""From a file to mono s16 PCM, by PyAV. Keeps what can be decoded and reports the rest."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dedup.files.container import codec_name, heard_stream, open_container
from dedup.files.held import open_regular
from dedup.fingerprint.channels import Balance
from dedup.fingerprint.lengths import RAW, exact_length_s, format_name
from dedup.library.identity import StreamHasher
from dedup.settings import LONGEST_S
from dedup.store.audios import UNKNOWN, Decoding

if TYPE_CHECKING:
    import av

FED_SAMPLES = 1 << 16
"""Samples of the source that are resampled and passed on at a time, 1.5 s at 44,100 Hz: asking the resampler after
each frame of a decoder (26 ms) took a fifth of all the time."""

PIECE_SAMPLES = 4096
"""Resampled samples in each piece of PCM, except the last."""

RESAMPLER = {"filter_size": "16", "phase_shift": "8", "linear_interp": "1", "cutoff": "0.8"}
"""Options of FFmpeg's `aresample`: those of `fpcalc`, so that the items equal its items, bit for bit (with FFmpeg's
default filter, 99.99 % of the bits do); the shorter filter is also faster."""

HALF_DIFFERENCE = "mono|c0=0.5*c0-0.5*c1"
"""Argument of FFmpeg's `pan`: what does not cancel if a channel is inverted."""

TRUNCATED_SHARE = 0.9
"""Share of the length stated by its container below which a track counts as damaged, if the length may be a guess."""

CUT_S = 1.0
"""Seconds missing from the exact length in a header with which a track counts as damaged."""

EXACT_CODECS = frozenset({"alac", "ape", "flac", "tta", "wavpack"})
"""Codecs whose containers count the samples. Their demuxers skip what is broken without an error."""
LACKING_S = 0.5
"""Seconds missing from the exact length with which a track in one of `EXACT_CODECS` counts as damaged."""

MAX_DEMUX_ERRORS = 100
"""Breaks in a container after which reading it ends."""


class UndecodableError(Exception):
    """Nothing could be decoded. `skipped` distinguishes a file without audio from a broken one."""

    def __init__(self, reason: str, *, skipped: bool = False) -> None:
        super().__init__(reason)
        self.skipped = skipped


class TimeLimitError(Exception):
    """Decoding exceeded the time limit."""


@dataclass(frozen=True)
class Decoded:
    """What decoding found besides the PCM."""

    duration_s: float
    """Seconds of PCM passed on."""
    damage: str | None
    """What could not be decoded; None for a sound file."""
    stream: bytes | None
    """Hash of the demuxed audio packets (`identity.stream_hash`); None if the container is broken."""
    decoding: Decoding = UNKNOWN
    """What else decoding showed. Its length is None if only the first `length_s` seconds were decoded."""


def decode(
    path: bytes,
    sample_rate: int,
    sink: Callable[[bytes], None],
    length_s: float = 0.0,
    time_limit_s: float = float("inf"),
    difference: bool = False,
) -> Decoded:
    """Feeds `sink` with mono s16 PCM at `sample_rate` Hz, from the first `length_s` seconds (0: all of them). It is
    the mix of all channels; with `difference`, half the difference of the first two, for a track whose channels cancel
    in a mix (`Decoding.cancels`).

    Raises UndecodableError for a file without audio or without anything that can be decoded, TimeLimitError after
    `time_limit_s` seconds, OSError for a file that cannot be read, even if reading fails half-way: a drive that goes
    away does not make a damaged track. Exceptions of `sink` pass through.
    """
    deadline = time.monotonic() + time_limit_s
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UndecodableError("not a regular file")  # opening a FIFO waits for ever
    with open_regular(path):
        pass  # for the system's own error about an unreadable or missing file, rather than FFmpeg's
    try:
        decoded = _decode(path, sample_rate, sink, length_s, deadline, difference)
    except UndecodableError as error:
        if not error.skipped:
            _require_readable(path, deadline)
        raise
    if decoded.damage:
        _require_readable(path, deadline)
    return decoded


def decode_audible(
    path: bytes,
    sample_rate: int,
    begin: Callable[[], Callable[[bytes], None]],
    length_s: float = 0.0,
    time_limit_s: float = float("inf"),
) -> Decoded:
    """As `decode`; if the channels cancel in the mix, it is decoded again for what does not cancel. `begin` gives the
    sink, and is called before each time. Both times together may take `time_limit_s`."""
    deadline = time.monotonic() + time_limit_s
    decoded = decode(path, sample_rate, begin(), length_s, time_limit_s)
    if not decoded.decoding.cancels:
        return decoded
    return decode(path, sample_rate, begin(), length_s, max(0.0, deadline - time.monotonic()), difference=True)


def _decode(
    path: bytes, sample_rate: int, sink: Callable[[bytes], None], length_s: float, deadline: float, difference: bool
) -> Decoded:
    import av

    try:
        container = open_container(path)
    except av.error.ArgumentError as error:  # a format that `open_container` refuses
        raise UndecodableError("not an audio file: a picture, or a list of other files") from error
    except (av.error.FFmpegError, UnicodeError) as error:
        raise UndecodableError(f"not an audio file: {_text(error)}") from error
    with container:
        if not container.streams.audio:
            raise UndecodableError("no audio stream", skipped=True)
        stream = heard_stream(container)
        if stream is None:
            raise UndecodableError("no decoder for its audio format")
        exact_s = exact_length_s(path, container, stream)
        return _Pass(container, stream, exact_s, sample_rate, sink, length_s, deadline, difference).run()


def _require_readable(path: bytes, deadline: float) -> None:
    """Raises OSError if the system cannot read the whole file, because FFmpeg reports a failing disk and a short file
    alike."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            _check_time(deadline)


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeLimitError


class _Pass:
    """One pass over the packets of a container's audio stream."""

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: Any,
        exact_s: float | None,
        sample_rate: int,
        sink: Callable[[bytes], None],
        length_s: float,
        deadline: float,
        difference: bool,
    ) -> None:
        self.container, self.stream, self.sink, self.deadline = container, stream, sink, deadline
        self.sample_rate, self.difference = sample_rate, difference
        self.exact_s = exact_s
        self.stream.codec_context.thread_count = 1  # each core already has its own worker
        self.hasher = StreamHasher(self.stream)
        self.codec = codec_name(stream)
        self.stated_s = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        self.stated_bytes = self.stated_s * (stream.codec_context.bit_rate or 0) / 8
        self.wanted = round(length_s * sample_rate) if length_s else None
        self.n_samples = 0
        self.n_errors = 0
        self.first_error = ""
        self.resampler: _Resampler | None = None
        self.balance = Balance()

    def run(self) -> Decoded:
        import av

        self._leave_out_other_streams()
        is_whole = self._packets()
        try:
            self._end_resampler()
        except av.error.FFmpegError as error:
            self._note(error)
        if not self.n_samples:
            raise UndecodableError(f"nothing could be decoded: {self.first_error or 'no audio frames'}")
        return Decoded(
            duration_s=self.n_samples / self.sample_rate,
            damage=self._damage(),
            stream=self.hasher.digest() if is_whole else None,
            decoding=self._decoding(),
        )

    def _decoding(self) -> Decoding:
        width_db = self.balance.width_db
        return Decoding(
            decoded_s=self.n_samples / self.sample_rate if self.wanted is None else None,
            n_bytes=self.hasher.n_bytes,
            cancels=self.balance.cancels,
            width_db=None if width_db is None else round(width_db, 2),
        )

    def _leave_out_other_streams(self) -> None:
        """Makes the demuxer skip pictures, so that only the sound of a film is read."""
        from av.stream import Discard

        for other in self.container.streams:
            if other.index != self.stream.index:
                other.discard = Discard.all

    def _packets(self) -> bool:
        """Demuxes and decodes everything; False if demuxing broke off on the way, because packets may be missing."""
        import av

        n_breaks = 0
        while n_breaks < MAX_DEMUX_ERRORS:
            try:
                self._packets_to_next_break()
                return n_breaks == 0
            except av.error.FFmpegError as error:
                self._note(error)
                n_breaks += 1
        return False

    def _packets_to_next_break(self) -> None:
        import av

        now, deadline, update, look = time.monotonic, self.deadline, self.hasher.update, self.balance.look
        for packet in self.container.demux(self.stream):
            if now() > deadline:
                raise TimeLimitError
            update(packet)
            if self.wanted is not None and self.n_samples >= self.wanted:
                continue  # the rest is only hashed
            try:
                for frame in packet.decode():
                    look(frame)
                    if self.resampler is None or not self.resampler.take(frame):
                        self._change_resampler(frame)
            except av.error.FFmpegError as error:
                self._note(error)

    def _change_resampler(self, frame: Any) -> None:
        """Takes the first frame, or one whose rate or channels differ from those before it."""
        self._end_resampler()
        self.resampler = _Resampler(frame, self.sample_rate, self._hand_on, self.difference)
        self.resampler.take(frame)

    def _end_resampler(self) -> None:
        if self.resampler is not None:
            resampler, self.resampler = self.resampler, None
            resampler.end()

    def _hand_on(self, piece: Any) -> None:
        n_samples = piece.samples
        if self.wanted is not None:
            n_samples = min(n_samples, self.wanted - self.n_samples)
        if self.n_samples + n_samples > LONGEST_S * self.sample_rate:
            raise UndecodableError(f"plays longer than {LONGEST_S // 86_400} days", skipped=True)
        if n_samples > 0:
            self.sink(bytes(memoryview(piece.planes[0])[: 2 * n_samples]))
            self.n_samples += n_samples

    def _note(self, error: Exception) -> None:
        self.n_errors += 1
        self.first_error = self.first_error or _text(error)

    def _damage(self) -> str | None:
        found = []
        decoded_s = self.n_samples / self.sample_rate
        stated_s = self.stated_s if self.exact_s is None else self.exact_s
        if self.wanted is None and decoded_s < self._least_s():
            found.append(f"cut short: {decoded_s:.1f} s of {stated_s:.1f} s could be decoded")
        if self.n_errors:
            packets = f"{self.n_errors} packet{'s' * (self.n_errors > 1)}"
            found.append(f"{packets} could not be decoded: {self.first_error}")
        return "; ".join(found) or None

    def _least_s(self) -> float:
        """Least seconds that a sound file yields."""
        if self.exact_s is not None:
            return self.exact_s - (LACKING_S if self.codec in EXACT_CODECS else CUT_S)
        if format_name(self.container) in RAW:
            return 0.0  # an estimate from the bit rate at the start
        if self.stated_bytes and self.hasher.n_bytes >= TRUNCATED_SHARE * self.stated_bytes:
            return 0.0  # all bytes are there, so the stated length is a wrong estimate
        return TRUNCATED_SHARE * self.stated_s


class _Resampler:
    """Resamples frames of one format to mono s16, by FFmpeg's filters."""

    def __init__(self, like: Any, sample_rate: int, hand_on: Callable[[Any], None], difference: bool) -> None:
        """For frames in the format of `like`; `hand_on` gets frames at `sample_rate`, with `difference` half the
        difference of the first two channels. Raises FFmpegError if FFmpeg cannot resample them."""
        from av.filter import Graph

        self._rate, self._format, self._layout = like.sample_rate, like.format.name, like.layout
        self._hand_on = hand_on
        graph = self._graph = Graph()
        source = graph.add(
            "abuffer",
            sample_rate=str(self._rate),
            sample_fmt=self._format,
            channel_layout=self._layout.name,
            time_base=f"1/{self._rate}",
        )
        filters = [graph.add("pan", HALF_DIFFERENCE)] if difference and self._layout.nb_channels > 1 else []
        filters += [
            graph.add("aresample", **RESAMPLER),
            graph.add("aformat", sample_fmts="s16", sample_rates=str(sample_rate), channel_layouts="mono"),
        ]
        sink = graph.add("abuffersink")
        graph.link_nodes(source, *filters, sink).configure()
        graph.set_audio_frame_size(PIECE_SAMPLES)  # otherwise one piece per frame
        self._push: Callable[[Any], None] = source.push
        self._pull: Callable[[], Any] = sink.pull
        self._n_waiting = 0
        """Samples of the source that were pushed and not yet pulled."""

    def take(self, frame: Any) -> bool:
        """Takes a frame, and resamples when enough have come together. False for a frame in another format than this
        was made for, which FFmpeg accepts and resamples wrongly."""
        fits = frame.sample_rate == self._rate and frame.layout == self._layout
        if not fits or frame.format.name != self._format:
            return False
        frame.pts = None  # in damaged files it can be anything, and gaps must not be filled
        self._push(frame)
        self._n_waiting += frame.samples
        if self._n_waiting >= FED_SAMPLES:
            self._resample()
        return True

    def end(self) -> None:
        """Resamples the rest."""
        self._push(None)
        self._resample()

    def _resample(self) -> None:
        """Passes on what was pushed, except what the filter holds back."""
        import av

        self._n_waiting = 0
        pieces = []
        try:
            while True:
                pieces.append(self._pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            pass
        for piece in pieces:
            self._hand_on(piece)


def _text(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
