"""Which tracks match which, read from the store: stored pairs of fingerprints, seen as pairs of files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dedup.correlation.scoring import MIN_DISTINCT, PAIR, Match, Verdict, identity_match, verdict
from dedup.library.metadata import AudioProperties, from_json, quality
from dedup.settings import CompareSettings, MatchSettings

if TYPE_CHECKING:
    from dedup.store.store import Store


@dataclass(frozen=True)
class ListedTrack:
    """A track with a fingerprint, with all that a report says of it."""

    path: bytes
    state: Literal["present", "absent", "imported"]
    size: int
    device: int
    inode: int
    full: bytes | None
    audio: int
    stream: bytes | None
    key: str
    damage: str | None
    fingerprint: int
    n_items: int
    n_distinct: int
    properties_json: str

    @cached_property
    def properties(self) -> AudioProperties:
        return from_json(json.loads(self.properties_json))

    @cached_property
    def rank(self) -> tuple[Any, ...]:
        """Sorts better copies first: undamaged, then by `metadata.quality`, then by path."""
        better = quality(self.properties, self.size)
        return (self.damage is not None, *(-number for number in better), self.path)


_LISTED = """
    SELECT track.path, track.state, track.size, track.device, track.inode, track.full, audio.id, audio.stream,
           audio.key, audio.damage, fingerprint.id, fingerprint.n_items, fingerprint.n_distinct, track.properties
    FROM track JOIN audio ON audio.id = track.audio JOIN fingerprint ON fingerprint.id = audio.fingerprint
    ORDER BY track.path
"""

_SHARED = """
    SELECT audio.fingerprint FROM track JOIN audio ON audio.id = track.audio
    GROUP BY audio.fingerprint HAVING COUNT(*) > 1
"""


@dataclass(frozen=True)
class TrackPair:
    """Two tracks and what they are to each other; the lag is positive where `a` has more in front."""

    a: ListedTrack
    b: ListedTrack
    match: Match
    verdict: Verdict


class Matches:
    """All pairs of tracks that match under `settings`. Reads stored pairs; compares nothing."""

    def __init__(self, store: Store, settings: MatchSettings, compare: CompareSettings | None = None) -> None:
        self.settings = settings
        self.neighbours: dict[int, list[tuple[int, Match]]] = {}
        self._read_pairs(store, compare or last_compare_settings(store))
        shared = {row[0] for row in store.catalog.connection.execute(_SHARED)}
        self.tracks: list[ListedTrack] = []
        """Tracks that may match another, by path."""
        self.by_fingerprint: dict[int, list[ListedTrack]] = {}
        for row in store.catalog.connection.execute(_LISTED):
            if row[10] in shared or row[10] in self.neighbours:
                track = ListedTrack(*row)
                self.tracks.append(track)
                self.by_fingerprint.setdefault(track.fingerprint, []).append(track)

    def _read_pairs(self, store: Store, compare: CompareSettings) -> None:
        query = "SELECT block, row, id FROM fingerprint WHERE block IS NOT NULL"
        at = {(block, row): fingerprint for block, row, fingerprint in store.catalog.connection.execute(query)}
        for tile in store.catalog.tiles(compare.digest()):
            for record in np.frombuffer(tile.pairs, PAIR):
                match = _match_of(record)
                if match.score < self.settings.min_score:
                    continue
                a = at[tile.block_a, int(record["row_a"])]
                b = at[tile.block_b, int(record["row_b"])]
                self.neighbours.setdefault(a, []).append((b, match))
                self.neighbours.setdefault(b, []).append((a, match.swapped()))

    def of(self, track: ListedTrack) -> Iterator[TrackPair]:
        """Every match of one track, by the other's path."""
        found = [TrackPair(track, other, *self._between(track, other, None)) for other in self._twins(track)]
        for fingerprint, match in self.neighbours.get(track.fingerprint, ()):
            for other in self.by_fingerprint.get(fingerprint, ()):
                found.append(TrackPair(track, other, *self._between(track, other, match)))
        found.sort(key=lambda pair: pair.b.path)
        return (pair for pair in found if pair.verdict != "other")

    def pairs(self) -> Iterator[TrackPair]:
        """Every match once, `a` before `b` by path, sorted by both: the same bytes whatever the blocks were."""
        for track in self.tracks:
            for pair in self.of(track):
                if pair.a.path < pair.b.path:
                    yield pair

    def _twins(self, track: ListedTrack) -> list[ListedTrack]:
        return [other for other in self.by_fingerprint[track.fingerprint] if other is not track]

    def _between(self, a: ListedTrack, b: ListedTrack, match: Match | None) -> tuple[Match, Verdict]:
        """What two tracks are to each other; `match` is None for tracks of one fingerprint."""
        same = match or identity_match(a.n_items)
        if a.full is not None and a.full == b.full:
            return same, "identical file"
        if a.audio == b.audio or _is_same_stream(a, b, match is None):
            return same, "same audio"
        if match is None:
            return same, "same recording" if a.n_distinct >= MIN_DISTINCT else "other"
        return match, verdict(match, a.n_items, b.n_items, self.settings)


def _is_same_stream(a: ListedTrack, b: ListedTrack, same_items: bool) -> bool:
    """Whether the encoded streams are the same, or both are sound FLACs of the same samples."""
    if a.stream is not None and a.stream == b.stream:
        return True
    lossless_same = a.key == b.key and a.key.startswith("flac-md5|")
    return same_items and lossless_same and a.damage is None and b.damage is None


def _match_of(record: Any) -> Match:
    return Match(
        lag=int(record["lag"]),
        overlap=int(record["overlap"]),
        errors=int(record["errors"]),
        score=float(record["score"]),
        prominence=float(record["prominence"]),
    )


def last_compare_settings(store: Store) -> CompareSettings:
    """The settings of the store's last `correlate`; the defaults where there was none."""
    return CompareSettings(**store.catalog.meta().get("compare", {}))
