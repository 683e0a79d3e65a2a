"""The tags of a file by one set of names, whatever its format. `names` has the names, `values` their common form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dedup.files.container import open_container
from dedup.files.paths import extension_of
from dedup.tags.block import Block, Entry, free_entry
from dedup.tags.cover import Cover
from dedup.tags.values import normalised
from dedup.tags.wave_info import read_info

__all__ = ["Cover", "Tags", "open_blocks", "read_tags"]

_ID3_KINDS = ("MP3", "TrueAudio", "AIFF", "WAVE", "DSF", "DSDIFF", "ID3FileType")
_VORBIS_KINDS = ("FLAC", "OggVorbis", "OggOpus", "OggFLAC", "OggSpeex", "OggTheora")
_APE_KINDS = ("APEv2File", "WavPack", "Musepack", "MonkeysAudio", "OptimFROG", "TAK")
_WITH_APE_BEHIND = ("MP3", "TrueAudio", "AAC")


@dataclass(frozen=True)
class Tags:
    """What the tags of one file say."""

    fields: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Values by common name; no field is without one. What is no text, or has a name that not every format could
    have, is not in it."""
    covers: tuple[Cover, ...] = ()
    """The front cover first."""


def read_tags(path: bytes) -> Tags:
    """The tags, and none of a file without any that can be read. Of several tag blocks, as an MP3 may have, the first
    to have a field is believed. Raises OSError for a file that cannot be opened."""
    with open(path, "rb"):
        blocks = _contained_blocks(path)
    if not blocks:
        return Tags(_fields_by_ffmpeg(path))
    fields = normalised(read_info(path))
    for block in reversed(blocks):
        fields |= block.fields()
    covers = next((covers for block in blocks if (covers := block.covers())), [])
    return Tags(fields, tuple(covers))


def open_blocks(path: bytes) -> list[Block]:
    """The tag blocks of a file, that which is to be written first; empty where its format has none that can be
    written. Raises what mutagen raises, and that is anything, for a damaged file."""
    kind = _kind_of(path)
    name = kind.__name__ if kind else ""
    if name in _ID3_KINDS or name == "AAC":
        return list(_id3_blocks(path, kind, name))
    if name in _VORBIS_KINDS:
        from dedup.tags.vorbis import VorbisBlock

        return [VorbisBlock(kind(path))]
    if name in _APE_KINDS:
        from dedup.tags.ape import ApeBlock

        return [ApeBlock(_ape_tags(path, is_needed=True))]
    if name == "MP4":
        from dedup.tags.mp4 import Mp4Block

        return [Mp4Block(kind(path))]
    if name == "ASF":
        from dedup.tags.asf import AsfBlock

        return [AsfBlock(kind(path))]
    return []


def _contained_blocks(path: bytes) -> list[Block]:
    """The parsers meet whatever a damaged file holds, and let out more than their own errors."""
    try:
        return open_blocks(path)
    except Exception:
        return []


def _kind_of(path: bytes) -> Any:
    """mutagen's class for the format. It goes by name and content together, and takes anything that begins with an ID3
    tag for MP3; where the name led it astray, by content alone."""
    import mutagen
    from mutagen.aac import AAC

    try:
        parsed = AAC(path) if extension_of(path) == "aac" else mutagen.File(path)
    except Exception:  # as the parsers are: see `_contained_blocks`
        with open(os.open(path, os.O_RDONLY), "rb") as nameless:
            parsed = mutagen.File(nameless)
    return None if parsed is None else type(parsed)


def _id3_blocks(path: bytes, kind: Any, name: str) -> Iterator[Block]:
    """ID3 is written where there is only APEv2 too, but in AAC, which has neither by rights."""
    from mutagen.id3 import ID3, ID3NoHeaderError

    from dedup.tags.ape import ApeBlock, id3v1_of
    from dedup.tags.id3 import Id3Block

    ape = _ape_tags(path, is_needed=False) if name in _WITH_APE_BEHIND else None
    if name == "AAC":
        try:
            tags = ID3(path, translate=False)
        except ID3NoHeaderError:
            tags = None if ape is not None else ID3()
    else:
        file = kind(path, translate=False)
        if file.tags is None:
            file.add_tags()
        tags = file.tags
    if tags is not None:
        yield Id3Block(tags, has_id3v1=bool(id3v1_of(path)))
    if ape is not None:
        yield ApeBlock(ape)


def _ape_tags(path: bytes, is_needed: bool) -> Any:
    from mutagen.apev2 import APENoHeaderError, APEv2

    try:
        return APEv2(path)
    except APENoHeaderError:
        return APEv2() if is_needed else None


def _fields_by_ffmpeg(path: bytes) -> dict[str, tuple[str, ...]]:
    """Of Matroska and whatever else mutagen does not know: read, never written."""
    import av

    try:
        with open_container(path) as container:
            metadata = dict(container.metadata)
    except (av.error.FFmpegError, UnicodeError):
        return {}
    entries = (free_entry(key, (value,)) for key, value in metadata.items())
    return normalised({entry.name: entry.values for entry in entries if isinstance(entry, Entry)})
