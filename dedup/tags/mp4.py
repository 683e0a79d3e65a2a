"""iTunes atoms of MP4: M4A, M4B, MP4. Fields of free name are "----" atoms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from dedup.tags.block import Block, Entry, free_entry
from dedup.tags.cover import FRONT, OTHER, Cover, Picture, cover_of
from dedup.tags.extras import Chapter, Held, Raw, chapters_held, data_held
from dedup.tags.free_extras import dj_extra
from dedup.tags.names import free_name, names_of, spelling_of
from dedup.tags.values import clean

_FREE = "----:com.apple.iTunes:"
_SERATO = "----:com.serato.dj:"
_MADE_ANEW = ("analysisversion", "autgain", "overview")
"""Atoms of Serato that describe the encoded file, which it analyses again."""

_ALSO = {
    "\xa9nrt": "narrator",
    "ldes": "longdescription",
    "purl": "podcasturl",
    "egid": "podcastid",
    "catg": "podcastcategory",
    "keyw": "podcastkeywords",
}
"""Atoms that are read as a field, but never written."""

_OF_THE_FILE = re.compile("covr|gnre|pgap|hdvd|stik|rtng|(cn|at|pl|ge|sf|ak|cm|ap)ID|ownr|purd|xid |shwm|\xa9enc")
"""Atoms of covers, and those by which iTunes and its shop know a file."""

_FREE_OF_THE_FILE = re.compile(r"encod(er|ing).*|itun.*", re.IGNORECASE)
"""Names of binary atoms of free name that describe the encoded file."""

_ANY_FREE = re.compile(r"----:(?!com\.serato\.dj:)[^:]*:(.*)", re.DOTALL | re.IGNORECASE)
_PAIRS = ("trkn", "disk")
_NUMBERS = ("tmpo", "\xa9mvi", "\xa9mvc")
_FLAG = "cpil"
_UNSIGNED_16 = re.compile(r"[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]", re.ASCII)
_SIGNED_16 = re.compile(r"[1-9]\d{0,3}|[12]\d{4}", re.ASCII)


class Mp4Block(Block):
    """The atoms of one file."""

    family = "mp4"

    def __init__(self, file: Any) -> None:
        self._file = file
        if file.tags is None:
            file.add_tags()
        self._own = names_of(self.family) | _ALSO

    def entries(self) -> Iterator[Entry]:
        for key, values in self._file.tags.items():
            if key in self._own:
                yield Entry(self._own[key], 0, _texts(key, values))
            elif free := _ANY_FREE.fullmatch(key):
                entry = free_entry(free[1], _free_texts(values))
                if entry:
                    yield entry

    def other_texts(self) -> Iterator[tuple[str, Iterable[str]]]:
        for key, values in self._file.tags.items():
            free = _ANY_FREE.fullmatch(key)
            if free and free_entry(free[1], ()) is None:
                yield free[1], _free_texts(values)

    def put_text(self, key: str, values: tuple[str, ...]) -> None:
        from mutagen.mp4 import MP4FreeForm

        self._file.tags[_FREE + key] = [MP4FreeForm(value.encode("utf-8")) for value in values]

    def remove(self, name: str) -> None:
        for key in list(self._file.tags):
            if self._name(key) == name:
                del self._file.tags[key]

    def _name(self, key: str) -> str | None:
        if free := _ANY_FREE.fullmatch(key):
            entry = free_entry(free[1], ())
            return entry.name if entry else None
        return self._own.get(key)

    def put_pair(self, number: str, numbers: tuple[str, ...], totals: tuple[str, ...]) -> None:
        spelling = spelling_of(number, self.family).text
        fits = len(numbers) <= 1 and len(totals) <= 1 and all(map(_UNSIGNED_16.fullmatch, numbers + totals))
        if spelling not in _PAIRS:
            super().put_pair(number, numbers, totals)
        elif fits and (numbers or totals):
            self._file.tags[spelling] = [(int("".join(numbers) or 0), int("".join(totals) or 0))]

    def set_own(self, spelling: str, values: tuple[str, ...]) -> None:
        if spelling == _FLAG:
            self._file.tags[spelling] = values == ("1",)
        elif spelling in _NUMBERS:
            if all(map(_SIGNED_16.fullmatch, values)):
                self._file.tags[spelling] = [int(value) for value in values]
        elif spelling not in _PAIRS:
            self._file.tags[spelling] = list(values)

    def put_free(self, name: str, values: tuple[str, ...]) -> None:
        from mutagen.mp4 import MP4FreeForm

        spelling = spelling_of(name, self.family)
        if values:
            key = _FREE + (spelling.text if spelling.free else free_name(name))
            self._file.tags[key] = [MP4FreeForm(value.encode("utf-8")) for value in values]

    def pictures(self) -> list[Picture]:
        """The first one is the cover; nothing is said of the others."""
        covers = [cover_of(bytes(data)) for data in self._file.tags.get("covr", ()) if data]
        return [Picture(OTHER if number else FRONT, cover) for number, cover in enumerate(covers)]

    def extras(self, fields: Mapping[str, tuple[str, ...]]) -> list[Held]:
        """Those in text, Nero's list of chapters, and Serato's atoms."""
        found = super().extras(fields)
        starts = [chapter.start for chapter in self._file.chapters or ()]
        if len(starts) > 1:
            ends = [*starts[1:], max(self._file.info.length, starts[-1])]
            titles = (chapter.title for chapter in self._file.chapters)
            found.append(chapters_held([Chapter(*each) for each in zip(starts, ends, titles, strict=True)]))
        for key, values in self._file.tags.items():
            name = key.lower().removeprefix(_SERATO)
            if name != key.lower() and name not in _MADE_ANEW and values:
                text = bytes(values[0]).decode("utf-8", "replace")
                found.append(Held(dj_extra(text, f"Serato {name}", "mp4"), Raw(key, values)))
            elif key not in self._own and values and not _OF_THE_FILE.fullmatch(key):
                free = _ANY_FREE.fullmatch(key)
                is_known = free and (_free_texts(values) or _FREE_OF_THE_FILE.fullmatch(free[1]))
                if name == key.lower() and not is_known:
                    what = f"MP4 atom {clean(free[1] if free else key)}"
                    found.append(data_held(what, "mp4", key, values, repr(values)))
        return found

    def put_extra(self, held: Held) -> None:
        if held.extra.form == "mp4" and isinstance(held.content, Raw):
            self._file.tags[held.content.key] = held.content.data
        else:
            super().put_extra(held)

    def put_cover(self, cover: Cover) -> None:
        """iTunes shows the first picture, whatever the others are."""
        from mutagen.mp4 import MP4Cover

        is_png = cover.mime == "image/png"
        first = MP4Cover(cover.data, MP4Cover.FORMAT_PNG if is_png else MP4Cover.FORMAT_JPEG)
        self._file.tags["covr"] = [first, *self._file.tags.get("covr", [])[1:]]

    def save(self, file: BinaryIO) -> None:
        file.seek(0)
        self._file.save(file)


def _texts(key: str, values: Any) -> tuple[str, ...]:
    if key == _FLAG:
        return (str(int(bool(values))),)
    if key in _PAIRS:
        return tuple(f"{number or ''}/{total}" if total else str(number) for number, total in values)
    return tuple(str(value) for value in values if isinstance(value, str | int))


def _free_texts(values: Any) -> tuple[str, ...]:
    """The values if all are text, whatever the atom says: some programs mark text as binary."""
    found = []
    for value in values:
        try:
            found.append(bytes(value).decode("utf-8"))
        except UnicodeDecodeError:
            return ()
    return tuple(found)
