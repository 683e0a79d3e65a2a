"""Copies that are kept on purpose: the same recording on two releases, and the two formats of one collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedup.files.paths import holds
from dedup.groups.albums import Position, position
from dedup.settings import KeepSettings

if TYPE_CHECKING:
    from dedup.groups.matches import ListedTrack


class Intended:
    """Decides which matching tracks must not count as copies of each other."""

    def __init__(self, settings: KeepSettings) -> None:
        self._by_album = settings.identity == "album"
        self._companions = settings.companions
        self._positions: dict[bytes, Position | None] = {}

    @property
    def is_asked(self) -> bool:
        """Whether the settings exempt any pair."""
        return self._by_album or bool(self._companions)

    def may_merge(self, a: ListedTrack, b: ListedTrack) -> bool:
        """Whether one may go in favour of the other: never across two companion trees, and with identity "album" only
        if both tags give the same album, disc and number. The artist does not matter, because the sound is the same."""
        if any(_are_in(a.path, b.path, *trees) for trees in self._companions):
            return False
        if not self._by_album:
            return True
        one, other = self._position(a), self._position(b)
        return one is not None and other is not None and one.slot == other.slot

    def _position(self, track: ListedTrack) -> Position | None:
        if track.path not in self._positions:
            self._positions[track.path] = position(track.properties.tags)
        return self._positions[track.path]


def _are_in(a: bytes, b: bytes, one: bytes, other: bytes) -> bool:
    return (holds(one, a) and holds(other, b)) or (holds(other, a) and holds(one, b))
