"""The streams of a file: its sound tracks, moving and still pictures, subtitles, attached files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dedup.files.container import codec_name, is_attached

StreamKind = Literal["sound", "picture", "cover", "subtitles", "attachment", "data"]

_KINDS: dict[str, StreamKind] = {
    "audio": "sound",
    "video": "picture",
    "subtitle": "subtitles",
    "attachment": "attachment",
}
_STILL_CODECS = frozenset({"bmp", "gif", "jpegls", "jpeg2000", "mjpeg", "png", "ppm", "tiff", "webp"})
"""Codecs of covers that their container does not mark as such; they may also hold a film."""

_CHAPTER_TEXT = "bin_data"
"""Codec, for FFmpeg, of the track that holds the titles of chapters in MP4; the chapters themselves are extras."""


@dataclass(frozen=True)
class Stream:
    """One stream of a file."""

    kind: StreamKind
    """"picture" is a moving one, "cover" a still one."""
    codec: str = "unknown"
    language: str = ""
    """As the file says it, such as "deu"; empty if it does not."""
    title: str = ""
    is_default: bool = False
    is_heard: bool = False
    """Whether it is the sound track that is fingerprinted."""
    channels: int = 0
    width: int = 0
    """Pixels; 0 for sound."""
    height: int = 0


def streams_of(container: Any, heard: Any) -> tuple[Stream, ...]:
    """The streams of an open container, of which `heard` is fingerprinted, in their order; none if there is a single
    sound track and nothing else. It may read packets to tell a cover from a film."""
    has_chapters = bool(container.chapters())
    found = [_stream(container, stream, heard) for stream in container.streams if not _is_text(stream, has_chapters)]
    return tuple(found) if [stream.kind for stream in found] != ["sound"] else ()


def _stream(container: Any, stream: Any, heard: Any) -> Stream:
    from av.stream import Disposition

    context = stream.codec_context if stream.type in ("audio", "video", "subtitle") else None
    metadata = stream.metadata
    language = metadata.get("language", "")
    return Stream(
        kind="cover" if _is_still(container, stream) else _KINDS.get(stream.type, "data"),
        codec=codec_name(stream) if context is not None and context.codec is not None else "unknown",
        language="" if language == "und" else language,
        title=metadata.get("title", "") or metadata.get("filename", ""),
        is_default=bool(stream.disposition & Disposition.default),
        is_heard=heard is not None and stream.index == heard.index,
        channels=context.channels if stream.type == "audio" and context is not None else 0,
        width=context.width if stream.type == "video" and context is not None else 0,
        height=context.height if stream.type == "video" and context is not None else 0,
    )


def _is_still(container: Any, stream: Any) -> bool:
    if stream.type != "video":
        return False
    if is_attached(stream):
        return True
    return codec_name(stream) in _STILL_CODECS and (stream.frames or _n_pictures(container, stream)) == 1


def _n_pictures(container: Any, stream: Any) -> int:
    """Number of pictures in a stream, as far as 2."""
    found = 0
    for packet in container.demux(stream):
        found += packet.size > 0
        if found > 1:
            break
    return found


def _is_text(stream: Any, has_chapters: bool) -> bool:
    """Whether it only holds the titles of chapters."""
    return has_chapters and stream.type == "data" and stream.name == _CHAPTER_TEXT
