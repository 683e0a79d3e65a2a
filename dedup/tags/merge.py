"""What uniting the tags of several files comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Conflict:
    """A tag field that two files of a group have with different values; the kept one's stays."""

    name: str
    kept: tuple[str, ...]
    other: tuple[str, ...]
    path: bytes
    """The file that has `other`."""


@dataclass(frozen=True)
class Merge:
    """What a kept file is to get from the others."""

    into: bytes
    """Path of the file that these values were united for."""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The whole new value of each tag field that changes."""
    cover_from: bytes | None = None
    """Path of the file whose cover it gets, where it has none."""
    conflicts: tuple[Conflict, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.fields) or self.cover_from is not None
