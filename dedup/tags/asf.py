"""Attributes of ASF: WMA and WMV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from dedup.tags.block import Block, Entry, free_entry
from dedup.tags.cover import FRONT, Cover, Picture, cover_of
from dedup.tags.names import free_name, names_of, spelling_of
from dedup.tags.values import asf_of_rating, rating_of_asf

_PICTURE = "WM/Picture"
_RATING = "WM/SharedUserRating"


class AsfBlock(Block):
    """The attributes of one file."""

    family = "asf"

    def __init__(self, file: Any) -> None:
        self._file = file
        self._own = names_of(self.family)

    def entries(self) -> Iterator[Entry]:
        for key, attribute in self._file.tags:
            text = self._text(key, attribute)
            entry = self._entry(key, (text,)) if text else None
            if entry:
                yield entry

    def other_texts(self) -> Iterator[tuple[str, Iterable[str]]]:
        for key, attribute in self._file.tags:
            if key not in ("Rating", _PICTURE) and self._entry(key, ()) is None:
                yield key, (self._text(key, attribute),)

    def _entry(self, key: str, values: tuple[str, ...]) -> Entry | None:
        """In ASF "Rating" is parental advice, not a listener's rating."""
        own = self._own.get(key)
        if own:
            return Entry(own, 0, values)
        return None if key in ("Rating", _PICTURE) else free_entry(key, values)

    def _text(self, key: str, attribute: Any) -> str:
        from mutagen.asf import BOOL, BYTEARRAY, GUID

        if key == _RATING and isinstance(attribute.value, int | str) and str(attribute.value).isdecimal():
            return rating_of_asf(int(attribute.value))
        if attribute.TYPE in (BYTEARRAY, GUID):
            return ""
        return str(int(attribute.value)) if attribute.TYPE == BOOL else str(attribute.value)

    def remove(self, name: str) -> None:
        tags = self._file.tags
        tags[:] = [pair for pair in tags if not (self._text(*pair) and self._is_of(pair[0], name))]

    def _is_of(self, key: str, name: str) -> bool:
        entry = self._entry(key, ())
        return entry is not None and entry.name == name

    def put_pair(self, number: str, numbers: tuple[str, ...], totals: tuple[str, ...]) -> None:
        """Only the disc has its total in the same field: players expect a plain number in WM/TrackNumber."""
        if number == "discnumber" and len(numbers) == 1 and len(totals) <= 1:
            self.put_native(number, ("/".join(numbers + totals),))
        else:
            super().put_pair(number, numbers, totals)

    def set_own(self, spelling: str, values: tuple[str, ...]) -> None:
        if spelling == _RATING:
            values = tuple(str(asf_of_rating(value)) for value in values[:1])
        self._add(spelling, values)

    def put_free(self, name: str, values: tuple[str, ...]) -> None:
        spelling = spelling_of(name, self.family)
        self._add(spelling.text if spelling.free else free_name(name), values)

    def _add(self, spelling: str, values: tuple[str, ...]) -> None:
        from mutagen.asf import ASFUnicodeAttribute

        self._file.tags.extend((spelling, ASFUnicodeAttribute(value)) for value in values)

    def pictures(self) -> list[Picture]:
        found = [_unpacked(attribute.value) for key, attribute in self._file.tags if key == _PICTURE]
        return [Picture(kind, cover) for kind, cover in found if cover.data]

    def put_cover(self, cover: Cover) -> None:
        from mutagen.asf import ASFByteArrayAttribute

        mime = cover.mime.encode("utf-16-le") + b"\0\0"
        packed = bytes([FRONT]) + len(cover.data).to_bytes(4, "little") + mime + b"\0\0" + cover.data
        tags = self._file.tags
        tags[:] = [pair for pair in tags if pair[0] != _PICTURE or _unpacked(pair[1].value)[0] != FRONT]
        tags.append((_PICTURE, ASFByteArrayAttribute(packed)))

    def save(self, file: BinaryIO) -> None:
        file.seek(0)
        self._file.save(file)


def _unpacked(value: Any) -> tuple[int, Cover]:
    """Type and picture. The value is a type byte, four bytes of length, MIME type and description in UTF-16 with a NUL
    each, then the picture."""
    if not isinstance(value, bytes) or len(value) < 9:
        return 0, cover_of(b"")
    size, position, texts = int.from_bytes(value[1:5], "little"), 5, []
    for _ in range(2):
        end = next((at for at in range(position, len(value) - 1, 2) if value[at : at + 2] == b"\0\0"), len(value))
        texts.append(value[position:end].decode("utf-16-le", "replace"))
        position = end + 2
    return value[0], cover_of(value[position : position + size], texts[0])
