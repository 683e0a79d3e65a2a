"""M3U: one reference a line. VLC, Lollypop and others write plain paths with percent signs; where there is a file of
exactly that name, the line means that one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from dedup.playlists.nouns import Entry
from dedup.playlists.text import BOM, TextPlaylist


class M3u(TextPlaylist):
    """An m3u or m3u8 file."""

    reads_percent_signs: ClassVar[bool] = True

    def _found(self) -> Iterator[Entry]:
        if re.search(rb"^#EXT-X-", self.content, re.MULTILINE):
            return  # an HLS manifest: it lists pieces of a stream, not music files
        start = len(BOM) if self.content.startswith(BOM) else 0
        for line in re.compile(rb"[^\r\n]+").finditer(self.content, start):
            text = line[0].rstrip(b" \t")
            if text.strip(b" \t") and not text.lstrip(b" \t").startswith(b"#"):
                yield Entry(line.start(), line.start() + len(text), text)
