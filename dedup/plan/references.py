"""Which playlists refer to which files. Playlists are read once; after that, any choice of files to remove shows which
playlists must be rewritten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dedup.plan.decide import removed_from
from dedup.plan.nouns import PlannedGroup, PlannedPlaylist

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.playlists.playlists import Moves


class References:
    """References to files in the playlists in and below some folders. A playlist that cannot be read is reported, and
    counts as one without references."""

    def __init__(self, folders: Sequence[bytes], files: Iterable[bytes], observer: Observer) -> None:
        from dedup.playlists.playlists import Moves, find_playlists

        self._counts: list[tuple[bytes, Counter[bytes]]] = []
        known = Moves({file: file for file in files})
        if known:
            observer.stage("look into playlists", None, "playlists")
            counted = ((path, _count(path, known, observer)) for path in find_playlists(folders))
            self._counts = [(path, counts) for path, counts in counted if counts]

    def planned(self, groups: Sequence[PlannedGroup]) -> tuple[PlannedPlaylist, ...]:
        """Playlists that refer by path to a file that is removed."""
        moved = removed_from(groups).keys()
        counted = ((path, sum(counts[file] for file in counts.keys() & moved)) for path, counts in self._counts)
        return tuple(PlannedPlaylist(path, count) for path, count in counted if count)


def _count(path: bytes, files: Moves, observer: Observer) -> Counter[bytes]:
    from dedup.playlists.playlists import MAX_BYTES, PlaylistError, count_references

    try:
        with open(path, "rb") as file:
            return count_references(path, file.read(MAX_BYTES + 1), files)
    except (OSError, PlaylistError) as error:
        observer.problem("failed", path, f"this playlist cannot be rewritten: {error}")
        return Counter()
    finally:
        observer.advance()
