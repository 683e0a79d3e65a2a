"""Roots that are suddenly empty: more likely a drive that is not there than a library that was deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dedup.errors import LibraryError
from dedup.files.paths import holds, printable
from dedup.library.discover import Candidate
from dedup.store.tracks import KnownTrack

MayForget = Callable[[bytes, int], bool]
"""Decides whether all that is known below a root may be forgotten, from the root and the number of files."""

MOST_AT_ONCE = 50
"""Files of a root that may go without a question if it is empty then."""


def never(root: bytes, n_files: int) -> bool:  # noqa: ARG001
    """Nothing may be forgotten at once."""
    return False


def require_not_empty(
    roots: Sequence[bytes], candidates: Sequence[Candidate], gone: Sequence[KnownTrack], may_forget: MayForget
) -> None:
    """Raises LibraryError if a root holds no candidate any more and more than MOST_AT_ONCE files of it are gone, unless
    they may be forgotten."""
    for root in roots:
        n_gone = sum(track.state == "present" and holds(root, track.path) for track in gone)
        if n_gone <= MOST_AT_ONCE or any(holds(root, candidate.path) for candidate in candidates):
            continue
        if not may_forget(root, n_gone):
            raise LibraryError(
                printable(root),
                f"holds no audio file any more, and held {n_gone:,} when it was last scanned; nothing is forgotten",
                remedy="Mount the drive; if the files are gone on purpose, run the same command with --allow-empty",
            )
