"""From a file to mono s16 PCM, by PyAV. Keeps what can be decoded and reports the rest."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dedup.files.container import codec_name, heard_stream, leave_out_other_streams, open_container
from dedup.files.held import open_regular
from dedup.fingerprint.channels import Balance
from dedup.fingerprint.lengths import RAW, exact_length_s, format_name
from dedup.fingerprint.loop_state import Status
from dedup.fingerprint.packets import Packets
from dedup.fingerprint.resampler import Decimator, FilterGraph, Resampler, resampler_for
from dedup.library.identity import StreamHasher
from dedup.settings import LONGEST_S
from dedup.store.decoding import UNKNOWN, Decoding

if TYPE_CHECKING:
    import av

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
        self.resampler: Resampler | None = None
        self.balance = Balance()

    def run(self) -> Decoded:
        import av

        leave_out_other_streams(self.container, self.stream)
        is_whole = False
        try:
            packets = Packets(self.container, self.stream, self.hasher)
            is_whole = self._advance_to_end(packets)
            self._pass_on(packets)
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

    def _advance_to_end(self, packets: Packets) -> bool:
        """Demuxes and decodes everything; False if demuxing broke off on the way, because packets may be missing."""
        import av

        n_breaks = 0
        while n_breaks < MAX_DEMUX_ERRORS:
            status = packets.advance()
            _check_time(self.deadline)
            if status == Status.ENDED:
                break
            try:
                if status in (Status.FRAME, Status.OTHER_FRAME):
                    self._take(packets, is_other=status == Status.OTHER_FRAME)
                elif status != Status.FULL:
                    n_breaks += status == Status.UNREADABLE
                    packets.fail()
            except av.error.FFmpegError as error:
                self._note(error)
        packets.hash_stored()
        return not n_breaks

    def _take(self, packets: Packets, is_other: bool) -> None:
        """Resamples what was mixed, and has the next frame taken. One whose rate or channels differ from those before
        it begins anew."""
        self._pass_on(packets)
        if self.wanted is not None and self.n_samples >= self.wanted:
            packets.only_hash()
            return
        frame = packets.frame()
        if packets.is_to_be_looked_at():
            self.balance.look(frame)
        if is_other and (self.resampler is None or not self.resampler.fits(frame)):
            packets.mix_none()
            self._end_resampler()
            self.resampler = resampler_for(frame, self.sample_rate, self._hand_on, self.difference)
        if isinstance(self.resampler, FilterGraph):
            self.resampler.push(frame)
        elif isinstance(self.resampler, Decimator):
            packets.mix(self.resampler.mixing, *self.resampler.room_for(frame.samples))

    def _pass_on(self, packets: Packets) -> None:
        """Resamples what was mixed."""
        if isinstance(self.resampler, Decimator):
            self.resampler.mixed(packets.mixed())

    def _end_resampler(self) -> None:
        if self.resampler is not None:
            resampler, self.resampler = self.resampler, None
            resampler.end()

    def _hand_on(self, pcm: bytes) -> None:
        n_samples = len(pcm) // 2
        if self.wanted is not None:
            n_samples = min(n_samples, self.wanted - self.n_samples)
        if self.n_samples + n_samples > LONGEST_S * self.sample_rate:
            raise UndecodableError(f"plays longer than {LONGEST_S // 86_400} days", skipped=True)
        if n_samples > 0:
            self.sink(pcm[: 2 * n_samples])
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


def _text(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
