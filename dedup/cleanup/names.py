"""What look-ups found, compared with the tags that files have now: what is to be written, for `tagging.tag_files`. Only
reads; no service is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.cleanup.checks import Protection
from dedup.cleanup.tagging import Tagging
from dedup.files.status import size_and_time
from dedup.lookup.known import known
from dedup.lookup.tag_fields import ALL, Changes, Fields, changes_of
from dedup.store.protection import protected
from dedup.tags.read import read_tags
from dedup.tags.write import can_write

if TYPE_CHECKING:
    from dedup.lookup.decide import Identified
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.settings import KeepSettings
    from dedup.store.store import Store
    from dedup.store.tracks import Track

CHANGED = "it has changed since it was scanned; scan its folder again"


@dataclass(frozen=True)
class Compared:
    """A file, and what becomes of its tags."""

    path: bytes
    changes: Changes
    before: Fields
    """Present values of the fields that the changes speak of; without those that the file does not have."""
    size_and_time: tuple[int, int] = (0, 0)
    """Size and modification time of the file when it was looked at; zeros if there is a problem."""
    n_links: int = 1
    """Names of the file: if there are more than one, the others keep the tags as they are."""
    problem: str = ""
    """Why nothing can be written though there is something to write; empty if it can."""

    @property
    def tagging(self) -> Tagging | None:
        """What is to be written; None if nothing is, or can be."""
        if self.problem or not self.changes.fields:
            return None
        old = {name: self.before[name] for name in self.changes.fields if name in self.before}
        return Tagging(self.path, self.changes.fields, old, self.size_and_time)


def compare_files(
    *,
    store: Store,
    paths: Sequence[bytes],
    keep: KeepSettings,
    fields: Collection[str] = ALL,
    overwrite: bool = False,
    observer: Observer,
    stop: Stop,
) -> Iterator[list[Compared]]:
    """The identified files at or below these paths, or of the whole library if there are none, whose tags differ from
    what was found, folder by folder. Only tags in `fields` count; with `overwrite`, what was found takes the place of
    what is there. A file whose tags say all of it in the store is not opened. Of `keep` only the protected folders
    count; those that the store remembers are protected too. Raises InputError for a path without a track."""
    observer.stage("compare tags", None, "folders")
    protection = Protection(protected(store, keep.protect))
    for folder in known(store, paths):
        if stop.requested:
            return
        identified = [each for each in folder if each.verdict == "identified"]
        tracks = store.catalog.tracks.of_paths([each.file.path for each in identified])
        found = (_of_identified(each, tracks.get(each.file.path), fields, overwrite, protection) for each in identified)
        yield [each for each in found if each is not None]
        observer.advance()


def _of_identified(
    each: Identified, track: Track | None, names: Collection[str], overwrite: bool, protection: Protection
) -> Compared | None:
    """None if there is nothing to write or to say."""
    if track is None or not changes_of(each, _tags_in_store(track), names, overwrite):
        return None
    return compared(track, lambda has: changes_of(each, has, names, overwrite), protection)


def _tags_in_store(track: Track) -> Mapping[str, tuple[str, ...]]:
    tags = json.loads(track.properties).get("tags", {})
    return {name: tuple(values) for name, values in tags.items()}


def compared(track: Track, change: Callable[[Fields], Changes], protection: Protection) -> Compared | None:
    """What becomes of the tags of a file that is as the store knows it: `change` says it by the tags that it has; None
    if that is nothing."""
    path = track.path
    try:
        seen = os.stat(path)
        has = read_tags(path).fields
    except OSError as error:
        return Compared(path, Changes(), {}, problem=f"its tags cannot be read: {error.strerror or error}")
    if size_and_time(seen) != (track.size, track.mtime_ns):
        return Compared(path, Changes(), {}, problem=CHANGED)
    changes = change(has)
    if not changes:
        return None
    before = {name: has[name] for name in (*changes.fields, *changes.kept, *changes.doubts) if name in has}
    problem = ""
    if changes.fields and protection.holds(path):
        problem = "it is in a protected folder"
    elif changes.fields and not can_write(path):
        problem = "tags cannot be written to its format, or they are damaged"
    return Compared(path, changes, before, size_and_time(seen), seen.st_nlink, problem)
