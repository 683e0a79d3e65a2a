"""What is new since `full` last finished: copies in files that it did not know, and problems that it did not tell."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dedup.files.paths import holds
from dedup.groups.groups import Group
from dedup.library.discover import Problem
from dedup.observer import Kind, Observer

if TYPE_CHECKING:
    from dedup.store.store import Store

TOLD = "told"
"""Key of the catalog's `meta` with the highest reported ids. Later rows get higher ids, whatever was dropped."""

TROUBLES = "troubles"
"""First word of the keys of the digests of the reported problems, sorted; the path of the root in which they were
found follows, in hex."""

BACK = "returning"
"""Key of the paths, in hex, of files that an undo has put back and a scan must read again: they are no news."""


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
    paths -= {bytes.fromhex(path) for path in store.catalog.meta.get(BACK, [])}
    n_copies = n_groups = 0
    for group in groups if paths else ():
        n_new = sum(track.path in paths for track in group.tracks)
        n_copies += min(n_new, len(group.members))
        n_groups += n_new > 0
    return News(n_copies, n_groups)


def expect_back(store: Store, path: bytes) -> None:
    """Remembers a file that is back and that the store does not know any more: the next run reads it, and it is no
    news."""
    meta = store.catalog.meta
    with store.catalog.transaction():
        meta.set(BACK, sorted({*meta.get(BACK, []), path.hex()}))


def end_news(store: Store, problems: Sequence[Problem] = (), roots: Sequence[bytes] = ()) -> None:
    """At the very end of a run: what is there now is told, and these problems in its roots, which are absolute. What
    was told of other roots stays so."""
    catalog = store.catalog
    before = catalog.meta.get(TOLD, {"track": 0, "audio": 0})
    told = {"track": catalog.tracks.highest_id(), "audio": catalog.audios.highest_id()}
    with catalog.transaction():
        # The highest row may be away, and come back with its id.
        catalog.meta.set(TOLD, {name: max(number, before[name]) for name, number in told.items()})
        _tell(store, problems, roots)
        catalog.meta.drop(BACK)


# ---- problems ----


def digest(kind: Kind, path: bytes, reason: str) -> str:
    """16 hex digits that identify a problem from night to night."""
    return hashlib.blake2b(b"\0".join((kind.encode(), path, reason.encode())), digest_size=8).hexdigest()


def _tell(store: Store, problems: Sequence[Problem], roots: Sequence[bytes]) -> None:
    """These problems in place of those that were told of these roots, and of what lies below them."""
    meta = store.catalog.meta
    for key in _troubles(store):
        of_root = bytes.fromhex(key.partition(" ")[2])
        known = [of_root] if of_root else store.catalog.tracks.roots()
        if all(any(holds(root, each) for root in roots) for each in known):
            meta.drop(key)
    for root in roots:
        found = {digest(each.kind, each.path, each.reason) for each in problems if holds(root, each.path)}
        if found:
            meta.set(f"{TROUBLES} {root.hex()}", sorted(found))


def _troubles(store: Store) -> dict[str, list[str]]:
    """Digests of the reported problems by their key; that of an older version names no root."""
    return {key: value for key, value in store.catalog.meta.read().items() if key.partition(" ")[0] == TROUBLES}


def problems_known(store: Store) -> Callable[[Kind, bytes, str], bool]:
    """Whether a run that came to its end has told of a problem."""
    told = frozenset(itertools.chain.from_iterable(_troubles(store).values()))
    return lambda kind, path, reason: kind != "ignored" and digest(kind, path, reason) in told


def marked(problems: Sequence[Problem], is_known: Callable[[Kind, bytes, str], bool]) -> list[Problem]:
    """The problems, those marked of which somebody has told."""
    return [replace(each, is_known=is_known(each.kind, each.path, each.reason)) for each in problems]


class OnlyNew:
    """An observer that hears of no problem of which somebody has told."""

    def __init__(self, observer: Observer, is_known: Callable[[Kind, bytes, str], bool]) -> None:
        self._observer, self._is_known = observer, is_known
        self.stage, self.advance = observer.stage, observer.advance
        self.folder, self.message = observer.folder, observer.message

    def problem(self, kind: Kind, path: bytes, reason: str) -> None:
        """Passed on if it is new."""
        if not self._is_known(kind, path, reason):
            self._observer.problem(kind, path, reason)
