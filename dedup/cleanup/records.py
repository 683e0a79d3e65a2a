"""Keeps the catalog's records of files that a clean-up changes up to date: a file that is gone is not a track any more,
a rewritten one keeps its audio, and one that is put back is known again without being decoded."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from dedup.files.status import device_and_inode, size_and_time
from dedup.library.identity import partial_hash
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


def is_known(store: Store, path: bytes) -> bool:
    """Whether the catalog has the file as it is now, or does not have it at all."""
    track = store.catalog.tracks.get(path)
    return track is None or (track.size, track.mtime_ns) == size_and_time(os.stat(path))


def renew(store: Store, path: bytes) -> None:
    """Updates the track of a file that has other tags now, or another inode, and the same audio: nothing is decoded."""
    track = store.catalog.tracks.get(path)
    if track is not None:
        with store.catalog.transaction():
            store.catalog.tracks.put(_as_it_is(track))


def restore(store: Store, known: dict[str, Any]) -> None:
    """Makes a file that is back, with the bytes that it had, a track again if its audio is still known; else the next
    scan reads it."""
    track = track_of(known)
    if store.catalog.audios.get(track.audio) is not None and os.path.lexists(track.path):
        with store.catalog.transaction():
            store.catalog.tracks.put(_with_status(track))


def _as_it_is(track: Track) -> Track:
    """The track with all that its file may have changed with its tags."""
    now = _with_status(track)
    is_same = (now.size, now.mtime_ns) == (track.size, track.mtime_ns)
    return replace(
        now,
        partial=partial_hash(now.path, now.size),
        full=track.full if is_same else None,
        properties=json.dumps(to_json(read_properties(now.path))),
    )


def _with_status(track: Track) -> Track:
    """The track with the size, time, device and inode of its file now."""
    status = os.stat(track.path)
    size, mtime_ns = size_and_time(status)
    device, inode = device_and_inode(status)
    return replace(track, size=size, mtime_ns=mtime_ns, device=device, inode=inode)
