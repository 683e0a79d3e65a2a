"""Containers opened by PyAV, and the names of codecs."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING, Any

from dedup.files.bounded import bounded_memory
from dedup.files.held import open_regular

if TYPE_CHECKING:
    from av.container import InputContainer

_FORMATS_OF_LISTS = frozenset({"concat", "dash", "hls", "image2", "imf", "rtsp", "sap", "sdp", "vobsub"})
"""FFmpeg's names of formats that only list what to play."""


def open_container(path: bytes) -> InputContainer:
    """The file as PyAV reads it, any bytes in its name and tags allowed. It may not refer to another file or
    a network address, as a playlist with a music extension could, and its headers may take no more memory than
    `bounded` allows. Raises av.error.FFmpegError; OSError at once for a pipe and the like, which FFmpeg would wait
    for."""
    import av

    with contextlib.suppress(FileNotFoundError), open_regular(path):
        pass

    options = {"protocol_whitelist": "file", "format_whitelist": _formats()}
    with bounded_memory():
        return av.open(os.fsdecode(path), metadata_errors="replace", options=options)


@functools.cache
def _formats() -> str:
    """Formats that FFmpeg may recognise in a file, separated by commas."""
    from av.format import formats_available

    return ",".join(sorted(formats_available - _FORMATS_OF_LISTS))


def codec_name(stream: Any) -> str:
    """FFmpeg's name of the format, such as "mp3", rather than of a decoder for it, such as "mp3float"."""
    return str(stream.codec_context.codec.canonical_name)


def heard_stream(container: Any) -> Any:
    """The sound track that is fingerprinted: of those that can be decoded, a default one if there is any, then the one
    with the most channels, the highest bit rate, and the first. None if there is none."""
    from av.stream import Disposition

    def rank(stream: Any) -> tuple[bool, int, int, int]:
        context = stream.codec_context
        is_default = bool(stream.disposition & Disposition.default)
        return (not is_default, -context.channels, -(context.bit_rate or 0), stream.index)

    tracks = [stream for stream in container.streams.audio if stream.codec_context is not None]
    return min(tracks, key=rank, default=None)


def leave_out_other_streams(container: InputContainer, stream: Any) -> None:
    """Makes the demuxer skip pictures, so that only the sound of a film is read."""
    from av.stream import Discard

    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all


def is_attached(stream: Any) -> bool:
    """Whether the container marks a video stream as a still picture."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)
