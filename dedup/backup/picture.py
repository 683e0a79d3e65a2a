"""A picture that is fetched into memory."""

from __future__ import annotations

from dedup.backup.source import UnavailableError
from dedup.tags.cover import LARGEST_BYTES, Cover, cover_of, is_usable


class Picture:
    """A `net.sink.Sink`. `write` raises UnavailableError for what is too large for a cover."""

    def __init__(self) -> None:
        self._data = bytearray()

    @property
    def n_bytes(self) -> int:
        return len(self._data)

    def write(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > LARGEST_BYTES:
            raise UnavailableError(f"it is larger than {LARGEST_BYTES >> 20} MiB")

    def restart(self) -> None:
        self._data.clear()

    @property
    def cover(self) -> Cover | None:
        """The picture; None if it is none that tags can hold."""
        cover = cover_of(bytes(self._data))
        return cover if is_usable(cover) else None
