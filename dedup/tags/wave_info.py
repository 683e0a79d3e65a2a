"""The INFO list of a WAV file and the text chunks of AIFF, where programs put tags that write no ID3, and chunks that
no tag can hold. They are read, never written: ID3 wins over them."""

from __future__ import annotations

from collections.abc import Iterator

from dedup.files.bounded import Bounded
from dedup.tags.extras import Extra, Held, Raw, digest_of

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
    b"ISRC": "source",
    b"ISBJ": "subject",
    b"IKEY": "keywords",
    b"IARL": "archive",
    b"ICMS": "commissioner",
}
_TEXTS = {b"NAME": "title", b"AUTH": "artist", b"ANNO": "comment", b"(c) ": "copyright"}
"""Chunks of AIFF."""

_CUES = {
    b"cue ": "markers",
    b"adtl": "markers",
    b"MARK": "markers",
    b"smpl": "loops",
    b"bext": "broadcast metadata",
    b"iXML": "broadcast metadata",
    b"axml": "broadcast metadata",
    b"cart": "broadcast metadata",
    b"COMT": "comments on markers",
}
"""What chunks hold for which tags have no place."""

_LARGEST = 1024 * 1024
"""Bytes of an INFO list that are read; usual lists have a few hundred."""

_MOST_CHUNKS = 1000
"""Chunks of a file that are looked at; usual files have fewer than ten. A damaged one may seem to have millions."""


def read_info(file: Bounded) -> dict[str, tuple[str, ...]]:
    """Values by common name; empty for anything but a WAV or AIFF file."""
    found: dict[str, tuple[str, ...]] = {}
    for kind, size in _chunks(file):
        if kind == b"INFO":
            found |= _parsed(file.read(min(size, _LARGEST)))
        elif kind in _TEXTS:
            found.setdefault(_TEXTS[kind], (_decoded(file.read(min(size, _LARGEST))),))
    return found


def read_cues(file: Bounded) -> list[Held]:
    """Markers, loops and broadcast metadata; none for anything but a WAV or AIFF file. A chunk of zeros says
    nothing."""
    found: dict[str, list[str]] = {}
    for kind, size in _chunks(file):
        data = file.read(min(size, _LARGEST)) if kind in _CUES else b""
        if any(data):
            found.setdefault(_CUES[kind], []).append(f"{kind!r} {data.hex()}")
    return [
        Held(Extra("cues", what, digest_of(what, *sorted(content))), Raw(what, content))
        for what, content in found.items()
    ]


def _chunks(file: Bounded) -> Iterator[tuple[bytes, int]]:
    """Kind and size of each, with the file positioned at its content. A list is of the kind of its content."""
    file.seek(0)
    head, position = file.read(12), 12
    is_wave = head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE"
    if not is_wave and (head[:4] != b"FORM" or head[8:] not in (b"AIFF", b"AIFC")):
        return
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[4:], "little" if is_wave else "big")
        yield (file.read(4), max(0, size - 4)) if head[:4] == b"LIST" else (head[:4], size)
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
