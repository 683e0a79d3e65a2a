"""Folders with playlists that a person named when a plan was made: only there, and below the roots, may a clean-up
rewrite a playlist. A plan is a document that anybody may edit, so it cannot add one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dedup.store.database import damaged
from dedup.store.protection import folders_of

if TYPE_CHECKING:
    from dedup.store.store import Store

PLAYLISTS = "playlists"
"""Key in the catalog's `meta` table: paths as hex digits, sorted."""


def playlist_folders(store: Store) -> tuple[bytes, ...]:
    """The folders, absolute and sorted. Raises StoreDamagedError if they cannot be read."""
    try:
        return tuple(folders_of(store.catalog.meta.get(PLAYLISTS, [])))
    except ValueError as error:
        raise damaged(store.layout.catalog, f"the folders of playlists cannot be read ({error})") from error


def add_playlist_folders(store: Store, folders: Iterable[bytes]) -> None:
    """Remembers these folders as well."""
    with store.catalog.transaction():
        store.catalog.meta.set(PLAYLISTS, sorted(folder.hex() for folder in {*playlist_folders(store), *folders}))
