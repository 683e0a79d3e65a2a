"""Extras in text fields, which every format has: chapters as Vorbis comments hold them, cue sheets, lyrics, ratings by
listener, and the data of DJ programs."""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping

from dedup.tags.cover import Picture
from dedup.tags.extras import (
    Chapter,
    Chapters,
    Extra,
    Form,
    Held,
    Rating,
    Raw,
    Words,
    chapters_held,
    cue_sheet_held,
    data_held,
    digest_of,
    lyrics_held,
    rating_held,
)
from dedup.tags.names import Family
from dedup.tags.values import clean

_CHAPTER = re.compile(r"chapter(\d{3})", re.ASCII)
_URL = re.compile(r"chapter\d{3}url", re.ASCII)
_TIME = re.compile(r"(\d{1,4}):(\d{1,2}):(\d{1,2}(?:\.\d*)?)", re.ASCII)
_RATING = "popm:"
_POPM = re.compile(r"(\d{1,3}) (\d{1,10})(?: (.*))?", re.ASCII | re.DOTALL)
_NOT_IN_NAMES = re.compile(r"[^ -<>-}]")
_PICTURE = re.compile(r"metadata_block_picture|coverart(mime|type|description)?")
_PLAIN = re.compile(r"[ -<>-}]+")
_DJ = re.compile(r"serato_(markers.*|beatgrid|relvol|video_assoc)|traktor.*")
_NO_FIELD = re.compile(rf"chapter\d{{3}}(name|url)?|{_RATING}.*|serato_(?!playcount).*|traktor.*", re.ASCII)


def texts_held(texts: Iterable[tuple[str, Iterable[str]]]) -> Iterator[Held]:
    """Fields of names that not every format can hold; those that hold pictures are left out."""
    found: dict[str, list[str]] = {}
    for key, values in texts:
        if not _PICTURE.fullmatch(key.lower()):
            found.setdefault(key.strip().lower(), []).extend(filter(None, map(clean, values)))
    for key, told in found.items():
        if key and told:
            form: Form = "plain text" if _PLAIN.fullmatch(key) else "text"
            yield data_held(f'field "{clean(key)}"', form, key.upper(), tuple(told), *told)


def is_extra_field(name: str) -> bool:
    """Whether a field of this common name belongs to an extra, or to what a DJ program makes anew: it is not carried
    over as text."""
    return _NO_FIELD.fullmatch(name) is not None


def extras_of(fields: Mapping[str, tuple[str, ...]], family: Family | None, length_s: float = 0.0) -> Iterator[Held]:
    """The extras in fields of common name. `length_s` is the length of the file, where its last chapter ends."""
    chapters = _chapters(fields, length_s)
    if chapters:
        yield chapters_held(chapters, more=[f"{name} {fields[name]}" for name in fields if _URL.fullmatch(name)])
    for text in fields.get("cuesheet", ()):
        yield cue_sheet_held(text)
    for text in fields.get("lyrics", ()):
        yield lyrics_held(Words(text))
    for name, values in fields.items():
        if name.startswith(_RATING):
            yield from map(rating_held, _ratings(values))
        elif _DJ.fullmatch(name):
            yield Held(dj_extra(values[0], name, "vorbis" if family == "vorbis" else ""), Raw(name, values))


def fields_of(held: Held) -> dict[str, tuple[str, ...]]:
    """The fields that hold an extra in a format without a better place for it; empty if no text can hold it all."""
    content = held.content
    if isinstance(content, Picture):
        return {}
    if isinstance(content, Chapters):
        return dict(_chapter_fields(content))
    if isinstance(content, Rating):
        name = _RATING + _NOT_IN_NAMES.sub("_", content.address.lower()).strip()[:190]
        return {name: (f"{content.value} {content.count} {clean(content.address)}",)}
    if isinstance(content, Words):
        return {"cuesheet" if held.extra.form == "cue sheet" else "lyrics": (clean(content.text),)}
    return {content.key: content.data} if held.extra.form == "vorbis" else {}


def dj_extra(text: str, name: str, form: Form) -> Extra:
    """The extra in a text field of a DJ program. Serato's holds what is in its ID3 frame, in Base64."""
    what, data = _object(text) or (name, text.encode("utf-8", "replace"))
    return object_extra(what, data, form)


def object_extra(what: str, data: bytes, form: Form) -> Extra:
    """The extra of an object of this description."""
    return Extra("cues", what, digest_of("cues", what, data.hex()), form)


def _object(text: str) -> tuple[str, bytes] | None:
    """Description and data of an object in Base64: MIME type, file name and description lead, a NUL after each."""
    text = "".join(text.split()).rstrip("=")
    try:
        parts = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).split(b"\0", 3)
    except (binascii.Error, ValueError):
        return None
    if len(parts) < 4 or b"/" not in parts[0] or not parts[2].isascii():
        return None
    return parts[2].decode("ascii"), parts[3]


def _ratings(values: Iterable[str]) -> Iterator[Rating]:
    for value in values:
        told = _POPM.fullmatch(value)
        if told and int(told[1]) <= 255:
            yield Rating(told[3] or "", int(told[1]), int(told[2]))


def _chapters(fields: Mapping[str, tuple[str, ...]], length_s: float) -> list[Chapter]:
    found = []
    for name, values in fields.items():
        number, time = _CHAPTER.fullmatch(name), _TIME.fullmatch(values[0])
        if number and time:
            start_s = 3600 * int(time[1]) + 60 * int(time[2]) + float(time[3])
            found.append((start_s, fields.get(f"{name}name", ("",))[0]))
    found.sort()
    ends = [start for start, _ in found[1:]] + [length_s]
    return [Chapter(start, max(start, end), title) for (start, title), end in zip(found, ends, strict=bool(found))]


def _chapter_fields(content: Chapters) -> Iterator[tuple[str, tuple[str, ...]]]:
    for number, chapter in zip(itertools.count(1), content.chapters[:999], strict=False):
        thousandths = round(1000 * chapter.start_s)
        minutes, rest = divmod(thousandths, 60_000)
        name = f"chapter{number:03}"
        yield name, (f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}",)
        if clean(chapter.title):
            yield f"{name}name", (clean(chapter.title),)
