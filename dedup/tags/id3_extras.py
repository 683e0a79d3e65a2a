"""Extras in ID3: the frames that hold them, which are carried over as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

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
    data_held,
    digest_of,
    lyrics_held,
    rating_held,
)
from dedup.tags.free_extras import object_extra
from dedup.tags.values import clean

_MADE_ANEW = frozenset({"Serato Analysis", "Serato Autotags", "Serato Offsets_", "Serato Overview"})
"""Objects that describe the encoded file: Serato analyses it and makes them again."""

_DJ_OWNERS = {"TRAKTOR4": "Traktor data"}
_NO_LANGUAGE = frozenset({"", "xxx", "und", "eng"})
"""Languages that programs write if they know none."""

_MILLISECONDS = 2
"""Format of a time stamp; the other one counts frames of the encoded file."""

_NOWHERE = 0xFFFFFFFF
"""Position in the file that says nothing."""

_READ_ELSEWHERE = re.compile("APIC|CHAP|CTOC|GEOB|IPLS|POPM|SYLT|TDAT|TDRC|TIME|TIPL|TMCL|TXXX|TYER|USLT")
"""Frames that give a field, an extra or a picture, or are made anew by a DJ program."""

_OF_THE_FILE = re.compile(
    "AENC|ASPI|BUF|ENCR|EQU2|EQUA|GRID|LINK|MCDI|MLLT|NCON|PCNT|POSS|RBUF|RGAD|RVA2|RVAD|SEEK|SIGN|TDEN|TDLY|TDTG|TFLT|"
    "TRDA|TSIZ"
)
"""Frames that describe the encoded file, the disc that it was read from, or how loud it is to be played."""

_OWNERS_OF_THE_FILE = re.compile(r"WM/|PeakValue|AverageLevel|Google/|com\.apple\.|.*(cddb|gracenote)", re.IGNORECASE)
"""Owners of frames that Windows Media Player, shops and disc databases write into any file."""

_TIMED = ("ETCO", "SYTC")

_ENCODING = re.compile(r"encoding=<[^>]*>")


def read(tags: Any) -> Iterator[Held]:
    """The extras in the frames of a tag."""
    chapters = tags.getall("CHAP")
    if chapters:
        yield _chapters(chapters, tags.getall("CTOC"))
    for frame in tags.values():
        held = _of_frame(frame)
        if held:
            yield held


def others(frames: Iterable[Any], unknown: Iterable[bytes]) -> Iterator[Held]:
    """Of frames that give no field, those that are nothing else here, and do not describe the encoded file."""
    for frame in frames:
        kind, owner = frame.FrameID, clean(getattr(frame, "owner", "") or getattr(frame, "desc", ""))
        is_of_file = _OF_THE_FILE.fullmatch(kind) or _OWNERS_OF_THE_FILE.match(owner) or not str(frame)
        if is_of_file or _READ_ELSEWHERE.fullmatch(kind) or _of_frame(frame):
            continue
        what = f"ID3 frame {kind}" + (f" ({owner})" if owner else "")
        if kind in _TIMED:
            yield Held(Extra("cues", what, digest_of("data", what, _content(frame)), "id3"), Raw(frame.HashKey, frame))
        else:
            yield data_held(what, "id3", frame.HashKey, frame, _content(frame))
    for data in unknown:
        yield data_held(f"ID3 frame {data[:4].decode('ascii', 'replace')}", "", "", data, data.hex())


def _content(frame: Any) -> str:
    return _ENCODING.sub("", repr(frame))


def put(tags: Any, held: Held, encoding: Any) -> bool:
    """Adds the frames that hold an extra; False if there is no frame for it."""
    from mutagen.id3 import POPM, USLT

    content = held.content
    if isinstance(content, Chapters):
        frames = [_without_place(frame) for frame in content.frames] or _new_chapters(content, encoding)
    elif isinstance(content, Rating) and content.address.isascii():
        frames = [POPM(email=content.address, rating=content.value, count=content.count)]
    elif isinstance(content, Raw) and held.extra.form in ("id3", "synchronised lyrics"):
        frames = [_under_free_key(content.data, held.extra.what, tags)]
    elif isinstance(content, Words) and held.extra.form == "lyrics":
        lang = content.language if re.fullmatch(r"[A-Za-z]{3}", content.language) else "eng"
        frames = [USLT(encoding=encoding, lang=lang, desc=content.description, text=content.text)]
    else:
        return False
    for frame in frames:
        tags.add(frame)
    return True


def _of_frame(frame: Any) -> Held | None:
    kind = frame.FrameID
    if kind == "GEOB" and frame.desc not in _MADE_ANEW:
        what = clean(frame.desc) or clean(frame.filename) or "an attached object"
        return Held(object_extra(what, frame.data, "id3"), Raw(frame.HashKey, frame))
    if kind == "PRIV" and frame.owner in _DJ_OWNERS:
        return Held(object_extra(_DJ_OWNERS[frame.owner], frame.data, "id3"), Raw(frame.HashKey, frame))
    if kind == "USLT" and clean(frame.text):
        language = "" if frame.lang.strip("\0 ").lower() in _NO_LANGUAGE else frame.lang
        return lyrics_held(Words(frame.text, language, frame.desc))
    if kind == "SYLT":
        what = f"synchronised lyrics in {frame.lang}" + (f" ({frame.desc})" if frame.desc else "")
        lines = (f"{time} {text}" for text, time in frame.text)
        digest = digest_of("synchronised lyrics", frame.type, frame.format, *lines)
        form: Form = "synchronised lyrics" if frame.format == _MILLISECONDS else ""
        return Held(Extra("lyrics", what, digest, form), Raw(frame.HashKey, frame))
    if kind == "POPM" and (frame.rating or getattr(frame, "count", 0)):
        return rating_held(Rating(frame.email, frame.rating, getattr(frame, "count", 0)))
    return None


def _chapters(chapters: list[Any], contents: list[Any]) -> Held:
    listed = [Chapter(frame.start_time / 1000, frame.end_time / 1000, _title(frame)) for frame in chapters]
    more = [repr(sub) for frame in chapters for sub in frame.sub_frames.values() if sub.FrameID != "TIT2"]
    more += [repr(sub) for frame in contents for sub in frame.sub_frames.values()]
    more += [f"{frame.element_id} {frame.child_element_ids}" for frame in contents if len(contents) > 1]
    return chapters_held(listed, (*chapters, *contents), sorted(_ENCODING.sub("", text) for text in more))


def _title(frame: Any) -> str:
    return "".join(clean(str(text)) for sub in frame.sub_frames.getall("TIT2") for text in sub.text[:1])


def _without_place(frame: Any) -> Any:
    """The frame without the chapter's position in the file it comes from."""
    if frame.FrameID != "CHAP":
        return frame
    return type(frame)(**{**vars(frame), "start_offset": _NOWHERE, "end_offset": _NOWHERE})


def _under_free_key(frame: Any, what: str, tags: Any) -> Any:
    """The frame; with a description that no other has if one without has that place."""
    is_taken = frame.FrameID == "GEOB" and frame.HashKey in tags
    return type(frame)(**{**vars(frame), "desc": what}) if is_taken else frame


def _new_chapters(content: Chapters, encoding: Any) -> list[Any]:
    from mutagen.id3 import CHAP, CTOC, TIT2, CTOCFlags

    frames, names = [], [f"chp{number}" for number in range(len(content.chapters))]
    for name, chapter in zip(names, content.chapters, strict=True):
        start, end = (round(1000 * seconds) for seconds in (chapter.start_s, chapter.end_s))
        titles = [TIT2(encoding=encoding, text=[chapter.title])] if chapter.title else []
        frames.append(CHAP(element_id=name, start_time=start, end_time=end, sub_frames=titles))
    flags = CTOCFlags.TOP_LEVEL | CTOCFlags.ORDERED
    return [CTOC(element_id="toc", flags=flags, child_element_ids=names[:255], sub_frames=[]), *frames]
