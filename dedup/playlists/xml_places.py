"""Where an XML document holds its references: found by the XML parser, given as positions in the bytes, so that a name
can change while every other byte stays."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from dedup.playlists.nouns import PlaylistError


class XmlReader:
    """One pass over a document. A format says in `_enter` and the like what its references are."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.codec = "utf-8"
        """Codec of the document."""
        if content[:2] in (b"\xff\xfe", b"<\0"):
            self.codec = "utf-16-le"
        elif content[:2] in (b"\xfe\xff", b"\0<"):
            self.codec = "utf-16-be"
        self.parser: Any = expat.ParserCreate()
        self.parser.XmlDeclHandler = self._declare

    def run(self) -> None:
        """Reads it to its end. Raises PlaylistError if the XML is not well-formed or its encoding is unknown."""
        try:
            self.parser.Parse(self.content, True)
            "".encode(self.codec)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise PlaylistError(f"broken XML: {error}") from error

    def _declare(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding and not self.codec.startswith("utf-16"):
            self.codec = encoding
