"""Where an XSPF playlist names its files: found by the XML parser, given as positions in the bytes, so that a name can
change while every other byte stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.parsers import expat


@dataclass(frozen=True)
class Entry:
    """A reference in a playlist."""

    start: int
    """Offset of its first byte in the content."""
    end: int
    """Offset after its last byte."""
    text: bytes
    """Text of the reference: those bytes, or in XML the text that they stand for, stripped, as UTF-8."""


class BrokenXmlError(Exception):
    """The XML is not well-formed, or its encoding is unknown; the text says where."""


def locations(content: bytes) -> tuple[tuple[Entry, ...], str, bool]:
    """The text of `<location>` in each `<track>`, the codec of the document, and whether it names its own starting
    place for relative references. Raises BrokenXmlError."""
    reader = _Reader(content)
    reader.run()
    return tuple(reader.entries), reader.codec, reader.has_base


class _Reader:
    """One pass over a document."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.codec = "utf-8"
        if content[:2] in (b"\xff\xfe", b"<\0"):
            self.codec = "utf-16-le"
        elif content[:2] in (b"\xfe\xff", b"\0<"):
            self.codec = "utf-16-be"
        self.entries: list[Entry] = []
        self.has_base = False
        self._open: list[str] = []
        self._start: int | None = None
        self._text: list[str] = []
        self._parser: Any = expat.ParserCreate()
        self._parser.XmlDeclHandler = self._declare
        self._parser.StartElementHandler = self._enter
        self._parser.EndElementHandler = self._leave
        self._parser.StartCdataSectionHandler = self._begin
        self._parser.CharacterDataHandler = self._take

    def run(self) -> None:
        try:
            self._parser.Parse(self._content, True)
            "".encode(self.codec)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise BrokenXmlError(str(error)) from error

    def _declare(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding and not self.codec.startswith("utf-16"):
            self.codec = encoding

    def _enter(self, name: str, attributes: Mapping[str, str]) -> None:
        self._open.append(name.rpartition(":")[2])
        self.has_base = self.has_base or "xml:base" in attributes
        self._start, self._text = None, []

    def _is_inside(self) -> bool:
        return self._open[-2:] == ["track", "location"]  # the playlist itself has a location too

    def _begin(self) -> None:
        if self._is_inside() and self._start is None:
            self._start = self._parser.CurrentByteIndex

    def _take(self, text: str) -> None:
        self._begin()
        self._text.append(text)

    def _leave(self, _name: str) -> None:
        text = "".join(self._text).strip()
        if self._is_inside() and self._start is not None and text:
            end = self._parser.CurrentByteIndex
            if self._is_plain(self._content[self._start : end].decode(self.codec, "replace").strip()):
                self.entries.append(Entry(self._start, end, text.encode()))
        self._open.pop()
        self._start, self._text = None, []

    @staticmethod
    def _is_plain(raw: str) -> bool:
        """Whether it is only text or one CDATA section, so that no comment gets lost."""
        return "<" not in raw or (raw.startswith("<![CDATA[") and raw.endswith("]]>") and raw.count("<") == 1)
