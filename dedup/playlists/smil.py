"""WPL and ZPL, the playlists of Windows Media Player and Zune: references are the `src` of each `<media>`, plain paths,
mostly with backslashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape

from dedup.playlists.nouns import Entry, Reading
from dedup.playlists.text import TextPlaylist, encoded, like
from dedup.playlists.xml_places import XmlReader

_ATTRIBUTE = r"\s+[^\s=<>/]+\s*=\s*(?:\"[^\"]*\"|'[^']*')"
_SOURCE = re.compile(rf"<[^\s<>/]+(?:{_ATTRIBUTE})*?\s+src\s*=\s*(\"[^\"]*\"|'[^']*')")
"""A tag from its beginning to the end of the value of `src`, with its quotes."""
_TAG_BYTES = (1 << 12, 1 << 18)
"""Bytes from the beginning of a tag in which that value is looked for, first in the few, then in the many."""
_NOT_IN_XML = re.compile("[\x00-\x1f\ufffe\uffff\ud800-\udfff]")
_QUOTES = {'"': "&quot;", "'": "&apos;"}


class Smil(TextPlaylist):
    """A wpl or zpl file."""

    def _read(self) -> tuple[tuple[Entry, ...], str]:
        reader = _Reader(self.content)
        reader.run()
        return tuple(reader.entries), reader.codec

    def replaced(self, entry: Entry, reading: Reading, new: bytes) -> bytes:
        text = self._replacing_text(entry, reading, new)
        if text is None or _NOT_IN_XML.search(text.decode("utf-8", "surrogateescape")):
            text = self._otherwise(new)
        return escape(text.decode(), _QUOTES).encode(self.codec, "xmlcharrefreplace")

    def _plain_target(self, entry: Entry, _reading: Reading, new: bytes) -> bytes | None:
        # The text of an entry is UTF-8, whatever the document is in.
        return encoded(like(entry.text, new, self.folder), "utf-8")


class _Reader(XmlReader):
    """Finds the sources."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.entries: list[Entry] = []
        self.parser.StartElementHandler = self._enter

    def _enter(self, name: str, attributes: Mapping[str, str]) -> None:
        text = attributes.get("src", "").strip()
        if name.rpartition(":")[2] != "media" or not text:
            return
        place = self._place(self.parser.CurrentByteIndex)
        if place is not None:
            self.entries.append(Entry(*place, text.encode()))

    def _place(self, start: int) -> tuple[int, int] | None:
        """Where the value of `src` is in the bytes, without its quotes; None if it is too far from its tag."""
        for n_bytes in _TAG_BYTES:
            tag = self.content[start : start + n_bytes].decode(self.codec, "replace")
            found = _SOURCE.match(tag)
            if found:
                begin, end = (start + len(tag[:at].encode(self.codec)) for at in (found.start(1) + 1, found.end(1) - 1))
                return begin, end
        return None
