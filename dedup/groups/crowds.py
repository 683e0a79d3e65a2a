"""Thousands of files with one sound beside thousands with another: what need not be told of each two."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from dedup.store.tracks import HeardTrack

_T = TypeVar("_T", bound=HeardTrack[Any])

MANY = 100
"""Most tracks of one fingerprint, or pairs of tracks of two, that are looked at one by one."""


def few(one: list[_T], other: list[_T], kind: Callable[[_T], Hashable]) -> tuple[list[_T], list[_T]]:
    """The tracks of two fingerprints; of many, the first by path of each kind. Tracks of a kind relate to all of the
    others alike, unless one is the very file that another is: then all of them are given."""
    files = ({(t.device, t.inode) for t in tracks} | {t.full for t in tracks if t.full} for tracks in (one, other))
    if len(one) * len(other) <= MANY or set.intersection(*files):
        return one, other

    def first(tracks: list[_T]) -> list[_T]:
        alike: dict[Hashable, _T] = {}
        for track in sorted(tracks, key=lambda track: track.path):
            alike.setdefault(kind(track), track)
        return list(alike.values())

    return first(one), first(other)
