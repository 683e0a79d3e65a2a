"""What a file is called in the folder that takes it. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from dedup.backup.source import Item

UNKNOWN_ARTIST, UNKNOWN_ALBUM, UNTITLED = "Unknown artist", "Unknown album", "Untitled"

_LONGEST_NUMBER = 4


def names_of(item: Item, fields: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Folders and name, without extension, as free text: those that the file has at its source, or "album artist",
    "album", "number - title" by its tags, and by what the source says where it has none."""
    if item.names:
        *folders, name = item.names
        return (*folders, os.path.splitext(name)[0])
    artist = _of(fields, "albumartist") or item.albumartist or _of(fields, "artist") or item.artist
    album = _of(fields, "album") or item.album
    title = _of(fields, "title") or item.title
    number = _number(fields, item)
    return (
        artist or UNKNOWN_ARTIST,
        album or UNKNOWN_ALBUM,
        f"{number} - {title or UNTITLED}" if number else title or UNTITLED,
    )


def _number(fields: Mapping[str, Sequence[str]], item: Item) -> str:
    """ "03", or "2-03" on a disc that is not the only one; empty if it is not known."""
    track = _digits(_of(fields, "tracknumber")) or item.track
    if not track:
        return ""
    disc = _digits(_of(fields, "discnumber")) or item.disc
    is_one_of_several = disc > 1 or _digits(_of(fields, "disctotal")) > 1
    return f"{disc}-{track:02d}" if is_one_of_several else f"{track:02d}"


def _of(fields: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(fields.get(name, ())), "").strip()


def _digits(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else 0
