"""APEv2: Monkey's Audio, WavPack, Musepack, OptimFROG, TAK, and some MP3 and AAC files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from dedup.tags.block import Block, Entry, free_entry
from dedup.tags.cover import OTHER, Cover, Picture, cover_of
from dedup.tags.extras import Held, Raw, data_held
from dedup.tags.names import free_name, names_of, spelling_of

_TEXT, _BINARY = 0, 1
_COVER = "cover art ("
_FRONT = "Cover Art (Front)"
_TYPES = (
    "other",
    "png icon",
    "icon",
    "front",
    "back",
    "leaflet",
    "media",
    "lead artist",
    "artist",
    "conductor",
    "band",
    "composer",
    "lyricist",
    "recording location",
    "during recording",
    "during performance",
    "video capture",
    "fish",
    "illustration",
    "band logotype",
    "publisher logotype",
)
"""What the picture types are called."""

_ID3V1_SIZE = 128


class ApeBlock(Block):
    """The items of one APEv2 tag; `tags` is mutagen's."""

    family = "ape"

    def __init__(self, tags: Any) -> None:
        self._tags = tags
        self._own = {spelling.lower(): name for spelling, name in names_of(self.family).items()}

    def entries(self) -> Iterator[Entry]:
        for key, value in self._tags.items():
            entry = self._entry(key, tuple(value)) if value.kind == _TEXT else None
            if entry:
                yield entry

    def _entry(self, key: str, values: tuple[str, ...]) -> Entry | None:
        own = self._own.get(key.lower())
        return Entry(own, 0, values) if own else free_entry(key, values)

    def other_texts(self) -> Iterator[tuple[str, Iterable[str]]]:
        for key, value in self._tags.items():
            if value.kind == _TEXT and self._entry(key, ()) is None:
                yield key, tuple(value)

    def extras(self, fields: Mapping[str, tuple[str, ...]]) -> list[Held]:
        """Those in text, and items that are neither text nor pictures."""
        data = [(key, value) for key, value in self._tags.items() if value.kind != _TEXT]
        others = [(key, value) for key, value in data if not key.lower().startswith(_COVER)]
        held = (data_held(f"APE item {key}", "ape", key, value, repr(value)) for key, value in others)
        return [*super().extras(fields), *held]

    def put_extra(self, held: Held) -> None:
        if held.extra.form == "ape" and isinstance(held.content, Raw):
            self._tags[held.content.key] = held.content.data
        else:
            super().put_extra(held)

    def remove(self, name: str) -> None:
        for key in list(self._tags):
            entry = self._entry(key, ())
            if self._tags[key].kind == _TEXT and entry and entry.name == name:
                del self._tags[key]

    def put_pair(self, number: str, numbers: tuple[str, ...], totals: tuple[str, ...]) -> None:
        if len(numbers) == 1 and len(totals) <= 1:
            self.put_native(number, ("/".join(numbers + totals),))
        else:
            super().put_pair(number, numbers, totals)

    def set_own(self, spelling: str, values: tuple[str, ...]) -> None:
        self._tags[spelling] = list(values)

    def put_free(self, name: str, values: tuple[str, ...]) -> None:
        if values:
            spelling = spelling_of(name, self.family)
            self._tags[spelling.text if spelling.free else free_name(name)] = list(values)

    def pictures(self) -> list[Picture]:
        found = []
        for key, value in self._tags.items():
            name = key.lower().removeprefix(_COVER).removesuffix(")")
            data = value.value.partition(b"\0")[2] if name != key.lower() and value.kind == _BINARY else b""
            if data:
                found.append(Picture(_TYPES.index(name) if name in _TYPES else OTHER, cover_of(data)))
        return found

    def put_cover(self, cover: Cover) -> None:
        from mutagen.apev2 import APEValue

        extension = cover.mime.rpartition("/")[2].replace("jpeg", "jpg") or "jpg"
        self._tags[_FRONT] = APEValue(f"{_FRONT}.{extension}".encode() + b"\0" + cover.data, _BINARY)

    def save(self, file: BinaryIO) -> None:
        """An ID3v1 tag after it stays there; mutagen would cut it off."""
        id3v1 = id3v1_of(file)
        file.truncate(file.seek(0, os.SEEK_END) - len(id3v1))
        file.seek(0)
        self._tags.save(file)
        file.seek(0, os.SEEK_END)
        file.write(id3v1)


def id3v1_of(file: BinaryIO) -> bytes:
    """The ID3v1 tag at the very end of a file, 128 bytes, or nothing. An APEv2 header has the same three letters and
    may be in the same place, but its tag ends in a footer."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _ID3V1_SIZE))
    tail = file.read()
    is_id3v1 = len(tail) == _ID3V1_SIZE and tail.startswith(b"TAG") and tail[-32:-24] != b"APETAGEX"
    return tail if is_id3v1 else b""
