"""A whole back-up: every file of a source that the library does not have, and its playlists."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dedup.backup.playlists import write_playlists
from dedup.backup.source import Item, Source, whole_text
from dedup.backup.take import Keeping, Outcome, Taken, Taker, lies_in
from dedup.errors import LibraryError, RepriseError
from dedup.files.paths import holds, printable
from dedup.groups.judgements import content
from dedup.lookup.pace import StoppedError
from dedup.store.tracks import HeardTrack

if TYPE_CHECKING:
    from dedup.backup.place import Place
    from dedup.files.standby import Standby
    from dedup.gate.gate import Gate
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.store.store import Store


@dataclass
class Result:
    """What a back-up did."""

    counts: dict[Outcome, int] = field(default_factory=lambda: {"new": 0, "here": 0, "known": 0, "failed": 0})
    failed: list[Taken] = field(default_factory=list)
    n_left: int = 0
    """Files that were not looked at, as a limit, a stop or an error ended the run."""
    n_unlisted: int = 0
    """Files and folders of the source that could not be looked at."""
    n_playlists: int = 0
    n_finished: int = 0
    """Files that a killed run had begun, and that were brought to an end."""
    error: RepriseError | None = None
    """What ended the run before its time."""


def back_up(
    *,
    gate: Gate,
    standby: Standby,
    source: Source,
    place: Place,
    manner: Keeping,
    tell: Callable[[Taken], object],
    observer: Observer,
    stop: Stop,
    limit: int | None = None,
) -> Result:
    """Takes what the library lacks until a stop, or until `limit` files came; gives each to `tell` as it is done. One
    that fails does not count: it would fail in each run, and hold up those that follow. Only for whoever holds the
    store's lock, and is in `place`. What ends the run early is in the result, so that what was done can be told."""
    result, store = Result(), gate.store
    taker = Taker(gate, standby, source, place, manner)
    result.n_finished = taker.recover()
    try:
        items, known = _found(source, store, observer, manner.keeps_all)
        result.n_unlisted = source.n_unlisted
        for item in items:
            if item.id in known:
                _count(Taken(item, "known", known[item.id]), result, tell)
        new = [item for item in items if item.id not in known]
        result.n_left = len(new)
        observer.stage("back up", len(new) if limit is None else min(limit, len(new)), "files")
        n_came = 0
        for item in new:
            if stop.requested or n_came == limit:
                break
            _count(taken := taker.take(item), result, tell)
            result.n_left -= 1
            n_came += taken.outcome != "failed"
            if limit is None or taken.outcome != "failed":
                observer.advance()
        if not stop.requested:
            result.n_playlists = write_playlists(source, place, store, observer)
    except StoppedError:
        pass
    except RepriseError as error:
        if not stop.requested:  # else a server that was asked no more says so
            result.error = error
    place.leave()
    return result


class Wanted(NamedTuple):
    """What a back-up would fetch; what of it the library has, only its sound can tell."""

    items: list[Item]
    n_known: int
    """Files that an earlier run took."""


def wanted(source: Source, store: Store | None, observer: Observer, keeps_all: bool = False) -> Wanted:
    """What would be fetched into a library with this store, if it has one. Raises what the source raises."""
    items, known = _found(source, store, observer, keeps_all)
    return Wanted([item for item in items if item.id not in known], len(known))


def _found(
    source: Source, store: Store | None, observer: Observer, keeps_all: bool
) -> tuple[list[Item], Mapping[str, bytes]]:
    """All that the source has, and by id the paths of what was taken or found to be here before."""
    observer.stage("list", None, "files")
    items = list(_listed(source, observer))
    return items, known_paths(store, source, (item.id for item in items), keeps_all) if store is not None else {}


def _listed(source: Source, observer: Observer) -> Iterator[Item]:
    seen = set()
    for item in source.list():
        observer.advance()
        if item.id not in seen and item.id == whole_text(item.id):  # no request can hold another
            seen.add(item.id)
            yield item


def _count(taken: Taken, result: Result, tell: Callable[[Taken], object]) -> None:
    result.counts[taken.outcome] += 1
    if taken.outcome == "failed":
        result.failed.append(taken)
    tell(taken)


def known_paths(store: Store, source: Source, ids: Iterable[str], of_kept: bool = False) -> dict[str, bytes]:
    """Where the files of a source are, by id, that an earlier run took, or unless `of_kept` that the library had, and
    that are still there, outside the source: what the disk shows counts more than what is remembered. A file on a drive
    that is away is there."""
    states = ("kept",) if of_kept else ("kept", "here")
    rows = store.catalog.backups.of_source(source.key)
    found, gone = {}, []
    for row in (rows[id_] for id_ in ids if id_ in rows and rows[id_].state in states):
        if os.path.lexists(row.path) and not lies_in(source, row.path):
            found[row.id] = row.path
        else:
            gone.append(row)
    away = _on_drives_away(store, [row.path for row in gone]) if gone else set()
    found |= {row.id: row.path for row in gone if row.path in away}
    elsewhere = _paths_of(store, source, {row.content for row in gone}) if gone else {}
    return found | {row.id: elsewhere[row.content] for row in gone if row.content in elsewhere}


def _on_drives_away(store: Store, paths: Collection[bytes]) -> set[bytes]:
    """Those of the paths that were on a drive that is not mounted now."""
    tracks = store.catalog.tracks.of_paths(paths).values()
    mounted = {volume: os.path.ismount(volume) for volume in {track.volume for track in tracks}}
    return {track.path for track in tracks if not mounted[track.volume]}


def require_mounted(store: Store, folder: bytes) -> None:
    """Raises LibraryError if the drive is away on which a folder was when files were put there: what is at its path now
    is the empty folder in which it is mounted, on another disk."""
    for volume in sorted(store.catalog.tracks.volumes_below(folder)):
        if holds(volume, folder) and not os.path.ismount(volume):
            found = f"it was on a drive at {printable(volume)}, where none is mounted now"
            remedy = "Mount it and run the same command again, or give another folder"
            raise LibraryError(printable(folder), found, remedy=remedy)


def _paths_of(store: Store, source: Source, contents: Collection[bytes]) -> dict[bytes, bytes]:
    """A path of each of these contents that the library still has outside the source."""
    catalog = store.catalog
    tracks = catalog.tracks.heard(HeardTrack[str], catalog.audios.fingerprints_holding(contents), str)
    return {
        content(track.stream, track.digest): track.path
        for track in tracks
        if (track.state == "absent" or os.path.lexists(track.path)) and not lies_in(source, track.path)
    }
