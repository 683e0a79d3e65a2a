"""The INFO list of a WAV file, where programs put tags that write no ID3. It is read, never written: ID3 wins over
it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

_NAMES = {
    b"INAM": "title",
    b"IART": "artist",
    b"IPRD": "album",
    b"ITRK": "tracknumber",
    b"IPRT": "tracknumber",
    b"ICRD": "date",
    b"IGNR": "genre",
    b"ICMT": "comment",
    b"ICOP": "copyright",
    b"IMUS": "composer",
    b"IWRI": "lyricist",
    b"IENG": "engineer",
    b"IPRO": "producer",
    b"ILNG": "language",
    b"ISRF": "media",
}
_LARGEST = 1024 * 1024
"""Bytes of an INFO list that are read; usual lists have a few hundred."""

_MOST_CHUNKS = 1000
"""Chunks of a file that are looked at; usual files have fewer than ten. A damaged one may seem to have millions."""


def read_info(file: BinaryIO) -> dict[str, tuple[str, ...]]:
    """Values by common name; empty for anything but a WAV file."""
    found: dict[str, tuple[str, ...]] = {}
    file.seek(0)
    head = file.read(12)
    if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
        for kind, size in _chunks(file):
            if kind == b"LIST" and file.read(4) == b"INFO":
                found |= _parsed(file.read(max(0, min(size - 4, _LARGEST))))
    return found


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and size of each, with the file positioned at its content."""
    position = file.tell()
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little")
        yield head[:4], size
        position += 8 + size + size % 2
        file.seek(position)


def _parsed(data: bytes) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    position = 0
    while position + 8 <= len(data):
        kind, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        text = _decoded(data[position + 8 : position + 8 + size])
        if kind in _NAMES and text:
            found.setdefault(_NAMES[kind], (text,))
        position += 8 + size + size % 2
    return found


def _decoded(data: bytes) -> str:
    """The list does not name its encoding; valid UTF-8 is taken for UTF-8."""
    data = data.partition(b"\0")[0]
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace").strip()
