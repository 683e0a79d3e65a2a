"""What a clean-up makes of a playlist: looked at by a dry run, and written by one that is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from dedup.cleanup.checks import Protection, Refusal
from dedup.cleanup.executor import GO_ON, reason_of
from dedup.cleanup.file_status import Status
from dedup.cleanup.originals import ChangedSinceError
from dedup.cleanup.rewrite import take_over
from dedup.errors import RepriseError, WriteError
from dedup.files.held import Reach, Spot
from dedup.files.paths import extension_of, printable
from dedup.plan.nouns import PlannedPlaylist
from dedup.playlists.moves import Moves
from dedup.playlists.nouns import PlaylistError
from dedup.playlists.playlists import EXTENSIONS, MAX_BYTES, rewritten, rewritten_elsewhere

_NO_PLAYLIST = f"it is not a playlist file ({', '.join(sorted(EXTENSIONS))})"
_PROTECTED = "it is in a protected folder"


@dataclass(frozen=True)
class Content:
    """Writes these bytes in the place of others, for `steps.Rewrite`."""

    path: bytes
    before: bytes
    content: bytes

    def __call__(self, old: BinaryIO, new: BinaryIO, part: Spot) -> None:  # noqa: ARG002
        if old.read(len(self.before) + 1) != self.before:
            raise ChangedSinceError(printable(self.path), "was changed while it was rewritten")
        new.write(self.content)
        new.flush()
        take_over(self.path, Status.of(old.fileno()), new)


class Rewritten(NamedTuple):
    """A playlist that refers to files that go."""

    real: bytes
    """Its path, without links in its folders."""
    content: bytes
    new: bytes
    """Content that refers to the kept files."""


def rewrite_all(
    playlists: Iterable[PlannedPlaylist],
    moves: Moves,
    protection: Protection,
    reach: Reach,
    do: Callable[[Rewritten], object],
    then: str = GO_ON,
) -> tuple[int, list[Refusal]]:
    """Calls `do` for each of the playlists that the moves change; how many these are, and what is refused. Raises
    WriteError for a full disk."""

    def find(path: bytes) -> Rewritten | None:
        found = _rewritten(path, moves, reach)
        if found is not None and protection.holds(path):
            raise PlaylistError(_PROTECTED)
        return found

    planned = (each.path for each in playlists if not each.problem)  # others stay as they are, as the plan says
    return _each(planned, find, do, then)


def rewrite_moved(
    moved: Mapping[bytes, bytes], moves: Moves, reach: Reach, do: Callable[[Rewritten], object], then: str
) -> tuple[int, list[Refusal]]:
    """Calls `do` for each playlist that moved itself, if its references must change: `moved` has the new path of each
    by its old one. How many these are, and what is refused, by the new path. Raises WriteError for a full disk."""
    was = {now: path for path, now in moved.items()}

    def find(now: bytes) -> Rewritten | None:
        with reach.spot(now) as spot, spot.open() as file:
            content = file.read(MAX_BYTES + 1)
        new = rewritten_elsewhere(was[now], now, content, moves)
        return None if new == content else Rewritten(now, content, new)

    return _each((now for _, now in sorted(moved.items())), find, do, then)


def _each(
    paths: Iterable[bytes],
    find: Callable[[bytes], Rewritten | None],
    do: Callable[[Rewritten], object],
    then: str,
) -> tuple[int, list[Refusal]]:
    """Calls `do` for what `find` makes of each playlist; how many these are, and what is refused."""
    n_done, refused = 0, []
    for path in paths:
        try:
            if (found := find(path)) is not None:
                do(found)
                n_done += 1
        except PlaylistError as error:
            refused.append(Refusal(path, str(error)))
        except WriteError:
            raise
        except RepriseError as error:
            refused.append(Refusal(path, error.found))
        except OSError as error:
            refused.append(Refusal(path, reason_of(error, path, then)))
    return n_done, refused


def real_of(path: bytes) -> bytes:
    """Path of a playlist without links in its folders."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _rewritten(path: bytes, moves: Moves, reach: Reach) -> Rewritten | None:
    """The playlist with its content before and after; None if nothing changes. Raises PlaylistError, OSError."""
    if extension_of(path) not in EXTENSIONS:
        raise PlaylistError(_NO_PLAYLIST)
    real = real_of(path)
    if not reach.holds(real):
        raise PlaylistError("it lies neither below a root of the library nor in a folder that --playlists named")
    with reach.spot(real) as spot:
        if not spot.is_file():
            raise PlaylistError(_NO_PLAYLIST)
        with spot.open() as file:
            content = file.read(MAX_BYTES + 1)
    new = rewritten(path, content, moves)
    return None if new == content else Rewritten(real, content, new)
