"""ReplayGain 2.0: the integrated loudness of EBU R128 against -18 LUFS, and the true peak. Opus has its own form of it,
against -23 LUFS (RFC 7845)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dedup.files.container import heard_stream, open_container
from dedup.files.held import open_regular
from dedup.files.paths import printable
from dedup.library.loudness import SILENCE_LUFS, Loudness, Meter
from dedup.tags.write import TagsError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

REFERENCE_LUFS = -18.0
OPUS_REFERENCE_LUFS = -23.0


def loudness(path: bytes) -> Loudness:
    """Loudness of a track, without the parts that cannot be decoded. Raises TagsError if there is no other, OSError."""
    return album_loudness((path,))


def album_loudness(paths: Sequence[bytes]) -> Loudness:
    """Loudness of tracks played one after another, at the rate and with the channels of the first. Raises as `loudness`
    does."""
    meter = Meter()
    for path in paths:
        before = meter.n_frames
        for frame in _frames(path):
            meter.feed(frame)
        if meter.n_frames == before:
            raise TagsError(printable(path), "no audio in it can be decoded")
    return meter.finish()


def replaygain_fields(
    track: Loudness, album: Loudness | None = None, is_opus: bool = False
) -> dict[str, tuple[str, ...]]:
    """Tag fields by their common names; none for silence, which no gain makes louder."""
    fields: dict[str, tuple[str, ...]] = {}
    for name, measured in (("track", track), ("album", album)):
        if measured is None or measured.integrated_lufs <= SILENCE_LUFS:
            continue
        if is_opus:
            steps = round(256 * (OPUS_REFERENCE_LUFS - measured.integrated_lufs))  # Q7.8
            fields[f"r128_{name}_gain"] = (str(max(-32768, min(32767, steps))),)
        else:
            fields[f"replaygain_{name}_gain"] = (f"{REFERENCE_LUFS - measured.integrated_lufs:.2f} dB",)
            fields[f"replaygain_{name}_peak"] = (f"{measured.peak:.6f}",)
            fields["replaygain_reference_loudness"] = (f"{REFERENCE_LUFS:.2f} LUFS",)
    return fields


def _frames(path: bytes) -> Iterator[AudioFrame]:
    import av

    with open_regular(path):
        pass  # the system's own error for a file that cannot be opened
    try:
        with open_container(path) as container:
            stream = heard_stream(container)
            if stream is None:
                return
            for packet in container.demux(stream):
                yield from _decoded(packet)
    except (av.error.FFmpegError, UnicodeError) as error:
        raise TagsError(printable(path), f"its loudness cannot be measured: {error}") from error


def _decoded(packet: Any) -> list[AudioFrame]:
    import av

    try:
        return list(packet.decode())
    except av.error.InvalidDataError:
        return []
