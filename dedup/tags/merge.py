"""The result of uniting the tags of several files, and what hangs off them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dedup.tags.extras import ExtraKind


@dataclass(frozen=True)
class Conflict:
    """A tag field whose values differ in two files of a group; the kept file's values stay."""

    name: str
    kept: tuple[str, ...]
    other: tuple[str, ...]
    path: bytes
    """Path of the file that has `other`."""


@dataclass(frozen=True)
class CarriedExtra:
    """Chapters, cue points, lyrics or a rating that the kept file gets."""

    kind: ExtraKind
    what: str
    """The thing in words: "12 chapters"."""
    digest: str
    """`Extra.digest`."""
    path: bytes
    """Path of the file that has it."""


@dataclass(frozen=True)
class Merge:
    """What a kept file gets from the others."""

    into: bytes
    """Path of the kept file."""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """New values of each tag field that changes, all of them."""
    cover_from: bytes | None = None
    """Path of the file whose cover it gets; None if it has one, or no other file has a good one."""
    conflicts: tuple[Conflict, ...] = ()
    extras: tuple[CarriedExtra, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.fields or self.extras) or self.cover_from is not None
