"""How far a clean-up, a tagging and an undo reach: into the roots of the library, the quarantine that the plan names,
and the folders of playlists that the user named; through a link only if it leads to what the scan saw."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dedup.cleanup.journal import Journal, plan_of
from dedup.cleanup.rename import Rename
from dedup.cleanup.steps import FolderTime, Move
from dedup.files.held import Reach
from dedup.files.paths import holds, volume_of
from dedup.files.status import device_and_inode
from dedup.store.remembered import playlist_folders

if TYPE_CHECKING:
    from dedup.plan.nouns import Plan
    from dedup.store.store import Store
    from dedup.store.tracks import Track


def reach_of_plan(store: Store, plan: Plan, journal: Journal | None = None) -> Reach:
    """What a clean-up by this plan may change. `journal`: that of a clean-up which goes on."""
    paths = {file.path for group in plan.groups for file in group.files}
    tracks = [track for path in paths if (track := store.catalog.tracks.get(path)) is not None]
    others = [*([plan.to] if plan.to is not None else []), *playlist_folders(store)]
    return Reach(store.catalog.tracks.roots(), others, Seen(tracks).proves, _ways(journal) if journal else {})


def reach_of_tracks(store: Store, paths: Iterable[bytes]) -> Reach:
    """What writing tags to these files may change."""
    tracks = [track for path in paths if (track := store.catalog.tracks.get(path)) is not None]
    return Reach(store.catalog.tracks.roots(), (), Seen(tracks).proves)


def reach_of_journal(store: Store, journal: Journal) -> Reach:
    """What taking back a clean-up may change. A root of which no track is left is known from the records of the files
    that went."""
    roots = roots_of(store, journal)
    others, ways = [*playlist_folders(store)], _ways(journal)
    held = [*roots, *others]
    targets = {os.path.dirname(entry.step.target) for entry in journal.entries if isinstance(entry.step, Move)}
    if any(target not in ways and not any(holds(top, target) for top in held) for target in targets):
        to = plan_of(journal).to  # a journal of an older version does not say it
        others += [to] if to is not None else []
    return Reach(roots, others, ways=ways)


def roots_of(store: Store, journal: Journal) -> list[bytes]:
    """The roots of the library, and those of the files that a clean-up removed or moved, in order."""
    return sorted({*store.catalog.tracks.roots(), *_roots(journal)})


def _ways(journal: Journal) -> dict[bytes, bytes]:
    """Real paths of the folders that were proven when the clean-up changed them."""
    noted = (entry.step for entry in journal.entries if isinstance(entry.step, FolderTime))
    return {step.path: step.real for step in noted if step.real}


def _roots(journal: Journal) -> set[bytes]:
    """The roots of the files that went, and of the paths that others got, if they are above them."""
    found = set()
    for entry in journal.entries:
        with contextlib.suppress(KeyError, TypeError, ValueError):  # what cannot be read is no root
            root = bytes.fromhex((entry.known or {})["root"])
            if holds(root, entry.step.path):
                found.add(root)
        if isinstance(entry.step, Rename) and entry.step.root and holds(entry.step.root, entry.step.target):
            found.add(entry.step.root)
    return found


class Seen:
    """The files as a scan saw them, by their folders."""

    def __init__(self, tracks: Iterable[Track]) -> None:
        self._by_folder: dict[bytes, list[Track]] = {}
        for track in tracks:
            self._by_folder.setdefault(os.path.dirname(track.path), []).append(track)

    def proves(self, folder: bytes, descriptor: int) -> bool:
        """Whether an open folder is the one that the scan saw by this name: it holds, under the same name, a file of
        the same inode, on the same device or mount point: devices may get other numbers when a system starts."""
        return any(_is_seen(track, descriptor) for track in self._by_folder.get(folder, ()))


def _is_seen(track: Track, folder: int) -> bool:
    try:
        status = os.stat(os.path.basename(track.path), dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    device, inode = device_and_inode(status)
    return inode == track.inode and (device == track.device or volume_of(track.path) == track.volume)
