"""Folders in which a clean-up leaves nothing except what file managers put there."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterable, Iterator

from dedup.files.paths import holds
from dedup.files.quarantine import QUARANTINE

LITTER = frozenset((b".DS_Store", b"Thumbs.db", b"desktop.ini"))


def empty_folders(gone: Iterable[bytes], roots: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yields folders of files that are gone that hold nothing except litter, with the root of each, the deepest first.
    The caller removes each before it asks for the next, so the folders above it follow. Never yields a root."""
    tops = sorted(roots, key=len, reverse=True)
    waiting = [_deepest_first(folder) for folder in {os.path.dirname(path) for path in gone}]
    heapq.heapify(waiting)
    seen: set[bytes] = set()
    while waiting:
        _, folder = heapq.heappop(waiting)
        root = next((top for top in tops if holds(top, folder)), None)
        if folder in seen or root is None or folder == root or QUARANTINE in folder.split(b"/"):
            continue
        seen.add(folder)
        if litter_of(folder) is not None:
            yield folder, root
        if not os.path.lexists(folder):
            heapq.heappush(waiting, _deepest_first(os.path.dirname(folder)))


def _deepest_first(folder: bytes) -> tuple[int, bytes]:
    """Key of the order."""
    return -folder.count(b"/"), folder


def litter_of(folder: bytes) -> list[bytes] | None:
    """Names of the litter in a folder that holds nothing else; None if it holds more, or is not a folder."""
    try:
        entries = list(os.scandir(folder))
        is_litter = all(e.name in LITTER and stat.S_ISREG(e.stat(follow_symlinks=False).st_mode) for e in entries)
    except OSError:
        return None
    return sorted(entry.name for entry in entries) if is_litter and not os.path.islink(folder) else None
