"""Folders in which a clean-up leaves nothing except what file managers put there."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterable, Iterator

from dedup.cleanup.checks import Protection, Refusal
from dedup.cleanup.executor import Doing, reason_of
from dedup.cleanup.file_status import Status
from dedup.cleanup.steps import Move, RemoveFolder
from dedup.errors import UsageError
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


def remove_empty(
    gone: Iterable[bytes], roots: Iterable[bytes], doing: Doing, protection: Protection
) -> tuple[int, list[Refusal]]:
    """Removes these folders; litter goes to the quarantine first. How many went, and what was refused."""
    n_done, refused = 0, []
    for folder, root in empty_folders(gone, roots):
        if protection.holds(os.path.join(folder, b"x")):
            continue
        try:
            for name in litter_of(folder) or ():
                path = os.path.join(folder, name)
                target = doing.target(path, root)
                with doing.reach.spot(path) as spot:
                    step = Move.of_litter(spot, target)
                doing.do(step)
            with doing.reach.folder(folder) as descriptor:
                status = Status.of(descriptor)
            doing.do(RemoveFolder(folder, status))
            n_done += 1
        except OSError as error:
            refused.append(Refusal(folder, reason_of(error, folder, doing.then)))
        except UsageError as error:
            refused.append(Refusal(folder, str(error)))
    return n_done, refused


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
