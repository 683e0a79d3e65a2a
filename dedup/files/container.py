"""Containers opened by PyAV, and the names of codecs."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.container import InputContainer

_FORMATS_OF_LISTS = frozenset({"concat", "dash", "hls", "image2", "imf", "rtsp", "sap", "sdp", "vobsub"})
"""Of FFmpeg's, those of files that only name what is to be played."""


def open_container(path: bytes) -> InputContainer:
    """The file as PyAV reads it, any bytes in its name and tags allowed. It may refer to no other file and no
    network address (a playlist named like music could). Raises av.error.FFmpegError."""
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": _formats()}
    return av.open(os.fsdecode(path), metadata_errors="replace", options=options)


@functools.cache
def _formats() -> str:
    """What FFmpeg may take a file for."""
    from av.format import formats_available

    return ",".join(sorted(formats_available - _FORMATS_OF_LISTS))


def codec_name(stream: Any) -> str:
    """FFmpeg's name of the format, such as "mp3", not of a decoder for it, such as "mp3float"."""
    return str(stream.codec_context.codec.canonical_name)
