"""A file opened for mutagen, which copies what is left of an ID3 tag once for each of its frames: a tag of 10 MB in
half a million frames would take it days."""

from __future__ import annotations

from collections.abc import Iterator

from dedup.files.bounded import Bounded, TooMuchError

MOST_COPIED = 16 << 30
"""Bytes that mutagen may copy for one tag: some seconds. A tag of 64 MiB has 256 frames then, one of 1 MiB 16,000."""

_HEADER = 10
_DEEPEST = 3
_MOST_UNCHECKED = 1 << 16


class TagFile(Bounded):
    """`Bounded`, and a large ID3 tag is looked at before mutagen parses it."""

    _version, _is_unsynchronised = 0, False

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes. Raises TooMuchError, also for a tag that takes too long to parse."""
        data = super().read(size)
        if len(data) == _HEADER and data[:3] == b"ID3":
            self._version, self._is_unsynchronised = data[3], bool(data[5] & 0x80)
        elif self._version and len(data) > _MOST_UNCHECKED:
            whole = data.replace(b"\xff\x00", b"\xff") if self._is_unsynchronised and self._version < 4 else data
            if any(_is_costly(whole, self._version, bits) for bits in ((8,) if self._version < 4 else (7, 8))):
                self.is_exceeded = True
                raise TooMuchError("too many frames in an ID3 tag")
            self._version = 0
        return data


def _is_costly(data: bytes, version: int, bits: int) -> bool:
    cost = 0
    for copied in _copies(data, version, bits, 0):
        cost += copied
        if cost > MOST_COPIED:
            return True
    return False


def _copies(data: bytes, version: int, bits: int, depth: int) -> Iterator[int]:
    """Bytes that mutagen copies for each frame. `bits` of each byte of a size count: iTunes takes 8 for 7."""
    n_header, n_name = (6, 3) if version == 2 else (_HEADER, 4)
    at = 0
    while at + n_header <= len(data) and data[at]:
        size = 0
        for digit in data[at + n_name : at + (6 if version == 2 else 8)]:
            size = size << bits | digit & ((1 << bits) - 1)
        yield len(data) - at
        name, start = data[at : at + n_name], at + n_header
        at = start + size
        if name == b"CHAP" and size > _MOST_UNCHECKED:
            inner = data[start : min(at, len(data))]
            if depth == _DEEPEST:
                yield MOST_COPIED + 1
            else:
                yield from _copies(inner[inner.find(b"\0") + 17 :], version, bits, depth + 1)
        elif name == b"CTOC" and size > _MOST_UNCHECKED:
            yield size * size // 22
