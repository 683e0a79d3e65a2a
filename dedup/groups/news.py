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

_HIGHEST = "SELECT IFNULL((SELECT MAX(id) FROM track), 0), IFNULL((SELECT MAX(id) FROM audio), 0)"

# A moved file is a new row too, but the first one of its audio, because the old row is gone.
_UNTOLD = """
    SELECT path FROM track AS it WHERE audio > :audio
    UNION
    SELECT path FROM track AS it WHERE id > :track
        AND EXISTS (SELECT 1 FROM track WHERE track.audio = it.audio AND track.id < it.id)
"""


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
    paths = {row[0] for row in store.catalog.connection.execute(_UNTOLD, _told(store))}
    n_copies = n_groups = 0
    for group in groups if paths else ():
        n_new = sum(track.path in paths for track in group.tracks)
        n_copies += min(n_new, len(group.members))
        n_groups += n_new > 0
    return News(n_copies, n_groups)


def end_news(store: Store) -> None:
    """Records that everything up to now is reported; called at the very end of a run."""
    track, audio = store.catalog.connection.execute(_HIGHEST).fetchone()
    store.catalog.set_meta(TOLD, {"track": track, "audio": audio})


def _told(store: Store) -> dict[str, int]:
    told: dict[str, int] = store.catalog.meta().get(TOLD, {"track": 0, "audio": 0})
    return told
