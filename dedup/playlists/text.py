"""Playlists of text lines: how their references are read, and written again in the same style."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import unquote_to_bytes

from dedup.files.uri import DRIVE, FILE_URL, quoted
from dedup.playlists.nouns import Entry, PlaylistError, Reading

BOM = b"\xef\xbb\xbf"

_ELSEWHERE = re.compile(rb"[a-z][a-z0-9+.-]+://|[a-z]:[\\/]|\\\\", re.IGNORECASE)
"""Beginnings that a plain path cannot have: a URL, a Windows drive, another machine."""
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_PLAIN_LINE = re.compile(
    rb"(?![# \t]|\xef\xbb\xbf)(?!.*(?:\xc2\x85|\xe2\x80[\xa8\xa9]))[^\r\n\x0b\x0c\x1c-\x1e]*(?<![ \t])", re.DOTALL
)
"""What a line of every format can be without being taken for a comment, losing blanks, or being read as two lines: some
programs end a line at any character of Unicode that ends one."""


class TextPlaylist:
    """A playlist whose references are plain paths or `file://` URLs, in an encoding that it does not name."""

    reads_percent_signs: ClassVar[bool] = False
    """Whether programs write plain paths with percent signs in this format."""

    def __init__(self, folder: bytes, content: bytes) -> None:
        """`folder` is where relative references start from. Raises PlaylistError if the content cannot be read."""
        self.folder, self.content = folder, content
        self.entries, self.codec = self._read()

    def _read(self) -> tuple[tuple[Entry, ...], str]:
        """The references, and the codec of the whole content. Raises PlaylistError."""
        if b"\0" in self.content:
            raise PlaylistError("not text, or UTF-16")
        return tuple(self._found()), "cp1252" if recoded(self.content) else "utf-8"

    def _found(self) -> Iterator[Entry]:
        """The references of the content."""
        raise NotImplementedError

    def readings(self, text: bytes) -> list[Reading]:
        """Possible readings of a reference, likely ones first; none if it is not a local file."""
        names = self._names(text)
        found = [reading for name in names for reading in self._read_as(name, False)]
        if self.reads_percent_signs and not FILE_URL.fullmatch(text):
            plain = ((name, unquote_to_bytes(name)) for name in names)
            found += [reading for name, told in plain if told != name for reading in self._read_as(told, True)]
        return found

    def _read_as(self, name: bytes, is_coded: bool) -> Iterator[Reading]:
        for told, codec in [(name, None), *recoded(name)]:
            if b"\0" not in told:
                yield Reading(absolute(self.folder, told), codec, is_coded)

    def _names(self, text: bytes) -> list[bytes]:
        """The path that a reference gives, for both meanings of a backslash."""
        url = FILE_URL.fullmatch(text)
        if url:
            name = unquote_to_bytes(url[2])
            return [] if DRIVE.match(name) else [name]
        if _ELSEWHERE.match(text):
            return []
        turned = text.replace(b"\\", b"/")
        return list(dict.fromkeys((text, turned) if b"/" in text else (turned, text)))

    def replaced(self, entry: Entry, reading: Reading, new: bytes) -> bytes:
        """The bytes that replace an entry so that it refers to `new`. Raises PlaylistError if none can."""
        text = self._replacing_text(entry, reading, new)
        return self._otherwise(new) if text is None else text

    def _replacing_text(self, entry: Entry, reading: Reading, new: bytes) -> bytes | None:
        """Text in the style of the entry that refers to `new`; None if there is none."""
        url = FILE_URL.fullmatch(entry.text)
        if url:
            # Letters in Latin-1 are not a model: those of the new path are in UTF-8.
            return url[1] + quoted(new, _NOT_ASCII.sub(b"", url[2]) if recoded(url[2]) else url[2])
        target = self._plain_target(entry, reading, new)
        if target is None:
            return None
        backslashes = b"\\" not in target and self._has_backslashes(entry.text)
        text = target.replace(b"/", b"\\") if backslashes else target
        candidates = (text, (b".\\" if backslashes else b"./") + text)
        return next((each for each in candidates if self._tells(each, new)), None)

    def _plain_target(self, entry: Entry, reading: Reading, new: bytes) -> bytes | None:
        """The new path with slashes, absolute or relative like the entry, in its encoding; None if that lacks a
        character."""
        target = like(entry.text, new, self.folder)
        if reading.is_coded:
            return quoted(target, entry.text)
        codec = self.codec if entry.text.isascii() else reading.codec or (None if recoded(entry.text) else "utf-8")
        return encoded(target, codec)

    def _otherwise(self, new: bytes) -> bytes:
        """A reference that can hold any path."""
        return b"file://" + quoted(new, b"")

    def _has_backslashes(self, text: bytes) -> bool:
        """Whether backslashes separate folders: in the reference itself, otherwise in the first one with folders."""
        return b"/" not in text and (b"\\" in text or self._is_of_backslashes)

    @functools.cached_property
    def _is_of_backslashes(self) -> bool:
        """Whether backslashes separate folders in the first reference with folders."""
        local = (entry.text for entry in self.entries if not _ELSEWHERE.match(entry.text))
        first = next((text for text in local if b"/" in text or b"\\" in text), b"/")
        return b"/" not in first

    def _tells(self, text: bytes, new: bytes) -> bool:
        """Whether a line with that text is read as `new`: no reading before it is another file."""
        is_literal = b"\\" not in text or b"/" in text or b"\\" not in new
        if not is_literal or not _PLAIN_LINE.fullmatch(text):
            return False
        for reading in self.readings(text):
            if reading.path == new:
                return True
            if reading.codec is None and not reading.is_coded and b"%" in text and os.path.lexists(reading.path):
                return False
        return False


def recoded(name: bytes) -> list[tuple[bytes, str]]:
    """A name that is not UTF-8, taken for Windows' encoding or Latin-1: in UTF-8, and the codec."""
    for codec in ("utf-8", "cp1252", "latin-1"):
        try:
            text = name.decode(codec)
        except UnicodeDecodeError:
            continue
        return [] if codec == "utf-8" else [(text.encode(), codec)]
    raise AssertionError("Latin-1 reads anything")


def encoded(path: bytes, codec: str | None) -> bytes | None:
    """A path in the encoding of its playlist; None if that lacks one of its characters."""
    try:
        return path if codec is None else path.decode("utf-8").encode(codec)
    except UnicodeError:
        return None


def absolute(folder: bytes, name: bytes) -> bytes:
    """The path of a name that starts from a folder."""
    # POSIX lets two leading slashes mean something other than one, and normpath keeps them.
    return b"/" + os.path.normpath(os.path.join(folder, name)).lstrip(b"/")


def like(text: bytes, new: bytes, folder: bytes) -> bytes:
    """`new` in the form of `text`: absolute, relative, or relative with a leading dot."""
    if text.startswith((b"/", b"\\")):
        return new
    relative = os.path.relpath(new, folder)
    is_dotted = text.startswith((b"./", b".\\")) and not relative.startswith(b"../")
    return b"./" + relative if is_dotted else relative
