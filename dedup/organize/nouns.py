"""The nouns of a reorganisation."""

from __future__ import annotations

from dataclasses import dataclass

from dedup.plan.nouns import PlannedPlaylist


@dataclass(frozen=True, slots=True)
class Beside:
    """A file that goes along with a piece of music: a side-car, a cover, a cue sheet."""

    path: bytes
    target: bytes
    size: int
    mtime_ns: int
    """Size and time when it was planned."""


@dataclass(frozen=True, slots=True)
class Moving:
    """A piece of music that gets another path."""

    path: bytes
    target: bytes
    size: int
    mtime_ns: int
    beside: tuple[Beside, ...] = ()

    @property
    def all_files(self) -> tuple[Moving | Beside, ...]:
        """The music, and what goes along."""
        return (self, *self.beside)


@dataclass(frozen=True, slots=True)
class Staying:
    """A file that stays where it is, and why."""

    path: bytes
    reason: str


@dataclass(frozen=True)
class Organisation:
    """What a template makes of a library."""

    moves: tuple[Moving, ...]
    """In the order of their paths; all targets differ, also on disks that ignore case."""
    staying: tuple[Staying, ...] = ()
    """What should move, or may have to, and cannot; in the order of the paths."""
    n_there: int = 0
    """Files that are where they belong."""
    n_numbered: int = 0
    """Files that get a number, since others have the same name by the template."""
    playlists: tuple[PlannedPlaylist, ...] = ()
    """Playlists that name files that move."""
    to: bytes | None = None
    """Folder below which everything goes; None: each file stays below its root."""

    @property
    def moved(self) -> dict[bytes, bytes]:
        """New paths by old ones, of all files."""
        return {each.path: each.target for moving in self.moves for each in moving.all_files}
