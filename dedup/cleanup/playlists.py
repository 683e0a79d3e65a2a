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
    n_done, refused = 0, []
    for planned in playlists:
        if planned.problem:
            continue  # it stays as it is, as the plan says
        try:
            found = _rewritten(planned.path, moves, reach)
            if found is not None and protection.holds(planned.path):
                refused.append(Refusal(planned.path, _PROTECTED))
            elif found is not None:
                do(found)
                n_done += 1
        except PlaylistError as error:
            refused.append(Refusal(planned.path, str(error)))
        except WriteError:
            raise
        except RepriseError as error:
            refused.append(Refusal(planned.path, error.found))
        except OSError as error:
            refused.append(Refusal(planned.path, reason_of(error, planned.path, then)))
    return n_done, refused


def _rewritten(path: bytes, moves: Moves, reach: Reach) -> Rewritten | None:
    """The playlist with its content before and after; None if nothing changes. Raises PlaylistError, OSError."""
    if extension_of(path) not in EXTENSIONS:
        raise PlaylistError(_NO_PLAYLIST)
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if not reach.holds(real):
        raise PlaylistError("it lies neither below a root of the library nor in a folder that --playlists named")
    with reach.spot(real) as spot:
        if not spot.is_file():
            raise PlaylistError(_NO_PLAYLIST)
        with spot.open() as file:
            content = file.read(MAX_BYTES + 1)
    new = rewritten(path, content, moves)
    return None if new == content else Rewritten(real, content, new)


def rewrite_moved(
    moved: Mapping[bytes, bytes], moves: Moves, reach: Reach, do: Callable[[Rewritten], object], then: str
) -> tuple[int, list[Refusal]]:
    """Calls `do` for each playlist that moved itself, if its references must change: `moved` has the new path of each
    by its old one. How many these are, and what is refused, by the new path. Raises WriteError for a full disk."""
    n_done, refused = 0, []
    for path, now in sorted(moved.items()):
        try:
            with reach.spot(now) as spot, spot.open() as file:
                content = file.read(MAX_BYTES + 1)
            new = rewritten_elsewhere(path, now, content, moves)
            if new != content:
                do(Rewritten(now, content, new))
                n_done += 1
        except PlaylistError as error:
            refused.append(Refusal(now, str(error)))
        except WriteError:
            raise
        except RepriseError as error:
            refused.append(Refusal(now, error.found))
        except OSError as error:
            refused.append(Refusal(now, reason_of(error, now, then)))
    return n_done, refused
