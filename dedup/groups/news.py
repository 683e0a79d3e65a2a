"""What is new since `full` last came to its end: the copies that were found in files it did not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.groups.groups import Group

if TYPE_CHECKING:
    from dedup.store.store import Store

TOLD = "told"
"""Key of the catalog's `meta`: ids. The catalog gives higher ones to rows that come later, whatever was dropped."""


@dataclass(frozen=True)
class News:
    """What the groups hold that was not told yet."""

    n_copies: int
    """Files that are copies of another, and of which at least one of the two is new; of new files that are all of
    a group, one is the best copy and none of these."""
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
