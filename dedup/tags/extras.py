"""What hangs off a file besides text tags and its front cover: further pictures, chapters, cue points, lyrics,
ratings, and what nobody here understands. What of it another file
lacks, and whether that file's format can hold it. Pure; the blocks of each format read and write it."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, get_args

from dedup.files.paths import extension_of
from dedup.tags.cover import ICONS, Picture
from dedup.tags.names import Family

ExtraKind = Literal["attachments", "chapters", "cues", "lyrics", "ratings"]
EXTRA_KINDS: tuple[ExtraKind, ...] = get_args(ExtraKind)
Form = Literal[
    "picture",
    "chapters",
    "cue sheet",
    "cue sheet block",
    "lyrics",
    "synchronised lyrics",
    "rating",
    "",
    "text",
    "plain text",
    "id3",
    "mp4",
    "ape",
    "vorbis",
]
"""How content is written. Those of a family's name are data that only tags of that family hold; nothing can get what
has none."""

_ALL: tuple[Family, ...] = ("id3", "mp4", "asf", "ape", "vorbis")
_FAMILIES: dict[str, tuple[Family, ...]] = {
    "picture": ("id3", "vorbis"),
    "chapters": ("id3", "vorbis"),
    "cue sheet": _ALL,
    "lyrics": _ALL,
    "rating": _ALL,
    "synchronised lyrics": ("id3",),
    "text": ("id3", "mp4"),
    "plain text": ("id3", "mp4", "vorbis"),
    "id3": ("id3",),
    "ape": ("ape",),
    "mp4": ("mp4",),
    "vorbis": ("vorbis",),
}
"""Families whose tags can hold each form."""

_EXTENSIONS: dict[Family, str] = {
    "id3": "mp3 mp2 aac wav wave aif aiff aifc tta dsf dff",
    "mp4": "m4a m4b m4p m4r m4v mp4 alac",
    "asf": "wma wmv asf",
    "ape": "ape wv mpc mp+ ofr ofs tak apl",
    "vorbis": "flac ogg oga ogv opus spx",
}
_FAMILY_OF: dict[str, Family] = {
    extension: family for family, extensions in _EXTENSIONS.items() for extension in extensions.split()
}


@dataclass(frozen=True)
class Extra:
    """One thing that hangs off a file."""

    kind: ExtraKind
    what: str
    """The thing in words: "12 chapters", "Serato Markers2", "lyrics in deu"."""
    digest: str
    """16 hex digits of its content: equal things have equal ones, whatever format holds them."""
    form: Form = ""

    @property
    def is_timed(self) -> bool:
        """Whether it is right only for a file that starts at the same moment."""
        return self.kind in ("chapters", "cues") or self.form == "synchronised lyrics"

    @property
    def slot(self) -> tuple[str, str]:
        """What a file holds at most once: its chapters, the rating of one listener, the lyrics in one language,
        one icon; but any number of other pictures."""
        if self.kind == "chapters":
            return self.kind, self.form if self.form.startswith("cue sheet") else ""
        if self.form == "picture" and self.what not in ICONS:
            return self.kind, self.digest
        return self.kind, self.what.casefold()


@dataclass(frozen=True)
class Chapter:
    """A part of a file, in seconds from its beginning."""

    start_s: float
    end_s: float
    title: str = ""


@dataclass(frozen=True)
class Chapters:
    """All chapters of a file, by start."""

    chapters: tuple[Chapter, ...]
    frames: tuple[Any, ...] = ()
    """The ID3 frames that hold them, as mutagen has them; none if another format does."""


@dataclass(frozen=True)
class Words:
    """Lyrics, or a cue sheet."""

    text: str
    language: str = ""
    """Three letters of ISO 639-2; empty if nobody says."""
    description: str = ""


@dataclass(frozen=True)
class Rating:
    """What one listener thinks of a track, and how often they played it."""

    address: str
    value: int
    """0 to 255, as in POPM; 0 is none."""
    count: int


@dataclass(frozen=True)
class Raw:
    """Data that only one family of formats holds."""

    key: str
    data: Any
    """As mutagen has it in that family."""


@dataclass(frozen=True)
class Held:
    """An extra, and its content in a neutral form."""

    extra: Extra
    content: Picture | Chapters | Words | Rating | Raw


def family_of(path: bytes) -> Family | None:
    """Family of the tags that a file with this extension has; None if no tags can be written to such a file."""
    return _FAMILY_OF.get(extension_of(path))


def carried(
    theirs: Iterable[Extra], ours: Iterable[Extra], family: Family | None, is_aligned: bool
) -> tuple[Extra, ...]:
    """Those of `theirs` that a file with `ours` and tags of this family lacks and can get without losing one of its
    own. `is_aligned` says whether both files start at the same moment."""
    known, taken = {extra.digest for extra in ours}, {extra.slot for extra in ours}
    found = []
    for extra in theirs:
        fits = family in _FAMILIES.get(extra.form, ()) and (is_aligned or not extra.is_timed)
        if fits and extra.digest not in known and extra.slot not in taken:
            known.add(extra.digest)
            taken.add(extra.slot)
            found.append(extra)
    return tuple(found)


def digest_of(*parts: object) -> str:
    """16 hex digits of this content."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def data_held(what: str, form: Form, key: str, data: Any, *content: object) -> Held:
    """Data of which nothing is known; `content` tells it from other data."""
    return Held(Extra("attachments", what, digest_of("data", what, *content), form), Raw(key, data))


UNREAD = "tags that are too large to be read"
_ENDS = 1 << 20


def unread_held(file: BinaryIO) -> Held:
    """What stands for the tags of a file that exceed the limits of `files.bounded`: nothing else holds them, unless it
    begins and ends with the same bytes and is as long."""
    size = file.seek(0, os.SEEK_END)
    hasher = hashlib.sha256(str(size).encode())
    for start in (0, max(0, size - _ENDS)):
        file.seek(start)
        hasher.update(file.read(_ENDS))
    return Held(Extra("attachments", UNREAD, digest_of("unread", hasher.hexdigest())), Raw("", None))


def picture_held(picture: Picture) -> Held:
    """A picture, equal whatever its type."""
    return Held(Extra("attachments", picture.what, picture_digest(picture.cover.data), "picture"), picture)


def picture_digest(data: bytes) -> str:
    """16 hex digits of a picture."""
    return digest_of("picture", hashlib.sha256(data).hexdigest())


def chapters_held(chapters: Sequence[Chapter], frames: tuple[Any, ...] = (), more: Sequence[str] = ()) -> Held:
    """Chapters with the extra that names them. `more` is what they hold besides start and title, which no other format
    can get. Starts are equal if, in whole milliseconds, they round to the same tenth of a second."""
    listed = tuple(sorted(chapters, key=lambda chapter: chapter.start_s))
    content = [f"{round(round(1000 * chapter.start_s) / 100)} {_plain(chapter.title)}" for chapter in listed]
    what = f"{len(listed)} chapters" if len(listed) != 1 else "1 chapter"
    form: Form = "chapters" if not more else "id3" if frames else ""
    return Held(Extra("chapters", what, digest_of("chapters", *content, *more), form), Chapters(listed, frames))


def cue_sheet_held(text: str) -> Held:
    """A cue sheet in a text field. What file it names, and remarks, make no difference."""
    lines = (line.strip() for line in text.splitlines())
    content = [_plain(line) for line in lines if line and not line.upper().startswith(("FILE ", "REM "))]
    digest = digest_of("cue sheet", *content)
    return Held(Extra("chapters", "an embedded cue sheet", digest, "cue sheet"), Words(text))


def lyrics_held(words: Words) -> Held:
    """Lyrics, equal whatever the language they say they are in and wherever their lines break."""
    is_plain = words.language in ("", "eng") and not words.description
    what = "lyrics" if is_plain else f"lyrics in {words.language or 'eng'}"
    if words.description:
        what += f" ({words.description})"
    return Held(Extra("lyrics", what, digest_of("lyrics", _plain(words.text)), "lyrics"), words)


def rating_held(rating: Rating) -> Held:
    """A rating by a listener, or the number of times they played the track."""
    digest = digest_of("rating", _plain(rating.address).casefold(), rating.value, rating.count)
    return Held(Extra("ratings", f"rating of {rating.address}", digest, "rating"), rating)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
