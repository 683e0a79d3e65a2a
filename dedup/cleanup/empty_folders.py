"""Folders that a clean-up leaves with nothing in them but what file managers put there."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterable, Iterator

from dedup.files.paths import holds
from dedup.files.quarantine import QUARANTINE

LITTER = frozenset((b".DS_Store", b"Thumbs.db", b"desktop.ini"))


def empty_folders(gone: Iterable[bytes], roots: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Folders of files that are gone in which nothing but litter is left, and the root of each, the deepest first; who
    asks for the next removes them, and so those above them follow. A root is never among them."""
    tops = sorted(roots, key=len, reverse=True)
    waiting = [_place(folder) for folder in {os.path.dirname(path) for path in gone}]
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
            heapq.heappush(waiting, _place(os.path.dirname(folder)))


def _place(folder: bytes) -> tuple[int, bytes]:
    """Sorts the deepest first."""
    return -folder.count(b"/"), folder


def litter_of(folder: bytes) -> list[bytes] | None:
    """Names of the litter in a folder that has nothing else in it; None where it has, or is no folder."""
    try:
        entries = list(os.scandir(folder))
        is_litter = all(e.name in LITTER and stat.S_ISREG(e.stat(follow_symlinks=False).st_mode) for e in entries)
    except OSError:
        return None
    return sorted(entry.name for entry in entries) if is_litter and not os.path.islink(folder) else None
