"""XSPF: references are URIs, the text of `<location>` in each `<track>`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from dedup.files.uri import DRIVE, FILE_URL, SCHEME, quoted
from dedup.playlists.nouns import Entry, Reading
from dedup.playlists.text import TextPlaylist, like
from dedup.playlists.xml_places import XmlReader


class Xspf(TextPlaylist):
    """An xspf file."""

    def _read(self) -> tuple[tuple[Entry, ...], str]:
        reader = _Reader(self.content)
        reader.run()
        # If the document names the place that relative paths start from, we cannot know what they mean.
        known = tuple(entry for entry in reader.entries if not reader.has_base or SCHEME.match(entry.text))
        return known, reader.codec

    def _names(self, text: bytes) -> list[bytes]:
        url = FILE_URL.fullmatch(text)
        if not url and SCHEME.match(text):
            return []
        name = url[2] if url else text
        names = dict.fromkeys((unquote_to_bytes(name), name))  # some programs write plain paths, percent signs included
        return [plain for plain in names if not (url and DRIVE.match(plain))]

    def replaced(self, entry: Entry, _reading: Reading, new: bytes) -> bytes:
        url = FILE_URL.fullmatch(entry.text)
        if url:
            text = url[1] + quoted(new, url[2])
        else:
            text = quoted(like(entry.text, new, self.folder), entry.text)
            text = b"./" + text if SCHEME.match(text) else text
        raw = self.content[entry.start : entry.end].decode(self.codec)
        before, after = raw[: len(raw) - len(raw.lstrip())], raw[len(raw.rstrip()) :]
        return f"{before}{escape(text.decode())}{after}".encode(self.codec, "xmlcharrefreplace")


class _Reader(XmlReader):
    """Finds the locations, and whether the document names its own starting place for relative references."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.entries: list[Entry] = []
        self.has_base = False
        self._open: list[str] = []
        self._start: int | None = None
        self._text: list[str] = []
        self.parser.StartElementHandler = self._enter
        self.parser.EndElementHandler = self._leave
        self.parser.StartCdataSectionHandler = self._begin
        self.parser.CharacterDataHandler = self._take

    def _enter(self, name: str, attributes: Mapping[str, str]) -> None:
        self._open.append(name.rpartition(":")[2])
        self.has_base = self.has_base or "xml:base" in attributes
        self._start, self._text = None, []

    def _is_inside(self) -> bool:
        return self._open[-2:] == ["track", "location"]  # the playlist itself has a location too

    def _begin(self) -> None:
        if self._is_inside() and self._start is None:
            self._start = self.parser.CurrentByteIndex

    def _take(self, text: str) -> None:
        self._begin()
        self._text.append(text)

    def _leave(self, _name: str) -> None:
        text = "".join(self._text).strip()
        if self._is_inside() and self._start is not None and text:
            end = self.parser.CurrentByteIndex
            if self._is_plain(self.content[self._start : end].decode(self.codec, "replace").strip()):
                self.entries.append(Entry(self._start, end, text.encode()))
        self._open.pop()
        self._start, self._text = None, []

    @staticmethod
    def _is_plain(raw: str) -> bool:
        """Whether it is only text or one CDATA section, so that no comment gets lost."""
        return "<" not in raw or (raw.startswith("<![CDATA[") and raw.endswith("]]>") and raw.count("<") == 1)
