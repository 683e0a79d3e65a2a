"""Protects folders from now on, for everyone who makes a plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dedup.errors import UsageError
from dedup.files.paths import printable
from dedup.store.protection import add_protection, drop_protection, protected
from dedup.store.remembered import add_playlist_folders, playlist_folders
from dedup.store.store import open_for_reading, open_for_writing


def protect_from_now_on(
    folder: Path,
    protect: Sequence[bytes],
    unprotect: Sequence[bytes] = (),
    *,
    playlists: Sequence[bytes] = (),
    purpose: str,
) -> None:
    """Remembers, in the store in `folder`, that these folders are protected, that others no longer are, and in which
    folders the user has playlists. The store is locked, in the name of `purpose`, and written only if that changes it.
    Raises UsageError for a folder that cannot be unprotected."""
    both = sorted(set(protect).intersection(unprotect))
    if both:
        found = "--protect or a setting protects it again"
        raise UsageError(f"--unprotect {printable(both[0])}", found, remedy="Leave out one of them")
    with open_for_reading(folder) as store:
        known, with_playlists = set(protected(store)), set(playlist_folders(store))
    unknown = sorted(set(unprotect) - known)
    if unknown:
        shown = ", ".join(map(printable, sorted(known))) or "none"
        raise UsageError(
            f"--unprotect {printable(unknown[0])}", "is not protected", remedy=f"Protected folders: {shown}"
        )
    if known.issuperset(protect) and with_playlists.issuperset(playlists) and not unprotect:
        return
    with open_for_writing(folder, purpose) as store:
        add_protection(store, protect)
        drop_protection(store, unprotect)
        add_playlist_folders(store, playlists)
