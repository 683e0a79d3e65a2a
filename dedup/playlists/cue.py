"""Cue sheets: references are the names in `FILE "Image.flac" WAVE`, with quotes or without. The type behind the name
stays as it is; programs go by the file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dedup.files.paths import printable
from dedup.playlists.nouns import Entry, PlaylistError, Reading
from dedup.playlists.text import TextPlaylist

_END = rb"[ \t]*(?:[\r\n]|\Z)"
_FILE = re.compile(
    rb"(?:\A(?:\xef\xbb\xbf)?|(?<=[\r\n]))[ \t]*FILE[ \t]+"
    rb"(?:\"(?P<quoted>[^\"\r\n]+)\"|(?P<plain>[^\" \t\r\n][^\r\n]*?)(?=(?:[ \t]+[A-Z0-9]+)?" + _END + rb"))",
    re.IGNORECASE,
)
"""A name without quotes ends before the type, the last word of its line."""


class Cue(TextPlaylist):
    """A cue file."""

    def _found(self) -> Iterator[Entry]:
        for line in _FILE.finditer(self.content):
            group = "plain" if line["quoted"] is None else "quoted"
            yield Entry(*line.span(group), line[group])

    def replaced(self, entry: Entry, reading: Reading, new: bytes) -> bytes:
        """Raises PlaylistError for a name that no cue sheet can hold: with a quote, or a character that its encoding
        lacks."""
        text = self._replacing_text(entry, reading, new)
        if text is None or b'"' in text:
            raise PlaylistError(f"a cue sheet in its encoding cannot name {printable(new)}")
        is_quoted = self.content[entry.start - 1 : entry.start] == b'"'
        return text if is_quoted or not re.search(rb"[ \t]", text) else b'"' + text + b'"'
