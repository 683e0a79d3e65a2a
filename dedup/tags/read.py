"""The tags of a file by one set of names, whatever its format. `names` has the names, `values` their common form."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from dedup.files.bounded import Bounded, bounded_memory, is_too_much
from dedup.files.container import heard_stream, is_attached, open_container
from dedup.files.held import open_regular
from dedup.tags.block import Block, free_entry
from dedup.tags.cover import FRONT, OTHER, Cover, Picture, cover_of, is_usable
from dedup.tags.extras import UNREAD, Chapter, Held, chapters_held, picture_digest, picture_held, unread_held
from dedup.tags.free_extras import extras_of, texts_held
from dedup.tags.kinds import ID3_KINDS, parse
from dedup.tags.opened import TagFile
from dedup.tags.values import normalised
from dedup.tags.wave_info import read_cues, read_info

__all__ = [
    "Cover",
    "Tags",
    "blocks_in",
    "may_have_more",
    "open_blocks",
    "read_tags",
    "tags_of",
    "tags_of_container",
    "with_chapters",
]

_VORBIS_KINDS = ("FLAC", "OggVorbis", "OggOpus", "OggFLAC", "OggSpeex", "OggTheora")
_APE_KINDS = ("APEv2File", "WavPack", "Musepack", "MonkeysAudio", "OptimFROG", "TAK")
_BEGINS_STREAM = 0x02
"""Flag of an Ogg page."""

_COVER_NAME = re.compile(r"(small_)?cover(_land)?\.", re.IGNORECASE)
"""What Matroska calls attached covers."""

_WITH_APE_BEHIND = ("MP3", "TrueAudio", "AAC")


@dataclass(frozen=True)
class Tags:
    """What the tags of one file say."""

    fields: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Values by common name; every field has at least one. Fields that are not text, or whose name not every format
    can hold, are left out."""
    covers: tuple[Cover, ...] = ()
    """Front covers."""
    extras: tuple[Held, ...] = ()
    """What hangs off the file besides, each thing once."""

    @property
    def digests(self) -> set[str]:
        """Digests of all that hangs off the file, front covers included."""
        return {held.extra.digest for held in self.extras} | {picture_digest(cover.data) for cover in self.covers}


def read_tags(path: bytes) -> Tags:
    """The tags of a file; none if it has none that can be read. FFmpeg reads what mutagen cannot. Raises OSError for a
    file that cannot be opened, nothing else."""
    with open_regular(path) as opened, bounded_memory():
        file, is_too_large = TagFile(opened), False
        try:
            parsed = parse(path, file)
            found = tags_of(parsed, file)
            is_whole = not may_have_more(parsed, file)
        except Exception as error:  # a damaged file makes the parsers raise anything
            found, is_whole, is_too_large = None, False, is_too_much(error)
        unread = [unread_held(opened)] if is_too_large or file.is_exceeded else []
    if found is not None and is_whole:
        return replace(found, extras=(*found.extras, *unread))
    by_ffmpeg = _by_ffmpeg(path)
    whole = by_ffmpeg if found is None else with_chapters(found, by_ffmpeg.extras)
    others = tuple(held for held in whole.extras if not unread or held.extra.what != UNREAD)
    return replace(whole, extras=(*others, *unread))


def tags_of(parsed: Any, file: Bounded) -> Tags | None:
    """The tags of a file that `kinds.parse` parsed; None for a format whose tags mutagen does not know. Where several
    tag blocks have a field, as in some MP3 files, the first block wins. Raises anything for a damaged file."""
    blocks = _blocks_of(parsed, file)
    if not blocks:
        return None
    fields = normalised(read_info(file))
    extras = {held.extra.digest: held for held in read_cues(file)}
    for block in reversed(blocks):
        own = block.fields()
        fields |= own
        extras |= {held.extra.digest: held for held in block.extras(own)}
    covers = next((covers for block in blocks if (covers := block.covers())), [])
    return Tags(fields, tuple(covers), tuple(extras.values()))


def may_have_more(parsed: Any, file: Bounded) -> bool:
    """Whether a file that mutagen parsed may have several streams, or chapters that only FFmpeg reads. Cheap: for MP4
    and Ogg it looks at what begins the streams."""
    name = type(parsed).__name__
    if name == "MP4":
        return _n_tracks_of_mp4(file) > 1
    if name.startswith("Ogg"):
        return _is_multiplexed(file)
    return name == "ASF"


def with_chapters(tags: Tags, extras: Iterable[Held]) -> Tags:
    """The tags with chapters that FFmpeg read, in place of those that mutagen read: MP4 may have them twice."""
    chapters = [held for held in extras if held.extra.form == "chapters"]
    if not chapters:
        return tags
    others = [held for held in tags.extras if held.extra.form != "chapters"]
    return replace(tags, extras=(*others, *chapters))


def tags_of_container(container: Any) -> Tags:
    """The tags that FFmpeg reads from an open container: text, chapters and, of Matroska, pictures."""
    fields, pictures = _fields_of_container(container), _pictures_of_container(container)
    covers = tuple(each.cover for each in pictures if each.kind == FRONT)
    others = [picture_held(each) for each in pictures if each.kind != FRONT or not is_usable(each.cover)]
    unnamed = ((key, (value,)) for key, value in container.metadata.items() if free_entry(key, ()) is None)
    held = (*others, *_chapters_of_container(container), *extras_of(fields, None), *texts_held(unnamed))
    return Tags(fields, covers, tuple({each.extra.digest: each for each in held}.values()))


def _pictures_of_container(container: Any) -> list[Picture]:
    """The attached pictures of a Matroska file. One that is called "cover" is its front cover; of others their names
    say what they are."""
    streams = [stream for stream in container.streams.video if is_attached(stream)]
    if "matroska" not in container.format.name or not streams:
        return []
    found: dict[int, Picture] = {}
    for packet in container.demux(streams):  # attached pictures come before all else
        name = packet.stream.metadata.get("filename", "")
        kind, description = (FRONT, "") if _COVER_NAME.match(name) else (OTHER, name)
        if packet.size:
            found.setdefault(packet.stream.index, Picture(kind, cover_of(bytes(packet)), description))
        if len(found) == len(streams):
            break
    return [found[index] for index in sorted(found)]


def _chapters_of_container(container: Any) -> list[Held]:
    """The chapters that FFmpeg reads from an open container. One alone, from the beginning, is none."""
    found = []
    for chapter in container.chapters():
        start, end = (float(chapter[edge] * chapter["time_base"]) for edge in ("start", "end"))
        found.append(Chapter(start, end, chapter["metadata"].get("title", "")))
    return [chapters_held(found)] if len(found) > 1 or (found and found[0].start_s > 0) else []


def _fields_of_container(container: Any) -> dict[str, tuple[str, ...]]:
    """The fields that FFmpeg reads from an open container, or from its audio stream if the container has none, as in
    Ogg."""
    stream = heard_stream(container)
    metadata = container.metadata or (stream.metadata if stream is not None else {})
    entries = (free_entry(key, (value,)) for key, value in metadata.items())
    return normalised({entry.name: entry.values for entry in entries if entry})


def open_blocks(path: bytes) -> list[Block]:
    """The tag blocks of a file, the one to write first in front; empty if its format has none that can be written.
    Raises anything for a damaged file, as mutagen does."""
    with open_regular(path) as file:
        return blocks_in(path, file)


def blocks_in(path: bytes, opened: BinaryIO) -> list[Block]:
    """`open_blocks` of a file that is open."""
    with bounded_memory():
        file = TagFile(opened)
        return _blocks_of(parse(path, file), file)


def _blocks_of(parsed: Any, file: Bounded) -> list[Block]:
    name = type(parsed).__name__
    if name in ID3_KINDS or name == "AAC":
        return list(_id3_blocks(parsed, file))
    if name in _VORBIS_KINDS:
        from dedup.tags.vorbis import VorbisBlock

        return [VorbisBlock(parsed), *(_id3_before_flac(file) if name == "FLAC" else ())]
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


def _id3_blocks(parsed: Any, file: Bounded) -> Iterator[Block]:
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


def _id3_before_flac(file: Bounded) -> Iterator[Block]:
    """An ID3 tag in front of a FLAC file, or at its end: the format does not know of it, so it is only read."""
    from mutagen.id3 import ID3, ID3NoHeaderError

    from dedup.tags.id3 import Id3Block

    file.seek(0)
    with contextlib.suppress(ID3NoHeaderError):
        yield Id3Block(ID3(file, translate=False), is_written=False)


def _ape_tags(file: Bounded) -> Any:
    from mutagen.apev2 import APENoHeaderError, APEv2

    try:
        return APEv2(file)
    except APENoHeaderError:
        return None


def _n_tracks_of_mp4(file: Bounded) -> int:
    from mutagen.mp4 import Atoms

    file.seek(0)
    return len(list(Atoms(file)[b"moov"].findall(b"trak")))


def _is_multiplexed(file: Bounded) -> bool:
    """Whether a second stream begins right after the first page of an Ogg file, as the format prescribes."""
    file.seek(0)
    head = file.read(27)
    if len(head) < 27:
        return False
    file.seek(sum(file.read(head[26])), os.SEEK_CUR)
    following = file.read(6)
    return following[:4] == b"OggS" and bool(following[5] & _BEGINS_STREAM)


def _by_ffmpeg(path: bytes) -> Tags:
    """Of Matroska and whatever else mutagen does not know: read, never written."""
    try:
        with bounded_memory(), open_container(path) as container:  # one allowance for both
            return tags_of_container(container)
    except Exception as error:  # a damaged file makes PyAV raise more than its own errors
        if not is_too_much(error):
            return Tags()
    with open(path, "rb") as file:
        return Tags(extras=(unread_held(file),))
