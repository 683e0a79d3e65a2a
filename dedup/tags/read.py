"""The tags of a file by one set of names, whatever its format. `names` has the names, `values` their common form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from dedup.files.container import open_container
from dedup.tags.block import Block, free_entry
from dedup.tags.cover import Cover
from dedup.tags.kinds import ID3_KINDS, parse
from dedup.tags.values import normalised
from dedup.tags.wave_info import read_info

__all__ = ["Cover", "Tags", "fields_of_container", "open_blocks", "read_tags", "tags_of"]

_VORBIS_KINDS = ("FLAC", "OggVorbis", "OggOpus", "OggFLAC", "OggSpeex", "OggTheora")
_APE_KINDS = ("APEv2File", "WavPack", "Musepack", "MonkeysAudio", "OptimFROG", "TAK")
_WITH_APE_BEHIND = ("MP3", "TrueAudio", "AAC")


@dataclass(frozen=True)
class Tags:
    """What the tags of one file say."""

    fields: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Values by common name; every field has at least one. Fields that are not text, or whose name not every format
    can hold, are left out."""
    covers: tuple[Cover, ...] = ()
    """The front cover first."""


def read_tags(path: bytes) -> Tags:
    """The tags of a file; none if it has none that can be read. FFmpeg reads what mutagen cannot. Raises OSError for a
    file that cannot be opened, nothing else."""
    with open(path, "rb") as file:
        try:
            found = tags_of(parse(path, file), file)
        except Exception:  # a damaged file makes the parsers raise anything
            found = None
    return found or Tags(_fields_by_ffmpeg(path))


def tags_of(parsed: Any, file: BinaryIO) -> Tags | None:
    """The tags of a file that `kinds.parse` parsed; None for a format whose tags mutagen does not know. Where several
    tag blocks have a field, as in some MP3 files, the first block wins. Raises anything for a damaged file."""
    blocks = _blocks_of(parsed, file)
    if not blocks:
        return None
    fields = normalised(read_info(file))
    for block in reversed(blocks):
        fields |= block.fields()
    covers = next((covers for block in blocks if (covers := block.covers())), [])
    return Tags(fields, tuple(covers))


def fields_of_container(container: Any) -> dict[str, tuple[str, ...]]:
    """The fields that FFmpeg reads from an open container, or from its audio stream if the container has none, as in
    Ogg."""
    stream = container.streams.best("audio")
    metadata = container.metadata or (stream.metadata if stream is not None else {})
    entries = (free_entry(key, (value,)) for key, value in metadata.items())
    return normalised({entry.name: entry.values for entry in entries if entry})


def open_blocks(path: bytes) -> list[Block]:
    """The tag blocks of a file, the one to write first in front; empty if its format has none that can be written.
    Raises anything for a damaged file, as mutagen does."""
    with open(path, "rb") as file:
        return _blocks_of(parse(path, file), file)


def _blocks_of(parsed: Any, file: BinaryIO) -> list[Block]:
    name = type(parsed).__name__
    if name in ID3_KINDS or name == "AAC":
        return list(_id3_blocks(parsed, file))
    if name in _VORBIS_KINDS:
        from dedup.tags.vorbis import VorbisBlock

        return [VorbisBlock(parsed)]
    if name in _APE_KINDS:
        from dedup.tags.ape import ApeBlock

        if parsed.tags is None:
            parsed.add_tags()
        return [ApeBlock(parsed.tags)]
    if name == "MP4":
        from dedup.tags.mp4 import Mp4Block

        return [Mp4Block(parsed)]
    if name == "ASF":
        from dedup.tags.asf import AsfBlock

        return [AsfBlock(parsed)]
    return []


def _id3_blocks(parsed: Any, file: BinaryIO) -> Iterator[Block]:
    """A file with only APEv2 gets ID3 too when it is written; AAC does not, as it should have neither."""
    from mutagen.id3 import ID3, ID3NoHeaderError

    from dedup.tags.ape import ApeBlock
    from dedup.tags.id3 import Id3Block

    name = type(parsed).__name__
    ape = _ape_tags(file) if name in _WITH_APE_BEHIND else None
    if name == "AAC":
        file.seek(0)
        try:
            tags = ID3(file, translate=False)
        except ID3NoHeaderError:
            tags = None if ape is not None else ID3()
    else:
        if parsed.tags is None:
            parsed.add_tags()
        tags = parsed.tags
    if tags is not None:
        yield Id3Block(tags)
    if ape is not None:
        yield ApeBlock(ape)


def _ape_tags(file: BinaryIO) -> Any:
    from mutagen.apev2 import APENoHeaderError, APEv2

    try:
        return APEv2(file)
    except APENoHeaderError:
        return None


def _fields_by_ffmpeg(path: bytes) -> dict[str, tuple[str, ...]]:
    """Of Matroska and whatever else mutagen does not know: read, never written."""
    try:
        with open_container(path) as container:
            return fields_of_container(container)
    except Exception:  # a damaged file makes PyAV raise more than its own errors
        return {}
