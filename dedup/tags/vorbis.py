"""Vorbis comments: FLAC, and Vorbis, Opus, FLAC and Speex in Ogg. All fields are of free name."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from dedup.tags.block import Block, Entry, free_entry, is_of
from dedup.tags.cover import FRONT, OTHER, Cover, Picture, cover_of
from dedup.tags.extras import Extra, Held, Raw, digest_of
from dedup.tags.names import spelling_of
from dedup.tags.values import clean

_PICTURE = "metadata_block_picture"
_OLD_PICTURE = "coverart"
"""Field of XiphQT: the picture itself in Base64, with "coverartmime" and the like beside it."""


class VorbisBlock(Block):
    """The comments of one stream; FLAC keeps pictures beside them."""

    family = "vorbis"

    def __init__(self, file: Any) -> None:
        self._file = file
        self.length_s = file.info.length
        if file.tags is None:
            file.add_tags()

    def entries(self) -> Iterator[Entry]:
        for key, value in self._file.tags:
            entry = free_entry(key, (value,))
            if entry:
                yield entry

    def other_texts(self) -> Iterator[tuple[str, Iterable[str]]]:
        return ((key, (value,)) for key, value in self._file.tags if free_entry(key, ()) is None)

    def remove(self, name: str) -> None:
        tags = self._file.tags
        tags[:] = [(key, value) for key, value in tags if not is_of(key, name)]

    def set_own(self, spelling: str, values: tuple[str, ...]) -> None:
        self._file.tags.extend((spelling, value) for value in values)

    def put_free(self, name: str, values: tuple[str, ...]) -> None:
        self.set_own(spelling_of(name, self.family).text, values)

    def pictures(self) -> list[Picture]:
        found = [Picture(one.type, cover_of(one.data, one.mime), clean(one.desc)) for one in self._pictures()]
        for key, value in self._file.tags:
            data = _decoded(value) if key.lower() == _OLD_PICTURE else b""
            if data:
                found.append(Picture(OTHER, cover_of(data)))
        return found

    def _pictures(self) -> list[Any]:
        from mutagen.flac import FLACNoHeaderError, Picture
        from mutagen.flac import error as flac_error

        if hasattr(self._file, "pictures"):
            return list(self._file.pictures)
        pictures = []
        for key, value in self._file.tags:
            if key.lower() != _PICTURE:
                continue
            try:
                pictures.append(Picture(_decoded(value)))
            except (flac_error, FLACNoHeaderError):
                continue  # left in the file as it is
        return pictures

    def extras(self, fields: Mapping[str, tuple[str, ...]]) -> list[Held]:
        """Those in comments, and a cue sheet in a block of its own, whose times fit this FLAC file alone."""
        found = super().extras(fields)
        sheet = getattr(self._file, "cuesheet", None)
        if sheet is not None:
            starts = (f"{track.track_number} {track.start_offset}" for track in sheet.tracks)
            extra = Extra("chapters", "a cue sheet block", digest_of("cue sheet block", *starts), "cue sheet block")
            found.append(Held(extra, Raw("cuesheet", sheet)))
        return found

    def put_cover(self, cover: Cover) -> None:
        self._set_pictures(_made(Picture(FRONT, cover)), *(one for one in self._pictures() if one.type != FRONT))

    def put_extra(self, held: Held) -> None:
        if isinstance(held.content, Picture):
            self._set_pictures(*self._pictures(), _made(held.content))
        else:
            super().put_extra(held)

    def _set_pictures(self, *pictures: Any) -> None:
        if hasattr(self._file, "pictures"):
            self._file.clear_pictures()
            for each in pictures:
                self._file.add_picture(each)
            return
        tags = self._file.tags
        tags[:] = [(key, value) for key, value in tags if key.lower() != _PICTURE]
        encoded = (base64.b64encode(each.write()).decode("ascii") for each in pictures)
        tags.extend((_PICTURE.upper(), text) for text in encoded)

    def save(self, file: BinaryIO) -> None:
        file.seek(0)
        self._file.save(file)


def _made(picture: Picture) -> Any:
    """The picture as mutagen has it."""
    import mutagen.flac

    made, cover = mutagen.flac.Picture(), picture.cover
    made.type, made.mime, made.data, made.desc = picture.kind, cover.mime, cover.data, picture.description
    made.width, made.height, made.depth = cover.width, cover.height, 24
    return made


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        return b""
