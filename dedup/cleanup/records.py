"""Keeps the catalog's records of files that a clean-up changes up to date: a file that is gone is not a track any more,
a rewritten one keeps its audio, and one that is put back is known again without being decoded."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from dedup.cleanup.steps import is_anything
from dedup.files.held import OutOfReachError, Reach
from dedup.files.paths import volume_of
from dedup.files.status import device_and_inode, size_and_time
from dedup.groups.news import expect_back
from dedup.library.identity import partial_hash_of
from dedup.library.metadata import read_properties, to_json
from dedup.store.tracks import Track

if TYPE_CHECKING:
    from dedup.store.store import Store

_BYTES = ("path", "root", "volume", "partial", "full")


def known_of(track: Track) -> dict[str, Any]:
    """The track for a journal, of JSON types only."""
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in vars(track).items()}


def track_of(known: dict[str, Any]) -> Track:
    """The track from which `known_of` made a record. Raises KeyError, TypeError or ValueError for anything else."""
    values: dict[str, Any] = {each.name: known[each.name] for each in fields(Track)}
    for name in _BYTES:
        values[name] = None if values[name] is None else bytes.fromhex(values[name])
    return Track(**values)


def drop_track(store: Store, path: bytes) -> None:
    """Removes the track of a file that is gone; its audio and all comparisons stay."""
    with store.catalog.transaction():
        store.catalog.tracks.forget([path])


def is_known(store: Store, path: bytes, reach: Reach) -> bool:
    """Whether the catalog has the file as it is now, or does not have it at all. Raises OSError."""
    track = store.catalog.tracks.get(path)
    if track is None:
        return True
    with reach.spot(path) as spot:
        return (track.size, track.mtime_ns) == size_and_time(spot.status())


def renew(store: Store, path: bytes, reach: Reach) -> None:
    """Updates the track of a file that has other tags now, or another inode, and the same audio: nothing is decoded.
    Looks at the file that is held, since its inode is what proves a linked folder from now on; one that cannot be
    looked at now is for the next scan."""
    track = store.catalog.tracks.get(path)
    if track is not None:
        with contextlib.suppress(OSError), reach.spot(path) as spot, spot.open() as file:
            renewed = _as_it_is(track, file)
            with store.catalog.transaction():
                store.catalog.tracks.put(renewed)


def restore(store: Store, known: dict[str, Any], reach: Reach) -> None:
    """Makes a file that is back, with the bytes that it had, a track again if its audio is still known and it can be
    looked at; else the next scan reads it."""
    track = track_of(known)
    if store.catalog.audios.get(track.audio) is None:
        expect_back(store, track.path)
        return
    with contextlib.suppress(OSError), reach.spot(track.path) as spot:
        restored = _with_status(track, spot.status())
        with store.catalog.transaction():
            store.catalog.tracks.put_back(restored)


def move_track(store: Store, known: dict[str, Any], path: bytes, target: bytes, root: bytes, reach: Reach) -> None:
    """Gives the track of a file that has another path now that path, and `root`: it keeps its id, its audio and all
    comparisons. `known`: its record before. Does nothing if the catalog has it elsewhere by now. One that the catalog
    lost meanwhile is entered again, if its audio is known."""
    before = track_of(known)
    track = store.catalog.tracks.at(before.id)
    if track is None:
        with contextlib.suppress(OSError):
            if not is_anything(reach, path):  # a scan in between may have entered it there as a new one
                drop_track(store, path)
        restore(store, known_of(replace(before, path=target, root=root)), reach)
    elif track.path == path:
        moved = replace(track, path=target, root=root, volume=volume_of(target))
        with contextlib.suppress(OSError), reach.spot(target) as spot:  # it may be further on its way already
            status = spot.status()
            if size_and_time(status) == (track.size, track.mtime_ns):
                moved = _with_status(moved, status)
        stale = store.catalog.tracks.get(target)  # of a file that was there once
        with store.catalog.transaction():
            store.catalog.tracks.forget([target] if stale is not None else [])
            store.catalog.tracks.put(moved, moved_from=path)


def _as_it_is(track: Track, file: BinaryIO) -> Track:
    """The track with all that its file may have changed with its tags. Raises
    OSError, also if its path leads to another file than the open one."""
    status = os.fstat(file.fileno())
    now = _with_status(track, status)
    is_same = (now.size, now.mtime_ns) == (track.size, track.mtime_ns)
    properties = json.dumps(to_json(read_properties(now.path)))
    if not os.path.samestat(os.stat(now.path), status):
        raise OutOfReachError(now.path, "its folder was replaced while it was read")
    return replace(
        now,
        partial=partial_hash_of(file, now.size),
        full=track.full if is_same else None,
        properties=properties,
    )


def _with_status(track: Track, status: os.stat_result) -> Track:
    """The track with the size, time, device and inode of its file now."""
    size, mtime_ns = size_and_time(status)
    device, inode = device_and_inode(status)
    return replace(track, size=size, mtime_ns=mtime_ns, device=device, inode=inode)
