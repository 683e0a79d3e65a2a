"""What is new since `full` last finished: copies in files that it did not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.groups.groups import Group

if TYPE_CHECKING:
    from dedup.store.store import Store

TOLD = "told"
"""Key of the catalog's `meta` with the highest reported ids. Later rows get higher ids, whatever was dropped."""


@dataclass(frozen=True)
class News:
    """What the groups contain that was not reported yet."""

    n_copies: int
    """Copies of another file, if at least one of the two is new; in a group of new files only, the best copy does not
    count."""
    n_groups: int
    """Groups with a new file."""


def news(store: Store, groups: Sequence[Group]) -> News:
    """What is new in these groups."""
    told = store.catalog.meta.get(TOLD, {"track": 0, "audio": 0})
    paths = store.catalog.tracks.new_since(told["track"], told["audio"])
    n_copies = n_groups = 0
    for group in groups if paths else ():
        n_new = sum(track.path in paths for track in group.tracks)
        n_copies += min(n_new, len(group.members))
        n_groups += n_new > 0
    return News(n_copies, n_groups)


def end_news(store: Store) -> None:
    """At the very end of a run: what is there now is told."""
    catalog = store.catalog
    catalog.meta.set(TOLD, {"track": catalog.tracks.highest_id(), "audio": catalog.audios.highest_id()})
