"""ID3: MP3, AIFF, WAV, TTA, DSF, DSDIFF, and AAC with such a tag. The tag keeps its version; a field for which ID3v2.3
has no frame goes to a frame of free name (TXXX)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from dedup.tags import id3_extras, people
from dedup.tags.ape import id3v1_of
from dedup.tags.block import Block, Entry, free_entry
from dedup.tags.cover import FRONT, Cover, Picture, cover_of
from dedup.tags.extras import Held
from dedup.tags.names import free_name, names_of, spelling_of
from dedup.tags.values import clean, popm_of_rating, rating_of_popm

_MUSICBRAINZ = "http://musicbrainz.org"
_LISTENER = "no@email"
"""POPM needs an e-mail address; programs that know none write this."""

_ID3V1_COMMENT = "ID3v1 Comment"
"""mutagen's name for the comment of an ID3v1 tag."""

_ONLY_V24 = ("TDOR", "TDRL", "TMOO", "TSST")
_SPECIAL = ("COMM", "USLT", "POPM", "UFID", "WOAR", "TIPL", "TMCL", "TDRC")
_ALSO = {
    "TORY": "originaldate",
    "GRP1": "grouping",
    "TOWN": "fileowner",
    "TRSN": "radiostation",
    "TRSO": "radiostationowner",
    "TPRO": "producednotice",
    "TCAT": "podcastcategory",
    "TKWD": "podcastkeywords",
    "TGID": "podcastid",
}
"""Frames that are read as a field, but never written."""

_URLS = {
    "WCOM": "commercialurl",
    "WCOP": "copyrighturl",
    "WOAF": "fileurl",
    "WOAS": "sourceurl",
    "WORS": "radiostationurl",
    "WPAY": "paymenturl",
    "WPUB": "publisherurl",
    "WFED": "podcasturl",
}

_DAY = re.compile(r"(\d{4})(?:-(\d\d)-(\d\d))?", re.ASCII)


class Id3Block(Block):
    """The frames of one tag; `tags` is mutagen's, with its frames not translated to another version."""

    family = "id3"

    def __init__(self, tags: Any, is_written: bool = True) -> None:
        self._tags = tags
        self.is_written = is_written
        self._is_v23 = tags.version[:2] in ((2, 2), (2, 3))  # mutagen writes no 2.2
        own = names_of(self.family)
        self._plain = {frame: name for frame, name in own.items() if frame not in _SPECIAL} | _ALSO

    def entries(self) -> Iterator[Entry]:
        for frame in self._tags.values():
            yield from self._of_frame(frame)
        yield from self._date()
        yield from people.entries(self._tags)

    def _of_frame(self, frame: Any) -> Iterator[Entry]:
        kind = frame.FrameID
        if kind in self._plain:
            texts = frame.genres if kind == "TCON" else [str(text).replace("\0", "") for text in frame.text]
            yield Entry(self._plain[kind], 0, tuple(texts))
        elif kind == "TXXX":
            entry = free_entry(frame.desc, map(str, frame.text))
            if entry:
                yield entry
        elif kind == "COMM":
            yield from _comment(frame)
        elif kind == "USLT":
            yield Entry("lyrics", 0, (frame.text,))
        elif kind == "WOAR":
            yield Entry("website", 0, (frame.url,))
        elif kind in _URLS:
            yield Entry(_URLS[kind], 0, (frame.url,))
        elif kind == "WXXX":
            entry = free_entry(f"url:{frame.desc}".rstrip(":"), (frame.url,))
            if entry:
                yield entry
        elif kind == "UFID" and frame.owner == _MUSICBRAINZ:
            yield Entry("musicbrainz_trackid", 0, (frame.data.decode("utf-8", "replace"),))
        elif kind == "POPM":
            yield Entry("rating", 0, (rating_of_popm(frame.rating),))
            yield Entry("playcount", 0, (str(getattr(frame, "count", 0) or ""),))
        elif kind == "PCNT":
            yield Entry("playcount", 1, (str(frame.count or ""),))

    def _date(self) -> Iterator[Entry]:
        """The date in TDRC, or in TYER and TDAT; a year alone gives way to a field of free name, which may say more."""
        for frame in self._tags.getall("TDRC"):
            yield Entry("date", 0, tuple(str(text).replace(" ", "T") for text in frame.text))
        years = [str(text) for frame in self._tags.getall("TYER") for text in frame.text]
        days = [str(text) for frame in self._tags.getall("TDAT") for text in frame.text]
        if years and days and re.fullmatch(r"\d{4}", days[0], re.ASCII):
            yield Entry("date", 1, (f"{years[0]}-{days[0][2:]}-{days[0][:2]}",))
        elif years:
            yield Entry("date", 20, tuple(years))

    def remove(self, name: str) -> None:
        """A POPM frame only loses the value: whose it is stays."""
        for key, frame in list(self._tags.items()):
            if frame.FrameID == "POPM" and name == "rating":
                frame.rating = 0
            elif frame.FrameID == "POPM" and name == "playcount":
                frame.count = 0
            elif self._is_of(frame, name):
                del self._tags[key]
        people.remove(self._tags, name)

    def _is_of(self, frame: Any, name: str) -> bool:
        if frame.FrameID == "TXXX":
            entry = free_entry(frame.desc, ())
            return entry is not None and entry.name == name
        if name == "date":
            return frame.FrameID in ("TDRC", "TYER", "TDAT", "TIME")
        return frame.FrameID != "POPM" and any(entry.name == name for entry in self._of_frame(frame))

    def put_pair(self, number: str, numbers: tuple[str, ...], totals: tuple[str, ...]) -> None:
        if len(numbers) == 1 and len(totals) <= 1:
            self.put_native(number, ("/".join(numbers + totals),))

    def put_native(self, name: str, values: tuple[str, ...]) -> None:
        spelling = spelling_of(name, self.family).text
        if name.startswith("comment:"):
            self._add("COMM", desc=name.partition(":")[2], lang="XXX", text=list(values))
        elif spelling == "POPM":
            self._set_popm(name, values[0])
        elif spelling in ("TIPL", "TMCL"):
            people.put(self._tags, name, values, self._is_v23)
        elif self._is_v23 and spelling == "TDRC":
            self._set_day(values[0])
        elif self._is_v23 and spelling in _ONLY_V24:
            if spelling == "TDOR" and re.fullmatch(r"\d{4}", values[0], re.ASCII):
                self._add("TORY", text=list(values))
        else:
            super().put_native(name, values)

    def set_own(self, spelling: str, values: tuple[str, ...]) -> None:
        if spelling == "COMM":
            self._add("COMM", desc="", lang="eng", text=list(values))
        elif spelling == "USLT":
            self._add("USLT", desc="", lang="eng", text=values[0])
        elif spelling == "UFID":
            if values[0].isascii() and len(values[0]) <= 64:
                self._add("UFID", owner=_MUSICBRAINZ, data=values[0].encode())
        elif spelling == "WOAR":
            if len(values) == 1 and values[0].isascii():  # several frames come back in another order
                self._add("WOAR", url=values[0])
        else:
            self._add(spelling, text=list(values))

    def _set_day(self, value: str) -> None:
        day = _DAY.fullmatch(value)
        if day:
            self._add("TYER", text=[day[1]])
            if day[2]:
                self._add("TDAT", text=[day[3] + day[2]])

    def _set_popm(self, name: str, value: str) -> None:
        from mutagen.id3 import POPM

        if not self._tags.getall("POPM"):
            self._tags.add(POPM(email=_LISTENER, rating=0, count=0))
        for frame in self._tags.getall("POPM"):
            if name == "rating":
                frame.rating = popm_of_rating(value)
            else:
                frame.count = int(value)

    def put_free(self, name: str, values: tuple[str, ...]) -> None:
        if not values:
            return
        spelling = spelling_of(name, self.family)
        self._add("TXXX", desc=spelling.text if spelling.free else free_name(name), text=list(values))
        year = re.match(r"\d{4}(?=-|$)", values[0], re.ASCII)
        if self._is_v23 and name == "date" and year:
            self._add("TYER", text=[year[0]])

    def extras(self, fields: Mapping[str, tuple[str, ...]]) -> list[Held]:
        """Those in frames of their own, before those in frames of free name."""
        unread = (frame for frame in self._tags.values() if not any(True for _ in self._of_frame(frame)))
        own = [*id3_extras.read(self._tags), *id3_extras.others(unread, self._tags.unknown_frames)]
        known = {held.extra.digest for held in own}
        return own + [held for held in super().extras(fields) if held.extra.digest not in known]

    def put_extra(self, held: Held) -> None:
        if isinstance(held.content, Picture):
            self._put_picture(held.content)
        elif not id3_extras.put(self._tags, held, self._encoding()):
            super().put_extra(held)

    def other_texts(self) -> Iterator[tuple[str, Iterable[str]]]:
        for frame in self._tags.getall("TXXX"):
            if free_entry(frame.desc, ()) is None:
                yield frame.desc, map(str, frame.text)

    def put_text(self, key: str, values: tuple[str, ...]) -> None:
        self._add("TXXX", desc=key, text=list(values))

    def _encoding(self) -> Any:
        from mutagen.id3 import Encoding

        return Encoding.UTF16 if self._is_v23 else Encoding.UTF8

    def _add(self, kind: str, **content: Any) -> None:
        import mutagen.id3

        if kind[0] == "T" or kind in ("COMM", "USLT"):
            content["encoding"] = self._encoding()
        self._tags.add(getattr(mutagen.id3, kind)(**content))

    def pictures(self) -> list[Picture]:
        frames = [frame for frame in self._tags.getall("APIC") if frame.data]
        return [Picture(int(frame.type), cover_of(frame.data, frame.mime), clean(frame.desc)) for frame in frames]

    def put_cover(self, cover: Cover) -> None:
        for key, frame in list(self._tags.items()):
            if frame.FrameID == "APIC" and frame.type == FRONT:
                del self._tags[key]
        self._put_picture(Picture(FRONT, cover))

    def _put_picture(self, picture: Picture) -> None:
        """Adds it under a description that no other has."""
        taken = {frame.desc for frame in self._tags.getall("APIC")}
        plain = picture.what
        names = itertools.chain((picture.description, plain), (f"{plain} {n}" for n in itertools.count(2)))
        desc = next(text for text in names if text not in taken)
        cover = picture.cover
        self._add("APIC", encoding=self._encoding(), mime=cover.mime, type=picture.kind, desc=desc, data=cover.data)

    def save(self, file: BinaryIO) -> None:
        """A NUL separates values in 2.3 too: with "/", which that version prescribes, AC/DC would be two. An ID3v1 tag
        repeats the new values."""
        keywords: dict[str, Any] = {"v2_version": 3, "v23_sep": None} if self._is_v23 else {}
        if id3v1_of(file):
            keywords["v1"] = 2
        file.seek(0)
        self._tags.save(file, **keywords)


def _comment(frame: Any) -> Iterator[Entry]:
    if frame.desc in ("", _ID3V1_COMMENT):
        yield Entry("comment", int(bool(frame.desc)), tuple(map(str, frame.text)))
        return
    entry = free_entry(f"comment:{frame.desc}", map(str, frame.text))
    if entry:
        yield Entry(entry.name, 0, entry.values)
