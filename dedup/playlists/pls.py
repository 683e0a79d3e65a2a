"""PLS: references are the values of `File1=`, `File2=` …"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dedup.playlists.nouns import Entry
from dedup.playlists.text import TextPlaylist

_FILE = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|(?<=[\r\n]))[ \t]*File\d+[ \t]*=[ \t]*([^\r\n]*[^\r\n \t])", re.IGNORECASE)


class Pls(TextPlaylist):
    """A pls file."""

    def _found(self) -> Iterator[Entry]:
        return (Entry(*line.span(1), line[1]) for line in _FILE.finditer(self.content))
